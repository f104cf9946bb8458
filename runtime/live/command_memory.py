"""The admitted commands on disk: a restart must not make a replay possible.

One line of JSON per change, appended; the last line of an id counts. A torn last line, of a power cut, is
passed over: its command was not executed, because that begins only after the line is on the disk.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from runtime.errors import DataError
from runtime.journal.spool import sync_folder
from runtime.live.commands import Remembered

REWRITE_BYTES: Final = 4 << 20


class CommandMemory:
    """A file of `Remembered`.

    Parameters
    ----------
    path
        Made when it does not exist, readable by its owner alone.

    Raises
    ------
    DataError
        When a line other than the last is damaged: what was seen is not known then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0

    def load(self, now_ns: int) -> tuple[Remembered, ...]:
        """Return what has not expired (UNIX nanoseconds), and keep nothing else."""
        by_id: dict[str, Remembered] = {}
        lines = self._path.read_bytes().split(b"\n") if self._path.exists() else []
        for number, line in enumerate(lines):
            if not line:
                continue
            try:
                one = msgspec.json.decode(line, type=Remembered)
            except msgspec.DecodeError as error:
                if number == len(lines) - 1:
                    break  # torn
                raise DataError(
                    f"{self._path} line {number + 1} is damaged ({error}): which commands were executed is "
                    "not known; delete the file once ten minutes have passed"
                ) from error
            by_id[one.id] = one
        kept = tuple(one for one in by_id.values() if one.expires_at_ns > now_ns)
        self.rewrite(kept)
        return kept

    def add(self, changes: Iterable[Remembered], *, is_synced: bool = True) -> None:
        """Append changes; with `is_synced` they are on the disk when this returns."""
        data = b"".join(msgspec.json.encode(one) + b"\n" for one in changes)
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, data)
            if is_synced:
                os.fsync(fd)
        finally:
            os.close(fd)
        self._size += len(data)

    @property
    def is_large(self) -> bool:
        """Tell whether it is time to `rewrite` it."""
        return self._size > REWRITE_BYTES

    def rewrite(self, kept: Iterable[Remembered]) -> None:
        """Replace the file by these."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        data = b"".join(msgspec.json.encode(one) + b"\n" for one in kept)
        other = self._path.with_suffix(".new")
        fd = os.open(other, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        other.replace(self._path)
        sync_folder(self._path.parent)
        self._size = len(data)
