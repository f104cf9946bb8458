"""ROC, reliability and money by charts that one can check with a pencil."""

import numpy as np
import pytest

from ml.money import excess_series, money, orders_of, random_series, threshold_curve
from ml.scores import auc_of, log_losses, reliability, roc_curve
from ml.validation import DAY_NS

ONES = np.ones(4)
ONE_GROUP = np.zeros(4, dtype=np.int64)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        pytest.param([1, 2, 3, 4], 1.0, id="all in order"),
        pytest.param([4, 3, 2, 1], 0.0, id="all reversed"),
        pytest.param([1, 3, 2, 4], 0.75, id="one of four pairs wrong"),
        pytest.param([5, 5, 5, 5], 0.5, id="ties count half"),
    ],
)
def test_auc_of_four_rows(score: list[float], expected: float) -> None:
    """Outcomes 0, 0, 1, 1."""
    y = np.array([0, 0, 1, 1], dtype=np.int8)
    assert auc_of(np.array(score, dtype=float), y, ONES, ONE_GROUP)(ONES) == expected


def test_auc_equals_counting_pairs() -> None:
    """Weighted, with ties and redrawn rows, the same as going through all pairs of each fold."""
    generator = np.random.default_rng(0)
    score, y = generator.integers(0, 6, 60).astype(float), generator.integers(0, 2, 60).astype(np.int8)
    weight, group = generator.uniform(0.1, 2, 60), generator.integers(0, 3, 60)
    counts = generator.integers(0, 3, 60).astype(float)
    won = total = 0.0
    for one in np.flatnonzero(y == 1):
        for zero in np.flatnonzero((y == 0) & (group == group[one])):
            pair = weight[one] * counts[one] * weight[zero] * counts[zero]
            total += pair
            won += pair * ((score[one] > score[zero]) + 0.5 * (score[one] == score[zero]))
    assert auc_of(score, y, weight, group)(counts) == pytest.approx(won / total)


def test_base_rates_of_folds_are_no_skill() -> None:
    """Constant scores per fold, each the opposite of its outcomes: 0.5, not the 0.2 of the pooled curve."""
    y = np.array([1, 1, 0, 0, 0, 1], dtype=np.int8)
    group = np.array([0, 0, 0, 1, 1, 1])
    score = np.array([0.1, 0.1, 0.1, 0.9, 0.9, 0.9])
    assert auc_of(score, y, np.ones(6), group)(np.ones(6)) == 0.5


def test_no_pair_is_not_a_number() -> None:
    """One outcome alone has no curve."""
    assert np.isnan(auc_of(np.arange(4.0), np.ones(4, dtype=np.int8), ONES, ONE_GROUP)(ONES))


def test_log_loss_of_a_coin() -> None:
    """Saying one half costs log 2 whatever happens; being sure and wrong is finite."""
    losses = log_losses(np.array([0.5, 0.5, 0.0]), np.array([0, 1, 1], dtype=np.int8))
    np.testing.assert_allclose(losses[:2], np.log(2))
    assert np.isfinite(losses[2])


def test_roc_curve_rises_from_corner_to_corner() -> None:
    """Starts at (0, 0), ends at (1, 1), never falls."""
    generator = np.random.default_rng(1)
    points = np.array(
        roc_curve(generator.random(500), generator.integers(0, 2, 500).astype(np.int8), np.ones(500), 50)
    )
    assert points[0].tolist() == [0, 0]
    assert points[-1] == pytest.approx([1, 1])
    assert np.all(np.diff(points, axis=0) >= 0)
    assert len(points) <= 51


def test_reliability_bins_hold_every_row() -> None:
    """Bins ascend and their rows sum to all of them."""
    p = np.linspace(0.01, 0.99, 55)
    bins = reliability(p, (p > 0.5).astype(np.int8), np.ones(55))
    assert sum(one.n for one in bins) == 55
    assert [one.observed for one in bins] == sorted(one.observed for one in bins)


def test_first_decision_below_the_threshold_cancels() -> None:
    """An order is kept when none of its decisions cancels; one that never filled is left out."""
    orders = orders_of(
        np.array([7, 7, 8, 8, 9]),
        np.array([1, 2, 3, 4, 5]),
        np.array([9, 9, 9, 9, 9]),
        np.array([0.6, 0.3, 0.6, 0.7, 0.9]),
        np.full(5, 0.5),
        np.array([-1.0, -1.0, 2.0, 2.0, np.nan]),
    )
    assert orders.net_r.tolist() == [-1.0, 2.0]
    assert orders.kept(0.0).tolist() == [False, True]
    assert orders.kept(-0.3).tolist() == [True, True]


def test_gate_that_knows_earns_more_per_kept_order() -> None:
    """Kept +2 R of a half +2, half -1: 1.5 R above all, and the interval says so."""
    net_r = np.tile([2.0, -1.0], 200)
    t0 = np.arange(400) * DAY_NS // 10
    p = np.where(net_r > 0, 0.8, 0.2)
    worth = money(orders_of(np.arange(400), t0, t0 + 1, p, np.full(400, 0.5), net_r), 0.0, 300, 0)
    assert (worth.kept_share, worth.expectancy_kept_r, worth.expectancy_all_r) == (0.5, 2.0, 0.5)
    assert worth.gain is not None
    assert worth.gain.low > 1.0


def test_cancelling_everything_is_no_skill() -> None:
    """Nothing kept: no expectancy and no interval, however bad the orders were."""
    worth = money(
        orders_of(
            np.arange(50), np.arange(50), np.arange(50), np.zeros(50), np.full(50, 0.5), np.full(50, -1.0)
        ),
        0.0,
        100,
        0,
    )
    assert (worth.kept_share, worth.expectancy_kept_r, worth.gain) == (0.0, None, None)


def test_random_gate_keeps_as_many() -> None:
    """Random cancels have the rate of the gate, and sum to about nothing."""
    generator = np.random.default_rng(2)
    orders = orders_of(
        np.arange(300),
        np.arange(300),
        np.arange(300),
        generator.random(300),
        np.full(300, 0.6),
        generator.normal(0, 1, 300),
    )
    series = random_series(orders, 0.0, 20, seed=1)
    assert np.all((series != 0).sum(axis=1) == (excess_series(orders, 0.0) != 0).sum())
    assert abs(series.mean()) < 0.05


def test_threshold_curve_falls_in_kept_share() -> None:
    """A higher margin never keeps more."""
    generator = np.random.default_rng(3)
    orders = orders_of(
        np.arange(99),
        np.arange(99),
        np.arange(99),
        generator.random(99),
        np.full(99, 0.4),
        generator.normal(0, 1, 99),
    )
    shares = [share for _, share, _ in threshold_curve(orders)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1.0
