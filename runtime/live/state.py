"""The state file of a node: its setups as of the last order, in one SQLite file that survives a kill.

Everything is written by the node's own thread. What precedes an entry is on the disk before it leaves: one
fsync of the log, 0.44 ms at the median, 4 ms at p99 on a shared disk, 22 ms on a busy one, in a thread of its
own (`runtime.live.intents`) where the node is live. What precedes an exit is written before it leaves, and
outlives the process. Whatever follows from an order is written within 20 ms, and outlives the process then.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from runtime.errors import DataError
from strategies.setup_keeper import DeskMemory
from strategies.trade_manager import setup_state
from strategies.trade_manager.setup import Setup

SCHEMA_VERSION: Final = 1
# Closed setups whose orders may still report something late, per desk.
REMEMBERED: Final = 16
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS setups (
    strategy_id TEXT, instrument_id TEXT, setup_id TEXT, number INTEGER, is_closed INTEGER, state BLOB,
    PRIMARY KEY (strategy_id, instrument_id, setup_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS used (
    strategy_id TEXT, instrument_id TEXT, setup_id TEXT,
    PRIMARY KEY (strategy_id, instrument_id, setup_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS desks (
    strategy_id TEXT, instrument_id TEXT, memory BLOB,
    PRIMARY KEY (strategy_id, instrument_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS strategies (
    strategy_id TEXT, name TEXT, memory BLOB, PRIMARY KEY (strategy_id, name)) WITHOUT ROWID;
"""
# Within which what several trades change is one write.
WAIT_SECS: Final = 0.02
# Of 4 KiB, after which SQLite folds its log into the file: two fsyncs, and the node waits for them.
LOG_PAGES: Final = 4_000
type Key = tuple[str, str, str]
type Later = Callable[[float, Callable[[], None]], Any]


class StateFile:
    """Setups, what desks and strategies remember, and which setups were ever sent.

    Parameters
    ----------
    path
        Made where it does not exist. One process at a time.

    Raises
    ------
    DataError
        When the file is damaged, of a later version, or another process has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
            self._open()
        except sqlite3.Error as error:
            raise DataError(
                f"{path}: the state of the node cannot be read ({error}); if another node runs, "
                "stop it, else close positions and orders at the venue by hand and move the file away"
            ) from error
        # Numbers follow the order in which setups began; a state written again keeps its own.
        (last,) = self._db.execute("SELECT coalesce(max(number), 0) FROM setups").fetchone()
        self._next_number = last + 1
        self._used: set[Key] = set(self._db.execute("SELECT strategy_id, instrument_id, setup_id FROM used"))
        self._written: dict[Key, bytes] = {}
        self._numbers: dict[Key, int] = {}
        self._closed: set[Key] = set()
        self._memories: dict[tuple[str, ...], bytes] = {}

    def _open(self) -> None:
        self._is_synced: bool | None = None  # what SQLite was told last
        # Nobody else may write, and nobody does: the lock is kept until the process ends.
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA_VERSION):
            raise DataError(f"{self.path}: version {version}, this program reads {SCHEMA_VERSION}: update it")
        self._db.executescript(_SCHEMA)
        self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("COMMIT")

    def sync(self) -> None:
        """Put on the disk what has been written; from any thread.

        Raises
        ------
        OSError
            When the disk refuses.
        """
        # Of SQLite's log: a transaction that is whole in it counts after a power cut, as with its own fsync.
        descriptor = os.open(f"{self.path}-wal", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    # -- setups --------------------------------------------------------------------------------------------

    def put_setup(self, setup: Setup, *, is_intent: bool, memory: DeskMemory | None = None) -> None:
        """Store a setup and what its desk knows, both or none; nothing is written when nothing has changed.

        A closed setup and the dust that it left belong together: one without the other loses the dust, or
        counts it twice.

        Parameters
        ----------
        setup
            As it is now.
        is_intent
            On the disk before this returns.
        memory
            Of its desk; None leaves what is stored.

        Raises
        ------
        OSError
            When it could not be stored.
        """
        identity = setup.identity
        key = identity.strategy_id, identity.instrument_id, identity.setup_id
        data = setup_state.to_bytes(setup)
        is_changed, desk = self._written.get(key) != data, self._new_memory(key[:2], memory)
        if not is_changed and desk is None:
            return
        # What SQLite is told in one statement needs no words around it: a stop waits for this.
        is_single = desk is None and key in self._numbers and key in self._used and not setup.is_closed
        with self._transaction(is_synced=is_intent, is_single=is_single):
            if is_changed:
                self._write_setup(key, data, is_closed=setup.is_closed)
            if desk is not None:
                self._db.execute("INSERT OR REPLACE INTO desks VALUES (?, ?, ?)", (*key[:2], desk))
        if desk is not None:
            self._memories[key[:2]] = desk
        self._used.add(key)
        self._written[key] = data
        if setup.is_closed:
            self._closed.add(key)
            self._written.pop(key)  # a late report is rare, memory is not for ever

    def _write_setup(self, key: Key, data: bytes, *, is_closed: bool) -> None:
        if not (key in self._numbers and self._write_over(key, data, is_closed=is_closed)):
            self._insert(key, data, is_closed=is_closed)
        if key not in self._used:
            self._db.execute("INSERT OR IGNORE INTO used VALUES (?, ?, ?)", key)
        if is_closed and key not in self._closed:
            self._forget_oldest(key)

    def _write_over(self, key: Key, data: bytes, *, is_closed: bool) -> bool:
        """Write over what is stored, a third of the pages that a replacement takes; False where none is."""
        changed = self._db.execute(
            "UPDATE setups SET is_closed = ?, state = ? "
            "WHERE strategy_id = ? AND instrument_id = ? AND setup_id = ?",
            (is_closed, data, *key),
        )
        return changed.rowcount > 0

    def _insert(self, key: Key, data: bytes, *, is_closed: bool) -> None:
        if key not in self._numbers:
            self._numbers[key] = self._next_number
            self._next_number += 1
        self._db.execute(
            "INSERT OR REPLACE INTO setups VALUES (?, ?, ?, ?, ?, ?)",
            (*key, self._numbers[key], is_closed, data),
        )

    def _new_memory(self, key: tuple[str, str], memory: DeskMemory | None) -> bytes | None:
        """Return what a desk knows as it is stored; None where that stands there already."""
        if memory is None:
            return None
        data = msgspec.msgpack.encode(memory)
        return None if self._memories.get(key) == data else data

    def _forget_oldest(self, key: Key) -> None:
        self._db.execute(
            "DELETE FROM setups WHERE strategy_id = ? AND instrument_id = ? AND is_closed AND number <= ("
            "SELECT max(number) FROM setups WHERE strategy_id = ? AND instrument_id = ?) - ?",
            (*key[:2], *key[:2], REMEMBERED),
        )

    def setups(self, strategy_id: str, instrument_id: str) -> list[setup_state.SetupState]:
        """Return the kept setups of a desk, oldest first.

        Raises
        ------
        DataError
            When one is damaged or of another version: nothing may be traded before a person has looked.
        """
        rows = self._db.execute(
            "SELECT setup_id, number, is_closed, state FROM setups "
            "WHERE strategy_id = ? AND instrument_id = ? ORDER BY number",
            (strategy_id, instrument_id),
        ).fetchall()
        states = []
        for name, number, is_closed, data in rows:
            try:
                states.append(setup_state.from_bytes(data))
            except ValueError as error:
                raise DataError(
                    f"{self.path}: setup {name} of {instrument_id}: {error}; close its position and orders "
                    "at the venue by hand and move the file away"
                ) from error
            key = strategy_id, instrument_id, name
            self._numbers[key] = number
            if is_closed:
                self._closed.add(key)
        return states

    def living(self) -> list[tuple[str, str, str]]:
        """Return (strategy, instrument, setup) ids of all setups that are not closed."""
        return self._db.execute(
            "SELECT strategy_id, instrument_id, setup_id FROM setups WHERE NOT is_closed ORDER BY number"
        ).fetchall()

    def was_used(self, strategy_id: str, instrument_id: str, setup_id: str) -> bool:
        """Tell whether a setup of this id was ever sent."""
        return (strategy_id, instrument_id, setup_id) in self._used

    # -- what desks and strategies remember ----------------------------------------------------------------

    def put_desk(self, strategy_id: str, instrument_id: str, memory: DeskMemory) -> None:
        """Store what a desk knows besides its setups; nothing is written when nothing has changed."""
        key = strategy_id, instrument_id
        data = self._new_memory(key, memory)
        if data is not None:
            with self._transaction(is_synced=False):
                self._db.execute("INSERT OR REPLACE INTO desks VALUES (?, ?, ?)", (*key, data))
            self._memories[key] = data

    def desk(self, strategy_id: str, instrument_id: str) -> DeskMemory | None:
        """Return what a desk knew, None for nothing."""
        row = self._db.execute(
            "SELECT memory FROM desks WHERE strategy_id = ? AND instrument_id = ?",
            (strategy_id, instrument_id),
        ).fetchone()
        return None if row is None else msgspec.msgpack.decode(row[0], type=DeskMemory)

    def put_strategy(self, strategy_id: str, memory: Mapping[str, bytes]) -> None:
        """Store what a strategy saves (``on_save``); nothing is written when nothing has changed."""
        for name, data in memory.items():
            key = "strategy", strategy_id, name
            if self._memories.get(key) != data:
                with self._transaction(is_synced=False):
                    self._db.execute("INSERT OR REPLACE INTO strategies VALUES (?, ?, ?)", (*key[1:], data))
                self._memories[key] = data

    def strategy(self, strategy_id: str) -> dict[str, bytes]:
        """Return what a strategy saved, for its ``on_load``."""
        rows = self._db.execute("SELECT name, memory FROM strategies WHERE strategy_id = ?", (strategy_id,))
        return dict(rows.fetchall())

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _transaction(self, *, is_synced: bool, is_single: bool = False) -> Iterator[None]:
        """Put what is executed within on the disk together; a single statement is whole by itself."""
        try:
            if is_synced is not self._is_synced:  # not inside a transaction, where SQLite ignores it
                self._db.execute(f"PRAGMA synchronous={'FULL' if is_synced else 'NORMAL'}")
                self._is_synced = is_synced
            if is_single:
                yield
                return
            self._db.execute("BEGIN")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise OSError(f"{self.path}: {error}") from error


class StateKeeper:
    """Keeps the setups of desks in a `StateFile`.

    What follows from an order is written a moment later, all of it together, where `later` is given: the
    trade that is handled must not wait for a disk, nor the cancel that it caused. A process that is killed in
    that moment finds out by what the venue says, as when it is killed just before.

    Parameters
    ----------
    file
        Where.
    later
        Runs a function in the node's thread after `WAIT_SECS`; None writes everything at once.
    begin_sync
        Begins to put on the disk what was written; whoever sends an entry waits for it (see
        `runtime.live.intents`). None: it is there when `keep` returns.
    """

    def __init__(
        self, file: StateFile, later: Later | None = None, begin_sync: Callable[[], None] | None = None
    ) -> None:
        self.file = file
        self.failures = 0
        self._later = later
        self._begin_sync = begin_sync
        self._waiting: dict[tuple[int, int], tuple[Any, Setup]] = {}

    def keep(self, desk: Any, setup: Setup, *, is_intent: bool) -> bool:
        """Store a setup and what its desk knows; see `SetupKeeper`."""
        if not is_intent and self._later is not None:
            if not self._waiting:
                self._later(WAIT_SECS, self.flush)
            self._waiting[id(desk), id(setup)] = desk, setup
            return True
        return self._keep(desk, setup, is_intent=is_intent)

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, {}
        for desk, setup in waiting.values():
            self._keep(desk, setup, is_intent=False)

    def _keep(self, desk: Any, setup: Setup, *, is_intent: bool) -> bool:
        try:
            # A stop must not wait for a slow disk: what precedes it outlives the process without an fsync,
            # and the setup itself is on the disk since its entry.
            must_sync = is_intent and not setup.ledger.entry_qty
            self.file.put_setup(
                setup,
                is_intent=must_sync and self._begin_sync is None,
                memory=None if is_intent else desk.memory(),
            )
            if must_sync and self._begin_sync is not None:
                self._begin_sync()
        except OSError as error:
            self.failures += 1
            desk.log_error(f"its state could not be stored: {error}")
            return False
        return True

    def keep_memory(self, desk: Any) -> None:
        """Store what a desk knows besides its setups; see `SetupKeeper`."""
        try:
            self.file.put_desk(desk.strategy_id, desk.instrument_id.value, desk.memory())
        except OSError as error:
            self.failures += 1
            desk.log_error(f"its memory could not be stored: {error}")

    def recall(self, desk: Any) -> tuple[list[Setup], DeskMemory | None]:
        """Return the setups of a desk, oldest first, and what else it knew; see `SetupKeeper`."""
        names = desk.strategy_id, desk.instrument_id.value
        states = self.file.setups(*names)
        setups = [setup_state.restored(one, desk.market, desk.venue, desk.exit_rules) for one in states]
        return setups, self.file.desk(*names)

    def was_used(self, desk: Any, setup_id: str) -> bool:
        """Tell whether a setup of this id was ever sent; see `SetupKeeper`."""
        return self.file.was_used(desk.strategy_id, desk.instrument_id.value, setup_id)


__all__ = ["StateFile", "StateKeeper"]
