"""Spot: a sale of which nobody knows the outcome is asked about until the venue's word, never sent again.

Coins of a spot account may be anybody's: a second sale finds some that are not the setup's, and fills.
"""

from decimal import Decimal

import pytest

from strategies.protection import NEVER_ARRIVED, AccountKind
from strategies.trade_manager.lifecycle import Stage
from strategies.trade_manager.orders import Cancel, Fill, Leg
from strategies.trade_manager.setup_rules import ExitRules
from tests.unit.test_protection_of_setups import NANOS, Desk, entered

MS = NANOS // 1000
RULES = ExitRules()
# Long after every deadline: question, second question, and more.
LATER_NS = [round(secs * NANOS) for secs in (0.6, 11, 22, 33, 600)]
SALES = pytest.mark.parametrize("leg", [Leg.EXIT, Leg.TARGET])


def leaving(leg: Leg, account: AccountKind = "cash", *, is_real: bool = True) -> tuple[Desk, str]:
    """Return a desk whose sale is on its way to the venue since 2 ns, and that order's id."""
    desk = entered(account)
    desk.setup.asks_about_entry = is_real
    desk.accept(Leg.STOP)
    desk.take(desk.setup.close("manual", 1) if leg is Leg.EXIT else desk.setup.on_price(1, 110.0))
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.STOP), 2))
    return desk, desk.id_of(leg)


def sold(desk: Desk) -> list[str]:
    """Return the orders that sell at once, in the order in which they were sent."""
    return [one.order.client_id for one in desk.submits if one.order.leg in (Leg.EXIT, Leg.TARGET)]


def pass_time(desk: Desk) -> None:
    """Let deadline after deadline come."""
    for ts_ns in LATER_NS:
        desk.take(desk.setup.on_deadline(ts_ns))


@SALES
def test_a_spot_sale_of_unknown_outcome_is_never_sent_again_by_time(leg: Leg) -> None:
    """The venue answered 503, its stream and its answers to questions are late: it may have sold."""
    desk, first = leaving(leg)
    desk.take(desk.setup.on_unanswered(first, 10 * MS))
    pass_time(desk)
    assert sold(desk) == [first]
    assert set(desk.queried) == {first}
    assert len(desk.queried) > len(LATER_NS) - 1, "asked over and over"
    desk.fill(leg, "10", "110.00")
    assert desk.setup.is_closed
    assert [one.qty for one in desk.trades] == ["10"]


@SALES
def test_a_cut_sends_no_spot_sale_again_either(leg: Leg) -> None:
    """Nobody complained, nobody answered: that is no other thing."""
    desk, first = leaving(leg)
    pass_time(desk)
    assert sold(desk) == [first]
    assert set(desk.queried) == {first}


@SALES
def test_the_venues_word_that_it_never_arrived_sends_it_once_more(leg: Leg) -> None:
    """`runtime.live.unknown_orders` gives it after ten seconds and two answers at the earliest."""
    desk, first = leaving(leg)
    desk.take(desk.setup.on_unanswered(first, 10 * MS))
    desk.take(desk.setup.on_rejected(first, NEVER_ARRIVED, 12 * NANOS, due_post_only=False))
    assert sold(desk) == [first, desk.id_of(leg)]
    assert desk.alive(leg) == [Decimal(10)]


def test_the_watchdog_sends_no_sale_beside_a_target_that_may_have_sold() -> None:
    """It may shout. When the target reports that it rests it is withdrawn, and the rest leaves at market."""
    desk, target = leaving(Leg.TARGET)
    desk.take(desk.setup.on_unanswered(target, 10 * MS))
    for ts_ns in LATER_NS:
        desk.take(desk.setup.close_unprotected(ts_ns))
    assert sold(desk) == [target]
    desk.take(desk.setup.on_accepted(target, 601 * NANOS))
    assert isinstance(desk.requests[-1], Cancel)
    desk.take(desk.setup.on_canceled(target, 602 * NANOS))
    assert sold(desk) == [target, desk.id_of(Leg.EXIT)]


def test_the_watchdog_sends_no_sale_beside_one_at_market() -> None:
    """As it always was."""
    desk, first = leaving(Leg.EXIT)
    for ts_ns in LATER_NS:
        desk.take(desk.setup.close_unprotected(ts_ns))
    assert sold(desk) == [first]


def test_a_reduce_only_exit_is_sent_again_quickly() -> None:
    """Two of them close no more than there is."""
    desk = entered("margin")
    desk.setup.asks_about_entry = True
    for leg in (Leg.STOP, Leg.TARGET):
        desk.accept(leg)
    desk.take(desk.setup.close("manual", 1))
    first = desk.id_of(Leg.EXIT)
    desk.take(desk.setup.on_unanswered(first, 10 * MS))
    desk.take(desk.setup.on_deadline(600 * MS))
    assert desk.id_of(Leg.EXIT) != first


def test_a_backtest_does_without_what_its_venue_lost() -> None:
    """Nobody could be asked there, and nobody else's coins are in its account."""
    desk, first = leaving(Leg.EXIT, is_real=False)
    pass_time(desk)
    assert desk.id_of(Leg.EXIT) != first


# -- more closed than held ---------------------------------------------------------------------------------


def test_a_sale_beyond_the_position_is_said_and_taken_out_of_the_books() -> None:
    """It arrived after the venue had denied it twice: the setup ends, the desk halts."""
    desk, first = leaving(Leg.EXIT)
    desk.take(desk.setup.on_rejected(first, NEVER_ARRIVED, 12 * NANOS, due_post_only=False))
    desk.now_ns = 13 * NANOS
    desk.fill(Leg.EXIT, "10", "103.00")
    assert desk.setup.is_closed
    desk.fill(Leg.EXIT, "10", "103.10", client_id=first)
    assert desk.setup.stage is Stage.CLEARING
    assert desk.halts == []
    due_ns = desk.setup.deadline_ns
    assert due_ns == desk.now_ns + RULES.answer_secs * NANOS
    desk.take(desk.setup.on_deadline(due_ns))
    assert desk.setup.is_closed
    assert desk.setup.position_qty == 0
    (note,) = [one for one in desk.notes if one.kind == "external"]
    assert (note.reason, note.qty, note.price) == ("surplus", Decimal(10), Decimal("103.10"))
    assert [one.reason for one in desk.halts] == [
        "10 more were closed than was held: look at the venue, then rearm"
    ]
    assert [one.qty for one in desk.trades] == ["10"]
    assert sum(one.dust_qty for one in desk.finished) == 0, "the next trade begins without it"


def test_a_surplus_of_the_trade_itself_is_not_its_profit() -> None:
    """Both sales report before either is final: the trade has its own coins at their average price."""
    desk, first = leaving(Leg.EXIT)
    desk.take(desk.setup.on_rejected(first, NEVER_ARRIVED, 12 * NANOS, due_post_only=False))
    desk.fill(Leg.EXIT, "4", "103.00")
    desk.fill(Leg.EXIT, "10", "104.00", client_id=first)
    desk.fill(Leg.EXIT, "6", "103.00")
    desk.take(desk.setup.on_deadline(desk.setup.deadline_ns))
    (trade,) = desk.trades
    assert (trade.qty, trade.exit_price, trade.dust_qty) == ("10", "103.5", "0")
    assert Decimal(trade.pnl) == 10 * (Decimal("103.5") - Decimal("102.95"))


def test_the_fee_of_a_stranger_s_surplus_is_in_no_later_trade() -> None:
    """A sale that arrives after all is over leaves no coins behind, and nothing that they would count for."""
    desk, first = leaving(Leg.EXIT)
    desk.take(desk.setup.on_rejected(first, NEVER_ARRIVED, 12 * NANOS, due_post_only=False))
    desk.now_ns = 13 * NANOS
    desk.fill(Leg.EXIT, "10", "103.00")
    late = Fill(desk.now_ns, "late", Decimal(10), Decimal("103.10"), Decimal("1.03"), Decimal(0))
    desk.take(desk.setup.on_filled(first, late))
    desk.take(desk.setup.on_deadline(desk.setup.deadline_ns))
    assert [(one.dust_qty, one.dust_value) for one in desk.finished][-1] == (0, 0)


def test_an_entry_fill_that_is_reported_late_is_no_surplus() -> None:
    """The venue sold what it had bought and not told yet: the wait ends with that report."""
    desk = Desk()
    desk.setup.asks_about_entry = True
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    desk.fill(Leg.ENTRY, "4", "102.95")
    first = desk.id_of(Leg.STOP)
    desk.fill(Leg.STOP, "4", "99.90")
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.TARGET), 1))
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.ENTRY), 1))
    assert desk.setup.is_closed
    desk.fill(Leg.STOP, "1", "99.90", client_id=first)
    assert desk.setup.stage is Stage.CLEARING
    desk.fill(Leg.ENTRY, "1", "102.95", client_id=desk.id_of(Leg.ENTRY))
    assert desk.setup.is_closed
    assert (desk.halts, desk.setup.position_qty) == ([], 0)
