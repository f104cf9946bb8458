"""Optimal trade entry (OTE) on equal-dollar volume buckets.

Trades become buckets, buckets become structure, a break of structure leaves a dealing range, and a post-only
limit waits at the sweet spot of its retracement before price is there.

The entry follows the range as it extends, is taken back when the zone ends, and from the first fill on stop
and target follow the position. When a zone ends after the fill, the position keeps its stop and target: the
zone was a reason to enter, the plan says how to leave.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import Bar, BarType, TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import InstrumentId

from indicators.bias import HtfBias
from indicators.engine import StructureConfig, StructureEngine
from indicators.events import EventTable, Scope
from packet_builder.builder import BucketConfig, VolumeBucketBuilder
from packet_builder.packet import PACKET_DTYPE
from strategies.dynamic_cancel import KEEP, Approach, CancelPolicy, load_policy
from strategies.guards import Circumstances, GuardRules, blocked
from strategies.registry import StrategySpec
from strategies.row_struct import row_struct
from strategies.setup_strategy import SetupStrategy, side_name
from strategies.trade_manager.plan import (
    EntryPlan,
    EntryRules,
    SideKind,
    Skip,
    SkipReason,
    Zone,
    plan_entry,
    reprice_distance,
    side_allowed,
)
from strategies.trade_manager.setup import ExitRules, PostOnlyReject, Setup
from strategies.trade_manager.targets import TargetKind, target_price
from strategies.trade_manager.zones import ZoneBook, ZoneChange, is_alive

SPEC: Final = StrategySpec(
    name="ote",
    version="1",
    summary="Post-only limit at the sweet spot of the retracement after a break of structure",
    strategy_path="strategies.ote:OteStrategy",
    config_path="strategies.ote:OteConfig",
)
TAG: Final = "OTE"

_PACKET: Final = row_struct(
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
_SCOPES: Final = {"external": Scope.EXTERNAL, "internal": Scope.INTERNAL}
_BUSY: Final = frozenset({SkipReason.IN_POSITION, SkipReason.ENTRY_RESTING})
type TradeHandler = Callable[[TradeTick], None]
type Observer = Callable[[Any, EventTable], None]
"""Called with each closed bucket (a row of ``PACKET_DTYPE``) and its structure events."""


class OteConfig(StrategyConfig, frozen=True, kw_only=True):
    """Settings of `OteStrategy`.

    Parameters
    ----------
    instrument_id
        What to trade: one strategy instance per instrument.
    bucket_usd
        Quote currency that fills a volume bucket, a multiple of tick x lot.
    structure
        Which breaks count: ``external`` (swings of 50 buckets to either side) or ``internal`` (5).
    side
        ``both``, ``long`` or ``short``; a spot account is long only whatever this says.
    retracement_min, retracement_max
        The OTE zone, share of the leg retraced.
    sweet_spot
        Where in the zone the entry waits, share of the leg retraced.
    range_expiry_buckets
        A zone that was touched expires after this many buckets.
    opposite_break_ends_zone
        A break in the other direction ends the zone.
    stop_buffer_pct
        Stop beyond the origin of the leg, percent of its price.
    target
        ``range_high`` (the end of the leg; its low for a short), ``extension_1.27`` or ``extension_1.618``.
    min_reward_risk
        Zones below this gross reward over gross risk are skipped.
    risk_per_trade_pct
        Share of the equity lost when the stop is hit, percent, before fees.
    max_notional_pct
        Largest position, percent of the equity.
    reprice_min_ticks, reprice_min_leg_pct
        The entry follows an extended range when the sweet spot moved by the larger of these, in price
        increments and in percent of the leg.
    entry_ttl_secs
        An entry older than this (since its first submission) is taken back; 0 for never.
    post_only_reject
        When the entry would have taken liquidity: ``reprice`` once behind the market, or ``drop`` the setup.
    stop_limit_offset_pct
        Spot: how far beyond the stop the limit of the stop-limit order stands, percent.
    exit_market_after_secs
        An exit that should have filled (the target's limit on spot, a stop jumped over) goes to market.
    approach_band_pct
        The cancel policy is asked while price is within this distance of the entry, percent.
    cancel_policy
        ``module:Class`` of a `CancelPolicy`; the default keeps every entry and costs nothing.
    htf_bar_type
        Higher-timeframe bars for a bias filter: entries only in the direction of EMA20/EMA50. None for no
        filter. Until 150 bars have closed the bias is unknown and nothing is entered.
    max_data_age_secs
        No entry on trades older than this by the node's clock.
    max_bucket_move_pct
        No entry on a bucket whose high is this far above its low, percent: a bad print or a crash.
    trade_from_ns
        No entries before this time (warm-up), UNIX nanoseconds.
    """

    instrument_id: InstrumentId
    bucket_usd: Decimal = Decimal(10_000)
    structure: Literal["external", "internal"] = "external"
    side: SideKind = "both"
    retracement_min: float = 0.618
    retracement_max: float = 0.79
    sweet_spot: float = 0.705
    range_expiry_buckets: int = 200
    opposite_break_ends_zone: bool = True
    stop_buffer_pct: float = 0.1
    target: TargetKind = "range_high"
    min_reward_risk: float = 1.0
    risk_per_trade_pct: float = 1.0
    max_notional_pct: float = 100.0
    reprice_min_ticks: int = 2
    reprice_min_leg_pct: float = 5.0
    entry_ttl_secs: float = 0.0
    post_only_reject: PostOnlyReject = "reprice"
    stop_limit_offset_pct: float = 0.2
    exit_market_after_secs: float = 5.0
    approach_band_pct: float = 1.0
    cancel_policy: str = KEEP
    htf_bar_type: BarType | None = None
    max_data_age_secs: float = 10.0
    max_bucket_move_pct: float = 20.0
    trade_from_ns: int = 0

    def __post_init__(self) -> None:  # msgspec checks fields when it decodes only; this runs always
        # A whole number in Python code is as exact as the text that a file gives.
        msgspec.structs.force_setattr(self, "bucket_usd", Decimal(self.bucket_usd))
        if not self.bucket_usd > 0:
            raise ValueError(f"bucket_usd ({self.bucket_usd}) must be above 0")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} ({getattr(self, name)!r}) must be one of {', '.join(choices)}")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:  # NaN fails as well
                raise ValueError(f"{name} ({value}) must be between {low:g} and {high:g}")
        if not self.retracement_min < self.sweet_spot <= self.retracement_max:
            raise ValueError(
                f"sweet_spot ({self.sweet_spot}) must be above retracement_min ({self.retracement_min}) "
                f"and at most retracement_max ({self.retracement_max})"
            )
        module_name, _, class_name = self.cancel_policy.partition(":")
        if not module_name or not class_name:
            raise ValueError(f"cancel_policy ({self.cancel_policy!r}) must be module:Class")


_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "structure": ("external", "internal"),
    "side": ("both", "long", "short"),
    "target": ("range_high", "extension_1.27", "extension_1.618"),
    "post_only_reject": ("reprice", "drop"),
}
_RANGES: Final[dict[str, tuple[float, float]]] = {
    "retracement_min": (0.01, 0.99),
    "retracement_max": (0.01, 0.99),
    "sweet_spot": (0.01, 0.99),
    "range_expiry_buckets": (1, 1_000_000),
    "stop_buffer_pct": (0, 50),
    "min_reward_risk": (0, 100),
    "risk_per_trade_pct": (0.0001, 100),
    "max_notional_pct": (0.0001, 10_000),
    "reprice_min_ticks": (0, 1_000_000),
    "reprice_min_leg_pct": (0, 1_000),
    "entry_ttl_secs": (0, 1e9),
    "stop_limit_offset_pct": (0, 50),
    "exit_market_after_secs": (0, 86_400),
    "approach_band_pct": (0, 100),
    "max_data_age_secs": (0, 86_400),
    "max_bucket_move_pct": (0.0001, 10_000),
    "trade_from_ns": (0, 1 << 62),
}


class OteStrategy(SetupStrategy):
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
        self._entry_rules = entry_rules(config)
        self._guard_rules = GuardRules(
            config.trade_from_ns, config.max_data_age_secs, config.max_bucket_move_pct
        )
        self._observer: Observer | None = None
        self._policy: CancelPolicy | None = None
        self._band_low = self._band_high = math.nan
        self._asked_in_bucket = -1
        self._saw_refused_trade = False
        self._packets: Any = None
        self._packet_index = 0
        self._trades_topic = ""
        # Zones to look at when the next bucket closes: new, waiting for a better moment, or to be followed.
        self._waiting: dict[int, Zone] = {}
        self._push: Callable[[int, float, float, bool, int], int]
        self._update_structure: Callable[..., Any]
        self._take_trade: TradeHandler
        self._set_watch: Callable[[bool, float, float, int], None]

    # -- life ----------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Read the instrument, build buckets and structure, and listen to trades."""
        if not self.prepare():
            self.stop()
            return
        self.build_perception()
        if self.config.cancel_policy != KEEP:
            self._policy = load_policy(self.config.cancel_policy)
        self._take_trade = self.make_trade_handler()
        self.listen()
        if self.config.htf_bar_type is not None:
            self._htf_bias = HtfBias()
            self.subscribe_bars(self.config.htf_bar_type)

    def on_stop(self) -> None:
        """Take the entry back; a position keeps its exits at the venue (or see ``manage_stop``)."""
        if self._trades_topic:
            self.msgbus.unsubscribe(topic=self._trades_topic, handler=self._take_trade)
        self.stop_setup()
        # Zero unless trades came out of the order of their ids: then buckets are wrong.
        self.count("trades_dropped", self.builder.counters.dropped_ids)
        for zone in list(self.zones.live.values()):
            self._count_end(zone)

    def build_perception(self) -> None:
        """Make the bucket builder and the structure engine; a test puts its own in their place."""
        market = self.market
        buckets, structure = perception(self.config, market.tick_size, market.lot_size)
        self.builder = VolumeBucketBuilder(buckets)
        self.structure = StructureEngine(structure)
        self._push = self.builder.push
        self._update_structure = self.structure.update

    def observe(self, observer: Observer) -> None:
        """Let someone see each closed bucket with the structure events that became known on it."""
        self._observer = observer

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
        self.bias = self._htf_bias.update(bar.close.as_double())

    def make_trade_handler(self) -> TradeHandler:
        """Return the hot path: a closure, because its cells are read faster than attributes."""
        push, on_packets, on_price = self._push, self._on_packets, self._on_watched_price
        on_unusual = self._on_unusual_trade
        buyer, seller = AggressorSide.BUYER, AggressorSide.SELLER
        is_watching = False
        wake_low, wake_high, wake_ns = 0.0, 0.0, 0
        has_ids = True

        def take_trade(tick: TradeTick) -> None:
            nonlocal has_ids
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
            if is_watching and (ts_ns >= wake_ns or not wake_low <= price <= wake_high):
                on_price(ts_ns, price)
            if closed:
                on_packets(ts_ns, price)

        def watch(flag: bool, low: float, high: float, deadline_ns: int) -> None:
            nonlocal is_watching, wake_low, wake_high, wake_ns
            is_watching, wake_low, wake_high, wake_ns = flag, low, high, deadline_ns

        self._set_watch = watch
        return take_trade

    def _on_unusual_trade(self, error: ValueError) -> None:
        self.count("trades_refused")
        self._saw_refused_trade = True  # the bucket lacks it: tainted
        self.log.warning(f"{self.instrument_id} trade left out: {error}")

    def before_fill(self, setup: Setup) -> None:
        """Taint the trade if trades are missing in the bucket that is still open."""
        if self.builder.forming.get("is_tainted"):
            setup.taint()

    def _on_watched_price(self, ts_ns: int, price: float) -> None:
        setup = self.setup
        if setup is None:
            return
        actions = setup.on_price(ts_ns, price)
        if actions:
            self.carry_out(setup, actions)
        else:
            self.on_setup_changed()  # a new extreme moves the band in which nothing happens
        if self._policy is not None and self._band_low <= price <= self._band_high:
            self._ask_policy(self._policy, setup, ts_ns, price)

    def _on_packets(self, ts_ns: int, price: float) -> None:
        packets = self.builder.closed
        # As bytes: asked for a buffer, numpy spells out the format of all columns first.
        rows = _PACKET.iter_unpack(packets.tobytes())
        for index, row in enumerate(rows):
            seq, ts_open, ts_close, open_, high, low, close, qty, buy_qty, is_tainted = row
            self.bucket_seq = seq
            self._packets, self._packet_index = packets, index
            self.counters["buckets"] += 1
            is_tainted = is_tainted or self._saw_refused_trade
            if self.setup is not None:
                self.setup.on_bucket(seq, is_tainted=is_tainted)
            events = self._update_structure(ts_open, ts_close, open_, high, low, close, qty, buy_qty)
            if self._observer is not None:
                self._observer(packets[index], events)
            if len(events) and self.zones.concerns(events):
                self.on_structure(events, ts_ns)
            if self._waiting:
                self._consider(ts_ns, price, move_ratio=(high - low) / low, is_tainted=is_tainted)
        self._saw_refused_trade = False

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
        if reason is not None:
            self._skip(zone, Skip(reason), now.ts_ns)
            return
        plan = plan_entry(zone, self._entry_rules, self.market, self.funds())
        if isinstance(plan, Skip):
            self._skip(zone, plan, now.ts_ns)
            return
        zone.is_used = True
        zone.skip = None
        self._waiting.pop(zone.zone_id, None)
        self.open_setup(plan, zone.known_ts_ns, now.ts_ns)

    def _follow(self, zone: Zone, now: Circumstances) -> None:
        """Move the unfilled entry after its range; small moves only move the target."""
        setup = self.setup
        is_own = setup is not None and setup.plan.zone_id == zone.zone_id
        if setup is None or not is_own or not setup.is_unfilled:
            self._waiting.pop(zone.zone_id, None)
            return
        tick = float(self.market.tick_size)
        moved = abs(zone.sweet - float(setup.intended_entry_price))
        if moved < reprice_distance(zone, self._entry_rules, tick):
            target = target_price(
                zone.direction, zone.low, zone.high, self.config.target, self.market.tick_size
            )
            setup.retarget(target, zone.low, zone.high)
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

    # -- cancel policy -------------------------------------------------------------------------------------

    def on_setup_changed(self) -> None:
        """Set which trades wake the setup up, and the band in which the policy is asked."""
        setup = self.setup
        if setup is None:
            return
        is_watching = setup.is_watching
        low, high = setup.quiet_band
        self._band_low = self._band_high = math.nan
        entry = setup.entry_price
        if self._policy is not None and entry is not None:
            distance = float(entry) * self.config.approach_band_pct / 100
            self._band_low, self._band_high = float(entry) - distance, float(entry) + distance
            is_watching, low, high = True, math.inf, -math.inf  # every trade
        self._set_watch(is_watching, low, high, setup.deadline_ns)

    def _ask_policy(self, policy: CancelPolicy, setup: Setup, ts_ns: int, price: float) -> None:
        plan = setup.plan
        verdict = policy.decide(
            Approach(
                ts_ns=ts_ns,
                price=price,
                direction=plan.direction,
                entry_price=float(plan.entry_price),
                stop_price=float(plan.stop_price),
                target_price=float(plan.target_price),
                zone_low=plan.zone_low,
                zone_high=plan.zone_high,
                bucket_seq=self.bucket_seq,
                packet=self._packets[self._packet_index],
                snapshot=self.structure.snapshot,
            )
        )
        # Every verdict that changes something is published, of the others the first per bucket.
        if verdict.cancel or self._asked_in_bucket != self.bucket_seq:
            self._asked_in_bucket = self.bucket_seq
            self.decide(
                "cancel_asked",
                ts_ns=ts_ns,
                setup=setup,
                reason=verdict.reason or ("cancel" if verdict.cancel else "keep"),
                probability=verdict.probability,
                threshold=verdict.threshold,
                price=str(plan.entry_price),
            )
        if verdict.cancel:
            self.count("entries_cancelled_by_model")
            self.carry_out(setup, setup.cancel_entry("model", ts_ns))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def entry_rules(config: OteConfig) -> EntryRules:
    """Return the settings that turn a zone into a plan."""
    return EntryRules(
        side=config.side,
        stop_buffer_pct=config.stop_buffer_pct,
        target=config.target,
        min_reward_risk=config.min_reward_risk,
        risk_per_trade_pct=config.risk_per_trade_pct,
        max_notional_pct=config.max_notional_pct,
        reprice_min_ticks=config.reprice_min_ticks,
        reprice_min_leg_pct=config.reprice_min_leg_pct,
    )


def exit_rules(config: OteConfig) -> ExitRules:
    """Return the settings that handle orders at the venue."""
    return ExitRules(
        entry_ttl_secs=config.entry_ttl_secs,
        post_only_reject=config.post_only_reject,
        stop_limit_offset_pct=config.stop_limit_offset_pct,
        exit_market_after_secs=config.exit_market_after_secs,
    )


def perception(
    config: OteConfig, tick_size: Decimal, lot_size: Decimal
) -> tuple[BucketConfig, StructureConfig]:
    """Return the parameters of buckets and structure that the settings name.

    Parameters
    ----------
    config
        Settings of the strategy.
    tick_size, lot_size
        Price and quantity increments of the instrument.
    """
    buckets = BucketConfig(bucket_usd=config.bucket_usd, tick_size=tick_size, lot_size=lot_size)
    structure = StructureConfig(
        tick_size=float(tick_size),
        ote_low=config.retracement_min,
        ote_sweet=config.sweet_spot,
        ote_high=config.retracement_max,
        range_opposed=config.opposite_break_ends_zone,
        range_expiry=config.range_expiry_buckets,
    )
    return buckets, structure


__all__ = ["SPEC", "OteConfig", "OteStrategy", "perception"]
