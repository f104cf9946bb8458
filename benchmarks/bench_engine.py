"""Engine: what the strategy adds to Nautilus' own cost per trade, and how memory grows with the history.

Goals: `OteStrategy` (10,000 USD buckets, default settings, events.jsonl on) takes at most 1.35 times the
processor time of Nautilus as it comes with a strategy whose `on_trade_tick` is empty; a streamed backtest
peaks at most at 700 MB, and at most 5 % above one of a million trades. Our node spares Nautilus work that no
backtest needs (`runtime.nodes`), so the empty strategy is measured in that one too: the ratio to it is what
the strategy adds. A regression means that every backtest gets slower, or that long histories stop fitting.

    python benchmarks/bench_engine.py --catalog DIR [--instrument XRPUSDT.BINANCE] [--end ISO]
                                      [--repeat 3] [--memory] [--json]

Each measurement is a process of its own and the three variants alternate. Kernels are compiled and loaded
before: each process first runs the same variant over the first trades of the catalog. Processor time is
that of `BacktestNode.run`, with the same data, account and fill settings. `--memory` also measures
peak memory of the whole command for about a million trades and for all of them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from nautilus_trader.backtest.node import BacktestNode
from nautilus_trader.config import ImportableStrategyConfig, StrategyConfig
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from runtime.backtest import run_backtest  # noqa: E402
from runtime.cli import format_ns, iso_time  # noqa: E402
from runtime.memory import spare_memory  # noqa: E402
from runtime.node_config import data_configs, run_config, venue_configs  # noqa: E402
from runtime.nodes import Node  # noqa: E402
from runtime.run_plan import RunPlan, plan_run  # noqa: E402
from runtime.run_request import RunRequest  # noqa: E402
from runtime.settings import BacktestSettings, Settings  # noqa: E402

MILLION = 1_000_000
WARM_UP_TRADES = 30_000


class EmptyConfig(StrategyConfig, frozen=True, kw_only=True):
    """What to subscribe to."""

    instrument_id: InstrumentId


class EmptyStrategy(Strategy):
    """Takes every trade and does nothing with it."""

    def on_start(self) -> None:
        """Subscribe."""
        self.subscribe_trade_ticks(self.config.instrument_id)

    def on_trade_tick(self, tick: Any) -> None:
        """Do nothing."""


def plan_of(arguments: argparse.Namespace, runs: str, end_ns: int | None) -> RunPlan:
    """Plan the run that is measured."""
    return plan_run(
        RunRequest(
            settings=Settings(backtest=BacktestSettings(runs=runs)),
            source="benchmark",
            catalog=Path(arguments.catalog),
            strategy="ote",
            instruments=(arguments.instrument,),
            end_ns=end_ns,
            command_line={"bucket_usd": "10000"},
        )
    )


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one variant in this process; return processor seconds of the engine and the number of trades."""
    spare_memory()
    run_node = BacktestNode.run
    taken: list[float] = []

    def timed(node: BacktestNode) -> Any:
        start = time.process_time()
        result = run_node(node)
        taken.append(time.process_time() - start)
        return result

    BacktestNode.run = timed
    with tempfile.TemporaryDirectory() as runs:
        plan = plan_of(arguments, runs, None if arguments.end is None else iso_time(arguments.end))
        warm_up = plan_of(arguments, runs, time_after(plan, WARM_UP_TRADES))
        buckets = 0
        for one in (warm_up, plan):
            if arguments.variant in ("nautilus", "empty"):
                run_empty(one, is_ours=arguments.variant == "empty")
            else:
                buckets = run_backtest(one).counters["buckets"]
                assert buckets > 0
    return {"cpu_s": taken[-1], "ticks": plan.ticks, "buckets": buckets}


def time_after(plan: RunPlan, count: int) -> int:
    """Return the time of the trade that comes after about `count` of the plan, UNIX nanoseconds."""
    seen = 0
    for trades in plan.catalog.read_trades(plan.instruments[0].id.value):
        if seen + len(trades) > count:
            return int(trades.ts_ns[max(count - seen, 0)])
        seen += len(trades)
    raise SystemExit(f"{plan.catalog.path} holds {seen:,} trades, at least {count:,} are needed")


def run_empty(plan: RunPlan, *, is_ours: bool) -> None:
    """Replay the planned data through a strategy that does nothing, in our node or in Nautilus' own."""
    backtest = plan.request.settings.backtest
    names = [one.id.value for one in plan.instruments]
    strategies = [
        ImportableStrategyConfig(
            strategy_path="benchmarks.bench_engine:EmptyStrategy",
            config_path="benchmarks.bench_engine:EmptyConfig",
            config={"instrument_id": name},
        )
        for name in names
    ]
    data = data_configs(str(plan.catalog.path), names, {}, plan.data_from_ns, plan.last_ns)
    config = run_config(venue_configs(plan.instruments, backtest), data, strategies, backtest.chunk_size)
    span_ns = plan.first_ts_ns, plan.last_ts_ns
    node = Node(config, backtest.fees, span_ns) if is_ours else BacktestNode([config])
    node.build()
    (engine,) = node.get_engines()
    node.run()
    assert engine.iteration == plan.ticks


def child(arguments: argparse.Namespace, variant: str) -> dict[str, Any]:
    """Measure a variant in a process of its own."""
    command = [sys.executable, __file__, "--catalog", arguments.catalog, "--instrument", arguments.instrument]
    command += ["--variant", variant]
    if arguments.end:
        command += ["--end", arguments.end]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def peak_memory(arguments: argparse.Namespace, end: str | None) -> dict[str, Any]:
    """Run the command itself; return its trades and its peak memory in MB, report included."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(f"backtest: {{runs: {folder}/runs}}\n")
        command = [sys.executable, str(ROOT / "backtest_node.py"), "run", "--config", str(config), "--json"]
        command += ["--catalog", arguments.catalog, "--instrument", arguments.instrument]
        command += ["--set", "bucket_usd=10000", *(["--end", end] if end else [])]
        # /proc keeps the peak of a child only while it lives: the resource usage of waited-for children
        # is the largest of all of them, so each command gets a waiting process of its own.
        code = (
            "import json,resource,subprocess,sys;"
            "s=json.loads(subprocess.run(sys.argv[1:],capture_output=True,text=True,check=True).stdout);"
            "peak=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss;"
            "peak/=1024**2 if sys.platform=='darwin' else 1024;"
            "print(json.dumps({'ticks':s['ticks'],'peak_mb':peak,'ticks_per_s':s['engine_ticks_per_s']}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *command], capture_output=True, text=True, check=True, cwd=ROOT
        )
        result: dict[str, Any] = json.loads(done.stdout)
        return result


def end_of_a_million(arguments: argparse.Namespace) -> str:
    """Return the time at which the catalog has given about a million trades."""
    return format_ns(time_after(plan_of(arguments, "unused", None), MILLION))


def main() -> int:
    """Measure and print, as text or as one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--catalog", required=True)
    parser.add_argument("--instrument", default="XRPUSDT.BINANCE")
    parser.add_argument("--end", help="measure only the trades before this time")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--variant", choices=["nautilus", "empty", "ote"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        print(json.dumps(measure(arguments)))
        return 0
    taken: dict[str, list[float]] = {"nautilus": [], "empty": [], "ote": []}
    ticks = 0
    for _ in range(arguments.repeat):
        for variant, seconds in taken.items():
            result = child(arguments, variant)
            ticks = result["ticks"]
            seconds.append(result["cpu_s"])
    median = {variant: statistics.median(seconds) for variant, seconds in taken.items()}
    figures: dict[str, Any] = {
        "ticks": ticks,
        "nautilus_us_per_tick": 1e6 * median["nautilus"] / ticks,
        "empty_us_per_tick": 1e6 * median["empty"] / ticks,
        "ote_us_per_tick": 1e6 * median["ote"] / ticks,
        "ratio": median["ote"] / median["nautilus"],
        "ratio_in_our_node": median["ote"] / median["empty"],
    }
    if arguments.memory:
        figures["memory"] = [peak_memory(arguments, end) for end in (end_of_a_million(arguments), None)]
        small, large = (one["peak_mb"] for one in figures["memory"])
        figures["memory_growth"] = large / small - 1
    if arguments.json:
        print(json.dumps(figures))
        return 0
    print(f"{ticks:,} trades of {arguments.instrument}, median of {arguments.repeat}, processor time")
    print(f"  empty strategy, Nautilus' node   {figures['nautilus_us_per_tick']:6.2f} us/trade")
    print(f"  empty strategy, our node         {figures['empty_us_per_tick']:6.2f} us/trade")
    print(f"  OteStrategy, our node            {figures['ote_us_per_tick']:6.2f} us/trade")
    print(f"  ratio to Nautilus' node          {figures['ratio']:6.3f}   (goal: at most 1.35)")
    print(f"  ratio to our node                {figures['ratio_in_our_node']:6.3f}")
    for one in figures.get("memory", ()):
        print(
            f"  {one['ticks']:>10,} trades: peak {one['peak_mb']:.0f} MB, {one['ticks_per_s']:,.0f} trades/s"
        )
    if arguments.memory:
        print(f"  growth           {100 * figures['memory_growth']:+6.1f} % (goal: at most 5 %, and 700 MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
