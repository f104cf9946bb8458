"""The journal's writer as a process of its own, started again when it dies."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

log = logging.getLogger("smcbot.journal-writer")

POLL_SECS: Final = 0.5
BACKOFF_SECS: Final = 1.0
BACKOFF_MAX_SECS: Final = 60.0
# A process that lived so long was well: the next pause is short again.
WELL_SECS: Final = 60.0
DRAIN_SECS: Final = 10.0


def writer_command(spool: Path, config: str | None, logs: Path) -> list[str]:
    """Return the command of the writer; the database comes from the settings and the environment.

    Parameters
    ----------
    spool
        Folder of the spool.
    config
        Settings file; None for the default.
    logs
        Folder of its logs.
    """
    # Told, not asked for: a node that is killed while the writer starts is nobody's parent any more.
    command = [sys.executable, "-m", "runtime.journal", "write", "--with-parent", str(os.getpid())]
    command += ["--spool", str(spool), "--logs", str(logs)]
    return command if config is None else [*command, "--config", config]


class WriterProcess:
    """Keeps one process running; a context manager.

    Parameters
    ----------
    command
        Program and arguments.
    session_folder
        Gone when everything of the session is in the database.

    Notes
    -----
    The process ends by itself when this one is gone and all is committed, also after a crash of the node.
    """

    def __init__(self, command: Sequence[str], session_folder: Path) -> None:
        self._command = list(command)
        self._session_folder = session_folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="journal-writer", daemon=True)
        self.starts = 0

    def __enter__(self) -> Self:
        self._start()
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of the running process, 0 without one."""
        process = self._process
        return 0 if process is None else process.pid

    def close(self, timeout_secs: float = DRAIN_SECS) -> bool:
        """Wait until the session is in the database, then end the process; return whether it is."""
        by = time.monotonic() + timeout_secs
        while self._session_folder.exists() and time.monotonic() < by:
            time.sleep(POLL_SECS / 5)
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        return not self._session_folder.exists()

    def _start(self) -> None:
        # A group of its own: Ctrl-C is for the node, whose last records the writer must still take.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        self.starts += 1

    def _watch(self) -> None:
        pause_s, started_s = BACKOFF_SECS, time.monotonic()
        while not self._ended.wait(POLL_SECS):
            if self._process is not None and (code := self._process.poll()) is not None:
                pause_s = BACKOFF_SECS if time.monotonic() - started_s > WELL_SECS else pause_s
                log.warning("the journal's writer ended with %s; started again in %.0f s", code, pause_s)
                if self._ended.wait(pause_s):
                    return
                pause_s = min(pause_s * 2, BACKOFF_MAX_SECS)
                self._start()
                started_s = time.monotonic()
