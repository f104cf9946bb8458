"""The section `notifications` of `config.yaml`: who hears what, when, and how often.

Addresses of channels are secrets and stand in the environment only, see `runtime.notify.addresses`.
"""

import re
from datetime import time
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct

from runtime.notify.events import Severity

TAG: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
DAY_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class EventRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is special about one kind of event; null takes the general rule.

    Parameters
    ----------
    enabled
        Tell it at all; null follows docs/how-to/notifications.md (in backtests: only their end).
    minimum
        Least severity that is told.
    channels
        Tags of the channels that hear it; empty means all of them.
    burst
        So many at once, then at the rate of `per_minute`.
    per_minute
        Messages per minute and channel in the long run; 0 sets no limit.
    with_data
        Append what is known as ``key=value``: for programs that read the text. Apprise carries nothing else.
    """

    enabled: bool | None = None
    minimum: Severity | None = None
    channels: tuple[str, ...] = ()
    burst: Annotated[int, Meta(ge=1, le=1000)] | None = None
    per_minute: Annotated[float, Meta(ge=0, le=600)] | None = None
    with_data: bool = False

    def __post_init__(self) -> None:
        for tag in self.channels:
            if not TAG.fullmatch(tag):
                raise ValueError(f"channel tag {tag!r} is not made of a-z, 0-9, - and _ (console is one)")


class EventRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule per kind of event.

    Parameters
    ----------
    start, stop
        The node begins and ends.
    entry, fill, cancel_by_model, order_refused
        Life of an entry.
    stop_hit, target_hit, position_closed
        End of a position.
    protection_lost, protection_restored, watchdog, halt, pause
        What endangers or stops trading.
    drift, data, command, health
        State of model, data and node.
    signal, signal_skipped
        Setups and signals; off unless enabled here.
    daily_summary, backtest_finished, test
        Reports.
    """

    start: EventRule = EventRule()
    stop: EventRule = EventRule()
    entry: EventRule = EventRule()
    fill: EventRule = EventRule()
    cancel_by_model: EventRule = EventRule()
    stop_hit: EventRule = EventRule()
    target_hit: EventRule = EventRule()
    position_closed: EventRule = EventRule()
    order_refused: EventRule = EventRule()
    protection_lost: EventRule = EventRule()
    protection_restored: EventRule = EventRule()
    watchdog: EventRule = EventRule()
    halt: EventRule = EventRule()
    pause: EventRule = EventRule()
    drift: EventRule = EventRule()
    data: EventRule = EventRule()
    command: EventRule = EventRule()
    health: EventRule = EventRule()
    signal: EventRule = EventRule()
    signal_skipped: EventRule = EventRule()
    daily_summary: EventRule = EventRule()
    backtest_finished: EventRule = EventRule()
    test: EventRule = EventRule()


class QuietHours(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A span of each day in which only critical events are told; the others are summed up after it.

    Parameters
    ----------
    start, end
        Times of day, HH:MM; a span may go over midnight.
    timezone
        Name such as ``Europe/Berlin``.
    """

    start: str
    end: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("end", self.end)):
            if not DAY_TIME.fullmatch(value):
                raise ValueError(f'{name} {value!r} is not a time of day such as "22:30" (in quotes)')
        if self.start == self.end:
            raise ValueError(f"start and end are both {self.start}: remove quiet_hours, or disable events")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"timezone {self.timezone!r} is not known, expected a name such as UTC or Europe/Berlin"
            ) from None

    @property
    def span(self) -> tuple[time, time]:
        """Start and end as times of day."""
        return time.fromisoformat(self.start), time.fromisoformat(self.end)


class NotifySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who hears what; the channels' addresses come from TRADING_NOTIFY_URLS.

    Parameters
    ----------
    console
        Events also go to stderr, as the channel with the tag ``console``.
    minimum
        Least severity that is told at all.
    quiet_hours
        When only critical events are told; null for never.
    batch_secs
        Events that come within this time become one message; critical ones never wait. 0 sends each alone.
    burst, per_minute
        Limit per kind of event and channel, see the rules of events.
    queue
        Events that wait for a channel at most; beyond it the oldest that is not critical is dropped.
    timeout_secs
        A channel that takes longer has failed.
    backoff_secs, backoff_max_secs
        Pause after a failure; it doubles up to the longest one.
    retries
        Further attempts for a message before it is given up; critical ones are tried without end.
    events
        Rules of single kinds.
    """

    console: bool = True
    minimum: Severity = Severity.INFO
    quiet_hours: QuietHours | None = None
    batch_secs: Annotated[float, Meta(ge=0, le=3600)] = 3.0
    burst: Annotated[int, Meta(ge=1, le=1000)] = 5
    per_minute: Annotated[float, Meta(ge=0, le=600)] = 6.0
    queue: Annotated[int, Meta(ge=10, le=100_000)] = 1_000
    timeout_secs: Annotated[float, Meta(ge=0.1, le=120)] = 10.0
    backoff_secs: Annotated[float, Meta(ge=0.01, le=600)] = 2.0
    backoff_max_secs: Annotated[float, Meta(ge=0.01, le=3600)] = 300.0
    retries: Annotated[int, Meta(ge=0, le=100)] = 5
    events: EventRules = EventRules()

    def __post_init__(self) -> None:
        if self.backoff_max_secs < self.backoff_secs:
            raise ValueError(
                f"backoff_max_secs ({self.backoff_max_secs}) must not be below backoff_secs "
                f"({self.backoff_secs})"
            )
