"""One setup: its entry, its protection, its exit, and what came of it.

Facts go in (a report of the venue, a price, a decision of the strategy), actions come out; nothing here knows
Nautilus, a clock or a socket. Times are those of the trades and reports, so a backtest and a live session
take the same decisions. After every fact the exits are compared with the position (`strategies.protection`).
"""

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal

from strategies.protection import (
    NEVER_ARRIVED,
    Place,
    Resize,
    Step,
    VenueCapabilities,
    WantedExit,
    Withdraw,
    protected_qty,
    reconcile,
)
from strategies.trade_manager.client_ids import client_order_id
from strategies.trade_manager.increments import floor_to, round_down
from strategies.trade_manager.ledger import Ledger
from strategies.trade_manager.lifecycle import (
    IN_POSITION,
    TRANSITIONS,
    Signal,
    Stage,
    advance,
)
from strategies.trade_manager.orders import (
    ZERO,
    Action,
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
from strategies.trade_manager.record import ClosedTrade, ExitReason
from strategies.trade_manager.shortfall import Shortfall
from strategies.trade_manager.stops import stop_limit

NEVER_NS: Final = 1 << 62
NANOS: Final = 1_000_000_000
# An order of a bar's close reaches the venue just after the next one opened: that whole bar is the trade's.
ENTRY_AT_OPEN_NS: Final = NANOS
STOP_REASONS: Final = frozenset({"stop", "break_even", "trailing"})
type PostOnlyReject = Literal["reprice", "drop"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who trades what.

    Parameters
    ----------
    tag
        Short name of the strategy in client order ids.
    symbol
        Of the instrument, in client order ids.
    strategy_id, instrument_id
        Nautilus ids, for the record.
    setup_id
        See `client_ids.setup_id`.
    """

    tag: str
    symbol: str
    strategy_id: str
    instrument_id: str
    setup_id: str


@dataclass(frozen=True, slots=True)
class ExitRules:
    """How entries and exits are handled at the venue.

    Parameters
    ----------
    entry_ttl_secs
        An entry older than this is cancelled, 0 for never.
    post_only_reject
        Price once more behind the market, or drop the setup.
    stop_limit_offset_pct
        Spot: how far beyond the stop its limit stands, percent.
    exit_market_after_secs
        An exit that should have filled goes to market after this time.
    retry_secs
        Wait before a refused exit or cancellation is tried again.
    max_refusals
        Refused exits in a row before the strategy halts.
    answer_secs
        An exit that is not acknowledged after this time is asked about, and after as long again replaced.
        Never at once: a venue that does not answer may have taken the order. A second one cannot trade
        twice, because margin exits are reduce-only and on spot the first one locks the coins.
    unknown_secs
        The same where the venue answered that it does not know whether it took the order.
    """

    entry_ttl_secs: float = 0.0
    post_only_reject: PostOnlyReject = "reprice"
    stop_limit_offset_pct: float = 0.2
    exit_market_after_secs: float = 5.0
    retry_secs: float = 1.0
    max_refusals: int = 5
    answer_secs: float = 10.0
    unknown_secs: float = 0.5


class Setup:
    """The life of one setup.

    Every method that takes a fact returns the actions to carry out, in order. A method must not be called
    again before its actions were carried out or queued.

    Parameters
    ----------
    identity
        Ids.
    plan
        The intended trade.
    market, venue, rules
        Instrument, venue and settings.
    bucket_seq
        Last closed bucket.
    carried_qty, carried_value
        Dust of an earlier trade (spot).
    """

    def __init__(
        self,
        identity: Identity,
        plan: EntryPlan,
        market: Market,
        venue: VenueCapabilities,
        rules: ExitRules,
        *,
        bucket_seq: int = -1,
        carried_qty: Decimal = ZERO,
        carried_value: Decimal = ZERO,
    ) -> None:
        self.identity = identity
        self.plan = plan
        self.stop_price = plan.stop_price
        self.stage = Stage.PLANNED
        self.orders: dict[str, OwnOrder] = {}
        self.ledger = Ledger(plan.direction, plan.risk_per_unit, carried_qty, carried_value)
        self._entered_at, self._left_at = Shortfall(plan.direction), Shortfall(-plan.direction)
        self._exit_decided_price: Decimal | None = None
        self.last_price = math.nan
        # Fast path of `on_price`: nothing happens strictly between the alarms and before the deadline.
        self.low_alarm = -math.inf
        self.high_alarm = math.inf
        self.deadline_ns = NEVER_NS
        self.is_watching = False
        self.highest = -math.inf
        self.lowest = math.inf

        self._market = market
        self._venue = venue
        self._rules = rules
        self._entry: OwnOrder | None = None
        self._next_plan: EntryPlan | None = None
        self._rest_plan: EntryPlan | None = None
        self._entry_unwanted = False
        self._cancel_reason = ""
        self._post_only_rejects = 0
        self._attempts: dict[Leg, int] = dict.fromkeys(Leg, 0)
        self._seen_fills: set[tuple[str, str]] = set()
        self._bucket_seq = bucket_seq
        self._entry_bucket_seq = bucket_seq
        self._exit_bucket_seq = bucket_seq
        self._is_tainted = False
        self._is_reported = False
        self._stop_limit_of: tuple[Decimal, Decimal] | None = None

        self._stop_reason = "stop"
        self._exit_reason = ""
        self._exit_at_market = False
        self._watch_target = not venue.target_rests
        self._refusals = 0
        self._wait_until_ns: dict[Leg, int] = {}
        self._ttl_ns = NEVER_NS
        self._market_exit_ns = NEVER_NS
        self._retry_cancel_ns = NEVER_NS
        self._is_away = False
        # Where orders are real: an entry without an answer is asked about until there is one.
        self.asks_about_entry = False

    # -- what the strategy asks ----------------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        """Tell whether it is over."""
        return self.stage is Stage.CLOSED

    @property
    def is_in_position(self) -> bool:
        """Tell whether it holds a position."""
        return self.stage in IN_POSITION

    @property
    def is_manageable(self) -> bool:
        """Tell whether it holds a position that is not being left: its stop may move."""
        return Signal.STOP_MOVED in TRANSITIONS[self.stage]

    @property
    def entry_price(self) -> Decimal | None:
        """Return the limit of the entry that rests unfilled, None when there is none."""
        if self.stage is Stage.RESTING and self._entry is not None:
            return self._entry.price
        return None

    @property
    def entry_id(self) -> str:
        """Return the client order id of the newest entry, empty before the first."""
        return "" if self._entry is None else self._entry.client_id

    @property
    def quiet_band(self) -> tuple[float, float]:
        """Return lowest and highest price, both included, at which `on_price` has nothing to do or note.

        Alarms stand half a tick before the prices they watch, so no trade is exactly on one.
        """
        if self.stage not in IN_POSITION:
            return -math.inf, math.inf
        return max(self.lowest, self.low_alarm), min(self.highest, self.high_alarm)

    @property
    def is_unfilled(self) -> bool:
        """Tell whether its entry is on its way or rests, and may be given another price."""
        return self.stage in (Stage.SUBMITTED, Stage.RESTING, Stage.REPRICING)

    @property
    def is_entering(self) -> bool:
        """Tell whether its entry, or the rest of it, is alive and wanted as it is."""
        return self._entry is not None and self._entry.is_alive and not self._entry_unwanted

    @property
    def entering_qty(self) -> Decimal:
        """Return what entries can still fill, base currency."""
        entries = (order for order in self.orders.values() if order.leg is Leg.ENTRY)
        return sum((order.leaves_qty for order in entries), ZERO)

    @property
    def intended_entry_price(self) -> Decimal:
        """Return the limit of the entry, the next one when it is being replaced."""
        return (self._next_plan or self.plan).entry_price

    @property
    def next_plan(self) -> EntryPlan | None:
        """Return the plan that is sent as soon as the present entry is gone, None where none is."""
        return self._next_plan

    @property
    def position_qty(self) -> Decimal:
        """Return the position's size, base currency, >= 0, dust included."""
        return self.ledger.position_qty

    @property
    def exitable_qty(self) -> Decimal:
        """Return the part of the position that the venue lets us close: whole lots above its minimum."""
        qty = floor_to(self.ledger.position_qty, self._market.lot_size)
        if qty <= 0:
            return ZERO
        if any(order.leaves_qty >= qty for order in self._exits()):
            return qty  # minimums are for new orders: the rest of one at the venue may be small
        if qty < self._market.min_qty:
            return ZERO
        if self._market.exits_need_notional:
            lowest_price = min(self._stop_limit() or self.stop_price, self.stop_price)
            if qty * lowest_price < self._market.min_notional:
                return ZERO
        return qty

    @property
    def protected_qty(self) -> Decimal:
        """Return how much of the position stops and market exits cover, see `protection.protected_qty`."""
        return protected_qty(self._exits())

    def knows_fill(self, client_id: str, trade_id: str) -> bool:
        """Tell whether a fill of an order was counted already."""
        return (client_id, trade_id) in self._seen_fills

    def submit(self, ts_ns: int) -> list[Action]:
        """Send the entry."""
        actions: list[Action] = []
        self._send_entry(actions, ts_ns, "entry_submitted")
        return self._settle(actions, ts_ns)

    def reprice(self, plan: EntryPlan, ts_ns: int) -> list[Action]:
        """Withdraw the unfilled entry and send another one with this plan."""
        self._next_plan = plan
        self._signal(Signal.REPRICE_SENT)
        self._entry_unwanted = True
        return self._settle([], ts_ns)

    def enter_at_market(self, plan: EntryPlan, ts_ns: int) -> list[Action]:
        """Take the limit back and send what has not filled by then at market.

        Nothing is sent before the venue confirms that the limit is gone: fills that come meanwhile are
        counted first, so the position never exceeds the plan.

        Parameters
        ----------
        plan
            Of kind ``market``, with the whole quantity that is wanted now.
        ts_ns
            UNIX nanoseconds.
        """
        self._rest_plan = plan
        if self.is_unfilled:
            return self.reprice(plan, ts_ns)
        actions: list[Action] = []
        if self.stage is Stage.PARTIAL and not self._entry_unwanted:
            self._entry_unwanted = True
            self._signal(Signal.CANCEL_SENT)
        return self._settle(actions, ts_ns)

    def retarget(self, target_price: Decimal, zone_low: float, zone_high: float) -> None:
        """Move target and zone of an entry that has not filled: the range grew, its sweet spot hardly."""
        if self.ledger.entry_qty == 0:
            self.plan = replace(self.plan, target_price=target_price, zone_low=zone_low, zone_high=zone_high)

    def cancel_entry(self, reason: str, ts_ns: int) -> list[Action]:
        """Take the entry, or what is left of it, back; a position stays protected."""
        actions: list[Action] = []
        self._unwant_entry(actions, reason)
        return self._settle(actions, ts_ns)

    def close(self, reason: str, ts_ns: int) -> list[Action]:
        """Take the entry back and close the position at market."""
        actions: list[Action] = []
        self._unwant_entry(actions, reason)
        if self.stage in IN_POSITION:
            self._exit_market(actions, reason)
        return self._settle(actions, ts_ns)

    def close_unprotected(self, ts_ns: int) -> list[Action]:
        """Close the position at market without waiting for exits that the venue did not acknowledge.

        They may be alive: then they are withdrawn when they report, and until then they lock the coins on
        spot, so that the market order is refused and tried again.
        """
        for order in self._exits():
            if order.stage is OrderStage.SENT and order.kind is not OrderKind.MARKET:
                order.stage = OrderStage.FINAL
                order.is_given_up = True
        return self.close(ExitReason.UNPROTECTED.value, ts_ns)

    def move_stop(self, stop_price: Decimal, reason: str, ts_ns: int) -> list[Action]:
        """Move the stop of the position closer, at the venue too; the risk (R) stays that of the first stop.

        Parameters
        ----------
        stop_price
            Multiple of the tick, quote currency. Not closer than the present one: nothing happens.
        reason
            Exit reason when it fills: ``break_even`` or ``trailing``.
        ts_ns
            UNIX nanoseconds.
        """
        is_closer = (stop_price - self.stop_price) * self.plan.direction > 0
        if not is_closer or not self.is_manageable:
            return []
        self._signal(Signal.STOP_MOVED)
        self.stop_price, self._stop_reason = stop_price, reason
        return self._settle([self._note("protection", f"stop_to_{reason}")], ts_ns)

    # -- the market ----------------------------------------------------------------------------------------

    def on_bucket(self, seq: int, *, is_tainted: bool) -> None:
        """Take note of a closed bucket."""
        self._bucket_seq = seq
        if is_tainted and self.stage in IN_POSITION:
            self.taint()

    def taint(self) -> None:
        """Mark the trade: it lived or filled where trades are missing in the data."""
        self._is_tainted = True

    def on_price(self, ts_ns: int, price: float) -> list[Action] | None:
        """Take the price of a trade; None when there is nothing to do (almost always).

        Parameters
        ----------
        ts_ns
            UNIX nanoseconds.
        price
            Quote currency.
        """
        if price > self.highest:
            self.highest = price
        if price < self.lowest:
            self.lowest = price
        if self.low_alarm < price < self.high_alarm and ts_ns < self.deadline_ns:
            return None
        return self._on_alarm(ts_ns, price)

    def on_deadline(self, ts_ns: int) -> list[Action] | None:
        """Look at the deadlines where no new price is known; None before the first one (UNIX nanoseconds)."""
        return None if ts_ns < self.deadline_ns else self._on_alarm(ts_ns, self.last_price)

    def on_closed_bar(
        self, open_ns: int, close_ns: int, high: float, low: float, close: float
    ) -> list[Action]:
        """Take a closed bar where no trades are watched: its close is a price, its extremes are a record.

        The bar in which an entry filled counts with its close alone: its extremes may be older than the fill.

        Parameters
        ----------
        open_ns, close_ns
            When the bar opened and closed, UNIX nanoseconds.
        high, low, close
            Quote currency.
        """
        if self.stage in IN_POSITION and self.ledger.entry_ts_ns <= open_ns + ENTRY_AT_OPEN_NS:
            self.highest, self.lowest = max(self.highest, high), min(self.lowest, low)
        self.last_price = close
        return self.on_price(close_ns, close) or []

    # -- the venue -----------------------------------------------------------------------------------------

    def on_accepted(self, client_id: str, ts_ns: int) -> list[Action]:
        """Take the acknowledgement of an order."""
        order = self.orders[client_id]
        if order.stage is OrderStage.SENT or order.is_given_up:
            order.stage = OrderStage.WORKING
            order.is_given_up = False
        if order is self._entry:
            self._signal(Signal.ENTRY_ACCEPTED)
        return self._settle([], ts_ns)

    def on_updated(self, client_id: str, qty: Decimal, ts_ns: int) -> list[Action]:
        """Take the venue's confirmation of a changed quantity (asked for or not)."""
        order = self.orders[client_id]
        order.qty = qty
        order.end_change(is_done=True)
        if order.leg is Leg.STOP and order.trigger_price == self.stop_price:
            order.reason = self._stop_reason
        if order.stage is OrderStage.CHANGING:
            order.stage = OrderStage.WORKING
        if order.filled_qty >= order.qty:
            order.stage = OrderStage.FINAL
        return self._settle([], ts_ns)

    def on_change_refused(self, client_id: str, ts_ns: int) -> list[Action]:
        """Take the refusal of a modification: from now on this order is replaced instead."""
        order = self.orders[client_id]
        order.may_change = False
        order.end_change(is_done=False)
        if order.stage is OrderStage.CHANGING:
            order.stage = OrderStage.WORKING
        return self._settle([], ts_ns)

    def on_canceled(self, client_id: str, ts_ns: int) -> list[Action]:
        """Take the end of an order without (further) fill: cancelled or expired."""
        order = self.orders[client_id]
        was_asked = order.stage is OrderStage.CANCELLING
        if not order.is_alive:
            return []
        order.stage = OrderStage.FINAL
        actions: list[Action] = []
        if order is self._entry:
            self._entry_ended(actions, Signal.ENTRY_GONE, ts_ns)
        elif order.leg is not Leg.ENTRY and not was_asked:
            self._exit_refused(actions, order, "cancelled by the venue", ts_ns)
        return self._settle(actions, ts_ns)

    def on_cancel_refused(self, client_id: str, ts_ns: int) -> list[Action]:
        """Take the refusal of a cancellation: it is filled (the fill came or comes), or it is asked again.

        A fill whose event was lost never comes: where venues are asked about entries, this one is.
        """
        order = self.orders[client_id]
        actions: list[Action] = []
        if order.stage is OrderStage.CANCELLING:
            order.refusals += 1
            self._retry_cancel_ns = ts_ns + self._secs(self._rules.retry_secs)
            if self.asks_about_entry:
                actions.append(Query(client_id))
        if order is self._entry:
            self._signal(Signal.CANCEL_REFUSED)
        return self._settle(actions, ts_ns)

    def on_rejected(self, client_id: str, reason: str, ts_ns: int, *, due_post_only: bool) -> list[Action]:
        """Take the refusal of an order, by the venue or by the risk engine."""
        order = self.orders[client_id]
        is_lost = order.is_given_up or reason == NEVER_ARRIVED
        order.stage = OrderStage.FINAL
        order.is_given_up = False
        actions: list[Action] = []
        if order.leg is not Leg.ENTRY and is_lost:
            pass  # nobody refused it: another one takes its place, or did already
        elif order.leg is not Leg.ENTRY:
            self._exit_refused(actions, order, reason, ts_ns)
        elif order is self._entry:
            post_only = due_post_only or any(text in reason for text in self._venue.post_only_reasons)
            self._entry_refused(actions, "post_only" if post_only else reason, ts_ns)
        return self._settle(actions, ts_ns)

    def on_filled(self, client_id: str, fill: Fill) -> list[Action]:
        """Take a fill; the same one twice counts once, and it may come before or after anything."""
        order = self.orders[client_id]
        if (client_id, fill.trade_id) in self._seen_fills:
            return []
        self._seen_fills.add((client_id, fill.trade_id))
        was_final = not order.is_alive
        order.filled_qty += fill.qty
        if order.filled_qty >= order.qty:
            order.stage = OrderStage.FINAL
            order.end_change(is_done=False)
        elif order.stage is OrderStage.SENT or order.is_given_up:
            order.stage = OrderStage.WORKING  # filled before its acknowledgement
        order.is_given_up = False
        actions: list[Action] = []
        decided = self._decided_price(order)
        if order.leg is Leg.ENTRY:
            self._entered(actions, fill, is_late=was_final or order is not self._entry)
        else:
            self._left(actions, order, fill)
        # After the above: a fill of a setup that was over begins a new account.
        book = self._entered_at if order.leg is Leg.ENTRY else self._left_at
        book.add(fill, decided, is_market=order.kind is not OrderKind.LIMIT)
        return self._settle(actions, fill.ts_ns)

    def on_unanswered(self, client_id: str, ts_ns: int) -> list[Action]:
        """Take that nobody knows what became of an order: the venue timed out or answered with its own error.

        It may be alive. It is asked about at once and stays what it was; only the venue's word ends it.
        """
        order = self.orders[client_id]
        if order.stage is not OrderStage.SENT:
            return []
        order.is_asked = True
        order.answer_due_ns = ts_ns + self._secs(self._rules.unknown_secs)
        actions: list[Action] = [Query(client_id)]
        if order.leg is Leg.ENTRY:
            actions.append(self._note("entry_unknown", price=order.price, qty=order.qty))
        else:
            actions.append(self._note("protection", f"{order.leg.name.lower()}_unknown", qty=order.qty))
        return self._settle(actions, ts_ns)

    # -- after a restart -----------------------------------------------------------------------------------

    def leave(self) -> None:
        """Take facts from now on without acting on them: reports of the past come in, see `resume`.

        What was to follow an entry is not sent after a restart: the moment has passed.
        """
        self._is_away = True
        self._next_plan = self._rest_plan = None

    def resume(self, ts_ns: int) -> list[Action]:
        """Act on what was learnt: place what is missing, withdraw what is too much, end what is over."""
        self._is_away = False
        self._wait_until_ns.clear()
        return self._settle([], ts_ns)

    def adopt(self, order: OwnOrder, attempt: int) -> None:
        """Take an order that is ours by its id and that we forgot; never use its id again."""
        self.orders[order.client_id] = order
        self._attempts[order.leg] = max(self._attempts[order.leg], attempt)
        if order.leg is Leg.ENTRY and self._entry is None:
            self._entry = order

    def adopt_position(self, fill: Fill) -> list[Action]:
        """Take a position that nobody planned as the fill of an entry that was never sent, and protect it.

        Only its stop rests at the venue; the plan's target is watched.
        """
        self._watch_target = True
        self._signal(Signal.ENTRY_SENT)
        order = self._new_order(Leg.ENTRY, OrderKind.MARKET, fill.qty)
        self._entry = order
        return self.on_filled(order.client_id, fill)

    def on_external(self, qty: Decimal, price: Decimal, ts_ns: int) -> list[Action]:
        """Take that somebody else closed a part of the position: by hand, a liquidation, a deleveraging.

        Parameters
        ----------
        qty
            How much, base currency, > 0.
        price
            At which it is booked, quote currency.
        ts_ns
            UNIX nanoseconds.
        """
        if self.stage not in IN_POSITION:
            return []
        self._signal(Signal.EXIT_FILLED)
        fill = Fill(ts_ns, f"external-{ts_ns}", min(qty, self.ledger.position_qty), price)
        self.ledger.leave(fill)
        self._left_at.add(fill, None, is_market=True)
        self._exit_reason = ExitReason.EXTERNAL.value
        self._exit_bucket_seq = self._bucket_seq
        actions: list[Action] = [self._note("external", "reduced", price=price, qty=fill.qty)]
        self._unwant_entry(actions, "external")
        return self._settle(actions, ts_ns)

    # -- entry ---------------------------------------------------------------------------------------------

    def _send_entry(
        self, actions: list[Action], ts_ns: int, kind: Literal["entry_submitted", "entry_repriced"]
    ) -> None:
        plan = self.plan
        self._signal(Signal.ENTRY_SENT)
        self._entry_unwanted = False
        self._cancel_reason = ""
        is_limit = plan.entry_kind != "market"
        kind_of_order = OrderKind.LIMIT if is_limit else OrderKind.MARKET
        limit = plan.entry_price if is_limit else None
        order = self._new_order(Leg.ENTRY, kind_of_order, plan.qty, price=limit)
        order.answer_due_ns = ts_ns + self._secs(self._rules.answer_secs)
        self._entry = order
        if self._rules.entry_ttl_secs and self._ttl_ns == NEVER_NS:
            self._ttl_ns = ts_ns + self._secs(self._rules.entry_ttl_secs)
        actions.append(Submit(order, is_buy=plan.direction > 0, post_only=plan.entry_kind == "limit"))
        actions.append(self._note(kind, price=plan.entry_price, qty=plan.qty))

    def _unwant_entry(self, actions: list[Action], reason: str) -> None:
        if self.stage is Stage.PLANNED:
            self._signal(Signal.DROPPED)
            return
        if self._entry is None or not self._entry.is_alive:
            return
        if self._entry_unwanted and self._next_plan is None and self._rest_plan is None:
            return
        self._next_plan = self._rest_plan = None
        self._entry_unwanted = True
        self._cancel_reason = reason
        self._signal(Signal.CANCEL_SENT)
        actions.append(self._note("entry_cancelled", reason, price=self._entry.price))

    def _entry_ended(self, actions: list[Action], signal: Signal, ts_ns: int) -> None:
        self._signal(signal)
        rest, self._rest_plan = self._rest_plan, None
        if self.stage is Stage.PROTECTED and rest is not None:
            self._send_rest(actions, rest, ts_ns)
        if self.stage is not Stage.PLANNED:
            return
        if self._next_plan is not None:
            self.plan, self._next_plan = self._next_plan, None
            self.stop_price = self.plan.stop_price
            self._send_entry(actions, ts_ns, "entry_repriced")
        else:
            self._signal(Signal.DROPPED)

    def _send_rest(self, actions: list[Action], plan: EntryPlan, ts_ns: int) -> None:
        """Add what the limit left unfilled, at market, where that is an order at all."""
        qty = floor_to(plan.qty - self.ledger.entry_qty, self._market.lot_size)
        if qty < self._market.min_qty or qty * plan.entry_price < self._market.min_notional:
            return
        self.plan = replace(self.plan, entry_kind="market", entry_price=plan.entry_price, qty=qty)
        self._send_entry(actions, ts_ns, "entry_repriced")

    def _entry_refused(self, actions: list[Action], reason: str, ts_ns: int) -> None:
        actions.append(self._note("entry_rejected", reason, price=self.plan.entry_price))
        signal = (
            Signal.ENTRY_REFUSED if Signal.ENTRY_REFUSED in TRANSITIONS[self.stage] else Signal.ENTRY_GONE
        )
        if reason == "post_only" and self.stage is Stage.SUBMITTED:
            self._next_plan = self._behind_the_market()
        self._entry_ended(actions, signal, ts_ns)

    def _behind_the_market(self) -> EntryPlan | None:
        """Return the plan one tick behind the last price, None when that is no trade any more."""
        self._post_only_rejects += 1
        if self._rules.post_only_reject == "drop" or self._post_only_rejects > 1:
            return None
        if not math.isfinite(self.last_price):
            return None
        plan, tick = self.plan, self._market.tick_size
        behind = round_down(self.last_price, tick, plan.direction) - plan.direction * tick
        is_long = plan.direction > 0
        entry = min(behind, plan.entry_price) if is_long else max(behind, plan.entry_price)
        # Closer to the stop than half the planned risk: the zone is all but broken.
        if abs(plan.entry_price - entry) * 2 > abs(plan.entry_price - plan.stop_price):
            return None
        return replace(plan, entry_price=entry)

    def _entered(self, actions: list[Action], fill: Fill, *, is_late: bool) -> None:
        if self.stage is Stage.CLOSED:
            self._start_over()
        is_first = self.ledger.entry_qty == 0
        self._next_plan = None  # no new price for an entry that began to fill
        self.ledger.risk_per_unit = self.plan.risk_per_unit  # that of the entry as it stands now
        self.ledger.enter(fill)
        if is_first:
            self._entry_bucket_seq = self._bucket_seq
            self.highest = self.lowest = float(fill.price)
        was_flat = self.stage in (Stage.CLOSED, Stage.CLEARING)
        entry_alive = self._entry is not None and self._entry.is_alive
        self._signal(Signal.ENTRY_PART_FILLED if entry_alive else Signal.ENTRY_FILLED)
        detail: dict[str, str | int | float] = {"is_first": int(is_first), "is_late": int(is_late)}
        actions.append(self._note("entry_filled", price=fill.price, qty=fill.qty, detail=detail))
        if is_late and entry_alive:
            self._unwant_entry(actions, "late_fill")  # the replaced entry filled: do not enter twice
        if was_flat:
            self._exit_market(actions, "late_fill")

    def _start_over(self) -> None:
        """Begin a new account of fills: the setup was closed and recorded, then another fill came."""
        direction = self.plan.direction
        self.ledger = Ledger(direction, self.plan.risk_per_unit)
        self._entered_at, self._left_at = Shortfall(direction), Shortfall(-direction)
        self.stop_price, self._stop_reason = self.plan.stop_price, "stop"
        self._exit_reason = ""
        self._exit_at_market = False
        self._is_reported = False
        self._is_tainted = False
        self._refusals = 0

    # -- exit ----------------------------------------------------------------------------------------------

    def _left(self, actions: list[Action], order: OwnOrder, fill: Fill) -> None:
        if self.stage is Stage.CLOSED:
            self._start_over()
        self._signal(Signal.EXIT_FILLED)
        self.ledger.leave(fill)
        price = float(fill.price)  # reported before the trade that made it
        self.highest, self.lowest = max(self.highest, price), min(self.lowest, price)
        self._refusals = 0
        self._exit_bucket_seq = self._bucket_seq
        if order.leg is not Leg.EXIT:
            self._exit_reason = order.reason or order.leg.name.lower()
        self._unwant_entry(actions, "exit_filled")

    def _exit_market(self, actions: list[Action], reason: str) -> None:
        if self._exit_at_market:
            return
        self._signal(Signal.EXIT_ORDERED)
        self._exit_at_market = True
        self._exit_decided_price = self._market_decision(reason)
        if not (self.ledger.exit_qty and reason == "late_fill"):
            self._exit_reason = reason  # a straggler does not rename the exit that closed the rest
        self._market_exit_ns = NEVER_NS
        actions.append(self._note("exit_submitted", reason, qty=self.exitable_qty))

    def _market_decision(self, reason: str) -> Decimal | None:
        """Return the price a market exit is measured against, see `trade_manager.shortfall`."""
        if reason in STOP_REASONS:
            return self.stop_price
        if reason == "target":
            return self.plan.target_price
        return Decimal(repr(self.last_price)) if math.isfinite(self.last_price) else None

    def _decided_price(self, order: OwnOrder) -> Decimal | None:
        if order.leg is Leg.EXIT:
            return self._exit_decided_price
        return order.trigger_price or order.price or self.plan.entry_price

    def _exit_limit(self, actions: list[Action], ts_ns: int) -> None:
        self._signal(Signal.EXIT_ORDERED)
        self._exit_reason = "target"
        self._market_exit_ns = ts_ns + self._secs(self._rules.exit_market_after_secs)
        actions.append(
            self._note("exit_submitted", "target", price=self.plan.target_price, qty=self.exitable_qty)
        )

    def _exit_refused(self, actions: list[Action], order: OwnOrder, reason: str, ts_ns: int) -> None:
        """Try again, find another way, or call for help: a position must not stay naked."""
        if self.ledger.position_qty <= 0 or self.stage not in IN_POSITION:
            return  # the venue was right: there is nothing left to protect
        if self._keep_old_stop(order):
            actions.append(self._note("protection", "stop_move_refused", detail={"text": reason}))
            return
        self._refusals += 1
        actions.append(self._note("protection", f"{order.leg.name.lower()}_refused", detail={"text": reason}))
        if order.leg is Leg.TARGET and self._venue.target_rests:
            self._watch_target = True
        if self._refusals > self._rules.max_refusals:
            actions.append(Halt(f"exits refused {self._refusals} times, last: {reason}"))
        covered = protected_qty([one for one in self._exits() if one.stage is OrderStage.WORKING])
        if order.leg is Leg.STOP and covered < self.exitable_qty and not self._exit_at_market:
            self._unwant_entry(actions, "protection_refused")
            self._exit_market(actions, "protection_refused")
        else:
            self._wait_until_ns[order.leg] = ts_ns + self._secs(self._rules.retry_secs)

    def _keep_old_stop(self, refused: OwnOrder) -> bool:
        """Go back to the stop that still works when the venue refuses a closer one: price may be there.

        Who moved it asks again at the next closed bar, or leaves at market.
        """
        if refused.leg is not Leg.STOP or refused.trigger_price != self.stop_price:
            return False
        working = [one for one in self._exits() if one.leg is Leg.STOP and one.stage is OrderStage.WORKING]
        old = working[-1] if working else None
        if old is None or old.trigger_price is None or old.trigger_price == refused.trigger_price:
            return False
        self.stop_price, self._stop_reason = old.trigger_price, old.reason
        return True

    # -- prices and time -----------------------------------------------------------------------------------

    def _on_alarm(self, ts_ns: int, price: float) -> list[Action]:
        actions: list[Action] = []
        self.last_price = price
        if ts_ns >= self._ttl_ns:
            self._ttl_ns = NEVER_NS
            if self.stage not in IN_POSITION or self.stage is Stage.PARTIAL:
                self._unwant_entry(actions, "ttl")
        if ts_ns >= self._retry_cancel_ns:
            self._retry_cancel_ns = NEVER_NS
            for order in self.orders.values():
                if order.stage is OrderStage.CANCELLING and order.refusals:
                    order.stage = OrderStage.WORKING
        self._wait_until_ns = {leg: until for leg, until in self._wait_until_ns.items() if until > ts_ns}
        self._miss_answers(actions, ts_ns)
        if self.stage in IN_POSITION and self.exitable_qty > 0:
            self._watch_exits(actions, ts_ns, price)
        return self._settle(actions, ts_ns)

    def _miss_answers(self, actions: list[Action], ts_ns: int) -> None:
        """Ask about orders that the venue did not acknowledge, then do without them if they are exits.

        An entry that may be alive stays one: another in its place could buy twice.
        """
        for order in self._awaited():
            if ts_ns < order.answer_due_ns:
                continue
            if order.is_asked and order.leg is not Leg.ENTRY:
                order.stage = OrderStage.FINAL
                order.is_given_up = True
                actions.append(self._note("protection", f"{order.leg.name.lower()}_unanswered"))
            else:
                order.is_asked = True
                order.answer_due_ns = ts_ns + self._secs(self._rules.answer_secs)
                actions.append(Query(order.client_id))

    def _watch_exits(self, actions: list[Action], ts_ns: int, price: float) -> None:
        if self._is_beyond(price, self.stop_price):
            if self.stage is Stage.EXITING:
                self._unwant_entry(actions, "stop")
                self._exit_market(actions, self._stop_reason)  # the target's limit was left behind
            elif self._market_exit_ns == NEVER_NS:
                # The stop should fill now. If a gap jumped over its limit, it never will.
                self._market_exit_ns = ts_ns + self._secs(self._rules.exit_market_after_secs)
        elif self._watch_target and self.stage is not Stage.EXITING and self._reached_target(price):
            self._unwant_entry(actions, "target")
            if self._venue.target_rests:
                self._exit_market(actions, "target")
            else:
                self._exit_limit(actions, ts_ns)
        if ts_ns >= self._market_exit_ns:
            self._unwant_entry(actions, "exit_late")
            self._exit_market(actions, self._exit_reason or self._stop_reason)

    def _is_beyond(self, price: float, stop_price: Decimal) -> bool:
        half_tick = float(self._market.tick_size) / 2
        return (price - float(stop_price)) * self.plan.direction < half_tick

    def _reached_target(self, price: float) -> bool:
        half_tick = float(self._market.tick_size) / 2
        return (price - float(self.plan.target_price)) * self.plan.direction > -half_tick

    # -- after every fact ----------------------------------------------------------------------------------

    def _settle(self, actions: list[Action], ts_ns: int) -> list[Action]:
        """Bring exits in line with the position, close what is over, and set the alarms."""
        if self._is_away:
            return actions
        entry = self._entry
        if entry is not None and self._entry_unwanted and entry.stage is OrderStage.WORKING:
            entry.stage = OrderStage.CANCELLING
            actions.append(Cancel(entry.client_id))
        entry_alive = entry is not None and entry.is_alive
        # Too little to sell yet is not flat while the entry may still add to it.
        is_over = not entry_alive or self.ledger.exit_qty > 0
        if self.stage in IN_POSITION and self.exitable_qty == 0 and is_over:
            self._signal(Signal.FLAT)
        for step in reconcile(self._wanted_exits(), self._managed_exits(), self._venue, self.exitable_qty):
            self._carry_out(actions, step, ts_ns)
        # Below zero: sold what an entry fill that is still to be reported had bought.
        is_final = self.ledger.position_qty >= 0 and not any(one.is_alive for one in self.orders.values())
        if self.stage is Stage.CLEARING and is_final:
            self._signal(Signal.CLEARED)
        if self.stage is Stage.CLOSED and not self._is_reported:
            self._is_reported = True
            actions.append(self._finished())
        self.arm()
        return actions

    def _wanted_exits(self) -> list[WantedExit]:
        qty = self.exitable_qty
        if self.stage not in IN_POSITION or qty == 0:
            return []
        plan = self.plan
        at_market = WantedExit(Leg.EXIT, OrderKind.MARKET, qty)
        stop = WantedExit(Leg.STOP, self._venue.stop_kind, qty, self._stop_limit(), self.stop_price)
        target = WantedExit(Leg.TARGET, OrderKind.LIMIT, qty, plan.target_price)
        if self._venue.reduce_only:
            if self.stage is Stage.EXITING:
                return [at_market]
            return [stop] if self._watch_target else [stop, target]
        if self.stage is Stage.EXITING:
            return [at_market if self._exit_at_market else target]
        return [stop]

    def _managed_exits(self) -> list[OwnOrder]:
        """Return the exits to bring in line: while a margin position is closed, its stop stays as it is.

        It is reduce-only and cannot sell twice, and until the market order has filled it is the protection.
        """
        if self.stage is Stage.EXITING and self._venue.reduce_only:
            return [order for order in self._exits() if order.leg is not Leg.STOP]
        return self._exits()

    def _stop_limit(self) -> Decimal | None:
        if self._venue.stop_kind is not OrderKind.STOP_LIMIT:
            return None
        plan, offset_pct = self.plan, self._rules.stop_limit_offset_pct
        if self._stop_limit_of is None or self._stop_limit_of[0] != self.stop_price:
            limit = stop_limit(plan.direction, self.stop_price, offset_pct, self._market.tick_size)
            self._stop_limit_of = self.stop_price, limit
        return self._stop_limit_of[1]

    def _carry_out(self, actions: list[Action], step: Step, ts_ns: int) -> None:
        match step:
            case Place(wanted):
                if wanted.leg in self._wait_until_ns:
                    return
                order = self._new_order(
                    wanted.leg,
                    wanted.kind,
                    wanted.qty,
                    price=wanted.price,
                    trigger_price=wanted.trigger_price,
                )
                if wanted.leg is Leg.STOP:
                    order.reason = self._stop_reason
                order.answer_due_ns = ts_ns + self._secs(self._rules.answer_secs)
                is_buy = self.plan.direction < 0
                actions.append(Submit(order, is_buy=is_buy, reduce_only=self._venue.reduce_only))
                actions.append(self._note("protection", f"{wanted.leg.name.lower()}_placed", qty=wanted.qty))
            case Withdraw(order):
                order.stage = OrderStage.CANCELLING
                actions.append(Cancel(order.client_id))
            case Resize(order, wanted):
                prices = wanted.price, wanted.trigger_price
                is_moved = prices != (order.price, order.trigger_price)
                order.stage = OrderStage.CHANGING
                order.changing_to_qty = qty = order.filled_qty + wanted.qty
                order.changing_to_price, order.changing_to_trigger = prices
                actions.append(Change(order.client_id, qty, *(prices if is_moved else ())))
                change = "moved" if is_moved else "resized"
                actions.append(self._note("protection", f"{order.leg.name.lower()}_{change}", qty=wanted.qty))

    def arm(self) -> None:
        """Set what wakes `on_price` up."""
        self.low_alarm, self.high_alarm = -math.inf, math.inf
        in_position = self.stage in IN_POSITION
        if in_position:
            half_tick = float(self._market.tick_size) / 2
            direction = self.plan.direction
            stop = float(self.stop_price) + direction * half_tick
            target = math.inf * direction
            if self._watch_target:
                target = float(self.plan.target_price) - direction * half_tick
            self.low_alarm, self.high_alarm = (stop, target) if direction > 0 else (target, stop)
        self.deadline_ns = min(
            self._ttl_ns if self._entry is not None and self._entry.is_alive else NEVER_NS,
            self._market_exit_ns if in_position else NEVER_NS,
            self._retry_cancel_ns,
            *self._wait_until_ns.values(),
            *(one.answer_due_ns for one in self._awaited()),
        )
        self.is_watching = in_position or self.deadline_ns != NEVER_NS

    def _finished(self) -> Finished:
        ledger = self.ledger
        trade = self._closed_trade() if ledger.exit_qty else None
        return Finished(trade, ledger.position_qty, ledger.dust_value)

    def _closed_trade(self) -> ClosedTrade:
        ledger, plan = self.ledger, self.plan
        entry_price = float(ledger.entry_price)
        risk_per_unit = float(ledger.risk / ledger.entry_qty)
        best, worst = (self.highest, self.lowest) if plan.direction > 0 else (self.lowest, self.highest)
        scale = plan.direction / risk_per_unit if risk_per_unit else math.nan
        return ClosedTrade(
            setup_id=self.identity.setup_id,
            strategy_id=self.identity.strategy_id,
            instrument_id=self.identity.instrument_id,
            side="long" if plan.direction > 0 else "short",
            entry_ts_ns=ledger.entry_ts_ns,
            exit_ts_ns=ledger.exit_ts_ns,
            entry_price=_text(ledger.entry_price),
            exit_price=_text(ledger.exit_price),
            qty=_text(ledger.entry_qty),
            pnl=_text(ledger.pnl),
            fees=_text(ledger.fees),
            dust_qty=_text(ledger.position_qty),
            r_multiple=float(ledger.pnl / ledger.risk) if ledger.risk else math.nan,
            mae_r=min(0.0, (worst - entry_price) * scale),
            mfe_r=max(0.0, (best - entry_price) * scale),
            mae_price=min(0.0, (worst - entry_price) * plan.direction),
            mfe_price=max(0.0, (best - entry_price) * plan.direction),
            exit_reason=self._exit_reason,
            stop_price=_text(plan.stop_price),
            last_stop_price=_text(self.stop_price),
            target_price=_text(plan.target_price),
            zone_id=plan.zone_id,
            zone_low=plan.zone_low,
            zone_high=plan.zone_high,
            tainted=self._is_tainted,
            entry_bucket_seq=self._entry_bucket_seq,
            exit_bucket_seq=self._exit_bucket_seq,
            funding=_text(ledger.funding),
            held_secs=(ledger.exit_ts_ns - ledger.entry_ts_ns) / NANOS,
            entry_decision_price=_text_or_empty(self._entered_at.decision_price),
            exit_decision_price=_text_or_empty(self._left_at.decision_price),
            entry_slippage=_text_or_empty(self._entered_at.slippage_quote),
            exit_slippage=_text_or_empty(self._left_at.slippage_quote),
            entry_slippage_bps=self._entered_at.slippage_bps,
            exit_slippage_bps=self._left_at.slippage_bps,
            market_exit_value=_text(self._left_at.market_value),
        )

    # -- small things --------------------------------------------------------------------------------------

    def _signal(self, signal: Signal) -> None:
        self.stage = advance(self.stage, signal)

    def _exits(self) -> list[OwnOrder]:
        return [order for order in self.orders.values() if order.leg is not Leg.ENTRY]

    def _awaited(self) -> list[OwnOrder]:
        orders = self.orders.values() if self.asks_about_entry else self._exits()
        return [one for one in orders if one.stage is OrderStage.SENT]

    def _new_order(
        self,
        leg: Leg,
        kind: OrderKind,
        qty: Decimal,
        *,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> OwnOrder:
        self._attempts[leg] += 1
        client_id = client_order_id(
            self.identity.tag, self.identity.symbol, self.identity.setup_id, leg.value, self._attempts[leg]
        )
        order = OwnOrder(client_id, leg, kind, qty, price, trigger_price)
        self.orders[client_id] = order
        return order

    def _note(
        self,
        kind: Literal[
            "entry_submitted",
            "entry_repriced",
            "entry_cancelled",
            "entry_rejected",
            "entry_filled",
            "entry_unknown",
            "protection",
            "exit_submitted",
            "external",
        ],
        reason: str = "",
        *,
        price: Decimal | None = None,
        qty: Decimal | None = None,
        detail: dict[str, str | int | float] | None = None,
    ) -> Note:
        plan = self.plan
        return Note(kind, reason, price, self.stop_price, plan.target_price, qty, detail or {})

    @staticmethod
    def _secs(secs: float) -> int:
        return round(secs * NANOS)


def _text(value: Decimal) -> str:
    """Return a decimal without exponent, rounded to 12 places."""
    return format(round(value, 12).normalize(), "f")


def _text_or_empty(value: Decimal | None) -> str:
    return "" if value is None else _text(value)
