"""Drift is called when it is there, and not called when it is luck."""

import numpy as np
import pytest

from ml.drift import Cusum, DriftMonitor, DriftState, Markouts, psi
from ml.passport import DriftBins
from tests.model_folder import NAMES, passport_of, train

PASSPORT = passport_of(train())  # deciles of a standard normal; scores uniform
TENTHS = DriftBins(edges=tuple(range(1, 10)), freq=(0.1,) * 10)


def test_psi_by_hand() -> None:
    """Equal shares give 0; half of one bin moved to another gives 2 x 0.05 ln(...)."""
    assert psi(TENTHS, [50] * 10, 0) == 0.0
    moved = [25, 75, *[50] * 8]
    expected = -0.05 * np.log(0.5) + 0.05 * np.log(1.5)
    assert psi(TENTHS, moved, 0) == pytest.approx(expected)
    assert np.isnan(psi(TENTHS, [0] * 10, 0))


def test_values_that_go_missing_are_a_change() -> None:
    """Half of the values missing is an alarm, as many as in the training is none."""
    assert psi(TENTHS, [25] * 10, 250) > 0.25
    reference = DriftBins(edges=TENTHS.edges, freq=TENTHS.freq, missing=0.5)
    assert psi(reference, [25] * 10, 250) == pytest.approx(0)


def states(shift: float, seed: int, events: int = 500) -> DriftState:
    """Return the state after normal rows moved by some standard deviations."""
    generator = np.random.default_rng(seed)
    monitor = DriftMonitor(PASSPORT)
    for row, score in zip(
        generator.normal(shift, 1, (events, len(NAMES))), generator.random(events), strict=True
    ):
        monitor.observe(row, float(score))
    return monitor.state


def test_no_alarm_without_drift() -> None:
    """In twenty samples of 500 events from the reference itself nothing is called."""
    assert {states(0.0, seed) for seed in range(20)} == {DriftState.OK}


def test_shift_is_called() -> None:
    """A third of a standard deviation warns, one standard deviation is an alarm."""
    assert states(0.35, 1) is DriftState.WARN
    assert states(1.0, 1) is DriftState.ALARM


def test_too_few_events_say_nothing() -> None:
    """499 events, however far off, are not judged; a smaller block is refused."""
    assert states(5.0, 1, events=499) is DriftState.WAITING
    with pytest.raises(ValueError, match="at least 500"):
        DriftMonitor(PASSPORT, block=50)


def test_each_block_is_judged_alone() -> None:
    """A thousand good events do not hide five hundred bad ones."""
    monitor = DriftMonitor(PASSPORT)
    generator = np.random.default_rng(2)
    for shift in (0.0, 0.0, 1.0):
        for row in generator.normal(shift, 1, (500, len(NAMES))):
            monitor.observe(row, float(generator.random()))
    assert monitor.state is DriftState.ALARM
    assert max(monitor.as_plain()["psi"], key=monitor.as_plain()["psi"].get) in NAMES


def calibration(share: float, seed: int, events: int = 1_000) -> Cusum:
    """Return the CUSUM of outcomes that come with a share of what was promised."""
    generator = np.random.default_rng(seed)
    cusum = Cusum()
    for p in generator.uniform(0.2, 0.6, events).tolist():
        cusum.add(p, bool(generator.random() < p * share))
    return cusum


def test_calibration() -> None:
    """Outcomes as promised are fine, three fifths of them an alarm on the low side."""
    assert calibration(1.0, 1).state is DriftState.OK
    worse = calibration(0.6, 1)
    assert (worse.state, worse.low > worse.high) == (DriftState.ALARM, True)
    assert calibration(0.6, 1, events=499).state is DriftState.WAITING
    with pytest.raises(ValueError, match="between 0 and 1"):
        Cusum().add(1.5, reached=True)


def test_markouts() -> None:
    """Marked at the last price at or before the horizon, signed by the side."""
    second = 10**9
    markouts = Markouts()
    markouts.on_price(0, 100.0)
    markouts.add(0, 100.0, 1)
    markouts.add(0, 100.0, -1)
    for ts_secs, price in ((0.5, 100.5), (1.0, 101.0), (1.5, 99.0), (10.5, 90.0), (70.0, 80.0)):
        markouts.on_price(int(ts_secs * second), price)
    assert markouts.values_bps[1] == [pytest.approx(100.0), pytest.approx(-100.0)]
    assert markouts.values_bps[10] == [pytest.approx(-100.0), pytest.approx(100.0)]
    assert markouts.values_bps[60] == [pytest.approx(-1000.0), pytest.approx(1000.0)]
    assert markouts.as_plain()["1s"] == {"count": 2, "mean_bps": 0.0, "error_bps": pytest.approx(100.0)}
