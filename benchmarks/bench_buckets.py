"""Buckets: time per trade of the kernel and of a live tick, against the memory limit and other builders.

Goals: at most 6 times `np.sum` over the same four arrays (the bandwidth limit); at least 8 times faster
than pandas and polars group-bys, 200 times faster than Nautilus' value bars. A regression means that reading
Parquet is no longer the slowest part of a run, or that a live tick costs more than Nautilus' own work on it.

    python benchmarks/bench_buckets.py [--trades 3400000] [--repeat 7] [--json]

CPU time on one core (polars is held to one thread), medians of interleaved repetitions. The kernel makes
36 columns. The group-bys make the 24 of them that they have functions for (goal), or only eight: OHLC,
dollars, dollars bought, count, close time (no goal). They do not split trades, so their "10,000 USD" buckets
hold anything. Nautilus makes OHLC and volume. Real XRPUSDT trades (2026-03-18..24) are used where the shared
data is present (SHARED_DATA), else a seeded random walk.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

os.environ["POLARS_MAX_THREADS"] = "1"  # read when polars is imported

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
from nautilus_trader.data.aggregation import ValueBarAggregator
from nautilus_trader.model.data import BarType, TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import TradeId

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from packet_builder.builder import BucketConfig, VolumeBucketBuilder  # noqa: E402
from packet_builder.kernels import volume_bucket  # noqa: E402
from packet_builder.packet import PACKET_DTYPE  # noqa: E402
from runtime.instruments import make_instrument  # noqa: E402

SHARED = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
BUCKET_USD = 10_000
CONFIG = BucketConfig(bucket_usd=BUCKET_USD, tick_size=Decimal("0.0001"), lot_size=Decimal("0.1"))
NAUTILUS_TRADES = 50_000
LIVE_TRADES = 200_000
GOALS = {
    "kernel / np.sum": ("at most", 6.0),
    "pandas / kernel": ("at least", 8.0),
    "polars / kernel": ("at least", 8.0),
    "Nautilus / kernel": ("at least", 200.0),
}


def load(count: int) -> tuple[str, tuple[np.ndarray, ...]]:
    """Return the name of the data and up to `count` trades as columns of `VolumeBucketBuilder.scan`."""
    paths = sorted(SHARED.glob("trades/binance-spot_XRPUSDT_2026-03-*.parquet"))[1:]
    if not paths:
        print(f"no real trades at {SHARED}: seeded random walk instead", file=sys.stderr)
        rng = np.random.default_rng(5)
        return "synthetic", (
            10**18 + np.cumsum(np.where(rng.random(count) < 0.85, 0, 1_000_000_000)),
            14_000 + np.cumsum(rng.choice([-1, 1, 0], count, p=[0.04, 0.04, 0.92])),
            np.exp(rng.normal(6.0, 2.0, count)).astype(np.int64) + 1,
            np.cumsum(rng.random(count) < 0.1) % 2 == 0,
            np.arange(count),
        )
    tables = [pq.read_table(path) for path in paths]
    columns = {
        name: np.concatenate([table[name].to_numpy() for table in tables])[:count]
        for name in ("ts_ns", "price", "qty", "buyer_maker", "trade_id")
    }
    return "real XRPUSDT", (
        columns["ts_ns"],
        np.rint(columns["price"] * 1e4).astype(np.int64),
        np.rint(columns["qty"] * 10).astype(np.int64),
        ~columns["buyer_maker"],
        columns["trade_id"],
    )


def with_pandas(columns: tuple[np.ndarray, ...], *, is_bare: bool) -> pd.DataFrame:
    """Group by cumulated dollars: OHLC and dollars bought (bare), or all that a group-by can do."""
    ts_ns, price, qty, is_buyer, ids = columns
    usd = price * qty
    key = (usd.cumsum() // BUCKET_USD).astype(np.int64)
    frame = {"ts_ns": ts_ns, "price": price, "usd": usd, "buy_usd": np.where(is_buyer, usd, 0.0)}
    measures = {
        "open": ("price", "first"), "high": ("price", "max"), "low": ("price", "min"),
        "close": ("price", "last"), "usd": ("usd", "sum"), "buy_usd": ("buy_usd", "sum"),
        "count": ("usd", "size"), "ts_close_ns": ("ts_ns", "last"),
    }  # fmt: skip
    if is_bare:
        return pd.DataFrame(frame).groupby(key, sort=False).agg(**measures)
    move = np.zeros(len(price))
    np.log(price[1:] / price[:-1], out=move[1:])
    square = move * move
    frame |= {
        "qty": qty, "buy_qty": np.where(is_buyer, qty, 0.0), "is_buyer": is_buyer, "id": ids, "move": move,
        "path": np.abs(move), "square": square, "up": np.where(move > 0.0, square, 0.0),
    }  # fmt: skip
    measures |= {
        "ts_open_ns": ("ts_ns", "first"), "first_id": ("id", "first"), "last_id": ("id", "last"),
        "qty": ("qty", "sum"), "buy_qty": ("buy_qty", "sum"), "buy_count": ("is_buyer", "sum"),
        "log_return": ("move", "sum"), "path": ("path", "sum"), "variance": ("square", "sum"),
        "up": ("up", "sum"), "largest": ("usd", "max"),
    }  # fmt: skip
    bars = pd.DataFrame(frame).groupby(key, sort=False).agg(**measures)
    bars["sell_usd"] = bars["usd"] - bars["buy_usd"]
    bars["vwap"] = bars["usd"] / bars["qty"]
    bars["imbalance"] = (2 * bars["buy_usd"] - bars["usd"]) / bars["usd"]
    bars["vpin"] = bars["imbalance"].abs().rolling(50).mean()
    bars["efficiency"] = bars["log_return"].abs() / bars["path"]
    return bars


def with_polars(columns: tuple[np.ndarray, ...], *, is_bare: bool, is_hinted: bool = False) -> pl.DataFrame:
    """As `with_pandas`, in the order of the trades; `is_hinted` tells polars that the keys ascend."""
    ts_ns, price, qty, is_buyer, ids = columns
    frame = pl.DataFrame({"ts_ns": ts_ns, "price": price, "qty": qty, "is_buyer": is_buyer, "id": ids}).lazy()
    frame = frame.with_columns(usd=pl.col("price") * pl.col("qty"))
    bucket = (pl.col("usd").cum_sum() // BUCKET_USD).cast(pl.Int64)
    frame = frame.with_columns(
        bucket=bucket.set_sorted() if is_hinted else bucket,
        buy_usd=pl.when("is_buyer").then("usd").otherwise(0.0),
    )
    col = pl.col
    measures = {
        "open": col("price").first(), "high": col("price").max(), "low": col("price").min(),
        "close": col("price").last(), "usd": col("usd").sum(), "buy_usd": col("buy_usd").sum(),
        "count": pl.len(), "ts_close_ns": col("ts_ns").last(),
    }  # fmt: skip
    if is_bare:
        return frame.group_by("bucket", maintain_order=True).agg(**measures).collect()
    move = (col("price") / col("price").shift(1)).log().fill_null(0.0)
    frame = frame.with_columns(move=move, buy_qty=pl.when("is_buyer").then("qty").otherwise(0.0))
    frame = frame.with_columns(square=col("move") * col("move"), path=col("move").abs())
    frame = frame.with_columns(up=pl.when(col("move") > 0.0).then("square").otherwise(0.0))
    measures |= {
        "ts_open_ns": col("ts_ns").first(), "first_id": col("id").first(), "last_id": col("id").last(),
        "qty": col("qty").sum(), "buy_qty": col("buy_qty").sum(), "buy_count": col("is_buyer").sum(),
        "log_return": col("move").sum(), "path": col("path").sum(), "variance": col("square").sum(),
        "up": col("up").sum(), "largest": col("usd").max(),
    }  # fmt: skip
    bars = frame.group_by("bucket", maintain_order=True).agg(**measures)
    bars = bars.with_columns(
        sell_usd=col("usd") - col("buy_usd"),
        vwap=col("usd") / col("qty"),
        imbalance=(2 * col("buy_usd") - col("usd")) / col("usd"),
        efficiency=col("log_return").abs() / col("path"),
    )
    return bars.with_columns(vpin=col("imbalance").abs().rolling_mean(50)).collect()


class PlainBuilder:
    """What one would write with floats: twelve measures, trades split; no VPIN, no gaps, no days."""

    def __init__(self) -> None:
        self.packets: list[tuple[float, ...]] = []
        self.last = 0.0
        self.start(0.0)

    def start(self, price: float) -> None:
        self.open = self.high = self.low = price
        self.usd = self.buy = self.qty = self.up = self.down = self.path = 0.0
        self.count = 0
        self.ts_open = 0

    def update(self, ts_ns: int, price: float, size: float, is_buyer: bool) -> int:
        closed = 0
        usd = price * size
        move = math.log(price / self.last) if self.last and price != self.last else 0.0
        self.last = price
        while True:
            if not self.count:
                self.start(price)
                self.ts_open = ts_ns
            if price > self.high:
                self.high = price
            elif price < self.low:
                self.low = price
            piece = min(usd, BUCKET_USD - self.usd)
            self.usd += piece
            self.qty += piece / price
            if is_buyer:
                self.buy += piece
            if move > 0.0:
                self.up += move * move
                self.path += move
            elif move < 0.0:
                self.down += move * move
                self.path -= move
            move = 0.0
            self.count += 1
            if self.usd < BUCKET_USD:
                return closed
            self.packets.append(
                (
                    self.ts_open, ts_ns, self.open, self.high, self.low, price, self.usd, self.buy,
                    self.usd / self.qty, self.up + self.down, self.path, self.count,
                )
            )  # fmt: skip
            self.usd, self.count = 0.0, 0
            closed += 1
            usd -= piece
            if usd <= 0.0:
                return closed


def main() -> int:
    """Measure, check the results, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trades", type=int, default=3_400_000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    name, columns = load(arguments.trades)
    ts_ns, ticks, lots, is_buyer, ids = columns
    count = len(ts_ns)
    price, qty = ticks / 1e4, lots / 10

    instrument = make_instrument("binance", "spot", "XRPUSDT", CONFIG.tick_size, CONFIG.lot_size)
    bar_type = BarType.from_str(f"{instrument.id}-{BUCKET_USD}-VALUE-LAST-INTERNAL")
    few = min(NAUTILUS_TRADES, count)
    objects = [
        TradeTick(
            instrument.id,
            instrument.make_price(price[i]),
            instrument.make_qty(qty[i]),
            AggressorSide.BUYER if is_buyer[i] else AggressorSide.SELLER,
            TradeId(str(ids[i])),
            int(ts_ns[i]),
            int(ts_ns[i]),
        )
        for i in range(few)
    ]
    live = min(LIVE_TRADES, count)
    ticks_as_floats = list(zip(*(c[:live].tolist() for c in (ts_ns, price, qty, is_buyer, ids)), strict=True))

    floats = (ts_ns, price, qty, is_buyer, ids)
    state = VolumeBucketBuilder(CONFIG)
    out = np.zeros(count // 10 + 16, PACKET_DTYPE)

    def kernel() -> Any:
        state.reset()
        return volume_bucket.scan(state._heads, state._ring, *columns, out)

    def scan() -> Any:
        return VolumeBucketBuilder(CONFIG).scan(*columns)

    def sums() -> Any:
        return int(ts_ns.sum()), int(ticks.sum()), int(lots.sum()), int(is_buyer.sum())

    def nautilus() -> Any:
        bars: list[Any] = []
        aggregator = ValueBarAggregator(instrument, bar_type, bars.append)
        for tick in objects:
            aggregator.handle_trade_tick(tick)
        return bars

    def empty() -> Any:
        def nothing(ts_ns: int, price: float, size: float, is_buyer: bool, number: int) -> int:
            return 0

        for trade_ns, trade_price, size, buyer, number in ticks_as_floats:
            nothing(trade_ns, trade_price, size, buyer, number)

    def live_push() -> Any:
        push = VolumeBucketBuilder(CONFIG).push
        closed = 0
        for trade_ns, trade_price, size, buyer, number in ticks_as_floats:
            closed += push(trade_ns, trade_price, size, buyer, number)
        return closed

    def live_plain() -> Any:
        update = PlainBuilder().update
        closed = 0
        for trade_ns, trade_price, size, buyer, _ in ticks_as_floats:
            closed += update(trade_ns, trade_price, size, buyer)
        return closed

    runs: dict[str, tuple[Callable[[], Any], int]] = {
        "np.sum of the four arrays": (sums, count),
        "kernel, 36 columns": (kernel, count),
        "builder.scan, with its allocation": (scan, count),
        "pandas, 24 columns": (lambda: with_pandas(floats, is_bare=False), count),
        "polars, 24 columns": (lambda: with_polars(floats, is_bare=False), count),
        "pandas, 8 columns": (lambda: with_pandas(floats, is_bare=True), count),
        "polars, 8 columns": (lambda: with_polars(floats, is_bare=True), count),
        "polars, 8 columns, sorted hint": (lambda: with_polars(floats, is_bare=True, is_hinted=True), count),
        "Nautilus value bars": (nautilus, few),
        "live: loop and empty call": (empty, live),
        "live: push": (live_push, live),
        "live: plain Python, 12 columns": (live_plain, live),
    }
    results = {label: action() for label, (action, _) in runs.items()}  # compiles and warms up

    # The results are right before they are fast.
    packets = results["builder.scan, with its allocation"]
    assert results["kernel, 36 columns"] == len(packets)
    assert out[: len(packets)].tobytes() == packets.tobytes()
    builder = VolumeBucketBuilder(CONFIG)
    builder.scan(*columns)
    units = np.rint(packets["total_usd"] * 1e5).astype(np.int64).sum() + round(
        builder.forming["total_usd"] * 1e5
    )
    assert units == int((ticks * lots).sum()), "dollars lost or made"
    for label in (label for label in runs if label.startswith(("pandas", "polars"))):
        peer = results[label]
        assert math.isclose(peer["usd"].sum(), units / 1e5, rel_tol=1e-9)
        bought = packets["buy_usd"].sum() + builder.forming["buy_usd"]
        assert math.isclose(peer["buy_usd"].sum(), bought, rel_tol=1e-9)
        assert math.isclose(peer["count"].sum(), count)
        assert peer["high"].max() == max(packets["high"].max(), builder.forming["high"])
    nautilus_bars = [float(bar.close) for bar in results["Nautilus value bars"]]
    same = VolumeBucketBuilder(CONFIG).scan(*(column[:few] for column in columns))
    assert abs(len(nautilus_bars) - len(same)) <= 8, (len(nautilus_bars), len(same))  # it knows no anchor
    assert results["live: push"] == len(VolumeBucketBuilder(CONFIG).scan(*(c[:live] for c in columns)))
    assert abs(results["live: plain Python, 12 columns"] - results["live: push"]) <= 8

    taken: dict[str, list[float]] = {label: [] for label in runs}
    for _ in range(arguments.repeat):
        for label, (action, number) in runs.items():
            start = time.process_time()
            action()
            taken[label].append((time.process_time() - start) / number * 1e9)
    ns = {label: statistics.median(values) for label, values in taken.items()}

    kernel_ns = ns["kernel, 36 columns"]
    loop = ns["live: loop and empty call"]
    ratios = {
        "kernel / np.sum": kernel_ns / ns["np.sum of the four arrays"],
        "builder.scan / np.sum": ns["builder.scan, with its allocation"] / ns["np.sum of the four arrays"],
        "pandas / kernel": ns["pandas, 24 columns"] / kernel_ns,
        "polars / kernel": ns["polars, 24 columns"] / kernel_ns,
        "pandas 8 columns / kernel": ns["pandas, 8 columns"] / kernel_ns,
        "polars 8 columns / kernel": ns["polars, 8 columns"] / kernel_ns,
        "polars 8 columns, hint / kernel": ns["polars, 8 columns, sorted hint"] / kernel_ns,
        "Nautilus / kernel": ns["Nautilus value bars"] / kernel_ns,
        "live push / plain Python": (ns["live: push"] - loop) / (ns["live: plain Python, 12 columns"] - loop),
    }
    reached = {
        label: ratios[label] <= goal if word == "at most" else ratios[label] >= goal
        for label, (word, goal) in GOALS.items()
    }
    if arguments.json:
        print(
            json.dumps(
                {
                    "data": name,
                    "trades": count,
                    "packets": len(packets),
                    "ns_per_trade": {label: round(value, 2) for label, value in ns.items()},
                    "ratios": {label: round(value, 2) for label, value in ratios.items()},
                    "goals": {label: f"{word} {goal:g}" for label, (word, goal) in GOALS.items()},
                    "reached": reached,
                }
            )
        )
    else:
        print(f"{name}, {count:,} trades, {len(packets):,} packets of {BUCKET_USD:,} USD")
        for label, value in ns.items():
            print(f"  {label:32s} {value:9.1f} ns/trade")
        for label, value in ratios.items():
            word, goal = GOALS.get(label, ("", 0.0))
            note = f"{word} {goal:g}: {'reached' if reached[label] else 'MISSED'}" if word else ""
            print(f"  {label:32s} {value:9.2f}  {note}")
    return 0 if all(reached.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
