"""Which values of a feature may be scored: those near what the training held, not whatever fits a float."""

import numpy as np

from ml.model import plausible_bounds
from ml.passport import DriftReference, Passport
from ml.provenance import drift_bins
from tests.model_folder import NAMES, passport_of, train


def passport_with(values: np.ndarray) -> Passport:
    """Return the passport of a training that saw these values in the first column."""
    plain = drift_bins(np.linspace(-1.0, 1.0, 500))
    features = {**dict.fromkeys(NAMES, plain), NAMES[0]: drift_bins(values)}
    return passport_of(train(), drift_ref=DriftReference(features=features, score=plain))


def test_three_ranges_beyond_the_training() -> None:
    """Scores of 0 to 1 may be scored from -3 to 4; the tail counts as well as the deciles."""
    values = np.linspace(0.0, 1.0, 1_000)
    assert plausible_bounds(passport_with(values))[:, 0].tolist() == [-3.0, 4.0]
    values[0] = -1.0
    assert plausible_bounds(passport_with(values))[:, 0].tolist() == [-7.0, 7.0]


def test_skewed_column_keeps_its_own_extremes() -> None:
    """A column that is 0 nine times of ten has no spread between its deciles, but it has a range."""
    values = np.zeros(1_000)
    values[:20] = 8.0
    assert plausible_bounds(passport_with(values))[:, 0].tolist() == [-24.0, 32.0]


def test_column_of_a_single_value_has_no_bounds() -> None:
    """No tree can ask for it: a value that the training never saw there must not take every entry back."""
    low, high = plausible_bounds(passport_with(np.full(50, 0.5)))[:, 0]
    assert (low, high) == (-np.finfo(np.float32).max, np.finfo(np.float32).max)


def test_column_that_was_never_there_has_no_bounds() -> None:
    """What NaN means there is decided elsewhere."""
    low, high = plausible_bounds(passport_with(np.full(50, np.nan)))[:, 0]
    assert (low, high) == (-np.finfo(np.float32).max, np.finfo(np.float32).max)
