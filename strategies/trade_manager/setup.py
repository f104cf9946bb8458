"""One setup: its entry, its protection, its exit, and what came of it.

Facts go in (a report of the venue, a price, a decision of the strategy), actions come out; nothing here knows
Nautilus, a clock or a socket. Times are those of the trades and reports, so a backtest and a live session
take the same decisions. After every fact the exits are compared with the position (`strategies.protection`).
"""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Final

from strategies.protection import NEVER_ARRIVED
from strategies.trade_manager.ledger import Ledger
from strategies.trade_manager.lifecycle import IN_POSITION, Signal, Stage
from strategies.trade_manager.orders import (
    Action,
    Fill,
    Leg,
    OrderKind,
    OrderStage,
    OwnOrder,
    Query,
)
from strategies.trade_manager.plan import EntryPlan
from strategies.trade_manager.record import ExitReason
from strategies.trade_manager.setup_rules import NANOS
from strategies.trade_manager.shortfall import Shortfall
from strategies.trade_manager.watched_setup import WatchedSetup

# An order of a bar's close reaches the venue just after the next one opened: that whole bar is the trade's.
ENTRY_AT_OPEN_NS: Final = NANOS


class Setup(WatchedSetup):
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

    # -- what the strategy decides -------------------------------------------------------------------------

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

        They may be alive: then they are withdrawn when they report, and until then stops lock the coins on
        spot, so that the market order is refused and tried again. An order at market, or a target on spot,
        may have sold already: nothing goes out beside it.
        """
        for order in self._exits():
            is_kept = order.kind is OrderKind.MARKET or self._may_sell_twice(order)
            if order.stage is OrderStage.SENT and not is_kept:
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
        self._end_doubt(price)
        return self._on_alarm(ts_ns, price)

    def on_far_price(self, ts_ns: int, price: float) -> list[Action] | None:
        """Take the price of a trade that is not believed; None when there is nothing to do.

        It is no price to decide by. But a crash looks like it, and may have jumped over the stop's limit: the
        position leaves at market after ``exit_market_after_secs``, unless a believed price shows until then
        that the market is still before the stop.

        Parameters
        ----------
        ts_ns
            UNIX nanoseconds.
        price
            Quote currency.
        """
        is_new = self._doubt(ts_ns, price)
        actions = self.on_deadline(ts_ns)
        return [] if actions is None and is_new else actions

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
        else:
            self._denials = 0
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

    def on_external(self, fills: Iterable[Fill], ts_ns: int, reason: str = "reduced") -> list[Action]:
        """Take that somebody else closed a part of the position: by hand, a liquidation, a deleveraging.

        Parameters
        ----------
        fills
            Of the other's order, not more than the position.
        ts_ns
            Now, UNIX nanoseconds.
        reason
            For the journal: ``reduced`` by fills of the venue, or ``estimated``.
        """
        if self.stage not in IN_POSITION:
            return []
        self._signal(Signal.EXIT_FILLED)
        actions: list[Action] = []
        for fill in fills:
            self.ledger.leave(fill)
            self._left_at.add(fill, None, is_market=True)
            actions.append(self._note("external", reason, price=fill.price, qty=fill.qty))
        self._exit_reason = ExitReason.EXTERNAL.value
        self._exit_bucket_seq = self._bucket_seq
        self._unwant_entry(actions, "external")
        return self._settle(actions, ts_ns)

    # -- fills -----------------------------------------------------------------------------------------------

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
        self._refusals = self._denials = 0

    def _left(self, actions: list[Action], order: OwnOrder, fill: Fill) -> None:
        if self.stage is Stage.CLOSED:
            self._start_over()
        self._signal(Signal.EXIT_FILLED)
        self.ledger.leave(fill)
        price = float(fill.price)  # reported before the trade that made it
        self.highest, self.lowest = max(self.highest, price), min(self.lowest, price)
        self._refusals = self._denials = 0
        self._exit_bucket_seq = self._bucket_seq
        if order.leg is not Leg.EXIT:
            self._exit_reason = order.reason or order.leg.name.lower()
        self._unwant_entry(actions, "exit_filled")
