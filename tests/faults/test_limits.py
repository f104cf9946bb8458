"""F14: a disk that fills up: recording ends first, the journal uses its reserve, entries halt, exits work."""

import shutil
from pathlib import Path
from typing import Final

import pytest

from runtime.journal.records import SessionEnd
from runtime.journal.writer import Writer
from runtime.live.recording import RowWriter
from runtime.live.recording_files import Row, RowKind
from runtime.live.recording_settings import RecordingSettings
from tests.faults.recorder import record
from tests.integration.engine_harness import run
from tests.integration.test_journal_halt import (
    CHART,
    IN_POSITION,
    REARM_AT,
    SCRIPT,
    at,
    check_halted_run,
    check_rows,
    node,
    small_disk,
)

pytestmark = pytest.mark.fault

MEGABYTE: Final = 1_000_000
ROW: Final[Row] = (1, 1, RowKind.DECISION, "decision", b"", None)

__all__ = ["small_disk"]  # a fixture


def test_F14_a_disk_that_fills_up(small_disk: Path, tmp_path: Path) -> None:
    """A position is open while it does; it leaves at its target, and nothing of the journal is lost."""
    here = node(small_disk)
    recording = tmp_path / "recording"
    recording.mkdir()

    # The recording looks at the journal's disk and stops at half of it.
    def free_bytes(_folder: Path) -> int:
        return shutil.disk_usage(small_disk).free * 2

    writer = RowWriter(recording, RecordingSettings(rotate_rows=1, reserve_mb=1), free_bytes)
    first_stop: list[str] = []

    def fill_half() -> None:
        here.filler.write_bytes(bytes(MEGABYTE * 6 // 10))
        writer.add(ROW)
        writer.close()
        first_stop.append(writer.stopped)
        assert not here.journal.spool.is_failing, "the recording ends before the journal is in need"

    moments = {IN_POSITION - 1: fill_half, IN_POSITION: here.fill_disk}
    moments |= {REARM_AT - 1: here.filler.unlink, REARM_AT: here.rearm}
    result = run(CHART, SCRIPT, account="margin", latency_ms=50, hook=at(moments), prepare=here.join)
    check_halted_run(result)
    assert "recording has ended, trading goes on" in first_stop[0]
    here.journal.end(SessionEnd(ts_ns=1, reason="finished"))
    url = f"sqlite:///{tmp_path}/journal.sqlite"
    Writer(small_disk, url).drain()
    check_rows(url, result)
    record(
        "F14",
        "-",
        "the journal's disk, one MiB of its own, filled up while a position was open",
        measured={
            "recording": first_stop[0].partition(": ")[2],
            "halts": len(here.halts),
            "exit": result.trades[0].exit_reason,
            "records lost": here.journal.spool.lost,
        },
    )
    assert here.journal.spool.lost == 0
