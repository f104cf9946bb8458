"""What is decided about zones: entered, followed, passed over and why, and entered once more.

A zone waits until a bucket closes at which nothing forbids its entry. An entry that rests follows its zone,
and one that the cancel policy took back is followed as a shadow of what it would have been.
"""

from decimal import Decimal
from typing import Final, Literal

from indicators.events import EventTable
from strategies.decision_fields import side_name
from strategies.entry_gate import EntryGate
from strategies.guards import Circumstances, GuardRules, blocked
from strategies.ote_config import entry_rules
from strategies.perceiving_strategy import PerceivingStrategy
from strategies.trade_manager.plan import (
    EntryPlan,
    Funds,
    Skip,
    SkipReason,
    Zone,
    plan_entry,
    reprice_distance,
    side_allowed,
)
from strategies.trade_manager.targets import target_price
from strategies.trade_manager.zones import ZoneChange, is_alive

# Where only prices are asked for, and not what the account could buy.
AMPLE_FUNDS: Final = Funds(Decimal(10**12), Decimal(10**12))
_BUSY: Final = frozenset({SkipReason.IN_POSITION, SkipReason.ENTRY_RESTING})


class ZoneEntries:
    """Decides which zones of a strategy are entered.

    Parameters
    ----------
    host
        The strategy, whose settings are those of `OteConfig`.
    """

    def __init__(self, host: PerceivingStrategy) -> None:
        config = host.config
        self._host = host
        self._entry_rules = entry_rules(config)
        self._guard_rules = GuardRules(
            config.trade_from_ns, config.max_data_age_secs, config.max_bucket_move_pct
        )
        # Zones to look at when the next bucket closes: new, waiting for a better moment, or to be followed.
        self.waiting: dict[int, Zone] = {}

    def take(self, events: EventTable, ts_ns: int) -> None:
        """Take the events of one closed bucket.

        Parameters
        ----------
        events
            Shape (n,), dtype ``EVENT_DTYPE``.
        ts_ns
            Time of the trade that closed the bucket, UNIX nanoseconds.
        """
        for change, zone in self._host.zones.take(events):
            if change is ZoneChange.FORMED:
                self._host.count("zones")
                self._decide_zone("zone", zone, ts_ns)
                self.waiting[zone.zone_id] = zone
            elif change is ZoneChange.EXTENDED:
                self.waiting[zone.zone_id] = zone
            elif not is_alive(change):
                self._end_zone(zone, change, ts_ns)

    def _end_zone(self, zone: Zone, change: ZoneChange, ts_ns: int) -> None:
        self.waiting.pop(zone.zone_id, None)
        if self._host.gate is not None:
            self._host.gate.end_zone(zone.zone_id, ts_ns)
            self._host.on_setup_changed()  # its cancelled entry is no longer followed
        self.count_end(zone)
        self._host.count(f"zones_ended_{change}")
        self._decide_zone("expired" if change is ZoneChange.EXPIRED else "zone_ended", zone, ts_ns, change)
        setup = self._host.setup
        if setup is not None and not setup.is_closed and setup.plan.zone_id == zone.zone_id:
            self._host.carry_out(setup, setup.cancel_entry(change.value, ts_ns))

    def count_end(self, zone: Zone) -> None:
        """Count why a zone that ends was never entered."""
        if not zone.is_used and zone.skip is not None:
            self._host.count(f"zones_skipped_{zone.skip}")

    def consider(self, ts_ns: int, price: float, *, move_ratio: float, is_tainted: bool) -> None:
        """Look at the zones that wait, newest first: enter, follow, or find out why not."""
        setup = self._host.setup
        is_busy = setup is not None and not setup.is_closed
        now: Circumstances | None = None
        for zone in reversed(list(self.waiting.values())):
            if is_busy and not zone.is_used and zone.skip in _BUSY:
                continue  # said already; the usual case, so it comes first
            if now is None:
                now = Circumstances(
                    ts_ns=ts_ns,
                    data_age_ns=self._host.clock.timestamp_ns() - ts_ns,
                    is_halted=self._host.is_halted,
                    is_tainted=is_tainted,
                    bucket_move_ratio=move_ratio,
                    bias=self._host.bias,
                    is_held=bool(self._host.holds),
                )
            if zone.is_used:
                self._follow(zone, now)
            else:
                self._enter(zone, now, price)

    def _enter(self, zone: Zone, now: Circumstances, price: float) -> None:
        if not side_allowed(zone.direction, self._host.config.side, shorts=self._host.market.shorts):
            self._skip(zone, Skip(SkipReason.SIDE), now.ts_ns)
            return
        setup = self._host.setup
        if setup is not None and not setup.is_closed:
            reason: SkipReason | None = (
                SkipReason.IN_POSITION if setup.is_in_position else SkipReason.ENTRY_RESTING
            )
        else:
            reason = blocked(zone.direction, now, self._guard_rules)
        # At or beyond the sweet spot the limit would take liquidity: the moment to wait there has passed.
        if reason is None and (zone.is_touched or (price - zone.sweet) * zone.direction <= 0):
            reason = SkipReason.TOUCHED
        skip = self._host.paused(now.ts_ns) if reason is None else Skip(reason)
        if skip is not None:
            self._skip(zone, skip, now.ts_ns)
            return
        if self._host.was_used(zone.direction, zone.known_ts_ns, zone.zone_id) and not self._is_sent_again(
            zone
        ):
            self._skip(zone, Skip(SkipReason.USED), now.ts_ns)
            return
        plan = plan_entry(zone, self._entry_rules, self._host.market, self._host.funds())
        if isinstance(plan, Skip):
            self._skip(zone, plan, now.ts_ns)
            return
        zone.is_used = True
        zone.skip = None
        self.waiting.pop(zone.zone_id, None)
        # A zone that is entered again needs an id of its own: a millisecond later for each time.
        again = 0 if self._host.gate is None else self._host.gate.sent_again.get(zone.zone_id, 0)
        self._host.open_setup(plan, zone.known_ts_ns + again * 1_000_000, now.ts_ns)

    def _follow(self, zone: Zone, now: Circumstances) -> None:
        """Move the unfilled entry after its range; small moves only move the target."""
        setup = self._host.setup
        is_own = setup is not None and setup.plan.zone_id == zone.zone_id
        if setup is None or not is_own or not setup.is_unfilled:
            self.waiting.pop(zone.zone_id, None)
            self._move_shadow(zone, now.ts_ns)
            return
        tick = float(self._host.market.tick_size)
        moved = abs(zone.sweet - float(setup.intended_entry_price))
        if moved < reprice_distance(zone, self._entry_rules, tick):
            target = target_price(
                zone.direction, zone.low, zone.high, self._host.config.target, self._host.market.tick_size
            )
            setup.retarget(target, zone.low, zone.high)
            self._host.on_setup_changed()  # the approach band reaches half the way to the end of the range
        else:
            if blocked(zone.direction, now, self._guard_rules) is not None:
                return  # the entry stays where it is; looked at again when the next bucket closes
            plan = plan_entry(zone, self._entry_rules, self._host.market, self._host.funds())
            if isinstance(plan, EntryPlan):
                self._host.carry_out(setup, setup.reprice(plan, now.ts_ns))
            else:
                self._host.carry_out(setup, setup.cancel_entry(plan.reason.value, now.ts_ns))
        self.waiting.pop(zone.zone_id, None)

    def _skip(self, zone: Zone, skip: Skip, ts_ns: int) -> None:
        if zone.skip is not skip.reason:
            zone.skip = skip.reason
            self._decide_zone("zone_skipped", zone, ts_ns, skip.reason, figure=skip.figure, limit=skip.limit)
        if zone.is_final_skip:
            self.waiting.pop(zone.zone_id, None)  # until the range extends

    def _decide_zone(
        self,
        kind: Literal["zone", "zone_skipped", "zone_ended", "expired"],
        zone: Zone,
        ts_ns: int,
        reason: str = "",
        **figures: float,
    ) -> None:
        self._host.decide(
            kind,
            ts_ns=ts_ns,
            side=side_name(zone.direction),
            zone_id=zone.zone_id,
            reason=str(reason),
            price=repr(zone.sweet),
            detail={"low": zone.low, "high": zone.high, **figures},
        )

    # -- zones whose entry the policy took back --------------------------------------------------------------

    def send_again(self, gate: EntryGate, ts_ns: int, price: float) -> None:
        """Look whether a zone may be entered again."""
        if self._host.setup is not None and not self._host.setup.is_closed:
            return
        sweets = {one.zone_id: one.sweet for one in self._host.zones.live.values() if not one.is_touched}
        for zone_id in gate.zones_to_send_again(ts_ns, price, sweets):
            zone = self._host.zones.live[zone_id]
            zone.is_used = False
            self.waiting[zone_id] = zone
            self._host.count("entries_sent_again")

    def _is_sent_again(self, zone: Zone) -> bool:
        return self._host.gate is not None and self._host.gate.sent_again.get(zone.zone_id, 0) > 0

    def _move_shadow(self, zone: Zone, ts_ns: int) -> None:
        """Let the cancelled entry follow its range as it would have done at the venue.

        Its size stays: the account of now is not the one it would have had, which another trade may hold.
        """
        shadows = None if self._host.gate is None else self._host.gate.shadows
        entry = None if shadows is None else shadows.intended_entry(zone.zone_id)
        if shadows is None or entry is None:
            return
        rules, market = self._entry_rules, self._host.market
        if abs(zone.sweet - entry) < reprice_distance(zone, rules, float(market.tick_size)):
            target = target_price(zone.direction, zone.low, zone.high, rules.target, market.tick_size)
            shadows.retarget(zone.zone_id, float(target))
        else:
            plan = plan_entry(zone, rules, market, AMPLE_FUNDS)
            if isinstance(plan, EntryPlan):
                prices = float(plan.entry_price), float(plan.stop_price), float(plan.target_price)
                shadows.move(zone.zone_id, ts_ns, *prices)
            else:
                shadows.end_zone(zone.zone_id, ts_ns)  # it pays no more: it would have been taken back
        self._host.on_setup_changed()
