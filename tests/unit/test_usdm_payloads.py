"""Every message of the simulated Binance USD-M has the fields and types of a recorded one."""

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.venue_simulator import binance_usdm_account as owner
from tests.venue_simulator import binance_usdm_private as private
from tests.venue_simulator import binance_usdm_public as public
from tests.venue_simulator.binance_usdm_streams import trade_texts
from tests.venue_simulator.core import Market, Trade

NOW_MS = 1_767_571_200_123
ORDER = private.OrderView(
    symbol="BTCUSDT",
    order_id=12345678,
    client_id="testOrder123",
    side="BUY",
    kind="LIMIT",
    time_in_force="GTC",
    qty="0.002",
    price="50000.00",
    stop_price="0.00",
    avg_price="0.00",
    filled_qty="0.000",
    filled_quote="0.00",
    status="NEW",
    is_reduce_only=False,
    is_close_position=False,
    original_kind="LIMIT",
    working_type="CONTRACT_PRICE",
    good_till_ms=0,
    created_ms=NOW_MS,
    updated_ms=NOW_MS,
)
FILL = private.FillView(
    trade_id=12345678,
    price="7100.50",
    qty="0.001",
    quote_qty="7.10050000",
    fee="0.01000000",
    fee_asset="USDT",
    realized="12.34",
    is_maker=True,
    ts_ms=NOW_MS,
)
POSITION = owner.PositionView(
    symbol="BTCUSDT",
    amount="0.001",
    entry_price="50000.0",
    break_even_price="50100.0",
    mark_price="51000.0",
    unrealized="1.00000000",
    realized="0.00000000",
    liquidation_price="45000.0",
    notional="51.0",
    initial_margin="5.1",
    maintenance_margin="0.2",
    leverage=20,
    updated_ms=NOW_MS,
)
ASSET = owner.AssetView(
    asset="USDT",
    wallet="23.72469206",
    unrealized="0.00000000",
    margin_balance="23.72469206",
    maintenance_margin="0.00000000",
    initial_margin="0.00000000",
    position_margin="0.00000000",
    order_margin="0.00000000",
    available="23.72469206",
    updated_ms=NOW_MS,
)
KLINE = (NOW_MS, "1", "2", "1", "2", "1000", NOW_MS + 59_999, "1.0", 100, "500", "0.5", "0", 100, 200)
FILLED = private.order_update(ORDER, "TRADE", NOW_MS, FILL)
RISK = owner.position_risk(POSITION, 3) | owner.position_risk(POSITION, 2)
TRAILING_ONLY = {"o.AP", "o.cr"}  # of trailing stops, which the exchange does not offer

# file -> our message and the fields that it need not have
MESSAGES: dict[str, tuple[Any, set[str]]] = {
    "http_json/order_response": (private.order(ORDER), set()),
    "http_json/open_algo_orders": ([private.algo_order(ORDER, 5, "NEW", None, 0)], set()),
    "http_json/position_risk": ([RISK], set()),
    "http_json/account_info_v2": (owner.account(ASSET, [POSITION], can_withdraw=False), set()),
    "http_json/balance": ([owner.balance(ASSET)], set()),
    "user_data_json/order_update_new": (
        private.order_update(ORDER, "NEW", NOW_MS),
        TRAILING_ONLY | {"o.N", "o.n"},
    ),
    "user_data_json/order_update_trade": (FILLED, TRAILING_ONLY),
    "user_data_json/order_update_trade_partial": (FILLED, TRAILING_ONLY),
    "user_data_json/order_update_calculated": (FILLED, TRAILING_ONLY),
    "user_data_json/order_update_adl": (FILLED, TRAILING_ONLY),
    "user_data_json/trade_lite": (private.trade_lite(ORDER, FILL, NOW_MS), set()),
    "user_data_json/algo_update_new": (private.algo_update(ORDER, 5, "NEW", NOW_MS), set()),
    "user_data_json/algo_update_canceled": (
        private.algo_update(ORDER, 5, "CANCELED", NOW_MS, ORDER, reason="Reduce Only reject"),
        set(),
    ),
    "user_data_json/account_update": (
        owner.account_update("ORDER", "USDT", "100.0", "0", [POSITION], NOW_MS),
        set(),
    ),
    "market_data_json/agg_trade_stream": (
        public.agg_trade_event("BTCUSDT", 7, "0.001", "100", NOW_MS, NOW_MS, is_buyer_maker=True),
        set(),
    ),
    "market_data_json/trade_stream": (
        public.trade_event("BTCUSDT", 7, "0.001", "100", NOW_MS, NOW_MS, is_buyer_maker=True),
        set(),
    ),
    "market_data_json/kline_stream_open": (
        public.kline_event("BTCUSDT", "1m", KLINE, NOW_MS, is_closed=False),
        set(),
    ),
    "market_data_json/kline_stream_closed": (
        public.kline_event("BTCUSDT", "1m", KLINE, NOW_MS, is_closed=True),
        set(),
    ),
    "market_data_json/mark_price_stream": (
        public.mark_price_event("BTCUSDT", "1", "1", "0.0001", NOW_MS, NOW_MS),
        set(),
    ),
    "market_data_json/book_ticker_stream": (
        public.book_ticker_event("BTCUSDT", 1, ("1", "2"), ("1", "2"), NOW_MS),
        set(),
    ),
}


def differences(built: Any, recorded: Any, path: str = "") -> set[str]:
    """Name what ours lacks or has with another type; of a list the first element counts."""
    if isinstance(recorded, list):
        if not isinstance(built, list) or not built:
            return {f"{path}[]"}
        return differences(built[0], recorded[0], path)
    if not isinstance(recorded, Mapping):
        return set() if type(built) is type(recorded) else {f"{path}:{type(built).__name__}"}
    found: set[str] = set()
    for name, value in recorded.items():
        inner = f"{path}.{name}".lstrip(".")
        found |= differences(built[name], value, inner) if name in built else {inner}
    return found


@pytest.mark.parametrize("name", MESSAGES)
def test_message_has_the_fields_and_types_of_the_recorded_one(name: str, shared_data: Path) -> None:
    """A message lacks no field of the recording and gives each the same JSON type."""
    built, excused = MESSAGES[name]
    recorded = json.loads((shared_data / "wire/binance/futures" / f"{name}.json").read_bytes())

    assert differences(built, recorded) == excused


def test_a_fill_without_commission_field_is_the_only_one_that_says_nothing() -> None:
    """`N` and `n` are pushed with fills only, as the venue documents."""
    assert {"N", "n"} <= FILLED["o"].keys()
    assert not {"N", "n"} & private.order_update(ORDER, "NEW", NOW_MS)["o"].keys()


def test_close_position_order_has_no_quantity() -> None:
    """A close-position order is asked back with quantity null and streamed with q 0."""
    view = private.OrderView(**{name: getattr(ORDER, name) for name in ORDER.__slots__})
    view.is_close_position = True

    assert private.algo_order(view, 5, "NEW", None, 0)["quantity"] is None
    assert private.algo_update(view, 5, "NEW", NOW_MS)["o"]["q"] == "0"


def test_next_funding_is_a_third_of_a_day_boundary() -> None:
    """Funding settles at 00:00, 08:00 and 16:00 UTC, never at the present moment."""
    midnight = 1_767_571_200_000
    assert public.next_funding_ms(midnight - 1) == midnight
    assert public.next_funding_ms(midnight) == midnight + 8 * 3_600_000


@pytest.mark.parametrize("kind", ["aggTrade", "trade"])
def test_trades_encoded_by_hand_are_what_the_builders_say(kind: str) -> None:
    """The fast encoding of the stream is the builder's message, digit by digit."""
    market = Market("BTCUSDT", "BTC", "USDT", "linear", tick=Decimal("0.10"), lot=Decimal("0.001"))
    trade = Trade(7, 500_005, 1_250, True, NOW_MS * 1_000_000 + 999)
    build = public.agg_trade_event if kind == "aggTrade" else public.trade_event
    expected = build("BTCUSDT", 7, "50000.50", "1.250", NOW_MS, NOW_MS + 5, is_buyer_maker=False)

    assert [json.loads(text) for text in trade_texts(kind, market, [trade], NOW_MS + 5)] == [expected]


def test_steps_are_written_without_rounding() -> None:
    """Whole steps, fractions and steps of many units come out in the step's own decimals."""
    assert public.grid_writer(Decimal("0.10"))(500_005) == "50000.50"
    assert public.grid_writer(Decimal("0.0005"))(3) == "0.0015"
    assert public.grid_writer(Decimal(1))(42) == "42"
