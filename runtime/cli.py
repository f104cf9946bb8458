"""What every command line of this project shares: errors on one line, ISO times, JSON out, progress.

Data goes to stdout and words go to stderr, so that output can be piped. A command is a function
``(arguments) -> exit code``; it raises :class:`runtime.errors.OperatorError` for what the user can mend.
"""

import argparse
import contextlib
import difflib
import json
import math
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from runtime.errors import EXIT_DONE, EXIT_FAILED, EXIT_MISUSE, ConfigurationError, OperatorError

TRACEBACK_VARIABLE: Final = "SMCBOT_TRACEBACK"
PROGRESS_VARIABLE: Final = "SMCBOT_PROGRESS_FILE"
PROGRESS_SECS: Final = 0.2  # between two writes
# pyo3 makes it a BaseException of a module that cannot be imported.
RUST_PANIC: Final = "PanicException"
NANOS_PER_SECOND: Final = 1_000_000_000
# Of one write to a pipe, which takes as much as a whole (PIPE_BUF of POSIX systems).
PRINTED_AT_ONCE: Final = 4096
LAST_NS: Final = (1 << 63) - 1
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

type Command = Callable[[argparse.Namespace], int]
type Advance = Callable[[float], None]


class CommandParser(argparse.ArgumentParser):
    """An argument parser that reports misuse as one line instead of a page of usage.

    Abbreviated options are refused: a script that says ``--sym`` would break with the next option.
    Sub-parsers made by ``add_subparsers`` are of this class too.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise :class:`ConfigurationError` with the message, a suggestion and where to read more."""
        raise ConfigurationError(f"{message}{self._suggestion(message)} (see `{self.prog} --help`)")

    def _suggestion(self, message: str) -> str:
        choice = re.search(r"invalid choice: '([^']*)'.*choose from (.*)\)", message)
        if choice:
            return did_you_mean(choice[1], re.findall(r"[^\s,']+", choice[2]))
        unknown = re.search(r"unrecognized arguments: (--[^\s=]+)", message)
        return did_you_mean(unknown[1], list(self._option_string_actions)) if unknown else ""


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return ``, did you mean x?`` for the closest known word, else an empty string."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else ""


def add_command(
    commands: "argparse._SubParsersAction[Any]", name: str, run: Command, summary: str, example: str
) -> CommandParser:
    """Add a sub-command; its help ends with the example. ``arguments.run`` is the function to call."""
    parser: CommandParser = commands.add_parser(
        name, help=summary.replace("%", "%%"), description=summary, epilog=f"example:\n  {example}"
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def command_parser(prog: str, description: str | None, modules: Iterable[ModuleType]) -> CommandParser:
    """Return the parser of a program; each module has ``add(commands)``, in the order of ``--help``."""
    parser = CommandParser(prog=prog, description=description)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in modules:
        module.add(commands)
    return parser


def with_default_command(argv: Sequence[str] | None, default: str) -> list[str]:
    """Return the arguments with the default command in front, where they name none.

    Parameters
    ----------
    argv
        Arguments without the program's name; None reads those of the process.
    default
        Command that options without a command are for.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    is_unnamed = not words or (words[0].startswith("-") and words[0] not in ("-h", "--help"))
    return [default, *words] if is_unnamed else words


def run_main(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, run the chosen command and turn every error into one line and an exit code.

    Parameters
    ----------
    parser
        Its chosen sub-command sets ``run``, see :func:`add_command`.
    argv
        Arguments without the program's name; None reads those of the process.

    Returns
    -------
    int
        0 done, 1 failed, 2 wrong usage or configuration. Set ``SMCBOT_TRACEBACK=1`` to see the traceback.
    """
    started_s = time.perf_counter()
    try:
        arguments, unknown = parser.parse_known_args(argv)
        if unknown:  # reported by the sub-command: it knows its own options, for the suggestion
            getattr(arguments, "parser", parser).error(f"unrecognized arguments: {' '.join(unknown)}")
        arguments.started_s = started_s
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except SystemExit as stop:  # --help and --version
        return stop.code if isinstance(stop.code, int) else EXIT_DONE
    except OperatorError as error:
        return fail(parser.prog, str(error), error.exit_code)
    except KeyboardInterrupt:
        return fail(parser.prog, "interrupted", EXIT_FAILED)
    except BrokenPipeError:
        # The reader of our output went away (`| head`); Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return fail(parser.prog, f"{where}{error.strerror or error}", EXIT_FAILED)
    except Exception as error:  # a bug, but the operator still gets one line
        return fail(parser.prog, f"internal error: {type(error).__name__}: {error}", EXIT_FAILED)
    except BaseException as error:
        if type(error).__name__ != RUST_PANIC:
            raise
        return fail(parser.prog, f"internal error: {error}", EXIT_FAILED)
    return code


def fail(program: str, message: str, code: int) -> int:
    """Print ``program: error: message`` as one line on stderr and return the code."""
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exc()
    word = "usage error" if code == EXIT_MISUSE else "error"
    one_line = " ".join(message.split())
    print(f"{program}: {word}: {one_line}", file=sys.stderr)
    return code


def say(message: str) -> None:
    """Print words (not data) on stderr."""
    print(message, file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Print a warning on stderr, on one line."""
    say(f"warning: {' '.join(message.split())}")


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print exactly one JSON value on stdout; NaN and infinities are refused with ValueError."""
    text = json.dumps(value, allow_nan=False, indent=2, default=str)
    # Unbuffered (PYTHONUNBUFFERED, usual in containers), what a full pipe does not take of one write is lost.
    for at in range(0, len(text), PRINTED_AT_ONCE):
        print(text[at : at + PRINTED_AT_ONCE], end="")
    print()


def iso_time(text: str) -> int:
    """Convert an ISO 8601 date or time to UNIX nanoseconds; without an offset it is UTC.

    Raises
    ------
    argparse.ArgumentTypeError
        When the text is not ISO 8601, with the expected form, or 64 bits of nanoseconds cannot hold it.

    Examples
    --------
    >>> iso_time("2026-03-18")
    1773792000000000000
    >>> iso_time("2026-03-18T00:00:00.5Z")
    1773792000500000000
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a date or time, expected 2026-03-18 or 2026-03-18T13:05:00Z"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    # Integer arithmetic: float seconds cannot hold nanoseconds of today.
    delta = moment - EPOCH
    ts_ns = (delta.days * 86_400 + delta.seconds) * NANOS_PER_SECOND + delta.microseconds * 1_000
    if not 0 <= ts_ns <= LAST_NS:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1970-01-01 and 2262-04-11")
    return ts_ns


def format_ns(ts_ns: int) -> str:
    """Return UNIX nanoseconds as ISO 8601 in UTC with as many decimals as it needs: 0, 3, 6 or 9.

    Examples
    --------
    >>> format_ns(1773792000500000000)
    '2026-03-18T00:00:00.500Z'
    """
    seconds, nanos = divmod(int(ts_ns), NANOS_PER_SECOND)
    decimals = f"{nanos:09d}"
    while decimals.endswith("000"):
        decimals = decimals[:-3]
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{decimals}Z" if decimals else f"{moment}Z"


def key_value(text: str) -> tuple[str, str]:
    """Split ``key=value`` for options such as ``--set bucket_usd=10000``.

    Raises
    ------
    argparse.ArgumentTypeError
        When there is no ``=`` or no key.
    """
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE, for example bucket_usd=10000")
    return key.strip(), value.strip()


def positive_secs(text: str) -> float:
    """Convert seconds above zero, for options such as ``--tolerance-secs 60``.

    Raises
    ------
    argparse.ArgumentTypeError
        When the text is not a finite number above zero.
    """
    try:
        secs = float(text)
    except ValueError:
        secs = math.nan
    if not 0 < secs < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0, for example 60")
    return secs


@contextmanager
def progress_bar(description: str, total: float | None = None) -> Iterator[Advance]:
    """Show a progress bar on stderr while the block runs, if stderr is a terminal.

    Where ``SMCBOT_PROGRESS_FILE`` names a file, the done fraction is written there instead: for who waits.

    Yields
    ------
    Callable[[float], None]
        Call it with the amount done since the last call, in units of `total`.
    """
    if (file := os.environ.get(PROGRESS_VARIABLE)) and total:
        yield _progress_file(Path(file), total)
        return
    if not sys.stderr.isatty():
        yield lambda _amount: None
        return
    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda amount: progress.advance(task, amount)


def _progress_file(file: Path, total: float) -> Advance:
    """Return what writes the fraction that is done into a file, a few times a second."""
    done, written_s = 0.0, 0.0

    def advance(amount: float) -> None:
        nonlocal done, written_s
        done += amount
        if (now_s := time.monotonic()) - written_s >= PROGRESS_SECS:
            written_s = now_s
            with contextlib.suppress(OSError):  # whoever waits is told at the end
                new = file.with_name(f"{file.name}.new")
                new.write_text(f"{done / total:.4f}")
                new.replace(file)  # never half of it

    return advance
