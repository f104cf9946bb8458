"""Runs the command of one job and writes down how it ended: ``python -m ui.server.job_runner FOLDER``."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from ui.server.jobs import (
    CANCEL,
    EXIT,
    LOCK,
    OUTPUT,
    PROGRESS,
    PROGRESS_VARIABLE,
    REQUEST,
    STARTED,
    WORDS,
    Ending,
    Request,
)

KILL_SECS: Final = 5.0
# Trading on the same machine comes first.
NICENESS: Final = 10


def main(folder: Path) -> int:
    """Run it; return the command's exit code."""
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 1  # it runs already
    if (folder / EXIT).exists():
        return 1
    (folder / STARTED).write_text(str(os.getpid()))
    request = msgspec.json.decode((folder / REQUEST).read_bytes(), type=Request)
    code = _run(folder, request.command)
    is_cancelled = (folder / CANCEL).exists() and code != 0
    ending = Ending(code=code, ended=time.time_ns() // 1_000_000, is_cancelled=is_cancelled)
    new = folder / f"{EXIT}.new"
    new.write_bytes(msgspec.json.encode(ending))
    new.rename(folder / EXIT)
    return code


def _run(folder: Path, command: list[str]) -> int:
    if (folder / CANCEL).exists():
        return 1
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    environment = {**os.environ, PROGRESS_VARIABLE: str(folder / PROGRESS)}
    with (folder / OUTPUT).open("wb") as output, (folder / WORDS).open("wb") as words:
        child = subprocess.Popen(  # noqa: S603 - of the server's own making
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=words, env=environment
        )

        def end(*_: Any) -> None:
            child.terminate()
            signal.signal(signal.SIGALRM, lambda *_: child.kill())
            signal.setitimer(signal.ITIMER_REAL, KILL_SECS)

        signal.signal(signal.SIGTERM, end)
        if (folder / CANCEL).exists():  # it came before there was somebody to hear it
            end()
        return child.wait()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
