"""Reads the parameters of a question; what is wrong is refused with the name of the parameter."""

import difflib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from ui.server.ports import QuestionError

INSTRUMENT: Final = re.compile(r"[A-Za-z0-9_./-]{1,64}\.[A-Z][A-Z0-9_]{0,31}")
MAX_TEXT: Final = 200
# From 2001 to 2255: no shorter ones, which could be dates.
MILLISECONDS: Final = re.compile(r"[1-8]?[0-9]{12}")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST_NS: Final = (1 << 63) - 1


class Question:
    """The parameters of one request.

    Parameters
    ----------
    given
        Name -> text.
    known
        Names that there are; others are refused, so that a slip of the pen is not a wider question.
    """

    def __init__(self, given: Mapping[str, str], known: Sequence[str]) -> None:
        for name in given:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f", did you mean {close[0]}?" if close else f"; known: {', '.join(known) or 'none'}"
                raise QuestionError(name[:40], f"unknown parameter {name[:40]!r}{hint}")
        self._given = given

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; without a default it is needed."""
        value = self._given.get(name, default)
        if value is None:
            raise QuestionError(name, "is missing")
        if len(value) > MAX_TEXT or (value and not value.isprintable()):
            raise QuestionError(name, f"expected one line of at most {MAX_TEXT} characters")
        return value

    def choice(self, name: str, choices: Sequence[str], default: str | None = None) -> str:
        """Return one of some words."""
        value = self.text(name, default)
        if value != default and value not in choices:
            raise QuestionError(name, f"{value!r} is none of {', '.join(choices)}")
        return value

    def instrument(self, name: str, default: str | None = None) -> str:
        """Return an instrument id."""
        value = self.text(name, default)
        if value != default and not INSTRUMENT.fullmatch(value):
            raise QuestionError(name, "expected an instrument id such as XRPUSDT.BINANCE")
        return value

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        """Return an integer within limits, both included."""
        value = self._given.get(name)
        if value is None:
            return default
        if not re.fullmatch(r"-?[0-9]{1,19}", value) or not least <= int(value) <= most:
            raise QuestionError(name, f"expected an integer from {least} to {most}")
        return int(value)

    def flag(self, name: str) -> bool | None:
        """Return true or false, None where it is not said."""
        value = self._given.get(name)
        if value is None:
            return None
        if value not in ("true", "false"):
            raise QuestionError(name, "expected true or false")
        return value == "true"

    def moment_ns(self, name: str, default: int) -> int:
        """Return an ISO 8601 time as UNIX nanoseconds; without an offset it is UTC."""
        value = self._given.get(name)
        return default if value is None else moment_ns(name, value)


def moment_ns(name: str, text: str) -> int:
    """Return an ISO 8601 time, or UNIX milliseconds, as UNIX nanoseconds; without an offset it is UTC.

    Raises
    ------
    QuestionError
        When it is none, or 64 bits of nanoseconds cannot hold it.
    """
    if MILLISECONDS.fullmatch(text):
        return int(text) * 1_000_000
    try:
        moment = datetime.fromisoformat(text)
        delta = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH
    except (ValueError, OverflowError):
        raise QuestionError(name, "expected ISO 8601 such as 2026-03-18 or 2026-03-18T13:05:00Z") from None
    ts_ns = (delta.days * 86_400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1_000
    if not 0 <= ts_ns <= LAST_NS:
        raise QuestionError(name, "expected a time from 1970-01-01 to 2262-04-11")
    return ts_ns
