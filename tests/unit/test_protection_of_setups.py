"""A setup against a scripted venue: reports late, twice and out of order, refusals, and random chaos.

`Desk` is a venue without time: it holds orders, sends reports into a queue, and a test (or chance) decides
when, in which order, and how often they arrive.
"""

import random
from decimal import Decimal

import pytest

from strategies.protection import VENUES, AccountKind
from strategies.trade_manager.lifecycle import IN_POSITION, Stage
from strategies.trade_manager.orders import (
    Action,
    AskBalance,
    Cancel,
    Change,
    Fill,
    Finished,
    Halt,
    Leg,
    Note,
    OrderKind,
    OrderStage,
    OwnOrder,
    Query,
    Submit,
)
from strategies.trade_manager.plan import EntryPlan, Market
from strategies.trade_manager.record import ClosedTrade
from strategies.trade_manager.setup import Setup
from strategies.trade_manager.setup_rules import ExitRules, Identity

D = Decimal
LONG = EntryPlan(1, D("102.95"), D("99.90"), D("110.00"), D(10), 1, 100.0, 110.0)
SHORT = EntryPlan(-1, D("107.05"), D("110.11"), D("100.00"), D(10), 1, 100.0, 110.0)
IDENTITY = Identity("OTE", "XYZUSDT", "S-1", "XYZUSDT.BINANCE", "Lx")
NANOS = 1_000_000_000


def market_of(account: AccountKind, min_notional: int) -> Market:
    """Return an instrument with tick 0.01 and lot 0.1."""
    return Market(
        tick_size=D("0.01"),
        lot_size=D("0.1"),
        min_qty=D("0.1"),
        min_notional=D(min_notional),
        maker_fee=D("0.001"),
        taker_fee=D("0.001"),
        shorts=account == "margin",
        target_rests=account == "margin",
        exits_need_notional=account == "cash",
    )


class Desk:
    """A setup and the venue it talks to.

    Parameters
    ----------
    venue, account
        Row of the capability table.
    plan
        The intended trade.
    rules
        Settings of the exits.
    min_notional
        Of the instrument.
    """

    def __init__(
        self,
        venue: str = "BINANCE",
        account: AccountKind = "margin",
        plan: EntryPlan = LONG,
        rules: ExitRules | None = None,
        min_notional: int = 5,
    ) -> None:
        self.row = VENUES[venue, account]
        self.setup = Setup(IDENTITY, plan, market_of(account, min_notional), self.row, rules or ExitRules())
        self.now_ns = 0
        self.resting: dict[str, OwnOrder] = {}  # what the venue has, in its own words
        self.submits: list[Submit] = []
        self.requests: list[Submit | Cancel | Change] = []
        self.position = D(0)
        self.notes: list[Note] = []
        self.finished: list[Finished] = []
        self.halts: list[Halt] = []
        self.balances_asked = 0
        self.queried: list[str] = []
        self.fills = 0

    @property
    def trades(self) -> list[ClosedTrade]:
        """Return the recorded trades."""
        return [one.trade for one in self.finished if one.trade is not None]

    def take(self, actions: list[Action] | None) -> None:
        """Sort the setup's actions."""
        for action in actions or ():
            match action:
                case Submit():
                    self.submits.append(action)
                    self.requests.append(action)
                case Cancel() | Change():
                    self.requests.append(action)
                case Note():
                    self.notes.append(action)
                case Finished():
                    self.finished.append(action)
                case Halt():
                    self.halts.append(action)
                case AskBalance():
                    self.balances_asked += 1
                case Query(client_id):
                    self.queried.append(client_id)

    def id_of(self, leg: Leg) -> str:
        """Return the newest order of a leg."""
        return [one.order.client_id for one in self.submits if one.order.leg is leg][-1]

    def accept(self, leg: Leg) -> None:
        """Report that the newest order of a leg rests."""
        self.take(self.setup.on_accepted(self.id_of(leg), self.now_ns))

    def fill(
        self, leg: Leg, qty: str, price: str, *, client_id: str | None = None, base_fee: str = "0"
    ) -> Fill:
        """Report a fill of the newest order of a leg (or of another one)."""
        self.fills += 1
        fill = Fill(self.now_ns, f"t{self.fills}", D(qty), D(price), D(0), D(base_fee))
        self.take(self.setup.on_filled(client_id or self.id_of(leg), fill))
        return fill

    def alive(self, leg: Leg) -> list[Decimal]:
        """Return what the living orders of a leg can still fill."""
        return [one.leaves_qty for one in self.setup.orders.values() if one.leg is leg and one.is_alive]


def entered(account: AccountKind = "margin", qty: str = "10", venue: str = "BINANCE") -> Desk:
    """Return a desk whose entry has filled by this much."""
    desk = Desk(venue, account)
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    desk.fill(Leg.ENTRY, qty, "102.95")
    return desk


def test_a_fill_before_its_acknowledgement_is_protected_at_once() -> None:
    """F4: the acknowledgement comes later and changes nothing."""
    desk = Desk()
    desk.take(desk.setup.submit(0))
    desk.fill(Leg.ENTRY, "4", "102.95")
    assert desk.alive(Leg.STOP) == desk.alive(Leg.TARGET) == [D(4)]
    desk.accept(Leg.ENTRY)
    assert desk.setup.stage is Stage.PARTIAL
    assert len(desk.submits) == 3


def test_the_same_fill_reported_twice_counts_once() -> None:
    """F3: the venue repeats itself after a reconnect."""
    desk = entered(qty="4")
    again = Fill(0, "t1", D(4), D("102.95"))
    desk.take(desk.setup.on_filled(desk.id_of(Leg.ENTRY), again))
    assert desk.setup.position_qty == 4
    assert desk.alive(Leg.STOP) == [D(4)]


def test_a_fill_after_the_cancellation_was_confirmed_is_closed_at_market() -> None:
    """F4: the setup was over; the position that appears is not wanted, so it is protected by leaving it."""
    desk = Desk()
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    desk.take(desk.setup.cancel_entry("opposed", 1))
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.ENTRY), 2))
    assert desk.setup.is_closed
    desk.fill(Leg.ENTRY, "3", "102.95")
    assert desk.setup.stage is Stage.EXITING
    assert desk.alive(Leg.EXIT) == [D(3)]
    desk.fill(Leg.EXIT, "3", "103.00")
    assert desk.setup.is_closed
    assert desk.trades[0].exit_reason == "late_fill"


def test_a_replaced_entry_that_fills_late_takes_the_new_one_back() -> None:
    """The old entry fills after its cancellation was confirmed: never two entries for one intent."""
    desk = Desk()
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    first = desk.id_of(Leg.ENTRY)
    lower = EntryPlan(1, D("102.00"), D("99.90"), D("110.00"), D(10), 1, 100.0, 110.0)
    desk.take(desk.setup.reprice(lower, 1))
    desk.take(desk.setup.on_canceled(first, 2))
    assert desk.setup.stage is Stage.SUBMITTED
    desk.fill(Leg.ENTRY, "10", "102.95", client_id=first)
    desk.accept(Leg.ENTRY)
    assert isinstance(desk.requests[-1], Cancel)
    assert desk.requests[-1].client_id == desk.id_of(Leg.ENTRY)
    assert desk.alive(Leg.STOP) == [D(10)]


def test_a_refused_cancellation_waits_for_the_fill_and_is_not_repeated_at_once() -> None:
    """F6: "unknown order" means filled; the fill is on its way and the position gets its stop."""
    desk = Desk()
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    desk.take(desk.setup.cancel_entry("superseded", 1))
    requests = len(desk.requests)
    desk.take(desk.setup.on_cancel_refused(desk.id_of(Leg.ENTRY), 2))
    assert len(desk.requests) == requests
    desk.fill(Leg.ENTRY, "10", "102.95")
    assert desk.setup.stage is Stage.PROTECTED
    assert desk.alive(Leg.STOP) == [D(10)]


def test_a_refused_cancellation_of_a_living_entry_is_tried_again() -> None:
    """No fill came: after the retry time the next trade asks again."""
    desk = Desk(rules=ExitRules(retry_secs=1.0))
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    desk.take(desk.setup.cancel_entry("superseded", 1))
    desk.take(desk.setup.on_cancel_refused(desk.id_of(Leg.ENTRY), 2))
    assert desk.setup.is_watching
    desk.take(desk.setup.on_price(NANOS // 2, 105.0))
    assert sum(isinstance(one, Cancel) for one in desk.requests) == 1
    desk.take(desk.setup.on_price(2 * NANOS, 105.0))
    assert sum(isinstance(one, Cancel) for one in desk.requests) == 2


def test_a_refused_stop_is_an_emergency() -> None:
    """F12: nothing else covers the position, so it is left at market, once."""
    desk = entered()
    desk.take(desk.setup.on_rejected(desk.id_of(Leg.STOP), "PERCENT_PRICE", 1, due_post_only=False))
    assert desk.setup.stage is Stage.EXITING
    assert desk.alive(Leg.EXIT) == [D(10)]
    assert [note.reason for note in desk.notes if note.kind == "exit_submitted"] == ["protection_refused"]


def test_a_refused_replacement_is_no_emergency_while_the_old_stop_covers_more() -> None:
    """The position shrank: the old, larger stop is reduce-only and covers; the new one is tried again."""
    desk = entered()
    desk.accept(Leg.STOP)
    desk.accept(Leg.TARGET)
    desk.fill(Leg.TARGET, "2", "110.00")
    desk.take(desk.setup.on_rejected(desk.id_of(Leg.STOP), "too many orders", NANOS, due_post_only=False))
    assert desk.setup.stage is Stage.PROTECTED
    sent = len(desk.submits)
    desk.take(desk.setup.on_price(2 * NANOS + 1, 109.0))
    assert len(desk.submits) == sent + 1
    assert desk.submits[-1].order.qty == 8


def test_a_refused_target_is_watched_instead() -> None:
    """Price at the target then closes the position at market."""
    desk = entered()
    desk.accept(Leg.STOP)
    desk.take(desk.setup.on_rejected(desk.id_of(Leg.TARGET), "filter", 1, due_post_only=False))
    assert desk.setup.stage is Stage.PROTECTED
    desk.take(desk.setup.on_price(2, 110.0))
    assert desk.setup.stage is Stage.EXITING
    desk.fill(Leg.EXIT, "10", "109.99")
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.STOP), 3))
    assert desk.trades[0].exit_reason == "target"


def test_exits_that_are_refused_over_and_over_halt_the_strategy_and_go_on() -> None:
    """A person is called; the attempts do not stop."""
    desk = entered()
    desk.take(desk.setup.on_rejected(desk.id_of(Leg.STOP), "no", 1, due_post_only=False))
    for attempt in range(8):
        now_ns = (2 * attempt + 2) * NANOS
        desk.take(desk.setup.on_rejected(desk.id_of(Leg.EXIT), "no", now_ns, due_post_only=False))
        desk.take(desk.setup.on_price(now_ns + NANOS + 1, 103.0))
    assert desk.halts
    assert desk.alive(Leg.EXIT) == [D(10)]


def test_an_unanswered_exit_is_asked_about_before_it_is_replaced() -> None:
    """F9: no blind second order; and if the first one lives after all, one of the two is taken back."""
    desk = entered()
    first = desk.id_of(Leg.STOP)
    desk.take(desk.setup.on_price(11 * NANOS, 104.0))
    assert desk.id_of(Leg.STOP) == first
    desk.take(desk.setup.on_price(22 * NANOS, 104.0))
    assert desk.id_of(Leg.STOP) != first
    desk.accept(Leg.STOP)
    desk.take(desk.setup.on_accepted(first, 23 * NANOS))
    cancelled = [one.client_id for one in desk.requests if isinstance(one, Cancel)]
    assert cancelled == [first] or cancelled == [desk.id_of(Leg.STOP)]


def test_a_spot_exit_waits_until_the_stop_is_gone() -> None:
    """The target is reached: cancel, wait for the answer, then sell; never both alive."""
    desk = entered("cash")
    desk.accept(Leg.STOP)
    assert [one.order.leg for one in desk.submits] == [Leg.ENTRY, Leg.STOP]
    desk.take(desk.setup.on_price(1, 110.0))
    assert desk.alive(Leg.TARGET) == []
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.STOP), 2))
    assert desk.alive(Leg.TARGET) == [D(10)]
    assert not any(one.reduce_only for one in desk.submits)


def test_a_spot_stop_that_fills_while_being_cancelled_sells_nothing_twice() -> None:
    """The cancel for the target loses against the stop: only what is left is sold."""
    desk = entered("cash")
    desk.accept(Leg.STOP)
    desk.take(desk.setup.on_price(1, 110.0))
    desk.fill(Leg.STOP, "6", "99.80")
    assert desk.alive(Leg.TARGET) == []
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.STOP), 2))
    assert desk.alive(Leg.TARGET) == [D(4)]


def test_the_rest_of_a_spot_stop_below_the_minimum_stays_at_the_venue() -> None:
    """0.1 coins at 99.7 are under 20 USDT: too small to send anew, but the order that is there may finish."""
    desk = Desk(account="cash", min_notional=20)
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    desk.fill(Leg.ENTRY, "10", "102.95")
    desk.accept(Leg.STOP)
    desk.fill(Leg.STOP, "9.9", "99.80")
    assert desk.alive(Leg.STOP) == [D("0.1")]
    assert not any(isinstance(one, Cancel) for one in desk.requests)
    desk.fill(Leg.STOP, "0.1", "99.80")
    assert desk.setup.is_closed
    assert desk.finished[-1].dust_qty == 0


def test_base_fees_leave_dust_and_the_exits_know() -> None:
    """Ten coins bought, 0.01 taken as fee: 9.9 can be sold, 0.09 remain."""
    desk = Desk(account="cash")
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    desk.fill(Leg.ENTRY, "10", "102.95", base_fee="0.01")
    assert desk.alive(Leg.STOP) == [D("9.9")]
    desk.accept(Leg.STOP)
    desk.fill(Leg.STOP, "9.9", "99.80")
    assert desk.setup.is_closed
    assert desk.finished[-1].dust_qty == D("0.09")
    (trade,) = desk.trades
    cost, proceeds, dust = D("1029.5"), D("9.9") * D("99.80"), D("0.09") * D("99.80")
    assert D(trade.pnl) == proceeds - cost + dust


@pytest.mark.parametrize(
    ("reason", "flag", "venue"),
    [("POST_ONLY", True, "BINANCE"), ("EC_PostOnlyWillTakeLiquidity", False, "BYBIT")],
)
def test_post_only_refusals_are_known_by_flag_or_by_text(reason: str, flag: bool, venue: str) -> None:
    """Bybit's stream does not set the flag; both are priced once more, one tick behind the market."""
    desk = Desk(venue)
    desk.take(desk.setup.submit(0))
    desk.setup.last_price = 102.50
    desk.take(desk.setup.on_rejected(desk.id_of(Leg.ENTRY), reason, 1, due_post_only=flag))
    assert desk.submits[-1].order.price == D("102.49")
    desk.take(desk.setup.on_rejected(desk.id_of(Leg.ENTRY), reason, 2, due_post_only=flag))
    assert desk.setup.is_closed
    assert desk.finished[-1].trade is None


def test_any_other_refusal_drops_the_setup() -> None:
    """Too little money is not cured by another price."""
    desk = Desk()
    desk.take(desk.setup.submit(0))
    desk.take(desk.setup.on_rejected(desk.id_of(Leg.ENTRY), "insufficient balance", 1, due_post_only=False))
    assert desk.setup.is_closed
    assert len(desk.submits) == 1


# -- chaos -------------------------------------------------------------------------------------------------


class ChaoticDesk(Desk):
    """A venue that reports late, repeats itself and mixes up the order of reports about different orders.

    It also checks what reaches it: on spot never more sold than held, on margin never through zero.
    """

    def __init__(self, chance: random.Random, venue: str, account: AccountKind, plan: EntryPlan) -> None:
        super().__init__(venue, account, plan)
        self.chance = chance
        self.reports: dict[str, list[tuple[str, object]]] = {}
        self.done = 0  # requests that reached the venue

    def report(self, client_id: str, name: str, value: object = None) -> None:
        """Queue a report; those about one order stay in order but for acknowledgement and fill."""
        queue = self.reports.setdefault(client_id, [])
        queue.append((name, value))
        if name == "fill" and len(queue) > 1 and queue[-2][0] == "accepted" and self.chance.random() < 0.3:
            queue[-1], queue[-2] = queue[-2], queue[-1]

    def reach_venue(self) -> None:
        """Let the oldest request arrive."""
        request = self.requests[self.done]
        self.done += 1
        match request:
            case Submit(order):
                self.arrive(request, order)
            case Cancel(client_id):
                if client_id in self.resting:
                    del self.resting[client_id]
                    self.report(client_id, "canceled")
                else:
                    self.report(client_id, "cancel_refused")
            case Change(client_id, qty, price, trigger_price):
                own = self.resting.get(client_id)
                if own is None or self.chance.random() < 0.1:
                    self.report(client_id, "change_refused")
                else:
                    own.qty = max(qty, own.filled_qty + D("0.1"))
                    own.price = price or own.price
                    own.trigger_price = trigger_price or own.trigger_price
                    self.report(client_id, "updated", own.qty)

    def arrive(self, request: Submit, order: OwnOrder) -> None:
        """Take an order, or refuse it as a venue would."""
        is_exit = order.leg is not Leg.ENTRY
        if is_exit and request.reduce_only and self.position == 0:
            self.report(order.client_id, "rejected", "reduce only")
            return
        if is_exit and not request.reduce_only:
            locked = sum(
                (o.qty - o.filled_qty for o in self.resting.values() if o.leg is not Leg.ENTRY), D(0)
            )
            assert locked + order.qty <= self.position, "sold more than held"
        is_move = order.trigger_price not in (None, self.setup.plan.stop_price)
        if is_move and self.chance.random() < 0.3:
            self.report(order.client_id, "rejected", "would trigger immediately")
            return
        own = OwnOrder(order.client_id, order.leg, order.kind, order.qty, order.price, order.trigger_price)
        self.resting[order.client_id] = own
        self.report(order.client_id, "accepted")
        if order.kind is OrderKind.MARKET:
            self.trade(order.client_id, own.qty)

    def trade(self, client_id: str, qty: Decimal) -> None:
        """Fill an order at the venue, reduce-only exits by no more than the position."""
        own = self.resting[client_id]
        qty = min(qty, own.qty - own.filled_qty)
        if own.leg is Leg.ENTRY:
            self.position += qty
        else:
            qty = min(qty, self.position)
            self.position -= qty
        if qty <= 0:
            del self.resting[client_id]
            self.report(client_id, "canceled")
            return
        own.filled_qty += qty
        price = own.price or own.trigger_price or D("103.00")
        self.fills += 1
        self.report(client_id, "fill", Fill(self.now_ns, f"t{self.fills}", qty, price))
        if own.filled_qty >= own.qty:
            del self.resting[client_id]
        elif own.leg is not Leg.ENTRY and self.position == 0:
            del self.resting[client_id]
            self.report(client_id, "canceled")

    def reach_setup(self, client_id: str) -> None:
        """Let the oldest report about an order arrive, now and then twice."""
        name, value = self.reports[client_id].pop(0)
        if not self.reports[client_id]:
            del self.reports[client_id]
        setup, now_ns = self.setup, self.now_ns
        for _ in range(2 if name == "fill" and self.chance.random() < 0.2 else 1):
            match name:
                case "accepted":
                    self.take(setup.on_accepted(client_id, now_ns))
                case "canceled":
                    self.take(setup.on_canceled(client_id, now_ns))
                case "cancel_refused":
                    self.take(setup.on_cancel_refused(client_id, now_ns))
                case "change_refused":
                    self.take(setup.on_change_refused(client_id, now_ns))
                case "updated":
                    assert isinstance(value, Decimal)
                    self.take(setup.on_updated(client_id, value, now_ns))
                case "rejected":
                    self.take(setup.on_rejected(client_id, str(value), now_ns, due_post_only=False))
                case "fill":
                    assert isinstance(value, Fill)
                    self.take(setup.on_filled(client_id, value))

    def step(self) -> None:
        """Let something happen."""
        chance, setup = self.chance, self.setup
        self.now_ns += chance.randrange(1, 200_000_000)
        what = chance.random()
        if what < 0.35 and self.done < len(self.requests):
            self.reach_venue()
        elif what < 0.70 and self.reports:
            self.reach_setup(chance.choice(sorted(self.reports)))
        elif what < 0.85 and self.resting:
            client_id = chance.choice(sorted(self.resting))
            self.trade(client_id, D(chance.randrange(1, 60)) / 10)
        elif what < 0.90:
            price = chance.choice([99.0, 101.0, 103.0, 105.0, 107.0, 111.0])
            self.take(setup.on_price(self.now_ns, price))
        elif what < 0.92:
            self.take(setup.cancel_entry("chaos", self.now_ns))
        elif what < 0.925 and setup.is_in_position:
            self.take(setup.close("chaos", self.now_ns))
        elif what < 0.96 and setup.is_unfilled:
            self.take(setup.reprice(setup.plan, self.now_ns))
        elif what < 0.98:
            ticks = D(chance.randrange(-20, 60)) / 100 * setup.plan.direction
            reason = chance.choice(["break_even", "trailing"])
            self.take(setup.move_stop(setup.stop_price + ticks, reason, self.now_ns))

    def calm_down(self) -> None:
        """Let everything arrive, without further trades, and time pass for what waits."""
        for _ in range(400):
            while self.done < len(self.requests) or self.reports:
                if self.done < len(self.requests):
                    self.reach_venue()
                for client_id in sorted(self.reports):
                    self.reach_setup(client_id)
            if self.setup.deadline_ns > self.now_ns + 3_600 * NANOS:
                return
            self.now_ns += NANOS
            self.take(self.setup.on_price(self.now_ns, 104.0))
        raise AssertionError("it never settles")


@pytest.mark.parametrize("venue", ["BINANCE", "BYBIT"])
@pytest.mark.parametrize(
    ("account", "plan"), [("cash", LONG), ("margin", LONG), ("margin", SHORT)], ids=["cash", "long", "short"]
)
def test_whatever_the_venue_reports_the_position_ends_up_protected(
    venue: str, account: AccountKind, plan: EntryPlan
) -> None:
    """150 seeded lives each: position known exactly, nothing sold twice, and protected once it is quiet."""
    closed = moved = 0
    for seed in range(150):
        desk = ChaoticDesk(random.Random(seed), venue, account, plan)
        desk.take(desk.setup.submit(0))
        for _ in range(120):
            desk.step()
        desk.calm_down()
        setup = desk.setup
        assert setup.position_qty == desk.position, f"seed {seed}"
        for own in setup.orders.values():
            assert own.is_alive == (own.client_id in desk.resting), f"seed {seed}: {own}"
            assert own.stage in (OrderStage.WORKING, OrderStage.FINAL)
        wanted = setup.exitable_qty if setup.stage in IN_POSITION else D(0)
        if setup.stage in (Stage.PARTIAL, Stage.PROTECTED):
            assert desk.alive(Leg.STOP) == ([wanted] if wanted else []), f"seed {seed}"
            for own in desk.resting.values():
                if own.leg is Leg.STOP:
                    assert own.trigger_price == setup.stop_price, f"seed {seed}: a moved stop is moved there"
        if (
            desk.row.target_rests
            and setup.stage in (Stage.PARTIAL, Stage.PROTECTED)
            and not setup._watch_target
        ):
            assert desk.alive(Leg.TARGET) == [wanted], f"seed {seed}"
        moved += any(note.reason.startswith("stop_to_") for note in desk.notes)
        if setup.is_closed:
            closed += 1
            assert desk.resting == {}
        assert len(desk.finished) <= 1 + sum(trade.exit_reason == "late_fill" for trade in desk.trades)
        ids = [one.order.client_id for one in desk.submits]
        assert len(ids) == len(set(ids))
    assert closed >= 30
    assert moved >= 15


MOVED = D("103.00")


def test_a_moved_stop_rests_before_the_old_one_goes() -> None:
    """Binance futures cannot modify a stop: new one, acknowledgement, then the old one is withdrawn."""
    desk = entered()
    desk.accept(Leg.STOP)
    desk.accept(Leg.TARGET)
    old = desk.id_of(Leg.STOP)
    desk.take(desk.setup.move_stop(MOVED, "break_even", 1))
    assert desk.submits[-1].order.trigger_price == MOVED
    assert not any(isinstance(one, Cancel) for one in desk.requests)
    desk.accept(Leg.STOP)
    assert desk.requests[-1] == Cancel(old)
    desk.take(desk.setup.on_canceled(old, 2))
    desk.fill(Leg.STOP, "10", "103.00")
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.TARGET), 3))
    trade = desk.trades[0]
    assert (trade.exit_reason, trade.stop_price, trade.last_stop_price) == ("break_even", "99.9", "103")


def test_a_stop_is_moved_in_place_where_the_venue_can() -> None:
    """Bybit amends the trigger: no second order, and the reason changes when the venue confirms."""
    desk = entered(venue="BYBIT")
    desk.accept(Leg.STOP)
    desk.accept(Leg.TARGET)
    sent = len(desk.submits)
    desk.take(desk.setup.move_stop(MOVED, "trailing", 1))
    assert desk.requests[-1] == Change(desk.id_of(Leg.STOP), D(10), None, MOVED)
    desk.take(desk.setup.on_updated(desk.id_of(Leg.STOP), D(10), 2))
    assert len(desk.submits) == sent
    desk.fill(Leg.STOP, "10", "103.00")
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.TARGET), 3))
    assert desk.trades[0].exit_reason == "trailing"


def test_the_old_stop_that_fills_during_a_move_is_named_as_what_it_was() -> None:
    """It lost the race against the move: the exit is the first stop's, not the trailing one's."""
    desk = entered(venue="BYBIT")
    desk.accept(Leg.STOP)
    desk.accept(Leg.TARGET)
    desk.take(desk.setup.move_stop(MOVED, "trailing", 1))
    desk.fill(Leg.STOP, "10", "99.90")
    desk.take(desk.setup.on_change_refused(desk.id_of(Leg.STOP), 2))
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.TARGET), 3))
    assert desk.trades[0].exit_reason == "stop"


def test_on_spot_a_moved_stop_waits_until_the_coins_are_free() -> None:
    """One exit at a time: cancel, answer, new stop-limit at the new place."""
    desk = entered("cash")
    desk.accept(Leg.STOP)
    desk.take(desk.setup.move_stop(MOVED, "break_even", 1))
    assert desk.requests[-1] == Cancel(desk.id_of(Leg.STOP))
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.STOP), 2))
    order = desk.submits[-1].order
    assert (order.kind, order.trigger_price, order.price) == (OrderKind.STOP_LIMIT, MOVED, D("102.79"))


def test_a_stop_never_moves_away_and_not_while_leaving() -> None:
    """A looser stop, or one for a position that is being closed, asks the venue for nothing."""
    desk = entered()
    desk.accept(Leg.STOP)
    asked = len(desk.requests)
    assert desk.setup.move_stop(D("99.80"), "trailing", 1) == []
    desk.take(desk.setup.close("time", 2))
    asked = len(desk.requests)
    assert desk.setup.move_stop(MOVED, "trailing", 3) == []
    assert len(desk.requests) == asked


def test_a_refused_move_keeps_the_old_stop() -> None:
    """The venue says the price is there already: no emergency, the old stop covers, a later move may work."""
    desk = entered()
    desk.accept(Leg.STOP)
    desk.take(desk.setup.move_stop(MOVED, "trailing", 1))
    new = desk.id_of(Leg.STOP)
    desk.take(desk.setup.on_rejected(new, "would trigger immediately", 2, due_post_only=False))
    assert desk.setup.stage is Stage.PROTECTED
    assert desk.setup.stop_price == LONG.stop_price
    assert desk.alive(Leg.STOP) == [D(10)]
    desk.take(desk.setup.move_stop(D("102.00"), "trailing", 3))
    assert desk.submits[-1].order.trigger_price == D("102.00")


def test_excursions_count_whole_bars_only_after_the_bar_of_the_entry() -> None:
    """The high of the bar that filled the entry may be older than the fill; the next bar is all ours."""
    desk = Desk()
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    desk.now_ns = 100 * NANOS
    desk.fill(Leg.ENTRY, "10", "102.95")
    desk.take(desk.setup.on_closed_bar(0, 300 * NANOS, 109.0, 102.0, 104.0))
    assert (desk.setup.lowest, desk.setup.highest) == (102.95, 104.0)
    desk.take(desk.setup.on_closed_bar(300 * NANOS, 600 * NANOS, 108.0, 101.0, 105.0))
    assert (desk.setup.lowest, desk.setup.highest) == (101.0, 108.0)
    desk.fill(Leg.STOP, "10", "99.90")
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.TARGET), 601 * NANOS))
    trade = desk.trades[0]
    assert trade.mae_price == pytest.approx(99.90 - 102.95)
    assert trade.mfe_price == pytest.approx(108.0 - 102.95)
    assert trade.mfe_r == pytest.approx(trade.mfe_price / 3.05)


def test_a_stop_is_measured_against_its_trigger() -> None:
    """Ten long from 102.95, stopped at 99.90, sold at 99.60 on average: 3 of slippage, at market."""
    desk = entered()
    desk.accept(Leg.STOP)
    desk.fill(Leg.STOP, "4", "99.90")
    desk.fill(Leg.STOP, "6", "99.40")
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.TARGET), 3))
    trade = desk.trades[0]
    assert (trade.entry_decision_price, trade.entry_slippage) == ("102.95", "0")
    assert (trade.exit_decision_price, trade.exit_slippage) == ("99.9", "3")
    assert trade.exit_slippage_bps == pytest.approx(3 / 999 * 10_000)
    assert trade.market_exit_value == "996"
    assert trade.held_secs == (trade.exit_ts_ns - trade.entry_ts_ns) / NANOS


def test_a_target_fills_at_its_limit_and_costs_nothing_more() -> None:
    """A limit cannot fill worse: nothing at market."""
    desk = entered()
    desk.accept(Leg.STOP)
    desk.accept(Leg.TARGET)
    desk.fill(Leg.TARGET, "10", "110.00")
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.STOP), 3))
    trade = desk.trades[0]
    assert (trade.exit_decision_price, trade.exit_slippage, trade.market_exit_value) == ("110", "0", "0")


def test_a_market_exit_is_measured_against_the_last_price() -> None:
    """Closed by hand at a last price of 105, sold at 104.80: 2 of slippage for ten."""
    desk = entered()
    desk.accept(Leg.STOP)
    desk.setup.last_price = 105.0
    desk.take(desk.setup.close("manual", 2))
    desk.fill(Leg.EXIT, "10", "104.80")
    for leg in (Leg.STOP, Leg.TARGET):
        desk.take(desk.setup.on_canceled(desk.id_of(leg), 3))
    trade = desk.trades[0]
    assert (trade.exit_reason, trade.exit_decision_price, trade.exit_slippage) == ("manual", "105", "2")


def test_a_market_exit_without_a_price_has_no_slippage() -> None:
    """Nothing was known when it was decided: empty, not zero."""
    desk = entered()
    desk.accept(Leg.STOP)
    desk.take(desk.setup.close("manual", 2))
    desk.fill(Leg.EXIT, "10", "104.80")
    for leg in (Leg.STOP, Leg.TARGET):
        desk.take(desk.setup.on_canceled(desk.id_of(leg), 3))
    trade = desk.trades[0]
    assert (trade.exit_decision_price, trade.exit_slippage, trade.exit_slippage_bps) == ("", "", None)
