"""A journal that cannot be written, in a real engine: nothing is opened, exits work, people are told why."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.backtest.engine import BacktestEngine
from sqlalchemy import text

from indicators.events import EventKind
from runtime.journal.actor import JournalActor, JournalActorConfig
from runtime.journal.database import open_engine
from runtime.journal.records import CommandRecord, SessionEnd
from runtime.journal.session import SessionJournal
from runtime.journal.verify import verify
from runtime.journal.writer import Writer
from runtime.notify.actor import NotifyActor, NotifyActorConfig
from runtime.notify.events import Event
from runtime.notify.events import EventKind as Told
from strategies.entry_halt import HALT_TOPIC, REARM_TOPIC, HaltEntries, RearmEntries
from tests.conftest import ROOT
from tests.integration.engine_harness import AccountName, CheckedStrategy, Run, event, run
from tests.integration.test_ote_orders import (
    BEFORE_TARGET,
    DOWN_TO_ENTRY,
    START,
    THROUGH_ENTRY,
    THROUGH_TARGET,
    flat,
    ramp,
)
from tests.journal_records import START as SESSION

RESERVE = 1 << 16


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder with a disk of one MiB of its own, or skip where it cannot be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"a small disk needs the right to mount: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


class Mouth:
    """Takes notifications."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def post(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)


@dataclass
class Node:
    """A journal on a real spool beside a test's engine, what was told, and the messages about entries."""

    journal: SessionJournal
    watch_secs: float = 0.0
    mouth: Mouth = field(default_factory=Mouth)
    halts: list[HaltEntries] = field(default_factory=list)
    _engine: Any = None

    def join(self, engine: BacktestEngine) -> None:
        """Add the actors."""
        self._engine = engine
        config = JournalActorConfig(component_id="JOURNAL-ON-DISK", watch_secs=self.watch_secs)
        engine.add_actor(JournalActor(config, self.journal))
        notifier: Any = self.mouth
        engine.add_actor(NotifyActor(NotifyActorConfig(poll_secs=0, tells_start=False), notifier))
        engine.kernel.msgbus.subscribe(topic=HALT_TOPIC, handler=self.halts.append)

    def fill_disk(self) -> None:
        """Write a file until the disk is full, and send commands until the spool's last page is full too."""
        with suppress(OSError), self.filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        while not self.journal.spool.is_failing:
            command = CommandRecord(ts_ns=1, command_id="c", actor="anna", origin="test", action="status")
            self._engine.kernel.msgbus.publish(topic="commands.test", msg=command)

    @property
    def filler(self) -> Path:
        """Return the file that fills the disk up."""
        return self.journal.root / ".filler"

    def rearm(self) -> None:
        """Be the person who allows entries again."""
        now_ns = self._engine.kernel.clock.timestamp_ns()
        self._engine.kernel.msgbus.publish(topic=REARM_TOPIC, msg=RearmEntries(ts_ns=now_ns, actor="anna"))

    def told(self) -> list[str]:
        """Return what people were told about halts."""
        return [one.text for one in self.mouth.events if one.kind is Told.HALT]


def node(spool: Path, **options: Any) -> Node:
    """Begin a session."""
    return Node(SessionJournal(spool, "s1", SESSION, reserve_bytes=RESERVE), **options)


RANGE = event(EventKind.RANGE_FORMED, low=1.0, high=1.1)
SECOND = event(EventKind.RANGE_FORMED, low=1.0, high=1.1, zone=7)
THIRD = event(EventKind.RANGE_FORMED, low=1.0, high=1.1, zone=8)
# Entry and position, then target; the same once more; the same a third time.
DOWN = [*flat(1.09, 5), *DOWN_TO_ENTRY, *THROUGH_ENTRY, *flat(1.03, 10), *ramp(1.029, 1.099, 20)]
ONCE = [*BEFORE_TARGET, *THROUGH_TARGET]
AGAIN = [*DOWN, *THROUGH_TARGET]
IN_POSITION = len(START) + len(DOWN_TO_ENTRY) + len(THROUGH_ENTRY) + 10
CHART = [*ONCE, *AGAIN, *AGAIN]
REARM_AT = len(ONCE) + len(AGAIN) - 2
SCRIPT = {
    2: [RANGE],
    len(ONCE) + 2: [SECOND],
    REARM_AT - 5: [event(EventKind.RANGE_SUPERSEDED, zone=7)],
    len(ONCE) + len(AGAIN) + 2: [THIRD],
}


def entries(result: Run) -> list[int]:
    """Return the zones whose entry went to the venue."""
    return [one.zone_id for one in result.kinds("entry_submitted")]


def at(moments: dict[int, Callable[[], None]]) -> Callable[[int, CheckedStrategy], None]:
    """Return a hook that does something at the trades of these numbers."""
    return lambda number, _strategy: moments.get(number, lambda: None)()


def check_halted_run(result: Run) -> None:
    """Assert that the first position reached its target, the second zone was left out, the third was not."""
    assert [one.exit_reason for one in result.trades] == ["target", "target"]
    assert entries(result) == [0, 8]
    skipped = [one for one in result.kinds("zone_skipped") if one.zone_id == 7]
    assert [one.reason for one in skipped] == ["halted"]
    assert [one.detail["source"] for one in result.kinds("halted")] == ["journal"]
    assert [one.detail["actor"] for one in result.kinds("rearmed")] == ["anna"]


@pytest.mark.parametrize("account", ["cash", "margin"])
def test_a_full_disk_halts_entries_and_lets_exits_work(
    small_disk: Path, tmp_path: Path, account: AccountName
) -> None:
    """A position is open when the disk fills up: it leaves at its target, nothing is opened until a rearm."""
    here = node(small_disk)
    moments = {IN_POSITION: here.fill_disk, REARM_AT - 1: here.filler.unlink, REARM_AT: here.rearm}
    result = run(CHART, SCRIPT, account=account, latency_ms=50, hook=at(moments), prepare=here.join)
    check_halted_run(result)
    (halt,) = here.halts
    assert str(small_disk) in halt.reason
    assert "no space left" in halt.reason
    assert "bytes free" in halt.reason
    assert "free disk space" in halt.remedy
    assert here.told() == [
        f"entries halted: {halt.text}; exits go on, entries wait for a person's rearm",
        "entries rearmed by anna",
    ]
    assert here.journal.spool.lost == 0
    here.journal.end(SessionEnd(ts_ns=1, reason="finished"))
    url = f"sqlite:///{tmp_path}/journal.sqlite"
    Writer(small_disk, url).drain()
    check_rows(url, result)


def check_rows(url: str, result: Run) -> None:
    """Assert that the journal verifies and has every decision and trade of the run."""
    engine = open_engine(url)
    (report,) = verify(engine)
    assert report.findings == []
    with engine.connect() as connection:
        count = connection.execute(text("SELECT COUNT(*) FROM decisions")).scalar_one()
        closed = connection.execute(text("SELECT setup_id FROM trades ORDER BY seq")).scalars().all()
    engine.dispose()
    assert count == len(result.decisions)
    assert closed == [one.setup_id for one in result.trades]


def test_a_waiting_entry_is_taken_back_when_the_disk_is_full(small_disk: Path) -> None:
    """An entry that rests when nothing can be journaled any more leaves the venue, unfilled."""
    here = node(small_disk)
    moments = {10: here.fill_disk}
    script = {2: [RANGE], 40: [SECOND]}
    result = run(CHART, script, latency_ms=50, hook=at(moments), prepare=here.join)
    assert entries(result) == [0]
    assert [one.reason for one in result.kinds("entry_cancelled")] == ["halted"]
    assert result.trades == []
    assert result.open_positions == 0


def test_a_rearm_while_the_disk_is_full_halts_again(small_disk: Path) -> None:
    """A person who rearms without having made room is told again, and nothing is opened."""
    here = node(small_disk)
    moments = {IN_POSITION: here.fill_disk, REARM_AT: here.rearm}
    result = run(CHART, SCRIPT, latency_ms=50, hook=at(moments), prepare=here.join)
    assert entries(result) == [0]
    assert [one.exit_reason for one in result.trades] == ["target"]
    assert len(here.halts) == 2
    assert result.strategy.is_halted


@contextmanager
def writing(spool: Path, url: str) -> Iterator[None]:
    """Run the writer's process."""
    arguments = ["-m", "runtime.journal", "write", "--spool", str(spool), "--url", url]
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that must happen."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_a_read_only_database_halts_entries_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    """The writer says so, the spool keeps everything, exits work; writable again and rearmed, all goes on."""
    url, spool = f"sqlite:///{small_disk}/journal.sqlite", tmp_path / "spool"
    here, writers = node(spool, watch_secs=0.02), ExitStack()

    def lock() -> None:
        """Feed what is there, make the database read-only, and wait until the writer has noticed."""
        first = Writer(spool, url)
        first.step()
        first.close()
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        writers.enter_context(writing(spool, url))
        wait_until(lambda: here.journal.trouble() is not None)

    def unlock() -> None:
        """Make it writable and wait until the writer works again."""
        writers.close()
        subprocess.run(["mount", "-o", "remount,rw,size=16m", small_disk], check=True)
        writers.enter_context(writing(spool, url))
        wait_until(lambda: here.journal.trouble() is None)

    moments = {IN_POSITION: lock, REARM_AT - 1: unlock, REARM_AT: here.rearm}
    with writers:
        result = run(CHART, SCRIPT, latency_ms=50, hook=at(moments), prepare=here.join)
    check_halted_run(result)
    (halt,) = here.halts
    assert "journal sqlite:///" in halt.reason
    assert halt.remedy == "make it writable or free space"
    assert here.told()[0].endswith("entries wait for a person's rearm")
    here.journal.end(SessionEnd(ts_ns=1, reason="finished"))
    Writer(spool, url).drain()
    check_rows(url, result)
