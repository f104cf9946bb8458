"""Nautilus' own log beside ours: it is written in Rust, past Python, so its file is followed and read.

A node that wants one stream lets Nautilus log into a file (`LoggingConfig(log_directory=…)`) and follows it.
"""

import logging
import re
import threading
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
# 2026-03-18T00:00:00.000000000Z [INFO] TRADER-001.Strategy: text
LINE: Final = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z) \[(?P<level>[A-Z]+)\] (?P<source>[^:\s]+):(?: (?P<text>.*))?"
)
LEVELS: Final = {
    "TRACE": logging.DEBUG,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
}
POLL_SECS: Final = 0.2
PREFIX: Final = "nautilus."


def nautilus_record(line: str) -> logging.LogRecord | None:
    """Return a line of Nautilus' text log as a record with its own time; None when it is no such line.

    Examples
    --------
    >>> record = nautilus_record("2026-03-18T00:00:00.000000000Z [WARN] T-1.Risk: late")
    >>> record.name, record.levelname, record.getMessage(), record.created
    ('nautilus.T-1.Risk', 'WARNING', 'late', 1773792000.0)
    """
    match = LINE.fullmatch(ANSI.sub("", line.rstrip()))
    if match is None or match["level"] not in LEVELS:
        return None
    name, level = f"{PREFIX}{match['source']}", LEVELS[match["level"]]
    record = logging.LogRecord(name, level, "", 0, "%s", (match["text"] or "",), None)
    record.created = datetime.fromisoformat(match["time"]).replace(tzinfo=UTC).timestamp()
    return record


def log_files(file: Path) -> list[Path]:
    """Return the parts of Nautilus' log, oldest first.

    With a largest size Nautilus puts the time of its beginning into the name of each part (`name_TIME.log`),
    and deletes the oldest ones by itself; without one there is only `name.log`.
    """
    parts = sorted(file.parent.glob(f"{file.stem}_*{file.suffix}"))
    return [file, *parts] if file.exists() else parts


def put_aside(file: Path) -> None:
    """Keep the last part of the log of an earlier session as `name.before.log`, and delete the others."""
    files = log_files(file)
    for part in files[:-1]:
        part.unlink(missing_ok=True)
    for last in files[-1:]:
        last.replace(file.with_suffix(f".before{file.suffix}"))


class NautilusLog:
    """Hands the lines of Nautilus' log to our handlers, secrets taken out by them; a context manager.

    A line that is none of Nautilus' (the rest of a message over several lines) goes with the level of the one
    before it. The thread of this class reads; neither the node nor Nautilus waits for it. When Nautilus goes
    on in another file, the one before is read to its end first.

    Parameters
    ----------
    file
        Nautilus' log file without the time in its name (`log_files`); it need not exist yet. What it already
        holds is handed on too.
    poll_secs
        Pause between two looks.
    """

    def __init__(self, file: Path, poll_secs: float = POLL_SECS) -> None:
        self._file, self._poll_secs = file, poll_secs
        self._part = ""
        self._level = logging.INFO
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nautilus-log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Hand on what is there, and end."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        current: Path | None = None
        lines: TextIOWrapper | None = None
        is_last = False
        try:
            while not is_last:
                is_last = self._ended.wait(self._poll_secs)
                # Listed before reading: whatever has a successor by now is complete.
                parts = log_files(self._file)
                if lines is not None:
                    self._read(lines)
                for part in parts if current is None else [one for one in parts if one > current]:
                    if lines is not None:
                        lines.close()
                    current, lines = part, part.open(encoding="utf-8", errors="replace")
                    self._read(lines)
        finally:
            if lines is not None:
                lines.close()
        if self._part:
            self._hand_on(self._part)

    def _read(self, lines: TextIOWrapper) -> None:
        *whole, self._part = (self._part + lines.read()).split("\n")
        for line in whole:
            self._hand_on(line)

    def _hand_on(self, line: str) -> None:
        record = nautilus_record(line)
        if record is None:
            text = ANSI.sub("", line.rstrip())
            if not text:
                return
            record = logging.LogRecord(PREFIX.rstrip("."), self._level, "", 0, "%s", (text,), None)
        self._level = record.levelno
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
