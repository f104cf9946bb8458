"""When the close of a bar leaves the recent range: rules without Nautilus, one call per closed bar.

The range is that of the bars *before* the one that breaks it; the averages that judge the break include it,
for they are known at its close. Nothing here reads a bar that has not closed.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from indicators.average import AverageTrueRange, ExponentialAverage
from strategies.bar_signal import Candle

NEVER: Final = -1


@dataclass(frozen=True, slots=True)
class BreakoutRules:
    """What counts as a breakout; see ``BreakoutConfig`` for their meaning and units."""

    range_bars: int = 20
    atr_bars: int = 14
    min_break_atr: float = 0.0
    min_range_atr: float = 1.0
    min_volume_ratio: float = 1.0
    trend_ema_bars: int = 0
    cooldown_bars: int = 0


@dataclass(frozen=True, slots=True)
class Breakout:
    """A close beyond the recent range that passed the filters.

    Parameters
    ----------
    direction
        +1 above the range, -1 below.
    low, high
        The range, quote currency.
    atr
        Average true range after the bar, quote currency.
    volume_ratio
        Volume of the bar over the mean volume of the range's bars; NaN where those had none.
    """

    direction: int
    low: float
    high: float
    atr: float
    volume_ratio: float

    def strength(self, close: float) -> float:
        """Return how far a close is beyond the range, in ATRs, at most 1: a strength, not a probability."""
        edge = self.high if self.direction > 0 else self.low
        return min((close - edge) * self.direction / self.atr, 1.0)


class BreakoutWatch:
    """Follows the bars of one instrument.

    Parameters
    ----------
    rules
        See `BreakoutRules`.

    Examples
    --------
    >>> watch = BreakoutWatch(BreakoutRules(range_bars=2, atr_bars=2, min_volume_ratio=0.0))
    >>> candles = [Candle("X.Y", n, n + 1, 10.0, 11.0, 9.0, 10.0, 1.0) for n in range(2)]
    >>> [watch.update(candle) for candle in candles]
    [None, None]
    >>> found = watch.update(Candle("X.Y", 2, 3, 10.0, 12.0, 10.0, 11.5, 1.0))
    >>> found.direction, found.high, found.atr
    (1, 11.0, 2.0)
    """

    def __init__(self, rules: BreakoutRules) -> None:
        self.rules = rules
        self._highs: deque[float] = deque(maxlen=rules.range_bars)
        self._lows: deque[float] = deque(maxlen=rules.range_bars)
        self._volumes: deque[float] = deque(maxlen=rules.range_bars)
        self._atr = AverageTrueRange(rules.atr_bars)
        self._trend = ExponentialAverage(max(rules.trend_ema_bars, 1))
        self._bars = 0
        self._last_break = NEVER

    def update(self, candle: Candle) -> Breakout | None:
        """Take one closed bar; return the breakout that it completes, if any.

        Raises
        ------
        ValueError
            If the bar is impossible.
        """
        atr = self._atr.update(candle.high, candle.low, candle.close)
        trend = self._trend.update(candle.close)
        found = None
        if len(self._highs) == self.rules.range_bars and atr > 0:  # NaN in warm-up: no
            found = self._breakout(candle, atr, trend)
        self._highs.append(candle.high)
        self._lows.append(candle.low)
        self._volumes.append(candle.volume)
        if found is not None:
            self._last_break = self._bars
        self._bars += 1
        return found

    def _breakout(self, candle: Candle, atr: float, trend: float) -> Breakout | None:
        rules = self.rules
        high, low = max(self._highs), min(self._lows)
        direction = (candle.close > high) - (candle.close < low)
        edge = high if direction > 0 else low
        if direction == 0 or (candle.close - edge) * direction < rules.min_break_atr * atr:
            return None
        if high - low < rules.min_range_atr * atr:
            return None
        # From the range's own volumes, else one huge bar would raise what it is measured against.
        usual = sum(self._volumes) / len(self._volumes)
        volume_ratio = candle.volume / usual if usual > 0 else math.nan
        if rules.min_volume_ratio > 0 and not volume_ratio >= rules.min_volume_ratio:
            return None
        if rules.trend_ema_bars and not self._is_with_trend(candle.close, trend, direction):
            return None
        if self._last_break != NEVER and self._bars - self._last_break <= rules.cooldown_bars:
            return None
        return Breakout(direction, low, high, atr, volume_ratio)

    def _is_with_trend(self, close: float, trend: float, direction: int) -> bool:
        return self._bars + 1 >= self.rules.trend_ema_bars and (close - trend) * direction > 0
