"""The end of every session, in a file outside the database: who removes a whole session does not reach it.

One line per session that is over, appended and synced by the writer before it lets the session's spool go.
"""

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy.engine import URL

from runtime.errors import DataError
from runtime.journal.database import parse_url

SUFFIX: Final = ".heads"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where the chain of a session ended.

    Parameters
    ----------
    session_id
        Of the session.
    rows
        Length of its chain.
    last_hash
        Of its last row.
    """

    session_id: str
    rows: int
    last_hash: str


def heads_file(url: str | URL, spool: Path) -> Path:
    """Return the file of a journal: beside a SQLite file, for PostgreSQL beside the spool.

    Parameters
    ----------
    url
        Of the database.
    spool
        Folder of the spool.
    """
    parsed = parse_url(url) if isinstance(url, str) else url
    if parsed.drivername == "sqlite":
        return Path(f"{parsed.database}{SUFFIX}")
    place = f"{parsed.host}:{parsed.port}/{parsed.database}".encode()
    return spool.parent / f"{spool.name}-{hashlib.sha256(place).hexdigest()[:12]}{SUFFIX}"


def add_head(path: Path, head: Head) -> None:
    """Append a session's end and sync it, unless the file has it.

    Raises
    ------
    OSError
        When the file cannot be written.
    DataError
        When it cannot be read.
    """
    if read_heads(path).get(head.session_id) == head:
        return
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        # Begins a line of its own: a crash may have torn the one before.
        os.write(file, b"\n" + msgspec.json.encode(head) + b"\n")
        os.fsync(file)
    finally:
        os.close(file)


def read_heads(path: Path) -> dict[str, Head]:
    """Return the ends of all sessions by their id, nothing without the file; torn lines are left out.

    Raises
    ------
    DataError
        When the file cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    heads: dict[str, Head] = {}
    for line in lines:
        try:
            head = msgspec.json.decode(line, type=Head)
        except msgspec.MsgspecError:
            continue
        heads[head.session_id] = head
    return heads
