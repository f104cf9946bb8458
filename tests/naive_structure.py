"""Plain-Python definition of every market structure: slow, close to the text, the judge of the engine.

Written from ``docs/structure.md`` only, without numba or numpy. It keeps all bars and looks back over
them again and again, sorts lists where the engine keeps stacks, and writes each rule once, for the
bullish side: the bearish side looks at the bars in a mirror (`Mirror`), which negates prices.
"""

import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from indicators.events import FLAG_FIRST, FLAG_SHIFT, EventKind, RangeStage, Scope, SwingLabel
from indicators.structure_config import StructureConfig
from tests.bars import SECOND_NS, Bar

NAN = float("nan")
DAY_NS = 86_400 * SECOND_NS
LIQUIDITY_CAP = 512
FLAGS = (
    "new_fvg",
    "new_ob",
    "in_bull_fvg",
    "in_bear_fvg",
    "near_bull_ob",
    "near_bear_ob",
    "touch_bull_ob",
    "touch_bear_ob",
    "high_taken",
    "low_taken",
    "equal_levels",
    "internal_break",
    "external_break",
)
UP, DOWN = 1, -1
WORD = {UP: "bull", DOWN: "bear"}


class Event(NamedTuple):
    """One row of ``EVENT_DTYPE``, same fields in the same order."""

    event_id: int
    kind: int
    direction: int
    scope: int
    known_seq: int
    known_ts_ns: int
    origin_seq: int
    origin_ts_ns: int
    low: float
    high: float
    level: float
    ref_id: int
    displacement: float
    depth: float
    flag: int
    volume: float
    buy_share: float


def mirror(bar: Bar) -> Bar:
    """Return the bar with negated prices, high and low swapped."""
    return bar._replace(open=-bar.open, high=-bar.low, low=-bar.high, close=-bar.close)


def divide(a: float, b: float) -> float:
    """Divide as IEEE 754 does; Python would raise for a zero divisor."""
    if b != 0.0:
        return a / b
    return NAN if a == 0.0 or math.isnan(a) else math.copysign(math.inf, a)


def single(value: float) -> float:
    """Round to single precision."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def middle(low: float, high: float) -> float:
    """Midpoint of a zone."""
    return 0.5 * (low + high)


@dataclass(eq=False)
class Swing:
    """A member of the zigzag; prices of either type are true prices."""

    side: int
    level: float
    origin: int
    event_id: int
    opposite_before: "Swing | None" = None  # the zigzag's latest swing of the other type at its birth
    is_used: bool = False


@dataclass(eq=False)
class Zone:
    """A live gap, inverse gap, order block or breaker. ``done`` lists the stages that price reached."""

    side: int
    low: float
    high: float
    origin: int
    known: int
    event_id: int
    is_second_life: bool = False  # IFVG or breaker
    done: set[str] = field(default_factory=set)

    def seen_from_own_side(self) -> tuple[float, float]:
        """Return (bottom, top) in the mirror in which the zone is bullish."""
        return (self.low, self.high) if self.side == UP else (-self.high, -self.low)


@dataclass(eq=False)
class Level:
    """A swing level that no wick has exceeded, with the pool of equal levels it belongs to."""

    price: float
    origin: int
    event_id: int
    pool_price: float
    pool_count: int = 1


@dataclass(eq=False)
class Range:
    """A dealing range from A to B; prices in the mirror in which it is a long setup."""

    side: int
    a: float
    b: float
    origin: int
    known: int
    event_id: int
    stage: RangeStage = RangeStage.FORMED
    entered_at: int = -1
    swept_spot_at: int = -1

    def line(self, ratio: float) -> float:
        """Price at a retracement ratio from B towards A."""
        return self.b - ratio * (self.b - self.a)


@dataclass
class Structure:
    """What one structure scope remembers."""

    scope: Scope
    left: int
    right: int
    zigzag: list[Swing] = field(default_factory=list)
    labels: dict[int, SwingLabel] = field(
        default_factory=lambda: {UP: SwingLabel.NONE, DOWN: SwingLabel.NONE}
    )
    locked: dict[int, Swing | None] = field(default_factory=lambda: {UP: None, DOWN: None})
    protected: dict[int, Swing | None] = field(default_factory=lambda: {UP: None, DOWN: None})
    trend: int = 0
    last_break: int = -1
    ranges: dict[int, Range | None] = field(default_factory=lambda: {UP: None, DOWN: None})
    patterns: "dict[int, Pattern]" = field(default_factory=dict)  # by the event id of the SWING of H2

    def latest(self, side: int) -> Swing | None:
        """Return the zigzag's latest swing of one type."""
        return next((swing for swing in reversed(self.zigzag) if swing.side == side), None)


@dataclass(eq=False)
class Pattern:
    """Four alternating swings whose third last is, or waits to be, broken (preset of the peer)."""

    side: int
    swing: Swing
    is_with_trend: bool
    is_open: bool = True


class Break(NamedTuple):
    """A level that broke on this bar by the level rule."""

    side: int
    swing: Swing
    event_id: int  # -1: not emitted
    is_suppressed: bool


@dataclass
class Period:
    """The running day or week."""

    flag: int
    number: int
    first: int
    low: float
    high: float
    is_whole: bool


class NaiveStructure:
    """The reference: `step` takes one bar and returns its events, `snapshot` is the row after it."""

    def __init__(self, config: StructureConfig) -> None:
        self.config = config
        self.bars: list[Bar] = []
        self.events: list[Event] = []
        self.snapshot: dict[str, float] = {}
        self.true_ranges: list[float] = []
        self.atr: list[float] = []
        self.atr_slow: list[float] = []
        self._sums = {config.atr_length: 0.0, config.atr_slow_length: 0.0}
        self._rma = NAN
        self.ema_fast = self.ema_slow = self.rsi = NAN
        self._gain = self._loss = NAN
        self.external = Structure(Scope.EXTERNAL, config.external_left, config.external_right)
        self.internal = Structure(Scope.INTERNAL, config.internal_left, config.internal_right)
        self.gaps: dict[int, list[Zone]] = {UP: [], DOWN: []}
        self.blocks: dict[int, list[Zone]] = {UP: [], DOWN: []}
        self.stack: dict[int, list[Level]] = {UP: [], DOWN: []}
        self.taken: dict[int, list[Level]] = {UP: [], DOWN: []}  # since the previous swing of that type
        self.pool: dict[int, float] = {UP: NAN, DOWN: NAN}
        self.periods: dict[int, Period | None] = {1: None, 7: None}
        self.previous: dict[int, tuple[float, float]] = {1: (NAN, NAN), 7: (NAN, NAN)}
        self.last_sweep = {(kind, side): -1 for kind in ("extreme", "swing") for side in (UP, DOWN)}

    @property
    def t(self) -> int:
        """Number of the bar in hand."""
        return len(self.bars) - 1

    def bar(self, seq: int, side: int) -> Bar:
        """Return a bar as seen from a side."""
        return self.bars[seq] if side == UP else mirror(self.bars[seq])

    def span(self, first: int, last: int, side: int) -> list[tuple[int, Bar]]:
        """Return (seq, bar) of bars first..last, both ends included."""
        return [(seq, self.bar(seq, side)) for seq in range(first, last + 1)]

    def emit(self, kind: EventKind, side: int, low: float, high: float, level: float, **more: float) -> int:
        """Append an event; low and high are ordered here so that mirrored prices can be given either way."""
        origin = int(more.get("origin", self.t))
        event = Event(
            event_id=len(self.events),
            kind=int(kind),
            direction=side,
            scope=int(more.get("scope", Scope.NONE)),
            known_seq=self.t,
            known_ts_ns=self.bars[-1].ts_close_ns,
            origin_seq=origin,
            origin_ts_ns=self.bars[origin].ts_close_ns,
            low=min(low, high),
            high=max(low, high),
            level=level,
            ref_id=int(more.get("ref_id", -1)),
            displacement=more.get("displacement", NAN),
            depth=more.get("depth", NAN),
            flag=int(more.get("flag", 0)),
            volume=more.get("volume", NAN),
            buy_share=more.get("buy_share", NAN),
        )
        self.events.append(event)
        return event.event_id

    def impulse_atr(self) -> float:
        """Return the ATR that impulses are measured with."""
        seq = self.t - self.config.atr_lag
        return self.atr[seq] if seq >= 0 else NAN

    def step(self, bar: Bar) -> list[Event]:
        """Take one closed bar; return the events known at its close, in order."""
        self.bars.append(bar)
        start = len(self.events)
        self.flags = dict.fromkeys(FLAGS, 0)
        self.step_periods()
        self.step_averages()
        self.step_zones()
        self.step_sweeps()
        external = self.step_breaks(self.external, [])
        self.step_patterns(self.external)
        internal = self.step_breaks(self.internal, external)
        self.step_patterns(self.internal)
        self.step_ranges(self.external, external)
        self.step_ranges(self.internal, internal)
        self.step_new_gap()
        self.step_new_block(internal)
        self.step_swings(self.external)
        swings = self.step_swings(self.internal)
        self.step_levels(swings)
        self.snapshot = self.take_snapshot(start)
        return self.events[start:]

    def step_periods(self) -> None:
        """Close the day, then the week, when a bar opens in a later one."""
        bar = self.bars[-1]
        day = bar.ts_open_ns // DAY_NS
        # 1970-01-01 was a Thursday: three days after a Monday.
        week = (day + 3) // 7
        for flag, number, start_ns in ((1, day, day * DAY_NS), (7, week, (week * 7 - 3) * DAY_NS)):
            period = self.periods[flag]
            if period is not None and number <= period.number:
                period.low, period.high = min(period.low, bar.low), max(period.high, bar.high)
                continue
            is_whole = True
            if period is None:
                is_whole = bar.ts_open_ns - start_ns <= self.config.session_start_tolerance_secs * SECOND_NS
            elif period.is_whole:
                self.previous[flag] = (period.low, period.high)
                self.emit(
                    EventKind.PERIOD_LEVELS,
                    0,
                    period.low,
                    period.high,
                    middle(period.low, period.high),
                    origin=period.first,
                    flag=flag,
                )
            self.periods[flag] = Period(flag, number, self.t, bar.low, bar.high, is_whole)

    def mean_range(self, length: int) -> float:
        """Return the mean of the last ``length`` true ranges with the documented running sum, NaN before."""
        t = self.t
        if (t + 1) % length == 0:
            total = 0.0
            for value in self.true_ranges[-length:]:
                total += value
        else:
            total = self._sums[length] + self.true_ranges[-1]
            if t >= length:
                total -= self.true_ranges[t - length]
        self._sums[length] = total
        return total / length if t >= length - 1 else NAN

    def step_averages(self) -> None:
        """Advance true range, both ATRs, EMAs and RSI."""
        config, bar, t = self.config, self.bars[-1], self.t
        true_range = bar.high - bar.low
        if t > 0:
            before = self.bars[-2].close
            true_range = max(true_range, abs(bar.high - before), abs(bar.low - before))
        self.true_ranges.append(true_range)
        mean = self.mean_range(config.atr_length)
        slow = mean
        if config.atr_slow_length != config.atr_length:
            slow = self.mean_range(config.atr_slow_length)
        if t == config.atr_length - 1:
            self._rma = mean
        elif t >= config.atr_length:
            self._rma = self._rma + (true_range - self._rma) / config.atr_length
        atr = mean if config.atr_kind == "sma" else self._rma
        self.atr.append(atr if math.isnan(atr) else max(atr, config.tick_size))
        self.atr_slow.append(slow if math.isnan(slow) else max(slow, config.tick_size))

        if t == 0:
            self.ema_fast = self.ema_slow = bar.close
        self.ema_fast += (bar.close - self.ema_fast) * 2 / (config.ema_fast_length + 1)
        self.ema_slow += (bar.close - self.ema_slow) * 2 / (config.ema_slow_length + 1)
        self.step_rsi(config.rsi_length)

    def step_rsi(self, length: int) -> None:
        """Advance Wilder's RSI."""
        if self.t < length:
            return
        if self.t == length:
            changes = [self.bars[i].close - self.bars[i - 1].close for i in range(1, length + 1)]
            self._gain = sum(max(x, 0.0) for x in changes) / length
            self._loss = sum(max(-x, 0.0) for x in changes) / length
        else:
            change = self.bars[-1].close - self.bars[-2].close
            self._gain += (max(change, 0.0) - self._gain) / length
            self._loss += (max(-change, 0.0) - self._loss) / length
        total = self._gain + self._loss
        self.rsi = 50.0 if total == 0.0 else 100.0 * self._gain / total

    def is_active(self, zone: Zone, stack: dict[int, list[Zone]]) -> bool:
        """Tell whether a zone still counts: gaps until the configured stage, blocks until mitigation."""
        if stack is self.gaps:
            last = {"touch": "touched", "ce": "ce", "full": "filled"}[self.config.fvg_valid_until]
            return last not in zone.done
        return "ce" not in zone.done

    def step_zones(self) -> None:
        """Let this bar act on the zones known before it, in the order in which price meets them."""
        self.step_stack(self.gaps, self.config.fvg_max_age, self.gap_stages, self.invert)
        self.step_stack(
            self.blocks, self.config.order_block_max_age, self.block_stages, self.turn_into_breaker
        )

    def is_near(self, zone: Zone) -> bool:
        """Tell whether the close lies in a block still active after this bar, near its middle."""
        close, mid = self.bars[-1].close, middle(zone.low, zone.high)
        is_close = abs(close - mid) <= self.config.order_block_near_ratio * abs(close)
        return self.is_active(zone, self.blocks) and is_close and zone.low <= close <= zone.high

    def step_stack(
        self,
        stack: dict[int, list[Zone]],
        max_age: int,
        stages: Callable[[Zone, Bar], list[tuple[str, EventKind, bool, float]]],
        reborn: Callable[[Zone], None],
    ) -> None:
        """Run expiry and price stages of one family of zones; the bullish stack first."""
        for side in (UP, DOWN):
            meets_first = sorted(stack[side], key=lambda zone: (-zone.seen_from_own_side()[1], zone.event_id))
            old = [zone for zone in meets_first if 0 < max_age < self.t - zone.known]
            for zone in old:
                stack[side].remove(zone)
                self.tell(zone, self.expiry_kind(zone, stack), middle(zone.low, zone.high))
            for zone in meets_first:
                # Born on this bar as an inverse, expired, or dropped to make room for an inverse.
                if zone.known == self.t or zone not in stack[side]:
                    continue
                self.flag_meeting(zone, stack)
                for stage, kind, is_reached, level in stages(zone, self.bar(self.t, side)):
                    if not is_reached or stage in zone.done:
                        continue
                    zone.done.add(stage)
                    if stage == "end":
                        stack[side].remove(zone)
                    self.tell(zone, kind, level)
                    if stage == "end" and not zone.is_second_life:
                        reborn(zone)
                if stack is self.blocks and zone in stack[side] and self.is_near(zone):
                    self.flags[f"near_{WORD[side]}_ob"] = 1

    def flag_meeting(self, zone: Zone, stack: dict[int, list[Zone]]) -> None:
        """Flag that the bar meets a zone, judged by the state before the bar acts on it."""
        bar = self.bars[-1]
        word = WORD[zone.side]
        if not self.is_active(zone, stack):
            return
        if stack is self.gaps and zone.low <= bar.close <= zone.high:
            self.flags[f"in_{word}_fvg"] = 1
        if stack is self.blocks and bar.low <= zone.high and bar.high >= zone.low:
            self.flags[f"touch_{word}_ob"] = 1

    def expiry_kind(self, zone: Zone, stack: dict[int, list[Zone]]) -> EventKind:
        """Name the expiry of a zone."""
        if stack is self.gaps:
            return EventKind.FVG_EXPIRED
        return EventKind.BREAKER_EXPIRED if zone.is_second_life else EventKind.OB_EXPIRED

    def tell(self, zone: Zone, kind: EventKind, level: float) -> None:
        """Emit an event of a zone's life."""
        is_gap = EventKind.FVG <= kind <= EventKind.FVG_DROPPED
        self.emit(
            kind,
            zone.side,
            zone.low,
            zone.high,
            level,
            origin=zone.origin,
            ref_id=zone.event_id,
            depth=float(self.t - zone.known),
            flag=int(is_gap and zone.is_second_life),
        )

    def gap_stages(self, zone: Zone, bar: Bar) -> list[tuple[str, EventKind, bool, float]]:
        """Give the stages of a gap in order: name, event, whether this bar reaches it, its line."""
        bottom, top = zone.seen_from_own_side()
        s = zone.side
        return [
            ("touched", EventKind.FVG_TOUCHED, bar.low <= top, s * top),
            ("ce", EventKind.FVG_CE, 2 * bar.low <= bottom + top, middle(zone.low, zone.high)),
            ("filled", EventKind.FVG_FILLED, bar.low <= bottom, s * bottom),
            ("end", EventKind.FVG_INVERTED, bar.close < bottom, s * bottom),
        ]

    def block_stages(self, zone: Zone, bar: Bar) -> list[tuple[str, EventKind, bool, float]]:
        """Give the stages of an order block or breaker."""
        bottom, top = zone.seen_from_own_side()
        s, second = zone.side, zone.is_second_life
        last_price = bar.close if self.config.order_block_end == "close" else bar.low
        touched = EventKind.BREAKER_TOUCHED if second else EventKind.OB_TOUCHED
        mitigated = EventKind.BREAKER_MITIGATED if second else EventKind.OB_MITIGATED
        invalidated = EventKind.BREAKER_INVALIDATED if second else EventKind.OB_INVALIDATED
        return [
            ("touched", touched, bar.low <= top, s * top),
            ("ce", mitigated, 2 * bar.low <= bottom + top, middle(zone.low, zone.high)),
            ("end", invalidated, last_price < bottom, s * bottom),
        ]

    def invert(self, gap: Zone) -> None:
        """Make a gap that price closed through a gap of the other direction."""
        self.push_gap(-gap.side, gap.low, gap.high, gap.origin, parent=gap.event_id)

    def turn_into_breaker(self, block: Zone) -> None:
        """Make a block that price closed through a breaker of the other direction."""
        self.make_room(self.blocks, -block.side)
        event_id = self.emit(
            EventKind.BREAKER,
            -block.side,
            block.low,
            block.high,
            middle(block.low, block.high),
            origin=block.origin,
            ref_id=block.event_id,
        )
        zone = Zone(-block.side, block.low, block.high, block.origin, self.t, event_id, is_second_life=True)
        self.blocks[-block.side].append(zone)

    def make_room(self, stack: dict[int, list[Zone]], side: int) -> None:
        """Drop the oldest zone of a full stack."""
        if len(stack[side]) < self.config.zone_cap:
            return
        oldest = min(stack[side], key=lambda zone: zone.event_id)
        stack[side].remove(oldest)
        kind = EventKind.FVG_DROPPED
        if stack is self.blocks:
            kind = EventKind.BREAKER_DROPPED if oldest.is_second_life else EventKind.OB_DROPPED
        self.tell(oldest, kind, middle(oldest.low, oldest.high))

    def push_gap(self, side: int, low: float, high: float, origin: int, parent: int = -1) -> None:
        """Record a gap or an inverse gap."""
        self.make_room(self.gaps, side)
        event_id = self.emit(
            EventKind.FVG,
            side,
            low,
            high,
            middle(low, high),
            origin=origin,
            ref_id=parent,
            displacement=divide(high - low, self.atr[-1]),
            flag=int(parent >= 0),
        )
        zone = Zone(side, low, high, origin, self.t, event_id, is_second_life=parent >= 0)
        self.gaps[side].append(zone)

    def step_new_gap(self) -> None:
        """Find the gap that bars t-2, t-1, t leave."""
        if self.t < 2:
            return
        config = self.config
        for side in (UP, DOWN):
            first, between, last = (bar for _, bar in self.span(self.t - 2, self.t, side))
            height = last.low - first.high
            smallest = config.fvg_min_ratio * abs(last.close)
            if config.fvg_min_atr > 0.0:
                if math.isnan(self.atr[-1]):
                    continue
                smallest = max(smallest, config.fvg_min_atr * self.atr[-1])
            is_middle_right = {
                "any": True,
                "colour": between.close > between.open,
                "close_beyond": between.close > first.high,
            }[config.fvg_middle]
            if height > 0 and height >= smallest and is_middle_right:
                low, high = sorted((side * first.high, side * last.low))
                self.push_gap(side, low, high, self.t - 1)
                self.flags["new_fvg"] = side

    def step_new_block(self, internal_breaks: list[Break]) -> None:
        """Find the order block that an impulse, or a structure break, leaves behind."""
        bar = self.bars[-1]
        body, atr = abs(bar.close - bar.open), self.impulse_atr()
        if self.config.order_block_trigger == "break":
            for broken in internal_breaks:
                self.block_behind(broken.side, broken.swing)
        elif body > self.config.order_block_impulse_atr * atr:
            self.block_behind(UP if bar.close > bar.open else DOWN, None)

    def block_origin(self, side: int, swing: Swing | None) -> int:
        """Return the bar that becomes the block, -1 for none."""
        before = self.span(max(self.t - (self.config.order_block_lookback - 1), 0), self.t - 1, side)
        if self.config.order_block_origin == "nearest":
            return max((seq for seq, bar in before if bar.close < bar.open), default=-1)
        if swing is not None:
            before = self.span(swing.origin + 1, self.t - 1, side)
            if not before:
                return self.t - 1
        lowest = min((bar.low for _, bar in before), default=NAN)
        return max((seq for seq, bar in before if bar.low == lowest), default=-1)

    def block_behind(self, side: int, swing: Swing | None) -> None:
        """Create or reinforce the block behind this bar."""
        origin = self.block_origin(side, swing)
        if origin < 0:
            return
        start, now = self.bars[origin], self.bars[-1]
        low, high = start.low, start.high
        if self.config.order_block_zone == "body":
            low, high = sorted((start.open, start.close))
        same = [zone for zone in self.blocks[side] if zone.origin == origin and not zone.is_second_life]
        if not same:
            self.make_room(self.blocks, side)
        mid_twice = side * (low + high)
        volume = start.volume + now.volume
        event_id = self.emit(
            EventKind.OB_REINFORCED if same else EventKind.OB,
            side,
            low,
            high,
            middle(low, high),
            origin=origin,
            ref_id=same[0].event_id if same else -1,
            displacement=divide(abs(now.close - now.open), self.impulse_atr()),
            depth=float(self.t - origin),
            flag=int(not any(2 * bar.low <= mid_twice for _, bar in self.span(origin + 1, self.t, side))),
            volume=volume,
            buy_share=divide(start.buy_volume + now.buy_volume, volume),
        )
        if not same:
            self.blocks[side].append(Zone(side, low, high, origin, self.t, event_id))
        self.flags["new_ob"] = side

    def step_sweeps(self) -> None:
        """Compare the bar with the extremes before it and with the unbroken swing levels."""
        for side in (DOWN, UP):  # sweeps of highs are bearish and come first
            self.sweep_extreme(side)
        for side in (UP, DOWN):
            self.take_levels(side)
            if self.bar(self.t, side).high > side * self.pool[side]:
                self.pool[side] = NAN

    def sweep_extreme(self, side: int) -> None:
        """SWEEP_EXTREME: a wick below the lows of the last bars that closes back above, and up."""
        count = self.config.sweep_lookback
        if self.t < count:
            return
        bar = self.bar(self.t, side)
        window = self.span(self.t - count, self.t - 1, side)
        extreme = min(other.low for _, other in window)
        if bar.low < extreme and bar.close > extreme and bar.close > bar.open:
            self.last_sweep["extreme", side] = self.t
            self.emit(
                EventKind.SWEEP_EXTREME,
                side,
                side * bar.low,
                side * extreme,
                side * extreme,
                origin=next(seq for seq, other in window if other.low == extreme),
                depth=divide(extreme - bar.low, self.atr[-1]),
            )

    def take_levels(self, side: int) -> None:
        """Remove the levels that this bar's wick exceeds, nearest first."""
        bar = self.bar(self.t, side)
        for level in sorted(self.stack[side], key=lambda level: (side * level.price, -level.event_id)):
            price = side * level.price
            if not bar.high > price:
                continue
            self.stack[side].remove(level)
            self.taken[side].append(level)
            is_run = not bar.close < price
            name = "high_taken" if side == UP else "low_taken"
            self.flags[name] = max(self.flags[name], 2 if is_run else 1)
            more = {
                "origin": level.origin,
                "ref_id": level.event_id,
                "depth": divide(bar.high - price, self.atr[-1]),
            }
            kind = EventKind.LIQUIDITY_TAKEN
            self.emit(kind, side, level.price, level.price, level.price, flag=int(is_run), **more)
            if not is_run and bar.close < bar.open:
                self.last_sweep["swing", -side] = self.t
                self.emit(EventKind.SWEEP_SWING, -side, level.price, side * bar.high, level.price, **more)

    def step_levels(self, swings: list[Swing]) -> None:
        """Compare the swings of this bar with the stacks, then push them."""
        slow = self.atr_slow[-1]
        atr = self.atr[-1] if math.isnan(slow) else slow
        tolerance = self.config.equal_atr * atr
        for side in (UP, DOWN):
            for swing in (swing for swing in swings if swing.side == side):
                self.push_level(side, swing, atr, tolerance)

    def push_level(self, side: int, swing: Swing, atr: float, tolerance: float) -> None:
        """Match one new level with the top of its stack, then put it there."""
        new = Level(swing.level, swing.origin, swing.event_id, swing.level)
        top = self.stack[side][-1] if self.stack[side] else None
        match = None
        if top is not None and 0 <= side * (top.price - new.price) <= tolerance:
            match = top
        elif self.config.equal_both_sides and self.taken[side]:
            last = self.taken[side][-1]  # price takes near levels first, so this is the farthest
            if 0 <= side * (new.price - last.price) <= tolerance:
                match = last
        self.taken[side] = []
        if match is not None:
            new.pool_price = side * max(side * match.pool_price, side * new.price)
            new.pool_count = match.pool_count + 1
            self.emit(
                EventKind.EQUAL_LEVELS,
                side,
                match.price,
                new.price,
                new.pool_price,
                origin=new.origin,
                ref_id=match.event_id,
                depth=divide(abs(match.price - new.price), atr),
                flag=new.pool_count,
            )
            self.pool[side] = new.pool_price
            self.flags["equal_levels"] = side if self.flags["equal_levels"] in (0, side) else 2
        if len(self.stack[side]) == LIQUIDITY_CAP:
            oldest = self.stack[side].pop(0)
            price = oldest.price
            kind = EventKind.LIQUIDITY_DROPPED
            self.emit(kind, side, price, price, price, origin=oldest.origin, ref_id=oldest.event_id)
        self.stack[side].append(new)

    def is_swing(self, p: int, structure: Structure, side: int) -> bool:
        """Tell whether bar p is a swing high (low: in the mirror) once ``right`` bars have followed."""
        if p - structure.left < 0:
            return False
        high = self.bar(p, side).high
        left = [bar.high for _, bar in self.span(p - structure.left, p - 1, side)]
        right = [bar.high for _, bar in self.span(p + 1, p + structure.right, side)]
        is_left_clear = all(high > x if self.config.swing_left_strict else high >= x for x in left)
        is_right_clear = all(high > x if self.config.swing_right_strict else high >= x for x in right)
        return is_left_clear and is_right_clear

    def step_swings(self, structure: Structure) -> list[Swing]:
        """Confirm the swing of bar t - right and keep the zigzag."""
        p = self.t - structure.right
        if p < 0:
            return []
        sides = [side for side in (UP, DOWN) if self.is_swing(p, structure, side)]
        if self.config.swing_both == "high_only":
            sides = sides[:1]
        return [self.confirm(structure, p, side) for side in sides]

    def confirm(self, structure: Structure, p: int, side: int) -> Swing:
        """Emit SWING and what it does to the zigzag; return the raw swing."""
        bar, scope = self.bars[p], structure.scope
        level = bar.high if side == UP else bar.low
        event_id = self.emit(EventKind.SWING, side, bar.low, bar.high, level, origin=p, scope=scope)
        swing = Swing(side, level, p, event_id)
        last = structure.zigzag[-1] if structure.zigzag else None
        if last is not None and last.side == side:
            if not side * level > side * last.level:
                return Swing(side, level, p, event_id)
            structure.zigzag.pop()
            kind = EventKind.SWING_REPLACED
            self.emit(kind, side, last.level, level, level, origin=p, scope=scope, ref_id=last.event_id)
        elif last is not None:
            self.lock(structure, last)
        swing.opposite_before = structure.latest(-side)
        structure.zigzag.append(swing)
        self.find_pattern(structure)
        return Swing(side, level, p, event_id)

    def lock(self, structure: Structure, last: Swing) -> None:
        """Emit SWING_LOCKED with the label against the locked swing of the same type before."""
        before = structure.locked[last.side]
        label = SwingLabel.NONE
        if before is not None and last.side == UP:
            label = SwingLabel.HIGHER_HIGH if last.level > before.level else SwingLabel.LOWER_HIGH
        elif before is not None:
            label = SwingLabel.LOWER_LOW if last.level < before.level else SwingLabel.HIGHER_LOW
        structure.locked[last.side], structure.labels[last.side] = last, label
        bar = self.bars[last.origin]
        self.emit(
            EventKind.SWING_LOCKED,
            last.side,
            bar.low,
            bar.high,
            last.level,
            origin=last.origin,
            scope=structure.scope,
            ref_id=last.event_id,
            flag=label,
        )

    def breakable(self, structure: Structure, side: int) -> Swing | None:
        """Return the level whose break counts on one side."""
        latest = structure.latest(side)
        if self.config.choch_level == "protected" and structure.trend == -side:
            return structure.protected[side] or latest
        return latest

    def step_breaks(self, structure: Structure, external: list[Break]) -> list[Break]:
        """Find the levels that this bar breaks, up then down."""
        breaks: list[Break] = []
        tested = {side: self.breakable(structure, side) for side in (UP, DOWN)}
        for side, swing in tested.items():
            bar = self.bar(self.t, side)
            price = bar.close if self.config.structure_break == "close" else bar.high
            if swing is None or swing.is_used or not price > side * swing.level:
                continue
            swing.is_used = True
            latest = structure.latest(side)
            if latest is not None and price > side * latest.level:
                latest.is_used = True
            is_suppressed = self.config.internal_suppressed and any(
                other.side == side and other.swing.level == swing.level for other in external
            )
            event_id = -1
            if not is_suppressed and self.config.structure_rule == "level":
                event_id = self.tell_break(structure, side, swing, price)
            structure.trend = side
            breaks.append(Break(side, swing, event_id, is_suppressed))
        for broken in breaks:
            structure.protected[-broken.side] = structure.latest(-broken.side)
        return breaks

    def tell_break(self, structure: Structure, side: int, swing: Swing, price: float) -> int:
        """Emit BOS or CHOCH."""
        is_with_trend = structure.trend in (0, side)
        bar = self.bars[-1]
        body, atr = abs(bar.close - bar.open), self.impulse_atr()
        flag = FLAG_FIRST if structure.trend == 0 else 0
        if body > self.config.displacement_atr * atr:
            flag |= FLAG_SHIFT
        structure.last_break = self.t
        name = "external_break" if structure.scope == Scope.EXTERNAL else "internal_break"
        self.flags[name] = side * (1 if is_with_trend else 2)
        return self.emit(
            EventKind.BOS if is_with_trend else EventKind.CHOCH,
            side,
            swing.level,
            swing.level,
            swing.level,
            origin=swing.origin,
            scope=structure.scope,
            ref_id=swing.event_id,
            displacement=divide(body, atr),
            depth=divide(price - side * swing.level, self.atr[-1]),
            flag=flag,
        )

    def breaking_bar(self, pattern: Pattern) -> int:
        """Return the first bar that broke the level of a pattern, -1 for none yet."""
        side, swing = pattern.side, pattern.swing
        level = single(swing.level) if self.config.float32_levels else swing.level
        for seq, bar in self.span(swing.origin + 2, self.t, side):
            price = bar.close if self.config.structure_break == "close" else bar.high
            if price > side * level:
                return seq
        return -1

    def step_patterns(self, structure: Structure) -> None:
        """Emit the newest open pattern whose level is broken by now, and close all older ones."""
        for pattern in sorted(structure.patterns.values(), key=lambda pattern: -pattern.swing.origin):
            broken_at = self.breaking_bar(pattern) if pattern.is_open else -1
            if broken_at < 0:
                continue
            for other in structure.patterns.values():
                other.is_open = other.is_open and other.swing.origin > pattern.swing.origin
            name = "external_break" if structure.scope == Scope.EXTERNAL else "internal_break"
            self.flags[name] = pattern.side * (1 if pattern.is_with_trend else 2)
            structure.last_break = self.t
            level = pattern.swing.level
            self.emit(
                EventKind.BOS if pattern.is_with_trend else EventKind.CHOCH,
                pattern.side,
                level,
                level,
                level,
                origin=pattern.swing.origin,
                scope=structure.scope,
                ref_id=pattern.swing.event_id,
                depth=float(self.t - broken_at),
            )
            return

    def find_pattern(self, structure: Structure) -> None:
        """Recognise L1 H2 L3 H4 (or its mirror image) at the end of the zigzag."""
        if self.config.structure_rule != "pattern" or len(structure.zigzag) < 4:
            return
        last_four = structure.zigzag[-4:]
        side, swing = last_four[-1].side, last_four[1]
        low_1, high_2, low_3, high_4 = (side * member.level for member in last_four)
        is_bos = low_1 < low_3 < high_2 < high_4
        is_choch = low_3 < low_1 < high_2 < high_4
        if (is_bos or is_choch) and swing.event_id not in structure.patterns:
            structure.patterns[swing.event_id] = Pattern(side, swing, is_bos)
            self.step_patterns(structure)

    def step_ranges(self, structure: Structure, breaks: list[Break]) -> None:
        """Advance both ranges of a structure, end those that a break ends, form new ones."""
        for side in (UP, DOWN):
            live = structure.ranges[side]
            if live is not None:
                self.live_range(structure, live)
        formed = {broken.side: self.new_range(structure, broken) for broken in breaks}
        broken_sides = {broken.side for broken in breaks}
        for side in (UP, DOWN):
            live = structure.ranges[side]
            if live is None:
                continue
            if formed.get(side) is not None:
                self.end_range(structure, live, EventKind.RANGE_SUPERSEDED, live.b)
            elif -side in broken_sides and self.config.range_opposed:
                self.end_range(structure, live, EventKind.RANGE_OPPOSED, live.b)
        for broken in breaks:
            new = formed[broken.side]
            if new is None:
                continue
            side = broken.side
            bar = self.bar(self.t, side)
            new.event_id = len(self.events)
            self.tell_range(
                structure,
                new,
                EventKind.RANGE_FORMED,
                ref_id=broken.event_id,
                displacement=divide(new.b - new.a, self.atr[-1]),
                depth=divide(new.b - bar.close, new.b - new.a),
            )
            structure.ranges[side] = new

    def new_range(self, structure: Structure, broken: Break) -> Range | None:
        """Return the range of a break, None if it has none."""
        side, swing = broken.side, broken.swing
        wanted = {"both": (UP, DOWN), "long": (UP,), "short": (DOWN,)}[self.config.range_side]
        if side not in wanted or broken.is_suppressed:
            return None
        since = self.span(swing.origin, self.t, side)
        if self.config.range_origin == "leg":
            a = min(bar.low for _, bar in since)
            origin = next(seq for seq, bar in since if bar.low == a)
            b = max(bar.high for _, bar in self.span(origin, self.t, side))
        else:
            if swing.opposite_before is None:
                return None
            a, origin = side * swing.opposite_before.level, swing.opposite_before.origin
            b = max(bar.high for _, bar in since)
        return Range(side, a, b, origin, self.t, -1) if b > a else None

    def tell_range(self, structure: Structure, live: Range, kind: EventKind, **more: float) -> None:
        """Emit an event of a range with its state after the event."""
        self.emit(
            kind,
            live.side,
            live.side * live.a,
            live.side * live.b,
            live.side * live.line(self.config.ote_sweet),
            **{"ref_id": live.event_id, **more},
            origin=live.origin,
            scope=structure.scope,
            flag=live.stage,
        )

    def end_range(self, structure: Structure, live: Range, kind: EventKind, b_before: float) -> None:
        """End a range for good."""
        live.stage = RangeStage.ENDED
        structure.ranges[live.side] = None
        depth = divide(b_before - self.bar(self.t, live.side).low, b_before - live.a)
        self.tell_range(structure, live, kind, depth=depth)

    def live_range(self, structure: Structure, live: Range) -> None:
        """Let this bar act on a range, with the lines as they were before the bar."""
        config, bar = self.config, self.bar(self.t, live.side)
        b_before = live.b
        depth = divide(b_before - bar.low, b_before - live.a)
        lines = [
            live.line(r) for r in (config.range_retracing, config.ote_low, config.ote_sweet, config.ote_high)
        ]
        half, entry, sweet, last = lines
        was_sweet = live.stage == RangeStage.SWEET_TOUCHED
        for needed, line, stage, kind in (
            (RangeStage.FORMED, half, RangeStage.RETRACING, EventKind.RANGE_RETRACING),
            (RangeStage.RETRACING, entry, RangeStage.OTE_ENTERED, EventKind.OTE_ENTERED),
            (RangeStage.OTE_ENTERED, sweet, RangeStage.SWEET_TOUCHED, EventKind.OTE_SWEET_TOUCHED),
        ):
            if live.stage == needed and bar.low <= line:
                live.stage = stage
                if stage == RangeStage.OTE_ENTERED:
                    live.entered_at = self.t
                self.tell_range(structure, live, kind, depth=depth)

        is_touched = live.stage in (RangeStage.OTE_ENTERED, RangeStage.SWEET_TOUCHED)
        fail_price = bar.low if config.range_fail == "hard" else bar.close
        if bar.close <= live.a or bar.low < live.a - config.range_break_ratio * abs(live.a):
            self.end_range(structure, live, EventKind.RANGE_INVALIDATED, b_before)
        elif is_touched and fail_price < last:
            self.end_range(structure, live, EventKind.OTE_FAILED, b_before)
        elif was_sweet and bar.high >= entry:
            self.end_range(structure, live, EventKind.OTE_COMPLETED, b_before)
        elif is_touched and self.t - live.entered_at >= config.range_expiry:
            self.end_range(structure, live, EventKind.RANGE_EXPIRED, b_before)
        elif live.stage != RangeStage.SWEET_TOUCHED and bar.high > live.b:
            live.b, live.stage = bar.high, RangeStage.FORMED
            stretch = divide(bar.high - b_before, b_before - live.a)
            self.tell_range(structure, live, EventKind.RANGE_EXTENDED, displacement=stretch, depth=depth)

    def take_snapshot(self, first_event: int) -> dict[str, float]:
        """Return the row after this bar by column name."""
        bar = self.bars[-1]
        row: dict[str, float] = {
            "seq": self.t,
            "ts_close_ns": bar.ts_close_ns,
            "close": bar.close,
            "atr": self.atr[-1],
            "atr_slow": self.atr_slow[-1],
            "ema_fast": self.ema_fast,
            "ema_slow": self.ema_slow,
            "rsi": self.rsi,
            "equal_high": self.pool[UP],
            "equal_low": self.pool[DOWN],
            "event_count": len(self.events) - first_event,
            **self.flags,
        }
        for name, structure in (("internal", self.internal), ("external", self.external)):
            row |= {f"{name}_{key}": value for key, value in self.structure_columns(structure).items()}
        for side, word, end in ((UP, "bull", "high"), (DOWN, "bear", "low")):
            for kind, stack in (("fvg", self.gaps), ("ob", self.blocks)):
                active = [zone for zone in stack[side] if self.is_active(zone, stack)]
                nearest = min(active, key=lambda z: (-z.seen_from_own_side()[1], z.event_id), default=None)
                row[f"{word}_{kind}_count"] = len(active)
                row[f"{word}_{kind}_low"] = nearest.low if nearest else NAN
                row[f"{word}_{kind}_high"] = nearest.high if nearest else NAN
            levels = [side * level.price for level in self.stack[side]]
            row[f"liquidity_{end}"] = side * min(levels) if levels else NAN
            row[f"liquidity_{end}_count"] = len(levels)
            for kind in ("extreme", "swing"):
                row[f"bars_since_{word}_sweep_{kind}"] = self.since(self.last_sweep[kind, side])
        for flag, word in ((1, "day"), (7, "week")):
            row[f"previous_{word}_low"], row[f"previous_{word}_high"] = self.previous[flag]
        return row

    def since(self, seq: int) -> int:
        """Bars since bar ``seq``, -1 for never."""
        return self.t - seq if seq >= 0 else -1

    def structure_columns(self, structure: Structure) -> dict[str, float]:
        """Return the columns of one structure scope."""
        config, close = self.config, self.bars[-1].close
        row: dict[str, float] = {
            "trend": structure.trend,
            "bars_since_break": self.since(structure.last_break),
        }
        for side, word in ((UP, "high"), (DOWN, "low")):
            swing = structure.latest(side)
            row[f"swing_{word}"] = swing.level if swing else NAN
            row[f"{word}_is_used"] = int(swing is not None and swing.is_used)
            row[f"{word}_label"] = structure.labels[side]
            row[f"trailing_{word}"] = NAN
            if swing:
                highs: Iterable[float] = (bar.high for _, bar in self.span(swing.origin, self.t, side))
                row[f"trailing_{word}"] = side * max(highs)
        row |= {
            "range_direction": 0,
            "range_stage": 0,
            "range_low": NAN,
            "range_high": NAN,
            "range_sweet": NAN,
            "range_age": -1,
            "range_position": NAN,
            "range_retracement": NAN,
            "range_zone": 0,
            "in_ote": 0,
        }
        live = max((r for r in structure.ranges.values() if r), key=lambda r: r.event_id, default=None)
        if live is None:
            return row
        low, high = sorted((live.side * live.a, live.side * live.b))
        position = divide(close - low, high - low)
        retracement = divide(live.b - live.side * close, live.b - live.a)
        row |= {
            "range_direction": live.side,
            "range_stage": live.stage,
            "range_low": low,
            "range_high": high,
            "range_sweet": live.side * live.line(config.ote_sweet),
            "range_age": self.t - live.known,
            "range_position": position,
            "range_retracement": retracement,
            "range_zone": int(position > config.equilibrium_high) - int(position < config.equilibrium_low),
            "in_ote": int(config.ote_low <= retracement <= config.ote_high),
        }
        return row


def run(config: StructureConfig, bars: Iterable[Bar]) -> tuple[list[Event], list[dict[str, float]]]:
    """Return all events and one snapshot row per bar."""
    naive = NaiveStructure(config)
    rows = []
    for bar in bars:
        naive.step(bar)
        rows.append(naive.snapshot)
    return naive.events, rows
