"""A limit that waited long enough becomes a market order: what filled meanwhile is counted first."""

from dataclasses import replace
from decimal import Decimal

import pytest

from strategies.trade_manager.lifecycle import Stage
from strategies.trade_manager.orders import Cancel, Leg, OrderKind
from tests.unit.test_protection_of_setups import LONG, SHORT, Desk

D = Decimal
HYBRIDS = {1: replace(LONG, entry_kind="hybrid"), -1: replace(SHORT, entry_kind="hybrid")}
PRICES = {1: "102.95", -1: "107.05"}


def waiting(direction: int) -> Desk:
    """Return a desk whose limit rests."""
    desk = Desk(plan=HYBRIDS[direction])
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    return desk


def to_market(desk: Desk, qty: str = "10") -> None:
    """Ask for what is missing at market."""
    market = replace(desk.setup.plan, entry_kind="market", qty=D(qty))
    desk.take(desk.setup.enter_at_market(market, 1))


def entries(desk: Desk) -> list[tuple[OrderKind, Decimal]]:
    """Return kind and quantity of all entries sent."""
    return [(one.order.kind, one.order.qty) for one in desk.submits if one.order.leg is Leg.ENTRY]


@pytest.mark.parametrize("direction", [1, -1])
def test_nothing_filled_all_goes_to_market_once_the_limit_is_gone(direction: int) -> None:
    """The market order waits for the confirmation; the limit may take, it is not post-only."""
    desk = waiting(direction)
    assert desk.submits[0].post_only is False
    to_market(desk, "8")
    assert isinstance(desk.requests[-1], Cancel)
    assert len(entries(desk)) == 1
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.ENTRY), 2))
    assert entries(desk) == [(OrderKind.LIMIT, D(10)), (OrderKind.MARKET, D(8))]
    desk.fill(Leg.ENTRY, "8", PRICES[direction])
    assert desk.setup.stage is Stage.PROTECTED
    assert desk.alive(Leg.STOP) == [D(8)]


@pytest.mark.parametrize("direction", [1, -1])
def test_what_filled_before_is_taken_off(direction: int) -> None:
    """Four of ten filled: six more at market, and the stop covers both."""
    desk = waiting(direction)
    desk.fill(Leg.ENTRY, "4", PRICES[direction])
    to_market(desk)
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.ENTRY), 2))
    assert entries(desk)[1] == (OrderKind.MARKET, D(6))
    assert desk.setup.stage is Stage.PARTIAL
    desk.fill(Leg.ENTRY, "6", PRICES[direction])
    assert desk.setup.position_qty == 10
    desk.accept(Leg.STOP)
    assert D(10) in desk.alive(Leg.STOP)


@pytest.mark.parametrize("direction", [1, -1])
def test_what_fills_while_the_limit_is_withdrawn_is_taken_off(direction: int) -> None:
    """Seven fill between request and confirmation: three at market."""
    desk = waiting(direction)
    to_market(desk)
    desk.fill(Leg.ENTRY, "7", PRICES[direction])
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.ENTRY), 2))
    assert entries(desk)[1:] == [(OrderKind.MARKET, D(3))]


def test_all_filled_while_the_limit_is_withdrawn_sends_nothing() -> None:
    """The cancel lost the race: there is no rest."""
    desk = waiting(1)
    to_market(desk)
    desk.fill(Leg.ENTRY, "10", PRICES[1])
    desk.take(desk.setup.on_cancel_refused(desk.id_of(Leg.ENTRY), 2))
    assert len(entries(desk)) == 1
    assert desk.setup.stage is Stage.PROTECTED


def test_a_rest_below_the_smallest_order_is_left() -> None:
    """Ten cents of notional are no order."""
    desk = Desk(plan=HYBRIDS[1], min_notional=50)
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    desk.fill(Leg.ENTRY, "9.9", PRICES[1])
    to_market(desk)
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.ENTRY), 2))
    assert len(entries(desk)) == 1
    assert desk.setup.stage is Stage.PROTECTED


def test_a_stop_that_fills_first_ends_the_wish_for_more() -> None:
    """The position is gone before the cancellation is confirmed: no second entry."""
    desk = waiting(1)
    desk.fill(Leg.ENTRY, "4", PRICES[1])
    to_market(desk)
    desk.fill(Leg.STOP, "4", "99.90")
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.ENTRY), 3))
    assert len(entries(desk)) == 1
    assert not desk.setup.is_in_position
