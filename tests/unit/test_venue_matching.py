"""The local exchange matches by price, then time, with a queue ahead; takers pay the touch and slip."""

from decimal import Decimal
from typing import Any

import pytest

from tests.venue_desk import SECOND_NS, Desk, fills_of
from tests.venue_simulator.core import Listener, Market, Trade, VenueRefusal, VenueRules

# level size, trades after the order "buy 2 @ 99.9", what it got
QUEUES = {
    "no queue: a print at its price fills": ("0", ["sell 1 @ 99.9"], ["1 @ 99.9"]),
    "the queue is served first": ("3", ["sell 2 @ 99.9"], []),
    "then what is left of the print": ("3", ["sell 2 @ 99.9", "sell 1.5 @ 99.9"], ["0.5 @ 99.9"]),
    "one print through the queue": ("3", ["sell 4 @ 99.9"], ["1 @ 99.9"]),
    "a print below its price leaves no queue": ("3", ["sell 1 @ 99.8"], ["1 @ 99.9"]),
    "a buyer below its price fills it too": ("3", ["buy 1 @ 99.8"], ["1 @ 99.9"]),
    "a buyer at its price says nothing": ("0", ["buy 5 @ 99.9"], []),
    "never more than was printed": ("0", ["sell 0.3 @ 95", "sell 0.4 @ 95"], ["0.3 @ 99.9", "0.4 @ 99.9"]),
    "never more than it wants": ("0", ["sell 50 @ 99.9"], ["2 @ 99.9"]),
    "a print above its price": ("0", ["sell 5 @ 100"], []),
}


@pytest.mark.parametrize(("level", "trades", "expected"), QUEUES.values(), ids=QUEUES)
def test_resting_order_waits_its_turn(level: str, trades: list[str], expected: list[str]) -> None:
    """A resting order fills at its own price, after those before it, up to the printed size."""
    desk = Desk(level_qty=Decimal(level))
    desk.prints("buy 1 @ 100.1")
    order = desk.place("buy 2 @ 99.9")
    desk.prints(*trades)
    assert fills_of(order) == expected
    assert all(fill.is_maker for fill in order.fills)


def test_sells_mirror_buys() -> None:
    """The ask side has the same queue."""
    desk = Desk(level_qty=Decimal(3))
    desk.prints("sell 1 @ 100")
    order = desk.place("sell 2 @ 100.5")
    desk.prints("buy 3.5 @ 100.5", "sell 9 @ 100.5", "buy 0.5 @ 100.6")
    assert fills_of(order) == ["0.5 @ 100.5", "0.5 @ 100.5"]


def test_better_price_then_earlier_order_is_served_first() -> None:
    """One print goes down the queue: price before time, time before size."""
    desk = Desk()
    desk.prints("buy 1 @ 100.1")
    late = desk.place("buy 1 @ 99.8", client_id="late")
    early = desk.place("buy 1 @ 99.9", client_id="early")
    second = desk.place("buy 1 @ 99.9", client_id="second")
    desk.prints("sell 2.5 @ 99.8")
    assert [fills_of(order) for order in (early, second, late)] == [
        ["1 @ 99.9"],
        ["1 @ 99.9"],
        ["0.5 @ 99.8"],
    ]


def test_two_orders_of_one_price_share_the_queue_before_them() -> None:
    """Others that stand before the first stand before the second only once."""
    desk = Desk(level_qty=Decimal(3))
    desk.prints("buy 1 @ 100.1")
    first = desk.place("buy 1 @ 99.9")
    desk.prints("sell 2 @ 99.9")  # one of the three is left before `first`, three stand before the newcomer
    second = desk.place("buy 1 @ 99.9")
    desk.prints("sell 3 @ 99.9")  # one to the others, one to `first`, one more to the others
    assert fills_of(first) == ["1 @ 99.9"]
    assert (fills_of(second), second.queue_ahead) == ([], Decimal(1))


# level size, order, last trade "buy 1 @ 100" (so the touch is 99.9 / 100), fills, status
TAKERS: dict[str, tuple[str, str, dict[str, Any], list[str], str]] = {
    "market buys at the ask": ("0", "buy 3", {}, ["3 @ 100"], "FILLED"),
    "market sells at the bid": ("0", "sell 3", {}, ["3 @ 99.9"], "FILLED"),
    "a level more costs a tick": ("2", "buy 5", {}, ["2 @ 100", "2 @ 100.1", "1 @ 100.2"], "FILLED"),
    "a crossing limit takes and rests": (
        "2",
        "buy 5 @ 100.1",
        {},
        ["2 @ 100", "2 @ 100.1"],
        "PARTIALLY_FILLED",
    ),
    "IOC takes and expires": ("2", "buy 5 @ 100", {"tif": "IOC"}, ["2 @ 100"], "EXPIRED"),
    "IOC without anybody": ("2", "buy 5 @ 99.9", {"tif": "IOC"}, [], "EXPIRED"),
    "FOK takes all": ("2", "buy 4 @ 100.1", {"tif": "FOK"}, ["2 @ 100", "2 @ 100.1"], "FILLED"),
    "FOK takes nothing rather than a part": ("2", "buy 5 @ 100.1", {"tif": "FOK"}, [], "EXPIRED"),
}


@pytest.mark.parametrize(("level", "text", "options", "expected", "status"), TAKERS.values(), ids=TAKERS)
def test_taker_gets_the_touch_and_slips(
    level: str, text: str, options: dict[str, Any], expected: list[str], status: str
) -> None:
    """A taker pays the touch for one level's size and a tick more for each further one."""
    desk = Desk(level_qty=Decimal(level))
    desk.prints("buy 1 @ 100")
    order = desk.place(text, **options)
    assert (fills_of(order), order.status) == (expected, status)
    assert not any(fill.is_maker for fill in order.fills)


def test_rest_of_a_crossing_limit_is_first_in_its_queue() -> None:
    """What remains of an order that has taken a level stands alone at its price."""
    desk = Desk(level_qty=Decimal(2))
    desk.prints("buy 1 @ 100")
    order = desk.place("buy 3 @ 100")
    desk.prints("sell 1 @ 100")
    assert fills_of(order) == ["2 @ 100", "1 @ 100"]


def test_market_order_without_a_market_expires() -> None:
    """Before the first trade nobody is there."""
    assert Desk().place("sell 1").status == "EXPIRED"


@pytest.mark.parametrize("text", ["buy 1 @ 100", "buy 1 @ 101", "sell 1 @ 99.9", "sell 1 @ 99"])
def test_post_only_order_never_takes(text: str) -> None:
    """A post-only order at or beyond the touch is refused and leaves no trace."""
    desk = Desk()
    desk.prints("buy 1 @ 100")
    with pytest.raises(VenueRefusal, match="would_take"):
        desk.place(text, tif="GTX")
    assert (desk.exchange.orders, desk.balance("USDT")) == ({}, ("10000", "0"))


def test_post_only_order_may_be_kept_as_rejected() -> None:
    """By rule the order exists, REJECTED, for a stream to report."""
    desk = Desk(rules=VenueRules(keeps_would_take=True))
    desk.prints("buy 1 @ 100")
    order = desk.place("buy 1 @ 100", tif="GTX", client_id="a")
    assert (order.status, order.reason) == ("REJECTED", "would_take")
    assert desk.recorder.lines[1:] == ["REJECTED a"]


def test_order_expires_at_its_time() -> None:
    """A GTD order ends when its time has come and not before."""
    desk = Desk()
    order = desk.place("buy 1 @ 99", tif="GTD", expire_ns=desk.clock.now_ns() + SECOND_NS)
    desk.clock.time_ns += SECOND_NS - 1
    desk.exchange.expire_due()
    assert order.is_open
    desk.clock.time_ns += 1
    desk.exchange.expire_due()
    assert (order.status, desk.balance("USDT")) == ("EXPIRED", ("10000", "0"))


# order, type, stop price, limit price, trades that do nothing, trade that triggers, fills
STOP, STOP_LIMIT, TARGET = "STOP_MARKET", "STOP_LIMIT", "TAKE_PROFIT_MARKET"
TRIGGERS: dict[str, tuple[str, str, str, str, list[str], str, list[str]]] = {
    "stop of a long": ("sell 1", STOP, "99", "", ["sell 1 @ 99.1"], "sell 1 @ 99", ["1 @ 99"]),
    "a gap fills where it lands": ("sell 1", STOP, "99", "", [], "sell 1 @ 97", ["1 @ 97"]),
    "stop of a short": ("buy 1", STOP, "101", "", ["buy 1 @ 100.9"], "buy 1 @ 101", ["1 @ 101"]),
    "target of a long": ("sell 1", TARGET, "101", "", ["buy 1 @ 100.9"], "buy 1 @ 101", ["1 @ 100.9"]),
    "target of a short": ("buy 1", TARGET, "99", "", ["sell 1 @ 99.1"], "sell 1 @ 99", ["1 @ 99.1"]),
    "stop limit takes up to its price": (
        "sell 1",
        STOP_LIMIT,
        "99",
        "98.5",
        [],
        "sell 1 @ 98.8",
        ["1 @ 98.8"],
    ),
    "stop limit rests beyond it": ("sell 1", STOP_LIMIT, "99", "98.5", [], "sell 1 @ 98", []),
}


@pytest.mark.parametrize(
    ("text", "kind", "stop", "price", "calm", "trigger", "expected"), TRIGGERS.values(), ids=TRIGGERS
)
def test_last_price_triggers_a_conditional_order(
    text: str, kind: str, stop: str, price: str, calm: list[str], trigger: str, expected: list[str]
) -> None:
    """A conditional order sleeps until the last price reaches its stop price, then works at once."""
    desk = Desk()
    desk.prints("buy 1 @ 100")
    order = desk.place(text, type=kind, stop_price=stop, **({"price": price} if price else {}))
    desk.prints(*calm)
    assert order.status == "UNTRIGGERED"
    desk.prints(trigger)
    assert (fills_of(order), order.is_open) == (expected, not expected)


@pytest.mark.parametrize(("text", "stop"), [("sell 1", "100"), ("sell 1", "101"), ("buy 1", "100")])
def test_stop_that_would_trigger_at_once_is_refused(text: str, stop: str) -> None:
    """A stop at or beyond the last price is a mistake."""
    desk = Desk()
    desk.prints("buy 1 @ 100")
    with pytest.raises(VenueRefusal, match="would_trigger"):
        desk.place(text, type="STOP_MARKET", stop_price=stop)


def test_events_come_in_order() -> None:
    """The print comes first, then the order, then the money."""
    desk = Desk()
    desk.prints("buy 1 @ 100")
    desk.place("buy 1 @ 99", client_id="a")
    desk.prints("sell 0.4 @ 99")
    desk.exchange.cancel(client_id="a")
    assert desk.recorder.lines == [
        "print 1.00@100.0",
        "NEW a",
        "ORDER USDT",
        "print 0.40@99.0",
        "TRADE a 0.40@99",
        "ORDER XYZ,USDT",
        "CANCELED a",
        "ORDER USDT",
    ]


def test_printed_trades_move_the_ids_of_the_tape() -> None:
    """Trade ids stay without gap or repetition when a test prints trades between those of a tape."""

    class Ids(Listener):
        def __init__(self) -> None:
            self.ids: list[int] = []

        def on_trades(self, market: Market, trades: Any) -> None:
            self.ids.extend(trade.trade_id for trade in trades)

    desk, ids = Desk(), Ids()
    desk.exchange.add_listener(ids)
    desk.exchange.on_trades(desk.market, [Trade(7, 1000, 5, True, 1), Trade(8, 1000, 5, True, 2)])
    desk.prints("buy 1 @ 100", "buy 1 @ 100")
    desk.exchange.on_trades(desk.market, [Trade(9, 1000, 5, True, 3)])
    assert ids.ids == [7, 8, 9, 10, 11]
