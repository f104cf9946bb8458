"""The Nautilus shell around the setups of one instrument: events in, orders out, decisions published.

It translates and does not think: what to do is decided in ``strategies.trade_manager``, which runs without
Nautilus. A strategy on one instrument is its own desk (`SetupStrategy`); one on many has a desk for each.
"""

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import (
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderDenied,
    OrderEvent,
    OrderExpired,
    OrderFilled,
    OrderInitialized,
    OrderModifyRejected,
    OrderPendingCancel,
    OrderPendingUpdate,
    OrderRejected,
    OrderSubmitted,
    OrderUpdated,
)
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.model.orders import Order

from strategies.account_view import market_of
from strategies.deadline_watch import CallSoon, DeadlineWatch
from strategies.entry_halt import (
    HaltEntries,
    HoldEntries,
    Holds,
    RearmEntries,
    ReleaseEntries,
    listen_to_halts,
    listen_to_holds,
)
from strategies.entry_limits import EntryLimits
from strategies.exposure import entry_intent
from strategies.kept_desk import EXTERNAL, KeptDesk
from strategies.protection import capabilities, unknown_outcome
from strategies.setup_keeper import UNKNOWN_TOPIC, UnknownOrder
from strategies.trade_manager.client_ids import base36, client_order_id, setup_id
from strategies.trade_manager.funding import FundingPayment, funding_topic
from strategies.trade_manager.lifecycle import IllegalTransition
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
    Query,
    Submit,
)
from strategies.trade_manager.plan import EntryPlan, check_plan
from strategies.trade_manager.record import ClosedTrade, Decision, DecisionKind, ExitReason
from strategies.trade_manager.setup import NEVER_NS, ExitRules, Identity, Setup
from strategies.trade_manager.skips import SkipReason
from strategies.venue_filters import refused_exit

COUNTED_FROM_ZERO: Final = (
    "buckets",
    "zones",
    "entries_submitted",
    "entries_repriced",
    "entries_filled",
    "entries_cancelled",
    "entries_cancelled_by_model",
    "entries_rejected",
    "positions_closed",
    "positions_open_at_stop",
    "illegal_transitions",
)
# Why an entry is denied that was taken back, or entries closed, before it left for the venue.
WITHDRAWN: Final = "withdrawn"
# Events that tell nothing but that an order, or the wish to change it, is on its way.
OWN_STEPS: Final = frozenset({OrderInitialized, OrderSubmitted, OrderPendingCancel, OrderPendingUpdate})
_NOTE_COUNTERS: Final[dict[str, str]] = {
    "entry_submitted": "entries_submitted",
    "entry_repriced": "entries_repriced",
    "entry_cancelled": "entries_cancelled",
    "entry_rejected": "entries_rejected",
}


class SetupDesk(KeptDesk):
    """Everything about one instrument: its setup, the orders of it, and what comes of them.

    Parameters
    ----------
    host
        The strategy whose name the orders carry; its cache, clock, message bus and order methods are used.
    instrument_id
        What is traded.
    tag
        Short name in client order ids, at most 4 characters.
    exit_rules
        How entries and exits are handled at the venue.
    counters
        Of the strategy; those of several desks add up in one.
    """

    entry_limits: EntryLimits | None = None
    """Asked before each entry goes out; None sets no limits."""

    def __init__(
        self,
        host: Any,
        instrument_id: InstrumentId,
        tag: str,
        exit_rules: ExitRules,
        counters: dict[str, int],
    ) -> None:
        super().__init__(host, instrument_id, tag, exit_rules)
        self.counters = counters
        self.is_halted = False
        self.holds = Holds(instrument_id.value)
        self.bucket_seq = -1
        self.instrument = None
        self._queue: deque[tuple[Setup, Action]] = deque()
        self._is_draining = False
        self._deadlines: DeadlineWatch | None = None
        self._unplanned_exit: ClientOrderId | None = None
        self._price_precision = 0
        self._size_precision = 0

    # -- for the strategy -------------------------------------------------------------------------

    def prepare(self) -> bool:
        """Read instrument and account; False (and an error in the log) when there is no instrument."""
        instrument = self._host.cache.instrument(self.instrument_id)
        if instrument is None:
            self._host.log.error(f"{self.instrument_id} is not in the cache: the strategy does not start")
            return False
        self.instrument = instrument
        self.began_ns = self._host.clock.timestamp_ns()
        self._price_precision = instrument.price_precision
        self._size_precision = instrument.size_precision
        account = self.account_kind()
        self.venue = capabilities(self.instrument_id.venue.value, account)
        self.market = market_of(instrument, self.venue, account)
        topic = funding_topic(self.instrument_id.value)
        self._host.msgbus.subscribe(topic=topic, handler=self.on_funding)
        listen_to_halts(self._host.msgbus, self)
        if self.keeper is not None:
            self._host.msgbus.subscribe(topic=UNKNOWN_TOPIC, handler=self.on_unknown_order)
        self.restore()  # before holds are told: a hold takes a waiting entry back
        listen_to_holds(self._host.msgbus, self)
        return True

    def open_setup(self, plan: EntryPlan, known_ts_ns: int, ts_ns: int) -> Setup:
        """Send the entry of a plan; the strategy has no other setup.

        Raises
        ------
        ValueError
            When the plan makes no sense, see `check_plan`.
        """
        check_plan(plan)
        identity = Identity(
            tag=self.tag,
            symbol=self.instrument_id.symbol.value,
            strategy_id=self._host.id.value,
            instrument_id=self.instrument_id.value,
            setup_id=setup_id(plan.direction, known_ts_ns, plan.zone_id),
        )
        setup = Setup(
            identity,
            plan,
            self.market,
            self.venue,
            self.exit_rules,
            bucket_seq=self.bucket_seq,
            carried_qty=self._dust_qty,
            carried_value=self._dust_value,
        )
        self._dust_qty = self._dust_value = ZERO
        setup.asks_about_entry = self.keeper is not None
        self.setup = setup
        self.remember(setup)
        self.carry_out(setup, setup.submit(ts_ns))
        return setup

    def carry_out(self, setup: Setup, actions: Iterable[Action]) -> None:
        """Do what the core asked for, in order; answers that arrive meanwhile queue up behind."""
        self._queue.extend((setup, action) for action in actions)
        if self._is_draining:
            return
        self._is_draining = True
        try:
            while self._queue:
                self._perform(*self._queue.popleft())
        finally:
            self._is_draining = False
            if self.keeper is not None:
                self._keep(setup, is_intent=False)
            self.on_setup_changed()
            self.mind_deadline()

    def watch_deadlines(self, call_soon: CallSoon) -> None:
        """Look at the setup's deadlines when they come, not with the next bar: where time is real.

        Parameters
        ----------
        call_soon
            Runs a function in the strategy's own thread.
        """
        name = f"deadline-{self.instrument_id}"
        self._deadlines = DeadlineWatch(self._host.clock, name, call_soon, self._on_deadline)
        self.mind_deadline()

    def mind_deadline(self) -> None:
        """Set the alert to the next deadline of the setup, where deadlines are watched."""
        if self._deadlines is not None:
            setup = self.setup
            self._deadlines.set(NEVER_NS if setup is None or setup.is_closed else setup.deadline_ns)

    def _on_deadline(self, ts_ns: int) -> None:
        setup = self.setup
        if setup is not None and not setup.is_closed:
            self.carry_out(setup, setup.on_deadline(ts_ns) or ())

    def decide(self, kind: DecisionKind, *, ts_ns: int, setup: Setup | None = None, **fields: Any) -> None:
        """Publish a decision; `fields` are those of `Decision`."""
        if setup is not None:
            fields.setdefault("setup_id", setup.identity.setup_id)
            fields.setdefault("zone_id", setup.plan.zone_id)
            fields.setdefault("side", side_name(setup.plan.direction))
        decision = Decision(
            ts_ns=ts_ns,
            strategy_id=self._host.id.value,
            instrument_id=self.instrument_id.value,
            kind=kind,
            bucket_seq=self.bucket_seq,
            **fields,
        )
        self._host.msgbus.publish(topic=f"decisions.{self.instrument_id.value}", msg=decision)

    def count(self, name: str, step: int = 1) -> None:
        """Add to a counter of the strategy."""
        self.counters[name] = self.counters.get(name, 0) + step

    def halt(self, reason: str, **detail: str) -> None:
        """Open nothing any more, also after a restart; exits go on. A waiting entry is taken back."""
        if not self.kept_halt:
            self.kept_halt = reason
            self.keep_memory()
        self._halt(reason, detail)

    def _halt(self, reason: str, detail: dict[str, str]) -> None:
        if not self.is_halted:
            self.is_halted = True
            self._host.log.error(f"{self.instrument_id} halted: {reason}")
            self.count("halted")
            ts_ns = self._host.clock.timestamp_ns()
            self.decide("halted", ts_ns=ts_ns, reason=reason, detail={**detail})
            if self.setup is not None and not self.setup.is_closed:
                self.carry_out(self.setup, self.setup.cancel_entry("halted", ts_ns))

    def on_halt_entries(self, message: HaltEntries) -> None:
        """Open nothing any more: a part of the node says that nothing may be."""
        self._halt(message.text, {"source": message.source})

    def on_rearm_entries(self, message: RearmEntries) -> None:
        """Open again: a person has looked, whatever it was that halted this desk."""
        if self.is_halted:
            self.is_halted = False
            self._host.log.warning(f"{self.instrument_id} rearmed by {message.actor}")
            self.count("rearmed")
            detail = {"actor": message.actor}
            self.decide("rearmed", ts_ns=message.ts_ns, reason=message.reason, detail=detail)
        if self.kept_halt:
            self.kept_halt = ""
            self.keep_memory()
        self.release_external()

    @property
    def closed_to_entries(self) -> SkipReason | None:
        """Return why nothing may be opened here, whatever the signal; None when it may."""
        if self.is_halted:
            return SkipReason.HALTED
        return SkipReason.HELD if self.holds else None

    def wants_entry(self, client_id: str) -> bool:
        """Tell whether an entry that has not left yet may leave; True for one that is not of this desk."""
        setup = self._by_order.get(client_id)
        if setup is None:
            return True
        limits = self.entry_limits
        if self.closed_to_entries is not None or (limits is not None and limits.closed_by):
            return False
        return setup.is_entering and setup.entry_id == client_id

    def on_hold_entries(self, message: HoldEntries) -> None:
        """Open nothing until this is released; a waiting entry is taken back."""
        if not self.holds.begin(message):
            return
        if message.source == EXTERNAL:
            self.keep_memory()
        ts_ns = self._host.clock.timestamp_ns()
        self._host.log.warning(f"{self.instrument_id} held ({message.source}): {message.reason}")
        self.count("held")
        self.decide("held", ts_ns=ts_ns, reason=message.source, detail={"text": message.reason})
        if self.setup is not None and not self.setup.is_closed:
            self.carry_out(self.setup, self.setup.cancel_entry(f"held_{message.source}", ts_ns))

    def on_release_entries(self, message: ReleaseEntries) -> None:
        """Open again when no other hold stands."""
        if self.holds.end(message):
            if message.source == EXTERNAL:
                self.keep_memory()
            ts_ns = self._host.clock.timestamp_ns()
            others = self.holds.text
            self._host.log.info(
                f"{self.instrument_id} released ({message.source}); still held: {others or 'no'}"
            )
            self.decide("released", ts_ns=ts_ns, reason=message.source, detail={"still": others})

    def close_by_hand(self, reason: str, who: str) -> bool:
        """Close the position at market and take its entry back, because a person wants it.

        Parameters
        ----------
        reason
            In the person's words.
        who
            Whom to ask about it.

        Returns
        -------
        bool
            False when there was nothing to close.
        """
        setup = self.setup
        if setup is None or setup.is_closed:
            return False
        ts_ns = self._host.clock.timestamp_ns()
        self._say_command("close", setup, ts_ns, reason, who)
        self.carry_out(setup, setup.close(ExitReason.MANUAL.value, ts_ns))
        return True

    def cancel_entry_by_hand(self, who: str, reason: str = "") -> bool:
        """Take an entry back that waits, because a person wants it; a position keeps its exits.

        Returns
        -------
        bool
            False when no entry was alive.
        """
        setup = self.setup
        if setup is None or setup.is_closed:
            return False
        ts_ns = self._host.clock.timestamp_ns()
        # The core knows whether one is alive, or on its way back to be sent again at another price.
        actions = setup.cancel_entry(ExitReason.MANUAL.value, ts_ns)
        is_new = any(isinstance(one, Note) and one.kind == "entry_cancelled" for one in actions)
        if is_new:
            self._say_command("cancel_entry", setup, ts_ns, reason, who)
        self.carry_out(setup, actions)
        return is_new

    def close_unprotected(self, unprotected_secs: float) -> None:
        """Close what the watchdog found without a stop at the venue for too long."""
        ts_ns = self._host.clock.timestamp_ns()
        setup = self.setup
        if setup is not None and not setup.is_closed:
            detail: dict[str, str | int | float] = {"unprotected_secs": unprotected_secs}
            self.decide("watchdog", ts_ns=ts_ns, setup=setup, reason="unprotected", detail=detail)
            self.carry_out(setup, setup.close_unprotected(ts_ns))
        qty = self.unplanned_qty()
        if abs(qty) < self.market.lot_size or self._is_closing_unplanned():
            return
        detail = {"unprotected_secs": unprotected_secs, "unplanned": str(qty)}
        self.decide("watchdog", ts_ns=ts_ns, reason="unplanned", detail=detail)
        self._make_room(abs(qty))
        self._unplanned_exit = ClientOrderId(self._unplanned_id(ts_ns))
        order = self._host.order_factory.market(
            instrument_id=self.instrument_id,
            order_side=OrderSide.SELL if qty > 0 else OrderSide.BUY,
            quantity=self._quantity(abs(qty)),
            reduce_only=self.venue.reduce_only,
            client_order_id=self._unplanned_exit,
        )
        self._host.submit_order(order)

    def _is_closing_unplanned(self) -> bool:
        """Tell whether the order that closes what nobody planned is on its way: the watchdog asks again.

        One that its client never sent stays new for ever and has no answer to wait for.
        """
        sent = None if self._unplanned_exit is None else self._host.cache.order(self._unplanned_exit)
        if sent is None or sent.is_closed:
            return False
        age_ns = self._host.clock.timestamp_ns() - sent.ts_init
        return bool(sent.is_inflight or sent.is_open or age_ns < self.exit_rules.answer_secs * 1e9)

    def _unplanned_id(self, ts_ns: int) -> str:
        name = f"U{base36(ts_ns // 1_000_000)}"
        return client_order_id(self.tag, self.instrument_id.symbol.value, name, Leg.EXIT.value, 1)

    def _say_command(self, action: str, setup: Setup, ts_ns: int, reason: str, who: str) -> None:
        self._host.log.warning(f"{self.instrument_id} {action} asked for by {who}: {reason or 'no reason'}")
        self.count(f"commanded_{action}")
        detail: dict[str, str | int | float] = {"actor": who, "action": action, "text": reason}
        self.decide("commanded", ts_ns=ts_ns, setup=setup, reason=action, detail=detail)

    def stop_setup(self) -> None:
        """Take a living entry back when the strategy stops; a position keeps its exits at the venue."""
        if self._deadlines is not None:
            self._deadlines.set(NEVER_NS)
            self._deadlines = None
        setup = self.setup
        if setup is None or setup.is_closed:
            return
        for own in setup.orders.values():
            if own.leg is Leg.ENTRY and own.is_alive:
                self._cancel(own.client_id)
        if setup.is_in_position:
            self.count("positions_open_at_stop")

    def before_fill(self, setup: Setup) -> None:
        """Run before a fill is counted."""

    def on_entry_sent(self, setup: Setup) -> None:
        """Run before an entry, the first or one at another price, goes to the venue."""

    def on_setup_changed(self) -> None:
        """Run after actions were carried out; a strategy refreshes its watch flag here."""

    def on_setup_finished(self, setup: Setup) -> None:
        """Run when a setup is closed and final."""

    def say_restored(self, setup: Setup, stage: str) -> None:
        """Publish that a setup was taken up again; `stage` is the one in which it was stored."""
        self.count("setups_restored")
        self.decide(
            "restored",
            ts_ns=self._host.clock.timestamp_ns(),
            setup=setup,
            reason=setup.stage.value.lower(),
            price=_text(setup.plan.entry_price),
            stop=_text(setup.stop_price),
            target=_text(setup.plan.target_price),
            qty=_text(setup.position_qty),
            detail={"stored": stage.lower()},
        )

    # -- Nautilus events -----------------------------------------------------------------------------------

    def on_order_event(self, event: OrderEvent) -> None:
        """Translate a venue's report for the setup that the order belongs to."""
        setup = self._by_order.get(event.client_order_id.value)
        if setup is None:
            if self.keeper is not None and isinstance(event, OrderFilled):
                self.on_foreign_fill(event)
            return
        if type(event) in OWN_STEPS:
            return  # what we did ourselves, a moment ago: the setup knows
        if self.reach is not None:
            self.reach(_point(setup, event))
        if isinstance(event, OrderFilled):
            self.before_fill(setup)
        try:
            actions = self._report(setup, event)
        except IllegalTransition as error:
            self.count("illegal_transitions")
            # Nautilus wants the exception as an argument.
            self._host.log.exception(f"{event.client_order_id} {type(event).__name__}", error)  # noqa: TRY401
            self.give_up(setup, str(error))
            return
        self.carry_out(setup, actions)

    def on_unknown_order(self, message: UnknownOrder) -> None:
        """Take that nobody knows whether an order arrived: it is asked about, never sent again blindly."""
        setup = self._by_order.get(message.client_order_id)
        if setup is not None and message.client_order_id in setup.orders:
            self.count("orders_unknown")
            ts_ns = self._host.clock.timestamp_ns()
            self.carry_out(setup, setup.on_unanswered(message.client_order_id, ts_ns))

    def on_funding(self, payment: FundingPayment) -> None:
        """Book what our position paid or received at a funding time into its trade."""
        if payment.strategy_id != self._host.id.value:
            return
        if self.keeper is not None:
            self.book_funding(payment)
            return
        held = [one for one in self._remembered if one.position_qty > 0 and not one.is_closed]
        if not held:
            self.count("funding_without_a_trade")
            return
        self.count("funding_payments")
        held[-1].ledger.fund(payment.amount)

    def book_funding(self, payment: FundingPayment) -> None:
        """Book a payment into the trade of its time, once, whoever tells of it how often."""
        ts_ns = payment.ts_ns
        held = [
            one
            for one in self._remembered
            if 0 < one.ledger.entry_ts_ns <= ts_ns and (not one.is_closed or ts_ns <= one.ledger.exit_ts_ns)
        ]
        if not held:
            self.count("funding_without_a_trade")
            return
        setup = held[-1]
        if ts_ns <= setup.ledger.funded_ns:
            return
        setup.ledger.fund(payment.amount, ts_ns)
        self.count("funding_payments")
        # A trade that closed before the venue told of it is on record already, without this.
        self.decide(
            "funding",
            ts_ns=ts_ns,
            setup=setup,
            reason="after_close" if setup.is_closed else "",
            price="" if payment.price is None else f"{payment.price:f}",
            qty=f"{abs(payment.signed_qty):f}",
            detail={
                "amount": f"{payment.amount:f}",
                "rate": "" if payment.rate is None else f"{payment.rate:f}",
            },
        )
        self._keep(setup, is_intent=False)

    def _report(self, setup: Setup, event: Any) -> list[Action]:
        client_id: str = event.client_order_id.value
        ts_ns: int = event.ts_event
        setup.last_price = float(self.last_price() or "nan")
        given_up: list[Action] = []
        planned = setup.next_plan
        # While the old entry was on its way back, another strategy may have spent its money.
        if planned is not None and _is_taken_back(event) and not self._affords(planned):
            given_up = setup.cancel_entry("funds", ts_ns)
        if isinstance(event, OrderFilled):
            return setup.on_filled(client_id, self.fill_of(event))
        if isinstance(event, OrderAccepted):
            return setup.on_accepted(client_id, ts_ns)
        if isinstance(event, OrderUpdated):
            return setup.on_updated(client_id, event.quantity.as_decimal(), ts_ns)
        if isinstance(event, OrderCanceled | OrderExpired):
            return [*given_up, *setup.on_canceled(client_id, ts_ns)]
        if isinstance(event, OrderRejected):
            if unknown_outcome(self.venue, event.reason):
                return setup.on_unanswered(client_id, ts_ns)
            return setup.on_rejected(client_id, event.reason, ts_ns, due_post_only=event.due_post_only)
        if isinstance(event, OrderDenied):
            return [*given_up, *setup.on_rejected(client_id, event.reason, ts_ns, due_post_only=False)]
        if isinstance(event, OrderCancelRejected):
            return setup.on_cancel_refused(client_id, ts_ns)
        if isinstance(event, OrderModifyRejected):
            return setup.on_change_refused(client_id, ts_ns)
        return []

    def fill_of(self, event: Any) -> Fill:
        """Return a fill (an event, or a report of one) in plain words."""
        fee = event.commission
        amount, currency = (fee.as_decimal(), fee.currency) if fee is not None else (ZERO, None)
        is_base = currency is not None and currency == self.instrument.base_currency
        if amount and not is_base and currency != self.instrument.quote_currency:
            self.count("fees_in_other_currency")  # BNB: it does not touch the position; not in the pnl
            amount = ZERO
        takes_coins = is_base and self.venue.reduce_only is False
        return Fill(
            ts_ns=event.ts_event,
            trade_id=event.trade_id.value,
            qty=event.last_qty.as_decimal(),
            price=event.last_px.as_decimal(),
            fee_quote=ZERO if takes_coins else amount,
            fee_base=amount if takes_coins else ZERO,
        )

    # -- actions -------------------------------------------------------------------------------------------

    def _perform(self, setup: Setup, action: Action) -> None:
        match action:
            case Submit() if action.order.leg is Leg.ENTRY and (closed := self.closed_to_entries):
                # Halted between the decision and its order, or while another entry was being replaced.
                client_id, ts_ns = action.order.client_id, self._host.clock.timestamp_ns()
                self.carry_out(setup, setup.on_rejected(client_id, closed.value, ts_ns, due_post_only=False))
            case Submit() if self._over_limits(setup, action):
                client_id, ts_ns = action.order.client_id, self._host.clock.timestamp_ns()
                reason = SkipReason.RISK.value
                self.carry_out(setup, setup.on_rejected(client_id, reason, ts_ns, due_post_only=False))
            case Submit() if action.order.leg is Leg.ENTRY and (text := self._refused_exit(setup)):
                self._host.log.warning(f"{self.instrument_id} not entered, an exit would be refused: {text}")
                client_id, ts_ns = action.order.client_id, self._host.clock.timestamp_ns()
                reason = f"{text.split()[0]}_filter"
                self.carry_out(setup, setup.on_rejected(client_id, reason, ts_ns, due_post_only=False))
            case Submit() if not self._keep_intent(setup, action.order.leg) and action.order.leg is Leg.ENTRY:
                # What is not on the disk would be forgotten in a position. Exits go out nevertheless.
                client_id, ts_ns = action.order.client_id, self._host.clock.timestamp_ns()
                self.carry_out(setup, setup.on_rejected(client_id, "not_stored", ts_ns, due_post_only=False))
                self.halt("the state file cannot be written: free space on the disk, then rearm")
            case Submit():
                self._by_order[action.order.client_id] = setup
                if action.order.leg is Leg.ENTRY:
                    self.on_entry_sent(setup)
                else:
                    self._make_room(action.order.qty)
                self._host.submit_order(self._order(action), **self._carried(setup, action))
                if self.reach is not None:
                    self.reach(f"{action.order.leg.name.lower()}_sent")
            case Cancel(client_id):
                self._cancel(client_id)
                if self.reach is not None:
                    self.reach("cancel_sent")
            case Change(client_id, qty, price, trigger_price):
                self._host.modify_order(
                    self._host.cache.order(ClientOrderId(client_id)),
                    quantity=self._quantity(qty),
                    price=None if price is None else self._price(price),
                    trigger_price=None if trigger_price is None else self._price(trigger_price),
                )
            case Query(client_id):
                self._query(client_id)
            case Note():
                self._publish_note(setup, action)
            case Halt(reason):
                self.halt(reason)
            case Finished():
                self._finish(setup, action)

    def _make_room(self, qty: Decimal) -> None:
        if self.make_room is not None:
            prices = [self.last_price() or ZERO]
            if self.setup is not None:
                plan = self.setup.plan
                prices += [plan.entry_price, plan.stop_price, plan.target_price]
            self.make_room(self.instrument_id, qty * max(prices))

    def _over_limits(self, setup: Setup, action: Submit) -> bool:
        """Ask the account's limits about an entry; publish why it must not go out."""
        if self.entry_limits is None or action.order.leg is not Leg.ENTRY:
            return False
        intent = entry_intent(self, self._host, action.order)
        skip = self.entry_limits.check(intent)
        if skip is None:
            return False
        self._host.log.warning(f"{self.instrument_id} entry refused by the limits: {skip.text}")
        self.count("entries_over_limits")
        detail: dict[str, str | int | float] = {"text": skip.text, "figure": skip.figure, "limit": skip.limit}
        self.decide("entry_refused", ts_ns=intent.ts_ns, setup=setup, reason=skip.reason.value, detail=detail)
        return True

    def _refused_exit(self, setup: Setup) -> str | None:
        if self.keeper is None:  # venues filter, backtests do not
            return None
        offset_pct = self.exit_rules.stop_limit_offset_pct
        return refused_exit(setup.plan, self.market, self.venue, self.instrument.info, offset_pct)

    def _order(self, action: Submit) -> Order:
        own = action.order
        common: dict[str, Any] = {
            "instrument_id": self.instrument_id,
            "order_side": OrderSide.BUY if action.is_buy else OrderSide.SELL,
            "quantity": self._quantity(own.qty),
            "reduce_only": action.reduce_only,
            "client_order_id": ClientOrderId(own.client_id),
            "tags": [own.leg.name],
        }
        factory = self._host.order_factory
        match own.kind:
            case OrderKind.MARKET:
                return factory.market(**common)
            case OrderKind.LIMIT:
                return factory.limit(price=self._price(own.price), post_only=action.post_only, **common)
            case OrderKind.STOP_MARKET:
                return factory.stop_market(trigger_price=self._price(own.trigger_price), **common)
            case OrderKind.STOP_LIMIT:
                return factory.stop_limit(
                    price=self._price(own.price), trigger_price=self._price(own.trigger_price), **common
                )

    def _carried(self, setup: Setup, action: Submit) -> dict[str, Any]:
        """Return what the adapter puts beside an entry on the wire: the stop that it carries."""
        price = self.carried_stop(setup.plan) if action.order.leg is Leg.ENTRY else None
        if price is None:
            return {}
        return {"params": {"stop_loss": str(self._price(price)), "tpsl_mode": "Full"}}

    def _query(self, client_id: str) -> None:
        self.count("orders_queried")
        order = self._host.cache.order(ClientOrderId(client_id))
        if order is None:
            return
        try:
            self._host.query_order(order)
        except NotImplementedError:
            self._host.log.warning(f"{client_id} is unanswered, and a simulated venue cannot be asked")

    def _cancel(self, client_id: str) -> None:
        order = self._host.cache.order(ClientOrderId(client_id))
        if order is not None and not order.is_closed:
            self._host.cancel_order(order)

    def _publish_note(self, setup: Setup, note: Note) -> None:
        counter = _NOTE_COUNTERS.get(note.kind)
        if counter is not None:
            self.count(counter)
        if note.kind == "entry_filled" and note.detail.get("is_first"):
            self.count("entries_filled")
        self.decide(
            note.kind,
            ts_ns=self._host.clock.timestamp_ns(),
            setup=setup,
            reason=note.reason,
            price=_text(note.price),
            stop=_text(note.stop),
            target=_text(note.target),
            qty=_text(note.qty),
            detail=note.detail,
        )

    def _finish(self, setup: Setup, finished: Finished) -> None:
        ts_ns = self._host.clock.timestamp_ns()
        self._dust_qty += finished.dust_qty
        self._dust_value += finished.dust_value
        if finished.dust_qty and setup.ledger.entry_qty:
            self.count("dust_left")
            self.decide("dust", ts_ns=ts_ns, setup=setup, qty=_text(finished.dust_qty))
        if finished.trade is not None:
            self._publish_trade(setup, finished.trade, ts_ns)
            if self.reach is not None:
                self.reach("trade_closed")
        self.on_setup_finished(setup)

    def _publish_trade(self, setup: Setup, trade: ClosedTrade, ts_ns: int) -> None:
        self.count("positions_closed")
        if trade.tainted:
            self.count("positions_tainted")
        self.decide(
            "position_closed",
            ts_ns=ts_ns,
            setup=setup,
            reason=trade.exit_reason,
            price=trade.exit_price,
            stop=trade.stop_price,
            target=trade.target_price,
            qty=trade.qty,
            detail={"pnl": trade.pnl, "r_multiple": trade.r_multiple},
        )
        self._host.msgbus.publish(topic=f"trades.{self.instrument_id.value}", msg=trade)

    def give_up(self, setup: Setup, reason: str) -> None:
        """Answer to a bug in the order life: open nothing any more and close this setup's position.

        The exit is an order of the setup like any other: it has an intent id, waits until the stop is
        confirmed gone where coins are locked, and its fills are counted.
        """
        self.halt(reason)
        try:
            actions = setup.close("bug", self._host.clock.timestamp_ns())
        except IllegalTransition:
            return  # nothing of it can be trusted: the exits at the venue stay, a person must look
        self.carry_out(setup, actions)

    # -- small things --------------------------------------------------------------------------------------

    def _price(self, price: Decimal | None) -> Price:
        if price is None:
            raise ValueError("this order type needs a price")
        return Price(price, self._price_precision)

    def _quantity(self, qty: Decimal) -> Quantity:
        return Quantity(qty, self._size_precision)


def side_name(direction: int) -> str:
    """Return ``long`` for +1 and ``short`` for -1."""
    return "long" if direction > 0 else "short"


def _is_taken_back(event: OrderEvent) -> bool:
    """Tell whether an order ended unfilled, at the venue or before it left, without a refusal."""
    is_withdrawn = isinstance(event, OrderDenied) and event.reason == WITHDRAWN
    return is_withdrawn or isinstance(event, OrderCanceled | OrderExpired)


def _point(setup: Setup, event: OrderEvent) -> str:
    """Return the name of the moment before an event is taken."""
    leg = setup.orders[event.client_order_id.value].leg.name.lower()
    if isinstance(event, OrderFilled):
        return f"{leg}_fill_reported"
    if isinstance(event, OrderCanceled):
        return "cancel_confirmed"
    return f"{leg}_accepted" if isinstance(event, OrderAccepted) else ""


def _text(value: Decimal | None) -> str:
    return "" if value is None else str(value)
