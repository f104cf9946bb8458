"""What the writer says to the node: a small file in the spool, so that the node needs no SQL."""

import os
import time
from pathlib import Path
from typing import Final, Literal

import msgspec

STATUS: Final = ".writer.json"
# The writer speaks every second, and after its longest wait for a database, which is ten seconds.
STALE_SECS: Final = 15.0

type State = Literal["working", "waiting", "refused"]


class WriterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the writer says about itself, in `<spool>/.writer.json`.

    Parameters
    ----------
    ts_ns
        When it said so, UNIX nanoseconds.
    pid
        Of its process.
    state
        ``working``; ``waiting`` for a database that will come back; ``refused`` until a person acts.
    reason, remedy
        Why it is not working, and what a person must do where waiting does not help.
    rows
        Records committed since it started.
    pending_bytes
        Size of the segments in the spool.
    """

    ts_ns: int
    pid: int
    state: State
    reason: str = ""
    remedy: str = ""
    rows: int = 0
    pending_bytes: int = 0


def say_status(root: Path, status: WriterStatus) -> None:
    """Write the status file; a full disk is told to the node by its own writes."""
    partial = root / f"{STATUS}.partial"
    try:
        root.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(msgspec.json.encode(status))
        partial.replace(root / STATUS)
    except OSError:
        return


def read_status(root: Path) -> WriterStatus | None:
    """Return what the writer of a spool last said, None before it said anything."""
    try:
        return msgspec.json.decode((root / STATUS).read_bytes(), type=WriterStatus)
    except (OSError, msgspec.DecodeError):
        return None


def writer_trouble(root: Path) -> str:
    """Return what is wrong with the writer of a spool, empty where nothing is.

    A writer whose process is gone, or that said nothing for :data:`STALE_SECS`, is dead: records then wait in
    the spool.
    """
    status = read_status(root)
    if status is None:
        return f"no writer feeds {root}: start `python -m runtime.journal write`"
    age_s = time.time() - status.ts_ns / 1e9
    if not _is_alive(status.pid) or age_s > STALE_SECS:
        return (
            f"the writer of {root} is dead (process {status.pid}, silent for {age_s:.0f} s): start "
            "`python -m runtime.journal write`"
        )
    return status.reason


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def pending_bytes(root: Path) -> int:
    """Return the size of all segments below a spool."""
    total = 0
    for path in root.glob("*/*.spool"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue  # fed meanwhile
    return total
