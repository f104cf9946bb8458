"""Logs of services: JSON lines with correlation ids for machines, readable lines on a terminal, no secrets.

Session, intent (client order id) and trade (setup id) are context variables: whatever is logged inside
`correlated` carries them, in this thread or task. Nautilus writes its own log in Rust, past Python:
`runtime.nautilus_log` brings it in.
"""

import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final, TextIO

from runtime.errors import ConfigurationError, OperatorError
from runtime.redact import MASK, SECRET_FIELD, Redactor, hints_at_secret

CORRELATION: Final = ("session", "intent", "trade")
_IDS: Final[dict[str, ContextVar[str]]] = {name: ContextVar(name, default="") for name in CORRELATION}
# Attribute of a record that has been formatted: for whom, and what came out.
_MADE: Final = "_smcbot_line"
# What every record of the standard library has; the rest came in `extra`.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", _MADE}
OWN: Final = "smcbot"
# So begins a line of Nautilus that is an event with all its fields.
EVENT: Final = "<--[EVT]"
# Libraries that log each request and each step of a migration.
QUIET: Final = ("httpx", "httpcore", "alembic")
FILE_BYTES: Final = 10_000_000
FILES_KEPT: Final = 10


@contextmanager
def correlated(**ids: str) -> Iterator[None]:
    """Give everything that is logged inside these ids: ``session``, ``intent``, ``trade``.

    Raises
    ------
    ValueError
        For another name.
    """
    unknown = ids.keys() - _IDS.keys()
    if unknown:
        raise ValueError(
            f"{', '.join(sorted(unknown))} is no correlation id; there are {', '.join(CORRELATION)}"
        )
    tokens = [(_IDS[name], _IDS[name].set(value)) for name, value in ids.items()]
    try:
        yield
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)


def correlation() -> dict[str, str]:
    """Return the ids that are set here."""
    return {name: value for name, variable in _IDS.items() if (value := variable.get())}


class JsonFormatter(logging.Formatter):
    """One JSON object per record: time, level, logger, message, ids, extra fields, traceback.

    Parameters
    ----------
    redact
        Takes secrets out of every text, tracebacks included.
    """

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end; console and file get the same one, which is made once."""
        made = getattr(record, _MADE, None)
        if made is not None and made[0] is self._redact:
            return str(made[1])
        line = self._line(record)
        setattr(record, _MADE, (self._redact, line))
        return line

    def _line(self, record: logging.LogRecord) -> str:
        content: dict[str, Any] = {
            "time": iso_millis(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **correlation(),
            **extra_fields(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            content["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        if record.stack_info:
            content["stack"] = record.stack_info
        return json.dumps(clean(content, self._redact), ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """A line for people: time, level, message, then ids and fields as ``name=value``."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback follows on lines of its own."""
        pairs = {**correlation(), **extra_fields(record)}
        fields = "".join(f" {name}={value}" for name, value in clean(pairs, self._redact).items())
        time = iso_millis(record.created)[11:]
        text = f"{time} {record.levelname:<8} {record.name}: {record.getMessage()}"
        if record.exc_info and record.exc_info[0] is not None:
            fields += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return self._redact(text) + self._redact(fields)


_NESTED: Final = (Mapping, list, tuple, set, frozenset)


def clean(value: Any, redact: Redactor, name: str = "") -> Any:
    """Return a value whose texts, at any depth, hold no secret; what JSON has no form for becomes text.

    The name of a field counts: ``{"api_key": "x"}`` loses its value, whatever it looks like.
    """
    if value is not None and name and SECRET_FIELD.fullmatch(name) and not isinstance(value, _NESTED):
        return MASK
    if isinstance(value, str):
        return _by_name(name, redact(value), redact)
    if value is None or isinstance(value, bool | int | float):
        return value if value == value and value not in (float("inf"), float("-inf")) else str(value)
    if isinstance(value, Mapping):
        # A key can be a secret, too: prices by account, answers by address.
        return {redact(str(key)): clean(one, redact, str(key)) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean(one, redact, name) for one in value]
    return _by_name(name, redact(str(value)), redact)


def _by_name(name: str, text: str, redact: Redactor) -> str:
    if not name or " " in text or not hints_at_secret(name):  # the text itself has been looked at
        return text
    return redact(f"{name}={text}").partition("=")[2]


def extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what the caller passed in ``extra``."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def iso_millis(seconds: float) -> str:
    """Return UNIX seconds as ISO 8601 in UTC with milliseconds.

    Examples
    --------
    >>> iso_millis(1773792000.5)
    '2026-03-18T00:00:00.500Z'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def concerns_people(record: logging.LogRecord) -> bool:
    """Tell whether a record is ours, or a warning of somebody else's; of events people are notified."""
    is_event = record.getMessage().startswith(EVENT)
    return record.name.partition(".")[0] == OWN or (record.levelno >= logging.WARNING and not is_event)


def _say_failed(record: logging.LogRecord) -> None:
    """Say that a record could not be written; the standard library would print its arguments as they are."""
    if logging.raiseExceptions and sys.stderr is not None:
        kind = sys.exc_info()[0]
        name = kind.__name__ if kind else "unknown"
        where = f"{Path(record.pathname).name}:{record.lineno}"
        with suppress(OSError, ValueError):  # stderr itself may be what is broken
            sys.stderr.write(f"a log record of {where} could not be written: {name}\n")


class _Console(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        _say_failed(record)


class _File(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        _say_failed(record)


def set_up_logs(
    *,
    file: Path | None = None,
    stream: TextIO | None = None,
    level: int | str = logging.INFO,
    file_bytes: int = FILE_BYTES,
    files_kept: int = FILES_KEPT,
    redact: Redactor | None = None,
) -> Callable[[], None]:
    """Send the standard library's logs to stderr and, where wanted, to a file that rotates by size.

    A terminal gets readable lines, anything else (a service manager, a pipe) and the file get JSON. Where
    there is a file, a terminal is spared what Nautilus' parts report in the ordinary course of things.

    Parameters
    ----------
    file
        Log file; ``name.1`` is the one before it, and so on.
    stream
        Instead of stderr.
    level
        Least level that is written.
    file_bytes, files_kept
        Size at which the file is replaced, and how many old ones stay.
    redact
        By default all secrets of the environment.

    Returns
    -------
    Callable[[], None]
        Takes the handlers away again and closes the file.

    Raises
    ------
    ConfigurationError
        When the file cannot be opened, or the level is unknown.
    """
    redactor = redact or Redactor.of_environment()
    output = sys.stderr if stream is None else stream
    is_terminal = bool(getattr(output, "isatty", lambda: False)())
    console: logging.Handler = _Console(output)
    console.setFormatter(TextFormatter(redactor) if is_terminal else JsonFormatter(redactor))
    if is_terminal and file is not None:
        console.addFilter(concerns_people)
    handlers = [console]
    if file is not None:
        handlers.append(_rotating(file, file_bytes, files_kept, redactor))
    root = logging.getLogger()
    before = root.level
    try:
        root.setLevel(level)
    except ValueError as error:
        raise ConfigurationError(f"log level {level!r} is not one of DEBUG, INFO, WARNING, ERROR") from error
    for handler in handlers:
        root.addHandler(handler)

    def undo() -> None:
        root.setLevel(before)
        for handler in handlers:
            root.removeHandler(handler)
            if handler is not console:
                handler.close()

    return undo


def _rotating(file: Path, file_bytes: int, files_kept: int, redact: Redactor) -> logging.Handler:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = _File(file, maxBytes=file_bytes, backupCount=files_kept, encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigurationError(f"{file}: the log cannot be opened: {error.strerror}") from error
    handler.setFormatter(JsonFormatter(redact))
    return handler


@contextmanager
def service_logs(name: str, folder: Path | None = None) -> Iterator[None]:
    """Set up what a service writes: logs to stderr and, with a folder, to a file there; crash files as well.

    Parameters
    ----------
    name
        Of the service: `folder/name.jsonl`.
    folder
        Receives logs and crash files; None writes to stderr only.

    Raises
    ------
    ConfigurationError
        When the file cannot be opened.
    """
    redact = Redactor.of_environment()
    undo = set_up_logs(file=None if folder is None else folder / f"{name}.jsonl", redact=redact)
    for library in QUIET:
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        yield
    except (OperatorError, OSError):  # what the operator is told in a line is no crash
        raise
    except Exception as error:
        logging.getLogger(f"smcbot.{name}").exception("crashed")
        if folder is not None:
            crash_file(folder, error, redact)
        raise
    finally:
        undo()


def crash_file(folder: Path, error: BaseException, redact: Redactor) -> str:
    """Write what ended the process into `folder/crash-TIME.txt`, readable by its owner only; say where."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    path = folder / f"crash-{stamp}.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = redact("".join(traceback.format_exception(error)))
        path.write_text(f"ids: {correlation()}\n{text}", encoding="utf-8")
        path.chmod(0o600)
    except OSError as problem:
        return f"{path} could not be written: {problem.strerror}"
    return f"details in {path}"


def install_crash_handler(folder: Path, redact: Redactor | None = None) -> None:
    """Write what ends the process or a thread unexpectedly into a file, secrets taken out, and say where.

    Parameters
    ----------
    folder
        Receives ``crash-TIME.txt``, readable by its owner only.
    redact
        By default all secrets of the environment.
    """
    redactor = redact or Redactor.of_environment()

    def handle(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        write(kind, error, "crashed")

    def handle_thread(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_type is not SystemExit:
            name = failed.thread.name if failed.thread else "unknown"
            write(failed.exc_type, failed.exc_value or failed.exc_type(), f"thread {name} crashed")

    def write(kind: type[BaseException], error: BaseException, what: str) -> None:
        where = crash_file(folder, error, redactor)
        print(redactor(f"{what}: {kind.__name__}: {error}; {where}"), file=sys.stderr)

    sys.excepthook = handle
    threading.excepthook = handle_thread
