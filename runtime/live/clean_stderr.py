"""Takes secrets out of what libraries write to stderr past Python.

Nautilus writes its errors, with tracebacks, to the process' second file descriptor whatever its log level is;
a Rust panic ends there as well, and ends the process. So another process reads them: it outlives the node.
"""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, Self, TextIO

from runtime.nautilus_log import nautilus_record
from runtime.own_modules import module_command, module_environment
from runtime.redact import Redactor

# The last line of a node that ends in order.
FAREWELL: Final = "\x04the node ends in order\n"
# What begins a message of its own, even behind lines of Nautilus.
BEGINS: Final = re.compile(r"thread '.*' .*panicked at|Fatal Python error|\{\"time\": ")
ROTATED: Final = "[NAUTILUS] Rotated log file"
KEPT_LINES: Final = 500
# Lines of one message come together; after such a pause the next one is another's.
PAUSE_SECS: Final = 0.25
READ_BYTES: Final = 65_536
END_SECS: Final = 3.0


class CleanStderr:
    """Sends the second file descriptor through a process that takes secrets out; a context manager.

    What Python itself writes to ``sys.stderr`` goes where it went before, without that process: our handlers
    take secrets out themselves.
    """

    def __init__(self) -> None:
        self._before: TextIO = sys.stderr
        self._own: TextIO | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        sys.stderr.flush()
        original = os.dup(2)
        # A session of its own: Ctrl-C is for the node, whose last words must still be read.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            module_command("runtime.live.clean_stderr"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=original,
            start_new_session=True,
            env=module_environment(),
        )
        assert self._process.stdin is not None
        os.dup2(self._process.stdin.fileno(), 2)
        self._process.stdin.close()
        self._own = os.fdopen(original, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
        if sys.stderr.isatty() or _is_descriptor(sys.stderr, 2):
            sys.stderr = self._own
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._own is not None
        assert self._process is not None
        with contextlib.suppress(OSError):  # its reader was killed
            os.write(2, FAREWELL.encode())
        self._own.flush()
        os.dup2(self._own.fileno(), 2)
        if sys.stderr is self._own:
            sys.stderr = self._before
        self._own.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # a child of ours has the descriptor still
            self._process.wait(END_SECS)


class StderrFilter:
    """Decides line by line what goes on; a message of Nautilus is in its log file, which is read already.

    Parameters
    ----------
    redact
        Takes secrets out.
    """

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact
        self._held: deque[str] = deque(maxlen=KEPT_LINES)
        self._is_nautilus = False
        self._is_farewell = False

    def pause(self) -> None:
        """Take notice that nothing came for a while: the next line begins a message."""
        self._is_nautilus = False

    def line(self, text: str) -> str:
        """Take a line with its end; return what is to be written, "" for nothing."""
        if text == FAREWELL:
            self._is_farewell = True
            return ""
        if text.startswith(ROTATED):
            return ""
        if nautilus_record(text) is not None:
            self._is_nautilus = True
        elif BEGINS.match(text):
            self._is_nautilus = False
        if self._is_nautilus:
            self._held.append(text)
            return ""
        return self._redact(text)

    def end(self) -> str:
        """Return what is told last: the messages of Nautilus where the node went without a farewell.

        Its log may have been read to the end by nobody then.
        """
        return "" if self._is_farewell else "".join(self._redact(one) for one in self._held)


def cleaned(source: int, rules: StderrFilter) -> Iterator[str]:
    """Read a file descriptor to its end and yield what is to be written."""
    rest = b""
    while True:
        if not select.select([source], [], [], PAUSE_SECS)[0]:
            rules.pause()
            select.select([source], [], [])
        data = os.read(source, READ_BYTES)
        *lines, rest = (rest + data).split(b"\n")
        yield from _decoded(rules, lines)
        if not data:
            yield from _decoded(rules, [rest] if rest else [])
            yield rules.end()
            return


def main() -> None:
    """Write what stdin brings to stderr until all writers are gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # whoever read our stderr is gone: there is nobody to tell
        for text in cleaned(0, StderrFilter(Redactor.of_environment())):
            sys.stderr.write(text)
            sys.stderr.flush()


def _decoded(rules: StderrFilter, lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        yield rules.line(line.decode("utf-8", "backslashreplace") + "\n")


def _is_descriptor(stream: TextIO, number: int) -> bool:
    try:
        return stream.fileno() == number
    except (OSError, ValueError, AttributeError):
        return False


if __name__ == "__main__":
    main()
