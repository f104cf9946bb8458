"""Every parameter of the structure engine, with the value that the definitions were measured with."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Literal, Self

RING_BARS = 256
"""Bars that the engine remembers: the longest look-back any parameter may ask for."""
ZONE_CAP = 512
"""Room for zones per kind and side, and for liquidity levels per side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureConfig:
    """Parameters of `StructureEngine`; look-backs count bars (or buckets), never minutes.

    Parameters
    ----------
    tick_size
        Price increment of the instrument, > 0: no ATR is taken to be smaller.
    atr_length, atr_kind, atr_lag
        Average true range for impulses: window, ``sma`` or ``rma`` (Wilder), and 0 to include the impulse
        bar itself or 1 to stop at the bar before it.
    atr_slow_length
        Window of the slow ATR (always ``sma``) that sets the tolerance of equal levels.
    ema_fast_length, ema_slow_length, rsi_length
        Averages of the close that the snapshot carries.
    internal_left, internal_right, external_left, external_right
        Bars on either side that confirm a swing of the internal and the external structure.
    swing_left_strict, swing_right_strict
        Whether a bar of the same price on that side denies the swing.
    swing_both
        A bar that is swing high and low at once gives both, high first, or the high only.
    structure_break
        A level is broken by the ``close`` or by the ``wick``.
    structure_rule
        ``level``: a break of the zigzag's latest swing. ``pattern``: four alternating swings, then the
        break of the third last one (the definition of the peer package).
    choch_level
        ``last``: the latest swing against the trend; ``protected``: the swing that launched the last break.
    internal_suppressed
        Whether a break that the external structure reports on the same bar and level is left out.
    float32_levels
        Round swing levels to single precision before comparing them (the peer package does).
    displacement_atr
        A breaking bar with a body above this many ATRs is a market structure shift.
    fvg_min_ratio, fvg_min_atr
        Smallest gap: the larger of this share of the close and this many ATRs.
    fvg_middle
        What the middle bar must do: ``any``thing, have the ``colour`` of the gap, or ``close_beyond`` the
        bar before it.
    fvg_max_age
        Bars after which a gap expires, 0 never.
    fvg_valid_until
        A gap is active until its ``touch``, until its midpoint (``ce``), or until the ``full`` fill.
    order_block_trigger, order_block_origin
        ``impulse`` (a body above ``order_block_impulse_atr``) or structure ``break``; origin is the
        ``nearest`` bar of the opposite colour, or the ``extreme`` of the leg.
    order_block_impulse_atr, order_block_lookback
        Impulse threshold; bars t-1 .. t-(lookback-1) are searched for the origin.
    order_block_zone, order_block_end
        Zone is the ``full`` range of the origin or its ``body``; it dies by ``close`` or by ``wick``.
    order_block_max_age, order_block_near_ratio
        Bars until expiry, 0 never; "near" is this share of the close around the zone's midpoint.
    zone_cap
        Live zones per kind and side, the oldest is dropped; at most 512.
    sweep_lookback
        Bars whose extreme SWEEP_EXTREME looks at.
    equal_atr, equal_both_sides
        Tolerance of equal levels in slow ATRs; whether a level just taken may match too.
    range_origin
        Range starts at the extreme of the ``leg`` or at the swing before the broken one (``pre_break``).
    range_side
        Form ranges for ``both`` sides, ``long`` or ``short`` only.
    range_retracing, ote_low, ote_sweet, ote_high
        Retracement lines: 0 is the far end B, 1 the origin A.
    range_fail
        The zone fails when the bar's extreme (``hard``) or its close (``soft``) passes ``ote_high``.
    range_opposed, range_expiry, range_break_ratio
        Whether a break the other way ends a range; bars from the first touch to expiry; how far beyond A a
        wick invalidates, as a share of A.
    equilibrium_low, equilibrium_high
        Band of the range position that is neither premium nor discount.
    session_start_tolerance_secs
        The first day and week of a stream count only if its first bar opens this close to their start.

    Raises
    ------
    ValueError
        For a value outside its range, with the value.
    """

    tick_size: float
    atr_length: int = 14
    atr_kind: Literal["sma", "rma"] = "sma"
    atr_lag: int = 0
    atr_slow_length: int = 200
    ema_fast_length: int = 20
    ema_slow_length: int = 50
    rsi_length: int = 14
    internal_left: int = 5
    internal_right: int = 5
    external_left: int = 50
    external_right: int = 50
    swing_left_strict: bool = True
    swing_right_strict: bool = False
    swing_both: Literal["high_first", "high_only"] = "high_first"
    structure_break: Literal["close", "wick"] = "close"
    structure_rule: Literal["level", "pattern"] = "level"
    choch_level: Literal["last", "protected"] = "last"
    internal_suppressed: bool = True
    float32_levels: bool = False
    displacement_atr: float = 1.5
    fvg_min_ratio: float = 0.001
    fvg_min_atr: float = 0.0
    fvg_middle: Literal["any", "colour", "close_beyond"] = "any"
    fvg_max_age: int = 0
    fvg_valid_until: Literal["touch", "ce", "full"] = "ce"
    order_block_trigger: Literal["impulse", "break"] = "impulse"
    order_block_origin: Literal["nearest", "extreme"] = "nearest"
    order_block_impulse_atr: float = 1.5
    order_block_lookback: int = 10
    order_block_zone: Literal["full", "body"] = "full"
    order_block_end: Literal["close", "wick"] = "close"
    order_block_max_age: int = 0
    order_block_near_ratio: float = 0.02
    zone_cap: int = ZONE_CAP
    sweep_lookback: int = 20
    equal_atr: float = 0.1
    equal_both_sides: bool = False
    range_origin: Literal["leg", "pre_break"] = "leg"
    range_side: Literal["both", "long", "short"] = "both"
    range_retracing: float = 0.5
    ote_low: float = 0.618
    ote_sweet: float = 0.705
    ote_high: float = 0.79
    range_fail: Literal["hard", "soft"] = "hard"
    range_opposed: bool = True
    range_expiry: int = 200
    range_break_ratio: float = 0.05
    equilibrium_low: float = 0.475
    equilibrium_high: float = 0.525
    session_start_tolerance_secs: float = 300.0

    def __post_init__(self) -> None:
        self._check_lengths()
        self._check_choices()
        for name in _NON_NEGATIVE:
            value = float(getattr(self, name))
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"{name} must be finite and >= 0, got {value}")
        if not (math.isfinite(self.tick_size) and self.tick_size > 0.0):
            raise ValueError(f"tick_size must be finite and > 0, got {self.tick_size}")
        if not 0.0 < self.range_retracing <= self.ote_low < self.ote_sweet < self.ote_high < 1.0:
            lines = (self.range_retracing, self.ote_low, self.ote_sweet, self.ote_high)
            raise ValueError(f"need 0 < range_retracing <= ote_low < ote_sweet < ote_high < 1, got {lines}")
        if not 0.0 <= self.equilibrium_low <= 0.5 <= self.equilibrium_high <= 1.0:
            raise ValueError(
                f"equilibrium must contain 0.5, got {self.equilibrium_low}..{self.equilibrium_high}"
            )

    def _check_lengths(self) -> None:
        for name, (low, high) in _LENGTHS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be in {low}..{high}, got {value}")
        for scope, left, right in (
            ("internal", self.internal_left, self.internal_right),
            ("external", self.external_left, self.external_right),
        ):
            if left + right + 1 > RING_BARS:
                raise ValueError(
                    f"{scope}_left + {scope}_right must be below {RING_BARS}, got {left + right}"
                )

    def _check_choices(self) -> None:
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")

    @classmethod
    def peer(cls, *, tick_size: float) -> Self:
        """Return the definitions of the PyPI package ``smartmoneyconcepts`` 0.0.27 at swing length 5."""
        return cls(
            tick_size=tick_size,
            internal_left=4,
            internal_right=5,
            swing_left_strict=False,
            swing_both="high_only",
            structure_rule="pattern",
            internal_suppressed=False,
            float32_levels=True,
            fvg_min_ratio=0.0,
            fvg_middle="colour",
            fvg_valid_until="touch",
            order_block_trigger="break",
            order_block_origin="extreme",
            order_block_end="wick",
        )

    @classmethod
    def lux(cls, *, tick_size: float) -> Self:
        """Return the definitions published with the LuxAlgo indicator: one-sided swings, two-sided EQH."""
        return cls(
            tick_size=tick_size,
            internal_left=0,
            external_left=0,
            swing_right_strict=True,
            fvg_min_ratio=0.0,
            fvg_middle="close_beyond",
            order_block_trigger="break",
            order_block_origin="extreme",
            equal_both_sides=True,
        )

    def digest(self) -> bytes:
        """Return the 32-byte SHA-256 of all parameters, which saved states carry."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).digest()


CHOICES: dict[str, tuple[str, ...]] = {
    "atr_kind": ("sma", "rma"),
    "swing_both": ("high_first", "high_only"),
    "structure_break": ("close", "wick"),
    "structure_rule": ("level", "pattern"),
    "choch_level": ("last", "protected"),
    "fvg_middle": ("any", "colour", "close_beyond"),
    "fvg_valid_until": ("touch", "ce", "full"),
    "order_block_trigger": ("impulse", "break"),
    "order_block_origin": ("nearest", "extreme"),
    "order_block_zone": ("full", "body"),
    "order_block_end": ("close", "wick"),
    "range_origin": ("leg", "pre_break"),
    "range_side": ("both", "long", "short"),
    "range_fail": ("hard", "soft"),
}
"""Allowed words per parameter; kernels count them from 0 in this order."""

_LENGTHS = {
    "atr_length": (1, RING_BARS),
    "atr_lag": (0, 1),
    "atr_slow_length": (1, RING_BARS),
    "ema_fast_length": (1, 100_000),
    "ema_slow_length": (1, 100_000),
    "rsi_length": (1, 100_000),
    "internal_left": (0, RING_BARS),
    "internal_right": (1, RING_BARS),
    "external_left": (0, RING_BARS),
    "external_right": (1, RING_BARS),
    "order_block_lookback": (2, RING_BARS),
    "zone_cap": (1, ZONE_CAP),
    "sweep_lookback": (1, RING_BARS - 1),
    "range_expiry": (1, 1_000_000_000),
    "fvg_max_age": (0, 1_000_000_000),
    "order_block_max_age": (0, 1_000_000_000),
}
_NON_NEGATIVE = (
    "displacement_atr",
    "fvg_min_ratio",
    "fvg_min_atr",
    "order_block_impulse_atr",
    "order_block_near_ratio",
    "equal_atr",
    "range_break_ratio",
    "session_start_tolerance_secs",
)
