"""How good probabilities are: ROC, log-loss, Brier, reliability; all with weights, so they can be redrawn."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ml.passport import Bin

Floats = NDArray[np.float64]
Outcomes = NDArray[np.int8]


def log_losses(probability: Floats, y: Outcomes) -> Floats:
    """Return each row's log-loss in nats, shape (n,)."""
    p = np.clip(probability, 1e-12, 1.0 - 1e-12)
    return np.asarray(-np.where(y == 1, np.log(p), np.log1p(-p)), dtype=np.float64)


def weighted_mean(values: Floats, weight: Floats) -> float:
    """Return the weighted mean of shape (n,); NaN where the weights sum to 0."""
    total = float(weight.sum())
    return float(weight @ values) / total if total > 0 else float("nan")


def auc_of(score: Floats, y: Outcomes, weight: Floats, group: NDArray[np.int64]) -> Callable[[Floats], float]:
    """Return a function of redraw counts that gives the area under the ROC curve, sorting only once.

    Parameters
    ----------
    score
        Higher means more likely 1, shape (n,); equal scores count half.
    y, weight
        Outcomes and weights, shape (n,).
    group
        Fold of each row: only pairs of the same fold are compared. Margins of different folds hold different
        base rates, each the opposite of what its test shows, which looks like skill of the wrong sign.

    Returns
    -------
    Callable
        Takes counts of shape (n,); NaN where there is no pair of 1 and 0.
    """
    order = np.lexsort((score, group))
    sorted_score, sorted_group, is_one = score[order], group[order], y[order] == 1
    is_new_group = np.r_[True, sorted_group[1:] != sorted_group[:-1]]
    ties = np.flatnonzero(is_new_group | np.r_[True, sorted_score[1:] != sorted_score[:-1]])
    first_of_group = np.flatnonzero(is_new_group[ties])
    group_of = np.cumsum(is_new_group[ties]) - 1
    base = weight[order]

    def auc(counts: Floats) -> float:
        w = base * counts[order]
        ones = np.add.reduceat(np.where(is_one, w, 0.0), ties)
        zeros = np.add.reduceat(np.where(is_one, 0.0, w), ties)
        below = np.cumsum(zeros) - zeros
        below -= below[first_of_group][group_of]
        pairs = float(np.add.reduceat(ones, first_of_group) @ np.add.reduceat(zeros, first_of_group))
        return float(ones @ (below + 0.5 * zeros)) / pairs if pairs > 0 else float("nan")

    return auc


def roc_curve(score: Floats, y: Outcomes, weight: Floats, points: int = 200) -> list[tuple[float, float]]:
    """Return (false, true) positive shares from (0, 0) to (1, 1), at most about `points` of them."""
    order = np.argsort(-score, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(score[order])), len(score) - 1]
    ones = np.cumsum(np.where(y[order] == 1, weight[order], 0.0))[ends]
    zeros = np.cumsum(np.where(y[order] == 1, 0.0, weight[order]))[ends]
    chosen = np.unique(np.linspace(0, len(ends) - 1, points).astype(np.int64))
    return [
        (0.0, 0.0),
        *(
            (float(zeros[at] / max(zeros[-1], 1e-300)), float(ones[at] / max(ones[-1], 1e-300)))
            for at in chosen
        ),
    ]


def reliability(probability: Floats, y: Outcomes, weight: Floats, bins: int = 10) -> tuple[Bin, ...]:
    """Return at most `bins` bins of about equal count, ordered by prediction."""
    parts = np.array_split(np.argsort(probability, kind="stable"), min(bins, len(y)))
    return tuple(
        Bin(
            predicted=weighted_mean(probability[part], weight[part]),
            observed=weighted_mean(y[part].astype(np.float64), weight[part]),
            n=len(part),
        )
        for part in parts
        if len(part)
    )
