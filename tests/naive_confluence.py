"""Plain-Python definition of the confluence rows: slow, close to ``docs/confluence.md``, judge of the engine.

It keeps every bar, sorts them into the bars of the higher timeframes anew at each close, and computes their
averages from the first bar on. What the structures say comes from ``tests/naive_structure.py``.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from indicators.confluence.config import ConfluenceConfig, phase_secs
from indicators.confluence.row import CONFLUENCE_DTYPE
from indicators.events import EventKind, Scope
from tests.bars import SECOND_NS, Bar
from tests.naive_structure import DOWN, NAN, UP, Break, NaiveStructure, Structure, Zone, middle

NAMES = {UP: "long", DOWN: "short"}


@dataclass
class Turn:
    """The break that made a trend what it is."""

    kind: int
    seq: int
    ts_ns: int
    event_id: int
    level: float


class TurningStructure(NaiveStructure):
    """The reference of the structures, which also remembers the last break of each scope."""

    def __init__(self, config: ConfluenceConfig) -> None:
        super().__init__(config.structure)
        self.turns: dict[Scope, Turn] = {}
        self.external_breaks: list[Break] = []

    def step_breaks(self, structure: Structure, external: list[Break]) -> list[Break]:
        """Break as the reference does, and note what broke last."""
        trend = structure.trend
        breaks = super().step_breaks(structure, external)
        for broken in breaks:
            event_id = broken.event_id
            if broken.is_suppressed:
                event_id = next(other.event_id for other in external if other.side == broken.side)
            kind = EventKind.CHOCH if trend == -broken.side else EventKind.BOS
            bar = self.bars[-1]
            self.turns[structure.scope] = Turn(kind, self.t, bar.ts_close_ns, event_id, broken.swing.level)
            trend = broken.side
        return breaks


class Higher(NamedTuple):
    """The complete bars of a higher timeframe, and how many were due after the last of them."""

    bars: list[Bar]
    missing: int


def higher_bars(bars: list[Bar], base_secs: int, secs: int) -> Higher:
    """Sort closed bars into bars of a longer interval; only those of which no bar is missing count."""
    step, phase = secs * SECOND_NS, phase_secs(secs) * SECOND_NS
    groups: dict[int, list[Bar]] = {}
    for bar in bars:
        groups.setdefault((bar.ts_open_ns - phase) // step, []).append(bar)
    whole = [group for group in groups.values() if len(group) == secs // base_secs]
    joined = [
        Bar(
            group[0].ts_open_ns,
            group[-1].ts_close_ns,
            group[0].open,
            max(bar.high for bar in group),
            min(bar.low for bar in group),
            group[-1].close,
            sum(bar.volume for bar in group),
            sum(bar.buy_volume for bar in group),
        )
        for group in whole
    ]
    if not joined:
        return Higher([], -1)
    return Higher(joined, (bars[-1].ts_close_ns - joined[-1].ts_close_ns) // step)


def ema(values: list[float], length: int) -> float:
    """Exponential average, recursive, seeded with the first value; NaN for none."""
    average = NAN
    for value in values:
        average = value if math.isnan(average) else average + (value - average) * 2.0 / (length + 1)
    return average


def active_zones(naive: NaiveStructure, stack: dict[int, list[Zone]], side: int) -> list[Zone]:
    """Return the zones of a side that count now, in the order in which price meets them."""
    active = [zone for zone in stack[side] if naive.is_active(zone, stack)]
    return sorted(active, key=lambda zone: (-zone.seen_from_own_side()[1], zone.event_id))


class NaiveConfluence:
    """The reference: `step` takes one bar and returns its row as a dictionary."""

    def __init__(self, config: ConfluenceConfig) -> None:
        self.config = config
        self.bars: list[Bar] = []
        self.ltf, self.mtf = TurningStructure(config), TurningStructure(config)

    def step(self, bar: Bar) -> dict[str, float]:
        """Take one closed bar."""
        config = self.config
        before = self.bars[-1] if self.bars else None
        self.bars.append(bar)
        open_gaps = {side: active_zones(self.ltf, self.ltf.gaps, side) for side in (UP, DOWN)}
        self.ltf.step(bar)
        middle_bars = higher_bars(self.bars, config.ltf_secs, config.mtf_secs)
        for closed in middle_bars.bars[len(self.mtf.bars) :]:
            self.mtf.step(closed)

        row: dict[str, float] = {
            "seq": len(self.bars) - 1,
            "ts_close_ns": bar.ts_close_ns,
            "close": bar.close,
            "atr": self.ltf.atr[-1],
            "colour": int(bar.close > bar.open) - int(bar.close < bar.open),
            "missing_bars": 0,
        }
        if before is not None:
            row["missing_bars"] = (bar.ts_open_ns - before.ts_close_ns) // (config.ltf_secs * SECOND_NS)
        row |= self.bias_columns() | self.rsi_columns(middle_bars) | self.structure_columns(middle_bars)
        row["is_ready"] = int(
            row["htf_is_known"] == 1 and row["mtf_is_known"] == 1 and not math.isnan(row["atr"])
        )
        for side, name in NAMES.items():
            columns = (
                self.sweep_columns(side) | self.block_columns(side) | self.gap_columns(side, open_gaps[side])
            )
            columns |= self.other_flags(side, row)
            row |= {f"{name}_{key}": value for key, value in columns.items()}
            row[f"score_{name}"] = self.score(columns)
        return row

    def is_fresh(self, missing: int) -> bool:
        """Tell whether the last complete higher bar is recent enough."""
        return 0 <= missing <= self.config.max_missing_bars

    def bias_columns(self) -> dict[str, float]:
        """Bias from the closes of all complete higher bars."""
        config = self.config
        higher = higher_bars(self.bars, config.ltf_secs, config.htf_secs)
        closes = [bar.close for bar in higher.bars]
        fast, slow = ema(closes, config.htf_ema_fast_length), ema(closes, config.htf_ema_slow_length)
        close = closes[-1] if closes else NAN
        is_warm = len(closes) >= config.htf_warm_up_bars
        return {
            "htf_bias": int(close > fast > slow) - int(close < fast < slow) if is_warm else 0,
            "htf_close": close,
            "htf_ema_fast": fast,
            "htf_ema_slow": slow,
            "htf_ts_close_ns": higher.bars[-1].ts_close_ns if closes else -1,
            "htf_missing": higher.missing,
            "htf_is_known": int(is_warm and self.is_fresh(higher.missing)),
        }

    def rsi_columns(self, middle_bars: Higher) -> dict[str, float]:
        """RSI of the middle timeframe."""
        rsi = self.mtf.rsi
        return {
            "mtf_rsi": rsi,
            "mtf_ts_close_ns": middle_bars.bars[-1].ts_close_ns if middle_bars.bars else -1,
            "mtf_missing": middle_bars.missing,
            "mtf_is_known": int(not math.isnan(rsi) and self.is_fresh(middle_bars.missing)),
        }

    def structure_columns(self, middle_bars: Higher) -> dict[str, float]:
        """Trends, and the break behind the one that scores."""
        config = self.config
        scope = Scope.INTERNAL if config.structure_scope == "internal" else Scope.EXTERNAL
        trends = {
            role: (naive.internal if scope == Scope.INTERNAL else naive.external).trend
            for role, naive in (("ltf", self.ltf), ("mtf", self.mtf))
        }
        is_known = config.structure_role == "ltf" or self.is_fresh(middle_bars.missing)
        trend = trends[config.structure_role] if is_known else 0
        naive = self.ltf if config.structure_role == "ltf" else self.mtf
        turn = naive.turns[scope] if trend else Turn(0, -1, -1, -1, NAN)
        return {
            "ltf_trend": trends["ltf"],
            "mtf_trend": trends["mtf"],
            "structure_trend": trend,
            "structure_kind": turn.kind,
            "structure_seq": turn.seq,
            "structure_ts_ns": turn.ts_ns,
            "structure_id": turn.event_id,
            "structure_level": turn.level,
        }

    def sweep_columns(self, side: int) -> dict[str, float]:
        """Return the last sweep of the kinds that count; two on one bar: the swing, the furthest level."""
        kinds = {
            "swing": [EventKind.SWEEP_SWING],
            "extreme": [EventKind.SWEEP_EXTREME],
            "any": [EventKind.SWEEP_EXTREME, EventKind.SWEEP_SWING],
        }[self.config.sweep_kind]
        sweeps = [event for event in self.ltf.events if event.kind in kinds and event.direction == side]
        last = max(sweeps, key=lambda event: (event.known_seq, event.kind, event.event_id), default=None)
        kind = int(last is not None and last.kind == EventKind.SWEEP_EXTREME)
        if last is None or self.ltf.t - last.known_seq > self.config.sweep_max_age_bars:
            kind = 1 if self.config.sweep_kind == "extreme" else kind
            return {
                "sweep": 0,
                "sweep_kind": kind,
                "sweep_seq": -1,
                "sweep_id": -1,
                "sweep_level": NAN,
                "sweep_tip": NAN,
            }
        return {
            "sweep": 1,
            "sweep_kind": kind,
            "sweep_seq": last.known_seq,
            "sweep_id": last.event_id,
            "sweep_level": last.level,
            "sweep_tip": last.low if side == UP else last.high,
        }

    def block_columns(self, side: int) -> dict[str, float]:
        """Blocks known before this bar and active after it that hold the close."""
        close, near = self.bars[-1].close, self.config.structure.order_block_near_ratio
        held = [
            zone
            for zone in active_zones(self.ltf, self.ltf.blocks, side)
            if zone.known < self.ltf.t
            and zone.low <= close <= zone.high
            and abs(close - middle(zone.low, zone.high)) <= near * abs(close)
        ]
        return zone_columns("order_block", "block", "is_breaker", held)

    def gap_columns(self, side: int, open_before: list[Zone]) -> dict[str, float]:
        """Gaps that were active before this bar and hold its close."""
        close = self.bars[-1].close
        return zone_columns(
            "fvg", "gap", "is_inverse", [zone for zone in open_before if zone.low <= close <= zone.high]
        )

    def other_flags(self, side: int, row: dict[str, float]) -> dict[str, float]:
        """Bias, RSI and structure as they count for one side."""
        htf = 0
        if row["htf_is_known"]:
            htf = {side: 2, 0: 1}.get(int(row["htf_bias"]), 0)
        is_stretched = (
            row["mtf_rsi"] < self.config.rsi_oversold
            if side == UP
            else row["mtf_rsi"] > self.config.rsi_overbought
        )
        return {
            "htf": htf,
            "rsi": int(is_stretched and row["mtf_is_known"] == 1),
            "structure": int(row["structure_trend"] == side),
        }

    def score(self, columns: dict[str, float]) -> float:
        """Add the points of the factors that hold."""
        weights = self.config.weights
        points = {0: 0.0, 1: weights.htf_neutral, 2: weights.htf_aligned}[int(columns["htf"])]
        for name in ("sweep", "order_block", "fvg", "rsi", "structure"):
            points += getattr(weights, name) * columns[name]
        return min(points, 100.0)


def zone_columns(flag: str, prefix: str, second: str, zones: list[Zone]) -> dict[str, float]:
    """Tell the zone that price met first."""
    if not zones:
        values: tuple[float, ...] = (-1, -1, NAN, NAN, 0)
    else:
        zone = zones[0]
        values = (zone.known, zone.event_id, zone.low, zone.high, int(zone.is_second_life))
    names = ("seq", "id", "low", "high", second)
    return {flag: int(bool(zones))} | {
        f"{prefix}_{name}": value for name, value in zip(names, values, strict=True)
    }


def run(config: ConfluenceConfig, bars: list[Bar]) -> list[dict[str, float]]:
    """Return one row per bar."""
    naive = NaiveConfluence(config)
    rows = [naive.step(bar) for bar in bars]
    assert all(set(row) == set(CONFLUENCE_DTYPE.names or ()) for row in rows)
    return rows
