"""Optimal trade entry (OTE) on equal-dollar volume buckets.

Trades become buckets, buckets become structure, a break of structure leaves a dealing range, and a post-only
limit waits at the sweet spot of its retracement before price is there.

The entry follows the range as it extends, is taken back when the zone ends, and from the first fill on stop
and target follow the position. When a zone ends after the fill, the position keeps its stop and target: the
zone was a reason to enter, the plan says how to leave.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final, Literal

import numpy as np
from nautilus_trader.model.data import Bar, MarkPriceUpdate, TradeTick
from nautilus_trader.model.enums import AggressorSide

from indicators.engine import StructureEngine
from indicators.events import EventTable, Scope
from packet_builder.builder import VolumeBucketBuilder
from packet_builder.packet import PACKET_DTYPE
from strategies.bar_times import close_of
from strategies.bias_track import BiasTrack
from strategies.deadline_watch import live_call_soon
from strategies.decision_fields import side_name
from strategies.dynamic_cancel import KEEP, load_policy
from strategies.entry_gate import EntryGate, RearmRules
from strategies.entry_judge import ApproachJudge, EntryJudge
from strategies.gated_setup import GatedSetupStrategy
from strategies.guards import Circumstances, GuardRules, blocked
from strategies.ote_config import OteConfig, entry_rules, exit_rules, model_policy, perception, shadow_rules
from strategies.perception_state import Perceiver, PerceptionState, encode, zone_states
from strategies.price_band import BandRules, PriceBand
from strategies.registry import StrategySpec
from strategies.row_struct import row_struct
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
from strategies.trade_manager.setup import Setup
from strategies.trade_manager.targets import target_price
from strategies.trade_manager.zones import ZoneBook, ZoneChange, is_alive

SPEC: Final = StrategySpec(
    name="ote",
    version="1",
    summary="Post-only limit at the sweet spot of the retracement after a break of structure",
    strategy_path="strategies.ote:OteStrategy",
    config_path="strategies.ote:OteConfig",
)
TAG: Final = "OTE"

CLOSED_BUCKET: Final = row_struct(
    PACKET_DTYPE,
    "seq",
    "ts_open_ns",
    "ts_close_ns",
    "open",
    "high",
    "low",
    "close",
    "total_qty",
    "buy_qty",
    "is_tainted",
)
# Where only prices are asked for, and not what the account could buy.
AMPLE_FUNDS: Final = Funds(Decimal(10**12), Decimal(10**12))
_SCOPES: Final = {"external": Scope.EXTERNAL, "internal": Scope.INTERNAL}
_BUSY: Final = frozenset({SkipReason.IN_POSITION, SkipReason.ENTRY_RESTING})
type TradeHandler = Callable[[TradeTick], None]
type TradeGate = Callable[["OteStrategy", TradeHandler], TradeHandler]
"""Called at the start with the strategy and its hot path; returns what is put on the message bus instead."""
type Observer = Callable[[Any, EventTable], None]
"""Called with each closed bucket (a row of ``PACKET_DTYPE``) and its structure events."""


class OteStrategy(GatedSetupStrategy):
    """Trade the sweet spot of dealing ranges on one instrument.

    Parameters
    ----------
    config
        See `OteConfig`.
    """

    def __init__(self, config: OteConfig) -> None:
        super().__init__(config, config.instrument_id, TAG, exit_rules(config))
        self.zones = ZoneBook(_SCOPES[config.structure])
        self.bias: int | None = None if config.htf_bar_type is None else 0
        self.bias_track: BiasTrack | None = None if config.htf_bar_type is None else BiasTrack()
        self._entry_rules = entry_rules(config)
        self._guard_rules = GuardRules(
            config.trade_from_ns, config.max_data_age_secs, config.max_bucket_move_pct
        )
        self._is_guarded = self.guards.rules.watches_equity or self.guards.rules.watches_trades
        self._observer: Observer | None = None
        self._saw_bad_trade = False
        self.band = PriceBand(BandRules(config.price_band_pct, config.price_band_pct))
        self._trades_topic = ""
        # Zones to look at when the next bucket closes: new, waiting for a better moment, or to be followed.
        self._waiting: dict[int, Zone] = {}
        # Stands between the trades and the hot path where trades may be missing: in a live node.
        self.trade_gate: TradeGate | None = None
        self.recent_packets: deque[bytes] | None = None  # kept in a live node alone, see `adopt`
        self._rebind: Callable[[], None]
        self._mind_band: Callable[[], None]
        self._push: Callable[[int, float, float, bool, int], int]
        self._update_structure: Callable[..., Any]
        self._take_trade: TradeHandler

    # -- life ----------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Read the instrument, build buckets and structure, and listen to trades."""
        if not self.prepare():
            self.stop()
            return
        self.build_perception()
        judge = self.make_judge()
        if judge is not None:
            rearm = RearmRules(self.config.rearm_max, int(self.config.rearm_after_secs * 1e9))
            self.ask(judge, self.config.approach_band_pct, rearm, shadow_rules(self.config, self.market))
        self._take_trade = self.make_trade_handler()
        if self.trade_gate is not None:
            self._take_trade = self.trade_gate(self, self._take_trade)
        self.on_setup_changed()  # a setup that was taken up again is watched from the first trade on
        call_soon = live_call_soon(self.clock)
        if call_soon is not None:  # a market without trades must not keep a stop waiting for its answer
            self.watch_deadlines(call_soon)
            if self.config.price_band_pct and self.market.shorts:  # spot markets have no mark price
                self.subscribe_mark_prices(self.instrument_id)
        self.start_guards()
        self.listen()
        if self.config.htf_bar_type is not None:
            self.subscribe_bars(self.config.htf_bar_type)

    def on_stop(self) -> None:
        """Take the entry back; a position keeps its exits at the venue (or see ``manage_stop``)."""
        if self._trades_topic:
            self.msgbus.unsubscribe(topic=self._trades_topic, handler=self._take_trade)
        self.stop_guards()
        self.stop_setup()
        # Zero unless trades came out of the order of their ids: then buckets are wrong.
        self.count("trades_dropped", self.builder.counters.dropped_ids)
        for zone in list(self.zones.live.values()):
            self._count_end(zone)
        self.stop_asking()

    def make_judge(self) -> EntryJudge | None:
        """Return who decides by the settings, None where every entry is kept.

        Raises
        ------
        ModelRefused
            When the model must not decide here.
        """
        config = self.config
        if config.model:
            market = self.market
            return model_policy(
                config,
                SPEC,
                now_ns=self.clock.timestamp_ns(),
                tick_size=market.tick_size,
                lot_size=market.lot_size,
                maker_fee=market.maker_fee,
                taker_fee=market.taker_fee,
                target_rests=market.target_rests,
            )
        return None if config.cancel_policy == KEEP else ApproachJudge(load_policy(config.cancel_policy))

    def build_perception(self) -> None:
        """Make the bucket builder and the structure engine; a test puts its own in their place."""
        market = self.market
        buckets, structure = perception(self.config, market.tick_size, market.lot_size)
        self.builder = VolumeBucketBuilder(buckets)
        self.structure = StructureEngine(structure)
        self._push = self.builder.push
        self._update_structure = self.structure.update

    def make_perceiver(self, state: PerceptionState | None = None) -> Perceiver:
        """Return what builds this strategy's perception from history; ValueError for a state of others.

        Not before the start: the instrument's increments are needed.
        """
        market = self.market
        buckets, structure = perception(self.config, market.tick_size, market.lot_size)
        scope = _SCOPES[self.config.structure]
        return Perceiver(self.instrument_id.value, buckets, structure, scope, state)

    def adopt(self, state: PerceptionState) -> None:
        """Go on from what was perceived before; raises as `make_perceiver`.

        Zones of before are followed and not entered: whether they were traded, nobody knows here. Packets
        are remembered from now on, for `perceived`.
        """
        perceiver = self.make_perceiver(state)
        self.builder, self.structure, self.zones = perceiver.builder, perceiver.structure, perceiver.zones
        self.recent_packets = perceiver.recent
        self._push, self._update_structure = self.builder.push, self.structure.update
        self._rebind()
        self.bucket_seq = self.builder.counters.packets - 1
        self._waiting.clear()
        packets = list(state.packet_rows())
        if self.bias_track is not None:
            self.bias_track.adopt(state.bias)
            self.bias = self.bias_track.until(int(packets[-1]["ts_close_ns"]) if packets else 0)
        if self.gate is not None:
            for packet in packets:
                self.gate.judge.observe(packet, self.structure, self.bias)

    def perceived(self, names: Iterable[str] = ()) -> PerceptionState:
        """Return what was perceived up to the last trade; `names` as in `PerceptionState`."""
        return PerceptionState(
            instrument_id=self.instrument_id.value,
            last_trade_id=self.builder.last_trade_id,
            names=tuple(names),
            builder=self.builder.to_bytes(),
            structure=self.structure.to_bytes(),
            zones=tuple(zone_states(self.zones)),
            packets=b"".join(self.recent_packets or ()),
            bias=None if self.bias_track is None else self.bias_track.state(),
        )

    def warm_packets(self) -> np.ndarray[tuple[int], np.dtype[np.void]]:
        """Return the last closed buckets that are kept, shape (n,), dtype ``PACKET_DTYPE``, oldest first."""
        return np.frombuffer(b"".join(self.recent_packets or ()), PACKET_DTYPE)

    def perception_digest(self) -> str:
        """Return the SHA-256 of `perceived`; empty before the start."""
        if not hasattr(self, "builder"):
            return ""
        return hashlib.sha256(encode(self.perceived())).hexdigest()

    def observe(self, observer: Observer) -> None:
        """Let someone see each closed bucket with the structure events that became known on it.

        Observers are told in the order in which they came.
        """
        before = self._observer
        if before is None:
            self._observer = observer
            return

        def tell_all(packet: Any, events: EventTable) -> None:
            before(packet, events)
            observer(packet, events)

        self._observer = tell_all

    # -- market data ---------------------------------------------------------------------------------------

    def on_trade_tick(self, tick: TradeTick) -> None:
        """Take one trade; `listen` gives Nautilus the handler itself, which is faster."""
        self._take_trade(tick)

    def listen(self) -> None:
        """Subscribe to the trades and put the hot path directly on the message bus.

        `Actor.handle_trade_tick` costs 0.6 us per trade, a tenth of the whole engine, for a state check that
        unsubscribing at the stop makes unnecessary.
        """
        self.subscribe_trade_ticks(self.instrument_id)
        topic = f"data.trades.{self.instrument_id.venue}.{self.instrument_id.symbol}"
        if self.msgbus.is_subscribed(topic=topic, handler=self.handle_trade_tick):
            self.msgbus.unsubscribe(topic=topic, handler=self.handle_trade_tick)
            self.msgbus.subscribe(topic=topic, handler=self._take_trade)
            self._trades_topic = topic

    def on_bar(self, bar: Bar) -> None:
        """Take one closed higher-timeframe bar."""
        if self.bias_track is not None:
            bar_ns = int(bar.bar_type.spec.timedelta.total_seconds()) * 1_000_000_000
            self.bias_track.take(close_of(bar.ts_event, bar_ns), bar.close.as_double())
            self.bias = self.bias_track.value

    def end_past(self) -> None:
        """Note that the trades of before are in: bars count from now on as they come."""
        if self.bias_track is not None:
            self.bias = self.bias_track.end_past()

    def make_trade_handler(self) -> TradeHandler:
        """Return the hot path: a closure, because its cells are read faster than attributes."""
        push, on_packets, on_price = self._push, self._on_packets, self.on_watched_price
        on_unusual = self._on_unusual_trade
        buyer, seller = AggressorSide.BUYER, AggressorSide.SELLER
        band, on_far = self.band, self._on_far_trade
        sure_low, sure_high, remember = band.sure_low, band.sure_high, band.remember
        is_watching = False
        wake_low, wake_high, wake_ns = 0.0, 0.0, 0
        has_ids = True

        def take_trade(tick: TradeTick) -> None:
            nonlocal has_ids, sure_low, sure_high
            ts_ns = tick.ts_event
            price = tick.price.as_double()
            side = tick.aggressor_side
            try:
                is_buyer = side is buyer
                if not is_buyer and side is not seller:
                    raise ValueError("its aggressor side is unknown")  # noqa: TRY301
                trade_id = int(tick.trade_id.value) if has_ids else -1
                closed = push(ts_ns, price, tick.size.as_double(), is_buyer, trade_id)
            except ValueError as error:
                if has_ids and not _is_number(tick.trade_id.value):
                    has_ids = False  # UUIDs (Bybit): gaps cannot be seen
                    take_trade(tick)
                    return
                on_unusual(error)
                closed = 0
            if sure_low <= price <= sure_high:
                remember(price)
            else:
                is_near = band.judge(price)
                sure_low, sure_high = band.sure_low, band.sure_high
                if not is_near:
                    on_far(ts_ns, price, closed)
                    return
            if is_watching and (ts_ns >= wake_ns or not wake_low <= price <= wake_high):
                on_price(ts_ns, price)
            if closed:
                on_packets(ts_ns, price)

        def rebind() -> None:
            nonlocal push
            push = self._push

        def mind_band() -> None:
            nonlocal sure_low, sure_high
            sure_low, sure_high = band.sure_low, band.sure_high

        def take_price(tick: TradeTick) -> None:
            ts_ns, price = tick.ts_event, tick.price.as_double()
            is_near = band.push(price)
            mind_band()
            if not is_near:
                on_far(ts_ns, price, 0)
            elif is_watching and (ts_ns >= wake_ns or not wake_low <= price <= wake_high):
                on_price(ts_ns, price)

        def watch(flag: bool, low: float, high: float, deadline_ns: int) -> None:
            nonlocal is_watching, wake_low, wake_high, wake_ns
            is_watching, wake_low, wake_high, wake_ns = flag, low, high, deadline_ns

        self.set_watch = watch
        self._rebind = rebind
        self._mind_band = mind_band
        self.take_price = take_price
        return take_trade

    take_price: TradeHandler
    """Shows a trade to the setup alone, at once, while buckets wait for trades before it."""

    def taint_bucket(self) -> None:
        """Note that trades are missing of which no id tells: the bucket that forms is tainted."""
        self.builder.taint()

    def take_past_trade(self, tick: TradeTick) -> None:
        """Take a trade that is over: buckets, structure and zones see it, the setup's prices do not."""
        if self.bias_track is not None:
            self.bias = self.bias_track.until(tick.ts_event)
        is_buyer = tick.aggressor_side is AggressorSide.BUYER
        number = tick.trade_id.value
        price, closed = tick.price.as_double(), 0
        try:
            if not is_buyer and tick.aggressor_side is not AggressorSide.SELLER:
                raise ValueError("its aggressor side is unknown")  # noqa: TRY301
            trade_id = int(number) if _is_number(number) else -1
            closed = self._push(tick.ts_event, price, tick.size.as_double(), is_buyer, trade_id)
        except ValueError as error:
            self._on_unusual_trade(error)
        if not self.band.is_near(price):
            self._saw_bad_trade = True
        if closed:
            self._on_packets(tick.ts_event, price)

    def _on_far_trade(self, ts_ns: int, price: float, closed: int) -> None:
        """Believe no price far from the last trades: its bucket is tainted, the setup does not see it.

        Parameters
        ----------
        ts_ns
            UNIX nanoseconds.
        price
            Quote currency.
        closed
            Buckets that the trade closed; it may reach into the next one, which is tainted as well.
        """
        self.count("trades_far")
        if not self._saw_bad_trade:  # once per bucket
            self.log.warning(
                f"{self.instrument_id} trade at {price:g} is not believed: the last ones were at "
                f"{self.band.reference:g}"
            )
        self._saw_bad_trade = True
        if closed:
            self._on_packets(ts_ns, price)
            self._saw_bad_trade = True

    def on_mark_price(self, mark_price: MarkPriceUpdate) -> None:
        """Hold the next trades against the venue's mark price, too."""
        self.band.set_mark(mark_price.value.as_double())
        self._mind_band()

    def _on_unusual_trade(self, error: ValueError) -> None:
        self.count("trades_refused")
        self._saw_bad_trade = True  # the bucket lacks it: tainted
        self.log.warning(f"{self.instrument_id} trade left out: {error}")

    def before_fill(self, setup: Setup) -> None:
        """Taint the trade if trades are missing in the bucket that is still open."""
        if self._saw_bad_trade or self.builder.forming.get("is_tainted"):
            setup.taint()

    def _on_packets(self, ts_ns: int, price: float) -> None:
        packets = self.builder.closed
        # As bytes: asked for a buffer, numpy spells out the format of all columns first.
        rows = CLOSED_BUCKET.iter_unpack(packets.tobytes())
        for index, row in enumerate(rows):
            seq, ts_open, ts_close, open_, high, low, close, qty, buy_qty, is_tainted = row
            self.bucket_seq = seq
            self.counters["buckets"] += 1
            is_tainted = is_tainted or self._saw_bad_trade
            if self.setup is not None:
                self.setup.on_bucket(seq, is_tainted=is_tainted)
            events = self._update_structure(ts_open, ts_close, open_, high, low, close, qty, buy_qty)
            if self._observer is not None:
                self._observer(packets[index], events)
            if self.recent_packets is not None:
                self.recent_packets.append(packets[index].tobytes())
            if self.gate is not None:
                self.gate.judge.observe(packets[index], self.structure, self.bias)
                if self.gate.has_cancelled:
                    self._send_again(self.gate, ts_ns, price)
            if len(events) and self.zones.concerns(events):
                self.on_structure(events, ts_ns)
            if self._is_guarded:
                self.mind_equity(ts_ns)
            if self._waiting:
                self._consider(ts_ns, price, move_ratio=(high - low) / low, is_tainted=is_tainted)
        self._saw_bad_trade = False

    # -- zones ---------------------------------------------------------------------------------------------

    def on_structure(self, events: EventTable, ts_ns: int) -> None:
        """Take the events of one closed bucket.

        Parameters
        ----------
        events
            Shape (n,), dtype ``EVENT_DTYPE``.
        ts_ns
            Time of the trade that closed the bucket, UNIX nanoseconds.
        """
        for change, zone in self.zones.take(events):
            if change is ZoneChange.FORMED:
                self.count("zones")
                self._decide_zone("zone", zone, ts_ns)
                self._waiting[zone.zone_id] = zone
            elif change is ZoneChange.EXTENDED:
                self._waiting[zone.zone_id] = zone
            elif not is_alive(change):
                self._end_zone(zone, change, ts_ns)

    def _end_zone(self, zone: Zone, change: ZoneChange, ts_ns: int) -> None:
        self._waiting.pop(zone.zone_id, None)
        if self.gate is not None:
            self.gate.end_zone(zone.zone_id, ts_ns)
            self.on_setup_changed()  # its cancelled entry is no longer followed
        self._count_end(zone)
        self.count(f"zones_ended_{change}")
        self._decide_zone("expired" if change is ZoneChange.EXPIRED else "zone_ended", zone, ts_ns, change)
        setup = self.setup
        if setup is not None and not setup.is_closed and setup.plan.zone_id == zone.zone_id:
            self.carry_out(setup, setup.cancel_entry(change.value, ts_ns))

    def _count_end(self, zone: Zone) -> None:
        if not zone.is_used and zone.skip is not None:
            self.count(f"zones_skipped_{zone.skip}")

    def _consider(self, ts_ns: int, price: float, *, move_ratio: float, is_tainted: bool) -> None:
        """Look at the zones that wait, newest first: enter, follow, or find out why not."""
        setup = self.setup
        is_busy = setup is not None and not setup.is_closed
        now: Circumstances | None = None
        for zone in reversed(list(self._waiting.values())):
            if is_busy and not zone.is_used and zone.skip in _BUSY:
                continue  # said already; the usual case, so it comes first
            if now is None:
                now = Circumstances(
                    ts_ns=ts_ns,
                    data_age_ns=self.clock.timestamp_ns() - ts_ns,
                    is_halted=self.is_halted,
                    is_tainted=is_tainted,
                    bucket_move_ratio=move_ratio,
                    bias=self.bias,
                    is_held=bool(self.holds),
                )
            if zone.is_used:
                self._follow(zone, now)
            else:
                self._enter(zone, now, price)

    def _enter(self, zone: Zone, now: Circumstances, price: float) -> None:
        if not side_allowed(zone.direction, self.config.side, shorts=self.market.shorts):
            self._skip(zone, Skip(SkipReason.SIDE), now.ts_ns)
            return
        setup = self.setup
        if setup is not None and not setup.is_closed:
            reason: SkipReason | None = (
                SkipReason.IN_POSITION if setup.is_in_position else SkipReason.ENTRY_RESTING
            )
        else:
            reason = blocked(zone.direction, now, self._guard_rules)
        # At or beyond the sweet spot the limit would take liquidity: the moment to wait there has passed.
        if reason is None and (zone.is_touched or (price - zone.sweet) * zone.direction <= 0):
            reason = SkipReason.TOUCHED
        skip = self.paused(now.ts_ns) if reason is None else Skip(reason)
        if skip is not None:
            self._skip(zone, skip, now.ts_ns)
            return
        if self.was_used(zone.direction, zone.known_ts_ns, zone.zone_id) and not self._is_sent_again(zone):
            self._skip(zone, Skip(SkipReason.USED), now.ts_ns)
            return
        plan = plan_entry(zone, self._entry_rules, self.market, self.funds())
        if isinstance(plan, Skip):
            self._skip(zone, plan, now.ts_ns)
            return
        zone.is_used = True
        zone.skip = None
        self._waiting.pop(zone.zone_id, None)
        # A zone that is entered again needs an id of its own: a millisecond later for each time.
        again = 0 if self.gate is None else self.gate.sent_again.get(zone.zone_id, 0)
        self.open_setup(plan, zone.known_ts_ns + again * 1_000_000, now.ts_ns)

    def _follow(self, zone: Zone, now: Circumstances) -> None:
        """Move the unfilled entry after its range; small moves only move the target."""
        setup = self.setup
        is_own = setup is not None and setup.plan.zone_id == zone.zone_id
        if setup is None or not is_own or not setup.is_unfilled:
            self._waiting.pop(zone.zone_id, None)
            self._move_shadow(zone, now.ts_ns)
            return
        tick = float(self.market.tick_size)
        moved = abs(zone.sweet - float(setup.intended_entry_price))
        if moved < reprice_distance(zone, self._entry_rules, tick):
            target = target_price(
                zone.direction, zone.low, zone.high, self.config.target, self.market.tick_size
            )
            setup.retarget(target, zone.low, zone.high)
            self.on_setup_changed()  # the approach band reaches half the way to the end of the range
        else:
            if blocked(zone.direction, now, self._guard_rules) is not None:
                return  # the entry stays where it is; looked at again when the next bucket closes
            plan = plan_entry(zone, self._entry_rules, self.market, self.funds())
            if isinstance(plan, EntryPlan):
                self.carry_out(setup, setup.reprice(plan, now.ts_ns))
            else:
                self.carry_out(setup, setup.cancel_entry(plan.reason.value, now.ts_ns))
        self._waiting.pop(zone.zone_id, None)

    def _skip(self, zone: Zone, skip: Skip, ts_ns: int) -> None:
        if zone.skip is not skip.reason:
            zone.skip = skip.reason
            self._decide_zone("zone_skipped", zone, ts_ns, skip.reason, figure=skip.figure, limit=skip.limit)
        if zone.is_final_skip:
            self._waiting.pop(zone.zone_id, None)  # until the range extends

    def _decide_zone(
        self,
        kind: Literal["zone", "zone_skipped", "zone_ended", "expired"],
        zone: Zone,
        ts_ns: int,
        reason: str = "",
        **figures: float,
    ) -> None:
        self.decide(
            kind,
            ts_ns=ts_ns,
            side=side_name(zone.direction),
            zone_id=zone.zone_id,
            reason=str(reason),
            price=repr(zone.sweet),
            detail={"low": zone.low, "high": zone.high, **figures},
        )

    # -- zones whose entry the policy took back --------------------------------------------------------------

    def _send_again(self, gate: EntryGate, ts_ns: int, price: float) -> None:
        """Look whether a zone may be entered again."""
        if self.setup is not None and not self.setup.is_closed:
            return
        sweets = {one.zone_id: one.sweet for one in self.zones.live.values() if not one.is_touched}
        for zone_id in gate.zones_to_send_again(ts_ns, price, sweets):
            zone = self.zones.live[zone_id]
            zone.is_used = False
            self._waiting[zone_id] = zone
            self.count("entries_sent_again")

    def _is_sent_again(self, zone: Zone) -> bool:
        return self.gate is not None and self.gate.sent_again.get(zone.zone_id, 0) > 0

    def _move_shadow(self, zone: Zone, ts_ns: int) -> None:
        """Let the cancelled entry follow its range as it would have done at the venue.

        Its size stays: the account of now is not the one it would have had, which another trade may hold.
        """
        shadows = None if self.gate is None else self.gate.shadows
        entry = None if shadows is None else shadows.intended_entry(zone.zone_id)
        if shadows is None or entry is None:
            return
        rules, market = self._entry_rules, self.market
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
        self.on_setup_changed()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


__all__ = ["SPEC", "OteConfig", "OteStrategy", "model_policy", "perception"]
