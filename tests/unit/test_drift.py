"""Drift is called when it is there, and not called when it is luck."""

from collections.abc import Callable

import numpy as np
import pytest

from ml.drift import (
    CUSUM_ALARM,
    CUSUM_WARN,
    Cusum,
    DriftMonitor,
    DriftState,
    Markouts,
    chi_square,
    psi,
    rank_correlation,
    shift_of,
)
from ml.passport import DriftBins
from ml.provenance import drift_bins
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


type Draw = Callable[[np.random.Generator, int], np.ndarray]
COLUMNS = 47


def independent(generator: np.random.Generator, count: int) -> np.ndarray:
    """Draw values without memory, a column each."""
    return generator.normal(size=(count, COLUMNS))


def persistent(generator: np.random.Generator, count: int) -> np.ndarray:
    """Draw stationary first-order autoregressions of 0.7."""
    values = generator.normal(size=(count, COLUMNS))
    values[1:] *= np.sqrt(1 - 0.7**2)
    for at in range(1, count):
        values[at] += 0.7 * values[at - 1]
    return values


def clock(generator: np.random.Generator, count: int) -> np.ndarray:
    """Give the time of day of an order every 20 minutes, from any hour on."""
    return np.sin((np.arange(count)[:, None] / 72 + generator.random(COLUMNS)) * 2 * np.pi)


def few_values(generator: np.random.Generator, count: int) -> np.ndarray:
    """Draw a sign, and nothing in a tenth of the cases."""
    values = generator.integers(-1, 2, (count, COLUMNS)).astype(float)
    values[generator.random(values.shape) < 0.1] = np.nan
    return values


@pytest.mark.parametrize(
    ("draw", "orders"),
    [(independent, 300), (independent, 2_000), (persistent, 300), (clock, 300), (few_values, 300)],
)
def test_false_calls_are_rarer_than_one_in_twenty(draw: Draw, orders: int) -> None:
    """Of 47 columns judged on 500 orders, without drift, hardly ever one is called."""
    generator = np.random.default_rng(orders)
    checks, called = 40, 0
    for _ in range(checks):
        training, block = draw(generator, orders), draw(generator, 500)
        called += any(
            shift_of(drift_bins(training[:, at]), block[:, at], orders, COLUMNS).state is not DriftState.OK
            for at in range(COLUMNS)
        )
    assert called / checks < 0.05


def test_persistent_values_would_be_called_as_independent_ones() -> None:
    """The plain 0.1 calls slow columns: the simulation above would not pass without the correction."""
    generator = np.random.default_rng(1)
    training, block = persistent(generator, 300), persistent(generator, 500)
    found = [shift_of(drift_bins(training[:, at]), block[:, at], 300).psi for at in range(COLUMNS)]
    assert np.mean(np.array(found) > 0.1) > 0.1


@pytest.mark.parametrize(("shift", "least"), [(0.5, 0.95), (1.0, 1.0)])
def test_drift_is_found_in_one_block(shift: float, least: float) -> None:
    """Half a standard deviation in one of 47 columns is called after 500 orders."""
    generator = np.random.default_rng(3)
    reference = drift_bins(generator.normal(size=1_000))
    called = [
        shift_of(reference, generator.normal(shift, 1, 500), 1_000, 47).state is not DriftState.OK
        for _ in range(100)
    ]
    assert np.mean(called) >= least


def test_rank_correlation() -> None:
    """Of noise about none, of a walk nearly all; constant or few values have none."""
    generator = np.random.default_rng(4)
    assert rank_correlation(generator.normal(size=2_000)) < 0.05
    assert rank_correlation(persistent(generator, 4_000)[:, 0]) == pytest.approx(0.7, abs=0.05)
    assert rank_correlation(np.cumsum(generator.normal(size=2_000))) == 0.99
    assert rank_correlation(np.ones(500)) == rank_correlation(np.array([1.0, 2.0])) == 0.0


def test_chi_square_against_tables() -> None:
    """Two printed quantiles: 9 degrees at 1 %, 2 degrees at 0.1 %."""
    assert chi_square(9, 0.01) == pytest.approx(21.666, rel=0.01)
    assert chi_square(2, 0.001) == pytest.approx(13.816, rel=0.05)


def calibration(odds: float, seed: int, events: int) -> Cusum:
    """Return the CUSUM of outcomes whose odds are a multiple of what was promised."""
    generator = np.random.default_rng(seed)
    cusum = Cusum()
    for p in generator.uniform(0.2, 0.6, events).tolist():
        cusum.add(p, bool(generator.random() < p * odds / (1 - p + p * odds)))
    return cusum


def test_calibration_is_judged_on_enough_outcomes() -> None:
    """Outcomes as promised are fine, halved odds an alarm on the low side; 499 outcomes say nothing."""
    assert calibration(1.0, 1, 1_000).state is DriftState.OK
    worse = calibration(0.5, 1, 1_000)
    assert (worse.state, worse.low > worse.high) == (DriftState.ALARM, True)
    assert calibration(0.5, 1, 499).state is DriftState.WAITING
    with pytest.raises(ValueError, match="between 0 and 1"):
        Cusum().add(1.5, reached=True)


def test_calibration_rarely_calls_without_drift() -> None:
    """In 500 runs of 500 outcomes as promised, under 5 % ever reach the warning and under 0.5 % the alarm."""
    warned = alarmed = 0
    for seed in range(500):
        generator = np.random.default_rng(seed)
        cusum, worst = Cusum(), 0.0
        for p in generator.uniform(0.02, 0.9, 500).tolist():
            cusum.add(p, bool(generator.random() < p))
            worst = max(worst, cusum.high, cusum.low)
        warned += worst >= CUSUM_WARN
        alarmed += worst >= CUSUM_ALARM
    assert warned < 25
    assert alarmed <= 2


@pytest.mark.parametrize(("odds", "most"), [(0.5, 220), (2.0, 190), (0.4, 150)])
def test_delay_until_broken_probabilities_are_called(odds: float, most: int) -> None:
    """The median number of outcomes until the warning, counted from the change."""
    delays = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        cusum = Cusum()
        while max(cusum.high, cusum.low) < CUSUM_WARN:
            p = float(generator.uniform(0.2, 0.6))
            cusum.add(p, bool(generator.random() < p * odds / (1 - p + p * odds)))
        delays.append(cusum.events)
    assert np.median(delays) < most


def test_one_surprise_is_no_alarm() -> None:
    """A win that was thought impossible weighs no more than any other."""
    cusum = Cusum()
    cusum.add(0.0, reached=True)
    assert 0 < cusum.high < 1


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
