"""A node dies at any moment and another one goes on: the position is known and protected, nothing doubled."""

import random
from decimal import Decimal

import pytest

from strategies.protection import AccountKind
from strategies.trade_manager import setup_state
from strategies.trade_manager.catch_up import VenueOrder, catch_up, orphans
from strategies.trade_manager.lifecycle import IN_POSITION, Stage
from strategies.trade_manager.orders import Cancel, Change, Fill, Leg, OwnOrder, Submit
from strategies.trade_manager.plan import EntryPlan
from tests.unit.test_protection_of_setups import (
    LONG,
    SHORT,
    ChaoticDesk,
    Desk,
    market_of,
)

D = Decimal
CASES: list[tuple[str, AccountKind, EntryPlan]] = [
    ("BINANCE", "cash", LONG),
    ("BINANCE", "margin", LONG),
    ("BINANCE", "margin", SHORT),
    ("BYBIT", "cash", LONG),
    ("BYBIT", "margin", SHORT),
]


class MortalDesk(ChaoticDesk):
    """A chaotic venue that remembers all orders, in front of a node that may be killed."""

    def __init__(
        self, chance: random.Random, venue: str, account: AccountKind, plan: EntryPlan, *, gives_sums: bool
    ) -> None:
        super().__init__(chance, venue, account, plan)
        self.account: AccountKind = account
        self.known: dict[str, OwnOrder] = {}
        self.fills_of: dict[str, list[Fill]] = {}
        self.gives_sums = gives_sums

    def report(self, client_id: str, name: str, value: object = None) -> None:
        """Remember what is reported."""
        if client_id in self.resting:
            self.known[client_id] = self.resting[client_id]
        if isinstance(value, Fill):
            self.fills_of.setdefault(client_id, []).append(value)
        super().report(client_id, name, value)

    def picture(self) -> dict[str, VenueOrder]:
        """Return what the venue would answer now."""
        return {
            name: VenueOrder(
                client_id=name,
                is_open=name in self.resting,
                qty=own.qty,
                filled_qty=own.filled_qty,
                price=own.price,
                trigger_price=own.trigger_price,
                avg_price=own.price,
                fills=() if self.gives_sums else tuple(self.fills_of.get(name, ())),
                kind=own.kind,
            )
            for name, own in self.known.items()
        }

    def die_and_go_on(self) -> None:
        """Kill the node: reports are lost, and requests that had not arrived; another reads the state."""
        data = setup_state.to_bytes(self.setup)  # as of the last change: it is stored before orders go out
        while self.done < len(self.requests) and self.chance.random() < 0.5:
            self.reach_venue()
        self.done = len(self.requests)
        self.reports.clear()
        state = setup_state.from_bytes(data)
        self.setup = setup_state.restored(
            state, market_of(self.account, 5), self.setup._venue, self.setup._rules
        )
        self.take(catch_up(self.setup, self.picture(), is_complete=True, ts_ns=self.now_ns))
        self.take(self.setup.resume(self.now_ns))


@pytest.mark.parametrize("gives_sums", [False, True], ids=["fills", "sums"])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_after_any_death_the_position_is_known_and_protected(case: int, *, gives_sums: bool) -> None:
    """80 seeded lives with up to three deaths each, at random moments of random reports."""
    venue, account, plan = CASES[case]
    held = 0
    for seed in range(80):
        chance = random.Random(seed)
        desk = MortalDesk(chance, venue, account, plan, gives_sums=gives_sums)
        desk.take(desk.setup.submit(0))
        deaths = {chance.randrange(1, 100) for _ in range(3)}
        for number in range(100):
            desk.step()
            if number in deaths and not desk.setup.is_closed:
                desk.die_and_go_on()
                at_stop = [one for one in desk.requests[desk.done :] if isinstance(one, Submit)]
                resting = [o.qty - o.filled_qty for o in desk.resting.values() if o.leg is not Leg.ENTRY]
                if desk.setup.stage in (Stage.PARTIAL, Stage.PROTECTED) and desk.setup.exitable_qty:
                    assert at_stop or resting, f"seed {seed}: naked after the restart"
                    held += 1
        desk.calm_down()
        setup = desk.setup
        assert setup.position_qty == desk.position, f"seed {seed}"
        for own in setup.orders.values():
            assert own.is_alive == (own.client_id in desk.resting), f"seed {seed}: {own}"
        wanted = setup.exitable_qty if setup.stage in IN_POSITION else D(0)
        if setup.stage in (Stage.PARTIAL, Stage.PROTECTED):
            assert desk.alive(Leg.STOP) == ([wanted] if wanted else []), f"seed {seed}"
        assert {one for one in desk.resting if one not in setup.orders} == set(), f"seed {seed}: orphans"
        ids = [one.order.client_id for one in desk.submits]
        assert len(ids) == len(set(ids)), f"seed {seed}: an id was used twice"
    assert held > 15


def filled_entry() -> tuple[Desk, VenueOrder]:
    """Return a desk whose entry rests, and that entry as the venue filled it while nobody listened."""
    desk = Desk()
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    name = desk.id_of(Leg.ENTRY)
    fill = Fill(5, "t1", D(10), D("102.95"))
    return desk, VenueOrder(name, is_open=False, qty=D(10), filled_qty=D(10), fills=(fill,))


def test_a_fill_that_came_meanwhile_is_protected_first() -> None:
    """F7: killed between the entry's fill and its stop; the first order after the restart is the stop."""
    desk, entry = filled_entry()
    desk.take(catch_up(desk.setup, {entry.client_id: entry}, is_complete=True, ts_ns=9))
    assert len(desk.submits) == 1  # facts alone send nothing
    desk.take(desk.setup.resume(9))
    assert [one.order.leg for one in desk.submits[1:]] == [Leg.STOP, Leg.TARGET]
    assert desk.submits[1].order.qty == D(10)
    assert desk.setup.stage is Stage.PROTECTED


def test_a_stop_that_was_sent_and_forgotten_is_ours_again() -> None:
    """Its id says so: it is not sent a second time, and the next one gets another number."""
    desk, entry = filled_entry()
    stop = VenueOrder(
        entry.client_id[:-2] + "S1", is_open=True, qty=D(10), trigger_price=desk.setup.stop_price
    )
    desk.take(catch_up(desk.setup, {one.client_id: one for one in (entry, stop)}, is_complete=True, ts_ns=9))
    desk.take(desk.setup.resume(9))
    assert [one.order.leg for one in desk.submits[1:]] == [Leg.TARGET]
    desk.take(desk.setup.move_stop(D("101.00"), "trailing", 10))
    assert desk.submits[-1].order.client_id.endswith("-S2")


def test_an_entry_that_may_be_alive_is_not_given_up_before_the_venue_has_said_so() -> None:
    """Sent before the death, in no list yet: it stays in flight, and a complete picture ends it."""
    desk = Desk()
    desk.take(desk.setup.submit(0))
    desk.take(catch_up(desk.setup, {}, is_complete=False, ts_ns=1))
    desk.take(desk.setup.resume(1))
    assert desk.setup.stage is Stage.SUBMITTED
    desk.take(catch_up(desk.setup, {}, is_complete=True, ts_ns=2))
    desk.take(desk.setup.resume(2))
    assert desk.setup.is_closed
    assert len(desk.submits) == 1


def test_a_stop_that_filled_meanwhile_closes_the_setup() -> None:
    """F8: the target that still rests is withdrawn, and the trade is on record."""
    desk, entry = filled_entry()
    desk.take(desk.setup.on_filled(entry.client_id, entry.fills[0]))
    desk.accept(Leg.STOP)
    desk.accept(Leg.TARGET)
    stop, target = desk.id_of(Leg.STOP), desk.id_of(Leg.TARGET)
    fill = Fill(7, "t2", D(10), D("99.80"))
    picture = {
        stop: VenueOrder(stop, is_open=False, qty=D(10), filled_qty=D(10), fills=(fill,)),
        target: VenueOrder(target, is_open=True, qty=D(10), price=D("110.00")),
        entry.client_id: entry,
    }
    desk.take(catch_up(desk.setup, picture, is_complete=True, ts_ns=9))
    desk.take(desk.setup.resume(9))
    assert desk.requests[-1] == Cancel(target)
    desk.take(desk.setup.on_canceled(target, 10))
    (trade,) = desk.trades
    assert (trade.exit_reason, trade.exit_price) == ("stop", "99.8")


def test_what_somebody_else_closed_is_booked_as_external() -> None:
    """F25: half of it by hand, then the rest; exits follow and nothing is sold twice."""
    desk, entry = filled_entry()
    desk.take(desk.setup.on_filled(entry.client_id, entry.fills[0]))
    desk.accept(Leg.STOP)
    desk.accept(Leg.TARGET)
    desk.take(desk.setup.on_external([Fill(9, "x1", D(4), D("101.00"))], 9))
    assert desk.setup.position_qty == D(6)
    assert {one.order.qty for one in desk.submits[-1:]} | {
        one.qty for one in desk.requests if isinstance(one, Change)
    } == {D(6)}
    desk.take(desk.setup.on_external([Fill(10, "x2", D(6), D("100.00"))], 10))
    for name in [one.client_id for one in desk.setup.orders.values() if one.is_alive]:
        desk.take(desk.setup.on_canceled(name, 11))
    if not desk.trades:
        desk.accept(Leg.STOP)
        desk.take(desk.setup.on_canceled(desk.id_of(Leg.STOP), 12))
    (trade,) = desk.trades
    assert trade.exit_reason == "external"


def test_orders_of_no_living_setup_are_orphans() -> None:
    """By the pattern of their ids; those of people and of other programs are none of our business."""
    desk, entry = filled_entry()
    ids = [entry.client_id, "OTE-XYZUSDT-Lgone01-T2", "web_abc", "OTE-OTHER-Lgone01-T2"]
    assert orphans("OTE", "XYZUSDT", [desk.setup], ids) == ["OTE-XYZUSDT-Lgone01-T2"]


def test_a_refused_cancellation_of_an_entry_asks_the_venue() -> None:
    """F6: the event of the fill was lost. Cancelling again would tell nothing, and a position stays naked."""
    desk = Desk()
    desk.setup.asks_about_entry = True
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    desk.take(desk.setup.cancel_entry("superseded", 1))
    asked = desk.setup.on_cancel_refused(desk.id_of(Leg.ENTRY), 2)
    assert [type(one).__name__ for one in asked] == ["Query"]
    desk.fill(Leg.ENTRY, "10", "102.95")
    assert [one.order.leg for one in desk.submits[1:]] == [Leg.STOP, Leg.TARGET]


def test_an_order_nobody_answered_for_is_asked_about_and_not_sent_again() -> None:
    """F9: the venue timed out. It may be alive, so the entry stays; a fill that comes is protected."""
    desk = Desk()
    desk.setup.asks_about_entry = True
    desk.take(desk.setup.submit(0))
    name = desk.id_of(Leg.ENTRY)
    asked = [type(one).__name__ for one in desk.setup.on_unanswered(name, 1)]
    assert asked == ["Query", "Note"]
    for now_ns in range(10**9, 60 * 10**9, 10**9):
        desk.take(desk.setup.on_deadline(now_ns))
    assert len(desk.submits) == 1
    desk.fill(Leg.ENTRY, "10", "102.95")
    assert [one.order.leg for one in desk.submits[1:]] == [Leg.STOP, Leg.TARGET]
