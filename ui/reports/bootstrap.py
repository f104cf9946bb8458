"""Intervals of a run's figures by redrawing whole blocks of days: trades of a day are not independent.

The circular block bootstrap: blocks of consecutive days are drawn with replacement until they make a series
as long as the run, the figure is computed again, and the middle 95 % of the results are the interval.

References
----------
Politis, Romano (1992), "A Circular Block-Resampling Procedure for Stationary Data"; the length of a block is
the cube root of the number of days, the usual rate for a variance.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strategies.trade_manager.record import ClosedTrade
from ui.reports.metrics import DAYS_PER_YEAR, MIN_DAYS, NANOS_PER_DAY

ROUNDS: Final = 2_000
SEED: Final = 1
TAIL_PCT: Final = 2.5

type Interval = tuple[float, float]
type Floats = NDArray[np.float64]


def drawn_days(days: int, rounds: int = ROUNDS, seed: int = SEED) -> NDArray[np.int64]:
    """Return which days make up each redrawn run.

    Parameters
    ----------
    days
        Length of the run, >= 1.
    rounds, seed
        Number of redrawn runs and seed of the draws: the same ones give the same result.

    Returns
    -------
    ndarray of shape (rounds, days)
        Day numbers in [0, days), in blocks of consecutive ones.
    """
    length = max(1, round(days ** (1 / 3)))
    blocks = -(-days // length)
    starts = np.random.default_rng(seed).integers(0, days, (rounds, blocks))
    drawn: NDArray[np.int64] = (starts[:, :, None] + np.arange(length)) % days
    return drawn.reshape(rounds, blocks * length)[:, :days]


def interval_of(
    days: int,
    informative_days: int,
    figure: Callable[[NDArray[np.int64]], Floats],
    rounds: int = ROUNDS,
    seed: int = SEED,
) -> Interval | None:
    """Return the middle 95 % of a figure over redrawn runs; None below five informative days.

    Parameters
    ----------
    days
        Length of the run.
    informative_days
        Days that say something about the figure, for a mean of trades those with trades: a single one,
        redrawn, is always itself, and its interval would have no width however long the run was.
    figure
        Takes day numbers of shape (rounds, days) and returns one value for each round, NaN for none.
    rounds, seed
        As in :func:`drawn_days`.
    """
    if min(days, informative_days) < MIN_DAYS:
        return None
    values = figure(drawn_days(days, rounds, seed))
    values = values[np.isfinite(values)]
    if len(values) < rounds / 2:
        return None
    low, high = np.percentile(values, (TAIL_PCT, 100 - TAIL_PCT))
    return float(low), float(high)


def expectancy_interval(trades: Sequence[ClosedTrade], first_ns: int, last_ns: int) -> Interval | None:
    """Return the 95 % interval of the mean R multiple, by blocks of UTC days of the exits.

    None below five days with trades.

    Parameters
    ----------
    trades
        Closed trades.
    first_ns, last_ns
        Span of the run, UNIX nanoseconds: days without trades are days too.
    """
    sums, counts = daily_r(trades, first_ns, last_ns)

    def mean(drawn: NDArray[np.int64]) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), np.float64)

    return interval_of(len(sums), int(np.count_nonzero(counts)), mean)


def daily_r(trades: Sequence[ClosedTrade], first_ns: int, last_ns: int) -> tuple[Floats, Floats]:
    """Return for each UTC day of a span the sum of R multiples and the number of trades, shape (days,)."""
    first = first_ns // NANOS_PER_DAY
    days = max(int(last_ns // NANOS_PER_DAY - first) + 1, 1)
    known = [one for one in trades if math.isfinite(one.r_multiple)]
    # An exit in the last instant may be reported just after midnight: it belongs to the last day.
    day = np.array(
        [min(max(one.exit_ts_ns // NANOS_PER_DAY - first, 0), days - 1) for one in known], np.int64
    )
    r = np.array([one.r_multiple for one in known], np.float64)
    return np.bincount(day, r, days), np.bincount(day, minlength=days).astype(np.float64)


def sharpe_interval(returns: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of the Sharpe ratio of daily returns, annualised with 365 days.

    None below five days on which equity changed.
    """
    daily = np.array(returns, np.float64)

    def ratio(drawn: NDArray[np.int64]) -> Floats:
        chosen = daily[drawn]
        with np.errstate(invalid="ignore", divide="ignore"):
            value = chosen.mean(axis=1) / chosen.std(axis=1, ddof=1) * math.sqrt(DAYS_PER_YEAR)
        return np.asarray(value, np.float64)

    return interval_of(len(daily), int(np.count_nonzero(daily)), ratio)


__all__ = [
    "ROUNDS",
    "SEED",
    "Interval",
    "daily_r",
    "drawn_days",
    "expectancy_interval",
    "interval_of",
    "sharpe_interval",
]
