"""`runtime.terminal.data` in a process of its own, as the server's `Data`.

Nautilus and the catalog take seconds to import, and would hold the interpreter that sends frames.
"""

import contextlib
import multiprocessing
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final

from runtime.errors import OperatorError
from ui.server.ports import Unavailable

ANSWER_SECS: Final = 60.0
KEPT_SECS: Final = 30.0
KEPT: Final = frozenset({"pairs", "strategies", "volatility"})
MAX_WAITING: Final = 16


def _call(name: str, args: tuple[Any, ...]) -> tuple[bool, Any]:
    """Answer a question in the worker process: whether it could, and the answer or the reason."""
    from runtime.terminal import data

    try:
        return True, getattr(data, name)(*args)
    except OperatorError as error:
        return False, str(error)


class DataWorker:
    """One worker process, started at the first question and again when it dies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._kept: dict[tuple[Any, ...], tuple[float, Any]] = {}
        self._waiting = 0

    def ask(self, name: str, *args: Any) -> Any:
        """Return an answer; of what changes rarely, the one of a moment ago.

        Raises
        ------
        Unavailable
            With the reason in words.
        """
        key = (name, repr(args))
        found = self._kept.get(key)
        if found is not None and time.monotonic() - found[0] < KEPT_SECS:
            return found[1]
        is_done, answer = self._answer(name, args)
        if not is_done:
            raise Unavailable(str(answer), names_paths=True)
        if name in KEPT:
            if len(self._kept) > 100:
                self._kept.clear()
            self._kept[key] = (time.monotonic(), answer)
        return answer

    def close(self) -> None:
        """End the process."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            processes = list((getattr(pool, "_processes", None) or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()

    def _answer(self, name: str, args: tuple[Any, ...]) -> tuple[bool, Any]:
        with self._lock:
            if self._waiting >= MAX_WAITING:
                raise Unavailable("too many questions wait: ask again in a moment")
            self._waiting += 1
            future = self._submit(name, args)
        try:
            return future.result(ANSWER_SECS)
        except TooLate:
            self.close()
            raise Unavailable(f"no answer within {ANSWER_SECS:g} s") from None
        except BrokenProcessPool:
            self.close()
            raise Unavailable("the process that reads data died; ask again") from None
        finally:
            with self._lock:
                self._waiting -= 1

    def _submit(self, name: str, args: tuple[Any, ...]) -> "Future[tuple[bool, Any]]":
        if self._pool is None:
            # Not forked: the server has threads.
            self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        with contextlib.suppress(BrokenProcessPool):
            return self._pool.submit(_call, name, args)
        self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        return self._pool.submit(_call, name, args)
