"""Why a model said what it said: the strongest contributions to each decision, computed off the hot path.

Contributions are SHAP values of the log-odds (XGBoost's `pred_contribs`): with the base they sum to the
margin of the row. A row costs tens of microseconds to a millisecond, so decisions are explained in batches
after they were made: at the end of a backtest, or by a worker beside a live node.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ml.booster import contributions, margins
from ml.model import calibrated, load_for_study
from ml.passport import Passport

MOST: Final = 5
FEATURES_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one feature added to the log-odds of a row.

    Parameters
    ----------
    feature
        Its name.
    value
        In the row; NaN where it was missing.
    contribution
        To the margin before calibration; negative lowers the probability.
    """

    feature: str
    value: float
    contribution: float


@dataclass(frozen=True, slots=True)
class Explained:
    """One row, explained.

    Parameters
    ----------
    probability
        Calibrated: what the decision must have seen.
    base
        Margin of a row about which nothing is known.
    rest
        Sum of the contributions that are not in `top`.
    top
        The largest by size, largest first; features that added nothing are left out.
    lowering
        Feature that lowered the probability most; empty where none did.
    """

    probability: float
    base: float
    rest: float
    top: tuple[Contribution, ...]
    lowering: str


class Explainer:
    """Explains rows of one model; it holds no state, so a worker may share it.

    Parameters
    ----------
    passport, booster
        From `ml.model.load_for_study`.
    most
        Contributions named per row.

    Raises
    ------
    ValueError
        If `most` is below 1.
    """

    def __init__(self, passport: Passport, booster: xgb.Booster, most: int = MOST) -> None:
        if most < 1:
            raise ValueError(f"most ({most}) must be 1 or more")
        self.passport = passport
        self.names = tuple(one.name for one in passport.features)
        self._booster = booster
        self._most = most

    @classmethod
    def load(cls, folder: str | Path, most: int = MOST) -> Self:
        """Load the model of a folder in the guarded way.

        Raises
        ------
        ModelRefused
            With the reason, whatever is wrong with its files.
        """
        return cls(*load_for_study(folder), most)

    def explain(self, x: NDArray[np.float64]) -> list[Explained]:
        """Explain rows on one thread.

        Parameters
        ----------
        x
            Features in the order of `names`, shape (n, f); NaN is missing.

        Raises
        ------
        ValueError
            When the width is another.
        """
        if x.ndim != 2 or x.shape[1] != len(self.names):
            raise ValueError(f"rows of shape {x.shape}, the model has {len(self.names)} features")
        if not len(x):
            return []
        found = zip(x, contributions(self._booster, x), margins(self._booster, x), strict=True)
        return [self._one(row, added, float(margin)) for row, added, margin in found]

    def _one(self, row: NDArray[np.float64], added: NDArray[np.float64], margin: float) -> Explained:
        a, b = self.passport.calibration.a, self.passport.calibration.b
        shares = added[:-1]
        order = np.argsort(-np.abs(shares), kind="stable")[: self._most]
        top = tuple(
            Contribution(self.names[at], float(row[at]), float(shares[at])) for at in order if shares[at] != 0
        )
        signed = shares * math.copysign(1.0, a)  # a calibration of negative slope turns the model around
        lowest = int(np.argmin(signed))
        return Explained(
            probability=calibrated(margin, a, b),
            base=float(added[-1]),
            rest=float(shares.sum() - sum(one.contribution for one in top)),
            top=top,
            lowering=self.names[lowest] if signed[lowest] < 0 else "",
        )


def most_lowering(cancels: Sequence[Explained]) -> list[dict[str, Any]]:
    """Return which features lowered the probability of cancelled entries most, most frequent first.

    Parameters
    ----------
    cancels
        Explained decisions to cancel.

    Returns
    -------
    list of dict
        At most ten of ``feature``, ``cancels`` (which it lowered most) and their ``share`` of all.
    """
    counts = Counter(one.lowering for one in cancels if one.lowering)
    ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:FEATURES_NAMED]
    return [{"feature": name, "cancels": count, "share": count / len(cancels)} for name, count in ranked]


__all__ = ["Contribution", "Explained", "Explainer", "most_lowering"]
