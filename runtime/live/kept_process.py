"""A process of ours that is started again when it dies; a context manager.

Whoever keeps one goes on in any case: one that cannot be started is tried again later, and one that does
not end is killed.
"""

import logging
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from runtime.own_modules import module_environment

POLL_SECS: Final = 0.5
BACKOFF_SECS: Final = 1.0
BACKOFF_MAX_SECS: Final = 60.0
# A process that lived so long was well: the next pause is short again.
WELL_SECS: Final = 60.0
# To end after it was asked to; then it is killed.
END_SECS: Final = 2.0


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
    environment
        Of the process; None for that of this one. Our modules are found with either.
    """

    def __init__(
        self,
        command: Sequence[str],
        what: str,
        log: logging.Logger,
        hopeless: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command, self._what, self._log = list(command), what, log
        self._hopeless = frozenset(hopeless)
        self._environment = module_environment(environment)
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
        """End the process and start it no more; it has `END_SECS` to end by itself."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(END_SECS)
            except subprocess.TimeoutExpired:
                self._log.warning("%s did not end within %.0f s and is killed", self._what, END_SECS)
                process.kill()
                process.wait()
        return None

    def _start(self) -> None:
        """Start it; what the system refuses counts as an end, after which it is tried again."""
        try:
            # A group of its own: Ctrl-C is for the node, which ends this one when it needs it no more.
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env=self._environment,
            )
        except OSError as error:
            self._process = None
            self._log.warning("%s cannot be started: %s", self._what, error)
        else:
            self.starts += 1

    def _watch(self) -> None:
        pause_s, started_s = BACKOFF_SECS, time.monotonic()
        while not self._ended.wait(POLL_SECS):
            code = None if self._process is None else self._process.poll()
            if self._process is not None and code is None:
                continue
            if code in self._hopeless:
                self._log.warning("%s ended with %s and is not started again", self._what, code)
                return
            pause_s = BACKOFF_SECS if time.monotonic() - started_s > WELL_SECS else pause_s
            if code is not None:
                self._log.warning("%s ended with %s; started again in %.0f s", self._what, code, pause_s)
            if self._ended.wait(pause_s):
                return
            pause_s = min(pause_s * 2, BACKOFF_MAX_SECS)
            self._start()
            started_s = time.monotonic()


__all__ = ["KeptProcess"]
