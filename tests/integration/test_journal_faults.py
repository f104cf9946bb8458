"""Nothing is lost, nothing doubled: killed processes, a database that is frozen, away, full or read-only."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from runtime.journal.database import migrate, open_engine
from runtime.journal.models import Position
from runtime.journal.session import SessionJournal
from runtime.journal.status import read_status
from runtime.journal.verify import verify
from runtime.journal.writer import Writer
from tests.conftest import ROOT
from tests.journal_records import SCRIPT, START, scripted
from tests.local_postgres import LocalPostgres

# What a record of the script becomes: its table, and the column that carries its number.
TABLES = {
    "decisions": "setup_id",
    "orders": "setup_id",
    "fills": "setup_id",
    "trades": "setup_id",
    "commands": "command_id",
}


def python(*arguments: str, **pipes: int) -> subprocess.Popen[bytes]:
    """Start a Python program of the project."""
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stderr=subprocess.DEVNULL, **pipes)


def feeder(spool: Path, session: str, count: int = 0) -> subprocess.Popen[bytes]:
    """Start the stand-in for a live session."""
    return python("-m", "tests.journal_feeder", str(spool), session, str(count), stdout=subprocess.PIPE)


def writer(spool: Path, url: str) -> subprocess.Popen[bytes]:
    """Start the writer."""
    return python("-m", "runtime.journal", "write", "--spool", str(spool), "--url", url)


def promised(process: subprocess.Popen[bytes]) -> int:
    """Return the number of the last record whose append had returned when the process died."""
    assert process.stdout is not None
    said = process.stdout.read()
    process.stdout.close()
    process.wait()
    return int.from_bytes(said[len(said) // 8 * 8 - 8 :][:8], "little")


def kill_after(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Kill it that long after its first record; return what was promised."""
    assert process.stdout is not None
    first = os.read(process.stdout.fileno(), 8)
    assert first == bytes(8)
    deadline = time.monotonic() + seconds
    # Its promises are read all along: a full pipe would stop it.
    os.set_blocking(process.stdout.fileno(), False)
    kept = bytearray()
    while time.monotonic() < deadline:
        kept += process.stdout.read(1 << 16) or b""
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.set_blocking(process.stdout.fileno(), True)
    kept += process.stdout.read()
    process.stdout.close()
    whole = len(kept) // 8 * 8
    return int.from_bytes(kept[whole - 8 : whole], "little") if whole else 0


def check_session(url: str, session: str, last: int) -> int:
    """Compare the database with the script: every promised record once, nothing twice; return the records."""
    engine = open_engine(url)
    with engine.connect() as connection:
        found: list[tuple[int, str, str]] = []
        for table, column in TABLES.items():
            rows = connection.execute(
                text(f"SELECT seq, {column} FROM {table} WHERE session_id = :name"), {"name": session}
            )
            found += [(seq, table, label) for seq, label in rows]
    (report,) = verify(engine, session)
    engine.dispose()
    assert report.findings == []
    found.sort()
    total = len(found)
    assert total >= last, f"{last} records were promised, {total} are in the database"
    assert [seq for seq, _table, _label in found] == list(range(1, total + 1))
    for number, (_seq, _table, label) in enumerate(found, 1):
        record = scripted(number)
        assert label == getattr(record, "setup_id", None) or label == getattr(record, "command_id", None)
    return total


def killed_sessions(tmp_path: Path, url: str, count: int, seed: int) -> int:
    """Kill sessions and the writer at random moments; return how many records came through."""
    generator, spool = random.Random(seed), tmp_path / "spool"
    total = 0
    for number in range(count):
        feeding, session = writer(spool, url), feeder(spool, f"s{number:02d}")
        last = kill_after(session, generator.uniform(0.05, 1.0))
        time.sleep(generator.uniform(0, 0.3))
        feeding.kill()
        feeding.wait()
        Writer(spool, url).drain()
        total += check_session(url, f"s{number:02d}", last)
    assert [path for path in spool.iterdir() if not path.name.startswith(".")] == []
    return total


def test_killed_sessions_lose_and_double_nothing(tmp_path: Path, journal_url: str) -> None:
    """SIGKILL of node and writer at random moments: every append that returned is one row."""
    migrated(journal_url)
    assert killed_sessions(tmp_path, journal_url, 3, 1) > 100


@pytest.mark.slow
def test_thirty_killed_sessions_lose_and_double_nothing(tmp_path: Path, journal_url: str) -> None:
    """The same thirty times."""
    migrated(journal_url)
    assert killed_sessions(tmp_path, journal_url, 30, 2) > 1000


def migrated(url: str) -> None:
    """Make the schema."""
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()


@contextmanager
def frozen(url: str) -> Iterator[None]:
    """Hold a lock that keeps every writer out."""
    engine = open_engine(url)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("LOCK TABLE spool_positions IN ACCESS EXCLUSIVE MODE"))
        else:
            connection.execute(text("SELECT 1"))  # BEGIN IMMEDIATE
        yield
    engine.dispose()


def rows_of(url: str) -> int:
    """Return how far the writer is with all sessions."""
    engine = open_engine(url)
    with engine.connect() as connection:
        done = connection.scalar(select(func.sum(Position.row_count)).where(Position.lane == "journal")) or 0
    engine.dispose()
    return int(done)


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that must happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def freeze_under_load(tmp_path: Path, url: str, seconds: float, count: int) -> None:
    """Feed while the database is locked, then unlock it: everything arrives, once."""
    migrated(url)
    feeding = writer(tmp_path, url)
    try:
        with frozen(url):
            session = feeder(tmp_path, "s1", count)
            time.sleep(seconds)
            last = promised(session)  # it ends although the database is frozen
        assert last == count
        wait_until(lambda: rows_of(url) == count + 2)
    finally:
        feeding.kill()
        feeding.wait()
    Writer(tmp_path, url).drain()
    check_session(url, "s1", last)


def test_a_frozen_database_stops_nobody(tmp_path: Path, journal_url: str) -> None:
    """The session runs to its end while the database is locked; then its rows appear, each once."""
    freeze_under_load(tmp_path, journal_url, 0.5, 2_000)


@pytest.mark.slow
def test_a_database_frozen_for_a_minute_stops_nobody(tmp_path: Path, journal_url: str) -> None:
    """The same for sixty seconds, longer than every timeout."""
    freeze_under_load(tmp_path, journal_url, 60.0, 50_000)


def test_an_absent_database_is_waited_for(tmp_path: Path, postgres: LocalPostgres) -> None:
    """With the server gone the records stay in the spool; when it is back they are fed."""
    url = postgres.new_url()
    migrated(url)
    postgres.stop()
    try:
        journal = SessionJournal(tmp_path, "s1", START, reserve_bytes=0)
        for number in range(1, 101):
            journal.append(scripted(number))
        feeding = writer(tmp_path, url)
        wait_until(lambda: (status := read_status(tmp_path)) is not None and status.state == "waiting")
        assert journal.halt_reason() == ""  # no reason to stop trading
    finally:
        postgres.start()
    wait_until(lambda: rows_of(url) == 101)
    feeding.kill()
    feeding.wait()
    journal.abandon()
    Writer(tmp_path, url).drain()
    check_session(url, "s1", 100)


def test_a_read_only_database_halts_entries_and_says_why(tmp_path: Path, postgres: LocalPostgres) -> None:
    """What no waiting mends is a reason to enter nothing; records are taken all the same."""
    url = postgres.new_url()
    migrated(url)
    admin = open_engine(url)
    with admin.connect() as connection:
        name = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        connection.commit()
    admin.dispose()
    journal = SessionJournal(tmp_path, "s1", START, reserve_bytes=0)
    journal.append(scripted(1))
    feeding = writer(tmp_path, url)
    wait_until(lambda: "read-only" in journal.halt_reason())
    assert "make it writable or free space" in journal.halt_reason()
    assert "exits go on" in journal.halt_reason()
    journal.append(scripted(2))
    assert not journal.spool.is_failing
    fixed = open_engine(f"{url}&options=-c%20default_transaction_read_only%3Doff")
    with fixed.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.commit()
        connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
        connection.commit()
    fixed.dispose()
    feeding.kill()
    feeding.wait()
    journal.abandon()
    Writer(tmp_path, url).drain()
    check_session(url, "s1", 2)


def test_a_full_database_keeps_records_in_the_spool(tmp_path: Path) -> None:
    """SQLite on a disk without space: the writer says so and to do what; with space all rows are there."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"a small disk needs the right to mount: {done.stderr.strip()}")
    try:
        url, spool = f"sqlite:///{disk}/journal.sqlite", tmp_path / "spool"
        journal = SessionJournal(spool, "s1", START, reserve_bytes=0)
        count = 1_200 * len(SCRIPT)
        for number in range(1, count + 1):
            journal.append(scripted(number))
        feeding = writer(spool, url)
        wait_until(lambda: journal.halt_reason() != "", 20)
        assert "free space" in journal.halt_reason()
        feeding.kill()
        feeding.wait()
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        journal.abandon()
        Writer(spool, url).drain()
        assert check_session(url, "s1", count) == count
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        again = SessionJournal(spool, "s2", START, reserve_bytes=0)
        feeding = writer(spool, url)
        wait_until(lambda: again.halt_reason() != "")
        assert "make it writable" in again.halt_reason()
        feeding.kill()
        feeding.wait()
        again.abandon()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize(
    "journal_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)
def test_two_writers_do_not_disturb_each_other(tmp_path: Path, journal_url: str) -> None:
    """Whoever comes second finds the records done."""
    migrated(journal_url)
    session = feeder(tmp_path, "s1", 3_000)
    writers = [writer(tmp_path, journal_url) for _one in range(2)]
    last = promised(session)
    wait_until(lambda: rows_of(journal_url) == 3_002)
    for one in writers:
        one.kill()
        one.wait()
    Writer(tmp_path, journal_url).drain()
    assert check_session(journal_url, "s1", last) == 3_000
