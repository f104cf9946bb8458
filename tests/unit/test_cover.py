"""What the watchdog sees of a position where the market says nothing."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final

import pytest
from nautilus_trader.model.enums import OrderSide, OrderStatus, OrderType
from nautilus_trader.model.objects import Price, Quantity

from runtime.live.watchdog import Cover, cover_of

NOTHING: Any = SimpleNamespace(positions_open=lambda **_: [], orders_open=lambda **_: [])
TEN: Final = Quantity.from_int(10)


def desk(*, stop_price: str = "1.9", price: str | None = None, coins: str = "10") -> Any:
    """Return a desk of a spot account whose setup holds ten coins since before a restart."""
    setup = SimpleNamespace(is_closed=False, position_qty=Decimal(10), stop_price=Decimal(stop_price))
    market = SimpleNamespace(lot_size=Decimal("0.1"), min_qty=Decimal("0.1"), min_notional=Decimal(5))
    return SimpleNamespace(
        instrument_id="XRPUSDT.BINANCE",
        market=market,
        setups=(setup,),
        account_kind=lambda: "cash",
        held_qty=lambda _side: Decimal(coins),
        last_price=lambda: None if price is None else Decimal(price),
    )


def test_a_position_without_a_price_is_a_position() -> None:
    """After a restart with the stream down no trade is known: the stop's own price says what it is worth."""
    assert cover_of(desk(), NOTHING) == Cover(Decimal(10), Decimal(0), Decimal(0))


@pytest.mark.parametrize("changes", [{"coins": "0.05"}, {"price": "0.4"}, {"stop_price": "0.4"}])
def test_what_no_order_could_sell_is_none(changes: dict[str, str]) -> None:
    """Less than a lot, or worth less than the smallest order, at the last price or at the stop."""
    assert cover_of(desk(**changes), NOTHING) is None


@pytest.mark.parametrize(
    ("price", "is_triggered", "is_stop"),
    [("2", False, True), ("2", True, False), ("1.895", False, True), ("1.889", False, False)],
    ids=["before", "triggered", "at_its_limit", "jumped_over"],
)
def test_a_stop_limit_is_a_stop_until_it_is_a_limit(price: str, is_triggered: bool, is_stop: bool) -> None:
    """By the venue's word, or where it tells nothing by the last trade; then the position is leaving."""
    stop = SimpleNamespace(
        side=OrderSide.SELL,
        is_sell=True,
        status=OrderStatus.ACCEPTED,
        order_type=OrderType.STOP_LIMIT,
        price=Price.from_str("1.89"),
        leaves_qty=TEN,
        is_triggered=is_triggered,
    )
    cache: Any = SimpleNamespace(positions_open=lambda **_: [], orders_open=lambda **_: [stop])
    cover = cover_of(desk(price=price), cache)
    assert cover is not None
    assert (cover.is_stopped, cover.is_leaving) == (is_stop, not is_stop)
