"""Platt scaling undoes overconfidence, and does not invent what is not there."""

import numpy as np
import pytest

from ml.calibration import calibrate, fit_platt, reliability_slope, sigmoid
from ml.passport import Calibration


def outcomes(rows: int, slope: float, offset: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw outcomes whose log-odds are slope * margin + offset."""
    generator = np.random.default_rng(seed)
    margin = generator.normal(0, 2, rows)
    y = generator.random(rows) < sigmoid(slope * margin + offset)
    return margin, y.astype(np.int8)


@pytest.mark.parametrize(("slope", "offset"), [(0.45, -0.4), (1.0, 0.0), (2.0, 1.5)])
def test_finds_the_planted_line(slope: float, offset: float) -> None:
    """With 20,000 outcomes both numbers come back to 0.06."""
    margin, y = outcomes(20_000, slope, offset)
    found = fit_platt(margin, y, np.ones(len(y)))
    assert found.a == pytest.approx(slope, abs=0.06)
    assert found.b == pytest.approx(offset, abs=0.06)


def test_equals_logistic_regression() -> None:
    """Same numbers as an unregularised logistic regression of an independent package."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    margin, y = outcomes(3_000, 0.7, 0.3)
    weight = np.random.default_rng(1).uniform(0.2, 2.0, len(y))
    peer = linear_model.LogisticRegression(C=1e10, tol=1e-10).fit(margin[:, None], y, sample_weight=weight)
    found = fit_platt(margin, y, weight)
    # Platt draws the targets in from 0 and 1 by about 1 / n.
    assert found.a == pytest.approx(float(peer.coef_[0, 0]), abs=5e-3)
    assert found.b == pytest.approx(float(peer.intercept_[0]), abs=5e-3)


def test_overconfident_probabilities_become_calibrated() -> None:
    """Margins 2.2 times too large: the error of p falls by more than half with 300 events."""
    true_margin, y = outcomes(300, 1.0, 0.0, seed=3)
    found = fit_platt(2.2 * true_margin, y, np.ones(300))
    truth = sigmoid(true_margin)

    def error(p: np.ndarray) -> float:
        return float(np.sqrt(np.mean((p - truth) ** 2)))

    assert error(calibrate(2.2 * true_margin, found)) < 0.5 * error(sigmoid(2.2 * true_margin))


def test_opposite_margins_get_no_say() -> None:
    """Where higher margins mean worse outcomes, every probability is the base rate."""
    margin, y = outcomes(2_000, 1.0, 0.5)
    found = fit_platt(-margin, y, np.ones(len(y)))
    assert found.a == 0.0
    assert calibrate(np.array([-5.0, 5.0]), found) == pytest.approx(y.mean(), abs=1e-3)


@pytest.mark.parametrize("margin", [np.zeros(50), np.linspace(-400, 400, 50)])
def test_extreme_margins_stay_finite(margin: np.ndarray) -> None:
    """Constant margins, and such that separate the outcomes, give finite numbers and p within [0, 1]."""
    y = (np.arange(50) >= 25).astype(np.int8)
    found = fit_platt(margin, y, np.ones(50))
    p = calibrate(margin, found)
    assert np.isfinite([found.a, found.b]).all()
    assert np.all((p >= 0) & (p <= 1))


def test_slope_tells_overconfidence() -> None:
    """Slope 1 for calibrated probabilities, about a half for margins twice too large, None for constants."""
    margin, y = outcomes(20_000, 1.0, 0.0)
    weight = np.ones(len(y))
    assert reliability_slope(sigmoid(margin), y, weight) == pytest.approx(1.0, abs=0.05)
    assert reliability_slope(sigmoid(2 * margin), y, weight) == pytest.approx(0.5, abs=0.05)
    assert reliability_slope(np.full(len(y), 0.3), y, weight) is None


def test_calibration_never_changes_the_order() -> None:
    """A higher margin never gets a lower probability."""
    p = calibrate(np.linspace(-50, 50, 1_001), Calibration(a=0.7, b=-0.2))
    assert np.all(np.diff(p) >= 0)
