"""Skill or no skill: what the predictions of unseen rows are worth, and every condition that fails."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.calibration import reliability_slope
from ml.dataset import Dataset
from ml.money import Orders, excess_r, excess_series, gate_sharpe, money, orders_of, random_series
from ml.passport import Metrics, Verdict
from ml.scores import auc_of, log_losses, reliability, weighted_mean
from ml.train_settings import SECOND_NS, TrainSettings
from ml.validation import (
    LEAST_BLOCKS,
    block_bootstrap,
    deflated_sharpe,
    label_span_ns,
    overfitting_probability,
)

Floats = NDArray[np.float64]

SLOPES = (0.8, 1.2)
PBO_BLOCKS = 10
PBO_LEAST_ORDERS = 4 * PBO_BLOCKS
PBO_MOST_TRIALS = 100
NO_INTERVAL = (0.0, 1.0)  # of an AUC
RANDOM_GATES = 3  # per trial, for the probability of overfitting


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows with predictions by a model that did not learn from them, columns of shape (n,).

    Parameters
    ----------
    data
        The rows; all filled.
    margin, probability
        Of the model, before and after calibration.
    base
        What one would say without a model: the share of ones that it learnt from.
    group
        Split that tested the row; scores are compared within a split only.
    """

    data: Dataset
    margin: Floats
    probability: Floats
    base: Floats
    group: NDArray[np.int64]

    def orders(self) -> Orders:
        """Return one row per order, see `ml.money`."""
        data = self.data
        return orders_of(data.order_id, data.t0_ns, data.t1_ns, self.probability, data.p_star, data.net_r)


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """What one tried setting leaves behind.

    Parameters
    ----------
    params
        What was tried.
    logloss
        Out of fold, by which the best is chosen.
    sharpe
        Of the gated orders, per kept order, above the ungated expectancy.
    series
        R above it per order in order of time, 0 for cancelled ones, shape (orders,).
    by_chance
        The same of random cancels at the same rate, shape (k, orders).
    """

    params: dict[str, float | int]
    logloss: float
    sharpe: float
    series: Floats
    by_chance: Floats


def record_of(scored: Scored, settings: TrainSettings, params: dict[str, float | int]) -> TrialRecord:
    """Return the record of one tried setting by its predictions of unseen rows."""
    orders = scored.orders()
    return TrialRecord(
        params,
        weighted_mean(log_losses(scored.probability, scored.data.y), scored.data.weight),
        gate_sharpe(orders, settings.margin),
        excess_series(orders, settings.margin),
        random_series(orders, settings.margin, RANDOM_GATES, settings.seed),
    )


def measure(scored: Scored, settings: TrainSettings, trials: Sequence[TrialRecord] = ()) -> Metrics:
    """Return the figures of the passport.

    Parameters
    ----------
    scored
        Predictions of unseen rows.
    settings
        For margin, seed, redraws, and trials before this run.
    trials
        All settings tried in this run, the chosen one among them; empty counts as one.
    """
    data, rounds, seed = scored.data, settings.bootstrap_rounds, settings.seed
    auc = auc_of(scored.margin, data.y, data.weight, scored.group)
    shortest_ns = label_span_ns(data.t0_ns, data.t1_ns)
    auc_interval = block_bootstrap(auc, data.t0_ns, rounds, seed, shortest_ns=shortest_ns)
    losses = log_losses(scored.probability, data.y)
    gains = log_losses(scored.base, data.y) - losses
    gain_interval = block_bootstrap(
        lambda counts: weighted_mean(gains, counts * data.weight),
        data.t0_ns,
        rounds,
        seed,
        shortest_ns=shortest_ns,
    )
    orders = scored.orders()
    worth = money(orders, settings.margin, rounds, seed)
    n_trials = max(len(trials), 1) + settings.earlier_trials
    return Metrics(
        auc=_finite(auc(np.ones(len(data))), 0.5),
        auc_ci=(_finite(auc_interval.low, 0.0), _finite(auc_interval.high, 1.0)),
        logloss=weighted_mean(losses, data.weight),
        base_logloss=weighted_mean(losses + gains, data.weight),
        logloss_gain_ci=(_finite(gain_interval.low, -1.0), _finite(gain_interval.high, 1.0)),
        brier=weighted_mean((scored.probability - data.y) ** 2, data.weight),
        slope=reliability_slope(scored.probability, data.y, data.weight),
        reliability=reliability(scored.probability, data.y, data.weight),
        kept_share=worth.kept_share,
        expectancy_kept_r=worth.expectancy_kept_r,
        expectancy_all_r=worth.expectancy_all_r,
        expectancy_gain_r=worth.gain_r,
        expectancy_gain_ci=(worth.gain.low, worth.gain.high)
        if worth.gain is not None and math.isfinite(worth.gain.low)
        else None,
        dsr=_deflated(orders, settings, trials, n_trials),
        pbo=_overfitting(trials or (record_of(scored, settings, {}),)),
        n_trials=n_trials,
        ci_block_secs=auc_interval.block_ns / SECOND_NS,
        base_rate=weighted_mean(data.y.astype(np.float64), data.weight),
    )


def verdict(metrics: Metrics, settings: TrainSettings) -> tuple[Verdict, tuple[str, ...]]:
    """Return ``skill`` where every condition holds, else ``no_skill`` with what failed, in words."""
    m = metrics
    gain = m.expectancy_gain_ci
    conditions = (
        (
            m.auc_ci[0] > 0.5,
            f"no intervals: fewer than {LEAST_BLOCKS} blocks of {m.ci_block_secs / 3_600:g} h, use more days"
            if m.auc_ci == NO_INTERVAL
            else f"AUC {m.auc:.3f}, interval {_interval(m.auc_ci)}, does not exclude 0.5",
        ),
        (
            m.logloss_gain_ci[0] > 0,
            f"log-loss {m.logloss:.4f} against {m.base_logloss:.4f}, gain {_interval(m.logloss_gain_ci, 4)}",
        ),
        (
            m.slope is not None and SLOPES[0] <= m.slope <= SLOPES[1],
            "probabilities are all equal"
            if m.slope is None
            else f"reliability slope {m.slope:.2f} is outside {SLOPES[0]} to {SLOPES[1]}",
        ),
        (
            m.kept_share >= settings.min_kept,
            f"the gate keeps {m.kept_share:.0%} of the orders, want {settings.min_kept:.0%} or more",
        ),
        (
            gain is not None and gain[0] > 0,
            "no interval for the expectancy of kept orders"
            if gain is None or m.expectancy_gain_r is None
            else f"kept orders earn {m.expectancy_gain_r:+.3f} R more than all, interval {_interval(gain)} R",
        ),
        (
            m.dsr is not None and m.dsr >= settings.min_dsr,
            "no deflated Sharpe ratio: too few kept orders"
            if m.dsr is None
            else f"deflated Sharpe ratio {m.dsr:.3f} after {m.n_trials} trials, want {settings.min_dsr:g}",
        ),
        (
            m.n_trials == 1 if m.pbo is None else m.pbo < settings.max_pbo,
            f"no probability of overfitting for {m.n_trials} trials: nothing kept, or too few orders"
            if m.pbo is None
            else f"probability of overfitting {m.pbo:.2f}, want below {settings.max_pbo:g}",
        ),
    )
    reasons = tuple(reason for holds, reason in conditions if not holds)
    return ("no_skill" if reasons else "skill"), reasons


def _deflated(
    orders: Orders, settings: TrainSettings, trials: Sequence[TrialRecord], n_trials: int
) -> float | None:
    returns = excess_r(orders, settings.margin) if len(orders) else np.empty(0)
    if len(returns) < 4:
        return None
    ratios = [trial.sharpe for trial in trials]
    # Of a single setting one knows only how uncertain a Sharpe ratio of 0 is.
    variance = float(np.var(ratios, ddof=1)) if len(ratios) > 1 else 1.0 / (len(returns) - 1)
    value = deflated_sharpe(returns, n_trials, variance)
    return value if math.isfinite(value) else None


def _overfitting(trials: Sequence[TrialRecord]) -> float | None:
    # Random gates are among the candidates. Without them the choice among settings that are all good, and
    # differ by luck only, is below their median half of the time.
    if trials[0].series.shape[0] < PBO_LEAST_ORDERS:
        return None
    candidates = np.vstack([np.vstack((one.series, one.by_chance)) for one in _thinned(trials)])
    is_flat = not candidates.any()  # nothing is kept, or everything earns the same
    return None if is_flat else overfitting_probability(candidates, PBO_BLOCKS)


def _thinned(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return at most as many trials as the orders can tell apart, spread evenly, the best among them.

    To leave the figure out above some number of trials would reward trying more.
    """
    each = 1 + len(trials[0].by_chance)
    most = max(2, min(PBO_MOST_TRIALS, len(trials[0].series) // each))
    if len(trials) <= most:
        return list(trials)
    best = min(range(len(trials)), key=lambda at: trials[at].logloss)
    spread = np.linspace(0, len(trials) - 1, most - 1).round().astype(np.int64)
    return [trials[at] for at in sorted({best, *spread.tolist()})]


def _finite(value: float, otherwise: float) -> float:
    # An interval that cannot be drawn is as wide as it can be.
    return value if math.isfinite(value) else otherwise


def _interval(pair: tuple[float, float], digits: int = 3) -> str:
    return f"{pair[0]:+.{digits}f} to {pair[1]:+.{digits}f}"
