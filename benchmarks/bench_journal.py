"""The journal: what a record costs the node's thread, and how many records a second reach the database.

Goals: 15 us per record on the calling thread (encode, `write()`), 5,000 records/s sustained into SQLite and
3,000 into PostgreSQL, none lost or doubled when the database is frozen for 60 s under load.

    python benchmarks/bench_journal.py [--records 50000] [--frozen-secs 60] [--json]

Each append is timed alone; the median and the 99th percentile are of all of them, commands (which wait for
the disk) apart. Throughput is that of a session that is fed from its spool into a migrated database, the
spool's removal included, in records over wall time and over the processor time of this process: on a
machine with other work the second says what a quiet one would do. PostgreSQL is a cluster of its own with
the defaults of production (every commit is synced), reached by a socket. A regression in the first figure
makes ticks wait; in the second the spool grows.
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

from sqlalchemy import text  # noqa: E402

from runtime.journal.database import migrate, open_engine  # noqa: E402
from runtime.journal.records import CommandRecord  # noqa: E402
from runtime.journal.session import SessionJournal  # noqa: E402
from runtime.journal.verify import verify  # noqa: E402
from runtime.journal.writer import Writer  # noqa: E402
from tests.journal_records import START, scripted  # noqa: E402
from tests.local_postgres import LocalPostgres, programs  # noqa: E402


def percentile(values: list[int], share: float) -> float:
    """Return a percentile of nanoseconds, microseconds."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] / 1e3


def appended(root: Path, session_id: str, count: int) -> dict[str, float]:
    """Append `count` scripted records one by one; return what each cost, microseconds."""
    journal = SessionJournal(root, session_id, START)
    plain: list[int] = []
    synced: list[int] = []
    begun_cpu_s = time.thread_time()
    for number in range(1, count + 1):
        record = scripted(number)
        if isinstance(record, CommandRecord) and number % 700 != 6:
            record = scripted(number + 1)  # a hundredth of the script's commands: each waits for the disk
        begun_ns = time.perf_counter_ns()
        journal.append(record)
        cost_ns = time.perf_counter_ns() - begun_ns
        (synced if isinstance(record, CommandRecord) else plain).append(cost_ns)
    cpu_us = (time.thread_time() - begun_cpu_s) / count * 1e6
    journal.abandon()
    assert not journal.spool.is_failing
    return {
        "records": float(len(plain)),
        "median_us": percentile(plain, 0.5),
        "p99_us": percentile(plain, 0.99),
        "cpu_us_with_building_the_record": cpu_us,
        "command_median_us": percentile(synced, 0.5) if synced else 0.0,
    }


def throughput(root: Path, url: str, count: int) -> dict[str, float]:
    """Feed a session into a migrated database; return records a second."""
    engine = open_engine(url)
    migrate(engine)
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    moved = Writer(root, url).drain()
    wall_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
    checked_s = time.process_time()
    (report,) = verify(engine)
    checked_s = time.process_time() - checked_s
    engine.dispose()
    assert (moved, report.rows, report.findings) == (count + 1, count + 1, [])
    return {
        "records_per_s": moved / wall_s,
        "records_per_cpu_s": moved / cpu_s,
        "verified_rows_per_cpu_s": report.rows / checked_s,
    }


def frozen(root: Path, url: str, seconds: float, rate: int) -> dict[str, float]:
    """Hold the write lock while a session journals; return what was lost and how fast it caught up."""
    engine = open_engine(url)
    migrate(engine)
    command = [sys.executable, "-m", "runtime.journal", "write", "--spool", str(root), "--url", url]
    writer = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    costs: list[int] = []
    try:
        journal = SessionJournal(root, "frozen", START)
        with engine.connect() as connection:
            is_postgres = engine.dialect.name == "postgresql"
            lock = "LOCK TABLE spool_positions IN ACCESS EXCLUSIVE MODE" if is_postgres else "SELECT 1"
            connection.execute(text(lock))
            begun_s = time.perf_counter()
            number = 0
            while time.perf_counter() - begun_s < seconds:
                for _step in range(rate // 100):
                    number += 1
                    record = scripted(number)
                    begun_ns = time.perf_counter_ns()
                    journal.append(record)
                    if not isinstance(record, CommandRecord):
                        costs.append(time.perf_counter_ns() - begun_ns)
                time.sleep(0.01)
            connection.rollback()
        back_s = time.perf_counter()
        journal.abandon()
        while any(path.is_dir() for path in root.iterdir()):
            time.sleep(0.05)
        caught_up_s = time.perf_counter() - back_s
    finally:
        writer.kill()
        writer.wait()
    (report,) = verify(engine)
    engine.dispose()
    return {
        "records": float(number),
        "lost": float(number + 1 - report.rows),
        "findings": float(len(report.findings)),
        "append_median_us": percentile(costs, 0.5),
        "caught_up_s": caught_up_s,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--frozen-secs", type=float, default=60.0)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=ROOT / "var" if (ROOT / "var").is_dir() else None) as folder:
        root = Path(folder)
        found["append"] = [
            appended(root / f"append{one}", "s", arguments.records) for one in range(arguments.passes)
        ]
        urls = {"sqlite": f"sqlite:///{root}/journal.sqlite"}
        folder_of = programs()
        server = None if folder_of is None else LocalPostgres(folder_of, durable=True)
        try:
            for name in ("sqlite", *(() if server is None else ("postgresql",))):
                passes = []
                for one in range(arguments.passes):
                    spool = root / f"{name}{one}"
                    appended(spool, "s", arguments.records)
                    url = server.new_url() if server and name == "postgresql" else urls["sqlite"] + str(one)
                    passes.append(throughput(spool, url, arguments.records))
                found[name] = passes
                if arguments.frozen_secs:
                    url = server.new_url() if server and name == "postgresql" else urls["sqlite"] + "frozen"
                    found[f"{name}_frozen"] = frozen(
                        root / f"{name}-frozen", url, arguments.frozen_secs, 1_000
                    )
        finally:
            if server is not None:
                server.remove()
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for name, passes in found.items():
        for figure in passes if isinstance(passes, dict) else passes[0]:
            values = [passes[figure]] if isinstance(passes, dict) else [one[figure] for one in passes]
            spread = f" ({min(values):,.1f} to {max(values):,.1f})" if len(values) > 1 else ""
            print(f"{name:20} {figure:34} {statistics.median(values):12,.1f}{spread}")


if __name__ == "__main__":
    main()
