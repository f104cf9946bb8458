"""Run every benchmark and print the table of `docs/benchmarks.md`.

    python benchmarks/run.py [--repeat 3] [--write]

Imports the real XRPUSDT trades of the shared data (SHARED_DATA, or ../shared/data) into `var/bench` first;
without them there is nothing to measure the engine on, and the command says so. Each benchmark is a process
of its own. `--write` puts the table into `docs/benchmarks.md`, between its two markers.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
CATALOG = ROOT / "var" / "bench" / "catalog"
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- table begins -->", "<!-- table ends -->"

type Row = tuple[str, float, str, float, str]
"""What, measured, "at most" or "at least", goal, command."""


def buckets(figures: dict[str, Any], command: str) -> Iterator[Row]:
    """Rows of the bucket kernel."""
    ratios = figures["ratios"]
    yield "bucket kernel / np.sum of the same four arrays", ratios["kernel / np.sum"], "at most", 6, command
    yield "pandas group-by / bucket kernel", ratios["pandas / kernel"], "at least", 8, command
    yield "polars group-by / bucket kernel", ratios["polars / kernel"], "at least", 8, command
    yield "Nautilus value bars / bucket kernel", ratios["Nautilus / kernel"], "at least", 200, command


def detectors(figures: dict[str, Any], command: str) -> Iterator[Row]:
    """Rows of the structure engine."""
    yield (
        "five functions of smartmoneyconcepts / detector pass",
        figures["times_faster_than_peer"],
        "at least",
        700,
        command,
    )
    yield (
        "detectors, time(1M bars) / time(100k bars)",
        figures["time_1000000_over_100000"],
        "at most",
        12,
        command,
    )
    yield "detectors, streaming, µs per bar", figures["stream_us_per_bar"], "at most", 3, command


def catalog(figures: dict[str, Any], command: str) -> Iterator[Row]:
    """Rows of the catalog."""
    yield (
        "catalog write from arrays, M trades/s",
        figures["write_m_trades_per_s"],
        "at least",
        figures["goal_m_trades_per_s"],
        command,
    )


def market_data(figures: dict[str, Any], command: str) -> Iterator[Row]:
    """Rows of the import and of reading back."""
    archive = figures["archive"]
    yield (
        f"zip of {archive['trades']:,} trades to catalog / unzip and pyarrow parse alone",
        archive["import_over_parse_alone"],
        "at most",
        2.4,
        command,
    )
    yield "catalog to numpy with ids, M trades/s", archive["read_m_trades_per_s"], "at least", 6, command
    klines, memory = figures["klines"], figures["memory"]
    yield (
        f"{klines['symbols']} symbols of 5m klines to catalog, s",
        klines["import_s"],
        "at most",
        60,
        command,
    )
    yield (
        f"peak memory of importing {memory['trades']:,} trades, MB",
        memory["peak_mb"],
        "at most",
        500,
        command,
    )


def engine(figures: dict[str, Any], command: str) -> Iterator[Row]:
    """Rows of the backtest."""
    yield (
        "engine with OteStrategy / Nautilus' own with an empty one",
        figures["ratio"],
        "at most",
        1.35,
        command,
    )
    yield "the same / our node with an empty one", figures["ratio_in_our_node"], "at most", 1.6, command
    small, large = figures["memory"]
    yield f"peak memory of {large['ticks']:,} trades, MB", large["peak_mb"], "at most", 700, command
    growth = 100 * figures["memory_growth"]
    yield f"the same against {small['ticks']:,} trades, %", growth, "at most", 5, command


def dataset(figures: dict[str, Any], command: str) -> Iterator[Row]:
    """Rows of the dataset."""
    for name, source in (("catalog", "a catalog"), ("run", "a run")):
        seconds = figures[f"{name}_wall_s_per_3m"]
        yield f"dataset of 3 M trades out of {source}, seconds", seconds, "at most", 30, command
        memory = f"peak memory of {figures['trades']:,.0f} trades out of {source}, MB"
        yield memory, figures[f"{name}_peak_rss_mb"], "at most", 1000, command
    over = figures["catalog_over_empty_engine"]
    yield "dataset out of a catalog / the same node with an empty strategy", over, "at most", 2.5, command
    over = figures["run_over_reading"]
    yield "dataset out of a run / reading the catalog's trades alone", over, "at most", 10, command


def walker(figures: dict[str, Any], command: str) -> Iterator[Row]:
    """Rows of the tree walker."""
    yield "one row: `inplace_predict` / tree walker", figures["times_faster"], "at least", 60, command


def gate(figures: dict[str, Any], command: str) -> Iterator[Row]:
    """Rows of the chain from a trade to a probability, and of backtests in which the model is asked."""
    chain = figures["chain"]
    yield "trade to probability, median µs", chain["whole"]["median_us"], "at most", 4, command
    yield "trade to probability, p99 µs", chain["asked"]["p99_us"], "at most", 8, command
    yield "the same with structure of closed buckets, p99 µs", chain["whole"]["p99_us"], "at most", 8, command
    over = chain["inplace_predict_over_chain"]
    yield "one row: `inplace_predict` / trade to probability", over, "at least", 30, command
    for name in ("ignore", "obey"):
        ratio = figures["engine"][name]["ratio"]
        yield f"engine with a model ({name}) / with the default policy", ratio, "at most", 1.15, command


def confluence(figures: dict[str, Any], command: str) -> Iterator[Row]:
    """Rows of the confluence scan."""
    coins = figures["growth"]["coins"][1]
    yield (
        f"{coins} coins, {figures['bars']:,} bars of 5m scored from the catalog, s",
        figures["wall_s"],
        "at most",
        20,
        command,
    )
    yield "cost per coin, 100 coins / 25 coins", figures["growth"]["ratio"], "at most", 1.2, command
    yield (
        "the source's loops / confluence engine, 20,000 bars",
        figures["naive"]["times_faster"],
        "at least",
        2000,
        command,
    )


def confluence_engine(figures: dict[str, Any], command: str) -> Iterator[Row]:
    """Rows of the backtest of many coins."""
    whole = figures["all"]
    what = f"{whole['coins']} coins, {whole['bars']:,} bars of 5m through the engine with orders"
    yield f"{what}, s", whole["wall_s"], "at most", 240, command
    yield "peak memory of that, the engine's process, MB", whole["peak_rss_mb"], "at most", 700, command
    yield "cost per coin of that, 100 coins / 25 coins", figures["ratio_per_coin"], "at most", 1.2, command


def report(figures: dict[str, Any], command: str) -> Iterator[Row]:
    """Rows of the report."""
    name = f"report of a run with {figures['trades']:,} trades"
    yield f"{name}, s", figures["report_s"], "at most", 10, command
    yield f"{name}, MB of HTML", figures["html_bytes"] / 1e6, "at most", 6, command


BENCHMARKS: dict[str, Callable[[dict[str, Any], str], Iterator[Row]]] = {
    "bench_buckets.py": buckets,
    "bench_detectors.py": detectors,
    "bench_catalog.py": catalog,
    "bench_market_data.py": market_data,
    "bench_engine.py": engine,
    "bench_dataset.py": dataset,
    "bench_walker.py": walker,
    "bench_gate.py": gate,
    "bench_confluence.py": confluence,
    "bench_confluence_engine.py": confluence_engine,
    "bench_report.py": report,
}


def make_catalog() -> None:
    """Import the recorded XRPUSDT trades unless that was done before."""
    files = sorted((SHARED_DATA / "trades").glob("binance-spot_XRPUSDT_*.parquet"))
    if not files:
        raise SystemExit(f"no recorded XRPUSDT trades in {SHARED_DATA / 'trades'}: set SHARED_DATA")
    if (CATALOG / "manifest.json").exists():
        return
    command = [sys.executable, str(ROOT / "download_data.py"), "import", *map(str, files)]
    command += ["--venue", "binance", "--market", "spot", "--symbol", "XRPUSDT", "--kind", "trades"]
    command += ["--tick-size", "0.0001", "--lot-size", "0.1", "--catalog", str(CATALOG)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measure(name: str, options: list[str]) -> dict[str, Any]:
    """Run a benchmark in a process of its own and return its figures."""
    print(f"{name} …", file=sys.stderr, flush=True)
    # A missed goal is a figure, not a failure: the table shows it.
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / name), *options],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if not done.stdout.strip():
        raise SystemExit(f"{name} failed with exit code {done.returncode}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def table(repeat: int) -> str:
    """Measure everything and return the Markdown table."""
    options = {
        "bench_buckets.py": ["--json"],
        "bench_catalog.py": ["--json"],
        "bench_market_data.py": ["--json", "--klines", "--memory", "50000000"],
        "bench_engine.py": ["--json", "--catalog", str(CATALOG), "--memory", "--repeat", str(repeat)],
        "bench_dataset.py": ["--json", "--catalog", str(CATALOG), "--repeat", str(repeat)],
        "bench_gate.py": ["--json", "--catalog", str(CATALOG), "--repeat", str(repeat)],
    }
    lines = ["| what | measured | goal | |", "|---|---:|---|---|"]
    for name, rows in BENCHMARKS.items():
        for what, measured, word, goal, command in rows(measure(name, options.get(name, [])), name):
            reached = measured <= goal if word == "at most" else measured >= goal
            mark = "reached" if reached else "**missed**"
            lines.append(f"| {what} (`{command}`) | {measured:,.2f} | {word} {goal:g} | {mark} |")
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return "\n".join([f"Measured {when} on {machine}; load {os.getloadavg()[0]:.1f} at the end.", "", *lines])


def main() -> int:
    """Run the benchmarks; return 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3, help="engine runs per variant (default 3)")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    make_catalog()
    text = table(arguments.repeat)
    print(text)
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        head, rest = page.split(BEGIN)
        tail = rest.split(END)[1]
        PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
