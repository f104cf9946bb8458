"""The events that a person may hear of, how grave each one is, and whether it is said by default.

Pure: an event is data. Who hears it is decided in `runtime.notify.routing`, by rules of `config.yaml`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

import msgspec


class Severity(StrEnum):
    """How much an event matters, in rising order."""

    INFO = "info"
    WARNING = "warning"  # a person should look at it
    CRITICAL = "critical"  # money is at risk, or trading stopped

    @property
    def rank(self) -> int:
        """Position in the order, 0 for the least."""
        return _SEVERITIES.index(self)


_SEVERITIES: Final = tuple(Severity)

type Mode = Literal["backtest", "paper", "live"]


class EventKind(StrEnum):
    """What may be told; the words are the keys of ``notifications.events`` in `config.yaml`."""

    START = "start"
    STOP = "stop"
    ENTRY = "entry"
    FILL = "fill"
    CANCEL_BY_MODEL = "cancel_by_model"
    STOP_HIT = "stop_hit"
    TARGET_HIT = "target_hit"
    POSITION_CLOSED = "position_closed"
    ORDER_REFUSED = "order_refused"
    PROTECTION_LOST = "protection_lost"
    PROTECTION_RESTORED = "protection_restored"
    WATCHDOG = "watchdog"
    HALT = "halt"
    PAUSE = "pause"
    DRIFT = "drift"
    DATA = "data"
    COMMAND = "command"
    HEALTH = "health"
    SIGNAL = "signal"
    SIGNAL_SKIPPED = "signal_skipped"
    DAILY_SUMMARY = "daily_summary"
    BACKTEST_FINISHED = "backtest_finished"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class EventTerms:
    """What is true of a kind of event unless the settings say otherwise.

    Parameters
    ----------
    meaning
        When it happens, one sentence.
    severity
        Usual one; a single event may be graver.
    is_on
        Whether it is told in paper and live.
    """

    meaning: str
    severity: Severity = Severity.INFO
    is_on: bool = True


TERMS: Final[dict[EventKind, EventTerms]] = {
    EventKind.START: EventTerms("The node trades from now on."),
    EventKind.STOP: EventTerms("The node stopped, or was stopped.", Severity.WARNING),
    EventKind.ENTRY: EventTerms("An entry order was sent."),
    EventKind.FILL: EventTerms("An entry was filled, whole or in part."),
    EventKind.CANCEL_BY_MODEL: EventTerms("The cancel policy took a resting entry back."),
    EventKind.STOP_HIT: EventTerms("A position ended at its stop: first, at break-even or trailing."),
    EventKind.TARGET_HIT: EventTerms("A position ended at its target."),
    EventKind.POSITION_CLOSED: EventTerms("A position ended otherwise: time, momentum, by hand, a bug."),
    EventKind.ORDER_REFUSED: EventTerms("The venue or the node refused an order.", Severity.WARNING),
    EventKind.PROTECTION_LOST: EventTerms("A protective order was refused or unanswered.", Severity.CRITICAL),
    EventKind.PROTECTION_RESTORED: EventTerms("It stands again.", Severity.WARNING),
    EventKind.WATCHDOG: EventTerms("The watchdog saw something that must not be.", Severity.CRITICAL),
    EventKind.HALT: EventTerms("Nothing is opened any more; exits go on.", Severity.CRITICAL),
    EventKind.PAUSE: EventTerms("A guard pauses entries after losses.", Severity.WARNING),
    EventKind.DRIFT: EventTerms("The market is no longer the model's.", Severity.WARNING),
    EventKind.DATA: EventTerms("Data are stale, gapped, or flow again.", Severity.WARNING),
    EventKind.COMMAND: EventTerms("A person or program gave a command."),
    EventKind.HEALTH: EventTerms("A health check changed its answer.", Severity.WARNING),
    EventKind.SIGNAL: EventTerms("A setup or signal was found or taken.", is_on=False),
    EventKind.SIGNAL_SKIPPED: EventTerms("A signal was not taken, and why.", is_on=False),
    EventKind.DAILY_SUMMARY: EventTerms("What the UTC day brought, after midnight."),
    EventKind.BACKTEST_FINISHED: EventTerms("A backtest is done."),
    EventKind.TEST: EventTerms("Sent by `python -m runtime.notify test`."),
}
IN_BACKTESTS: Final = frozenset({EventKind.BACKTEST_FINISHED, EventKind.TEST})


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened.

    Parameters
    ----------
    kind
        What.
    ts_ns
        When, UNIX nanoseconds: of the market in a backtest, of the node otherwise.
    text
        One line for a person, with the instrument before its numbers.
    severity
        How grave; None takes the usual one of its kind.
    data
        The same as values, for the journal and for screens.
    """

    kind: EventKind
    ts_ns: int
    text: str
    severity: Severity | None = None
    data: dict[str, Any] = {}

    @property
    def gravity(self) -> Severity:
        """Its own severity, else that of its kind."""
        return self.severity or TERMS[self.kind].severity

    @property
    def is_critical(self) -> bool:
        """Whether it must be heard at once and is never dropped for a lesser one."""
        return self.gravity is Severity.CRITICAL


def is_on_by_default(kind: EventKind, mode: Mode) -> bool:
    """Return whether a kind is told when the settings are silent about it.

    Examples
    --------
    >>> is_on_by_default(EventKind.FILL, "live"), is_on_by_default(EventKind.FILL, "backtest")
    (True, False)
    """
    return kind in IN_BACKTESTS if mode == "backtest" else TERMS[kind].is_on
