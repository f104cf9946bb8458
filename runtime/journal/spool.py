"""Append records to disk by one `write()` on the calling thread.

The page cache keeps what was written when the process is killed; commands are also synced to the disk. A disk
that refuses never raises into trading: the spool says that it is failing, so that entries halt, and keeps
what it could not write in memory until the disk takes it again. A reserve on disk is given up at the first
"no space left", so that exits are still journaled.
"""

import errno
import os
import threading
import time
from collections import deque
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from runtime.journal.framing import frame_of, stand_in
from runtime.journal.records import SYNCED
from runtime.journal.segments import JOURNAL, RESERVE, Lane, segment_path, segments_of

SEGMENT_BYTES: Final = 8 << 20
RESERVE_BYTES: Final = 4 << 20
BACKLOG_RECORDS: Final = 50_000
RETRY_SECS: Final = 0.5
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Spool:
    """One lane of one session's spool.

    Parameters
    ----------
    folder
        Of the session; made if it does not exist.
    lane
        `JOURNAL`, or `TELEMETRY_LANE`.
    segment_bytes
        A new file begins when the current one is larger.
    reserve_bytes
        Space held back for the records of exits when the disk is full; 0 for none.
    backlog_records
        Records kept in memory while the disk refuses; more are lost and counted.

    Raises
    ------
    OSError
        When the folder cannot be made or written: a session without a journal must not start.
    """

    def __init__(
        self,
        folder: Path,
        lane: Lane = JOURNAL,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
        backlog_records: int = BACKLOG_RECORDS,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder, self.lane = folder, lane
        if segments_of(folder, lane):
            raise FileExistsError(errno.EEXIST, "a spool of this session exists already", str(folder))
        self.failure = ""
        self.remedy = ""
        self.lost = 0
        self.next_seq = 0
        self._segment_bytes = segment_bytes
        self._reserve_bytes = reserve_bytes
        self._backlog_records = backlog_records
        self._backlog: deque[tuple[int, bytes]] = deque()
        self._lock = threading.Lock()
        self._retry_at_s = 0.0
        self._size = 0
        self._fd = -1
        self._open_segment(0)
        self._make_reserve()
        sync_folder(folder)

    @property
    def is_failing(self) -> bool:
        """Whether the disk refused and has not recovered: enter nothing; exits are journaled still."""
        return bool(self.failure)

    @property
    def backlog(self) -> int:
        """Records that wait in memory for the disk."""
        return len(self._backlog)

    def append(self, record: Any) -> int:
        """Write a record; return its number. Never raises for what a disk or a record's content does.

        Parameters
        ----------
        record
            A struct of :data:`runtime.journal.records.STREAMS`.
        """
        with self._lock:
            seq = self.next_seq
            try:
                frame = frame_of(record, seq)
            except (ValueError, TypeError, OverflowError, KeyError, RecursionError) as error:
                self.lost += 1  # its place is kept, so that verify names it
                frame = stand_in(record, seq, error)
            self.next_seq = seq + 1
            if self._backlog or self._write(frame, seq) < len(frame):
                self._keep(frame, seq)
            if self.failure:
                self._recover()
            if type(record) in SYNCED and not self._backlog:
                self._sync()
            return seq

    def append_many(self, records: list[Any]) -> int:
        """Write records by one `write()`; return how many of the first the disk took: all of them, or none.

        A few of them only where it took part of the bytes and would not have that part cut off again. What it
        did not take is the caller's to keep. Never raises for what a disk does.
        """
        with self._lock:
            frames = [frame_of(record, self.next_seq + step) for step, record in enumerate(records)]
            stays = self._write(b"".join(frames), self.next_seq)
            taken = sum(end <= stays for end in accumulate(map(len, frames)))
            self.next_seq += taken
            if taken == len(frames):
                self.failure = ""
            return taken

    def retry(self) -> bool:
        """Try to write what waits in memory; return whether the spool works. Call it every second or so.

        Never raises for what a disk does.
        """
        with self._lock:
            if self.failure:
                self._retry_at_s = 0.0
                self._recover()
            return not self.failure

    def close(self) -> None:
        """Sync, close, give the reserve back, count what the disk did not take. Never raises for a disk."""
        with self._lock:
            if self.failure:
                self._retry_at_s = 0.0
                self._recover()
            if self._fd >= 0:
                self._sync()
                self._close_file()
            self.lost += len(self._backlog)
            self._backlog.clear()
            self._give_reserve_up()

    # -- the disk ----------------------------------------------------------------------------------------

    def _write(self, frames: bytes, seq: int) -> int:
        """Return the bytes that are in the file: all, or none unless a part could not be cut off again."""
        try:
            if self._size >= self._segment_bytes or self._fd < 0:
                self._open_segment(seq)
            written = os.write(self._fd, frames)
        except OSError as error:
            self._note(error)
            return 0
        if written == len(frames):
            self._size += written
            return written
        self._note(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))  # short: a disk that filled up
        return 0 if self._take_back() else written

    def _take_back(self) -> bool:
        """Cut a half-written frame off, so that the next one does not stand behind rubbish."""
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            self._close_file()  # readers skip to the next segment
            return False
        return True

    def _close_file(self) -> None:
        # Its number belongs to somebody else from here on, also when the disk complains while closing.
        fd, self._fd = self._fd, -1
        try:
            os.close(fd)
        except OSError as error:
            self._note(error)

    def _note(self, error: OSError) -> None:
        words = error.strerror or str(error)
        if error.errno in _FULL:
            free = free_bytes(self.folder)
            self.failure = f"{self.folder}: no space left for the journal ({words}, {free} bytes free)"
            needed = (self._reserve_bytes >> 20) + 1
            self.remedy = f"free disk space, at least {needed} MiB, or raise the quota"
        else:
            self.failure = f"{self.folder}: the journal cannot be written ({words})"
            self.remedy = "check disk and permissions"

    def _keep(self, frame: bytes, seq: int) -> None:
        if len(self._backlog) < self._backlog_records:
            self._backlog.append((seq, frame))
        else:
            self.lost += 1

    def _recover(self) -> None:
        """Give the reserve up if it is still there, write what waits, see whether there is space again."""
        now_s = time.monotonic()
        if not self._give_reserve_up() and now_s < self._retry_at_s:
            return
        self._retry_at_s = now_s + RETRY_SECS
        reason = self.failure
        while self._backlog:
            seq, frame = self._backlog[0]
            if self._write(frame, seq) < len(frame):
                return
            self._backlog.popleft()
        # With the reserve used up the journal still works; entries wait until there is room for it again.
        self.failure = "" if self._make_reserve() else reason

    def _open_segment(self, first_seq: int) -> None:
        fd = os.open(segment_path(self.folder, self.lane, first_seq), _FLAGS, 0o600)
        try:
            size = os.fstat(fd).st_size
        except OSError:
            with suppress(OSError):
                os.close(fd)
            raise
        if self._fd >= 0:
            self._close_file()
        self._fd, self._size = fd, size

    def _give_reserve_up(self) -> bool:
        """Remove the reserve; return whether there was one that the disk let go."""
        try:
            os.unlink(self.folder / RESERVE)  # noqa: PTH108 - by `os` like all calls here: tests refuse them
        except OSError:  # none there, or a disk that takes no change at all
            return False
        return True

    def _make_reserve(self) -> bool:
        if not self._reserve_bytes or not hasattr(os, "posix_fallocate"):
            return True
        try:
            fd = os.open(self.folder / RESERVE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, self._reserve_bytes)
            finally:
                os.close(fd)
        except OSError:
            self._give_reserve_up()
            return False
        return True

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            self._note(error)


def free_bytes(folder: Path) -> int:
    """Return what the disk of a folder still takes, bytes; 0 where it does not say."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return 0
    return disk.f_bavail * disk.f_frsize


def sync_folder(folder: Path) -> None:
    """Make new file names survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
