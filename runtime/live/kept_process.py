"""A process of ours that is started again when it dies; a context manager."""

import logging
import subprocess
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

POLL_SECS: Final = 0.5
BACKOFF_SECS: Final = 1.0
BACKOFF_MAX_SECS: Final = 60.0
# A process that lived so long was well: the next pause is short again.
WELL_SECS: Final = 60.0


class KeptProcess:
    """Keeps one process running until it is closed.

    Parameters
    ----------
    command
        Program and arguments.
    what
        In the words of the log: ``the journal's writer``.
    log
        Told when it ended.
    hopeless
        Exit codes after which it is not started again.
    """

    def __init__(
        self, command: Sequence[str], what: str, log: logging.Logger, hopeless: Sequence[int] = ()
    ) -> None:
        self._command, self._what, self._log = list(command), what, log
        self._hopeless = frozenset(hopeless)
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=what, daemon=True)
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

    def close(self) -> object:
        """End the process and start it no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        return None

    def _start(self) -> None:
        # A group of its own: Ctrl-C is for the node, which ends this one when it needs it no more.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        self.starts += 1

    def _watch(self) -> None:
        pause_s, started_s = BACKOFF_SECS, time.monotonic()
        while not self._ended.wait(POLL_SECS):
            if self._process is None or (code := self._process.poll()) is None:
                continue
            if code in self._hopeless:
                self._log.warning("%s ended with %s and is not started again", self._what, code)
                return
            pause_s = BACKOFF_SECS if time.monotonic() - started_s > WELL_SECS else pause_s
            self._log.warning("%s ended with %s; started again in %.0f s", self._what, code, pause_s)
            if self._ended.wait(pause_s):
                return
            pause_s = min(pause_s * 2, BACKOFF_MAX_SECS)
            self._start()
            started_s = time.monotonic()


__all__ = ["KeptProcess"]
