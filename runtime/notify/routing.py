"""Whether a channel hears an event now, later in a summary, or never. Pure: the time is handed in."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final
from zoneinfo import ZoneInfo

from runtime.notify.events import Event, EventKind, Mode, Severity, is_on_by_default
from runtime.notify.settings import EventRule, NotifySettings, QuietHours

NANOS: Final = 1_000_000_000
MINUTE_SECS: Final = 60.0


class Route(Enum):
    """What becomes of an event at one channel."""

    SEND = "send"
    HOLD = "hold"  # counted, and told in a summary
    IGNORE = "ignore"


def rule_of(settings: NotifySettings, kind: EventKind) -> EventRule:
    """Return the rule of one kind."""
    rule: EventRule = getattr(settings.events, kind.value)
    return rule


def is_wanted(event: Event, tags: frozenset[str], settings: NotifySettings, mode: Mode) -> bool:
    """Return whether a channel with these tags is to hear of such an event at all."""
    rule = rule_of(settings, event.kind)
    is_on = is_on_by_default(event.kind, mode) if rule.enabled is None else rule.enabled
    least: Severity = settings.minimum if rule.minimum is None else rule.minimum
    is_grave = event.gravity.rank >= least.rank
    return is_on and is_grave and (not rule.channels or not tags.isdisjoint(rule.channels))


def is_quiet(hours: QuietHours | None, ts_ns: int) -> bool:
    """Return whether a moment (UNIX nanoseconds) lies in the quiet hours; their end does not.

    Examples
    --------
    >>> is_quiet(QuietHours(start="22:00", end="07:00"), 23 * 3600 * NANOS)
    True
    """
    if hours is None:
        return False
    local = datetime.fromtimestamp(ts_ns / NANOS, UTC).astimezone(ZoneInfo(hours.timezone))
    now = local.time()
    start, end = hours.span
    return start <= now < end if start < end else now >= start or now < end


@dataclass(slots=True)
class TokenBucket:
    """A limit that allows bursts: `burst` at once, then `per_minute`; 0 per minute sets no limit.

    Time that goes back refills nothing and breaks nothing.
    """

    burst: int
    per_minute: float
    tokens: float = 0.0
    last_ns: int = -1

    def take(self, now_ns: int) -> bool:
        """Take a token at this time, UNIX nanoseconds; False when there is none."""
        if not self.per_minute:
            return True
        self._refill(now_ns)
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    def next_ns(self, now_ns: int) -> int:
        """Return when the next token is there, UNIX nanoseconds; now if there is one."""
        if not self.per_minute:
            return now_ns
        self._refill(now_ns)
        missing = max(0.0, 1.0 - self.tokens)
        return now_ns + round(missing * MINUTE_SECS / self.per_minute * NANOS)

    def _refill(self, now_ns: int) -> None:
        if self.last_ns < 0:
            self.tokens = float(self.burst)
        else:
            gained = max(0, now_ns - self.last_ns) / NANOS / MINUTE_SECS * self.per_minute
            self.tokens = min(float(self.burst), self.tokens + gained)
        self.last_ns = now_ns


class Router:
    """The rules as one channel applies them; it remembers the channel's rates.

    Parameters
    ----------
    settings
        Of the file.
    mode
        Backtests tell of nothing but their end unless a rule enables more.
    tags
        Of the channel.
    """

    def __init__(self, settings: NotifySettings, mode: Mode, tags: frozenset[str]) -> None:
        self._settings = settings
        self._mode: Mode = mode
        self._tags = tags
        self._rates: dict[EventKind, TokenBucket] = {}

    def wants(self, event: Event) -> bool:
        """Return whether the channel hears of such events at all."""
        return is_wanted(event, self._tags, self._settings, self._mode)

    def route(self, event: Event, now_ns: int) -> Route:
        """Say what becomes of an event at this time, UNIX nanoseconds; sending takes a token of its rate."""
        if not self.wants(event):
            return Route.IGNORE
        if not event.is_critical and is_quiet(self._settings.quiet_hours, now_ns):
            return Route.HOLD
        return Route.SEND if self._rate(event.kind).take(now_ns) else Route.HOLD

    def may_summarise(self, kinds: list[EventKind], now_ns: int, *, is_critical: bool = False) -> bool:
        """Return whether what was held back of these kinds may be summed up now."""
        if not is_critical and is_quiet(self._settings.quiet_hours, now_ns):
            return False
        return all(self._rate(kind).next_ns(now_ns) <= now_ns for kind in kinds)

    def _rate(self, kind: EventKind) -> TokenBucket:
        if kind not in self._rates:
            rule, general = rule_of(self._settings, kind), self._settings
            self._rates[kind] = TokenBucket(
                general.burst if rule.burst is None else rule.burst,
                general.per_minute if rule.per_minute is None else rule.per_minute,
            )
        return self._rates[kind]
