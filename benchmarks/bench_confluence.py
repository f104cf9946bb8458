"""How fast many coins are scored, and how often a score of 90 occurs.

| what | goal |
|---|---|
| 100 coins x 6 months of 5m bars from the catalog: detectors, timeframes, scores | at most 20 s on 2 cores |
| the source's loops over DataFrames on one coin / the same bars through the kernel | at least 2,000 times |
| cost per coin with 100 coins / with 25 | at most 1.2 |

Compilation is not in the times, starting the worker processes and reading Parquet is. The ratios are
processor time of one process; the 20 s are the clock. A regression means that a backtest of many coins no
longer starts at once, or that coins have begun to cost each other something.

    python benchmarks/bench_confluence.py [--naive-bars 20000] [--repeat 3]

Imports the klines of SHARED_DATA into `var/bench/klines` first.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import naive_confluence  # noqa: E402

from indicators.confluence.config import ConfluenceConfig  # noqa: E402
from indicators.confluence.engine import ConfluenceEngine  # noqa: E402
from indicators.confluence.row import CONFLUENCE_DTYPE  # noqa: E402
from indicators.confluence.signals import signal_sides  # noqa: E402
from indicators.structure_config import StructureConfig  # noqa: E402
from runtime.catalog import Catalog  # noqa: E402
from runtime.confluence_scan import SCORE_EDGES, SymbolRows, scan_symbols  # noqa: E402

SHARED_DATA = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
KLINES = SHARED_DATA / "klines_5m"
CATALOG = ROOT / "var" / "bench" / "klines"
CONFIG = ConfluenceConfig(structure=StructureConfig(tick_size=0.01))
KEPT = 70.0
TOLD = (60, 70, 75, 80, 85, 90)
VARIANTS = {
    "defaults": CONFIG,
    "structure of the external 5m swings": replace(CONFIG, structure_scope="external"),
    "structure of the internal 15m swings": replace(CONFIG, structure_role="mtf"),
    "sweep of the 20-bar extreme": replace(CONFIG, sweep_kind="extreme"),
    "any sweep": replace(CONFIG, sweep_kind="any"),
    "HTF 1h": replace(CONFIG, htf_secs=3600),
}


def prepare() -> list[str]:
    """Import the klines unless that was done; return the instruments."""
    if not (CATALOG / "manifest.json").exists():
        files = sorted(str(path) for path in KLINES.glob("*.parquet"))
        options = "--venue binance --market spot --symbol auto --kind klines --interval 5m --json"
        command = [sys.executable, str(ROOT / "download_data.py"), "import", *files, *options.split()]
        command += ["--catalog", str(CATALOG)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return [instrument.id.value for instrument in Catalog(CATALOG).instruments()]


def scan(symbols: list[str], workers: int, config: ConfluenceConfig = CONFIG) -> list[SymbolRows]:
    """Score symbols; all of them must answer, in order."""
    found = list(scan_symbols(CATALOG, dict.fromkeys(symbols, config), min_score=KEPT, workers=workers))
    assert [rows.instrument_id for rows in found] == symbols
    return found


def timed(clock: Callable[[], float], action: Callable[[], object]) -> float:
    """Return the seconds of a clock that an action takes."""
    start = clock()
    action()
    return clock() - start


def measure_growth(symbols: list[str], repeat: int) -> dict[str, Any]:
    """Compare the processor time per coin of 25 coins and of all, in turns."""
    few = symbols[::4]
    small, large = [], []
    for _ in range(repeat):
        small.append(timed(time.process_time, lambda: scan(few, 1)) / len(few))
        large.append(timed(time.process_time, lambda: scan(symbols, 1)) / len(symbols))
    return {
        "coins": [len(few), len(symbols)],
        "ms_per_coin": [round(1e3 * median(small), 1), round(1e3 * median(large), 1)],
        "processor_s": round(len(symbols) * median(large), 1),
        "ratio": round(median(large) / median(small), 2),
    }


def measure_naive(bars: int) -> dict[str, Any]:
    """Run the source's loops and the kernel over the same bars of one coin."""
    frame = pd.read_parquet(KLINES / "BTCUSDT.parquet").iloc[:bars]
    opens = frame["ts_open_ns"].to_numpy(np.int64)
    prices = [frame[name].to_numpy(np.float64) for name in ("open", "high", "low", "close", "volume")]
    out = np.zeros(bars, CONFLUENCE_DTYPE)

    def ours() -> None:
        rows = ConfluenceEngine(CONFIG).scan(opens, opens + 300_000_000_000, *prices, out=out)
        assert len(rows) == bars

    ours()
    fast = median(timed(time.process_time, ours) for _ in range(15))
    frame = frame.assign(time=pd.to_datetime(opens))
    told: list[tuple[int, int]] = []
    slow = timed(time.process_time, lambda: told.extend(naive_confluence.scores(frame)))
    assert len(told) == bars
    assert max(max(both) for both in told) <= 85  # as written it cannot reach 90
    return {
        "bars": bars,
        "naive_s": round(slow, 1),
        "ours_ms": round(1e3 * fast, 2),
        "ours_ns_per_bar": round(1e9 * fast / bars),
        "times_faster": round(slow / fast),
        "highest_score_of_the_source": max(max(both) for both in told),
    }


def counts(found: list[SymbolRows]) -> dict[str, Any]:
    """Count how often scores occur, and how often they are signals."""
    totals = sum(rows.score_counts for rows in found)
    rows = np.concatenate([one.rows for one in found])
    told: dict[str, Any] = {"ready_bars": sum(one.ready for one in found)}
    for least in TOLD:
        first = SCORE_EDGES.index(least)
        sides = signal_sides(rows, least) if least >= KEPT else None
        told[f">={least}"] = {
            "bars_long": int(totals[0, first:].sum()),
            "bars_short": int(totals[1, first:].sum()),
        }
        if sides is not None:
            told[f">={least}"] |= {
                "signals_long": int((sides > 0).sum()),
                "signals_short": int((sides < 0).sum()),
            }
    return told


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--naive-bars", type=int, default=20_000, help="0 leaves the source's loops out")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--variants", action="store_true", help="count scores of other settings too")
    args = parser.parse_args(argv)
    if not KLINES.is_dir():
        sys.stderr.write(f"{KLINES} is missing: set SHARED_DATA to the folder of real data\n")
        return 2

    symbols = prepare()
    compiling = timed(time.perf_counter, lambda: scan(symbols[:1], 1))
    passes: list[list[SymbolRows]] = []
    walls = [timed(time.perf_counter, lambda: passes.append(scan(symbols, 2))) for _ in range(args.repeat)]
    found = passes[-1]
    result = {
        "load": round(os.getloadavg()[0], 1),
        "bars": sum(one.bars for one in found),
        "first_symbol_s": round(compiling, 1),
        "wall_s": round(median(walls), 1),
        "wall_s_all": [round(wall, 1) for wall in walls],
        "growth": measure_growth(symbols, args.repeat),
        "scores": counts(found),
    }
    if args.naive_bars:
        result["naive"] = measure_naive(args.naive_bars)
    if args.variants:
        result["variants"] = {name: counts(scan(symbols, 2, config)) for name, config in VARIANTS.items()}
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
