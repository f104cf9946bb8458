"""After every fact: exits in line with the position, what is over closed, and the alarms set."""

import math

from strategies.protection import Place, Resize, Step, WantedExit, Withdraw, reconcile
from strategies.trade_manager.increments import next_piece
from strategies.trade_manager.lifecycle import IN_POSITION, Signal, Stage
from strategies.trade_manager.orders import (
    Action,
    Cancel,
    Change,
    Halt,
    Leg,
    OrderKind,
    OrderStage,
    OwnOrder,
    Submit,
)
from strategies.trade_manager.setup_facts import SetupFacts
from strategies.trade_manager.setup_rules import NEVER_NS


class SettledSetup(SetupFacts):
    """A setup that settles: whatever happened, the orders that it wants follow from its state alone."""

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
        is_final = not any(one.is_alive for one in self.orders.values())
        has_surplus = self.stage is Stage.CLEARING and is_final and self.ledger.position_qty < 0
        if self.stage is Stage.CLEARING and is_final and not has_surplus:
            self._signal(Signal.CLEARED)
        self._await_entry_fill(ts_ns, has_surplus=has_surplus)
        if self.stage is Stage.CLOSED and not self._is_reported:
            self._is_reported = True
            actions.append(self._finished())
        self.arm()
        return actions

    def _await_entry_fill(self, ts_ns: int, *, has_surplus: bool) -> None:
        """Wait where more was closed than was held: an entry fill is still to be reported, as a rule."""
        if not has_surplus:
            self._surplus_due_ns = NEVER_NS
        elif self._surplus_due_ns == NEVER_NS and self.asks_about_entry:
            self._surplus_due_ns = ts_ns + self._secs(self._rules.answer_secs)

    def _give_back_surplus(self, actions: list[Action]) -> None:
        """Let the trade end with what it held: the rest was somebody else's, and a person must look."""
        qty, price = -self.ledger.position_qty, self.ledger.exit_price
        self.ledger.give_back(qty)
        actions.append(self._note("external", "surplus", price=price, qty=qty))
        actions.append(Halt(f"{qty} more were closed than was held: look at the venue, then rearm"))

    def _wanted_exits(self) -> list[WantedExit]:
        qty = self.exitable_qty
        if self.stage not in IN_POSITION or qty == 0:
            return []
        plan = self.plan
        # Piece after piece where one order must not have it all; on margin the stop stays until the last one.
        limits = [one for one in (self._market.max_qty, self._learnt_most) if one is not None]
        piece = next_piece(qty, min(limits, default=None), self._market.lot_size)
        at_market = WantedExit(Leg.EXIT, OrderKind.MARKET, piece)
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
            if self._exit_in_doubt:
                self.low_alarm, self.high_alarm = math.inf, -math.inf  # every believed price is news
        self.deadline_ns = min(
            self._ttl_ns if self._entry is not None and self._entry.is_alive else NEVER_NS,
            self._market_exit_ns if in_position else NEVER_NS,
            self._retry_cancel_ns,
            self._surplus_due_ns,
            *self._wait_until_ns.values(),
            *(one.answer_due_ns for one in self._awaited()),
        )
        self.is_watching = in_position or self.deadline_ns != NEVER_NS
