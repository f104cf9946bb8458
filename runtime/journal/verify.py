"""Prove that nothing in the journal was edited, removed, reordered or cut off.

For every session the rows of all chained tables are read in order of their number and hashed again. Numbers
have no gaps, each row's hash covers the row before it, and the writer's position and the checkpoints say how
long the chain was: every change leaves at least one finding, with the table and number where it is.
"""

import heapq
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from runtime.errors import DataError
from runtime.journal.chain import GENESIS, next_hash
from runtime.journal.database import masked, require_schema, short, snapshot
from runtime.journal.heads import Head
from runtime.journal.models import Checkpoint, Position, SessionEnding
from runtime.journal.rows import CHAINED, REJECTED, REPEATED, Shape
from runtime.journal.segments import JOURNAL

MAX_FINDINGS: Final = 100  # a session that lost a table would say so a million times
_FETCH: Final = 2_000
_HASH: Final = re.compile("[0-9a-f]{64}")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it was written.

    Parameters
    ----------
    session_id
        Of the session.
    kind
        ``edited``, ``missing``, ``cut_tail``, ``added``, ``removed`` (a whole session), ``checkpoint``,
        ``refused`` or ``damaged``.
    table, seq
        Where, as far as it is known; -1 for no row.
    text
        The same in words.
    """

    session_id: str
    kind: str
    text: str
    table: str = ""
    seq: int = -1


class SessionReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in one session.

    Parameters
    ----------
    session_id, mode
        Of the session.
    rows, last_hash
        Length of its chain as read, and the hash at its end: write it down to compare it later.
    is_ended
        It ended in order; false while it runs and after a crash.
    checkpoints
        How many were compared.
    findings
        What is wrong; none for a sound session.
    """

    session_id: str
    mode: str
    rows: int
    last_hash: str
    is_ended: bool
    checkpoints: int
    findings: list[Finding]


class _Row(NamedTuple):
    seq: int
    shape: Shape
    values: list[Any]  # without the hash
    hash: str


def verify(
    engine: Engine, session_id: str | None = None, heads: Mapping[str, Head] | None = None
) -> list[SessionReport]:
    """Check every session of a journal, or one.

    Parameters
    ----------
    engine
        From :func:`runtime.journal.database.open_engine`.
    session_id
        The one; None for all.
    heads
        Where sessions ended, as it is written down outside the database
        (:func:`runtime.journal.heads.read_heads`); None compares with nothing.

    Raises
    ------
    DataError
        When the journal cannot be read, is of another version, or has no such session.
    """
    require_schema(engine)
    try:
        with snapshot(engine) as connection:
            ends = heads or {}
            names = sorted({*_sessions(connection), *ends}) if session_id is None else [session_id]
            reports = [_check(connection, name, ends.get(name)) for name in names]
    except SQLAlchemyError as error:
        raise DataError(f"journal {masked(engine.url)} cannot be read: {short(error, engine.url)}") from error
    if session_id is not None and not (reports[0].rows or reports[0].findings):
        raise DataError(f"journal {masked(engine.url)}: no session {session_id}")
    return reports


def _sessions(connection: Connection) -> list[str]:
    # From every table: a session whose first row was removed must not vanish from the check.
    names: set[str] = set()
    for column in [
        *(shape.table.c.session_id for shape in CHAINED),
        Position.session_id,
        Checkpoint.session_id,
    ]:
        names.update(connection.scalars(select(column).distinct()))
    return sorted(names)


class _Walk:
    """Goes along one chain and collects what is wrong."""

    def __init__(self, session_id: str, checkpoints: dict[int, str]) -> None:
        self.findings: list[Finding] = []
        self.count = self.next_seq = 0
        self.last_hash = GENESIS
        self._session_id = session_id
        self._checkpoints = checkpoints

    def find(self, kind: str, text: str, table: str = "", seq: int = -1) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(
                Finding(session_id=self._session_id, kind=kind, text=text, table=table, seq=seq)
            )

    def take(self, row: _Row) -> None:
        name = row.shape.name
        if row.seq > self.next_seq:
            missing = row.seq - self.next_seq
            self.find(
                "missing",
                f"{missing} row(s) missing before {name} {row.seq}: {self.next_seq} to {row.seq - 1}",
                "",
                self.next_seq,
            )
            # The chain cannot be followed over the gap; from here on the stored hash is taken as given.
            self.last_hash = str(row.hash)
        elif row.seq < self.next_seq:
            self.find("added", f"{name} {row.seq} exists a second time", name, row.seq)
            return
        else:
            self._check_hash(row)
        self.next_seq = row.seq + 1
        self.count += 1
        if row.shape is REJECTED:
            error = row.values[REJECTED.names.index("error")]
            if REPEATED in error:  # of a session before that was killed; the trade is in its rows
                return
            self.find("refused", f"record {row.seq} was refused by the database: {error}", name, row.seq)

    def _check_hash(self, row: _Row) -> None:
        name, stored = row.shape.name, row.hash
        # After an edited hash nothing can be computed: the row behind it is told as edited, too.
        known = _HASH.fullmatch(self.last_hash)
        if not known or next_hash(self.last_hash, name, row.shape.names, row.values) != stored:
            self.find(
                "edited", f"{name} {row.seq} is not what was written (or stood elsewhere)", name, row.seq
            )
        self.last_hash = str(stored)
        expected = self._checkpoints.pop(self.count + 1, stored)
        if expected != stored:
            self.find("checkpoint", f"{name} {row.seq}: the checkpoint says another hash", name, row.seq)

    def finish(self, position: Any) -> None:
        if position is not None:
            if position.next_seq > self.next_seq:
                self.find(
                    "cut_tail",
                    f"the last {position.next_seq - self.next_seq} row(s) are missing: the writer was at "
                    f"{position.next_seq}, the table ends at {self.next_seq}",
                    "",
                    self.next_seq,
                )
            elif (position.next_seq, position.row_count, position.last_hash) != (
                self.next_seq,
                self.count,
                self.last_hash,
            ):
                self.find("checkpoint", "the chain does not end where the writer stopped")
            if position.damaged_bytes:
                self.find("damaged", f"{position.damaged_bytes} bytes of the spool were no records")
        elif self.count:
            self.find("checkpoint", "the writer's position is missing")
        late = [count for count in self._checkpoints if count > self.count]
        if late:
            self.find("cut_tail", f"a checkpoint counted {max(late)} rows, there are {self.count}")

    def compare(self, head: Head | None) -> None:
        """Compare the end with what is written down outside the database."""
        if head is None or (self.count, self.last_hash) == (head.rows, head.last_hash):
            return
        if not self.count:
            self.find("removed", f"the whole session is gone: it had {head.rows} rows")
        elif self.count < head.rows:
            self.find("cut_tail", f"the session ended with {head.rows} rows, there are {self.count}")
        else:
            self.find("checkpoint", "the chain does not end as the session did")


def _check(connection: Connection, session_id: str, head: Head | None) -> SessionReport:
    counted = connection.execute(
        select(Checkpoint.row_count, Checkpoint.last_hash).where(Checkpoint.session_id == session_id)
    )
    checkpoints: dict[int, str] = {row.row_count: row.last_hash for row in counted}
    n_checkpoints = len(checkpoints)
    walk, mode = _Walk(session_id, checkpoints), ""
    for row in _rows(connection, session_id):
        mode = mode or row.values[row.shape.names.index("mode")]
        walk.take(row)
    position = connection.execute(
        select(Position.next_seq, Position.row_count, Position.last_hash, Position.damaged_bytes).where(
            Position.session_id == session_id, Position.lane == JOURNAL
        )
    ).one_or_none()
    walk.finish(position)
    walk.compare(head)
    ended = connection.scalar(select(SessionEnding.seq).where(SessionEnding.session_id == session_id))
    return SessionReport(
        session_id=session_id,
        mode=mode,
        rows=walk.count,
        last_hash=walk.last_hash,
        is_ended=ended is not None,
        checkpoints=n_checkpoints,
        findings=walk.findings,
    )


def _rows(connection: Connection, session_id: str) -> Iterator[_Row]:
    """Yield the rows of all chained tables in order of their number."""
    return heapq.merge(
        *(_table_rows(connection, shape, session_id) for shape in CHAINED), key=lambda row: row.seq
    )


def _table_rows(connection: Connection, shape: Shape, session_id: str) -> Iterator[_Row]:
    # In pieces by key: a cursor per table held open would hold its whole result in memory on PostgreSQL.
    query, after = shape.select(connection.dialect.name), -(2**63)
    seq_at = shape.names.index("seq")
    while True:
        batch = connection.exec_driver_sql(query, (session_id, after, _FETCH)).all()
        for row in batch:
            values = shape.read(row)
            yield _Row(values[seq_at], shape, values[:-1], values[-1])
        if len(batch) < _FETCH:
            return
        after = batch[-1][seq_at]
