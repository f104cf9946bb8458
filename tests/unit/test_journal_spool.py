"""The spool: frames, torn tails, segments, a disk that fills up."""

import errno
import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import ConfigurationError
from runtime.journal.framing import MAX_BODY, MAX_TEXT, Damage, Frame, frame_of, frames_in
from runtime.journal.records import EquityRecord
from runtime.journal.segments import (
    JOURNAL,
    TELEMETRY_LANE,
    LaneReader,
    SessionLock,
    is_held,
    segment_path,
    segments_of,
)
from runtime.journal.session import SessionJournal, TelemetryQueue
from runtime.journal.spool import Spool
from tests.journal_records import DURABLE, START, decision, scripted

numbers = st.lists(st.integers(0, 10**6), min_size=1, max_size=8)


def drained(folder: Path, *, is_over: bool = True, next_seq: int = 0) -> tuple[list[Frame], int]:
    """Read a lane to its end: frames, and damaged bytes."""
    reader, frames, damaged = LaneReader(folder, JOURNAL, next_seq), [], 0
    while True:
        found = reader.read(is_over=is_over)
        frames += found.frames
        damaged += found.damaged_bytes
        if not found.frames:
            reader.close()
            return frames, damaged


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


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(os.urandom(4096))


@given(numbers)
def test_frames_come_back_in_order(values: list[int]) -> None:
    """What was written is what is read: number, stream and every field."""
    records = [make(value) for value in values for make in DURABLE]
    buffer = b"".join(frame_of(record, seq) for seq, record in enumerate(records))
    found = [item for _behind, item in frames_in(buffer)]
    assert [item.record() for item in found if isinstance(item, Frame)] == records
    assert [item.seq for item in found if isinstance(item, Frame)] == list(range(len(records)))


@given(numbers, st.data())
def test_torn_tail_costs_the_torn_record_only(values: list[int], data: st.DataObject) -> None:
    """However many bytes of the end are missing, every whole frame is read and the tail is left over."""
    frames = [frame_of(decision(value), seq) for seq, value in enumerate(values)]
    whole = b"".join(frames)
    cut = data.draw(st.integers(0, len(whole) - 1))
    ends = [sum(map(len, frames[: count + 1])) for count in range(len(frames))]
    found = list(frames_in(whole[:cut]))
    assert len(found) == sum(end <= cut for end in ends)
    assert all(isinstance(item, Frame) for _behind, item in found)


@given(numbers, st.binary(min_size=1, max_size=200), st.data())
def test_rubbish_between_frames_is_passed_over(
    values: list[int], rubbish: bytes, data: st.DataObject
) -> None:
    """Bytes that are no frame cost themselves: the frames around them are read."""
    frames = [frame_of(decision(value), seq) for seq, value in enumerate(values)]
    at = data.draw(st.integers(0, len(frames) - 1))
    found = [item for _behind, item in frames_in(b"".join([*frames[:at], rubbish, *frames[at:]]))]
    assert [item.seq for item in found if isinstance(item, Frame)] == list(range(len(frames)))
    assert sum(item.length for item in found if isinstance(item, Damage)) == len(rubbish)


@given(st.integers(0, 10**6), st.data())
def test_any_flipped_byte_is_noticed(number: int, data: st.DataObject) -> None:
    """A frame with a changed byte is no frame."""
    frame = bytearray(frame_of(decision(number), 7))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    assert [item for _behind, item in frames_in(bytes(frame)) if isinstance(item, Frame)] == []


def test_a_new_segment_begins_when_one_is_full(tmp_path: Path) -> None:
    """Segments are named by their first record; a reader goes from one to the next and starts anywhere."""
    spool = Spool(tmp_path / "s", segment_bytes=1000, reserve_bytes=0)
    for number in range(50):
        assert spool.append(scripted(number)) == number
    spool.close()
    assert len(segments_of(tmp_path / "s", JOURNAL)) > 5
    frames, damaged = drained(tmp_path / "s")
    assert ([frame.record() for frame in frames], damaged) == ([scripted(number) for number in range(50)], 0)
    late, _damaged = drained(tmp_path / "s", next_seq=33)
    assert [frame.seq for frame in late] == list(range(33, 50))


def test_only_committed_segments_are_forgotten(tmp_path: Path) -> None:
    """A segment goes when every record of it is committed; the last one stays."""
    spool = Spool(tmp_path / "s", segment_bytes=1000, reserve_bytes=0)
    for number in range(50):
        spool.append(scripted(number))
    firsts = [first for first, _path in segments_of(tmp_path / "s", JOURNAL)]
    reader = LaneReader(tmp_path / "s", JOURNAL)
    assert reader.forget(firsts[2] - 1) == 1
    assert reader.forget(firsts[2]) == 1
    assert [first for first, _path in segments_of(tmp_path / "s", JOURNAL)] == firsts[2:]
    reader.forget(1000)
    assert [first for first, _path in segments_of(tmp_path / "s", JOURNAL)] == firsts[-1:]


def test_the_tail_of_a_living_session_is_waited_for(tmp_path: Path) -> None:
    """Half a frame is left alone while its writer lives, and cut off when it is gone."""
    spool = Spool(tmp_path / "s", reserve_bytes=0)
    spool.append(decision(1))
    path = segment_path(tmp_path / "s", JOURNAL, 0)
    whole, frame = path.stat().st_size, frame_of(decision(2), 1)
    with path.open("ab") as file:
        file.write(frame[:20])
        file.flush()
        reader = LaneReader(tmp_path / "s", JOURNAL)
        assert [one.seq for one in reader.read(is_over=False).frames] == [0]
        assert reader.read(is_over=False) == ([], 0)
        file.write(frame[20:])
        file.flush()
        assert [one.seq for one in reader.read(is_over=False).frames] == [1]
        file.write(frame[:20])
        file.flush()
    assert reader.read(is_over=True) == ([], 20)
    assert path.stat().st_size == whole + len(frame)
    assert reader.read(is_over=True) == ([], 0)


def test_a_session_has_one_owner(tmp_path: Path) -> None:
    """Who holds a session keeps others out until it lets go."""
    lock = SessionLock(tmp_path)
    assert is_held(tmp_path)
    with pytest.raises(ConfigurationError, match="another process holds this session"):
        SessionLock(tmp_path)
    lock.release()
    assert not is_held(tmp_path)


def test_a_session_is_not_begun_twice(tmp_path: Path) -> None:
    """A session id belongs to one process's life: records of two would share numbers."""
    SessionJournal(tmp_path, "s1", START, reserve_bytes=0).abandon()
    with pytest.raises(ConfigurationError, match="take another id"):
        SessionJournal(tmp_path, "s1", START, reserve_bytes=0)
    assert [path.name for path in tmp_path.iterdir()] == ["s1"]
    with pytest.raises(ConfigurationError, match="at most 96 characters"):
        SessionJournal(tmp_path, "L" * 97, START, reserve_bytes=0)


def test_full_disk_halts_entries_and_loses_nothing(small_disk: Path) -> None:
    """On a full disk the reserve takes the records of exits; with space again everything is there."""
    journal = SessionJournal(small_disk, "s1", START, reserve_bytes=1 << 18)
    assert journal.halt_reason() == ""
    filler = small_disk / "filler"
    fill(filler)
    number = 0
    while not journal.spool.is_failing:
        number += 1
        journal.append(decision(number))
    assert "no space left" in journal.halt_reason()
    assert "free disk space" in journal.halt_reason()
    on_disk = segment_path(small_disk / "s1", JOURNAL, 0).stat().st_size
    for _exit in range(20):
        number += 1
        journal.append(decision(number))
    assert journal.spool.backlog == 0  # the reserve took them
    assert segment_path(small_disk / "s1", JOURNAL, 0).stat().st_size > on_disk
    while not journal.spool.backlog:
        number += 1
        journal.append(decision(number))
    filler.unlink()
    assert journal.spool.retry()
    assert (journal.halt_reason(), journal.spool.backlog, journal.spool.lost) == ("", 0, 0)
    journal.abandon()
    frames, damaged = drained(small_disk / "s1")
    assert [frame.seq for frame in frames] == list(range(number + 1))
    assert damaged == 0


def test_a_record_that_cannot_be_encoded_leaves_its_text(tmp_path: Path) -> None:
    """It never raises into trading: it is counted as lost, and what can be kept of it stands in its place."""
    spool = Spool(tmp_path / "s", reserve_bytes=0)
    refused = (
        decision(0, reason="bad \ud800 text"),
        decision(1, reason="x" * (MAX_BODY + 1)),
        decision(2, detail={"much": 2**70}),
        {"no": "record"},
    )
    for number, record in enumerate(refused):
        assert spool.append(record) == number
    assert spool.append(decision(4)) == 4
    assert (spool.lost, spool.failure) == (4, "")
    spool.close()
    frames, damaged = drained(tmp_path / "s")
    *stand_ins, whole = (frame.record() for frame in frames)
    assert (whole, damaged) == (decision(4), 0)
    assert [one.stream for one in stand_ins] == [4, 4, 4, 0]
    texts = [bytes.fromhex(one.body_hex).decode() for one in stand_ins]
    assert "reason='bad \\ud800 text'" in texts[0]
    assert len(texts[1]) == MAX_TEXT
    assert str(2**70) in texts[2]


def test_telemetry_drops_the_oldest_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the disk refusing, the newest telemetry is kept, the rest counted as dropped, and nobody waits."""
    queue = TelemetryQueue(tmp_path, capacity=10, max_bytes=0)
    for number in range(25):
        queue.put(EquityRecord(ts_ns=number, equity="1"))
    queue._flush()  # the lane is over its size: nothing is written
    assert queue.dropped == 15
    monkeypatch.setattr(queue, "_max_bytes", 1 << 20)
    queue.close()
    reader: Any = LaneReader(tmp_path, TELEMETRY_LANE)
    assert [frame.record().ts_ns for frame in reader.read(is_over=True).frames] == list(range(15, 25))
    assert queue.dropped == 15


def test_random_cuts_of_a_session_read_as_a_prefix(tmp_path: Path) -> None:
    """Whatever a crash leaves of the last segment, what is read is the beginning of what was written."""
    generator = random.Random(7)
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        spool = Spool(folder, segment_bytes=2000, reserve_bytes=0)
        for number in range(30):
            spool.append(scripted(number))
        spool.close()
        _first, last = segments_of(folder, JOURNAL)[-1]
        os.truncate(last, generator.randrange(last.stat().st_size + 1))
        frames, _damaged = drained(folder)
        assert [frame.record() for frame in frames] == [scripted(number) for number in range(len(frames))]
        assert drained(folder)[1] == 0  # the torn tail was cut


class SickDisk:
    """The module ``os`` as the spool sees it, on a disk that refuses what it is told to refuse.

    A refused `close` closes, as Linux does; a refused `write` is one that the disk takes `torn` bytes of, an
    error where that is 0.
    """

    def __init__(self) -> None:
        self.refuses: dict[str, int] = {}  # name of a call -> errno
        self.torn = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def __dir__(self) -> list[str]:
        return dir(os)

    def _ask(self, call: str) -> None:
        if (number := self.refuses.get(call)) is not None:
            raise OSError(number, os.strerror(number))

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        self._ask("open")
        return os.open(path, flags, mode)

    def write(self, fd: int, frames: bytes) -> int:
        if "write" in self.refuses and self.torn:
            return os.write(fd, frames[: min(self.torn, len(frames) - 1)])
        self._ask("write")
        return os.write(fd, frames)

    def close(self, fd: int) -> None:
        os.close(fd)
        self._ask("close")

    def unlink(self, path: Path) -> None:
        self._ask("unlink")
        path.unlink()

    def fstat(self, fd: int) -> os.stat_result:
        self._ask("fstat")
        return os.fstat(fd)

    def fsync(self, fd: int) -> None:
        self._ask("fsync")
        os.fsync(fd)

    def ftruncate(self, fd: int, size: int) -> None:
        self._ask("ftruncate")
        os.ftruncate(fd, size)

    def posix_fallocate(self, fd: int, offset: int, size: int) -> None:
        self._ask("posix_fallocate")
        os.posix_fallocate(fd, offset, size)

    def statvfs(self, path: Path) -> os.statvfs_result:
        self._ask("statvfs")
        return os.statvfs(path)


CALLS = ("open", "write", "close", "unlink", "fstat", "fsync", "ftruncate", "posix_fallocate", "statvfs")
READ_ONLY = dict.fromkeys(("open", "write", "unlink", "ftruncate", "posix_fallocate"), errno.EROFS)
REFUSALS = {
    "mounted read-only after an error": READ_ONLY,
    "dead: every call fails": dict.fromkeys(CALLS, errno.EIO),
    "a folder that may not be changed any more": dict.fromkeys(("open", "write", "unlink"), errno.EACCES),
    "a reserve that cannot be removed": {"write": errno.ENOSPC, "unlink": errno.EACCES},
}


@pytest.fixture
def sick(monkeypatch: pytest.MonkeyPatch) -> SickDisk:
    """Return the disk of all spools of this test."""
    disk = SickDisk()
    monkeypatch.setattr("runtime.journal.spool.os", disk)
    return disk


@pytest.mark.parametrize("refuses", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("torn", [0, 11])
def test_whatever_a_disk_refuses_is_kept_and_not_raised(
    tmp_path: Path, sick: SickDisk, refuses: dict[str, int], torn: int
) -> None:
    """Appending, asking again and closing do not raise; healed, every record is there once."""
    spool = Spool(tmp_path / "s", segment_bytes=1000, reserve_bytes=4096)
    for number in range(5):
        spool.append(decision(number))
    sick.refuses, sick.torn = refuses, torn
    for number in range(5, 30):
        assert spool.append(decision(number)) == number
        assert spool.is_failing
    assert not spool.retry()
    assert (spool.backlog, spool.lost) == (25, 0)
    sick.refuses = {}
    assert spool.retry()
    spool.append(decision(30))
    spool.close()
    frames, _torn_tails = drained(tmp_path / "s")
    assert [frame.record() for frame in frames] == [decision(number) for number in range(31)]
    assert spool.lost == 0
    assert not (tmp_path / "s" / "reserve").exists()


@pytest.mark.parametrize("refuses", REFUSALS.values(), ids=REFUSALS)
def test_what_a_disk_does_not_take_to_the_end_is_counted(
    tmp_path: Path, sick: SickDisk, refuses: dict[str, int]
) -> None:
    """Closing does not raise either; twice is once, and what is lost is counted once."""
    spool = Spool(tmp_path / "s", reserve_bytes=4096)
    spool.append(decision(0))
    sick.refuses = refuses
    for number in range(1, 4):
        spool.append(decision(number))
    spool.close()
    spool.close()
    assert (spool.lost, spool.backlog) == (3, 0)
    assert [frame.seq for frame in drained(tmp_path / "s")[0]] == [0]


def test_what_waits_is_written_at_the_end_also_without_a_file(tmp_path: Path, sick: SickDisk) -> None:
    """A segment that was given up for a torn record is no reason to leave what waits in memory."""
    spool = Spool(tmp_path / "s", reserve_bytes=0)
    spool.append(decision(0))
    sick.refuses, sick.torn = READ_ONLY, 11
    spool.append(decision(1))
    sick.refuses = {}
    spool.close()
    assert [frame.record() for frame in drained(tmp_path / "s")[0]] == [decision(0), decision(1)]
    assert spool.lost == 0


def test_a_file_that_complains_while_closing_is_not_written_to_again(tmp_path: Path, sick: SickDisk) -> None:
    """Its number may be that of another file by then: a record would land in there."""
    spool = Spool(tmp_path / "s", segment_bytes=1, reserve_bytes=0)
    spool.append(decision(0))
    sick.refuses = {"close": errno.EIO}
    spool.append(decision(1))
    with (tmp_path / "other").open("wb") as other:
        spool.append(decision(2))
        assert os.fstat(other.fileno()).st_size == 0
    spool.close()
    frames, damaged = drained(tmp_path / "s")
    assert ([frame.record() for frame in frames], damaged) == ([decision(number) for number in range(3)], 0)


@given(st.lists(st.tuples(st.sets(st.sampled_from(CALLS)), st.integers(0, 300)), max_size=12))
def test_a_disk_of_many_moods_costs_and_doubles_nothing(moods: list[tuple[set[str], int]]) -> None:
    """Whatever it refuses in whatever order: healed, every record is there once, in order."""
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        sick = SickDisk()
        patch.setattr("runtime.journal.spool.os", sick)
        spool = Spool(Path(root) / "s", segment_bytes=600, reserve_bytes=4096)
        for number, (calls, torn) in enumerate(moods):
            sick.refuses, sick.torn = dict.fromkeys(calls, errno.EIO), torn
            assert spool.append(scripted(number)) == number
            spool.retry()
        sick.refuses = {}
        spool.close()
        frames, _torn_tails = drained(Path(root) / "s")
        assert [frame.record() for frame in frames] == [scripted(number) for number in range(len(moods))]
        assert spool.lost == 0


@pytest.mark.parametrize("torn", [0, 11, 100, 250])
@pytest.mark.parametrize("cuts", [True, False])
def test_telemetry_that_was_written_in_part_is_not_written_twice(
    tmp_path: Path, sick: SickDisk, torn: int, *, cuts: bool
) -> None:
    """What the disk keeps of a batch is told; the rest comes later, under numbers of its own."""
    records = [EquityRecord(ts_ns=number, equity="1") for number in range(10)]
    spool = Spool(tmp_path / "s", reserve_bytes=0)
    sick.refuses, sick.torn = {"write": errno.ENOSPC} | ({} if cuts else {"ftruncate": errno.EIO}), torn
    taken = spool.append_many(records)
    assert spool.is_failing
    assert (taken > 0) == (torn >= 100 and not cuts)
    sick.refuses = {}
    assert spool.append_many(records[taken:]) == 10 - taken
    assert not spool.is_failing
    spool.close()
    frames, _torn_tail = drained(tmp_path / "s")
    assert [frame.record() for frame in frames] == records


def test_telemetry_goes_on_after_a_disk_that_answers_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be looked at keeps the records in memory, and does not end the thread."""
    queue = TelemetryQueue(tmp_path, capacity=10)
    queue.put(EquityRecord(ts_ns=1, equity="1"))

    def refuse(_path: Path, _pattern: str) -> Iterator[Path]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "glob", refuse)
        queue._flush()
    queue.close()
    assert queue.dropped == 0
    frames = LaneReader(tmp_path, TELEMETRY_LANE).read(is_over=True).frames
    assert [frame.record().ts_ns for frame in frames] == [1]
