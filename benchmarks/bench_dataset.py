"""Dataset: from real trades to labelled rows, in time and memory, out of a catalog and out of a run.

Goals: 3 M trades in at most 30 s and 1 GB. Out of a catalog nearly all of it is the engine's ungated run,
which the labels are read from; its floor is the same engine with a strategy that does nothing, measured
beside it. Out of a run nothing is replayed; its floor is reading the catalog's trades once. The ratios to the
floors hold on any machine, the seconds on this one.

    python benchmarks/bench_dataset.py --catalog DIR [--instrument XRPUSDT-PERP.BINANCE] [--end ISO]
                                       [--repeat 1] [--json]

Each measurement is a process of its own, the four kinds in turn. Kernels are compiled before, on the first
trades of the catalog; loading them is measured. Seconds are given on the wall and of the processor, from the
checked plan to the written file (out of a run: from the folder), for all trades of the catalog up to
`--end`; the goal is compared per 3 M trades.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ml.dataset import Dataset  # noqa: E402
from runtime.backtest import run_backtest  # noqa: E402
from runtime.cli import iso_time  # noqa: E402
from runtime.datasets import build_dataset, dataset_of  # noqa: E402
from runtime.kernel_cache import ensure_compiled  # noqa: E402
from runtime.memory import spare_memory  # noqa: E402
from runtime.run_histories import read_run  # noqa: E402
from runtime.run_plan import RunPlan, node_of, plan_run  # noqa: E402
from runtime.run_request import RunRequest  # noqa: E402
from runtime.run_summary import peak_rss_mb  # noqa: E402
from runtime.settings import BacktestSettings, Settings  # noqa: E402
from runtime.ungated import run_ungated, ungated  # noqa: E402

GOAL_TRADES = 3_000_000


def plan_of(options: argparse.Namespace) -> RunPlan:
    """Return the plan of a run with default settings whose folder is in `--runs`."""
    names = () if options.instrument is None else (options.instrument,)
    settings = Settings(backtest=BacktestSettings(runs=options.runs or "var/runs"))
    return plan_run(RunRequest(settings, "", Path(options.catalog), instruments=names, end_ns=options.end))


def save(dataset: Dataset) -> int:
    """Write a dataset to a folder that is deleted; return its number of rows."""
    with tempfile.TemporaryDirectory() as folder:
        dataset.save(Path(folder) / "dataset")
    return len(dataset)


def from_catalog(options: argparse.Namespace) -> dict[str, float]:
    """Replay the catalog and build a dataset."""
    plan = plan_of(options)
    clock = Clock()
    histories = run_ungated(plan)
    engine = clock.read("engine")
    rows = save(dataset_of(ungated(plan), histories))
    return {"trades": plan.ticks, "rows": rows, **engine, **clock.read("catalog")}


def from_run(options: argparse.Namespace) -> dict[str, float]:
    """Build the dataset of the run in `--runs`."""
    (folder,) = Path(options.runs).iterdir()
    clock = Clock()
    rows = save(dataset_of(*read_run(folder)))
    return {"rows_of_run": rows, **clock.read("run")}


def empty_engine(options: argparse.Namespace) -> dict[str, float]:
    """Replay the catalog through a strategy that listens and does nothing."""
    plan = plan_of(options)
    clock = Clock()
    node = node_of(replace(plan, strategies=()))
    node.build()
    (engine,) = node.get_engines()
    for instrument in plan.instruments:
        engine.add_strategy(Listener(StrategyConfig(order_id_tag=instrument.id.value), instrument.id))
    node.run()
    return clock.read("empty_engine")


def reading(options: argparse.Namespace) -> dict[str, float]:
    """Read the trades of the catalog once, as arrays."""
    plan = plan_of(options)
    clock = Clock()
    for instrument in plan.instruments:
        plan.catalog.read_trades_all(instrument.id.value, plan.data_from_ns, plan.last_ns)
    return clock.read("reading")


class Clock:
    """Seconds since it was made, on the wall and of the processor, and the largest memory so far."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def read(self, name: str) -> dict[str, float]:
        """Return the figures under names that begin with `name`."""
        return {
            f"{name}_wall_s": time.perf_counter() - self._wall_s,
            f"{name}_cpu_s": time.process_time() - self._cpu_s,
            f"{name}_peak_rss_mb": peak_rss_mb(),
        }


class Listener(Strategy):
    """Takes trades and does nothing."""

    def __init__(self, config: StrategyConfig, instrument_id: InstrumentId) -> None:
        super().__init__(config)
        self._instrument_id = instrument_id

    def on_start(self) -> None:
        """Listen."""
        self.subscribe_trade_ticks(self._instrument_id)

    def on_trade_tick(self, tick: TradeTick) -> None:
        """Do nothing."""


KINDS: dict[str, Callable[[argparse.Namespace], dict[str, float]]] = {
    "catalog": from_catalog,
    "empty_engine": empty_engine,
    "run": from_run,
    "reading": reading,
}


def prepare(options: argparse.Namespace) -> None:
    """Compile the kernels, the features' too, and make the run that a dataset is then made of."""
    plan = plan_of(options)
    ensure_compiled(plan)
    end_ns = plan.first_ts_ns + 2 * 3600 * 10**9
    build_dataset(plan_run(replace(plan.request, end_ns=end_ns)))
    result = run_backtest(plan)
    result.folder.write_summary({"decision_sha256": result.folder.decision_sha256})


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--catalog", required=True)
    parser.add_argument("--instrument")
    parser.add_argument("--end", type=iso_time)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=("prepare", *KINDS), help=argparse.SUPPRESS)
    parser.add_argument("--runs", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        spare_memory()
        print(json.dumps(prepare(options) if options.one == "prepare" else KINDS[options.one](options)))
        return 0
    with tempfile.TemporaryDirectory() as runs:
        own = [one for one in sys.argv if one != "--json"]

        def measured(kind: str) -> dict[str, float]:
            command = [sys.executable, *own, f"--runs={runs}", f"--one={kind}"]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            found: dict[str, float] = json.loads(output) or {}
            return found

        measured("prepare")
        rounds = [
            {name: value for kind in KINDS for name, value in measured(kind).items()}
            for _ in range(options.repeat)
        ]
    figures: dict[str, Any] = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    assert figures["rows"] == figures["rows_of_run"] > 0
    for name in ("catalog", "run"):
        for clock in ("wall", "cpu"):
            figures[f"{name}_{clock}_s_per_3m"] = (
                figures[f"{name}_{clock}_s"] * GOAL_TRADES / figures["trades"]
            )
    figures["catalog_over_empty_engine"] = figures["catalog_cpu_s"] / figures["empty_engine_cpu_s"]
    figures["run_over_reading"] = figures["run_cpu_s"] / figures["reading_cpu_s"]
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:>26} {value:,.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
