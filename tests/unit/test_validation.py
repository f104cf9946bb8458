"""Splits do not leak, and the statistics equal those of `purgedcv`, an independent implementation."""

import math

import numpy as np
import pandas as pd
import purgedcv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.money import Orders, money
from ml.validation import (
    DAY_NS,
    Fold,
    block_bootstrap,
    combinatorial,
    combinatorial_paths,
    deflated_sharpe,
    embargo,
    holdout,
    overfitting_probability,
    probabilistic_sharpe,
    purge,
    purged_kfold,
    time_blocks,
    walk_forward,
)

MINUTE_NS = 60_000_000_000


def events(seed: int, rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Make events with overlapping labels of very different length."""
    generator = np.random.default_rng(seed)
    t0 = np.cumsum(generator.integers(0, 5, rows)) * MINUTE_NS
    return t0, t0 + generator.integers(1, 200, rows) ** 2 // 40 * MINUTE_NS + MINUTE_NS


def stamps(t_ns: np.ndarray) -> pd.Series:
    """Convert to what `purgedcv` takes."""
    return pd.Series(pd.to_datetime(t_ns))


def assert_equal(ours: list[Fold], theirs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Compare all splits row by row."""
    assert len(ours) == len(theirs)
    for fold, (train, test) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(fold.train, train)
        np.testing.assert_array_equal(fold.test, test)


spans = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 20)), min_size=6, max_size=40)


@given(spans, st.integers(2, 5), st.integers(0, 9))
def test_no_training_row_overlaps_a_test_label(rows: list[tuple[int, int]], folds: int, gap: int) -> None:
    """Checked pair by pair: no overlap, no start within the embargo, and nothing dropped without need."""
    t0 = np.cumsum([step for step, _ in rows])
    t1 = t0 + np.array([length for _, length in rows])
    for train, test in purged_kfold(t0, t1, folds, gap):
        kept = set(train.tolist())
        for row in set(range(len(t0))) - set(test.tolist()):
            overlaps = any(t0[row] < t1[other] and t0[other] < t1[row] for other in test)
            embargoed = gap > 0 and any(t1[other] <= t0[row] <= t1[other] + gap for other in test)
            assert (row in kept) == (not overlaps and not embargoed)


@given(st.lists(st.integers(0, 30), min_size=20, max_size=40), st.integers(0, 20))
def test_stop_slice_is_apart_from_what_is_learnt(lengths: list[int], gap: int) -> None:
    """Every label learnt from is known, and the embargo over, before the slice of early stopping begins."""
    t0 = np.arange(len(lengths)) * 3
    fold = holdout(t0, t0 + np.array(lengths), 0.2, gap)
    assert len(fold.test) == round(len(lengths) * 0.2)
    assert all(t0[row] + lengths[row] <= t0[fold.test[0]] - gap for row in fold.train)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("gap", [0, 30])
def test_kfold_equals_purgedcv(seed: int, gap: int) -> None:
    """Purged and embargoed K-fold: 0 rows different."""
    t0, t1 = events(seed)
    peer = purgedcv.PurgedKFold(
        5,
        prediction_times=stamps(t0),
        evaluation_times=stamps(t1),
        embargo=pd.Timedelta(minutes=gap),
    )
    assert_equal(purged_kfold(t0, t1, 5, gap * MINUTE_NS), list(peer.split(np.zeros((len(t0), 1)))))


@pytest.mark.parametrize(("groups", "tested"), [(6, 2), (5, 3)])
def test_cpcv_equals_purgedcv(groups: int, tested: int) -> None:
    """Combinatorial purged CV: the same splits, and the same paths from the same predictions."""
    t0, t1 = events(7, 240)
    peer = purgedcv.CombinatorialPurgedCV(
        groups,
        tested,
        prediction_times=stamps(t0),
        evaluation_times=stamps(t1),
        embargo=pd.Timedelta(minutes=20),
    )
    ours = combinatorial(t0, t1, groups, tested, 20 * MINUTE_NS)
    assert len(ours) == math.comb(groups, tested)
    assert_equal(ours, list(peer.split(np.zeros((len(t0), 1)))))
    tests = [fold.test for fold in ours]
    predictions = [number * 1_000.0 + test for number, test in enumerate(tests)]
    paths = combinatorial_paths(predictions, len(t0), groups, tested)
    assert paths.shape == (math.comb(groups - 1, tested - 1), len(t0))
    assert np.all(np.isfinite(paths))
    np.testing.assert_array_equal(
        paths, purgedcv.reconstruct_paths(predictions, tests, groups, tested, len(t0))
    )


@pytest.mark.parametrize("train_rows", [None, 150])
def test_walk_forward_equals_purgedcv(train_rows: int | None) -> None:
    """Anchored and rolling walk-forward: the same splits."""
    t0, t1 = events(3)
    peer = purgedcv.WalkForwardSplit(
        4,
        100,
        train_size=train_rows,
        window="expanding" if train_rows is None else "sliding",
        prediction_times=stamps(t0),
        evaluation_times=stamps(t1),
    )
    assert_equal(walk_forward(t0, t1, 4, 100, train_rows), list(peer.split(np.zeros((len(t0), 1)))))


@given(spans)
@settings(max_examples=25)
def test_purge_and_embargo_equal_purgedcv(rows: list[tuple[int, int]]) -> None:
    """The two filters alone, on any spans: the same rows."""
    t0 = np.cumsum([step for step, _ in rows]) * MINUTE_NS
    t1 = t0 + np.array([length + 1 for _, length in rows]) * MINUTE_NS
    every = np.arange(len(t0))
    test, train = every[2:5], np.r_[every[:2], every[5:]]
    np.testing.assert_array_equal(
        purge(train, test, t0, t1), purgedcv.purge(train, test, stamps(t0), stamps(t1))
    )
    gap = 7 * MINUTE_NS
    np.testing.assert_array_equal(
        embargo(train, test, t0, t1, gap),
        purgedcv.apply_embargo(train, test, stamps(t0), stamps(t1), pd.Timedelta(minutes=7)),
    )


@pytest.mark.parametrize("seed", range(4))
def test_sharpe_statistics_equal_purgedcv(seed: int) -> None:
    """Probabilistic and deflated Sharpe ratio agree to 1e-9, on skewed returns too."""
    generator = np.random.default_rng(seed)
    returns = generator.standard_t(4, 300) - 0.4 + generator.exponential(0.5, 300)
    peer = purgedcv.probabilistic_sharpe_ratio(returns, 0.05)
    assert probabilistic_sharpe(returns, 0.05) == pytest.approx(peer, abs=1e-9)
    for trials in (1, 2, 40):
        peer = purgedcv.deflated_sharpe_ratio(returns, trials, 0.02)
        assert deflated_sharpe(returns, trials, 0.02) == pytest.approx(peer, abs=1e-9)


def test_more_trials_deflate_more() -> None:
    """The same returns are worth less when more settings were tried to find them."""
    returns = np.random.default_rng(0).normal(0.1, 1.0, 500)
    values = [deflated_sharpe(returns, trials, 0.002) for trials in (1, 10, 100)]
    assert values == sorted(values, reverse=True)
    assert values[0] - values[2] > 0.1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("configurations", [7, 40])
def test_pbo_equals_purgedcv(seed: int, configurations: int) -> None:
    """Probability of backtest overfitting: equal for noise, also with blocks of unequal length."""
    returns = np.random.default_rng(seed).normal(0, 1, (configurations, 245))
    peer = purgedcv.probability_of_backtest_overfitting(returns, n_splits=8)
    assert overfitting_probability(returns, 8) == pytest.approx(peer.pbo, abs=1e-12)


def test_pbo_of_a_real_signal_is_nought() -> None:
    """One configuration that is better in every block is never overfitted."""
    returns = np.random.default_rng(1).normal(0, 1, (20, 400))
    returns[3] += 1.0
    assert overfitting_probability(returns, 8) == 0.0


def test_transposed_matrix_is_refused() -> None:
    """The paper's orientation would silently give nonsense."""
    with pytest.raises(ValueError, match=r"shape \(400, 20\)"):
        overfitting_probability(np.zeros((400, 20)), 8)


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    """Of 95 % intervals for the mean of correlated days, about that share hold the truth."""
    hits = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        values = np.repeat(generator.normal(0, 1, 40), 10) + generator.normal(0, 1, 400)
        t0 = np.repeat(np.arange(40), 10) * DAY_NS
        found = block_bootstrap(
            lambda weight, values=values: float(weight @ values / weight.sum()), t0, rounds=200, seed=seed
        )
        assert found.block_ns == DAY_NS
        hits += not found.excludes(0.0)
    assert 86 <= hits <= 99


def test_short_history_gets_shorter_blocks() -> None:
    """Three days are redrawn in parts of six hours; long labels have long blocks."""
    times = np.arange(0, 3 * DAY_NS, DAY_NS // 100)
    numbers, length = time_blocks(times)
    assert (numbers.max() + 1, length) == (12, DAY_NS // 4)
    assert time_blocks(times, DAY_NS // 3)[1] == DAY_NS // 2
    numbers, length = time_blocks(np.arange(0, 40 * DAY_NS, DAY_NS), 3 * DAY_NS // 2)
    assert (numbers.max() + 1, length) == (20, 2 * DAY_NS)


@pytest.mark.parametrize(
    ("times", "shortest_ns"),
    [
        (np.zeros(50, dtype=np.int64), 0),
        (np.arange(3) * 5 * MINUTE_NS, 0),
        (np.arange(700) * MINUTE_NS // 2, 0),
        (np.arange(300) * 14 * MINUTE_NS, 12 * 60 * MINUTE_NS),
    ],
    ids=["one moment", "three rows", "six hours", "three days of labels of twelve hours"],
)
def test_too_short_a_history_has_no_interval(times: np.ndarray, shortest_ns: int) -> None:
    """Fewer than eight blocks of an hour, or of the span of a label, tell nothing."""
    values = np.random.default_rng(0).normal(1.0, 0.1, len(times))
    found = block_bootstrap(
        lambda weight: float(weight @ values / weight.sum()), times, shortest_ns=shortest_ns
    )
    assert math.isnan(found.low)
    assert not found.excludes(0.0)


def test_gate_that_knows_nothing_is_rarely_found_to_gain() -> None:
    """Outcomes and gate in regimes of three hours that know nothing of each other, one day."""
    found = 0
    for seed in range(300):
        generator = np.random.default_rng(seed)
        t0 = np.sort(generator.integers(0, DAY_NS, 300))
        regime = (t0 + generator.integers(0, DAY_NS // 8)) // (DAY_NS // 8)
        won = generator.random(300) < np.clip(0.45 + 0.3 * generator.normal(size=9)[regime], 0.05, 0.95)
        kept = generator.random(300) < np.clip(0.5 + 0.3 * generator.normal(size=9)[regime], 0.05, 0.95)
        orders = Orders(t0, t0 + MINUTE_NS, kept - 0.5, np.where(won, 1.9, -1.1))
        gain = money(orders, 0.0, 200, seed).gain
        found += gain is not None and gain.low > 0
    assert found <= 0.07 * 300  # with blocks of an hour and plain percentiles it is 0.11
