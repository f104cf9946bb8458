"""From one lane of one session's spool into the database, each record exactly once.

Rows and the writer's position go into one transaction, and rows are keyed by session and number: a batch that
was committed before a crash is neither lost nor added again.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError as SqlDataError
from sqlalchemy.exc import IntegrityError, StatementError

from runtime.errors import ConfigurationError
from runtime.journal.binding import read_binding
from runtime.journal.chain import GENESIS, next_hash
from runtime.journal.framing import Frame
from runtime.journal.heads import Head
from runtime.journal.models import Checkpoint, Position, Session, TradeRow
from runtime.journal.records import STREAMS, SessionStart
from runtime.journal.rows import POSTGRESQL, REJECTED, REPEATED, SHAPES, Shape
from runtime.journal.segments import JOURNAL, Lane, LaneReader, Read
from strategies.trade_manager.record import ClosedTrade

CHECKPOINT_SECS: Final = 10.0
READ_ATTEMPTS: Final = 5
BACKTEST: Final = "backtest"
TRADES_LOCK: Final = 0x74726164  # any number that nothing else of this database locks
type Row = tuple[Any, ...]
_TRADE_KEY: Final = ("strategy_id", "instrument_id", "setup_id", "entry_ts_ns", "exit_ts_ns")
UNKNOWN_MODE: Final = ""  # of a session whose first record is damaged


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a lane is: next record, rows so far, hash of the last one, bytes that were no records."""

    next_seq: int = 0
    row_count: int = 0
    last_hash: str = GENESIS
    damaged_bytes: int = 0


class LaneFeed:
    """Feeds one lane.

    Parameters
    ----------
    engine
        Of a migrated database.
    folder, lane
        Whose records.
    """

    def __init__(self, engine: Engine, folder: Path, lane: Lane) -> None:
        self._engine, self.lane, self.session_id = engine, lane, folder.name
        self._folder, self._nonce = folder, read_binding(folder).nonce
        self._reader = LaneReader(folder, lane)
        self._progress: Progress | None = None
        self._mode: str | None = None
        self._checkpoint_at_s = 0.0
        self._checkpoint_count = 0

    def step(self, *, is_over: bool) -> int:
        """Commit the next records; return how many, 0 when there are none.

        Parameters
        ----------
        is_over
            No process appends to this session any more.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            When the database refuses; nothing was committed and the next step begins at the same record.
        OSError
            When the spool cannot be read.
        ConfigurationError
            When the database has another session of this id: records of two would share numbers.
        """
        if self._progress is None:
            self._resume()
        assert self._progress is not None
        found = self._read(is_over=is_over)
        if not found.frames and not found.damaged_bytes:
            self._checkpoint(is_due=is_over or time.monotonic() >= self._checkpoint_at_s)
            return 0
        try:
            self._commit(found.frames, found.damaged_bytes)
        except BaseException:
            self._reader.rewind(self._progress.next_seq)
            self._progress = None  # the commit may have happened although its answer was lost
            raise
        self._reader.forget(self._progress.next_seq)
        return len(found.frames)

    @property
    def head(self) -> Head | None:
        """Where the chain stands that was committed, None before the first step and for an empty one."""
        done = self._progress
        if done is None or not done.row_count:
            return None
        return Head(session_id=self.session_id, rows=done.row_count, last_hash=done.last_hash)

    def close(self) -> None:
        """Close the spool's file."""
        self._reader.close()

    def _read(self, *, is_over: bool) -> Read:
        for _attempt in range(READ_ATTEMPTS):
            try:
                return self._reader.read(is_over=is_over)
            except FileNotFoundError:  # another writer committed the segment and removed it
                self._resume()
        return self._reader.read(is_over=is_over)

    # -- transactions ------------------------------------------------------------------------------------

    def _resume(self) -> None:
        with self._engine.begin() as connection:
            self._progress = self._held(connection)
            self._mode = connection.scalar(select(Session.mode).where(Session.session_id == self.session_id))
        self._checkpoint_count = 0
        self._reader.rewind(self._progress.next_seq)

    def _commit(self, frames: Sequence[Frame], damaged_bytes: int) -> None:
        try:
            with self._engine.begin() as connection:
                # The row is locked: a second writer waits here and then finds the records done.
                held = self._held(connection, is_locked=True)
                rows, done = self._rows(connection, frames, held)
                for shape, batch in rows.items():
                    _add(connection, shape, batch)
                done = replace(done, damaged_bytes=held.damaged_bytes + damaged_bytes)
                self._store(connection, done)
        except (IntegrityError, SqlDataError, StatementError, OverflowError) as error:
            if getattr(error, "connection_invalidated", False) or not _is_content(error) or len(frames) == 0:
                raise
            if len(frames) == 1:
                self._reject(frames[0], damaged_bytes, error)
                return
            for number, frame in enumerate(frames):  # find the one that the database does not take
                self._commit([frame], 0 if number else damaged_bytes)
            return
        self._progress = done

    def _store(self, connection: Connection, done: Progress) -> None:
        _upsert_position(connection, self._position(done))
        if self.lane == JOURNAL and time.monotonic() >= self._checkpoint_at_s:
            self._add_checkpoint(connection, done)

    def _held(self, connection: Connection, *, is_locked: bool = False) -> Progress:
        """Return how far the database is, of this session and no other of its id."""
        query = select(
            Position.next_seq, Position.row_count, Position.last_hash, Position.damaged_bytes, Position.nonce
        ).where(Position.session_id == self.session_id, Position.lane == self.lane)
        if is_locked:
            table: Any = Position.__table__
            _insert(connection, table, self._position(Progress()))  # nothing to lock otherwise
            query = query.with_for_update()
        found = connection.execute(query).one_or_none()
        if found is None:
            return Progress()
        if found.nonce != self._nonce:
            raise ConfigurationError(
                f"{self._folder}: the journal has another session {self.session_id!r} already; these records "
                f"are kept: rename the folder within the spool to feed them as a session of that name"
            )
        return Progress(found.next_seq, found.row_count, found.last_hash, found.damaged_bytes)

    def _position(self, done: Progress) -> dict[str, Any]:
        return {
            "session_id": self.session_id,
            "lane": self.lane,
            "next_seq": done.next_seq,
            "row_count": done.row_count,
            "last_hash": done.last_hash,
            "damaged_bytes": done.damaged_bytes,
            "nonce": self._nonce,
            "updated_ns": time.time_ns(),
        }

    def _rows(
        self, connection: Connection, frames: Sequence[Frame], held: Progress
    ) -> tuple[dict[Shape, list[Row]], Progress]:
        rows: dict[Shape, list[Row]] = {}
        next_seq, row_count, last_hash = held.next_seq, held.row_count, held.last_hash
        for frame in frames:
            if frame.seq < next_seq:
                continue
            shape, values = self._row(frame, connection)
            if shape is REJECTED and self.lane != JOURNAL:
                next_seq = frame.seq + 1  # telemetry has no place in the chain: it is dropped
                continue
            if shape.is_chained:
                last_hash = next_hash(last_hash, shape.name, shape.names, values)
                values.append(last_hash)
            rows.setdefault(shape, []).append(tuple(values))
            next_seq, row_count = frame.seq + 1, row_count + 1
        return rows, Progress(next_seq, row_count, last_hash, held.damaged_bytes)

    def _row(self, frame: Frame, connection: Connection) -> tuple[Shape, list[Any]]:
        try:
            record = frame.record()
            if isinstance(record, SessionStart):
                self._mode = record.mode
            if isinstance(record, ClosedTrade):
                self._require_new(record, connection)
            shape = SHAPES[type(record)]
            return shape, [*self._keys(frame), *shape.values(record)]
        except (ValueError, ArithmeticError, TypeError) as error:
            return REJECTED, [*self._keys(frame), *REJECTED.values(_refusal(frame, error))]

    def _require_new(self, trade: ClosedTrade, connection: Connection) -> None:
        """Refuse a trade that another session recorded, by a ValueError.

        A node that is killed between the record of a trade and its state file records it again when it is
        started again: its setup closes once more, by the same fills. Backtests of the same tape repeat trades
        in earnest.
        """
        if self._mode == BACKTEST:
            return
        if connection.dialect.name == POSTGRESQL:  # the writer of the other session may be at work as well
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": TRADES_LOCK})
        own = {name: getattr(trade, name) for name in _TRADE_KEY}
        query = select(TradeRow.session_id).where(TradeRow.session_id != self.session_id).filter_by(**own)
        if self._mode is None:  # the record that says it is damaged: no reason to count the trade twice
            query = query.where(TradeRow.mode != BACKTEST)
        else:
            query = query.where(TradeRow.mode.in_((self._mode, UNKNOWN_MODE)))
        other = connection.scalars(query.limit(1)).first()
        if other is not None:
            raise ValueError(f"{REPEATED} by session {other}")

    def _keys(self, frame: Frame) -> tuple[str, int, str]:
        return self.session_id, frame.seq, UNKNOWN_MODE if self._mode is None else self._mode

    def _reject(self, frame: Frame, damaged_bytes: int, error: Exception) -> None:
        """Keep a record that the database refuses for what it says, where nobody overlooks it."""
        with self._engine.begin() as connection:
            held = self._held(connection, is_locked=True)
            held = replace(held, damaged_bytes=held.damaged_bytes + damaged_bytes)
            if self.lane != JOURNAL:
                done = replace(held, next_seq=frame.seq + 1)
                self._store(connection, done)
                self._progress = done
                return
            values = [*self._keys(frame), *REJECTED.values(_refusal(frame, error))]
            last_hash = next_hash(held.last_hash, REJECTED.name, REJECTED.names, values)
            _add(connection, REJECTED, [(*values, last_hash)])
            done = Progress(frame.seq + 1, held.row_count + 1, last_hash, held.damaged_bytes)
            self._store(connection, done)
        self._progress = done

    def _checkpoint(self, *, is_due: bool) -> None:
        assert self._progress is not None
        if self.lane == JOURNAL and is_due and self._progress.row_count > self._checkpoint_count:
            with self._engine.begin() as connection:
                self._add_checkpoint(connection, self._progress)

    def _add_checkpoint(self, connection: Connection, done: Progress) -> None:
        values = {
            "session_id": self.session_id,
            "row_count": done.row_count,
            "next_seq": done.next_seq,
            "last_hash": done.last_hash,
            "ts_ns": time.time_ns(),
        }
        table: Any = Checkpoint.__table__
        _insert(connection, table, values)
        self._checkpoint_at_s = time.monotonic() + CHECKPOINT_SECS
        self._checkpoint_count = done.row_count


def _is_content(error: Exception) -> bool:
    """Return whether the database refuses what a row says, and would refuse it for ever."""
    # SQLite's driver raises OverflowError for an integer of more than 64 bits.
    return isinstance(error, IntegrityError | SqlDataError | OverflowError) or type(error) is StatementError


def _refusal(frame: Frame, error: Exception) -> Any:
    words = f"{STREAMS[frame.code].__name__}: {error}".split("\n", 1)[0][:500]
    return SimpleNamespace(ts_ns=time.time_ns(), stream=frame.code, body_hex=frame.body.hex(), error=words)


def _add(connection: Connection, shape: Shape, rows: list[Row]) -> None:
    connection.exec_driver_sql(shape.insert(connection.dialect.name), rows)


def _insert(connection: Connection, table: Table, values: Mapping[str, Any]) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(table).on_conflict_do_nothing(), values)


def _upsert_position(connection: Connection, values: Mapping[str, Any]) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(Position).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=["session_id", "lane"], set_=values))
