"""Catalog: trades per second written from arrays and read back, against Nautilus' own objects.

Goal: at least 1.5 M trades/s written from arrays. A regression means that an import, or the first
`make backtest`, takes minutes instead of seconds.

    python benchmarks/bench_catalog.py [--trades 1000000] [--objects 100000] [--repeat 5] [--json]

Real XRPUSDT trades are used where the shared data is present (SHARED_DATA), else the synthetic tape.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from nautilus_trader.model.data import TradeTick
from nautilus_trader.persistence.catalog import ParquetDataCatalog

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from runtime.catalog import Catalog, TradeColumns  # noqa: E402
from runtime.instruments import make_instrument  # noqa: E402
from runtime.sample import SampleRequest, tape_of  # noqa: E402

SHARED = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
XRP = make_instrument("binance", "spot", "XRPUSDT", Decimal("0.0001"), Decimal("0.1"))
BTC = make_instrument("binance", "spot", "BTCUSDT", Decimal("0.01"), Decimal("0.00001"))


def load(rows: int) -> tuple[str, object, TradeColumns]:
    """Return the name of the data, its instrument and up to `rows` trades."""
    paths = sorted(SHARED.glob("trades/binance-spot_XRPUSDT_2026-03-*.parquet"))
    if not paths:
        return "synthetic BTCUSDT", BTC, tape_of(SampleRequest(days=7), "BTCUSDT")[:rows]
    tables = [pq.read_table(path) for path in paths]
    column = lambda name: np.concatenate([table[name].to_numpy() for table in tables])[:rows]  # noqa: E731
    return "real XRPUSDT", XRP, TradeColumns(
        column("ts_ns"),
        np.rint(column("price") * 1e4).astype(np.int64),
        np.rint(column("qty") * 10).astype(np.int64),
        ~column("buyer_maker"),
        column("trade_id"),
    )  # fmt: skip


def seconds(action: Callable[[Path], object], repeat: int) -> float:
    """Return the median process time of an action that gets a fresh folder."""
    taken = []
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as name:
            start = time.process_time()
            action(Path(name))
            taken.append(time.process_time() - start)
    return statistics.median(taken)


def main() -> int:
    """Measure and print ns per trade, M trades/s and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trades", type=int, default=1_000_000)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    name, instrument, trades = load(arguments.trades)

    with tempfile.TemporaryDirectory() as folder:
        catalog = Catalog(folder, create=True)
        catalog.write_trades(instrument, trades)  # also warms Arrow up
        back = catalog.read_trades_all(str(instrument.id))
        assert len(back) == len(trades)
        assert (back.size_lots == trades.size_lots).all()
        assert (back.trade_id == trades.trade_id).all()
        bytes_per_trade = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet")) / len(trades)
        read_ours = seconds(
            lambda _: [len(block) for block in catalog.read_trades(str(instrument.id))], arguments.repeat
        )
        nautilus = ParquetDataCatalog(folder)
        objects: list[TradeTick] = nautilus.trade_ticks([str(instrument.id)])[: arguments.objects]
        read_objects = seconds(lambda _: nautilus.trade_ticks([str(instrument.id)]), 3)

    write_ours = seconds(
        lambda path: Catalog(path, create=True).write_trades(instrument, trades), arguments.repeat
    )
    write_objects = seconds(lambda path: ParquetDataCatalog(str(path)).write_data(objects), 3)

    per_trade = {
        "write from arrays": write_ours / len(trades),
        "write Nautilus objects": write_objects / len(objects),
        "read to arrays": read_ours / len(trades),
        "read to Nautilus objects": read_objects / len(trades),
    }
    result = {
        "data": name,
        "trades": len(trades),
        "bytes_per_trade": round(bytes_per_trade, 1),
        "ns_per_trade": {key: round(value * 1e9) for key, value in per_trade.items()},
        "write_speedup": round(per_trade["write Nautilus objects"] / per_trade["write from arrays"], 1),
        "read_speedup": round(per_trade["read to Nautilus objects"] / per_trade["read to arrays"], 1),
        "write_m_trades_per_s": round(1e-6 / per_trade["write from arrays"], 2),
        "goal_m_trades_per_s": 1.5,
    }
    if arguments.json:
        print(json.dumps(result))
    else:
        print(f"{name}, {len(trades):,} trades, {bytes_per_trade:.1f} bytes each on disk (median CPU time)")
        for key, value in per_trade.items():
            print(f"  {key:26s} {value * 1e9:8.0f} ns/trade  {1e-6 / value:6.2f} M/s")
        print(f"  write: {result['write_speedup']} times Nautilus' write_data, goal 1.5 M/s")
        print(f"  read:  {result['read_speedup']} times Nautilus' objects")
    return 0


if __name__ == "__main__":
    sys.exit(main())
