"""Every parameter of the confluence scorer, with the value that the definitions name."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal, Self

from indicators.structure_config import StructureConfig

WEEK_SECS = 7 * 86_400
_TO_MONDAY_SECS = 4 * 86_400  # the epoch was a Thursday

SWEEP_KINDS = ("swing", "extreme", "any")
STRUCTURE_ROLES = ("ltf", "mtf")
STRUCTURE_SCOPES = ("internal", "external")
"""Allowed words; the kernel counts them from 0 in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfluenceWeights:
    """Points of each factor, >= 0; a score is their sum, at most 100.

    Parameters
    ----------
    htf_aligned, htf_neutral
        Bias of the higher timeframe in the direction of the side; neither direction.
    sweep, order_block, fvg, rsi, structure
        Points if the factor holds.

    Raises
    ------
    ValueError
        For points that are negative or not finite, or when a neutral bias is worth more than an aligned one.
    """

    htf_aligned: float = 25.0
    htf_neutral: float = 10.0
    sweep: float = 20.0
    order_block: float = 20.0
    fvg: float = 15.0
    rsi: float = 10.0
    structure: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            points = getattr(self, field.name)
            if not (math.isfinite(points) and points >= 0.0):
                raise ValueError(f"weight {field.name} must be finite and >= 0, got {points}")
        if self.htf_neutral > self.htf_aligned:
            raise ValueError(
                f"weight htf_neutral ({self.htf_neutral}) must not exceed htf_aligned ({self.htf_aligned})"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfluenceConfig:
    """Parameters of `ConfluenceEngine`.

    Parameters
    ----------
    structure
        Parameters of the structure engines of the lower and the middle timeframe, tick size included.
    weights
        Points per factor.
    ltf_secs, mtf_secs, htf_secs
        Intervals: the bars that are fed, and the two that are joined from them. Each is a whole number of
        lower bars and ltf <= mtf <= htf; a week begins on Monday.
    htf_ema_fast_length, htf_ema_slow_length, htf_warm_up_bars
        Bias: close against two exponential averages, told from that many complete higher bars on.
    rsi_oversold, rsi_overbought
        RSI of the middle timeframe below which a long, above which a short scores.
    sweep_kind
        Sweeps that count: of a ``swing`` level, of the ``extreme`` of the last bars, or ``any`` of both.
    sweep_max_age_bars
        Lower bars since the sweep, 0 its own bar.
    structure_role, structure_scope
        Whose trend is the structure factor: that of the ``ltf`` or the ``mtf``, ``internal`` or ``external``.
    max_missing_bars
        Higher (or middle) bars that may be missing since the last complete one before its bias (or RSI and
        structure) counts as unknown.

    Raises
    ------
    ValueError
        For a value outside its range, with the value.
    """

    structure: StructureConfig
    weights: ConfluenceWeights = ConfluenceWeights()
    ltf_secs: int = 300
    mtf_secs: int = 900
    htf_secs: int = 14_400
    htf_ema_fast_length: int = 20
    htf_ema_slow_length: int = 50
    htf_warm_up_bars: int = 150
    rsi_oversold: float = 30.0
    rsi_overbought: float = 70.0
    sweep_kind: Literal["swing", "extreme", "any"] = "swing"
    sweep_max_age_bars: int = 5
    structure_role: Literal["ltf", "mtf"] = "ltf"
    structure_scope: Literal["internal", "external"] = "internal"
    max_missing_bars: int = 0

    def __post_init__(self) -> None:
        self._check_intervals()
        for name, words in (
            ("sweep_kind", SWEEP_KINDS),
            ("structure_role", STRUCTURE_ROLES),
            ("structure_scope", STRUCTURE_SCOPES),
        ):
            if getattr(self, name) not in words:
                raise ValueError(f"{name} must be one of {', '.join(words)}, got {getattr(self, name)!r}")
        if not 1 <= self.htf_ema_fast_length < self.htf_ema_slow_length:
            raise ValueError(
                "want 1 <= htf_ema_fast_length < htf_ema_slow_length, got "
                f"{self.htf_ema_fast_length}, {self.htf_ema_slow_length}"
            )
        if self.htf_warm_up_bars < 1:
            raise ValueError(f"htf_warm_up_bars must be >= 1, got {self.htf_warm_up_bars}")
        if not 0.0 <= self.rsi_oversold <= self.rsi_overbought <= 100.0:
            raise ValueError(
                "want 0 <= rsi_oversold <= rsi_overbought <= 100, got "
                f"{self.rsi_oversold}, {self.rsi_overbought}"
            )
        for name in ("sweep_max_age_bars", "max_missing_bars"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")

    def _check_intervals(self) -> None:
        ltf, mtf, htf = self.ltf_secs, self.mtf_secs, self.htf_secs
        if not 0 < ltf <= mtf <= htf <= WEEK_SECS:
            raise ValueError(
                f"want 0 < ltf_secs <= mtf_secs <= htf_secs <= {WEEK_SECS}, got {ltf}, {mtf}, {htf}"
            )
        for name, interval in (("mtf_secs", mtf), ("htf_secs", htf)):
            if interval % ltf:
                raise ValueError(f"{name} ({interval}) must be a whole number of lower bars (ltf_secs {ltf})")

    def with_tick_size(self, tick_size: float) -> Self:
        """Return the same parameters for an instrument of another price increment."""
        return replace(self, structure=replace(self.structure, tick_size=tick_size))

    def digest(self) -> bytes:
        """Return the 32-byte SHA-256 of all parameters, which saved states carry."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).digest()


def phase_secs(interval_secs: int) -> int:
    """Return by how much the boundaries of an interval lie behind multiples of its length since 1970.

    Examples
    --------
    >>> phase_secs(604_800), phase_secs(14_400)
    (345600, 0)
    """
    return _TO_MONDAY_SECS if interval_secs == WEEK_SECS else 0
