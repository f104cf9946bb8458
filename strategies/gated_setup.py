"""A strategy whose resting entries are asked about: whether they may stay, on every trade of the approach.

Between `SetupStrategy`, which sends orders, and a strategy that knows zones. Without a policy nothing of it
runs, and the hot path of the strategy does not notice it.
"""

import math
from collections.abc import Callable
from typing import Any, Final

from nautilus_trader.model.events import OrderCanceled, OrderCancelRejected, OrderEvent, OrderFilled

from ml.shadow import ShadowPlan, ShadowRules
from strategies.dynamic_cancel import Verdict
from strategies.entry_gate import CANCEL_REJECTED, CANCELLED_IN_TIME, FILLED_FIRST, EntryGate, RearmRules
from strategies.entry_judge import EntryJudge
from strategies.setup_strategy import SetupStrategy
from strategies.trade_manager.orders import Leg
from strategies.trade_manager.record import CancelShadow, ClosedTrade
from strategies.trade_manager.setup import Setup
from strategies.trade_manager.setup_rules import NEVER_NS

_OUTCOMES: Final = {
    OrderCanceled: CANCELLED_IN_TIME,
    OrderFilled: FILLED_FIRST,
    OrderCancelRejected: CANCEL_REJECTED,
}
EXPIRED: Final = "expired"
_EVERYWHERE: Final = (-math.inf, math.inf)


class GatedSetupStrategy(SetupStrategy):
    """A `SetupStrategy` with an entry gate.

    A deriving strategy calls `ask` when it starts and `stop_asking` when it stops, tells ``gate.judge`` of
    each closed bucket and ``gate`` of zones that end, and calls `on_watched_price` with the trades that
    `set_watch` asks for: all but those between ``low`` and ``high``, and from ``deadline_ns`` on all.
    """

    gate: EntryGate | None = None
    _band: tuple[float, float] = (math.nan, math.nan)
    _quiet: tuple[float, float] = _EVERYWHERE
    _has_said_expired = False
    _shadow_rules: ShadowRules

    set_watch: Callable[[bool, float, float, int], None] = staticmethod(lambda *_watch: None)
    """``set_watch(is_watching, low, high, deadline_ns)``: put there by the deriving strategy."""

    def ask(self, judge: EntryJudge, band_pct: float, rearm: RearmRules, shadows: ShadowRules) -> None:
        """Ask about each entry from now on; parameters as in `EntryGate`, and how cancelled ones live on."""
        self._shadow_rules = shadows
        self.gate = EntryGate(judge, band_pct, rearm, tick_size=float(self.market.tick_size))

    def stop_asking(self) -> None:
        """End what is still followed; the tape is over."""
        if self.gate is not None:
            self.gate.shadows.close()
            self._tell_shadows(self.gate, is_over=True)

    def gate_report(self) -> dict[str, Any] | None:
        """Return what the cancel policy did and was worth, None without one."""
        return None if self.gate is None else self.gate.as_plain()

    # -- trades --------------------------------------------------------------------------------------------

    def on_watched_price(self, ts_ns: int, price: float) -> None:
        """Take a trade that `set_watch` asked for, UNIX nanoseconds and quote currency."""
        gate, setup = self.gate, self.setup
        if gate is not None and gate.is_following and gate.on_price(ts_ns, price):
            self.on_setup_changed()  # tells of what ended, too
        if setup is None:
            return
        low, high = self._band
        if low <= price <= high:  # its entry rests, and there is a policy
            if ts_ns >= setup.deadline_ns:
                self._on_setup_price(setup, ts_ns, price)
            if gate is not None and setup.entry_price is not None:
                verdict = gate.judge.ask(ts_ns, price)
                if verdict is not None:
                    self._on_verdict(gate, setup, verdict, ts_ns, price)
            return
        low, high = self._quiet
        if ts_ns >= setup.deadline_ns or not low <= price <= high:
            self._on_setup_price(setup, ts_ns, price)

    def on_far_price(self, ts_ns: int, price: float) -> None:
        """Show the setup a price that is not believed, UNIX nanoseconds and quote currency."""
        setup = self.setup
        if setup is None or setup.is_closed:
            return
        actions = setup.on_far_price(ts_ns, price)
        if actions is not None:
            self.carry_out(setup, actions)  # also sets the alert to the deadline

    def _on_setup_price(self, setup: Setup, ts_ns: int, price: float) -> None:
        actions = setup.on_price(ts_ns, price)
        if actions:
            self.carry_out(setup, actions)
        else:
            self.on_setup_changed()  # a new extreme moves the band in which nothing happens

    def on_setup_changed(self) -> None:
        """Set which trades wake the setup up, and the band in which the policy is asked."""
        setup, gate = self.setup, self.gate
        self._band, self._quiet = (math.nan, math.nan), _EVERYWHERE
        is_watching, low, high, deadline_ns = False, -math.inf, math.inf, NEVER_NS
        if setup is not None:
            is_watching, self._quiet, deadline_ns = setup.is_watching, setup.quiet_band, setup.deadline_ns
            low, high = self._quiet
        if gate is not None:
            if setup is not None and (entry := setup.entry_price) is not None:
                plan = setup.plan
                self._band = gate.band(float(entry), plan.direction, plan.zone_low, plan.zone_high)
                gate.hold(plan)
                # Quiet is what lies before the band; price beyond it has filled the entry.
                low = max(low, math.nextafter(self._band[1], math.inf)) if plan.direction > 0 else low
                high = min(high, math.nextafter(self._band[0], -math.inf)) if plan.direction < 0 else high
                is_watching = True
            if gate.is_following:
                followed_low, followed_high = gate.quiet_band
                low, high, is_watching = max(low, followed_low), min(high, followed_high), True
            if gate.shadows.news:
                self._tell_shadows(gate)
        self.set_watch(is_watching, low, high, deadline_ns)

    def _tell_shadows(self, gate: EntryGate, *, is_over: bool = False) -> None:
        """Publish what cancelled entries would have become."""
        for one in gate.take_news(is_over=is_over):
            has_result = math.isfinite(one.net_r)
            shadow = CancelShadow(
                ts_ns=self.clock.timestamp_ns(),
                strategy_id=self.id.value,
                instrument_id=self.instrument_id.value,
                client_order_id=one.order_id,
                outcome=one.end,
                net_r=one.net_r if has_result else None,
                money=one.money if has_result else None,
            )
            self.msgbus.publish(topic=f"shadows.{self.instrument_id.value}", msg=shadow)

    # -- verdicts ------------------------------------------------------------------------------------------

    def _on_verdict(self, gate: EntryGate, setup: Setup, verdict: Verdict, ts_ns: int, price: float) -> None:
        plan = setup.plan
        if verdict.reason == EXPIRED and not self._has_said_expired:
            self._has_said_expired = True
            action = "taken back" if verdict.cancel else "kept"
            self.log.error(f"{self.instrument_id} model expired: entries are {action}, train a newer one")
        self.decide(
            "cancel_asked",
            ts_ns=ts_ns,
            setup=setup,
            reason=verdict.reason or ("cancel" if verdict.cancel else "keep"),
            probability=verdict.probability,
            threshold=verdict.threshold,
            price=str(plan.entry_price),
            stop=str(plan.stop_price),
            target=str(plan.target_price),
            detail={
                "action": "cancel" if verdict.cancel else "keep",
                "trade_price": price,
                **gate.judge.inputs(),
            },
        )
        if verdict.cancel:
            self.count("entries_cancelled_by_model")
            gate.cancelled(self._shadow_plan(setup, ts_ns))
            self.carry_out(setup, setup.cancel_entry("model", ts_ns))

    def _shadow_plan(self, setup: Setup, ts_ns: int) -> ShadowPlan:
        plan = setup.plan
        return ShadowPlan(
            order_id=setup.entry_id,
            zone_id=plan.zone_id,
            direction=plan.direction,
            entry=float(plan.entry_price),
            stop=float(plan.stop_price),
            target=float(plan.target_price),
            qty=float(plan.qty),
            rules=self._shadow_rules,
            cancelled_ns=ts_ns,
            ttl_ns=setup.deadline_ns,  # of an entry that rests: its end
        )

    # -- what comes of it ----------------------------------------------------------------------------------

    def on_entry_sent(self, setup: Setup) -> None:
        """Begin with another order."""
        if self.gate is not None:
            ts_ns = self.clock.timestamp_ns()
            self.gate.order_sent(setup.identity.setup_id, setup.plan.zone_id, ts_ns, self.bucket_seq)

    def on_order_event(self, event: OrderEvent) -> None:
        """Take a venue's report, and what it says about a cancel that the policy asked for."""
        gate, order_id = self.gate, event.client_order_id.value
        if gate is not None and isinstance(event, OrderFilled):
            self._follow_fill(gate, order_id, event)
        super().on_order_event(event)
        outcome = _OUTCOMES.get(type(event))
        if gate is None or outcome is None:
            return
        ts_ns: int = event.ts_event
        waited_ns = gate.outcome(order_id, outcome, ts_ns)
        if waited_ns is not None:
            self.count(f"policy_cancels_{outcome}")
            self.decide(
                "cancel_outcome",
                ts_ns=ts_ns,
                setup=self._by_order.get(order_id),
                reason=outcome,
                detail={"order": order_id, "after_ms": waited_ns / 1e6},
            )
            self.on_setup_changed()

    def _follow_fill(self, gate: EntryGate, order_id: str, event: OrderFilled) -> None:
        """Look at what the price does after an entry began to fill; parts that follow are no other event."""
        setup = self._by_order.get(order_id)
        if setup is None:
            return
        own = setup.orders[order_id]
        if own.leg is not Leg.ENTRY or own.filled_qty:
            return
        price, last = event.last_px.as_double(), self.last_price()
        gate.filled(event.ts_event, price, setup.plan.direction, price if last is None else float(last))

    def _publish_trade(self, setup: Setup, trade: ClosedTrade, ts_ns: int) -> None:
        super()._publish_trade(setup, trade, ts_ns)
        if self.gate is not None:
            self.gate.closed(trade)


__all__ = ["GatedSetupStrategy"]
