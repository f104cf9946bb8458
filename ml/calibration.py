"""Platt scaling: two numbers that turn the margin of a model into a probability one can compare with p*.

Fitted on out-of-fold margins: the model has seen the answers of its own training rows and is sure of them.
Platt instead of isotonic: with 300 to 5,000 events its error is a third to a half as large.

References
----------
Platt (1999), "Probabilistic Outputs for Support Vector Machines"; Lin, Lin, Weng (2007), "A Note on Platt's
Probabilistic Outputs" (Newton's method with a guard, targets drawn in from 0 and 1).
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.passport import Calibration

Floats = NDArray[np.float64]

MAX_STEPS: Final = 100
RIDGE: Final = 1e-9
# Margins that say nothing, or the opposite of what happens, get no say: only the base rate is left.
FLAT: Final = 1e-9


def sigmoid(values: Floats) -> Floats:
    """Return 1 / (1 + exp(-values)) in float64 without overflow, same shape."""
    small = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1.0, small) / (1.0 + small), dtype=np.float64)


def logit(probability: float) -> float:
    """Return log(p / (1 - p)) for 0 < p < 1."""
    return math.log(probability / (1.0 - probability))


def calibrate(margin: Floats, calibration: Calibration) -> Floats:
    """Return calibrated probabilities of margins, same shape, in [0, 1]."""
    return sigmoid(calibration.a * margin + calibration.b)


def fit_platt(margin: Floats, y: NDArray[np.int8], weight: Floats) -> Calibration:
    """Fit the two numbers by maximum likelihood.

    Parameters
    ----------
    margin
        Out-of-fold margins, shape (n,), finite.
    y
        Outcomes 0 and 1, shape (n,).
    weight
        Uniqueness weights, shape (n,), > 0.

    Returns
    -------
    Calibration
        With a >= 0; a = 0 where higher margins do not mean better outcomes, so every p is the base rate.
    """
    positive = float(weight[y == 1].sum())
    negative = float(weight.sum()) - positive
    target = np.where(y == 1, (positive + 1.0) / (positive + 2.0), 1.0 / (negative + 2.0))
    base = logit(float(weight @ target / weight.sum()))
    # Standardised: Newton's steps do not then depend on the scale of the margins.
    centre, spread = float(np.mean(margin)), float(np.std(margin))
    if spread < FLAT:
        return Calibration(a=0.0, b=base)
    slope, offset = _newton((margin - centre) / spread, target, weight, base)
    if slope <= FLAT:
        return Calibration(a=0.0, b=base)
    return Calibration(a=slope / spread, b=offset - slope * centre / spread)


def reliability_slope(probability: Floats, y: NDArray[np.int8], weight: Floats) -> float | None:
    """Return the slope of outcome over prediction on the logit scale; 1 is calibrated; None if all equal."""
    clipped = np.clip(probability, 1e-6, 1 - 1e-6)
    margin = np.log(clipped / (1.0 - clipped))
    spread = float(np.std(margin))
    if spread < 1e-6:
        return None
    base = logit(min(max(float(weight @ y / weight.sum()), 1e-6), 1 - 1e-6))
    slope, _ = _newton((margin - np.mean(margin)) / spread, y.astype(np.float64), weight, base)
    return slope / spread


def _newton(x: Floats, target: Floats, weight: Floats, base: float) -> tuple[float, float]:
    slope, offset = 0.0, base
    loss = _loss(slope, offset, x, target, weight)
    for _ in range(MAX_STEPS):
        p = sigmoid(slope * x + offset)
        error, curve = weight * (p - target), weight * p * (1.0 - p)
        gradient = np.array([error @ x, error.sum()])
        cross = float(curve @ x)
        hessian = np.array([[curve @ x**2 + RIDGE, cross], [cross, curve.sum() + RIDGE]])
        step = np.linalg.solve(hessian, gradient)
        scale = 1.0
        while scale > 1e-10:  # halve until the loss falls
            trial = _loss(slope - scale * step[0], offset - scale * step[1], x, target, weight)
            if trial <= loss:
                break
            scale *= 0.5
        else:
            break
        slope, offset = slope - scale * float(step[0]), offset - scale * float(step[1])
        if loss - trial < 1e-12 * max(loss, 1.0):
            break
        loss = trial
    return slope, offset


def _loss(slope: float, offset: float, x: Floats, target: Floats, weight: Floats) -> float:
    margin = slope * x + offset
    return float(weight @ (np.logaddexp(0.0, margin) - target * margin))
