"""What the gate was worth: money saved or lost by every cancel, against the two trivial gates.

A gate that cancels everything looks wise wherever targets do not pay their fees. Skill is therefore asked of
the orders it *kept*: at least three in ten, with a higher expectancy than the ungated orders, and of no fewer
than thirty orders that ended.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml.shadow import Followed
from ml.validation import Interval, block_bootstrap

LEAST_KEPT_SHARE: Final = 0.3
LEAST_ENDED: Final = 30
"""Orders that ended: an interval of fewer says too little."""
ROUNDS: Final = 2_000

type Floats = NDArray[np.float64]


def ledger(orders: Sequence[Followed], seed: int = 0, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return the ledger of a run.

    Parameters
    ----------
    orders
        Every order that filled or was cancelled, kept and cancelled ones, in any order.
    seed, rounds
        Of the redraws.

    Returns
    -------
    dict
        Counts; ``saved`` by the cancels in R and in quote currency with 95 % intervals by blocks of time
        (positive: the cancelled orders would have lost); expectancy per kept and per ungated order and the
        gain between them; ``baselines``; ``has_skill`` with the reasons why not. None where a figure is not
        defined: too few orders, or a single block of time.
    """
    rows = sorted(orders, key=lambda one: one.decided_ns)
    ended = [one for one in rows if math.isfinite(one.net_r)]
    cancelled = np.array([one.is_cancelled for one in ended], np.float64)
    net_r = np.array([one.net_r for one in ended], np.float64)
    money = np.array([one.money for one in ended], np.float64)
    times = np.array([one.decided_ns for one in ended], np.int64)
    kept_share = float(1 - cancelled.mean()) if len(ended) else None
    gain, gain_ci = _gain(cancelled, net_r, times, rounds, seed)
    reasons = _doubts(len(ended), kept_share, gain, gain_ci)
    return {
        "orders_kept": int((1 - cancelled).sum()),
        "orders_cancelled": sum(one.is_cancelled for one in rows),
        "cancelled_would_have_filled": int(cancelled.sum()),
        "cancelled_never_filled": sum(one.is_cancelled and one.end == "not_filled" for one in rows),
        "cancelled_still_open": sum(one.is_cancelled and one.end == "open" for one in rows),
        "cancelled_would_have_reached": {
            end: sum(one.is_cancelled and one.end == end for one in rows) for end in ("target", "stop")
        },
        "kept_share": kept_share,
        "saved_r": 0.0 - float(cancelled @ net_r),  # never -0.0
        "saved_r_ci": _interval(lambda drawn: -float(drawn @ (cancelled * net_r)), times, rounds, seed),
        "saved_money": 0.0 - float(cancelled @ money),
        "saved_money_ci": _interval(lambda drawn: -float(drawn @ (cancelled * money)), times, rounds, seed),
        "expectancy_kept_r": _mean(net_r[cancelled == 0]),
        "expectancy_ungated_r": _mean(net_r),
        "expectancy_gain_r": gain,
        "expectancy_gain_ci": gain_ci,
        "baselines": _baselines(cancelled, net_r, rounds, seed),
        "has_skill": not reasons,
        "doubts": reasons,
    }


def doubted(report: Mapping[str, Any], doubt: str) -> dict[str, Any]:
    """Return a ledger with another reason why its gate has no skill."""
    return {**report, "has_skill": False, "doubts": [*report["doubts"], doubt]}


def _gain(
    cancelled: Floats, net_r: Floats, times: NDArray[np.int64], rounds: int, seed: int
) -> tuple[float | None, list[float] | None]:
    """Return the expectancy per kept order above the ungated one, with its interval."""
    kept = 1 - cancelled

    def statistic(drawn: Floats) -> float:
        weight = drawn * kept
        if not weight.any():
            return math.nan
        return float(weight @ net_r / weight.sum() - drawn @ net_r / drawn.sum())

    if not kept.any():
        return None, None
    return statistic(np.ones(len(net_r))), _interval(statistic, times, rounds, seed)


def _baselines(cancelled: Floats, net_r: Floats, rounds: int, seed: int) -> dict[str, Any]:
    """Return what cancelling everything, and as many orders at random, would have saved, in R.

    A random gate keeps orders of the ungated expectancy; how often it keeps better ones than ours by luck is
    the share of redraws at or above the gate's own.
    """
    count, total = int(cancelled.sum()), len(net_r)
    generator = np.random.default_rng(seed)
    saved = np.array([-net_r[generator.permutation(total)[:count]].sum() for _ in range(rounds)])
    own = -float(cancelled @ net_r)
    is_defined = 0 < count < total
    return {
        "cancel_all_saved_r": float(-net_r.sum()),
        "random_cancel_saved_r": float(-net_r.mean() * count) if total else 0.0,
        "random_cancel_saved_r_ci": np.quantile(saved, (0.025, 0.975)).tolist() if is_defined else None,
        "random_at_least_as_good": float((saved >= own - 1e-12).mean()) if is_defined else None,
    }


def _doubts(
    count: int, kept_share: float | None, gain: float | None, gain_ci: list[float] | None
) -> list[str]:
    if kept_share is None:
        return ["no order ended"]
    doubts = []
    if count < LEAST_ENDED:
        doubts.append(f"too few orders: {count} ended, at least {LEAST_ENDED} are wanted")
    if kept_share < LEAST_KEPT_SHARE:
        doubts.append(f"kept {kept_share:.0%} of the orders, at least {LEAST_KEPT_SHARE:.0%} are wanted")
    if gain is None or gain_ci is None:
        doubts.append("no interval: no order kept, or a single block of time")
    elif not gain_ci[0] > 0:
        low, high = gain_ci
        doubts.append(f"the gain of {gain:+.3f} R per kept order ({low:+.3f} to {high:+.3f}) may be none")
    return doubts


def _interval(statistic: Any, times: NDArray[np.int64], rounds: int, seed: int) -> list[float] | None:
    found: Interval = block_bootstrap(statistic, times, rounds, seed)
    return [found.low, found.high] if math.isfinite(found.low) else None


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


__all__ = ["LEAST_ENDED", "LEAST_KEPT_SHARE", "doubted", "ledger"]
