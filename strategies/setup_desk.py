"""The Nautilus shell around the setups of one instrument: events in, orders out, decisions published.

It translates and does not think: what to do is decided in ``strategies.trade_manager``, which runs without
Nautilus. A strategy on one instrument is its own desk (`SetupStrategy`); one on many has a desk for each.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from nautilus_trader.model.events import OrderEvent, OrderFilled
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId

from strategies.account_view import market_of
from strategies.commanded_desk import CommandedDesk
from strategies.deadline_watch import CallSoon, DeadlineWatch
from strategies.decision_fields import note_fields, payment_fields, text_of, trade_fields
from strategies.entry_halt import listen_to_halts, listen_to_holds
from strategies.exposure import entry_intent
from strategies.order_forms import nautilus_order, price_in, quantity_in
from strategies.protection import capabilities
from strategies.setup_keeper import UNKNOWN_TOPIC, UnknownOrder
from strategies.trade_manager.client_ids import setup_id
from strategies.trade_manager.funding import FundingPayment, funding_topic
from strategies.trade_manager.lifecycle import IllegalTransition
from strategies.trade_manager.orders import (
    ZERO,
    Action,
    AskBalance,
    Cancel,
    Change,
    Fill,
    Finished,
    Halt,
    Leg,
    Note,
    Query,
    Submit,
)
from strategies.trade_manager.plan import EntryPlan, check_plan
from strategies.trade_manager.record import ClosedTrade
from strategies.trade_manager.setup import Setup
from strategies.trade_manager.setup_rules import NEVER_NS, ExitRules, Identity
from strategies.trade_manager.skips import SkipReason
from strategies.venue_filters import refused_exit
from strategies.venue_reports import OWN_STEPS, is_taken_back, point_before, tell

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
NOT_STORED: Final = "not_stored"
_NOTE_COUNTERS: Final[dict[str, str]] = {
    "entry_submitted": "entries_submitted",
    "entry_repriced": "entries_repriced",
    "entry_cancelled": "entries_cancelled",
    "entry_rejected": "entries_rejected",
}


class SetupDesk(CommandedDesk):
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

    def __init__(
        self,
        host: Any,
        instrument_id: InstrumentId,
        tag: str,
        exit_rules: ExitRules,
        counters: dict[str, int],
    ) -> None:
        super().__init__(host, instrument_id, tag, exit_rules, counters)
        self.instrument = None
        self._queue: deque[tuple[Setup, Action]] = deque()
        self._is_draining = False
        self._deadlines: DeadlineWatch | None = None

    # -- for the strategy -------------------------------------------------------------------------

    def prepare(self) -> bool:
        """Read instrument and account; False (and an error in the log) when there is no instrument."""
        instrument = self._host.cache.instrument(self.instrument_id)
        if instrument is None:
            self._host.log.error(f"{self.instrument_id} is not in the cache: the strategy does not start")
            return False
        self.instrument = instrument
        self.began_ns = self._host.clock.timestamp_ns()
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
        """Look at deadlines of setups when they come, not with the next bar: where time is real.

        Parameters
        ----------
        call_soon
            Runs a function in the strategy's own thread.
        """
        name = f"deadline-{self.instrument_id}"
        self._deadlines = DeadlineWatch(self._host.clock, name, call_soon, self._on_deadline)
        self.mind_deadline()

    def mind_deadline(self) -> None:
        """Set the alert to the next deadline of a setup, where deadlines are watched."""
        if self._deadlines is not None:
            # Also of those before: a fill that came late has woken one up, and no price reaches it.
            living = (one.deadline_ns for one in self._remembered if not one.is_closed)
            self._deadlines.set(min(living, default=NEVER_NS))

    def _on_deadline(self, ts_ns: int) -> None:
        for setup in self.setups:
            if not setup.is_closed:
                self.carry_out(setup, setup.on_deadline(ts_ns) or ())

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
            price=text_of(setup.plan.entry_price),
            stop=text_of(setup.stop_price),
            target=text_of(setup.plan.target_price),
            qty=text_of(setup.position_qty),
            detail={"stored": stage.lower()},
        )

    # -- Nautilus events -----------------------------------------------------------------------------------

    def on_order_event(self, event: OrderEvent) -> None:
        """Translate a venue's report for the setup that the order belongs to."""
        setup = self._by_order.get(event.client_order_id.value)
        if setup is None:
            if self.keeper is not None and isinstance(event, OrderFilled):
                self.on_foreign_fill(event)
            if self.keeper is not None:
                self.go_on_unplanned(event)
            return
        if type(event) in OWN_STEPS:
            return  # what we did ourselves, a moment ago: the setup knows
        if self.reach is not None:
            self.reach(point_before(setup, event))
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
        setup = self.trade_of_funding(ts_ns)
        if setup is None:
            # Of a position that somebody else held, or of one that the venue closed a moment ago.
            if ts_ns <= self.stray_funding_ns:
                return
            self.stray_funding_ns = ts_ns
            self.keep_memory()
            self.count("funding_without_a_trade")
            self._host.log.warning(f"{self.instrument_id} funding {payment.amount:+f} belongs to no trade")
            self.decide("funding", ts_ns=ts_ns, reason="no_trade", **payment_fields(payment))
            return
        if ts_ns <= setup.ledger.funded_ns:
            return
        setup.ledger.fund(payment.amount, ts_ns)
        self.count("funding_payments")
        # A trade that closed before the venue told of it is on record already, without this.
        reason = "after_close" if setup.is_closed else ""
        self.decide("funding", ts_ns=ts_ns, setup=setup, reason=reason, **payment_fields(payment))
        self._keep(setup, is_intent=False)

    def _report(self, setup: Setup, event: Any) -> list[Action]:
        setup.last_price = float(self.last_price() or "nan")
        given_up: list[Action] = []
        planned = setup.next_plan
        # While the old entry was on its way back, another strategy may have spent its money.
        if planned is not None and is_taken_back(event) and not self._affords(planned):
            given_up = setup.cancel_entry("funds", event.ts_event)
        if isinstance(event, OrderFilled) and self._other_fee(event):
            self.count("fees_in_other_currency")
        return [*given_up, *tell(setup, event, self)]

    def _other_fee(self, event: Any) -> bool:
        """Tell whether a fill's fee is in BNB or the like: it does not touch the position; not in the pnl."""
        fee, own = event.commission, (self.instrument.base_currency, self.instrument.quote_currency)
        return bool(fee is not None and fee.as_decimal() and fee.currency not in own)

    def fill_of(self, event: Any) -> Fill:
        """Return a fill (an event, or a report of one) in plain words."""
        fee = event.commission
        amount, currency = (fee.as_decimal(), fee.currency) if fee is not None else (ZERO, None)
        is_base = currency is not None and currency == self.instrument.base_currency
        if self._other_fee(event):
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
            case Submit():
                self._submit(setup, action)
            case Cancel(client_id):
                self._cancel(client_id)
                if self.reach is not None:
                    self.reach("cancel_sent")
            case Change(client_id, qty, price, trigger_price):
                self._host.modify_order(
                    self._host.cache.order(ClientOrderId(client_id)),
                    quantity=quantity_in(self.instrument, qty),
                    price=None if price is None else price_in(self.instrument, price),
                    trigger_price=None if trigger_price is None else price_in(self.instrument, trigger_price),
                )
            case Query(client_id):
                self._query(client_id)
            case AskBalance():
                self._ask_balance()
            case Note():
                self._publish_note(setup, action)
            case Halt(reason):
                self.halt(reason)
            case Finished():
                self._finish(setup, action)

    def _submit(self, setup: Setup, action: Submit) -> None:
        own = action.order
        is_entry = own.leg is Leg.ENTRY
        refused = self._refused_entry(setup, action) if is_entry else None
        if refused is None and not self._keep_intent(setup, own.leg) and is_entry:
            # What is not on the disk would be forgotten in a position. Exits go out nevertheless.
            refused = NOT_STORED
        if refused is not None:
            ts_ns = self._host.clock.timestamp_ns()
            self.carry_out(setup, setup.on_rejected(own.client_id, refused, ts_ns, due_post_only=False))
            if refused == NOT_STORED:
                self.halt("the state file cannot be written: free space on the disk, then rearm")
            return
        self._by_order[own.client_id] = setup
        if is_entry:
            self.on_entry_sent(setup)
        else:
            self._make_room(own.qty)
        order = nautilus_order(action, self._host.order_factory, self.instrument)
        self._host.submit_order(order, **self._carried(setup, action))
        if self.reach is not None:
            self.reach(f"{own.leg.name.lower()}_sent")

    def _refused_entry(self, setup: Setup, action: Submit) -> str | None:
        """Return why an entry must not go out, None when it may."""
        if closed := self.closed_to_entries:
            # Halted between the decision and its order, or while another entry was being replaced.
            return closed.value
        if self._over_limits(setup, action):
            return SkipReason.RISK.value
        if text := self._refused_exit(setup):
            self._host.log.warning(f"{self.instrument_id} not entered, an exit would be refused: {text}")
            return f"{text.split()[0]}_filter"
        return None

    def _over_limits(self, setup: Setup, action: Submit) -> bool:
        """Ask the account's limits about an entry; publish why it must not go out."""
        if self.entry_limits is None:
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

    def _carried(self, setup: Setup, action: Submit) -> dict[str, Any]:
        """Return what the adapter puts beside an entry on the wire: the stop that it carries."""
        price = self.carried_stop(setup.plan) if action.order.leg is Leg.ENTRY else None
        if price is None:
            return {}
        return {"params": {"stop_loss": str(price_in(self.instrument, price)), "tpsl_mode": "Full"}}

    def _query(self, client_id: str) -> None:
        self.count("orders_queried")
        order = self._host.cache.order(ClientOrderId(client_id))
        if order is None:
            return
        try:
            self._host.query_order(order)
        except NotImplementedError:
            self._host.log.warning(f"{client_id} is unanswered, and a simulated venue cannot be asked")

    def _ask_balance(self) -> None:
        account = self._account()
        if account is not None:
            self.count("balances_queried")
            self._host.query_account(account.id)

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
        self.decide(note.kind, ts_ns=self._host.clock.timestamp_ns(), setup=setup, **note_fields(note))

    def _finish(self, setup: Setup, finished: Finished) -> None:
        ts_ns = self._host.clock.timestamp_ns()
        self._dust_qty += finished.dust_qty
        self._dust_value += finished.dust_value
        if finished.dust_qty and setup.ledger.entry_qty:
            self.count("dust_left")
            self.decide("dust", ts_ns=ts_ns, setup=setup, qty=text_of(finished.dust_qty))
        if finished.trade is not None:
            self._publish_trade(setup, finished.trade, ts_ns)
            if self.reach is not None:
                self.reach("trade_closed")
        self.on_setup_finished(setup)

    def _publish_trade(self, setup: Setup, trade: ClosedTrade, ts_ns: int) -> None:
        self.count("positions_closed")
        if trade.tainted:
            self.count("positions_tainted")
        self.decide("position_closed", ts_ns=ts_ns, setup=setup, **trade_fields(trade))
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
