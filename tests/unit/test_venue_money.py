"""The local exchange moves money exactly: locks, fees in their currency, positions, margin, reduce-only."""

from decimal import Decimal
from typing import Any

import pytest

from tests.venue_desk import Desk, fills_of, plain
from tests.venue_simulator.core import VenueRefusal, VenueRules
from tests.venue_simulator.core.terms import cut

RATES = {"maker_rate": Decimal("0.0002"), "taker_rate": Decimal("0.00075")}
LINEAR: dict[str, Any] = {"kind": "linear", **RATES}


def test_buy_pays_its_fee_in_base() -> None:
    """A spot buy gets less than it bought."""
    desk = Desk(**RATES)
    desk.prints("sell 1 @ 100")
    desk.place("buy 3 @ 99.9")
    assert desk.balance("USDT") == ("9700.3", "299.7")
    desk.prints("sell 1 @ 99.9")
    assert (desk.balance("USDT"), desk.balance("XYZ")) == (("9700.3", "199.8"), ("100.9998", "0"))
    fill = desk.exchange.fills[0]
    assert (plain(fill.fee), fill.fee_asset) == ("0.0002", "XYZ")


def test_sell_pays_its_fee_in_quote() -> None:
    """A spot sell gets less money."""
    desk = Desk(**RATES)
    desk.prints("buy 1 @ 100")
    desk.place("sell 2")
    fill = desk.exchange.fills[0]
    assert (plain(fill.fee), fill.fee_asset) == ("0.14985", "USDT")  # 2 x 99.9 x 0.00075
    assert (desk.balance("USDT"), desk.balance("XYZ")) == (("10199.65015", "0"), ("98", "0"))


@pytest.mark.parametrize(
    ("amount", "expected"), [("0.123456789", "0.12345678"), ("-0.123456789", "-0.12345678")]
)
def test_fee_is_cut_off_after_eight_decimals(amount: str, expected: str) -> None:
    """The last unit is never rounded up, neither a fee's nor a rebate's."""
    assert cut(Decimal(amount), 8) == Decimal(expected)


def test_better_price_frees_the_difference() -> None:
    """A limit order that takes below its price gives back what it locked too much."""
    desk = Desk(**RATES)
    desk.prints("buy 1 @ 100")
    desk.place("buy 3 @ 110")
    assert desk.balance("USDT") == ("9700", "0")


def test_cancel_gives_back_what_is_left() -> None:
    """After a partial fill only the rest is free again."""
    desk = Desk()
    desk.prints("sell 1 @ 100")
    desk.place("sell 5 @ 101", client_id="a")
    desk.prints("buy 2 @ 101")
    assert desk.balance("XYZ") == ("95", "3")
    desk.exchange.cancel(client_id="a")
    assert desk.balance("XYZ") == ("98", "0")


@pytest.mark.parametrize("text", ["buy 101 @ 100", "sell 100.01 @ 101", "sell 100.01", "buy 100.2"])
def test_more_than_there_is_cannot_be_ordered(text: str) -> None:
    """Nothing is locked and no order exists when the balance does not suffice."""
    desk = Desk()
    desk.prints("buy 1 @ 99.9")
    with pytest.raises(VenueRefusal, match="insufficient_balance"):
        desk.place(text)
    assert (desk.exchange.orders, desk.balance("USDT"), desk.balance("XYZ")) == (
        {},
        ("10000", "0"),
        ("100", "0"),
    )


def test_two_exits_of_one_holding_cannot_both_stand() -> None:
    """On spot a second full-size exit is refused: the first one has locked the coins."""
    desk = Desk()
    desk.prints("buy 1 @ 100")
    desk.place("sell 100 @ 110")
    with pytest.raises(VenueRefusal, match="insufficient_balance"):
        desk.place("sell 100", type="STOP_LIMIT", stop_price="90", price="89")


def test_stop_that_costs_more_than_it_locked_takes_it_from_the_free_balance() -> None:
    """A stop market buy locks at its stop price; a gap costs the difference, or ends the order."""
    desk = Desk()
    desk.prints("sell 1 @ 100")
    order = desk.place("buy 10", type="STOP_MARKET", stop_price="101")
    assert desk.balance("USDT") == ("8990", "1010")
    desk.prints("buy 1 @ 105")
    assert (fills_of(order), desk.balance("USDT")) == (["10 @ 105"], ("8950", "0"))
    rich = desk.place("buy 80", type="STOP_MARKET", stop_price="110")
    desk.prints("buy 1 @ 120")
    assert (rich.status, rich.reason, desk.balance("USDT")) == (
        "EXPIRED",
        "insufficient_balance",
        ("8950", "0"),
    )


def test_quote_quantity_buys_whole_lots() -> None:
    """A MARKET order by quote quantity spends at most that."""
    desk = Desk(level_qty=Decimal(1))
    desk.prints("buy 1 @ 100")
    order = desk.place("buy 0", quote_qty="150")
    assert fills_of(order) == ["1 @ 100", "0.49 @ 100.1"]


def test_linear_position_opens_grows_shrinks_and_turns() -> None:
    """Entry price is the average; profit comes with what closes; a turn begins anew."""
    desk = Desk(**LINEAR)
    steps = [
        ("buy 2 @ 100", "2", "100", "0"),
        ("buy 2 @ 110", "4", "105", "0"),
        ("sell 1 @ 108", "3", "105", "3"),
        ("sell 5 @ 100", "-2", "100", "-12"),
        ("buy 2 @ 90", "0", "0", "8"),
    ]
    for text, qty, entry, pnl in steps:
        price = text.split()[3]
        desk.prints(f"{'buy' if text.startswith('buy') else 'sell'} 1 @ {price}")
        desk.place(text)
        position = desk.position
        assert (plain(position.qty), plain(position.entry_price), plain(position.realized_pnl)) == (
            qty,
            entry,
            pnl,
        )
    # 10,000 + 8 - 0.00075 x (200 + 220 + 108 + 500 + 180)
    assert desk.balance("USDT") == ("10007.094", "0")


def test_margin_limits_what_can_be_opened() -> None:
    """With ten times leverage 10,000 carry 100,000; orders and positions count."""
    desk = Desk(kind="linear", maker_rate=Decimal(0), taker_rate=Decimal(0))
    desk.prints("buy 1 @ 100")
    desk.place("buy 600 @ 100")
    desk.place("buy 300 @ 99")
    with pytest.raises(VenueRefusal, match="insufficient_margin"):
        desk.place("buy 110 @ 99")
    desk.place("sell 600 @ 110")  # closes: binds nothing


@pytest.mark.parametrize("text", ["buy 1 @ 90", "sell 1 @ 110"])
def test_reduce_only_needs_something_to_reduce(text: str) -> None:
    """A reduce-only order is refused while flat, and on the position's own side."""
    desk = Desk(**LINEAR)
    desk.prints("buy 1 @ 100")
    if text.startswith("buy"):
        desk.place("buy 1 @ 100")
    with pytest.raises(VenueRefusal, match="reduce_only"):
        desk.place(text, reduce_only=True)


def test_reduce_only_fills_no_more_than_the_position() -> None:
    """The excess expires, and so do other reduce-only orders of a flat position."""
    desk = Desk(**LINEAR)
    desk.prints("buy 1 @ 100")
    desk.place("buy 2 @ 100")
    target = desk.place("sell 5 @ 110", reduce_only=True)
    other = desk.place("sell 1 @ 120", reduce_only=True)
    desk.prints("buy 9 @ 110")
    assert (fills_of(target), target.status, other.status) == (["2 @ 110"], "PARTIALLY_FILLED", "EXPIRED")
    desk.prints("buy 9 @ 110")
    assert (target.status, target.reason, plain(desk.position.qty)) == ("EXPIRED", "reduce_only", "0")


def test_close_position_takes_the_size_that_is_there() -> None:
    """A closing stop follows the position and ends with it."""
    desk = Desk(**LINEAR)
    desk.prints("buy 1 @ 100")
    stop = desk.place("sell 0", type="STOP_MARKET", stop_price="95", close_position=True)
    desk.place("buy 2 @ 100")
    desk.place("buy 1 @ 100")
    desk.prints("sell 1 @ 95")
    assert (fills_of(stop), stop.status) == (["3 @ 95"], "FILLED")


def test_closing_by_hand_ends_the_closing_stop() -> None:
    """When the position is closed otherwise, its closing stop is cancelled."""
    desk = Desk(**LINEAR)
    desk.prints("buy 1 @ 100")
    desk.place("buy 2 @ 100")
    stop = desk.place("sell 0", type="STOP_MARKET", stop_price="95", close_position=True)
    desk.place("sell 2")
    assert (stop.status, stop.reason) == ("CANCELED", "position_closed")


def test_closing_stop_may_outlive_the_position() -> None:
    """By rule it stays, and expires when it finds nothing to close."""
    desk = Desk(rules=VenueRules(flat_ends_close_position=False), **LINEAR)
    desk.prints("buy 1 @ 100")
    desk.place("buy 2 @ 100")
    stop = desk.place("sell 0", type="STOP_MARKET", stop_price="95", close_position=True)
    desk.place("sell 2")
    assert stop.is_open
    desk.prints("sell 1 @ 95")
    assert (stop.status, stop.reason) == ("EXPIRED", "reduce_only")


def test_entry_brings_its_stop_and_its_target() -> None:
    """The exits that an entry carries appear with its first fill; one of them ends the other."""
    desk = Desk(**LINEAR)
    desk.prints("buy 1 @ 100.1")
    entry = desk.place("buy 2 @ 99", take_profit="103", stop_loss="97")
    assert [order.type for order in desk.exchange.open_orders()] == ["LIMIT"]
    desk.prints("sell 1 @ 99")
    exits = [order for order in desk.exchange.open_orders() if order is not entry]
    assert [(order.type, order.parent_id) for order in exits] == [
        ("STOP_MARKET", entry.order_id),
        ("TAKE_PROFIT_MARKET", entry.order_id),
    ]
    desk.prints("sell 5 @ 99", "buy 1 @ 103")
    assert [order.status for order in exits] == ["CANCELED", "FILLED"]
    assert plain(desk.position.qty) == "0"


def test_liquidation_closes_everything() -> None:
    """Orders are cancelled, the position goes at market, and the order says why."""
    desk = Desk(**LINEAR)
    desk.prints("buy 1 @ 100")
    desk.place("buy 2 @ 100")
    resting = desk.place("buy 1 @ 90")
    closed = desk.exchange.close_by_force("main", "XYZUSDT", "liquidation")
    assert (resting.reason, fills_of(closed), closed.extra) == (
        "liquidation",
        ["2 @ 99.9"],
        {"origin": "liquidation"},
    )
    assert closed.client_id.startswith("autoclose-")
