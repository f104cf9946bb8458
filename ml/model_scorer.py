"""A loaded model: its scorer, the calibrated probability, and which values may be scored at all."""

import math
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ml.passport import Passport


class Scorer(Protocol):
    """Gives the margin of the row in `row`: the walker, or XGBoost where that does not cover a model."""

    row: NDArray[np.float64]

    def score(self) -> float:
        """Return the margin (log-odds) of `row`."""
        ...


@dataclass(frozen=True, slots=True)
class Model:
    """A model that passed every check.

    Parameters
    ----------
    passport
        What is known about it.
    scorer
        Walker or fallback.
    kind
        Which of the two.
    notes
        Warnings a person should read; empty when all is well.
    """

    passport: Passport
    scorer: Scorer
    kind: Literal["walker", "xgboost"]
    notes: tuple[str, ...] = ()
    bounds: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bounds", plausible_bounds(self.passport))

    @property
    def has_skill(self) -> bool:
        """Whether its validation found skill; without, it gates nothing unless a setting says so."""
        return self.passport.verdict == "skill"

    def probability(self) -> float:
        """Return the calibrated probability of the row in `scorer.row`, 0..1."""
        return calibrated(self.scorer.score(), self.passport.calibration.a, self.passport.calibration.b)


def calibrated(margin: float, a: float, b: float) -> float:
    """Return 1 / (1 + exp(-(a * margin + b))) without overflow.

    Examples
    --------
    >>> calibrated(0.0, 1.0, 0.0), calibrated(-5000.0, 1.0, 0.0)
    (0.5, 0.0)
    """
    z = a * margin + b
    if z >= 0:
        return 1.0 / (1.0 + math.exp(-z))
    grown = math.exp(z)
    return grown / (1.0 + grown)


RANGES: Final = 3.0
"""A value this many ranges beyond all that the training held is a wrong unit, not a rare market."""


def plausible_bounds(passport: Passport) -> NDArray[np.float64]:
    """Return lowest and highest value of every feature that may be scored, shape (2, f).

    Beyond them a row is as unfit to be scored as one with an infinite value. Bounded by what single precision
    holds only: a column without a reference, and one that had a single value in the training. No tree can
    ask for the latter, and refusing what it never saw (a previous day, after a training of one day) would
    take every entry back.
    """
    widest = float(np.finfo(np.float32).max)
    bounds = np.array([[-widest], [widest]]) * np.ones(len(passport.features))
    for index, feature in enumerate(passport.features):
        bins = passport.drift_ref.features.get(feature.name)
        if bins is not None and bins.low is not None and bins.high is not None and bins.high > bins.low:
            width = RANGES * (bins.high - bins.low)
            bounds[:, index] = max(bins.low - width, -widest), min(bins.high + width, widest)
    return bounds


class BoosterScorer:
    """XGBoost's own call for one row: 200 us, for what the walker does not cover."""

    def __init__(self, content: bytes, width: int) -> None:
        import xgboost  # 0.6 s that a live node pays only if it needs it

        self._booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(content))
        self._rows = np.zeros((1, width))
        self.row = self._rows[0]

    def score(self) -> float:
        """Return the margin (log-odds) of `row`."""
        margin = self._booster.inplace_predict(self._rows, predict_type="margin", validate_features=False)
        return float(margin[0])
