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
from nautilus_trader.model.events import OrderCanceled, OrderCancelRejected, OrderEvent, OrderFilled
from nautilus_trader.model.identifiers import InstrumentId

from indicators.bias import HtfBias
from indicators.engine import StructureConfig, StructureEngine
from indicators.events import EventTable, Scope
from ml.gate import GateRules
from ml.shadow import ShadowPlan
from packet_builder.builder import BucketConfig, VolumeBucketBuilder
from packet_builder.packet import PACKET_DTYPE
from strategies.dynamic_cancel import KEEP, Approach, CancelPolicy, load_policy
from strategies.entry_gate import CANCEL_REJECTED, CANCELLED_IN_TIME, FILLED_FIRST, EntryGate, RearmRules
from strategies.guards import Circumstances, GuardRules, blocked
from strategies.model_policy import ModelPolicy, load_model_policy
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
from strategies.trade_manager.record import ClosedTrade
from strategies.trade_manager.setup import NEVER_NS, ExitRules, PostOnlyReject, Setup
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
_OUTCOMES: Final = {
    OrderCanceled: CANCELLED_IN_TIME,
    OrderFilled: FILLED_FIRST,
    OrderCancelRejected: CANCEL_REJECTED,
}
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
        The cancel policy is asked while price is within this distance of the entry, percent, and within
        half the way from the end of the range to the entry.
    cancel_policy
        ``module:Class`` of a `CancelPolicy`; the default keeps every entry and costs nothing.
    model
        Folder of a trained model (``model.json``, ``passport.json``) that decides instead; empty for none.
    model_margin
        Added to the break-even probability of the order; None takes the passport's.
    model_hysteresis
        An order that was kept is cancelled this far below the threshold, one that was sent again must start
        this far above it; a probability.
    model_min_interval_ms
        Least time between two decisions about an order; 0 decides on every trade.
    model_unfit
        What happens to the entry when a feature is missing, infinite or absurd: ``cancel`` or ``keep``.
    model_missing
        ``refuse``: a missing feature makes a row unfit; ``as_trained``: it is scored where training had it.
    model_without_skill
        A model whose validation found no skill: ``ignore`` its decisions, or ``obey`` them.
    model_stream
        What the feed reports, ``trades`` or ``aggtrades``; a model trained on the other is refused.
    rearm_max
        How often a zone is entered again after the policy took its entry back; 0: the zone is spent.
    rearm_after_secs
        Least time before that; and price must have left the approach band.
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
    model: str = ""
    model_margin: float | None = None
    model_hysteresis: float = 0.01
    model_min_interval_ms: float = 0.0
    model_unfit: Literal["cancel", "keep"] = "cancel"
    model_missing: Literal["refuse", "as_trained"] = "refuse"
    model_without_skill: Literal["ignore", "obey"] = "ignore"
    model_stream: Literal["trades", "aggtrades"] = "trades"
    rearm_max: int = 0
    rearm_after_secs: float = 60.0
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
        if self.model and self.cancel_policy != KEEP:
            raise ValueError(f"cancel_policy ({self.cancel_policy!r}) and model ({self.model!r}): set one")
        gate_rules(self)


_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "structure": ("external", "internal"),
    "side": ("both", "long", "short"),
    "target": ("range_high", "extension_1.27", "extension_1.618"),
    "post_only_reject": ("reprice", "drop"),
    "model_unfit": ("cancel", "keep"),
    "model_missing": ("refuse", "as_trained"),
    "model_without_skill": ("ignore", "obey"),
    "model_stream": ("trades", "aggtrades"),
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
    "model_hysteresis": (0, 0.5),
    "model_min_interval_ms": (0, 1e9),
    "rearm_max": (0, 1_000),
    "rearm_after_secs": (0, 1e9),
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
        self._gate: EntryGate | None = None
        self._bucket_bias = math.nan
        self._snapshot: Any = None
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
        policy = self.make_policy()
        if policy is not None:
            rules = RearmRules(self.config.rearm_max, int(self.config.rearm_after_secs * 1e9))
            self._gate = EntryGate(
                policy, self.config.approach_band_pct, rules, tick_size=float(self.market.tick_size)
            )
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
        if self._gate is not None:
            self._gate.shadows.close()

    def make_policy(self) -> CancelPolicy | None:
        """Return the policy of the settings, None where every entry is kept.

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
                now_ns=self.clock.timestamp_ns(),
                maker_fee=float(market.maker_fee),
                taker_fee=float(market.taker_fee),
                target_rests=market.target_rests,
            )
        return None if config.cancel_policy == KEEP else load_policy(config.cancel_policy)

    def gate_report(self) -> dict[str, Any] | None:
        """Return what the cancel policy did and was worth, None without one."""
        return None if self._gate is None else self._gate.as_plain()

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
        gate, setup = self._gate, self.setup
        if gate is not None and len(gate.shadows):
            gate.shadows.on_price(ts_ns, price)
        if setup is None:
            return
        if self._band_low <= price <= self._band_high:  # its entry rests, and there is a policy
            if ts_ns >= setup.deadline_ns:
                self._on_setup_price(setup, ts_ns, price)
            if gate is not None and setup.entry_price is not None and gate.is_due(ts_ns):
                self._ask_policy(gate, setup, ts_ns, price)
            return
        self._on_setup_price(setup, ts_ns, price)

    def _on_setup_price(self, setup: Setup, ts_ns: int, price: float) -> None:
        actions = setup.on_price(ts_ns, price)
        if actions:
            self.carry_out(setup, actions)
        else:
            self.on_setup_changed()  # a new extreme moves the band in which nothing happens

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
            if self._gate is not None:
                self._see_bucket(self._gate, packets[index], ts_ns, price)
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
        if self._gate is not None:
            self._gate.end_zone(zone.zone_id)
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
        # A zone that is entered again needs an id of its own: a millisecond later for each time.
        again = 0 if self._gate is None else self._gate.sent_again.get(zone.zone_id, 0)
        self.open_setup(plan, zone.known_ts_ns + again * 1_000_000, now.ts_ns)

    def _follow(self, zone: Zone, now: Circumstances) -> None:
        """Move the unfilled entry after its range; small moves only move the target."""
        setup = self.setup
        is_own = setup is not None and setup.plan.zone_id == zone.zone_id
        if setup is None or not is_own or not setup.is_unfilled:
            self._waiting.pop(zone.zone_id, None)
            self._move_shadow(zone)
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

    # -- cancel policy -------------------------------------------------------------------------------------

    def _see_bucket(self, gate: EntryGate, packet: Any, ts_ns: int, price: float) -> None:
        """Let the policy see a closed bucket, and look whether a zone may be entered again."""
        self._bucket_bias = math.nan if self.bias is None else float(self.bias)
        if gate.aware is not None:
            self._snapshot = self.structure.snapshot
            gate.aware.observe(packet, self._snapshot)
        if gate.has_cancelled and (self.setup is None or self.setup.is_closed):
            sweets = {one.zone_id: one.sweet for one in self.zones.live.values() if not one.is_touched}
            for zone_id in gate.zones_to_send_again(ts_ns, price, sweets):
                zone = self.zones.live[zone_id]
                zone.is_used = False
                self._waiting[zone_id] = zone
                self.count("entries_sent_again")

    def _move_shadow(self, zone: Zone) -> None:
        """Let the cancelled entry follow its range as it would have done at the venue."""
        if self._gate is None or not len(self._gate.shadows):
            return
        plan = plan_entry(zone, self._entry_rules, self.market, self.funds())
        if isinstance(plan, EntryPlan):
            prices = float(plan.entry_price), float(plan.stop_price), float(plan.target_price)
            self._gate.shadows.move(zone.zone_id, *prices)
        else:
            self._gate.shadows.end_zone(zone.zone_id)
        self.on_setup_changed()

    def on_entry_sent(self, setup: Setup) -> None:
        """Begin with another order."""
        if self._gate is not None:
            self._gate.order_sent(setup.plan.zone_id, self.clock.timestamp_ns(), self.bucket_seq)

    def on_order_event(self, event: OrderEvent) -> None:
        """Take a venue's report, and what it says about a cancel that the policy asked for."""
        super().on_order_event(event)
        outcome = _OUTCOMES.get(type(event))
        if self._gate is None or outcome is None:
            return
        ts_ns: int = event.ts_event
        waited_ns = self._gate.outcome(event.client_order_id.value, outcome, ts_ns)
        if waited_ns is not None:
            self.count(f"policy_cancels_{outcome}")
            self.decide(
                "cancel_outcome",
                ts_ns=ts_ns,
                setup=self._by_order.get(event.client_order_id.value),
                reason=outcome,
                detail={"order": event.client_order_id.value, "after_ms": waited_ns / 1e6},
            )
            self.on_setup_changed()

    def _publish_trade(self, setup: Setup, trade: ClosedTrade, ts_ns: int) -> None:
        super()._publish_trade(setup, trade, ts_ns)
        if self._gate is not None:
            self._gate.closed(trade)

    def on_setup_changed(self) -> None:
        """Set which trades wake the setup up, and the band in which the policy is asked."""
        setup, gate = self.setup, self._gate
        self._band_low = self._band_high = math.nan
        is_watching, low, high, deadline_ns = False, -math.inf, math.inf, NEVER_NS
        if setup is not None:
            is_watching, (low, high), deadline_ns = setup.is_watching, setup.quiet_band, setup.deadline_ns
        if gate is not None:
            if setup is not None and (entry := setup.entry_price) is not None:
                plan = setup.plan
                band = gate.band(float(entry), plan.direction, plan.zone_low, plan.zone_high)
                self._band_low, self._band_high = band
                # Quiet is what lies before the band; price beyond it has filled the entry.
                low = max(low, math.nextafter(band[1], math.inf)) if plan.direction > 0 else low
                high = min(high, math.nextafter(band[0], -math.inf)) if plan.direction < 0 else high
                is_watching = True
            if len(gate.shadows):
                shadow_low, shadow_high = gate.shadows.quiet_band
                low, high, is_watching = max(low, shadow_low), min(high, shadow_high), True
        self._set_watch(is_watching, low, high, deadline_ns)

    def _ask_policy(self, gate: EntryGate, setup: Setup, ts_ns: int, price: float) -> None:
        plan = setup.plan
        verdict = gate.policy.decide(
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
                snapshot=self.structure.snapshot if gate.aware is None else self._snapshot,
                placed_ns=gate.placed_ns,
                placed_seq=gate.placed_seq,
                bias=self._bucket_bias,
            )
        )
        gate.said(setup.identity.setup_id, verdict.probability)
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
                stop=str(plan.stop_price),
                target=str(plan.target_price),
                detail={
                    "action": "cancel" if verdict.cancel else "keep",
                    "trade_price": price,
                    **({} if gate.aware is None else gate.aware.inputs()),
                },
            )
        if verdict.cancel:
            self.count("entries_cancelled_by_model")
            gate.cancelled(self._shadow_plan(setup, ts_ns))
            self.carry_out(setup, setup.cancel_entry("model", ts_ns))

    def _shadow_plan(self, setup: Setup, ts_ns: int) -> ShadowPlan:
        plan, market = setup.plan, self.market
        return ShadowPlan(
            order_id=setup.entry_id,
            zone_id=plan.zone_id,
            direction=plan.direction,
            entry=float(plan.entry_price),
            stop=float(plan.stop_price),
            target=float(plan.target_price),
            qty=float(plan.qty),
            entry_fee=float(market.maker_fee),
            stop_fee=float(market.taker_fee),
            target_fee=float(market.maker_fee if market.target_rests else market.taker_fee),
            target_rests=market.target_rests,
            cancelled_ns=ts_ns,
        )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def gate_rules(config: OteConfig) -> GateRules:
    """Return the settings that turn a model's probability into a decision."""
    return GateRules(
        margin=config.model_margin,
        hysteresis=config.model_hysteresis,
        min_interval_ns=int(config.model_min_interval_ms * 1e6),
        on_unfit=config.model_unfit,
        missing=config.model_missing,
        gates_without_skill=config.model_without_skill == "obey",
    )


def model_policy(
    config: OteConfig, *, now_ns: int, maker_fee: float, taker_fee: float, target_rests: bool
) -> ModelPolicy:
    """Load the model that the settings name.

    Parameters
    ----------
    config
        With ``model`` set.
    now_ns
        When the first decision could be due, UNIX nanoseconds.
    maker_fee, taker_fee
        Shares of the notional.
    target_rests
        The target fills as maker.

    Raises
    ------
    ModelRefused
        When it must not decide here; the text says why.
    """
    return load_model_policy(
        config.model,
        gate_rules(config),
        instrument_id=config.instrument_id.value,
        stream=config.model_stream,
        bucket_usd=float(config.bucket_usd),
        now_ns=now_ns,
        entry_fee=maker_fee,
        stop_fee=taker_fee,
        target_fee=maker_fee if target_rests else taker_fee,
    )


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
