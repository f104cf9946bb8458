"""Market data: archive to catalog and catalog to numpy, against what the libraries alone need.

| what | against | goal |
|---|---|---|
| zip of 5 M Binance trades → catalog | unzip + pyarrow CSV parse alone | at most 2.4 times its time |
| peak memory of the import of a month of 50 M trades | – | at most 500 MB |
| 100 symbols of 5m klines → catalog, one command | – | at most 60 s on 2 cores |
| catalog → numpy columns with ids | – | at least 6 M trades/s |

Processor time of one process where it is a ratio or a rate (`per core`), the clock for the command.
A regression means that the history of a market takes hours instead of minutes.

    python benchmarks/bench_market_data.py [--trades 5000000] [--repeat 3] [--klines] [--memory ROWS] [--json]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from archives import SHARED, write_zip  # noqa: E402

from runtime.catalog import Catalog  # noqa: E402
from runtime.importer import ImportRequest, import_files  # noqa: E402

INSTRUMENT = "XRPUSDT.BINANCE"
NAME = "XRPUSDT-trades-2026-03.zip"
COLUMNS = ["id", "price", "qty", "quote", "time", "is_buyer_maker", "is_best_match"]


def seconds(action: Callable[[], object], repeat: int) -> float:
    """Return the median processor time of an action, all threads counted."""
    taken = []
    for _ in range(repeat):
        start = time.process_time()
        action()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def parse_alone(path: Path) -> int:
    """Unzip and parse all columns with pyarrow, block by block, keeping nothing."""
    rows = 0
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as member:
        options = pa_csv.ReadOptions(column_names=COLUMNS, block_size=4 << 20, use_threads=False)
        for batch in pa_csv.open_csv(member, options):
            rows += batch.num_rows
    return rows


def request(path: Path) -> ImportRequest:
    """Ask for the import of the archive."""
    return ImportRequest(
        (path,), "binance", "spot", "XRPUSDT", "trades", tick_size=Decimal("0.0001"), lot_size=Decimal("0.1")
    )


def measure_import(rows: int, repeat: int) -> dict[str, Any]:
    """Import an archive and read it back."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / NAME
        write_zip(path, rows)
        assert parse_alone(path) == rows
        import_files(request(path), folder / "warm")
        alone, ours, read, count = [], [], [], iter(range(1_000))
        for _ in range(repeat):  # alternating, so that a busy moment of the machine hits both
            alone.append(seconds(lambda: parse_alone(path), 1))
            ours.append(seconds(lambda: import_files(request(path), folder / f"c{next(count)}"), 1))
        catalog = Catalog(folder / "warm")
        back = catalog.read_trades_all(INSTRUMENT)
        assert len(back) == rows
        assert int(back.trade_id[-1]) > int(back.trade_id[0]) > 0
        read = [seconds(lambda: catalog.read_trades_all(INSTRUMENT), 1) for _ in range(repeat + 2)]
        ratios = [mine / other for mine, other in zip(ours, alone, strict=True)]
        return {
            "trades": rows,
            "zip_mb": round(path.stat().st_size / 1e6, 1),
            "parse_alone_s": round(statistics.median(alone), 2),
            "import_s": round(statistics.median(ours), 2),
            "import_over_parse_alone": round(statistics.median(ratios), 2),
            "read_m_trades_per_s": round(1e-6 * rows / statistics.median(read), 2),
        }


def measure_command(arguments: list[str]) -> tuple[float, float]:
    """Run ``download_data.py`` and return its seconds by the clock and its largest peak RSS in MB."""
    # The child is started by a small process: the peak that Linux reports starts at the parent's size.
    program = (
        "import json, resource, subprocess, sys, time\n"
        "start = time.perf_counter()\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "taken = time.perf_counter() - start\n"
        "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024\n"
        "print(json.dumps([taken, peak]))\n"
    )
    command = [sys.executable, "-c", program, sys.executable, str(ROOT / "download_data.py"), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    taken, peak = json.loads(done.stdout)
    return taken, peak


def measure_memory(rows: int) -> dict[str, Any]:
    """Import one archive of `rows` trades in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / NAME
        write_zip(path, rows, level=1)
        arguments = ["import", str(path), "--venue=binance", "--market=spot", "--symbol=XRPUSDT"]
        arguments += ["--kind=trades", "--tick-size=0.0001", "--lot-size=0.1", f"--catalog={name}/catalog"]
        taken, peak = measure_command(arguments)
        found = Catalog(Path(name) / "catalog").series()[0]["rows"]
        assert found == rows
        return {"trades": rows, "peak_mb": round(peak), "import_s": round(taken, 1)}


def measure_klines() -> dict[str, Any]:
    """Import the shared 5m klines of 100 symbols in one command."""
    files = sorted((SHARED / "klines_5m").glob("*.parquet"))
    if not files:
        raise SystemExit(f"no klines in {SHARED / 'klines_5m'}: set SHARED_DATA")
    with tempfile.TemporaryDirectory() as name:
        arguments = ["import", *map(str, files), "--venue=binance", "--market=spot", "--symbol=auto"]
        arguments += ["--kind=klines", "--interval=5m", f"--catalog={name}/catalog"]
        taken, peak = measure_command(arguments)
        series = Catalog(Path(name) / "catalog").series()
        assert len(series) == len(files)
        rows = sum(row["rows"] for row in series)
        return {"symbols": len(series), "klines": rows, "import_s": round(taken, 1), "peak_mb": round(peak)}


def main() -> int:
    """Measure and print ratios and rates."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trades", type=int, default=5_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--klines", action="store_true", help="also import the shared 5m klines")
    parser.add_argument("--memory", type=int, metavar="ROWS", help="also import a month of so many trades")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"archive": measure_import(arguments.trades, arguments.repeat)}
    if arguments.klines:
        result["klines"] = measure_klines()
    if arguments.memory:
        result["memory"] = measure_memory(arguments.memory)
    result["machine"] = {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "pyarrow": pa.__version__,
    }
    if arguments.json:
        print(json.dumps(result))
        return 0
    for name, figures in result.items():
        print(name, *(f"{key} {value}" for key, value in figures.items()), sep="  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
