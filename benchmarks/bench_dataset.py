"""Dataset: from a catalog of real trades to labelled rows, in time and memory.

Goals: 3 M trades in at most 30 s and 1 GB. Nearly all of it is the engine's ungated run, which the labels are
read from, so the share that is ours is shown too: a regression there means that looking at orders, computing
features or proving that they know no future became slow.

    python benchmarks/bench_dataset.py --catalog DIR [--instrument XRPUSDT-PERP.BINANCE] [--end ISO]
                                       [--repeat 1] [--json]

Each measurement is a process of its own. Kernels are compiled before, on the first trades of the catalog;
loading them is measured. Seconds are given on the wall and of the processor, from the checked plan to the
written file, for all trades of the catalog up to `--end`; the goal is compared per 3 M trades.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from runtime import datasets  # noqa: E402
from runtime.cli import iso_time  # noqa: E402
from runtime.kernel_cache import ensure_compiled  # noqa: E402
from runtime.memory import spare_memory  # noqa: E402
from runtime.run_plan import plan_run  # noqa: E402
from runtime.run_request import RunRequest  # noqa: E402
from runtime.run_summary import peak_rss_mb  # noqa: E402
from runtime.settings import Settings  # noqa: E402

GOAL_TRADES = 3_000_000


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Build one dataset in this process."""
    spare_memory()
    names = () if options.instrument is None else (options.instrument,)
    request = RunRequest(
        Settings(), "config.yaml", Path(options.catalog), instruments=names, end_ns=options.end
    )
    plan = plan_run(request)
    run_ungated = datasets.run_ungated
    engine = {"wall_s": 0.0, "cpu_s": 0.0}

    def timed(*arguments: Any) -> Any:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        histories = run_ungated(*arguments)
        engine["wall_s"] = time.perf_counter() - wall_s
        engine["cpu_s"] = time.process_time() - cpu_s
        engine["peak_rss_mb"] = peak_rss_mb()
        return histories

    datasets.run_ungated = timed
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    dataset = datasets.build_dataset(plan)
    with tempfile.TemporaryDirectory() as folder:
        dataset.save(Path(folder) / "dataset")
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    return {
        "trades": plan.ticks,
        "rows": len(dataset),
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "engine_wall_s": engine["wall_s"],
        "engine_cpu_s": engine["cpu_s"],
        "engine_peak_rss_mb": engine["peak_rss_mb"],
        "own_cpu_s": cpu_s - engine["cpu_s"],
        "peak_rss_mb": peak_rss_mb(),
    }


def compile_kernels(options: argparse.Namespace) -> None:
    """Fill the kernel cache of the machine, the feature kernels' too, by a dataset of a day's beginning."""
    names = () if options.instrument is None else (options.instrument,)
    plan = plan_run(RunRequest(Settings(), "config.yaml", Path(options.catalog), instruments=names))
    ensure_compiled(plan)
    end_ns = plan.first_ts_ns + 2 * 3600 * 10**9
    datasets.build_dataset(plan_run(RunRequest(Settings(), "", plan.catalog.path, None, names, None, end_ns)))


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
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options)))
        return 0
    compile_kernels(options)
    command = [sys.executable, *(one for one in sys.argv if one != "--json"), "--one"]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(options.repeat)
    ]
    figures = {name: statistics.median(one[name] for one in runs) for name in runs[0]}
    for clock in ("wall", "cpu"):
        figures[f"{clock}_s_per_3m"] = figures[f"{clock}_s"] * GOAL_TRADES / figures["trades"]
    figures["dataset_over_engine"] = figures["cpu_s"] / figures["engine_cpu_s"]
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:>20} {value:,.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
