"""Why a row scored what it scored, in sentences with numbers: for journal, terminal and notifications."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np

from indicators.confluence.config import ConfluenceConfig
from indicators.events import EventKind

type Side = Literal["long", "short"]
type Factor = Literal["htf", "sweep", "order_block", "fvg", "rsi", "structure"]

FACTORS: tuple[Factor, ...] = ("htf", "sweep", "order_block", "fvg", "rsi", "structure")
_UNITS = ((604_800, "w"), (86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_DIRECTION = {1: "bullish", 0: "neutral", -1: "bearish"}
_BREAKS = {EventKind.BOS: "break of structure", EventKind.CHOCH: "change of character"}


@dataclass(frozen=True, slots=True)
class FactorText:
    """One factor of one side in words.

    Parameters
    ----------
    factor
        Name, as in the row's columns.
    side
        ``long`` or ``short``.
    points
        What it adds to the side's score, 0 if it does not hold.
    max_points
        What it could add.
    text
        A sentence without its points.
    event_id, event_seq
        The structure event that caused it and the bar at whose close it was known, -1 for none.
    """

    factor: Factor
    side: Side
    points: float
    max_points: float
    text: str
    event_id: int = -1
    event_seq: int = -1

    def __str__(self) -> str:
        return f"{self.text} ({self.points:g} of {self.max_points:g})"


def explain(row: np.void, config: ConfluenceConfig, side: Side | None = None) -> list[FactorText]:
    """Return all six factors of a side in words, those that score first.

    Parameters
    ----------
    row
        A row of `CONFLUENCE_DTYPE`.
    config
        The parameters that the row was made with.
    side
        None: the side with the higher score, long if equal.

    Returns
    -------
    list of FactorText
        Points add up to the side's score, unless that was capped at 100.

    Examples
    --------
    >>> import numpy as np
    >>> from indicators.confluence.config import ConfluenceConfig
    >>> from indicators.confluence.row import CONFLUENCE_DTYPE
    >>> from indicators.structure_config import StructureConfig
    >>> config = ConfluenceConfig(structure=StructureConfig(tick_size=0.5))
    >>> str(explain(np.zeros(1, CONFLUENCE_DTYPE)[0], config, "long")[0])
    '4h bias is not known yet: 150 complete bars are needed (0 of 25)'
    """
    if side is None:
        side = "long" if row["score_long"] >= row["score_short"] else "short"
    teller = _Teller(row, config, side)
    texts = [teller.tell(factor) for factor in FACTORS]
    return sorted(texts, key=lambda text: text.points == 0.0)


def summary(row: np.void, config: ConfluenceConfig, side: Side | None = None) -> str:
    """Return one line: the side, its score, and the factors that score.

    Takes what `explain` takes.
    """
    texts = explain(row, config, side)
    name = texts[0].side
    reasons = (
        "; ".join(f"{text.text} (+{text.points:g})" for text in texts if text.points) or "no factor holds"
    )
    return f"{name} {row[f'score_{name}']:g} of 100: {reasons}"


def interval_name(secs: int) -> str:
    """Return an interval as venues write it.

    Examples
    --------
    >>> interval_name(14_400), interval_name(900), interval_name(5400)
    ('4h', '15m', '90m')
    """
    length, unit = next((length, unit) for length, unit in _UNITS if secs % length == 0)
    return f"{secs // length}{unit}"


def _decimals(tick_size: float) -> int:
    exponent = Decimal(repr(tick_size)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


class _Teller:
    def __init__(self, row: np.void, config: ConfluenceConfig, side: Side) -> None:
        self._row, self._config, self._side = row, config, side
        self._sign = 1 if side == "long" else -1
        self._decimals = _decimals(config.structure.tick_size)

    def tell(self, factor: Factor) -> FactorText:
        write: Callable[[], str] = getattr(self, f"_{factor}")
        event_id, event_seq = self._event(factor)
        weights = self._config.weights
        if factor == "htf":
            most = weights.htf_aligned
            points = (0.0, weights.htf_neutral, most)[int(self._of_side("htf"))]
        else:
            most = getattr(weights, factor)
            points = most if self._of_side(factor) else 0.0
        return FactorText(factor, self._side, points, most, write(), event_id, event_seq)

    def _event(self, factor: Factor) -> tuple[int, int]:
        prefix = {"sweep": "sweep", "order_block": "block", "fvg": "gap"}.get(factor)
        if factor == "structure":
            return int(self._row["structure_id"]), int(self._row["structure_seq"])
        if prefix is None:
            return -1, -1
        return int(self._of_side(f"{prefix}_id")), int(self._of_side(f"{prefix}_seq"))

    def _of_side(self, name: str) -> float:
        value: float = self._row[f"{self._side}_{name}"].item()
        return value

    def _price(self, value: float) -> str:
        return f"{value:.{self._decimals}f}"

    def _ago(self, seq: float) -> str:
        bars = int(self._row["seq"]) - int(seq)
        return "on this bar" if bars == 0 else f"{bars} bar{'s' if bars > 1 else ''} ago"

    def _late(self, role: str, name: str) -> str:
        missing = int(self._row[f"{role}_missing"])
        bars = "bar is" if missing == 1 else "bars are"
        return f"is unknown: the last {missing} {name} {bars} incomplete"

    def _htf(self) -> str:
        row, config = self._row, self._config
        name = interval_name(config.htf_secs)
        if row["htf_missing"] > config.max_missing_bars:
            return f"{name} bias {self._late('htf', name)}"
        if not row["htf_is_known"]:
            return f"{name} bias is not known yet: {config.htf_warm_up_bars} complete bars are needed"
        bias = int(row["htf_bias"])
        close, fast, slow = (self._price(row[f"htf_{what}"]) for what in ("close", "ema_fast", "ema_slow"))
        fast = f"EMA{config.htf_ema_fast_length} {fast}"
        slow = f"EMA{config.htf_ema_slow_length} {slow}"
        if bias == 0:
            return f"{name} bias is neutral: close {close}, {fast} and {slow} are in neither order"
        word = "above" if bias > 0 else "below"
        return f"{name} bias is {_DIRECTION[bias]}: close {close} {word} {fast} {word} {slow}"

    def _sweep(self) -> str:
        config, what = self._config, "low" if self._sign > 0 else "high"
        if not self._of_side("sweep"):
            kinds = {"swing": "swing ", "extreme": f"{config.structure.sweep_lookback}-bar ", "any": ""}
            bars = config.sweep_max_age_bars
            return f"no {kinds[config.sweep_kind]}{what} was swept on this bar or the {bars} before it"
        is_extreme = self._of_side("sweep_kind") == 1
        kind = f"{config.structure.sweep_lookback}-bar" if is_extreme else "swing"
        level, tip = self._price(self._of_side("sweep_level")), self._price(self._of_side("sweep_tip"))
        back = "above" if self._sign > 0 else "below"
        ago = self._ago(self._of_side("sweep_seq"))
        return f"the {kind} {what} at {level} was swept {ago}: wick to {tip}, close back {back} it"

    def _zone(self, prefix: str, name: str) -> str:
        low, high = self._price(self._of_side(f"{prefix}_low")), self._price(self._of_side(f"{prefix}_high"))
        close, ago = self._price(self._row["close"]), self._ago(self._of_side(f"{prefix}_seq"))
        return f"close {close} is inside the {_DIRECTION[self._sign]} {name} {low} to {high}, known {ago}"

    def _outside(self, state: str, name: str) -> str:
        close = self._price(self._row["close"])
        return f"close {close} is inside no {state} {_DIRECTION[self._sign]} {name}"

    def _order_block(self) -> str:
        if not self._of_side("order_block"):
            return self._outside("active", "order block")
        return self._zone("block", "breaker" if self._of_side("block_is_breaker") else "order block")

    def _fvg(self) -> str:
        if not self._of_side("fvg"):
            return self._outside("open", "fair value gap")
        return self._zone(
            "gap", "inverse fair value gap" if self._of_side("gap_is_inverse") else "fair value gap"
        )

    def _rsi(self) -> str:
        row, config = self._row, self._config
        name = f"{interval_name(config.mtf_secs)} RSI {config.structure.rsi_length}"
        if row["mtf_missing"] > config.max_missing_bars:
            return f"{name} {self._late('mtf', interval_name(config.mtf_secs))}"
        if math.isnan(row["mtf_rsi"]) or not row["mtf_is_known"]:
            return f"{name} is not known yet"
        is_scored = bool(self._of_side("rsi"))
        limit = config.rsi_oversold if self._sign > 0 else config.rsi_overbought
        where = (
            ("below" if is_scored else "not below")
            if self._sign > 0
            else ("above" if is_scored else "not above")
        )
        word = "oversold" if self._sign > 0 else "overbought"
        return f"{name} is {row['mtf_rsi']:.1f}, {where} {limit:g} ({word})"

    def _structure(self) -> str:
        row, config = self._row, self._config
        secs = config.ltf_secs if config.structure_role == "ltf" else config.mtf_secs
        name = f"{config.structure_scope} {interval_name(secs)} structure"
        trend = int(row["structure_trend"])
        if trend == 0:
            return f"{name} has no known trend"
        kind = _BREAKS[EventKind(row["structure_kind"])]
        over = "above" if trend > 0 else "below"
        when = np.datetime64(int(row["structure_ts_ns"]), "ns").astype("datetime64[m]")
        return (
            f"{name} is {_DIRECTION[trend]} since the {kind} {over} {self._price(row['structure_level'])} "
            f"at {when}Z"
        )
