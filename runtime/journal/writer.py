"""Feed every session of a spool into the database, for as long as it takes.

A process of its own (``python -m runtime.journal write``): in a thread it would take the interpreter from
the strategy for milliseconds at a time, and it would die with the node when a killed node's records are
still to be fed. What the database refuses for now (locked, absent, restarting) is tried again with growing
pauses; what it refuses until a person acts (read-only, full, no permission) is said in a status file that
the node reads.
"""

import os
import random
import shutil
import time
from pathlib import Path
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from runtime.errors import OperatorError
from runtime.journal.database import masked, migrate, open_engine, parse_url, short
from runtime.journal.feed import LaneFeed
from runtime.journal.segments import LANES, is_held, sessions_in
from runtime.journal.status import State, WriterStatus, pending_bytes, say_status

POLL_SECS: Final = 0.1
BACKOFF_SECS: Final = 0.1
BACKOFF_MAX_SECS: Final = 5.0
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

    Parameters
    ----------
    root
        Folder of the spool, one folder per session in it.
    url
        Of the database; made and migrated when it can be reached.
    """

    def __init__(self, root: Path, url: str) -> None:
        self._root, self._url = root, str(parse_url(url).render_as_string(hide_password=False))
        self._engine: Engine | None = None
        self._feeds: dict[Path, list[LaneFeed]] = {}
        self._said_at_s = 0.0
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
            When database or spool refuse; see :meth:`run`, which waits.
        """
        engine = self._connected()
        moved = 0
        for folder in sessions_in(self._root):
            is_over = not is_held(folder)
            if not (is_over or with_held):
                continue
            feeds = self._feeds.setdefault(folder, [LaneFeed(engine, folder, lane) for lane in LANES])
            fed = sum(feed.step(is_over=is_over) for feed in feeds)
            self.rows += fed
            moved += fed
            if is_over and not fed:
                self._forget(folder)
        return moved

    def drain(self) -> int:
        """Commit everything of sessions that are over, without waiting for a database that refuses.

        Returns
        -------
        int
            Records committed.

        Raises
        ------
        OperatorError
            When the database refuses; the spool keeps what was not committed.
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
        return moved

    def run(self, *, parent_pid: int | None = None) -> None:
        """Feed until the parent is gone and everything is committed; without a parent, for ever.

        Parameters
        ----------
        parent_pid
            The node's process; None runs until interrupted.
        """
        pause_s = BACKOFF_SECS
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
            self._say("working", "")
            if moved:
                continue
            if parent_pid is not None and os.getppid() != parent_pid and not any(sessions_in(self._root)):
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
        self._close_feeds(folder)
        shutil.rmtree(folder, ignore_errors=True)

    def _close_feeds(self, folder: Path) -> None:
        for feed in self._feeds.pop(folder, ()):
            feed.close()

    def _refused(self, error: Exception) -> None:
        words = short(error, self._url)
        is_final = any(mark in words.lower() for mark in _FINAL)
        what = "make it writable or free space" if is_final else "waiting for it"
        self._say("refused" if is_final else "waiting", f"journal {masked(self._url)}: {words}; {what}")

    def _say(self, state: State, reason: str) -> None:
        now_s = time.monotonic()
        if (state, reason) == (self.state, self.reason) and now_s < self._said_at_s + HEARTBEAT_SECS:
            return
        self.state, self.reason, self._said_at_s = state, reason, now_s
        status = WriterStatus(
            ts_ns=time.time_ns(),
            pid=os.getpid(),
            state=state,
            reason=reason,
            rows=self.rows,
            pending_bytes=pending_bytes(self._root),
        )
        say_status(self._root, status)
