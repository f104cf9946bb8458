"""Actors that listen: what the journal, notifications and metrics add to a trade's cost in a backtest.

Goal: at most 1.10 times the processor time of the same run without them. None of the three subscribes to
trades or sets a timer on them, so what they cost grows with decisions and orders, not with the tape; a
regression means that one of them came onto the path of a trade.

    python benchmarks/bench_actors.py --catalog DIR [--instrument XRPUSDT.BINANCE] [--end ISO]
                                      [--repeat 5] [--json]

Each measurement is a process of its own, the variants alternate, and the ratio is the median of those of
neighbours: what the machine did besides met both. Processor time is that of `BacktestNode.run`, all threads
of the process. The journal's actor appends to a spool on disk, fed to SQLite after the run; notifications go
to a channel that keeps nothing; metrics are scraped once per second of wall time. Kernels are compiled and
loaded before: each process first runs the first trades of the catalog.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from nautilus_trader.backtest.node import BacktestNode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.bench_engine import WARM_UP_TRADES, time_after  # noqa: E402
from runtime.backtest import run_backtest  # noqa: E402
from runtime.cli import iso_time  # noqa: E402
from runtime.memory import spare_memory  # noqa: E402
from runtime.metrics.collector import NodeCollector, NodeSources  # noqa: E402
from runtime.metrics.meter import Meter, MeterConfig  # noqa: E402
from runtime.metrics.server import MetricsServer  # noqa: E402
from runtime.notify.actor import NotifyActor, NotifyActorConfig  # noqa: E402
from runtime.notify.notifier import Notifier  # noqa: E402
from runtime.notify.outbox import Message  # noqa: E402
from runtime.notify.settings import NotifySettings  # noqa: E402
from runtime.run_plan import RunPlan, plan_run  # noqa: E402
from runtime.run_request import RunRequest  # noqa: E402
from runtime.settings import BacktestSettings, JournalSettings, Settings  # noqa: E402

VARIANTS: Final = ("without", "journal", "notifications", "metrics", "all")
GOAL: Final = 1.10


class Nowhere:
    """A channel that takes every message and keeps none."""

    name = "nowhere"
    tags = frozenset({"nowhere"})

    def send(self, message: Message, timeout_secs: float) -> None:
        """Take it."""


def plan_of(arguments: argparse.Namespace, folder: str, end_ns: int | None, *, journaled: bool) -> RunPlan:
    """Plan the run that is measured."""
    journal = JournalSettings(
        backtests=journaled, url=f"sqlite:///{folder}/journal.sqlite", spool=f"{folder}/spool"
    )
    return plan_run(
        RunRequest(
            settings=Settings(backtest=BacktestSettings(runs=folder), journal=journal),
            source="benchmark",
            catalog=Path(arguments.catalog),
            strategy="ote",
            instruments=(arguments.instrument,),
            end_ns=end_ns,
            command_line={"bucket_usd": "10000"},
        )
    )


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one variant in this process; return processor seconds of the engine and what it counted."""
    spare_memory()
    os.environ.pop("SMCBOT_JOURNAL_URL", None)
    taken: list[float] = []
    run_node = BacktestNode.run

    def timed(node: BacktestNode) -> Any:
        start = time.process_time()
        result = run_node(node)
        taken.append(time.process_time() - start)
        return result

    BacktestNode.run = timed
    asked = set(VARIANTS[1:-1]) if arguments.variant == "all" else {arguments.variant}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        end_ns = None if arguments.end is None else iso_time(arguments.end)
        plan = plan_of(arguments, folder, end_ns, journaled="journal" in asked)
        run_backtest(plan_of(arguments, folder, time_after(plan, WARM_UP_TRADES), journaled=False))

        def actors(engine: Any) -> Iterable[Any]:
            if "notifications" in asked:
                notifier = Notifier(NotifySettings(console=False, queue=100_000), "paper", [Nowhere()])
                stack.callback(notifier.close)
                yield NotifyActor(NotifyActorConfig(poll_secs=0), notifier, engine.trader.strategies)
            if "metrics" in asked:
                yield metered(engine, stack)

        result = run_backtest(plan, None, actors)
    sha = result.folder.decision_sha256
    return {"cpu_s": taken[-1], "ticks": plan.ticks, "trades": len(result.trades), "decision_sha256": sha}


def metered(engine: Any, stack: ExitStack) -> Meter:
    """Return a meter whose figures are scraped every second until the stack closes."""
    meter = Meter(MeterConfig(mark_secs=0), engine.trader.strategies)
    sources = NodeSources(cache=engine.cache, meter=meter, strategies=engine.trader.strategies)
    server = stack.enter_context(MetricsServer(NodeCollector(sources), 0))
    ended = threading.Event()

    def scrape() -> None:
        while not ended.wait(1.0):
            urllib.request.urlopen(server.address, timeout=20).read()

    thread = threading.Thread(target=scrape)
    thread.start()
    stack.callback(thread.join)
    stack.callback(ended.set)  # called first
    return meter


def child(arguments: argparse.Namespace, variant: str) -> dict[str, Any]:
    """Measure a variant in a process of its own."""
    command = [sys.executable, __file__, "--catalog", arguments.catalog, "--instrument", arguments.instrument]
    command += ["--variant", variant, *(["--end", arguments.end] if arguments.end else [])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> int:
    """Measure and print, as text or as one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--catalog", required=True)
    parser.add_argument("--instrument", default="XRPUSDT.BINANCE")
    parser.add_argument("--end", help="measure only the trades before this time")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        print(json.dumps(measure(arguments)))
        return 0
    rounds = [{name: child(arguments, name) for name in VARIANTS} for _ in range(arguments.repeat)]
    runs = [one for measured in rounds for one in measured.values()]
    assert len({one["decision_sha256"] for one in runs}) == 1, "listening changed a decision"
    ticks, trades = runs[0]["ticks"], runs[0]["trades"]
    assert trades > 0
    figures = {
        "ticks": ticks,
        "trades": trades,
        "us_per_tick": {
            name: 1e6 * statistics.median(one[name]["cpu_s"] for one in rounds) / ticks for name in VARIANTS
        },
        "ratio": {
            name: statistics.median(one[name]["cpu_s"] / one["without"]["cpu_s"] for one in rounds)
            for name in VARIANTS[1:]
        },
    }
    if arguments.json:
        print(json.dumps(figures))
        return 0
    print(f"{ticks:,} trades of {arguments.instrument}, {trades:,} closed positions, processor time,")
    print(f"median of {arguments.repeat}; every run took the same decisions")
    for name in VARIANTS:
        ratio = "" if name == "without" else f"   {figures['ratio'][name]:.3f} of the run without"
        goal = f"   (goal: at most {GOAL})" if name == "all" else ""
        print(f"  {name:<14} {figures['us_per_tick'][name]:6.2f} us/trade{ratio}{goal}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
