"""What the simulated venues of a paper node remember over a restart: one SQLite file.

Everything that one step of a venue changed is written in one transaction, before the node hears of any of it.
So a process that is killed has lost nothing that it reported, and there is no half of a step.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

import msgspec

from runtime.errors import ConfigurationError, DataError
from strategies.trade_manager.funding import FundingPayment

FILE_NAME: Final = "paper.sqlite"
LOCK_NAME: Final = "paper.lock"
VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS accounts (
    venue TEXT PRIMARY KEY, event BLOB NOT NULL, updated_ns INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS orders (
    client_order_id TEXT PRIMARY KEY, venue TEXT NOT NULL, instrument_id TEXT NOT NULL,
    is_open INTEGER NOT NULL, updated_ns INTEGER NOT NULL, events BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS orders_by_time ON orders (venue, updated_ns);
CREATE TABLE IF NOT EXISTS fills (
    trade_id TEXT PRIMARY KEY, venue TEXT NOT NULL, client_order_id TEXT NOT NULL,
    ts_ns INTEGER NOT NULL, event BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS fills_by_order ON fills (client_order_id);
CREATE TABLE IF NOT EXISTS positions (
    venue TEXT NOT NULL, position_id TEXT NOT NULL, is_open INTEGER NOT NULL, updated_ns INTEGER NOT NULL,
    summary BLOB NOT NULL, PRIMARY KEY (venue, position_id));
CREATE TABLE IF NOT EXISTS position_fills (
    venue TEXT NOT NULL, position_id TEXT NOT NULL, number INTEGER NOT NULL, event BLOB NOT NULL,
    PRIMARY KEY (venue, position_id, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS funding (
    venue TEXT NOT NULL, instrument_id TEXT NOT NULL, strategy_id TEXT NOT NULL, ts_ns INTEGER NOT NULL,
    payment BLOB NOT NULL, PRIMARY KEY (venue, instrument_id, strategy_id, ts_ns));
CREATE TABLE IF NOT EXISTS prices (
    instrument_id TEXT PRIMARY KEY, price TEXT NOT NULL, ts_ns INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order as the venue knows it: its events, serialised, the first one an ``OrderInitialized``."""

    client_order_id: str
    instrument_id: str
    is_open: bool
    updated_ns: int
    events: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class FillRow:
    """One fill as it was reported, serialised."""

    trade_id: str
    client_order_id: str
    ts_ns: int
    event: bytes


@dataclass(frozen=True, slots=True)
class PositionRow:
    """One position: the fills since it was last flat, serialised, and what a person reads of it.

    When it is written, ``fills`` are those from number ``first`` on: the ones before are there already, and
    with 0 they all are new.
    """

    position_id: str
    is_open: bool
    updated_ns: int
    fills: tuple[bytes, ...]
    summary: dict[str, str]
    first: int = 0


@dataclass(slots=True)
class PaperChange:
    """What one step of a venue changed.

    Parameters
    ----------
    account
        The last account state, serialised; None: as before.
    counters
        Numbers of the next ids, by name.
    """

    orders: list[OrderRow] = field(default_factory=list)
    fills: list[FillRow] = field(default_factory=list)
    positions: list[PositionRow] = field(default_factory=list)
    payments: list[FundingPayment] = field(default_factory=list)
    account: bytes | None = None
    counters: dict[str, int] = field(default_factory=dict)
    prices: dict[str, str] = field(default_factory=dict)


class PaperStore:
    """The file of one paper node. Several venues share it; one process at a time writes it.

    Parameters
    ----------
    folder
        Folder of the node's state; None keeps everything in memory.
    readonly
        Read what is there, also while a node writes it.

    Raises
    ------
    ConfigurationError
        Another node has the file open; to be read alone, there is none.
    DataError
        The file is no state of a paper node, or of another version.
    """

    def __init__(self, folder: Path | None, *, readonly: bool = False) -> None:
        self._lock: int | None = None
        if folder is not None and readonly:
            self._db = _open_readonly(folder)
            return
        if folder is None:
            self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = take_lock(folder)
            self._db = _open(folder / FILE_NAME)
        try:
            self._prepare(folder)
        except (OSError, DataError):
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_reason: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let go of it."""
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write(self, venue: str, change: PaperChange, now_ns: int) -> None:
        """Keep what one step of a venue changed: all of it or, when the process dies meanwhile, nothing."""
        with self._transaction():
            self._write_orders(venue, change)
            for fill in change.fills:
                self._put("fills", (fill.trade_id, venue, fill.client_order_id, fill.ts_ns, fill.event))
            for one in change.positions:
                self._write_position(venue, one)
            for paid in change.payments:
                key = (venue, paid.instrument_id, paid.strategy_id, paid.ts_ns)
                self._put("funding", (*key, msgspec.json.encode(paid)))
            if change.account is not None:
                self._put("accounts", (venue, change.account, now_ns))
            for name, number in change.counters.items():
                self._put("meta", (f"counter.{venue}.{name}", str(number)))
            for instrument_id, price in change.prices.items():
                self._put("prices", (instrument_id, price, now_ns))

    def note(self, key: str, value: str) -> None:
        """Keep one word of the session under a key."""
        self._put("meta", (key, value))

    def noted(self, key: str) -> str | None:
        """Return the word under a key."""
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def noted_like(self, prefix: str) -> dict[str, str]:
        """Return the words under all keys that begin with a prefix, by what follows it."""
        rows = self._db.execute(
            "SELECT key, value FROM meta WHERE substr(key, 1, ?) = ?", (len(prefix), prefix)
        )
        return {str(key)[len(prefix) :]: str(value) for key, value in rows}

    def drop_note(self, key: str) -> None:
        """Forget the word under a key."""
        self._db.execute("DELETE FROM meta WHERE key = ?", (key,))

    def counter(self, venue: str, name: str) -> int:
        """Return the number of the last id of a kind, 0 before the first."""
        return int(self.noted(f"counter.{venue}.{name}") or 0)

    def account(self, venue: str) -> bytes | None:
        """Return the last account state of a venue, serialised."""
        found = self._db.execute("SELECT event FROM accounts WHERE venue = ?", (venue,)).fetchone()
        return None if found is None else bytes(found[0])

    def venues(self) -> tuple[str, ...]:
        """Return the venues with an account, sorted."""
        return tuple(row[0] for row in self._db.execute("SELECT venue FROM accounts ORDER BY venue"))

    def orders(self, venue: str, since_ns: int = 0, *, open_only: bool = False) -> list[OrderRow]:
        """Return the open orders of a venue, and without ``open_only`` those changed since a time too."""
        query = (
            "SELECT client_order_id, instrument_id, is_open, updated_ns, events FROM orders "
            "WHERE venue = ? AND (is_open OR (NOT ? AND updated_ns >= ?)) ORDER BY rowid"
        )
        return [_order_row(row) for row in self._db.execute(query, (venue, open_only, since_ns))]

    def order(self, client_order_id: str) -> OrderRow | None:
        """Return one order, open or not."""
        query = (
            "SELECT client_order_id, instrument_id, is_open, updated_ns, events FROM orders "
            "WHERE client_order_id = ?"
        )
        found = self._db.execute(query, (client_order_id,)).fetchone()
        return None if found is None else _order_row(found)

    def fills(self, venue: str, since_ns: int = 0) -> list[FillRow]:
        """Return the fills of a venue since a time, UNIX nanoseconds, oldest first."""
        query = (
            "SELECT trade_id, client_order_id, ts_ns, event FROM fills WHERE venue = ? AND ts_ns >= ? "
            "ORDER BY rowid"
        )
        return [FillRow(*row) for row in self._db.execute(query, (venue, since_ns))]

    def fill_events(self, venue: str, instrument_id: str) -> list[bytes]:
        """Return all fills of an instrument, serialised, oldest first."""
        query = (
            "SELECT fills.event FROM fills JOIN orders USING (client_order_id) "
            "WHERE fills.venue = ? AND orders.instrument_id = ? ORDER BY fills.rowid"
        )
        return [bytes(row[0]) for row in self._db.execute(query, (venue, instrument_id))]

    def positions(self, venue: str, *, open_only: bool = True) -> list[PositionRow]:
        """Return the positions of a venue."""
        query = (
            "SELECT position_id, is_open, updated_ns, summary FROM positions "
            "WHERE venue = ? AND (is_open OR NOT ?) ORDER BY rowid"
        )
        return [
            PositionRow(
                name, bool(is_open), ts_ns, self._position_fills(venue, name), msgspec.json.decode(summary)
            )
            for name, is_open, ts_ns, summary in self._db.execute(query, (venue, open_only))
        ]

    def payments(self, venue: str) -> list[FundingPayment]:
        """Return what was settled for funding, oldest first."""
        rows = self._db.execute("SELECT payment FROM funding WHERE venue = ? ORDER BY ts_ns", (venue,))
        return [msgspec.json.decode(row[0], type=FundingPayment) for row in rows]

    def price(self, instrument_id: str) -> str | None:
        """Return the last price that was kept of an instrument."""
        found = self._db.execute(
            "SELECT price FROM prices WHERE instrument_id = ?", (instrument_id,)
        ).fetchone()
        return None if found is None else str(found[0])

    def price_ts_ns(self, instrument_id: str) -> int | None:
        """Return when the last price of an instrument was kept: every second while it is held."""
        found = self._db.execute(
            "SELECT ts_ns FROM prices WHERE instrument_id = ?", (instrument_id,)
        ).fetchone()
        return None if found is None else int(found[0])

    def clear(self) -> None:
        """Forget everything: the next session starts with the settings' balance."""
        with self._transaction():
            for table in (
                "accounts",
                "orders",
                "fills",
                "positions",
                "position_fills",
                "funding",
                "prices",
                "meta",
            ):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the line above
            self._put("meta", ("version", str(VERSION)))

    # -- file ----------------------------------------------------------------------------------------------

    def _prepare(self, folder: Path | None) -> None:
        try:
            self._db.executescript(SCHEMA)
            version = self.noted("version")
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{folder}/{FILE_NAME}: no state of a paper node ({error}): move it away, or "
                "`live_node.py paper reset --yes`"
            ) from error
        if version not in (None, str(VERSION)):
            raise DataError(
                f"{folder}/{FILE_NAME}: version {version}, this program knows {VERSION}: "
                "`live_node.py paper reset --yes` starts anew"
            )
        self._put("meta", ("version", str(VERSION)))

    def _write_orders(self, venue: str, change: PaperChange) -> None:
        for one in change.orders:
            events = msgspec.json.encode(_texts(one.events))
            self._db.execute(
                "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (client_order_id) DO UPDATE SET "
                "is_open = excluded.is_open, updated_ns = excluded.updated_ns, events = excluded.events",
                (one.client_order_id, venue, one.instrument_id, one.is_open, one.updated_ns, events),
            )

    def _write_position(self, venue: str, one: PositionRow) -> None:
        summary = msgspec.json.encode(one.summary)
        self._put("positions", (venue, one.position_id, one.is_open, one.updated_ns, summary))
        if not one.first:  # a new one of that name: NETTING positions come back
            self._db.execute(
                "DELETE FROM position_fills WHERE venue = ? AND position_id = ?", (venue, one.position_id)
            )
        for number, event in enumerate(one.fills, one.first):
            self._put("position_fills", (venue, one.position_id, number, event))

    def _position_fills(self, venue: str, position_id: str) -> tuple[bytes, ...]:
        query = "SELECT event FROM position_fills WHERE venue = ? AND position_id = ? ORDER BY number"
        return tuple(bytes(row[0]) for row in self._db.execute(query, (venue, position_id)))

    def _put(self, table: str, row: Sequence[Any]) -> None:
        marks = ", ".join("?" * len(row))
        self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)  # noqa: S608 - own names

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def take_lock(folder: Path) -> int:
    """Take the folder of a paper node for this process; the lock ends with the descriptor or the process.

    Raises
    ------
    ConfigurationError
        Another process has it.
    """
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigurationError(
            f"{folder}: a paper node is running on this folder: stop it first, or set live.folder"
        ) from None
    return descriptor


def is_locked(folder: Path) -> bool:
    """Tell whether a paper node runs on a folder."""
    if not (folder / LOCK_NAME).exists():
        return False
    try:
        os.close(take_lock(folder))
    except ConfigurationError:
        return True
    return False


def _open_readonly(folder: Path) -> sqlite3.Connection:
    file = folder / FILE_NAME
    if not file.exists():
        raise ConfigurationError(
            f"{file}: no paper session was started here yet: `live_node.py --mode paper`"
        )
    return sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)


def _open(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        # NORMAL: a killed process loses nothing; a power cut may lose the last moments of play money.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.DatabaseError:
        pass  # said by the first statement, with the file's name
    return database


def _texts(events: Sequence[bytes]) -> list[str]:
    return [event.decode() for event in events]


def _bytes(raw: bytes) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in msgspec.json.decode(raw, type=list[str]))


def _order_row(row: Sequence[Any]) -> OrderRow:
    client_order_id, instrument_id, is_open, updated_ns, events = row
    return OrderRow(client_order_id, instrument_id, bool(is_open), updated_ns, _bytes(events))
