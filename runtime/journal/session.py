"""One session's journal as the node sees it: append, ask how it is, end it."""

import errno
import hashlib
import threading
import time
from collections import deque
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from runtime.errors import ConfigurationError
from runtime.journal.binding import Binding, new_nonce, write_binding
from runtime.journal.records import TELEMETRY, SessionEnd, SessionStart
from runtime.journal.segments import JOURNAL, TELEMETRY_LANE, SessionLock, remove_session
from runtime.journal.spool import Spool
from runtime.journal.status import pending_bytes, read_status

TELEMETRY_CAPACITY: Final = 20_000
TELEMETRY_MAX_BYTES: Final = 64 << 20
FLUSH_SECS: Final = 0.25
STATUS_SECS: Final = 1.0
MAX_ID_LENGTH: Final = 96  # of the database's column
MAX_PENDING_BYTES: Final = 2 << 30
# A writer that said nothing for so long is gone: what it said does not count any more.
STATUS_MAX_AGE_NS: Final = 30 * 1_000_000_000
ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("indicators", "packet_builder", "ml", "strategies", "runtime")


class Trouble(NamedTuple):
    """Why nothing may be opened, and what a person must do about it."""

    reason: str
    remedy: str


class SessionJournal:
    """Takes a session's records; what must not be lost is on disk when :meth:`append` returns.

    Parameters
    ----------
    root
        Folder of the spool, shared by all sessions.
    session_id
        New name of the session, also of its folder.
    start
        The first record.
    binding
        Of :func:`runtime.journal.database.binding_of`: only writers of that database feed the session.
        Without one, any writer does.
    telemetry_capacity
        Telemetry records kept in memory; older ones are dropped and counted.
    spool_options
        Of :class:`runtime.journal.spool.Spool`.

    Raises
    ------
    ConfigurationError
        When the spool holds a session of this id, or the id is no name for one.
    OSError
        When the spool cannot be made: a session without a journal must not start.
    """

    def __init__(
        self,
        root: Path,
        session_id: str,
        start: SessionStart,
        *,
        binding: Binding | None = None,
        telemetry_capacity: int = TELEMETRY_CAPACITY,
        **spool_options: int,
    ) -> None:
        self.session_id, self.root = session_id, root
        self._lock = _claim(root, session_id, binding or Binding(nonce=new_nonce()))
        folder = root / session_id
        self.spool = Spool(folder, JOURNAL, **spool_options)
        self._telemetry = TelemetryQueue(folder, telemetry_capacity)
        self._checked_at_s = 0.0
        self._writer_trouble: Trouble | None = None
        self.append(start)

    @property
    def telemetry_dropped(self) -> int:
        """Telemetry records dropped so far."""
        return self._telemetry.dropped

    @property
    def records_lost(self) -> int:
        """Other records that could not be journaled whole so far; for metrics and health."""
        return self.spool.lost

    def append(self, record: Any) -> None:
        """Journal a record: telemetry into memory, everything else by one `write()` on this thread."""
        if type(record) in TELEMETRY:
            self._telemetry.put(record)
        else:
            self.spool.append(record)

    def refusal(self) -> Trouble | None:
        """Return what the disk refused at the last append, None while it takes everything; costs nothing."""
        spool = self.spool
        return Trouble(spool.failure, spool.remedy) if spool.failure else None

    def trouble(self) -> Trouble | None:
        """Return why entries must halt, None while the journal is safe. Tries the disk again first.

        A database that is locked or away for a while is no reason: the spool holds the records. A full disk,
        a database that refuses until a person acts, and a spool beyond its size are.
        """
        if self.spool.is_failing:
            self.spool.retry()
        if (refusal := self.refusal()) is not None:
            return refusal
        now_s = time.monotonic()
        if now_s >= self._checked_at_s:
            self._checked_at_s = now_s + STATUS_SECS
            self._writer_trouble = self._ask_writer()
        return self._writer_trouble

    def halt_reason(self) -> str:
        """Return :meth:`trouble` as a sentence, empty while the journal is safe."""
        found = self.trouble()
        return "" if found is None else f"{found.reason}: {found.remedy}; entries halt, exits go on"

    def end(self, end: SessionEnd) -> None:
        """Append the last record, with what was lost and dropped, and let the session go."""
        self._telemetry.close()
        lost, dropped = self.records_lost, max(end.telemetry_dropped, self.telemetry_dropped)
        self.append(msgspec.structs.replace(end, records_lost=lost, telemetry_dropped=dropped))
        self.spool.close()
        self._lock.release()

    def abandon(self) -> None:
        """Let the session go without an end, as a crash would."""
        self._telemetry.close()
        self.spool.close()
        self._lock.release()

    def _ask_writer(self) -> Trouble | None:
        status = read_status(self.root)
        is_silent = status is None or status.ts_ns < time.time_ns() - STATUS_MAX_AGE_NS
        if status is not None and status.state == "refused" and not is_silent:
            return Trouble(status.reason, status.remedy)
        try:
            pending = pending_bytes(self.root) if status is None or is_silent else status.pending_bytes
        except OSError as error:
            words = error.strerror or str(error)
            return Trouble(f"{self.root}: cannot be read ({words})", "check disk and permissions")
        if pending <= MAX_PENDING_BYTES:
            return None
        why = "no writer runs" if status is None or is_silent else status.reason
        return Trouble(
            f"{self.root}: {pending >> 20} MiB wait for the database ({why})",
            "start `python -m runtime.journal write`" if is_silent else "bring the database back",
        )


class TelemetryQueue:
    """Holds telemetry in memory and writes it in batches, on a thread of its own.

    Parameters
    ----------
    folder
        Of the session.
    capacity
        Records held; the oldest are dropped first, and counted.
    max_bytes
        Size of the lane on disk above which nothing is written: the database is away.
    """

    def __init__(self, folder: Path, capacity: int, max_bytes: int = TELEMETRY_MAX_BYTES) -> None:
        self.dropped = 0
        self._folder, self._max_bytes = folder, max_bytes
        self._spool = Spool(folder, TELEMETRY_LANE, segment_bytes=1 << 20, reserve_bytes=0)
        self._records: deque[Any] = deque(maxlen=capacity)
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-telemetry", daemon=True)
        self._thread.start()

    def put(self, record: Any) -> None:
        """Take a record; never waits."""
        with self._guard:
            if len(self._records) == self._records.maxlen:
                self.dropped += 1
            self._records.append(record)

    def close(self) -> None:
        """Write what is left, drop what the disk does not take."""
        self._stop.set()
        self._thread.join()
        self._flush()
        with self._guard:
            self.dropped += len(self._records)
            self._records.clear()
        self._spool.close()

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_SECS):
            self._flush()

    def _flush(self) -> None:
        with self._guard:
            batch = list(self._records)
            self._records.clear()
        try:
            taken = self._spool.append_many(batch) if batch and self._has_room() else 0
        except (ValueError, TypeError, OverflowError):  # one of them cannot be encoded
            with self._guard:
                self.dropped += len(batch)
            return
        if waiting := batch[taken:]:
            with self._guard:
                free = (self._records.maxlen or 0) - len(self._records)
                kept = waiting[max(0, len(waiting) - free) :] if free else []
                self.dropped += len(waiting) - len(kept)
                self._records.extendleft(reversed(kept))

    def _has_room(self) -> bool:
        try:
            sizes = (path.stat().st_size for path in self._folder.glob(f"{TELEMETRY_LANE}-*"))
            return sum(sizes) < self._max_bytes
        except FileNotFoundError:  # the writer removed a segment
            return True
        except OSError:  # the disk takes no questions either
            return False


def _claim(root: Path, session_id: str, binding: Binding) -> SessionLock:
    """Make the session's folder and hold it before anybody can see it."""
    if not session_id or session_id.startswith(".") or "/" in session_id or len(session_id) > MAX_ID_LENGTH:
        raise ConfigurationError(
            f"session id {session_id!r} is no name of a folder with at most {MAX_ID_LENGTH} characters"
        )
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    hidden = root / f".new-{session_id}-{binding.nonce}"
    hidden.mkdir(mode=0o700)
    lock = SessionLock(hidden)
    try:
        write_binding(hidden, binding)
        hidden.rename(root / session_id)
    except OSError as error:
        lock.release()
        remove_session(hidden)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise ConfigurationError(
                f"{root / session_id}: a session of this id waits to be fed or runs; take another id"
            ) from error
        raise
    return lock


def code_version() -> str:
    """Return the project's version and a digest of its sources: `0.1.0+src.3fa94c21d07b`."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    try:
        version = metadata.version("smcbot")
    except metadata.PackageNotFoundError:
        version = "0"
    return f"{version}+src.{digest.hexdigest()[:12]}"
