"""Orders in the words of Bybit's REST interface, and what the exchange understands of them."""

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.common.component import TestClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.model.enums import OrderSide, TrailingOffsetType
from nautilus_trader.model.identifiers import InstrumentId, StrategyId, TraderId
from nautilus_trader.model.objects import Price, Quantity

from runtime.live.bybit_bodies import can_go_by_rest, order_body
from tests.bybit_client import markets
from tests.venue_simulator.bybit_requests import order_request

QTY = Quantity.from_str("0.010")
LAST = Decimal(50_000)
BUY, SELL = OrderSide.BUY, OrderSide.SELL
MARKETS = {one.key: one for one in markets()}


def factory() -> OrderFactory:
    """Return what makes orders."""
    return OrderFactory(TraderId("T-001"), StrategyId("S-001"), TestClock())


def order_of(product: str, form: str, side: OrderSide, **terms: Any) -> Any:
    """Return an order of the product's BTCUSDT; prices as text."""
    made = {name: Price.from_str(one) if isinstance(one, str) else one for name, one in terms.items()}
    instrument_id = InstrumentId.from_str(f"BTCUSDT-{product}.BYBIT")
    return getattr(factory(), form)(instrument_id, side, QTY, **made)


@pytest.mark.parametrize(
    ("product", "form", "side", "terms", "understood"),
    [
        ("LINEAR", "limit", BUY, {"price": "49900.00", "post_only": True}, ("LIMIT", "GTX", False)),
        ("LINEAR", "limit", SELL, {"price": "51000.00", "reduce_only": True}, ("LIMIT", "GTC", True)),
        ("LINEAR", "market", SELL, {"reduce_only": True}, ("MARKET", "GTC", True)),
        ("LINEAR", "stop_market", SELL, {"trigger_price": "49000.00", "reduce_only": True},
         ("STOP_MARKET", "GTC", True)),
        ("LINEAR", "stop_market", BUY, {"trigger_price": "51000.00", "reduce_only": True},
         ("STOP_MARKET", "GTC", True)),
        ("LINEAR", "market_if_touched", SELL, {"trigger_price": "51000.00", "reduce_only": True},
         ("TAKE_PROFIT_MARKET", "GTC", True)),
        ("SPOT", "limit", BUY, {"price": "49900.00"}, ("LIMIT", "GTC", False)),
        ("SPOT", "market", BUY, {}, ("MARKET", "GTC", False)),
        ("SPOT", "stop_limit", SELL, {"price": "48900.00", "trigger_price": "49000.00"},
         ("STOP_LIMIT", "GTC", False)),
        ("SPOT", "stop_market", SELL, {"trigger_price": "49000.00"}, ("STOP_MARKET", "GTC", False)),
    ],
)  # fmt: skip
def test_the_exchange_understands_what_was_meant(
    product: str, form: str, side: OrderSide, terms: dict[str, Any], understood: tuple[str, str, bool]
) -> None:
    """Type, time in force, size in coins and prices; a stop never works at once, an exit only reduces."""
    order = order_of(product, form, side, **terms)
    assert can_go_by_rest(order)
    body = order_body(order)
    request = order_request(MARKETS[f"BTCUSDT-{product}"], LAST, "main", body)
    assert (request.type, request.tif, request.reduce_only) == understood
    assert (request.side, request.qty, request.quote_qty) == (side.name, Decimal("0.010"), None)
    wanted = [Decimal(terms[name]) if name in terms else None for name in ("price", "trigger_price")]
    assert [request.price, request.stop_price] == wanted
    assert request.client_id == order.client_order_id.value


def test_what_has_no_words_there_is_left_to_the_adapter() -> None:
    """Trailing stops, and sizes in the quote currency."""
    trailing = order_of(
        "LINEAR", "trailing_stop_market", SELL, trailing_offset=Decimal(100),
        trailing_offset_type=TrailingOffsetType.PRICE,
    )  # fmt: skip
    assert not can_go_by_rest(trailing)
    assert not can_go_by_rest(order_of("SPOT", "market", BUY, quote_quantity=True))
