"""Feed every session of a spool into the database, for as long as it takes.

A process of its own (``python -m runtime.journal write``): in a thread it would take the interpreter from
the strategy for milliseconds at a time, and it would die with the node when a killed node's records are
still to be fed. What the database refuses for now (locked, absent, restarting) is tried again with growing
pauses; what it refuses until a person acts (read-only, full, no permission) is said in a status file that
the node reads.
"""

import logging
import os
import random
import time
from pathlib import Path
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import DataError as SqlDataError
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from runtime.cli import warn
from runtime.errors import OperatorError
from runtime.journal.binding import read_binding
from runtime.journal.database import identity, masked, migrate, open_engine, parse_url, short
from runtime.journal.feed import LaneFeed
from runtime.journal.heads import add_head, heads_file
from runtime.journal.segments import JOURNAL, LANES, is_held, remove_session, sessions_in
from runtime.journal.status import State, WriterStatus, pending_bytes, say_status

log = logging.getLogger("smcbot.journal")
POLL_SECS: Final = 0.1
BACKOFF_SECS: Final = 0.1
BACKOFF_MAX_SECS: Final = 5.0
STUCK_SECS: Final = 5.0  # between two attempts at a session that cannot be fed
HEARTBEAT_SECS: Final = 1.0
# Words of the two databases for what no waiting mends.
_FINAL: Final = (
    "readonly database",
    "read-only",
    "database or disk is full",
    "no space left",
    "permission denied",
    "unable to open database file",
    "malformed",
    "not a database",
    "password authentication failed",
    "disk i/o error",
)


class Writer:
    """Feeds all sessions below a folder.

    A session that cannot be fed is left alone, with the reason in `stuck`; the others go on. One of another
    database is left to the writer of that, which `foreign` names.

    Parameters
    ----------
    root
        Folder of the spool, one folder per session in it.
    url
        Of the database; made and migrated when it can be reached.
    any_database
        Also feed sessions that were journaled for another database: it has moved.
    """

    def __init__(self, root: Path, url: str, *, any_database: bool = False) -> None:
        self._identity = "" if any_database else identity(url)
        self._root, self._url = root, str(parse_url(url).render_as_string(hide_password=False))
        self._engine: Engine | None = None
        self._feeds: dict[Path, list[LaneFeed]] = {}
        self._said_at_s = 0.0
        self._retry_at_s: dict[Path, float] = {}
        self._is_running = False
        self.stuck: dict[str, str] = {}
        self.foreign: dict[str, str] = {}
        self._warned: set[str] = set()
        self.state: State = "working"
        self.reason = ""
        self.rows = 0

    def step(self, *, with_held: bool = True) -> int:
        """Commit what is there now, at most one chunk per lane; return the number of records.

        Parameters
        ----------
        with_held
            Also sessions that another process writes; without, their own writer feeds them.

        Raises
        ------
        SQLAlchemyError, OSError
            When the database or the folder of the spool refuses; see :meth:`run`, which waits.
        """
        engine = self._connected()
        folders = list(sessions_in(self._root))
        for gone in self._feeds.keys() - set(folders):
            self._close_feeds(gone)
        names = {folder.name for folder in folders}
        self.stuck = {name: why for name, why in self.stuck.items() if name in names}
        self.foreign = {name: url for name, url in self.foreign.items() if name in names}
        moved = 0
        for folder in folders:
            if time.monotonic() < self._retry_at_s.get(folder, 0.0):
                continue
            try:
                moved += self._step_session(engine, folder, with_held=with_held)
            except Exception as error:  # whatever one session holds, the others are fed
                if _is_of_database(error):
                    raise
                self._close_feeds(folder)
                self.stuck[folder.name] = short(error) or type(error).__name__
                self._retry_at_s[folder] = time.monotonic() + STUCK_SECS
            else:
                self.stuck.pop(folder.name, None)
                self._retry_at_s.pop(folder, None)
            if self._is_running:
                self._say(self.state, self.reason)  # a heartbeat, however many sessions there are
        return moved

    def _step_session(self, engine: Engine, folder: Path, *, with_held: bool) -> int:
        is_over = not is_held(folder)
        if not (is_over or with_held):
            return 0
        if folder not in self._feeds:
            binding = read_binding(folder)
            if binding.database and self._identity not in ("", binding.database):
                self.foreign[folder.name] = binding.url
                return 0
            self._feeds[folder] = [LaneFeed(engine, folder, lane) for lane in LANES]
        fed = sum(feed.step(is_over=is_over) for feed in self._feeds[folder])
        self.rows += fed
        if is_over and not fed:
            self._forget(folder)
        return fed

    def drain(self) -> int:
        """Commit everything of sessions that are over, without waiting for a database that refuses.

        Returns
        -------
        int
            Records committed.

        Raises
        ------
        OperatorError
            When the database refuses, or one of the sessions cannot be fed; the others are. The spool keeps
            what was not committed.
        """
        moved = 0
        try:
            while fed := self.step(with_held=False):
                moved += fed
        except (SQLAlchemyError, OSError) as error:
            raise OperatorError(
                f"journal {masked(self._url)}: {short(error, self._url)}; the records stay in "
                f"{self._root} and the next run with a journal feeds them"
            ) from error
        finally:
            self.close()
        self._warn_of_foreign()
        if self.stuck:
            words = "; ".join(f"{self._root / name}: {reason}" for name, reason in self.stuck.items())
            raise OperatorError(f"journal {masked(self._url)}: these sessions stay in the spool: {words}")
        return moved

    def run(self, *, parent_pid: int | None = None) -> None:
        """Feed until the parent is gone and everything is committed; without a parent, for ever.

        Parameters
        ----------
        parent_pid
            The node's process; None runs until interrupted.
        """
        pause_s = BACKOFF_SECS
        self._is_running = True
        while True:
            try:
                moved = self.step()
            except (SQLAlchemyError, OSError, OperatorError) as error:
                self._refused(error)
                # Jitter: writers of several nodes do not come back in step.
                time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
                pause_s = min(pause_s * 2, BACKOFF_MAX_SECS)
                continue
            pause_s = BACKOFF_SECS
            self._say("working", self._stuck_words())
            self._warn_of_foreign()
            if moved:
                continue
            if parent_pid is not None and os.getppid() != parent_pid and not self._has_work():
                return
            time.sleep(POLL_SECS)

    def close(self) -> None:
        """Close files and connections."""
        for folder in list(self._feeds):
            self._close_feeds(folder)
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    # -- parts -------------------------------------------------------------------------------------------

    def _connected(self) -> Engine:
        if self._engine is None:
            engine = open_engine(self._url)
            migrate(engine)
            self._engine = engine
        return self._engine

    def _forget(self, folder: Path) -> None:
        for feed in self._feeds.get(folder, ()):
            if feed.lane == JOURNAL and (head := feed.head) is not None:
                add_head(heads_file(self._url, self._root), head)
        self._close_feeds(folder)
        remove_session(folder)

    def _close_feeds(self, folder: Path) -> None:
        for feed in self._feeds.pop(folder, ()):
            feed.close()

    def _has_work(self) -> bool:
        return any(
            folder.name not in self.stuck and folder.name not in self.foreign
            for folder in sessions_in(self._root)
        )

    def _warn_of_foreign(self) -> None:
        """Say once which sessions wait for another database, and how they get there."""
        by_url: dict[str, list[str]] = {}
        for name in self.foreign.keys() - self._warned:
            by_url.setdefault(self.foreign[name], []).append(name)
        self._warned |= self.foreign.keys()
        for url, names in sorted(by_url.items()):
            some = ", ".join(sorted(names)[:3]) + (", .." if len(names) > 3 else "")
            warn(
                f"{self._root}: {len(names)} sessions ({some}) were journaled for {url}, not for "
                f"{masked(self._url)}, and wait; feed them: "
                f"`python -m runtime.journal write --once --spool {self._root} --url {url}` "
                "(with --any-database into another one)"
            )

    def _stuck_words(self) -> str:
        words = "; ".join(f"{name}: {reason}" for name, reason in self.stuck.items())
        return f"sessions that cannot be fed: {words}" if words else ""

    def _refused(self, error: Exception) -> None:
        words = short(error, self._url)
        is_final = any(mark in words.lower() for mark in _FINAL)
        remedy = "make it writable or free space" if is_final else ""
        self._say("refused" if is_final else "waiting", f"journal {masked(self._url)}: {words}", remedy)

    def _say(self, state: State, reason: str, remedy: str = "") -> None:
        now_s = time.monotonic()
        if (state, reason) == (self.state, self.reason) and now_s < self._said_at_s + HEARTBEAT_SECS:
            return
        if (state, reason) != (self.state, self.reason):
            log.log(logging.WARNING if reason else logging.INFO, "%s", reason or "the database takes records")
        self.state, self.reason, self._said_at_s = state, reason, now_s
        status = WriterStatus(
            ts_ns=time.time_ns(),
            pid=os.getpid(),
            state=state,
            reason=reason,
            remedy=remedy,
            rows=self.rows,
            pending_bytes=pending_bytes(self._root),
        )
        say_status(self._root, status)


def _is_of_database(error: Exception) -> bool:
    """Return whether an error concerns the database, not the session that met it."""
    return isinstance(error, DBAPIError) and not isinstance(error, SqlDataError | IntegrityError)
