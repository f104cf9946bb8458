"""What is measured of a signal on closed bars: one function for live decisions, backtests and training.

A `BarWindow` holds the last closed bars of one coin. `measure` reads two of them, the coin's and that of the
market, and nothing else; so a value cannot depend on a bar that had not closed.
"""

import math
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ml.signal_features import SECONDS_PER_DAY

WINDOW_BARS: Final = 256
ATR_BARS: Final = 200
CORRELATION_BARS: Final = 100
DIVERGENCE_BARS: Final = 50
RECENT_BARS: Final = 5  # of those, in which the newer of the two extremes lies
VOLUME_BARS: Final = 20
HOUR_SECS: Final = 3_600
SCORED: Final = ("htf", "sweep", "order_block", "fvg", "rsi", "structure")
SMALLEST_VARIANCE: Final = 1e-30
CLOSE_SECS, HIGH, LOW, CLOSE, VOLUME, ATR, RSI = range(7)


class Window(Protocol):
    """The last closed bars of one coin, up to a moment."""

    @property
    def day_high(self) -> float:
        """Return the highest price of the UTC day so far, quote currency."""

    @property
    def day_low(self) -> float:
        """Return the lowest price of the UTC day so far, quote currency."""

    @property
    def columns(self) -> NDArray[np.float64]:
        """Return at most `WINDOW_BARS` bars, oldest first, shape (7, n): see `BarWindow.push`."""


class BarWindow:
    """The last closed bars of one coin, and the range of its UTC day so far."""

    def __init__(self) -> None:
        self.day_high = math.nan
        self.day_low = math.nan
        self._day = -1
        self._bars: deque[tuple[float, ...]] = deque(maxlen=WINDOW_BARS)

    def push(
        self, close_secs: int, high: float, low: float, close: float, volume: float, atr: float, rsi: float
    ) -> None:
        """Take a closed bar.

        Parameters
        ----------
        close_secs
            UNIX seconds, later than those of the bar before.
        high, low, close
            Quote currency.
        volume
            Base currency.
        atr, rsi
            After this bar: average true range in quote currency, and the RSI of the middle timeframe.
        """
        day = day_of(close_secs)
        if day != self._day:
            self._day, self.day_high, self.day_low = day, high, low
        else:
            self.day_high, self.day_low = max(self.day_high, high), min(self.day_low, low)
        self._bars.append((close_secs, high, low, close, volume, atr, rsi))

    @property
    def columns(self) -> NDArray[np.float64]:
        """Return the bars, oldest first, shape (7, n); rows are those of `push`, in its order."""
        rows = np.array(self._bars, np.float64).reshape(-1, RSI + 1)
        return np.ascontiguousarray(rows.T)


def day_of(close_secs: int) -> int:
    """Return the UTC day of a bar, days since 1970: what closes at midnight belongs to the day before."""
    return (close_secs - 1) // SECONDS_PER_DAY


def measure(
    coin: Window, market: Window | None, direction: int, score: float, factors: Mapping[str, float]
) -> dict[str, float]:
    """Return a value for each of `ml.signal_features.MEASURED`; NaN where it is not known.

    Parameters
    ----------
    coin
        With the signal's bar as its last.
    market
        Of the coin that stands for the market, at most as new; None where there is none.
    direction
        +1 long, -1 short.
    score
        Of the signal's side, 0 to 100.
    factors
        Points by factor; one that is left out has none.

    Raises
    ------
    ValueError
        For a window without bars, or a direction that is none.
    """
    bars = coin.columns
    if not bars.shape[1] or direction not in (1, -1):
        raise ValueError(f"a signal of {bars.shape[1]} bars in direction {direction}")
    close, atr = float(bars[CLOSE, -1]), float(bars[ATR, -1])
    context = None if market is None else market.columns
    return {
        "score": score,
        **{f"factor_{name}": float(factors.get(name, 0.0)) for name in SCORED},
        "atr_percentile": _percentile(bars[ATR]),
        "btc_correlation": _correlation(bars, context),
        "btc_change_1h": _change(context, bars[CLOSE_SECS, -1], HOUR_SECS),
        "btc_change_4h": _change(context, bars[CLOSE_SECS, -1], 4 * HOUR_SECS),
        "rsi": float(bars[RSI, -1]),
        "rsi_divergence": _divergence(bars),
        "volume_ratio": _volume_ratio(bars[VOLUME]),
        "day_high_atr": _quotient(coin.day_high - close, atr),
        "day_low_atr": _quotient(close - coin.day_low, atr),
    }


def _quotient(value: float, by: float) -> float:
    return value / by if by > 0 else math.nan


def _percentile(atr: NDArray[np.float64]) -> float:
    """Return the share of the last values that are not above the newest."""
    last = atr[-ATR_BARS:]
    if len(last) < ATR_BARS or np.isnan(last).any():
        return math.nan
    return float(np.count_nonzero(last <= last[-1])) / ATR_BARS


def _volume_ratio(volume: NDArray[np.float64]) -> float:
    last = volume[-VOLUME_BARS:]
    return _quotient(float(last[-1]), float(last.mean())) if len(last) == VOLUME_BARS else math.nan


def _change(context: NDArray[np.float64] | None, now_secs: float, back_secs: int) -> float:
    """Return the log change up to now; NaN unless bars closed at both times."""
    if context is None or not context.shape[1] or context[CLOSE_SECS, -1] != now_secs:
        return math.nan
    at = int(np.searchsorted(context[CLOSE_SECS], now_secs - back_secs))
    if context[CLOSE_SECS, at] != now_secs - back_secs:
        return math.nan
    return math.log(context[CLOSE, -1] / context[CLOSE, at])


def _correlation(bars: NDArray[np.float64], context: NDArray[np.float64] | None) -> float:
    """Return Pearson's correlation of log returns over bars that both have; NaN where one is missing."""
    count = CORRELATION_BARS + 1
    if context is None or min(bars.shape[1], context.shape[1]) < count:
        return math.nan
    if not np.array_equal(bars[CLOSE_SECS, -count:], context[CLOSE_SECS, -count:]):
        return math.nan
    own, other = (np.diff(np.log(one[CLOSE, -count:])) for one in (bars, context))
    own, other = own - own.mean(), other - other.mean()
    # Sums, not dot products: those of a linear algebra library may differ in the last bit by machine.
    variances = float((own * own).sum()), float((other * other).sum())
    if min(variances) < SMALLEST_VARIANCE:
        return math.nan
    return max(-1.0, min(1.0, float((own * other).sum()) / math.sqrt(variances[0] * variances[1])))


def _divergence(bars: NDArray[np.float64]) -> float:
    """Return +1 where price made a lower low of the window and the RSI did not, -1 for the mirror image."""
    if bars.shape[1] < DIVERGENCE_BARS:
        return math.nan
    low, high, rsi = (bars[row, -DIVERGENCE_BARS:] for row in (LOW, HIGH, RSI))
    if np.isnan(rsi).any():
        return math.nan
    split = DIVERGENCE_BARS - RECENT_BARS
    old, new = int(low[:split].argmin()), split + int(low[split:].argmin())
    is_bullish = low[new] < low[old] and rsi[new] > rsi[old]
    old, new = int(high[:split].argmax()), split + int(high[split:].argmax())
    is_bearish = high[new] > high[old] and rsi[new] < rsi[old]
    return float(is_bullish) - float(is_bearish)


__all__ = ["BarWindow", "Window", "day_of", "measure"]
