"""What wakes a setup up: a price beyond its stop or target, an answer that is overdue, an entry too old."""

from decimal import Decimal

from strategies.trade_manager.leaving_setup import LeavingSetup
from strategies.trade_manager.lifecycle import IN_POSITION, Stage
from strategies.trade_manager.orders import Action, Leg, OrderStage, Query
from strategies.trade_manager.setup_rules import NEVER_NS


class WatchedSetup(LeavingSetup):
    """A setup that prices and deadlines act upon; `arm` says which."""

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
        if ts_ns >= self._surplus_due_ns:
            self._give_back_surplus(actions)
        if self.stage in IN_POSITION and self.exitable_qty > 0:
            self._watch_exits(actions, ts_ns, price)
        return self._settle(actions, ts_ns)

    def _miss_answers(self, actions: list[Action], ts_ns: int) -> None:
        """Ask about orders that the venue did not acknowledge, then do without them if they are exits.

        An entry that may be alive stays one: another in its place could buy twice. So does a sale at once on
        spot, where another would sell coins that are somebody else's: the venue's word alone ends it. A
        backtest's venue gives none.
        """
        for order in self._awaited():
            if ts_ns < order.answer_due_ns:
                continue
            is_kept = order.leg is Leg.ENTRY or (self.asks_about_entry and self._may_sell_twice(order))
            if order.is_asked and not is_kept:
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

    def _doubt(self, ts_ns: int, price: float) -> bool:
        """Let the market exit wait for what follows a price that is not believed; tell whether it does."""
        is_held = self.stage in IN_POSITION and self.stage is not Stage.EXITING and self.exitable_qty > 0
        is_under_way = self._market_exit_ns != NEVER_NS
        if not is_held or is_under_way or not self._is_beyond(price, self.stop_price):
            return False
        self._exit_in_doubt = True
        self._market_exit_ns = ts_ns + self._secs(self._rules.exit_market_after_secs)
        self.arm()
        return True

    def _end_doubt(self, price: float) -> None:
        """Take a believed price: before the stop it takes back what only a far one had begun."""
        if not self._exit_in_doubt:
            return
        self._exit_in_doubt = False
        if not self._is_beyond(price, self.stop_price):
            self._market_exit_ns = NEVER_NS
        self.arm()

    def _is_beyond(self, price: float, stop_price: Decimal) -> bool:
        half_tick = float(self._market.tick_size) / 2
        return (price - float(stop_price)) * self.plan.direction < half_tick

    def _reached_target(self, price: float) -> bool:
        half_tick = float(self._market.tick_size) / 2
        return (price - float(self.plan.target_price)) * self.plan.direction > -half_tick
