"""Whether the market still looks like the one a model was trained on, and whether its probabilities hold.

Three questions. Do features and score still have the distribution of the passport (population stability
index)? Do targets still come as often as promised (CUSUM of outcome less probability)? And what happens
right after a fill (markouts)? Fewer than 500 events answer none of them: with 50, an index of 0.1 is reached
by luck in most cases.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml.passport import DriftBins, Passport

LEAST_EVENTS: Final = 500
PSI_WARN, PSI_ALARM = 0.1, 0.25
# Average run lengths of the two-sided CUSUM without drift: about 2,800 and 21,000 events (Siegmund 1985).
CUSUM_SLACK: Final = 0.25
CUSUM_WARN, CUSUM_ALARM = 12.0, 16.0
MARKOUT_SECS: Final = (1, 10, 60)


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


@dataclass(slots=True)
class Cusum:
    """Two-sided cumulative sum of the standardised difference between outcomes and probabilities.

    Parameters
    ----------
    high, low
        How far outcomes have been above and below what was promised, in standard deviations, >= 0.
    events
        Outcomes taken.

    References
    ----------
    Page (1954), "Continuous Inspection Schemes", Biometrika 41.
    """

    high: float = 0.0
    low: float = 0.0
    events: int = 0

    def add(self, probability: float, reached: bool) -> None:
        """Take one outcome, and the probability that it was given.

        Raises
        ------
        ValueError
            If the probability is not between 0 and 1.
        """
        if not 0 <= probability <= 1:
            raise ValueError(f"probability {probability} is not between 0 and 1")
        p = min(max(probability, 1e-3), 1 - 1e-3)  # one surprise must not weigh as much as a hundred
        z = (reached - p) / math.sqrt(p * (1 - p))
        self.high = max(0.0, self.high + z - CUSUM_SLACK)
        self.low = max(0.0, self.low - z - CUSUM_SLACK)
        self.events += 1

    @property
    def state(self) -> DriftState:
        """Return how far it has gone."""
        if self.events < LEAST_EVENTS:
            return DriftState.WAITING
        return _state(max(self.high, self.low), CUSUM_WARN, CUSUM_ALARM)


class _Binned:
    """Counts of one column in the bins of its reference."""

    def __init__(self, reference: DriftBins) -> None:
        self.reference = reference
        self.clear()

    def clear(self) -> None:
        self.counts = [0] * len(self.reference.freq)
        self.missing = 0

    def add(self, value: float) -> None:
        if math.isfinite(value):
            self.counts[bisect_right(self.reference.edges, value)] += 1
        else:
            self.missing += 1

    def psi(self) -> float:
        return psi(self.reference, self.counts, self.missing)


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
    """Watches the rows a model scores and what became of them.

    Parameters
    ----------
    passport
        Holds the reference.
    block
        Events of one check; a full block is judged and the next one begins, so that old days do not hide
        new ones.

    Raises
    ------
    ValueError
        If a block has fewer than 500 events.
    """

    def __init__(self, passport: Passport, block: int = LEAST_EVENTS) -> None:
        if block < LEAST_EVENTS:
            raise ValueError(f"block ({block}) must be at least {LEAST_EVENTS}: fewer raise false alarms")
        reference = passport.drift_ref
        self.calibration = Cusum()
        self.events = 0
        self._block = block
        self._names = [one.name for one in passport.features]
        empty = DriftBins(edges=(), freq=(1.0,))
        self._features = [_Binned(reference.features.get(name, empty)) for name in self._names]
        self._score = _Binned(reference.score)
        self._psi: dict[str, float] = {}

    def observe(self, row: NDArray[np.float64], probability: float | None) -> None:
        """Take a row that was looked at, shape (f,), and its calibrated probability, None if not scored."""
        for binned, value in zip(self._features, row.tolist(), strict=True):
            binned.add(value)
        self._score.add(math.nan if probability is None else probability)
        self.events += 1
        if self.events % self._block == 0:
            self._judge()

    def outcome(self, probability: float, reached: bool) -> None:
        """Take what became of an order, and the probability that it was kept or cancelled on."""
        self.calibration.add(probability, reached)

    def _judge(self) -> None:
        self._psi = {"score": self._score.psi()}
        self._psi |= {name: binned.psi() for name, binned in zip(self._names, self._features, strict=True)}
        for binned in (*self._features, self._score):
            binned.clear()

    @property
    def state(self) -> DriftState:
        """Return the worst of all answers."""
        states = [_state(value, PSI_WARN, PSI_ALARM) for value in self._psi.values()]
        return max([*states, self.calibration.state], key=_ORDER.index)

    def as_plain(self) -> dict[str, Any]:
        """Return state and figures of the last full block, features that moved most first."""
        moved = sorted(self._psi.items(), key=lambda one: -one[1])
        return {
            "state": str(self.state),
            "events": self.events,
            "psi": dict(moved),
            "calibration": {
                "state": str(self.calibration.state),
                "events": self.calibration.events,
                "above": self.calibration.high,
                "below": self.calibration.low,
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


__all__ = ["LEAST_EVENTS", "Cusum", "DriftMonitor", "DriftState", "Markouts", "psi"]
