"""Datasets whose truth is known: one with a planted signal, and one of a random walk, where there is none."""

import numpy as np

from ml.dataset import Dataset

MINUTE_NS = 60_000_000_000
START_NS = 20_000 * 86_400_000_000_000
META = {
    "streams": {
        "XRPUSDT.BINANCE": {
            "venue": "BINANCE",
            "stream": "trades",
            "bucket_usd": "10000",
            "tick_size": "0.0001",
            "lot_size": "0.1",
            "synthetic": True,
            "files": [{"name": "made-up.parquet", "rows": 1, "missing_ids": 2}],
        }
    },
    "fills": {"queue_position": True, "fees": {"XRPUSDT.BINANCE": {"maker": "0.0002", "taker": "0.0005"}}},
    "latency_ms": 50,
    "lookback_secs": 60.0,
}


def planted(orders: int = 700, strength: float = 1.5, seed: int = 0, decisions: int = 2) -> Dataset:
    """Make orders whose outcome follows the flow at each decision; a tenth never fills."""
    generator = np.random.default_rng(seed)
    flow = generator.normal(size=orders)
    chance = 1 / (1 + np.exp(-(strength * flow - 0.3)))
    won = generator.random(orders) < chance
    net_r = np.where(won, 1.9, -1.1)
    net_r[generator.random(orders) < 0.1] = np.nan
    rows = orders * decisions
    order = np.repeat(np.arange(orders), decisions)
    t0 = START_NS + order * 25 * MINUTE_NS + np.tile(np.arange(decisions), orders) * MINUTE_NS
    x = generator.normal(size=(rows, 5))
    x[:, 1] = flow[order] + generator.normal(0, 0.3, rows)
    x[generator.random((rows, 5)) < 0.02] = np.nan
    return Dataset(
        names=("noise_a", "flow", "noise_b", "noise_c", "noise_d"),
        schema_hash="5" * 64,
        x=x,
        y=np.where(np.isfinite(net_r[order]), won[order], False).astype(np.int8),
        net_r=net_r[order],
        t0_ns=t0,
        t1_ns=START_NS + order * 25 * MINUTE_NS + 20 * MINUTE_NS,
        order_id=order.astype(np.int64),
        weight=np.ones(rows),
        day=t0 // (1_440 * MINUTE_NS),
        p_star=np.full(rows, 1.1 / 3.0),
        meta=dict(META),
    )


def random_walk(steps: int = 24_000, every: int = 3, barrier: float = 10.0, seed: int = 0) -> Dataset:
    """Make a driftless walk with ordinary features and triple-barrier labels that overlap heavily."""
    generator = np.random.default_rng(seed)
    price = np.cumsum(generator.normal(size=steps))
    history, horizon = 400, 600
    at = np.arange(history, steps - horizon, every)
    ahead = price[at[:, None] + np.arange(1, horizon + 1)] - price[at][:, None]
    hit = np.abs(ahead) >= barrier
    first = np.where(hit.any(axis=1), hit.argmax(axis=1), horizon - 1)
    won = ahead[np.arange(len(at)), first] > 0
    means = {span: np.convolve(price, np.ones(span) / span)[:steps] for span in (20, 60, 150, 400)}
    columns = [price[at] - price[at - span] for span in (5, 20, 60, 150, 400)]
    columns += [price[at] - mean[at] for mean in means.values()]
    columns += [np.array([np.std(np.diff(price[one - span : one + 1])) for one in at]) for span in (60, 400)]
    t0 = START_NS + at * MINUTE_NS
    return Dataset(
        names=tuple(f"f{number}" for number in range(len(columns))),
        schema_hash="7" * 64,
        x=np.column_stack(columns),
        y=won.astype(np.int8),
        net_r=np.where(won, 1.0, -1.0),
        t0_ns=t0,
        t1_ns=t0 + (first + 1) * MINUTE_NS,
        order_id=np.arange(len(at)),
        weight=np.ones(len(at)),
        day=t0 // (1_440 * MINUTE_NS),
        p_star=np.full(len(at), 0.5),
        meta=dict(META),
    )
