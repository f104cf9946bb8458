"""The reference of a training is drawn from what live trading will see: the first look at every order."""

from dataclasses import replace

import numpy as np
import pytest

from ml.booster import margins
from ml.calibration import calibrate
from ml.dataset import Dataset
from ml.drift import DriftMonitor, DriftState
from ml.passport import Build
from ml.provenance import drift_bins
from ml.train import Trained, TrainSettings, train
from tests.synthetic_dataset import planted

DATA = planted(700)


@pytest.fixture(scope="module")
def trained() -> Trained:
    """Train once."""
    settings = TrainSettings(rounds=30, bootstrap_rounds=100)
    return train(DATA, settings, Build(created="2026-01-01T00:00:00Z"))


def watched(trained: Trained, data: Dataset) -> DriftMonitor:
    """Return a monitor that has seen the first look at each order."""
    monitor = DriftMonitor(trained.passport)
    _, first = np.unique(data.order_id, return_index=True)
    rows = data.x[first]
    scores = calibrate(margins(trained.booster, rows), trained.passport.calibration)
    for row, score in zip(rows, scores.tolist(), strict=True):
        monitor.observe(row, score)
    return monitor


def test_first_looks_of_all_orders_are_the_reference(trained: Trained) -> None:
    """Filled or not: nobody knows when the order is first looked at. What may be scored is its own matter."""
    reference = trained.passport.drift_ref
    _, first = np.unique(DATA.order_id, return_index=True)
    assert reference.n_orders == len(first) == 700
    for at, name in enumerate(DATA.names):
        assert reference.first_looks[name] == drift_bins(DATA.x[first, at])
        assert reference.features[name] == drift_bins(DATA.x[np.isfinite(DATA.net_r), at])


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_other_days_of_the_same_market_are_no_drift(trained: Trained, seed: int) -> None:
    """A fresh sample scored by the final model: neither features nor score are called."""
    monitor = watched(trained, planted(500, seed=seed))
    assert monitor.state is DriftState.OK, monitor.as_plain()["moved"]


def test_another_market_is_called(trained: Trained) -> None:
    """The flow has moved by half of its spread, and the score with it; nothing else is named."""
    fresh = planted(500, seed=14)
    x = fresh.x.copy()
    x[:, 1] += 0.5
    monitor = watched(trained, replace(fresh, x=x))
    assert monitor.state in (DriftState.WARN, DriftState.ALARM)
    assert set(monitor.as_plain()["moved"]) == {"flow", "score"}
