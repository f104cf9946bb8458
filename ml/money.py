"""What the gate is worth in money: orders kept against all of them, in net R per order.

An order with several decisions is cancelled by the first of them that says so. Orders that never filled cost
and earn nothing and are left out. Cancelling everything looks wise where targets do not pay their fees, so
the measure is the expectancy per *kept* order; a random cancel at the same rate has the ungated one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.validation import Interval, block_bootstrap, label_span_ns, sharpe

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Orders:
    """Filled orders in order of their first decision, columns of shape (m,).

    Parameters
    ----------
    t0_ns, t1_ns
        First decision, and when the label is known, UNIX ns.
    edge
        Smallest probability - p* over the decisions of the order: it is kept at a margin up to this.
    net_r
        Profit after fees over the risk of the order.
    """

    t0_ns: NDArray[np.int64]
    t1_ns: NDArray[np.int64]
    edge: Floats
    net_r: Floats

    def __len__(self) -> int:
        return len(self.t0_ns)

    def kept(self, margin: float) -> NDArray[np.bool_]:
        """Return which orders the rule ``cancel if p < p* + margin`` keeps, shape (m,)."""
        return np.asarray(self.edge >= margin, dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Money:
    """Net R per order: kept by the gate, all, and the difference with interval; None where none is kept."""

    kept_share: float
    expectancy_kept_r: float | None
    expectancy_all_r: float | None
    gain_r: float | None
    gain: Interval | None


def orders_of(
    order_id: NDArray[np.int64],
    t0_ns: NDArray[np.int64],
    t1_ns: NDArray[np.int64],
    probability: Floats,
    p_star: Floats,
    net_r: Floats,
) -> Orders:
    """Return one row per filled order.

    Parameters
    ----------
    order_id, t0_ns, t1_ns, probability, p_star, net_r
        Of the decisions, shape (n,); rows whose probability, p* or R is not finite are left out.
    """
    valid = np.isfinite(probability) & np.isfinite(net_r) & np.isfinite(p_star)
    found, first, inverse = np.unique(order_id[valid], return_index=True, return_inverse=True)
    edge = np.full(len(found), np.inf)
    np.minimum.at(edge, inverse, (probability - p_star)[valid])
    start = np.full(len(found), np.iinfo(np.int64).max)
    np.minimum.at(start, inverse, t0_ns[valid])
    end = np.zeros(len(found), dtype=np.int64)
    np.maximum.at(end, inverse, t1_ns[valid])
    order = np.argsort(start, kind="stable")
    return Orders(start[order], end[order], edge[order], net_r[valid][first][order])


def money(orders: Orders, margin: float, rounds: int, seed: int) -> Money:
    """Compare the kept orders with all of them.

    Parameters
    ----------
    orders
        See `orders_of`.
    margin
        Of the decision rule, a probability.
    rounds, seed
        Of the block bootstrap.
    """
    if not len(orders):
        return Money(0.0, None, None, None, None)
    kept = orders.kept(margin)
    average = float(np.mean(orders.net_r))
    if not kept.any():
        return Money(0.0, None, average, None, None)
    weight_kept = kept.astype(np.float64)

    def gain(counts: Floats) -> float:
        drawn = counts * weight_kept
        if not drawn.any():
            return float("nan")
        return float(drawn @ orders.net_r / drawn.sum() - counts @ orders.net_r / counts.sum())

    expectancy = float(np.mean(orders.net_r[kept]))
    shortest_ns = label_span_ns(orders.t0_ns, orders.t1_ns)
    interval = block_bootstrap(gain, orders.t0_ns, rounds, seed, shortest_ns=shortest_ns)
    return Money(float(np.mean(kept)), expectancy, average, expectancy - average, interval)


def excess_r(orders: Orders, margin: float) -> Floats:
    """Return R of the kept orders above the ungated expectancy, shape (k,): what the gate adds per order."""
    return np.asarray(orders.net_r[orders.kept(margin)] - np.mean(orders.net_r), dtype=np.float64)


def excess_series(orders: Orders, margin: float) -> Floats:
    """Return `excess_r` with 0 for cancelled orders, shape (m,), to compare trials over the same time."""
    above = orders.net_r - np.mean(orders.net_r) if len(orders) else orders.net_r
    return np.asarray(np.where(orders.kept(margin), above, 0.0))


def random_series(orders: Orders, margin: float, count: int, seed: int) -> Floats:
    """Return `excess_series` of random cancels at the rate of the gate, shape (count, m)."""
    generator = np.random.default_rng(seed)
    kept = orders.kept(margin)
    above = orders.net_r - np.mean(orders.net_r) if len(orders) else orders.net_r
    series = [np.where(generator.permutation(kept), above, 0.0) for _ in range(count)]
    return np.asarray(series, dtype=np.float64)


def gate_sharpe(orders: Orders, margin: float) -> float:
    """Return the Sharpe ratio per kept order of `excess_r`; 0 where fewer than two are kept."""
    return sharpe(excess_r(orders, margin)) if len(orders) else 0.0


def threshold_curve(orders: Orders, points: int = 41) -> list[tuple[float, float, float | None]]:
    """Return (margin, kept share, net R per kept order) over the range of margins that changes anything."""
    if not len(orders):
        return []
    low, high = np.quantile(orders.edge, (0.0, 0.98))
    curve: list[tuple[float, float, float | None]] = []
    for margin in np.linspace(low, high, points):
        kept = orders.kept(float(margin))
        expectancy = float(np.mean(orders.net_r[kept])) if kept.any() else None
        curve.append((float(margin), float(np.mean(kept)), expectancy))
    return curve
