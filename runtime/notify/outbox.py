"""What waits for one channel: batches, what was held back, and what was lost. Pure: the time is handed in."""

import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from runtime.notify.events import Event, EventKind, Severity
from runtime.notify.routing import NANOS, Route, Router, is_quiet, rule_of
from runtime.notify.settings import NotifySettings

# Telegram ends a message at 4,096 characters, Discord at 2,000: what does not fit is in the next message.
LINES: Final = 15
LINE_LENGTH: Final = 120
PLAIN_WORD: Final = re.compile(r"[^\s\"=]+")
MARKS: Final[Mapping[Severity, str]] = {
    Severity.INFO: "",
    Severity.WARNING: "WARNING ",
    Severity.CRITICAL: "CRITICAL ",
}


@dataclass(frozen=True, slots=True)
class Message:
    """One text for one channel.

    Parameters
    ----------
    title, body
        Plain text.
    severity
        The gravest of its events.
    events
        What it tells; empty for a summary alone.
    held
        Events that it sums up, by kind.
    lost
        Events that nobody heard of, which it admits.
    """

    title: str
    body: str
    severity: Severity
    events: tuple[Event, ...] = ()
    held: Mapping[EventKind, int] = field(default_factory=dict)
    lost: int = 0

    @property
    def is_critical(self) -> bool:
        """Whether it is tried until it arrives."""
        return self.severity is Severity.CRITICAL


class Inbox:
    """Events on their way to one channel, bounded; the oldest that is not critical makes room.

    Its caller holds a lock: the trading thread puts, the channel's thread takes.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._critical: deque[Event] = deque()
        self._others: deque[Event] = deque()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._critical) + len(self._others)

    def put(self, event: Event) -> None:
        """Append an event; a full box drops its oldest event that is not critical, else its oldest."""
        if len(self) >= self._capacity:
            self.dropped += 1
            if self._others:
                self._others.popleft()
            elif event.is_critical:
                self._critical.popleft()
            else:
                return
        (self._critical if event.is_critical else self._others).append(event)

    def take_all(self) -> list[Event]:
        """Empty the box; critical events come first."""
        events = [*self._critical, *self._others]
        self._critical.clear()
        self._others.clear()
        return events


class Outbox:
    """Makes messages of one channel's events.

    Parameters
    ----------
    router
        The channel's rules.
    settings
        Batching, quiet hours and size.
    source
        Begins every title, for example ``smcbot paper``.
    """

    def __init__(self, router: Router, settings: NotifySettings, source: str) -> None:
        self._router = router
        self._settings = settings
        self._source = source
        self._batch_ns = round(settings.batch_secs * NANOS)
        self._waiting: deque[Event] = deque()
        self._first_ns = 0
        self._held: Counter[EventKind] = Counter()
        self._held_critical: set[EventKind] = set()
        self.held_total = 0
        self.lost_unsaid = 0
        """Events that were dropped or given up and of which no message has told yet."""
        self.dropped = 0

    @property
    def is_pending(self) -> bool:
        """Whether anything waits to be told."""
        return bool(self._waiting or self._held or self.lost_unsaid)

    @property
    def held(self) -> Mapping[EventKind, int]:
        """Events that were held back and not yet summed up, by kind."""
        return dict(self._held)

    def take(self, event: Event, now_ns: int) -> None:
        """Route an event at this time, UNIX nanoseconds."""
        route = self._router.route(event, now_ns)
        if route is Route.SEND:
            if not self._waiting:
                self._first_ns = now_ns
            self._waiting.append(event)
            if len(self._waiting) > self._settings.queue:
                self._drop_oldest()
        elif route is Route.HOLD:
            self.held_total += 1
            self._held[event.kind] += 1
            if event.is_critical:
                self._held_critical.add(event.kind)

    def due(self, now_ns: int, *, at_once: bool = False) -> Message | None:
        """Return the message that is to go out now, None if nothing is.

        Parameters
        ----------
        now_ns
            UNIX nanoseconds.
        at_once
            Do not wait for a batch to fill: the node ends.
        """
        is_ripe = at_once or now_ns - self._first_ns >= self._batch_ns or now_ns < self._first_ns
        events: list[Event] = []
        if self._waiting and (is_ripe or any(one.is_critical for one in self._waiting)):
            ordered = sorted(self._waiting, key=lambda one: not one.is_critical)
            events, rest = ordered[:LINES], ordered[LINES:]
            self._waiting = deque(rest)
        held = self._ripe_summary(now_ns, at_once=at_once)
        lost = 0
        if events or held or (self.lost_unsaid and not is_quiet(self._settings.quiet_hours, now_ns)):
            lost, self.lost_unsaid = self.lost_unsaid, 0
        if not (events or held or lost):
            return None
        return compose(self._source, events, held, lost, self._settings)

    def give_up(self, message: Message) -> None:
        """Count a message that could not be delivered; the next one that can tells how much was lost."""
        self.lost(len(message.events) + sum(message.held.values()))
        self.lost_unsaid += message.lost

    def lost(self, count: int) -> None:
        """Count events that nobody was told of."""
        self.dropped += count
        self.lost_unsaid += count

    def _ripe_summary(self, now_ns: int, *, at_once: bool) -> dict[EventKind, int]:
        ripe = [
            kind
            for kind in self._held
            if at_once or self._router.may_summarise([kind], now_ns, is_critical=kind in self._held_critical)
        ]
        self._held_critical.difference_update(ripe)
        return {kind: self._held.pop(kind) for kind in ripe}

    def _drop_oldest(self) -> None:
        index = next((at for at, one in enumerate(self._waiting) if not one.is_critical), 0)
        del self._waiting[index]
        self.lost(1)


def compose(
    source: str,
    events: list[Event],
    held: Mapping[EventKind, int],
    lost: int,
    settings: NotifySettings,
) -> Message:
    """Write the message about events, what was held back by kind, and how many were lost.

    The data of events whose rule asks for them are the last lines, one for each event, never cut: a line
    begins with ``kind=`` and has ``key=value`` after it, JSON where a value is no plain word.
    """
    severities = [one.gravity for one in events]
    if lost:
        severities.append(Severity.WARNING)
    severity = max(severities, key=lambda one: one.rank, default=Severity.INFO)
    lines = [f"{MARKS[one.gravity]}{one.text}" for one in events]
    if held:
        counts = ", ".join(f"{count} {kind.value}" for kind, count in sorted(held.items()))
        lines.append(f"held back: {counts}")
    if lost:
        lines.append(f"{lost} events were lost: this channel was too slow or did not answer")
    what = events[0].kind.value.replace("_", " ") if events else "summary"
    more = f" and {len(events) - 1} more" if len(events) > 1 else ""
    shown = [line if len(events) == 1 else line[:LINE_LENGTH] for line in lines]
    shown += [data_line(one) for one in events if rule_of(settings, one.kind).with_data]
    title = f"{source}: {MARKS[severity]}{what}{more}"
    return Message(title, "\n".join(shown), severity, tuple(events), dict(held), lost)


def data_line(event: Event) -> str:
    """Return an event's data on one line.

    Examples
    --------
    >>> data_line(Event(kind=EventKind.FILL, ts_ns=7, text="", data={"qty": "1.5", "why": "two words"}))
    'kind=fill ts_ns=7 qty=1.5 why="two words"'
    """
    pairs = {"kind": event.kind.value, "ts_ns": event.ts_ns, **event.data}
    return " ".join(f"{name}={_word(value)}" for name, value in pairs.items())


def _word(value: Any) -> str:
    if isinstance(value, str) and PLAIN_WORD.fullmatch(value):
        return value
    return msgspec.json.encode(value, enc_hook=str).decode()
