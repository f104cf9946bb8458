"""Bybit's payloads of the local exchange have the shapes of the recorded ones."""

from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.venue_simulator import bybit_account_payloads as account_payloads
from tests.venue_simulator import bybit_ids as ids
from tests.venue_simulator import bybit_market_payloads as market_payloads
from tests.venue_simulator import bybit_payloads as payloads
from tests.venue_simulator.core.account import Account, Balance, Position
from tests.venue_simulator.core.order import Fill, Order
from tests.venue_simulator.core.terms import Market, Trade
from tests.wire_shape import differences, recorded

NOW_NS = 1_767_571_200_123_456_789
LINEAR = Market("BTCUSDT", "BTC", "USDT", "linear", tick=Decimal("0.10"), lot=Decimal("0.001"))
SPOT = Market("BTCUSDT", "BTC", "USDT", "spot", tick=Decimal("0.01"), lot=Decimal("0.000001"))
TOP = market_payloads.Top(Decimal(50_000), Decimal(1), Decimal("50000.1"), Decimal(2))
DAY = market_payloads.Day(*(Decimal(number) for number in (49_000, 51_000, 48_000, 50_000, 123, 6_150_000)))
TRADE = Trade(7, 500_001, 12, True, NOW_NS)


@pytest.fixture
def wire(shared_data: Path) -> Path:
    """Give the folder of Bybit's recorded payloads."""
    return shared_data / "wire" / "bybit"


def order(**changes: Any) -> Order:
    """Make a resting limit order, changed as asked."""
    values: dict[str, Any] = {
        "order_id": 21,
        "client_id": "client-1",
        "account": "main",
        "market": LINEAR,
        "side": "BUY",
        "type": "LIMIT",
        "tif": "GTC",
        "qty": Decimal("0.010"),
        "price": Decimal(50_000),
        "stop_price": None,
        "reduce_only": False,
        "close_position": False,
        "take_profit": None,
        "stop_loss": None,
        "expire_ns": None,
        "is_algo": False,
        "created_ns": NOW_NS,
        "updated_ns": NOW_NS,
        "extra": {},
    }
    return Order(**{**values, **changes})


def stop(**changes: Any) -> Order:
    """Make a conditional order that sells at market when the price falls."""
    values = {"type": "STOP_MARKET", "side": "SELL", "price": None, "stop_price": Decimal(48_000)}
    return order(**{**values, "status": "UNTRIGGERED", **changes})


def fill(of: Order) -> Fill:
    """Make a fill of half an order."""
    made = Fill(
        trade_id=5,
        order=of,
        qty=of.qty / 2,
        price=Decimal(50_000),
        is_maker=True,
        fee=Decimal("0.05"),
        fee_asset="USDT",
        ts_ns=NOW_NS,
    )
    of.fills.append(made)
    of.filled_qty, of.filled_quote = made.qty, made.quote_qty
    return made


STREAM_ORDERS = {
    "ws_account_order": order(status="CANCELED"),
    "ws_account_order_filled": order(status="FILLED", take_profit=Decimal(51_000), stop_loss=Decimal(49_000)),
    "ws_account_order_stop_market": stop(),
    "ws_account_order_buy_stop_market": stop(side="BUY", stop_price=Decimal(55_000)),
    "ws_account_order_market_if_touched": stop(side="BUY", type="TAKE_PROFIT_MARKET"),
    "ws_account_order_sell_market_if_touched": stop(type="TAKE_PROFIT_MARKET", stop_price=Decimal(55_000)),
    "ws_account_order_stop_limit": stop(type="STOP_LIMIT", price=Decimal(47_900)),
    "ws_account_order_limit_if_touched": stop(side="BUY", type="TAKE_PROFIT_LIMIT", price=Decimal(48_100)),
    "ws_account_order_stop_loss": stop(
        close_position=True, extra={"stopOrderType": "StopLoss", "tpslMode": "Full"}
    ),
    "ws_account_order_take_profit": stop(
        type="TAKE_PROFIT_MARKET",
        close_position=True,
        extra={"stopOrderType": "TakeProfit", "tpslMode": "Full"},
    ),
}
WORDS = (
    "side", "orderType", "orderStatus", "stopOrderType", "triggerDirection", "reduceOnly", "closeOnTrigger",
    "tpslMode",
)  # fmt: skip


@pytest.mark.parametrize("name", STREAM_ORDERS)
def test_an_order_of_the_private_stream_has_the_recorded_shape(wire: Path, name: str) -> None:
    """Key by key and type by type, for each kind of order that was recorded."""
    sample = recorded(wire, name)["data"][0]
    assert differences(payloads.stream_order(STREAM_ORDERS[name]), sample) == []


@pytest.mark.parametrize("name", [name for name in STREAM_ORDERS if "stop" in name or "touched" in name])
def test_a_conditional_order_says_the_recorded_words(wire: Path, name: str) -> None:
    """Side, type, direction of the trigger and flags are what the adapter tells the order types by."""
    sample, built = recorded(wire, name)["data"][0], payloads.stream_order(STREAM_ORDERS[name])
    assert {word: built[word] for word in WORDS} == {word: sample[word] for word in WORDS}


@pytest.mark.parametrize("name", ["http_get_orders_realtime_tp_sl", "http_get_orders_history"])
def test_an_order_of_rest_has_the_recorded_shape(wire: Path, name: str) -> None:
    """Of open orders and of the history."""
    sample = recorded(wire, name)["result"]["list"][0]
    assert differences(payloads.rest_order(stop()), sample) == []


def test_an_execution_has_the_recorded_shape(wire: Path) -> None:
    """On the stream (also of an auto-deleveraging) and by REST."""
    done = fill(order())
    for name in ("ws_account_execution", "ws_account_execution_adl"):
        assert differences(payloads.execution(done, 1), recorded(wire, name)["data"][0]) == []
    assert (
        differences(
            payloads.rest_execution(done, 1), recorded(wire, "http_get_executions")["result"]["list"][0]
        )
        == []
    )


def test_a_position_has_the_recorded_shape(wire: Path) -> None:
    """On the stream and by REST, open and flat."""
    for qty in (Decimal("0.5"), Decimal(0)):
        position = Position(LINEAR, qty=qty, entry_price=Decimal(50_000))
        rest = account_payloads.rest_position(position, Decimal(50_500), NOW_NS)
        assert differences(rest, recorded(wire, "http_get_positions")["result"]["list"][0]) == []
        stream = account_payloads.stream_position(position, Decimal(50_500), NOW_NS)
        assert differences(stream, recorded(wire, "ws_account_position")["data"][0]) == []


def test_the_wallet_has_the_recorded_shape(wire: Path) -> None:
    """The coins and the sums, on the stream and by REST."""
    coin = account_payloads.coin_fields(
        "USDT", Balance(Decimal(900), Decimal(100)), Decimal(3), Decimal(10), Decimal(5)
    )
    sample = recorded(wire, "ws_account_wallet")["data"][0]
    totals = account_payloads.wallet_totals(Decimal(1000), Decimal(1000), Decimal(900), Decimal(100))
    assert differences({**totals, "totalPerpUpl": "0", "coin": [coin]}, sample) == []
    rest = {
        **totals,
        "totalPerpUPL": "0",
        "accountType": "UNIFIED",
        "coin": [account_payloads.rest_coin(coin)],
    }
    assert differences(rest, recorded(wire, "http_get_wallet_balance")["result"]["list"][0]) == []


def test_the_key_information_has_the_recorded_shape(wire: Path) -> None:
    """And names the permission to withdraw where the key has it."""
    info = account_payloads.api_key_info(Account(), "2025-10-13T03:20:45Z")
    assert differences(info, recorded(wire, "http_get_user_query_api")["result"]) == []
    assert "Withdraw" not in info["permissions"]["Wallet"]
    info = account_payloads.api_key_info(Account(can_withdraw=True), "2025-10-13T03:20:45Z")
    assert "Withdraw" in info["permissions"]["Wallet"]


def test_instruments_and_fees_have_the_recorded_shape(wire: Path) -> None:
    """Of linear and of spot; the fields of a dated future are empty for a perpetual."""
    sample = recorded(wire, "http_get_instruments_linear")["result"]["list"][0]
    assert differences(market_payloads.linear_instrument(LINEAR), sample) == []
    sample = recorded(wire, "http_get_instruments_spot")["result"]["list"][0]
    assert differences(market_payloads.spot_instrument(SPOT), sample) == []
    assert (
        differences(market_payloads.fee_rate(SPOT), recorded(wire, "http_get_fee_rate")["result"]["list"][0])
        == []
    )


def test_trades_tickers_and_book_have_the_recorded_shape(wire: Path) -> None:
    """Of the public stream and of REST."""
    now_ms = ids.ms(NOW_NS)
    topic = market_payloads.topic_message(
        "publicTrade.BTCUSDT", [market_payloads.stream_trade(LINEAR, TRADE)], now_ms
    )
    assert differences(topic, recorded(wire, "ws_public_trade")) == []
    rest = market_payloads.rest_trade(LINEAR, TRADE)
    assert differences(rest, recorded(wire, "http_get_trades_recent")["result"]["list"][0]) == []
    ticker = market_payloads.stream_ticker(LINEAR, DAY, TOP, now_ms)
    assert differences(ticker, recorded(wire, "ws_ticker_linear")["data"]) == []
    book = market_payloads.topic_message("orderbook.1.BTCUSDT", market_payloads.book(LINEAR, TOP, 3), now_ms)
    assert differences(book, recorded(wire, "ws_orderbook_snapshot")) == []
    row = market_payloads.funding_row(LINEAR, now_ms)
    assert differences(row, recorded(wire, "http_get_funding_history")["result"]["list"][0]) == []


def test_ids_come_back_as_the_number_they_were_made_of() -> None:
    """UUIDs of linear, 19 digits of spot; a foreign id is refused."""
    for market in (LINEAR, SPOT):
        wire_id = ids.order_id(order(market=market))
        assert ids.order_number(wire_id) == 21
    assert len(ids.order_id(order(market=SPOT))) == 19
    for foreign in ("12", "00000000-0000-0000-0000-000000000001", "no id"):
        with pytest.raises(ValueError):
            ids.order_number(foreign)


@pytest.mark.parametrize("step", ["0.10", "0.5", "0.000001", "1", "10", "0.25"])
def test_steps_are_written_as_the_decimals_of_their_increment(step: str) -> None:
    """The quick way of the tape writes what the exact way writes."""
    for steps in (0, 1, 9, 10, 123_456):
        assert ids.steps_text(steps, Decimal(step)) == ids.on_grid(steps * Decimal(step), Decimal(step))


def test_trade_ids_say_nothing_about_the_order_of_trades() -> None:
    """Like the venue's: all different, and sorting them is not the order of the trades."""
    made = [ids.trade_id(number) for number in range(1, 200)]
    assert len(set(made)) == len(made)
    assert sorted(made) != made
    assert {str(UUID(one)) for one in made} == set(made)


BY_USER, TOOK = "EC_PerCancelRequest", "EC_PostOnlyWillTakeLiquidity"
PART = Decimal("0.001")
ENDINGS = {
    "cancelled by its owner": (order(status="CANCELED"), "Cancelled", BY_USER),
    "post-only that would take": (order(status="REJECTED", reason="would_take"), "Cancelled", TOOK),
    "conditional before its trigger": (stop(status="CANCELED"), "Deactivated", BY_USER),
    "spot with fills": (
        order(market=SPOT, status="CANCELED", filled_qty=PART),
        "PartiallyFilledCanceled",
        BY_USER,
    ),
    "working": (order(), "New", "EC_NoError"),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_the_end_of_an_order_is_told_in_bybits_words(case: str) -> None:
    """The reason decides status, cancelType and rejectReason."""
    ended, status, reason = ENDINGS[case]
    built = payloads.stream_order(ended)
    assert (built["orderStatus"], built["rejectReason"]) == (status, reason)
