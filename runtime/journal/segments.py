"""The files of a spool: `<root>/<session>/<lane>-<first number>.spool`, and who holds the session.

A lane numbers its records from 0 without a gap. Two lanes exist: what must not be lost, and telemetry.
"""

import fcntl
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple

from runtime.errors import ConfigurationError
from runtime.journal.binding import BINDING, read_binding
from runtime.journal.framing import MAX_BODY, Damage, Frame, frames_in

type Lane = Literal["journal", "telemetry"]
JOURNAL: Final[Lane] = "journal"
TELEMETRY_LANE: Final[Lane] = "telemetry"
LANES: Final[tuple[Lane, ...]] = (JOURNAL, TELEMETRY_LANE)
SUFFIX: Final = ".spool"
LOCK: Final = "lock"
RESERVE: Final = "reserve"
DAMAGED: Final = ".damaged"  # in the spool: segments with bytes that are no records, one folder per session
# Other files are not ours: they are neither read nor removed.
_SEGMENT: Final = re.compile(rf"(?:{'|'.join(LANES)})-(?P<first>[0-9]{{20}}){re.escape(SUFFIX)}")
CHUNK: Final = 2 * MAX_BODY  # holds any frame


def segment_path(folder: Path, lane: Lane, first_seq: int) -> Path:
    """Return the file of the records from `first_seq` on."""
    return folder / f"{lane}-{first_seq:020d}{SUFFIX}"


def segments_of(folder: Path, lane: Lane) -> list[tuple[int, Path]]:
    """Return the lane's segments in order: number of the first record, file."""
    found = ((_SEGMENT.fullmatch(path.name), path) for path in folder.glob(f"{lane}-*{SUFFIX}"))
    return sorted((int(match["first"]), path) for match, path in found if match is not None)


class SessionLock:
    """Held by the process whose session it is; the kernel frees it when the process dies.

    Parameters
    ----------
    folder
        Of the session.

    Raises
    ------
    ConfigurationError
        When another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise ConfigurationError(
                f"{folder}: another process holds this session; stop it, or start another session"
            ) from None

    def release(self) -> None:
        """Let others take the session; twice is once."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_held(folder: Path) -> bool:
    """Return whether a living process writes this session."""
    try:
        SessionLock(folder).release()
    except ConfigurationError:
        return True
    except FileNotFoundError:
        return False
    return False


class Read(NamedTuple):
    """What one look at a lane found: whole frames in order, and bytes skipped as damaged."""

    frames: list[Frame]
    damaged_bytes: int


class LaneReader:
    """Reads a lane on from where it stopped, while another process appends to it.

    Parameters
    ----------
    folder, lane
        Whose records.
    next_seq
        Earlier records are passed over; segments that hold only such are removed by :meth:`forget`.
    """

    def __init__(self, folder: Path, lane: Lane, next_seq: int = 0) -> None:
        self.folder, self.lane, self.next_seq = folder, lane, next_seq
        self._first_seq = -1  # of the segment that is read
        self._offset = 0
        self._fd = -1

    def read(self, *, is_over: bool) -> Read:
        """Return the next frames, at most one chunk; nothing when there are none (yet).

        Parameters
        ----------
        is_over
            Nobody appends any more: a torn tail is cut off the file instead of waited for.
        """
        frames: list[Frame] = []
        damaged = 0
        while not frames:
            segments = segments_of(self.folder, self.lane)
            if not self._open(segments):
                break
            # Before the read: a segment that has a successor gets no more bytes.
            is_last = segments[-1][0] == self._first_seq
            chunk = os.pread(self._fd, CHUNK, self._offset)
            start, skipped = self._offset, 0
            for behind, item in frames_in(chunk):
                self._offset = start + behind
                if isinstance(item, Damage):
                    skipped = item.length  # a frame follows
                    continue
                if item.seq >= self.next_seq:  # earlier damage is counted already
                    self.next_seq = item.seq + 1
                    frames.append(item)
                    damaged += skipped
                if skipped:
                    self._keep_damaged()
                skipped = 0
            rest = start + len(chunk) - self._offset
            if self._offset > start:
                continue
            if is_last and not is_over:
                break  # more may come
            damaged += rest  # a tail that nobody will complete
            if rest:
                self._keep_damaged(is_cut=is_last)
            if is_last:
                if rest:
                    self._cut_tail()
                break
            self._open_next(segments)
        return Read(frames, damaged)

    def forget(self, committed_seq: int) -> int:
        """Remove the segments whose records all come before `committed_seq`; return how many."""
        segments = segments_of(self.folder, self.lane)
        gone = 0
        for (_first, path), (next_first, _path) in itertools.pairwise(segments):
            if next_first > committed_seq:
                break
            path.unlink(missing_ok=True)
            gone += 1
        return gone

    def rewind(self, next_seq: int) -> None:
        """Read again from this record on: what was read after it was not committed."""
        self.close()
        self.next_seq = next_seq

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._first_seq, self._offset = -1, -1, 0

    def _open(self, segments: list[tuple[int, Path]]) -> bool:
        if self._fd >= 0:
            return True
        wanted = [one for one in segments if one[0] <= self.next_seq][-1:] or segments[:1]
        for first_seq, path in wanted:
            self._fd, self._first_seq, self._offset = _open_read(path), first_seq, 0
        return bool(wanted)

    def _open_next(self, segments: list[tuple[int, Path]]) -> None:
        current = self._first_seq
        self.close()
        first_seq, path = next(one for one in segments if one[0] > current)
        self._fd, self._first_seq, self._offset = _open_read(path), first_seq, 0

    def _keep_damaged(self, *, is_cut: bool = False) -> None:
        """Keep the segment beside the sessions: a person may read more of it than this program.

        Parameters
        ----------
        is_cut
            The segment is cut after this, so a copy is needed; otherwise the file gets a second name.
        """
        source = segment_path(self.folder, self.lane, self._first_seq)
        nonce = read_binding(self.folder).nonce
        kept = self.folder.parent / DAMAGED / f"{self.folder.name}-{nonce}" / source.name
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not is_cut:
            try:
                os.link(source, kept)
            except FileExistsError:
                return
            except OSError:  # a file system without second names
                shutil.copy2(source, kept)
            return
        kept.unlink(missing_ok=True)
        shutil.copy2(source, kept)

    def _cut_tail(self) -> None:
        os.truncate(segment_path(self.folder, self.lane, self._first_seq), self._offset)


def _open_read(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def sessions_in(root: Path) -> Iterator[Path]:
    """Yield the session folders of a spool, oldest name first; folders of others are passed over."""
    if root.is_dir():
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
        yield from (path for path in folders if (path / LOCK).exists() or _has_segments(path))


def remove_session(folder: Path) -> None:
    """Remove what a session put into its folder, and the folder unless something else is in it."""
    for lane in LANES:
        for _first, path in segments_of(folder, lane):
            path.unlink(missing_ok=True)
    for name in (RESERVE, BINDING, LOCK):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _has_segments(folder: Path) -> bool:
    return any(segments_of(folder, lane) for lane in LANES)
