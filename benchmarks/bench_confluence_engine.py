"""How fast a backtest of many coins runs through the Nautilus engine, with orders.

| what | goal |
|---|---|
| 100 coins x 6 months of 5m bars through the engine with orders | at most 4 minutes on 2 cores |
| peak memory of the process with the engine | at most 700 MB |
| cost per coin, 100 coins / 25 coins | at most 1.2 |

Every measurement is a process of its own. Ratios are of the processor time of that process, and so is the
memory; what the workers need to score is measured by bench_confluence.py. The minutes are the clock. Part of
the coins also run with every bar as an event: the results must be equal, and their ratio says what the
columns are worth. `--min-confidence` is low so that there are orders: at 90 there is hardly one.

    python benchmarks/bench_confluence_engine.py [--catalog DIR] [--compared 10] [--min-confidence 70]

Without a catalog the klines of SHARED_DATA are imported into `var/bench/klines_perpetual` as perpetuals.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from runtime.backtest import run_backtest  # noqa: E402
from runtime.catalog import Catalog  # noqa: E402
from runtime.memory import spare_memory  # noqa: E402
from runtime.run_plan import plan_run  # noqa: E402
from runtime.run_request import RunRequest  # noqa: E402
from runtime.settings import BacktestSettings, Settings, StrategySettings  # noqa: E402

SHARED_DATA = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
KLINES = SHARED_DATA / "klines_5m"
CATALOG = ROOT / "var" / "bench" / "klines_perpetual"
FEW, EQUAL = 25, ("decision_sha256", "trades", "final_balance", "bars")


def prepare() -> Path:
    """Import the klines as perpetuals unless that was done; return the catalog."""
    if not (CATALOG / "manifest.json").exists():
        files = sorted(str(path) for path in KLINES.glob("*.parquet"))
        options = "--venue binance --market usdm --symbol auto --kind klines --interval 5m --json"
        command = [sys.executable, str(ROOT / "download_data.py"), "import", *files, *options.split()]
        command += ["--catalog", str(CATALOG)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return CATALOG


def run_once(catalog: Path, feed: str, coins: list[str], min_confidence: float) -> dict[str, Any]:
    """Run the backtest in this process; return what it cost and what came out."""
    spare_memory()
    started_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as runs:
        entry = StrategySettings(strategy="confluence", parameters={"min_confidence": min_confidence})
        backtest = BacktestSettings(runs=runs, bar_feed="columns" if feed == "columns" else "events")
        request = RunRequest(
            settings=Settings(backtest=backtest, strategies=(entry,)),
            source="the benchmark",
            catalog=catalog,
            instruments=tuple(coins),
        )
        result = run_backtest(plan_run(request))
        assert result.bar_feed == feed
        own = resource.getrusage(resource.RUSAGE_SELF)
        wall_s = time.perf_counter() - started_s
        return {
            "feed": feed,
            "coins": len(coins),
            "bars": result.plan.ticks,
            "wall_s": round(wall_s, 1),
            "engine_s": round(result.engine_s, 1),
            "processor_s": round(own.ru_utime + own.ru_stime, 1),
            "bars_per_s": round(result.plan.ticks / wall_s),
            "peak_rss_mb": own.ru_maxrss // 1024,
            "load": round(os.getloadavg()[0], 1),
            "trades": len(result.trades),
            "final_balance": str(result.final_balance),
            "decision_sha256": result.folder.decision_sha256,
        }


def measured(catalog: Path, feed: str, coins: list[str], min_confidence: float) -> dict[str, Any]:
    """Run the backtest in a process of its own."""
    command = [sys.executable, __file__, "--catalog", str(catalog), "--feed", feed]
    command += ["--coins", ",".join(coins), "--min-confidence", str(min_confidence)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    figures: dict[str, Any] = json.loads(output)
    sys.stderr.write(f"{json.dumps(figures)}\n")
    return figures


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--catalog", type=Path, help="klines of 5m of many coins")
    parser.add_argument("--compared", type=int, default=10, help="coins that also run as events; 0 for none")
    parser.add_argument("--min-confidence", type=float, default=70.0)
    parser.add_argument("--feed", choices=("columns", "events"), help=argparse.SUPPRESS)
    parser.add_argument("--coins", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.feed:
        print(json.dumps(run_once(args.catalog, args.feed, args.coins.split(","), args.min_confidence)))
        return 0
    if args.catalog is None and not KLINES.is_dir():
        sys.stderr.write(f"{KLINES} is missing: set SHARED_DATA to the folder of real data\n")
        return 2
    catalog = args.catalog or prepare()
    coins = sorted(one.id.value for one in Catalog(catalog).instruments())
    few = coins[:: max(1, len(coins) // FEW)][:FEW]
    measured(catalog, "columns", few[:1], args.min_confidence)  # compiles
    small, large = (measured(catalog, "columns", some, args.min_confidence) for some in (few, coins))
    told: dict[str, Any] = {
        "all": large,
        "few": small,
        "ratio_per_coin": round(
            large["processor_s"] / large["coins"] / (small["processor_s"] / small["coins"]), 2
        ),
    }
    if args.compared:
        columns, events = (
            measured(catalog, feed, coins[: args.compared], args.min_confidence)
            for feed in ("columns", "events")
        )
        assert all(columns[name] == events[name] for name in EQUAL), "columns and events differ"
        told |= {
            "columns": columns,
            "events": events,
            "times_faster": round(events["processor_s"] / columns["processor_s"], 1),
        }
    print(json.dumps(told, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
