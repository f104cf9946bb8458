"""The legs of the synthetic tape: a fair coin that nothing known beforehand tells, within bounds."""

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.sample_zigzag import (
    FAIL_SHARE,
    HOLD_DEPTH,
    LARGEST_IMPULSE,
    SHOWN_BY_FAILING,
    SHOWN_BY_HOLDING,
    SHOWN_FROM,
    STOP_ROOM,
    Legs,
    make_legs,
)

START = 100.0
TOTAL_USD = 60 * 160_000 * 2_600.0  # the longest tape there is


@pytest.fixture(scope="module")
def legs() -> Legs:
    """Draw the legs of sixty days."""
    return make_legs(np.random.Generator(np.random.PCG64(3)), START, TOTAL_USD)


def sizes(legs: Legs) -> NDArray[np.float64]:
    """Return the length of each leg as a fraction of the price."""
    return np.abs(legs.end_price / legs.start_price - 1.0)


def deep(legs: Legs) -> NDArray[np.int64]:
    """Return the retracements that pass the sweet spot, of which those before the last leg."""
    size = sizes(legs)
    depth = np.append(0.0, size[1:] / size[:-1])
    is_retracement = np.append(False, is_retraced_next(legs)[:-1])
    return np.flatnonzero(is_retracement & (depth > 0.705))


def is_retraced_next(legs: Legs) -> NDArray[np.bool_]:
    """Tell which legs are impulses: the first one, one after a retracement that held, one that failed."""
    found, is_impulse = [], True
    for failing in legs.is_failing.tolist():
        found.append(is_impulse or failing)
        is_impulse = not found[-1]
    return np.array(found)


def rank_skill(score: NDArray[np.float64], is_one: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve, ties counted half."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    ones = is_one.sum()
    return float((rank[is_one].sum() - ones * (ones + 1) / 2) / (ones * (len(score) - ones)))


def test_nothing_known_tells_the_coin(legs: Legs) -> None:
    """Speed, size, regime, place, time and what came before rank failing retracements no better than luck."""
    size, at = sizes(legs), deep(legs)
    usd = np.diff(legs.end_usd, prepend=0.0)
    direction = np.sign(legs.end_price - legs.start_price)
    known = {
        "price per dollar": size[at] / usd[at],
        "impulse": size[at - 1],
        "price per dollar of the impulse": size[at - 1] / usd[at - 1],
        "regime": legs.regime[at].astype(float),
        "distance from home": direction[at] * (legs.start_price[at] / START - 1.0),
        "side": direction[at],
        "the impulse was a failure": legs.is_failing[at - 1].astype(float),
        "retracement before": size[at[1:] - 2],
        "time": legs.end_usd[at],
    }
    fails = legs.is_failing[at]
    assert len(at) > 10_000
    assert abs(fails.mean() - FAIL_SHARE) < 0.02
    for name, score in known.items():
        assert abs(rank_skill(score, fails[-len(score) :]) - 0.5) < 0.02, name


def test_what_comes_after_the_sweet_spot_does_tell(legs: Legs) -> None:
    """The check above can fail: depth and dollars of the whole leg, which nobody knows in time, tell all."""
    at = deep(legs)
    usd = np.diff(legs.end_usd, prepend=0.0)
    assert rank_skill(usd[at], legs.is_failing[at]) > 0.9


def test_most_failures_show_and_some_others(legs: Legs) -> None:
    """The signature begins before the sweet spot, in the planted shares, and nowhere else."""
    at = deep(legs)
    fails, shows = legs.is_failing[at], np.isfinite(legs.toxic_usd[at])
    assert shows[fails].mean() == pytest.approx(SHOWN_BY_FAILING, abs=0.02)
    assert shows[~fails].mean() == pytest.approx(SHOWN_BY_HOLDING, abs=0.02)
    assert np.isfinite(legs.toxic_usd).sum() == shows.sum()
    shown = at[shows]
    begin_usd = legs.end_usd[shown - 1]
    way = (legs.toxic_usd[shown] - begin_usd) / (legs.end_usd[shown] - begin_usd)
    taken_back = way * sizes(legs)[shown] / sizes(legs)[shown - 1]
    assert np.allclose(taken_back, SHOWN_FROM)


def test_a_failure_takes_the_stop_and_a_hold_fills_the_entry(legs: Legs) -> None:
    """Outcomes are those of the coin, whatever the size of the leg."""
    size, at = sizes(legs), deep(legs)
    depth = size[at] / size[at - 1]
    fails = legs.is_failing[at]
    assert ((depth[fails] - 1.0) * size[at - 1][fails] > STOP_ROOM).all()
    assert depth[~fails].min() >= min(low for low, _ in HOLD_DEPTH) - 1e-9
    assert depth[~fails].max() <= max(high for _, high in HOLD_DEPTH) + 1e-9


def test_a_long_tape_stays_near_home(legs: Legs) -> None:
    """Sixty days neither run away nor grow legs that no market has."""
    assert 0.7 * START < legs.end_price.min() < legs.end_price.max() < 1.3 * START
    assert sizes(legs).max() < 2 * LARGEST_IMPULSE
    assert np.quantile(sizes(legs), 0.1) > 0.004
