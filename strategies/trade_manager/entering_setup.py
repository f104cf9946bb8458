"""The entry of a setup until it has filled or is gone: sent, taken back, refused, followed by another."""

import math
from dataclasses import replace
from typing import Literal

from strategies.trade_manager.increments import floor_to, round_down
from strategies.trade_manager.lifecycle import TRANSITIONS, Signal, Stage
from strategies.trade_manager.orders import Action, Leg, OrderKind, Submit
from strategies.trade_manager.plan import EntryPlan
from strategies.trade_manager.settled_setup import SettledSetup
from strategies.trade_manager.setup_rules import NEVER_NS


class EnteringSetup(SettledSetup):
    """A setup that enters: one entry order at a time, and what follows it when it ends."""

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
