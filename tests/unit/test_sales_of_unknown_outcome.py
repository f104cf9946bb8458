"""Spot: a sale of which nobody knows the outcome is asked about until the venue's word, never sent again.

Coins of a spot account may be anybody's: a second sale finds some that are not the setup's, and fills.
"""

from decimal import Decimal

import pytest

from strategies.protection import NEVER_ARRIVED, AccountKind
from strategies.trade_manager.orders import Cancel, Leg
from tests.unit.test_protection_of_setups import NANOS, Desk, entered

MS = NANOS // 1000
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
