"""Which rows prove something about a model: only those decided after everything that it learnt from."""

import numpy as np

from ml.evaluate import in_sample
from ml.passport import DataManifest
from tests.model_folder import passport_of, train
from tests.synthetic_dataset import planted


def test_only_rows_after_the_training_are_out_of_sample() -> None:
    """Rows before the span are no better than rows of it: the model has seen what followed."""
    data = planted(30)
    start, end = int(data.t0_ns[20]), int(data.t1_ns[39])
    passport = passport_of(train(), data=DataManifest(files=(), start_ns=start, end_ns=end))
    found = in_sample(passport, data)
    assert found[:40].all()
    assert data.t1_ns[0] < start
    np.testing.assert_array_equal(found, data.t0_ns <= end)
    assert not found[-1]
