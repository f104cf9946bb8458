"""Tapes for the bucket tests: made by hypothesis, made from a seed, or real; and ways to run them."""

import itertools
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from hypothesis import strategies as st

from packet_builder.builder import BucketConfig, VolumeBucketBuilder
from packet_builder.packet import PACKET_DTYPE
from tests.naive import DAY_NS, Trade, volume_packets

TICK, LOT = Decimal("0.01"), Decimal("0.1")
XRP_CONFIG = BucketConfig(bucket_usd=10_000, tick_size=Decimal("0.0001"), lot_size=Decimal("0.1"))
MIDNIGHT_NS = 20_000 * DAY_NS


def config(bucket_units: int = 5_000, **changes: Any) -> BucketConfig:
    """Give settings whose bucket holds so many units of tick x lot."""
    return BucketConfig(
        **{
            "bucket_usd": bucket_units * TICK * LOT,
            "tick_size": TICK,
            "lot_size": LOT,
            "vpin_window": 3,
            **changes,
        }
    )


@st.composite
def tapes(draw: st.DrawFn, max_size: int = 60) -> list[Trade]:
    """Tapes with gaps, duplicates, steps back, zero sizes, giants, jumps, equal times and midnights."""
    ts_ns = MIDNIGHT_NS + draw(st.integers(0, 2 * DAY_NS))
    ticks, number = draw(st.integers(1, 10_000)), draw(st.sampled_from([0, 1, 1_000]))
    has_ids = draw(st.booleans()) or draw(st.booleans())
    # Round dollars: many trades end exactly with a bucket, and the next one opens it.
    is_round = draw(st.booleans())
    trades = []
    for _ in range(draw(st.integers(0, max_size))):
        ts_ns += draw(st.sampled_from([0, 0, 0, 1, 1_000_000, -5_000_000, DAY_NS // 5]))
        ticks = max(1, ticks + draw(st.sampled_from([0, 0, 0, 1, -1, 3, 500, -700])))
        lots = draw(st.one_of(st.integers(1, 30), st.sampled_from([0, 1, 400, 90_000])))
        if is_round:
            ticks, lots = draw(st.sampled_from([50, 100, 100, 200])), draw(st.sampled_from([5, 10, 20, 100]))
        trades.append(Trade(ts_ns, ticks, lots, draw(st.booleans()), number if has_ids else -1))
        number = max(0, number + draw(st.sampled_from([1, 1, 1, 1, 0, 2, 7, -1])))
    return trades


def seeded_tape(count: int, seed: int = 7) -> list[Trade]:
    """Make a random walk with clustered times, a few missing ids and a few large prints."""
    rng = np.random.default_rng(seed)
    ticks = 14_000 + np.cumsum(rng.choice([-1, 0, 0, 0, 0, 1], count))
    lots = rng.integers(1, 400, count) * np.where(rng.random(count) < 0.01, 300, 1)
    times = MIDNIGHT_NS + DAY_NS // 2 + np.cumsum(np.where(rng.random(count) < 0.6, 0, 60_000_000_000))
    ids = np.cumsum(np.where(rng.random(count) < 0.005, 4, 1))
    sides = np.cumsum(rng.random(count) < 0.2) % 2 == 0
    return [Trade(*row) for row in zip(*(c.tolist() for c in (times, ticks, lots, sides, ids)), strict=True)]


def real_tape(shared_data: Path, day: str = "2026-03-19") -> tuple[np.ndarray, ...]:
    """Read one recorded day of XRPUSDT as columns for `VolumeBucketBuilder.scan`."""
    table = pq.read_table(shared_data / "trades" / f"binance-spot_XRPUSDT_{day}.parquet")
    columns = {name: table[name].to_numpy() for name in table.column_names}
    return (
        columns["ts_ns"],
        np.rint(columns["price"] * 1e4).astype(np.int64),
        np.rint(columns["qty"] * 10).astype(np.int64),
        ~columns["buyer_maker"],
        columns["trade_id"],
    )


def coarsen(units: int, tape: Sequence[Trade], most: int) -> int:
    """Make the bucket larger where giants would fill more than so many."""
    return max(units, sum(trade.ticks * trade.lots for trade in tape) // most)


def as_columns(trades: Sequence[Trade]) -> tuple[np.ndarray, ...]:
    """Turn trades into the columns of `VolumeBucketBuilder.scan`."""
    columns = list(zip(*trades, strict=True)) or [()] * 5
    types = (np.int64, np.int64, np.int64, np.bool_, np.int64)
    return tuple(np.array(values, dtype) for values, dtype in zip(columns, types, strict=True))


def as_trades(columns: Sequence[np.ndarray]) -> list[Trade]:
    """Turn columns into trades."""
    return [Trade(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def join(parts: Sequence[np.ndarray]) -> bytes:
    """Give the bytes of packets, padding included."""
    return b"".join(part.tobytes() for part in parts)


def run_chunks(
    builder: VolumeBucketBuilder, columns: Sequence[np.ndarray], cuts: Sequence[int]
) -> list[np.ndarray]:
    """Scan the columns cut at the given places."""
    edges = [0, *sorted(cuts), len(columns[0])]
    return [
        builder.scan(*(column[start:stop] for column in columns)) for start, stop in itertools.pairwise(edges)
    ]


def run_live(builder: VolumeBucketBuilder, trades: Sequence[Trade]) -> list[np.ndarray]:
    """Push trade after trade, as floats nearest to the decimal prices and sizes."""
    tick, lot = Decimal(builder.config.tick_size), Decimal(builder.config.lot_size)
    parts = []
    for trade in trades:
        price, size = float(trade.ticks * tick), float(trade.lots * lot)
        if builder.push(trade.ts_ns, price, size, trade.is_buyer, trade.trade_id):
            parts.append(builder.closed)
    return parts


def naive_bytes(trades: Sequence[Trade], settings: BucketConfig) -> bytes:
    """Give the bytes that the definition in `tests/naive.py` yields."""
    rows = volume_packets(
        list(trades),
        bucket_units=settings.bucket_units,
        tick=settings.tick_size.as_integer_ratio(),
        lot=settings.lot_size.as_integer_ratio(),
        vpin_window=settings.vpin_window,
        anchored=settings.anchor == "utc_day",
    )
    packets = np.zeros(len(rows), PACKET_DTYPE)
    packets[:] = [tuple(row[name] for name in PACKET_DTYPE.names or ()) for row in rows]
    return packets.tobytes()
