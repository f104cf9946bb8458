"""Makers of bars for the detector tests: charts, hypothesis strategies, random walks and real files.

Prices of made-up bars are small integer multiples of the tick, so that ties, plateaus, gaps and
zero-range bars, where definitions differ, occur in nearly every example.
"""

import csv
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from hypothesis import strategies as st
from numpy.typing import NDArray

from packet_builder.builder import BucketConfig, VolumeBucketBuilder

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
# A Monday, so that weeks and days both start on the first bar of a made-up chart.
FIRST_OPEN_NS = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * SECOND_NS


class Bar(NamedTuple):
    """One closed bar: times in UNIX ns, prices in quote units, volumes in base units."""

    ts_open_ns: int
    ts_close_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    buy_volume: float


class Columns(NamedTuple):
    """The same bars column by column, each of shape (n,): the arguments of ``StructureEngine.scan``."""

    ts_open_ns: NDArray[np.int64]
    ts_close_ns: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    buy_volume: NDArray[np.float64]

    @property
    def count(self) -> int:
        """Number of bars."""
        return len(self.ts_close_ns)

    def part(self, start: int, stop: int) -> "Columns":
        """Return bars ``start`` up to, not including, ``stop``."""
        return Columns(*(column[start:stop].copy() for column in self))

    def bars(self) -> list[Bar]:
        """Return the bars row by row as plain Python numbers."""
        return [Bar(*row) for row in zip(*(column.tolist() for column in self), strict=True)]


def columns(bars: Sequence[Bar]) -> Columns:
    """Turn rows into columns."""
    integers = [np.array([bar[i] for bar in bars], dtype=np.int64) for i in range(2)]
    floats = [np.array([bar[i] for bar in bars], dtype=np.float64) for i in range(2, 8)]
    return Columns(*integers, *floats)


def from_prices(
    prices: Iterable[tuple[float, float, float, float]],
    *,
    tick: float = 1.0,
    step_ns: int = HOUR_NS,
    volumes: Iterable[tuple[float, float]] | None = None,
) -> Columns:
    """Make bars of equal duration from (open, high, low, close) in ticks."""
    rows = []
    quantities = iter(volumes) if volumes is not None else None
    for seq, (open_, high, low, close) in enumerate(prices):
        volume, buy_volume = next(quantities) if quantities is not None else (10.0, 6.0)
        start = FIRST_OPEN_NS + seq * step_ns
        rows.append(
            Bar(
                start,
                start + step_ns,
                open_ * tick,
                high * tick,
                low * tick,
                close * tick,
                volume,
                buy_volume,
            )
        )
    return columns(rows)


def _walk_prices(rng: random.Random, count: int) -> Iterable[tuple[int, int, int, int]]:
    """Yield integer bars that change between quiet, trending, jumping and zero-range stretches."""
    price, drift, spread, left = 10_000, 0, 2, 0
    for _ in range(count):
        if left == 0:
            drift = rng.choice([-2, -1, 0, 0, 1, 2])
            spread = rng.choice([0, 1, 2, 3, 6])
            left = rng.randint(1, 15)
        left -= 1
        if rng.random() < 0.15:
            price += rng.randint(-8, 8)  # a gap between two bars
        if rng.random() < 0.08:
            yield price, price, price, price  # one big trade split over buckets
            continue
        body = rng.randint(-spread, spread) + drift
        if rng.random() < 0.06:
            body += rng.choice([-1, 1]) * rng.randint(6, 20)  # an impulse
        close = price + body
        high = max(price, close) + rng.choice([0, 0, 0, 1, 2, spread])
        low = min(price, close) - rng.choice([0, 0, 0, 1, 2, spread])
        yield price, high, low, close
        price = close


def random_ticks(seed: int, count: int, *, tick: float = 1.0, step_ns: int = HOUR_NS) -> Columns:
    """Make a seeded chart of integer-tick bars with many ties and all the oddities that are legal."""
    rng = random.Random(seed)
    prices = list(_walk_prices(rng, count))
    volumes = [(float(rng.randint(1, 40)), 0.0) for _ in range(count)]
    volumes = [
        (v, float(rng.randint(0, int(v)))) if rng.random() < 0.9 else (v, float("nan")) for v, _ in volumes
    ]
    return from_prices(prices, tick=tick, step_ns=step_ns, volumes=volumes)


@st.composite
def pencil_charts(draw: st.DrawFn, max_bars: int = 40) -> Columns:
    """Draw short charts bar by bar, prices within twelve ticks: shrinks to something one can draw."""
    rows = draw(
        st.lists(
            st.tuples(*(st.integers(100, 112) for _ in range(4))),
            min_size=1,
            max_size=max_bars,
        )
    )
    return from_prices((a, max(a, b, c, d), min(a, b, c, d), d) for a, b, c, d in rows)


@st.composite
def tick_charts(draw: st.DrawFn, min_bars: int = 30, max_bars: int = 260) -> Columns:
    """Draw longer charts from a seed: every structure, day and week changes, plateaus and gaps."""
    seed = draw(st.integers(0, 2**32 - 1))
    count = draw(st.integers(min_bars, max_bars))
    step = draw(st.sampled_from([7 * MINUTE_NS, HOUR_NS, 9 * HOUR_NS]))
    return random_ticks(seed, count, step_ns=step)


WALK_STEPS = 12
WALK_TICK = 0.5


def walk_path(seed: int, count: int) -> NDArray[np.int64]:
    """Return the price of a symmetric random walk in ticks, before and after each of its ``count`` moves."""
    moves = np.random.default_rng(seed).choice(np.array([-1, 1]), size=count)
    return 100_000 + np.concatenate([[0], np.cumsum(moves)]).astype(np.int64)


def bars_of_walk(path: NDArray[np.int64]) -> Columns:
    """Cut a path into bars of `WALK_STEPS` moves each: bar t closes at ``path[(t + 1) * WALK_STEPS]``."""
    count = (len(path) - 1) // WALK_STEPS
    starts = np.arange(count, dtype=np.int64) * WALK_STEPS
    windows = path[starts[:, None] + np.arange(WALK_STEPS + 1)] * WALK_TICK
    ts = FIRST_OPEN_NS + np.arange(count, dtype=np.int64) * (5 * MINUTE_NS)
    volume = 1.0 + np.arange(count) % 7
    open_, high, low, close = windows[:, 0], windows.max(axis=1), windows.min(axis=1), windows[:, -1]
    return Columns(ts, ts + 5 * MINUTE_NS, open_, high, low, close, volume, np.floor(volume / 2))


def random_walk(seed: int, count: int) -> Columns:
    """Make bars of a symmetric random walk: no rule that acts on closed bars can have an edge on it."""
    return bars_of_walk(walk_path(seed, count * WALK_STEPS))


def mirrored(chart: Columns) -> Columns:
    """Negate prices and swap high with low."""
    return chart._replace(open=-chart.open, high=-chart.low, low=-chart.high, close=-chart.close)


def scaled(chart: Columns, factor: float) -> Columns:
    """Multiply all prices."""
    return chart._replace(
        open=chart.open * factor, high=chart.high * factor, low=chart.low * factor, close=chart.close * factor
    )


def load_eurusd(shared_data: Path, count: int | None = None) -> Columns:
    """Load the 15-minute EURUSD bars that the oracle's result files belong to (tick 0.00001)."""
    rows = []
    with (shared_data / "oracle_eurusd_15m" / "EURUSD_15M.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            start = int(datetime.strptime(row["Date"], "%Y.%m.%d %H:%M:%S").replace(tzinfo=UTC).timestamp())
            prices = (float(row[name]) for name in ("Open", "High", "Low", "Close"))
            open_ns = start * SECOND_NS
            rows.append(Bar(open_ns, open_ns + 15 * MINUTE_NS, *prices, float(row["Tickvol"]), float("nan")))
            if len(rows) == count:
                break
    return columns(rows)


def load_klines(shared_data: Path, symbol: str, start: int = 0, count: int | None = None) -> Columns:
    """Load real 5-minute klines; the files carry no aggressor side, hence NaN buy volume."""
    table = pq.read_table(shared_data / "klines_5m" / f"{symbol}.parquet")
    table = table.slice(start, count)
    open_ns = table["ts_open_ns"].to_numpy()
    prices = [
        table[name].to_numpy().astype(np.float64) for name in ("open", "high", "low", "close", "volume")
    ]
    return Columns(open_ns, open_ns + 5 * MINUTE_NS, *prices, np.full(len(open_ns), np.nan))


def load_buckets(shared_data: Path, trades: int = 400_000, bucket_usd: int = 5_000) -> Columns:
    """Build equal-dollar buckets from real XRPUSDT trades of one day (tick 0.0001, lot 0.1)."""
    table = pq.read_table(shared_data / "trades" / "binance-spot_XRPUSDT_2026-03-18.parquet").slice(0, trades)
    builder = VolumeBucketBuilder(BucketConfig(bucket_usd, Decimal("0.0001"), Decimal("0.1")))
    packets = builder.scan(
        table["ts_ns"].to_numpy(),
        np.rint(table["price"].to_numpy() / 0.0001).astype(np.int64),
        np.rint(table["qty"].to_numpy() / 0.1).astype(np.int64),
        ~table["buyer_maker"].to_numpy(),
        table["trade_id"].to_numpy(),
    )
    names = ("ts_open_ns", "ts_close_ns", "open", "high", "low", "close", "total_qty", "buy_qty")
    return Columns(*(packets[name].copy() for name in names))
