"""How much instruments move per timeframe: average true range, realised volatility, range; their ranking."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from runtime.candles import Candles, CandleStore
from runtime.errors import ConfigurationError
from runtime.intervals import interval_nanos, interval_phase_ns

ATR_BARS: Final = 14
YEAR_NS: Final = 365 * 86_400_000_000_000  # these markets never close
SMALLEST_SHARE: Final = 0.5

type Measure = Literal["atr_pct", "realised_vol_pct", "range_pct"]
MEASURES: Final[tuple[Measure, ...]] = ("atr_pct", "realised_vol_pct", "range_pct")


@dataclass(frozen=True, slots=True)
class Volatility:
    """How much one instrument moved over the last bars of a timeframe.

    Parameters
    ----------
    instrument
        Such as ``BTCUSDT.BINANCE``.
    bars
        Bars that were there, at most the number asked for.
    last_close
        Quote currency.
    atr_pct
        Mean true range of the last 14 bars, % of the last close.
    realised_vol_pct
        Root of the mean squared log return from close to close, annualised by 365 days, %.
    range_pct
        Highest high minus lowest low, % of the last close.
    """

    instrument: str
    bars: int
    last_close: float
    atr_pct: float
    realised_vol_pct: float
    range_pct: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """One timeframe: `rows` from the most volatile on, and why other instruments are not among them."""

    interval: str
    as_of_ns: int
    rows: list[Volatility]
    skipped: dict[str, str]


def measure(candles: Candles) -> Volatility:
    """Measure bars, at least 14 + 1.

    Notes
    -----
    A true range or return over missing bars would count several bars as one: after a gap the true range is
    that of the bar alone, and the return is left out.

    References
    ----------
    Wilder (1978), "New Concepts in Technical Trading Systems", for the true range; here with a plain mean, as
    in `indicators.average.AverageTrueRange`.
    """
    high, low, close = (candles.prices(name) for name in ("high", "low", "close"))
    step_ns = interval_nanos(candles.interval)
    is_next = np.diff(candles.bars.ts_open_ns) == step_ns
    before = np.where(is_next, close[:-1], np.nan)
    true_range = np.fmax(high[1:], before) - np.fmin(low[1:], before)
    returns = np.log(close[1:] / close[:-1])[is_next]
    squared = float(np.mean(returns**2)) if len(returns) else 0.0
    return Volatility(
        candles.instrument_id,
        len(candles),
        float(close[-1]),
        100 * float(true_range[-ATR_BARS:].mean() / close[-1]),
        100 * math.sqrt(squared * YEAR_NS / step_ns),
        100 * float((high.max() - low.min()) / close[-1]),
    )


def rank(
    store: CandleStore,
    instruments: Iterable[str],
    interval: str,
    as_of_ns: int,
    bars: int,
    by: Measure = "atr_pct",
) -> Ranking:
    """Rank instruments by how much they moved over the last bars that had closed at a time.

    Parameters
    ----------
    store
        Where the bars come from.
    instruments
        Their ids; those without enough bars are skipped, with the reason.
    interval
        Timeframe, stored or derived.
    as_of_ns
        UNIX nanoseconds UTC; the window ends at the last boundary of the timeframe before it.
    bars
        Length of the window, at least 15; half of it must be there.
    by
        What decides; the largest first.

    Raises
    ------
    ValueError
        When `bars` is below 15.
    """
    if bars <= ATR_BARS:
        raise ValueError(f"bars {bars}: at least {ATR_BARS + 1} are needed")
    step_ns, phase_ns = interval_nanos(interval), interval_phase_ns(interval)
    end_ns = (as_of_ns - phase_ns) // step_ns * step_ns + phase_ns
    rows: list[Volatility] = []
    skipped: dict[str, str] = {}
    for instrument in instruments:
        try:
            candles = store.read(instrument, interval, end_ns - (bars - 1) * step_ns, end_ns)
        except ConfigurationError:
            stored = ", ".join(store.stored_intervals(instrument)) or "nothing"
            skipped[instrument] = f"no {interval} klines, and none to derive them from (stored: {stored})"
            continue
        if len(candles) < max(ATR_BARS + 1, SMALLEST_SHARE * bars):
            skipped[instrument] = f"{len(candles)} of {bars} bars"
            continue
        rows.append(measure(candles))
    rows.sort(key=lambda row: (-getattr(row, by), row.instrument))
    return Ranking(interval, end_ns, rows, skipped)
