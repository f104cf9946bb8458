"""Whether the market still looks like the one a model was trained on, and whether its probabilities hold.

Three questions. Do features and score still have the distribution of the passport (population stability
index)? Do targets still come as often as promised (risk-adjusted CUSUM)? And what happens right after a fill
(markouts)?

An event is an *order*: its first look, the row on which it is first decided. Looks at one order, and rows of
neighbouring buckets, repeat each other, and an index of them calls drift where there is none. Orders do so
less, but the clock and slow structure features still do: how far luck can go is judged by how strongly the
block itself repeats. Fewer than 500 orders answer nothing: with 50, luck reaches 0.1 in most cases.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml.passport import DriftBins, Passport

LEAST_EVENTS: Final = 500
PSI_WARN, PSI_ALARM = 0.1, 0.25
# A block in which nothing has changed is called at most this often, over all features and the score together.
LUCK_WARN, LUCK_ALARM = 0.01, 0.001
MOST_REPETITION: Final = 0.99
# The CUSUM looks for odds that have doubled or halved. Without drift exp(sum) is a martingale from every
# start, so N outcomes reach h with a chance of at most N exp(-h) on each side: 5 % and 0.5 % for 500.
CUSUM_ODDS: Final = 2.0
CUSUM_WARN, CUSUM_ALARM = math.log(20_000), math.log(200_000)
MARKOUT_SECS: Final = (1, 10, 60)
SCORE: Final = "score"


class DriftState(StrEnum):
    """How far the market has moved away; ``waiting`` before there are enough events to say."""

    WAITING = "waiting"
    OK = "ok"
    WARN = "warn"
    ALARM = "alarm"


_ORDER: Final = (DriftState.WAITING, DriftState.OK, DriftState.WARN, DriftState.ALARM)


def psi(reference: DriftBins, counts: Sequence[int], missing: int) -> float:
    """Return the population stability index of counted values against a reference.

    Sum over the bins of (q - p) ln(q / p), the missing values as a bin of their own.

    Parameters
    ----------
    reference
        Shares of the finite values in each of the k bins, and the share of missing ones.
    counts
        Values found in each bin, shape (k,).
    missing
        Values that were not finite.

    Returns
    -------
    float
        >= 0; below 0.1 is by convention no change, above 0.25 a large one. NaN without values. An empty
        bin counts as half a value.
    """
    total = sum(counts) + missing
    if not total:
        return math.nan
    present = 1.0 - reference.missing
    expected = np.array([*(share * present for share in reference.freq), reference.missing])
    found = np.array([*counts, missing]) / total
    used = (expected > 0) | (found > 0)
    least = 0.5 / total
    p, q = np.maximum(expected[used], least), np.maximum(found[used], least)
    return float(np.sum((q - p) * np.log(q / p)))


@dataclass(frozen=True, slots=True)
class Shift:
    """How far one column has moved.

    Parameters
    ----------
    psi
        See `psi`.
    warn_at, alarm_at
        From where on it is called: 0.1 and 0.25, or what luck reaches with so few or so repetitive values.
    """

    psi: float
    warn_at: float
    alarm_at: float

    @property
    def state(self) -> DriftState:
        """Return what it is called."""
        return _state(self.psi, self.warn_at, self.alarm_at)


def shift_of(reference: DriftBins, values: NDArray[np.float64], events: int, columns: int = 1) -> Shift:
    """Judge one column of a block against its reference.

    Without drift the index is near (1/n + 1/m) times a chi-square of (bins - 1) degrees of freedom, with n
    and m the independent values of reference and block. Values that repeat their neighbours, rank
    correlation r, count as (1 - r)/(1 + r) of one.

    Parameters
    ----------
    reference
        Of the passport.
    values
        In order of time, shape (m,); NaN is missing.
    events
        Values that the reference was drawn from; 0: unknown, taken for many.
    columns
        How many are judged together: the more, the further one of them gets by luck.
    """
    finite = np.isfinite(values)
    bins = np.searchsorted(reference.edges, values[finite], side="right")
    counts = np.bincount(bins, minlength=len(reference.freq))
    found = psi(reference, counts.tolist(), int((~finite).sum()))
    used = sum(share > 0 for share in (*reference.freq, reference.missing))
    spread = (1 / events if events else 0.0) + 1 / len(values)
    repetition = rank_correlation(values[finite])
    spread *= (1 + repetition) / (1 - repetition)
    warn, alarm = (spread * chi_square(max(used - 1, 1), luck / columns) for luck in (LUCK_WARN, LUCK_ALARM))
    return Shift(found, max(PSI_WARN, warn), max(PSI_ALARM, alarm))


def rank_correlation(values: NDArray[np.float64]) -> float:
    """Return the rank correlation of neighbouring values, shape (n,), within 0 and 0.99."""
    if len(values) < 3:
        return 0.0
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - count / 2)[place]  # equal values share the middle of their ranks
    ranks -= ranks.mean()
    total = float(ranks @ ranks)
    found = float(ranks[1:] @ ranks[:-1]) / total if total > 0 else 0.0
    return min(max(found, 0.0), MOST_REPETITION)


def chi_square(freedom: int, tail: float) -> float:
    """Return the value that a chi-square exceeds with a probability of `tail`, within 5 %.

    References
    ----------
    Wilson and Hilferty (1931), "The Distribution of Chi-Square", PNAS 17.
    """
    part = 2 / (9 * freedom)
    return float(freedom * (1 - part + NormalDist().inv_cdf(1 - tail) * math.sqrt(part)) ** 3)


@dataclass(slots=True)
class Cusum:
    """Two-sided cumulative sum of how much likelier doubled or halved odds make the outcomes.

    Every outcome adds ln of its probability under the changed odds over that under the promised ones, and
    the sums never fall below 0. A single surprise adds at most ln 2, however unlikely it was.

    Parameters
    ----------
    high, low
        Evidence that targets come more and less often than promised, >= 0.
    events
        Outcomes taken: of filled orders only, for the probability is that of a win after a fill.

    References
    ----------
    Steiner, Cook, Farewell and Treasure (2000), "Monitoring surgical performance using risk-adjusted
    cumulative sum charts", Biostatistics 1.
    """

    high: float = 0.0
    low: float = 0.0
    events: int = 0

    def add(self, probability: float, reached: bool) -> None:
        """Take the outcome of a filled order, and the probability that it was given.

        Raises
        ------
        ValueError
            If the probability is not between 0 and 1.
        """
        if not 0 <= probability <= 1:
            raise ValueError(f"probability {probability} is not between 0 and 1")
        self.high = max(0.0, self.high + _evidence(probability, reached, CUSUM_ODDS))
        self.low = max(0.0, self.low + _evidence(probability, reached, 1 / CUSUM_ODDS))
        self.events += 1

    @property
    def state(self) -> DriftState:
        """Return how far it has gone."""
        if self.events < LEAST_EVENTS:
            return DriftState.WAITING
        return _state(max(self.high, self.low), CUSUM_WARN, CUSUM_ALARM)


def _evidence(p: float, reached: bool, odds: float) -> float:
    return (math.log(odds) if reached else 0.0) - math.log1p(p * (odds - 1))


class Markouts:
    """Signed price changes some seconds after fills: what the market did right after it let us in.

    Parameters
    ----------
    horizons_secs
        After how many seconds.
    """

    def __init__(self, horizons_secs: Sequence[int] = MARKOUT_SECS) -> None:
        self.values_bps: dict[int, list[float]] = {one: [] for one in horizons_secs}
        self._open: dict[int, deque[tuple[int, float, int]]] = {one: deque() for one in horizons_secs}
        self._last = math.nan

    def add(self, ts_ns: int, price: float, direction: int) -> None:
        """Take a fill, UNIX nanoseconds, quote currency, +1 bought and -1 sold."""
        for horizon, waiting in self._open.items():
            waiting.append((ts_ns + horizon * 1_000_000_000, price, direction))

    def on_price(self, ts_ns: int, price: float) -> None:
        """Take a trade; what is due is marked at the last price before it, the price at that time."""
        for horizon, waiting in self._open.items():
            while waiting and waiting[0][0] < ts_ns:
                _, filled, direction = waiting.popleft()
                if math.isfinite(self._last):
                    self.values_bps[horizon].append((self._last / filled - 1) * direction * 1e4)
        self._last = price

    @property
    def is_waiting(self) -> bool:
        """Tell whether a fill waits for its horizon, so that every trade is of interest."""
        return any(self._open.values())

    def as_plain(self) -> dict[str, Any]:
        """Return count, mean and standard error of every horizon, basis points; None where undefined."""
        return {f"{horizon}s": _mean_of(values) for horizon, values in self.values_bps.items()}


class DriftMonitor:
    """Watches the orders a model decides upon and what became of them.

    Parameters
    ----------
    passport
        Holds the reference.
    block
        Orders of one check; a full block is judged and the next one begins, so that old days do not hide
        new ones.

    Raises
    ------
    ValueError
        If a block has fewer than 500 orders.
    """

    def __init__(self, passport: Passport, block: int = LEAST_EVENTS) -> None:
        if block < LEAST_EVENTS:
            raise ValueError(f"block ({block}) must be at least {LEAST_EVENTS}: fewer raise false alarms")
        reference = passport.drift_ref
        bins = [(one.name, reference.first_looks.get(one.name)) for one in passport.features]
        self._columns = [(at, name, one) for at, (name, one) in enumerate(bins) if one is not None]
        self._columns.append((len(bins), SCORE, reference.score))
        self._reference_events = reference.n_orders
        self._rows = np.full((block, len(bins) + 1), np.nan)
        self.calibration = Cusum()
        self.events = 0
        self._full: NDArray[np.float64] | None = None
        self._shifts: dict[str, Shift] = {}

    def observe(self, row: NDArray[np.float64], probability: float | None) -> None:
        """Take the first look at an order, shape (f,), and its calibrated probability, None if not scored."""
        at = self.events % len(self._rows)
        self._rows[at, :-1] = row
        self._rows[at, -1] = math.nan if probability is None else probability
        self.events += 1
        if at == len(self._rows) - 1:
            self._full = self._rows.copy()  # judged when somebody asks: not on the path of a trade

    @property
    def shifts(self) -> dict[str, Shift]:
        """Return how far each feature, and the ``score``, was away in the last full block; empty before."""
        if self._full is not None:
            self._shifts = {
                name: shift_of(bins, self._full[:, column], self._reference_events, len(self._columns))
                for column, name, bins in self._columns
            }
            self._full = None
        return self._shifts

    def outcome(self, probability: float, reached: bool) -> None:
        """Take what became of a filled order, and the probability that it was last given."""
        self.calibration.add(probability, reached)

    @property
    def state(self) -> DriftState:
        """Return the worst of all answers."""
        states = [one.state for one in self.shifts.values()]
        return max([*states, self.calibration.state], key=_ORDER.index)

    def as_plain(self) -> dict[str, Any]:
        """Return state and figures of the last full block, columns that moved most first.

        ``events`` are orders, ``needed`` so many for a first answer, ``moved`` the columns that are called.
        """
        ranked = sorted(self.shifts.items(), key=lambda one: -one[1].psi / one[1].warn_at)
        return {
            "state": str(self.state),
            "events": self.events,
            "needed": len(self._rows),
            "moved": [name for name, shift in ranked if shift.state is not DriftState.OK],
            "psi": {name: shift.psi for name, shift in ranked},
            "warn_at": {name: shift.warn_at for name, shift in ranked},
            "calibration": {
                "state": str(self.calibration.state),
                "events": self.calibration.events,
                "above": self.calibration.high,
                "below": self.calibration.low,
                "warn_at": CUSUM_WARN,
            },
        }


def _state(value: float, warn: float, alarm: float) -> DriftState:
    if value >= alarm:
        return DriftState.ALARM
    return DriftState.WARN if value >= warn else DriftState.OK


def _mean_of(values: Sequence[float]) -> dict[str, float | int | None]:
    count = len(values)
    mean = float(np.mean(values)) if count else None
    error = float(np.std(values, ddof=1) / math.sqrt(count)) if count > 1 else None
    return {"count": count, "mean_bps": mean, "error_bps": error}


__all__ = [
    "LEAST_EVENTS",
    "Cusum",
    "DriftMonitor",
    "DriftState",
    "Markouts",
    "Shift",
    "chi_square",
    "psi",
    "rank_correlation",
    "shift_of",
]
