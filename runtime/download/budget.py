"""One host's request budget: how much may be sent now, from what the host said last.

Nothing here sends or sleeps; the clock is an argument. Times inside are those of that clock, seconds.
"""

import email.utils
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from runtime.download.order_window import OrderWindow

USED_WEIGHT: Final = "x-mbx-used-weight-1m"
BYBIT_LEFT: Final = "x-bapi-limit-status"
BYBIT_RESET: Final = "x-bapi-limit-reset-timestamp"
# Bybit counts over one second; a reset much further away is a wrong clock.
BYBIT_LONGEST_SECS: Final = 5.0
MINUTE_SECS: Final = 60.0
BANNED, TOO_MANY = 418, 429
# What a refusal without Retry-After means: the shortest ban, and a pause.
DEFAULT_SECS: Final[Mapping[int, float]] = {BANNED: 120.0, TOO_MANY: 60.0}
# Longer than a venue bans (3 days); what asks for more is no number of seconds.
LONGEST_BAN_SECS: Final = 7 * 86_400.0


class HostBudget:
    """What one host still allows.

    A venue that reports its own count (Binance's used weight) is believed, so that other programs at the
    same address count too. Elsewhere our own requests are counted.

    Parameters
    ----------
    clock
        Monotonic seconds.
    ratio
        Share of the limit that is used, in (0, 1].

    References
    ----------
    Binance, "Limits" of the spot REST interface: weight per minute of the wall clock, 429 with Retry-After,
    418 for a ban. Bybit, "Rate Limit Rules" of version 5: 600 requests in 5 s, headers per endpoint.
    """

    def __init__(self, clock: Callable[[], float], ratio: float = 1.0) -> None:
        self._clock = clock
        self._ratio = ratio
        self._limit: float | None = None
        self._window_secs = MINUTE_SECS
        self._window_end = 0.0
        self._minute: int | None = None
        self._reported: int | None = None
        self._counted = 0
        self._in_flight = 0
        self._blocked_until = 0.0
        self._ban_until = 0.0
        self._limited_until = 0.0
        self.ban_status = 0
        self._orders: dict[float, OrderWindow] = {}

    def allow(self, per_window: int, window_secs: float = MINUTE_SECS) -> None:
        """Set the host's limit: weight per window of so many seconds."""
        self._limit, self._window_secs = float(per_window), window_secs

    def allow_orders(self, per_window: int, window_secs: float) -> None:
        """Set how many orders the venue takes within an interval of so many seconds."""
        window = self._orders.setdefault(window_secs, OrderWindow(per_window, window_secs))
        window.limit = per_window

    @contextmanager
    def share(self, ratio: float) -> Iterator[None]:
        """Use this share of the limit for a while, where it is more than what is used else.

        Parameters
        ----------
        ratio
            In (0, 1].
        """
        before = self._ratio
        self._ratio = max(before, ratio)
        try:
            yield
        finally:
            self._ratio = before

    @property
    def ban_secs(self) -> float:
        """Seconds until the host's ban ends, 0 without one."""
        return max(0.0, self._ban_until - self._clock())

    @property
    def silence_secs(self) -> float:
        """Seconds in which the host wants no request at all, banned or over its limit; 0 when it takes them.

        Who only asks may wait for its end (`wait_secs`); an order that waited would be another order.
        """
        return max(self.ban_secs, self._limited_until - self._clock())

    @property
    def silence_status(self) -> int:
        """Return the status by which the host asked for silence."""
        return self.ban_status if self.ban_secs > 0 else TOO_MANY

    @property
    def in_flight(self) -> int:
        """Return the weight of what was sent and has no answer yet."""
        return self._in_flight

    def wait_secs(self, weight: int, *, is_reserved: bool = False) -> float:
        """Return how long to wait before a request of that weight may be sent, 0 when it may be now.

        Parameters
        ----------
        weight
            Of the request.
        is_reserved
            It may use what the share leaves, up to the whole limit.
        """
        now = self._clock()
        if now < self._blocked_until:
            return self._blocked_until - now
        if self._limit is None:
            return 0.0
        used = self._used(now)
        # A request that is heavier than the whole share may go alone.
        if used == 0 or used + weight <= self._limit * (1.0 if is_reserved else self._ratio):
            return 0.0
        return self._window_end - now

    def _used(self, now: float) -> int:
        if now >= self._window_end:
            self._counted = 0
            self._reported = None if self._reported is None else 0
            self._window_end = now + self._window_secs
        return self._counted if self._reported is None else self._reported + self._in_flight

    def crowded(self, weight_ratio: float, order_ratio: float) -> str:
        """Return which limit is used up to a share or beyond, in words; empty where none is.

        Parameters
        ----------
        weight_ratio, order_ratio
            Share of the weight, and of the number of orders in each interval, in (0, 1].
        """
        now = self._clock()
        if self._limit is not None and (used := self._used(now)) >= self._limit * weight_ratio:
            return f"weight {used} of {self._limit:.0f} in {self._window_secs:g} s"
        for window in self._orders.values():
            if (orders := window.used(now)) >= window.limit * order_ratio:
                return f"{orders} of {window.limit} orders in {window.secs:g} s"
        return ""

    def sent(self, weight: int) -> None:
        """Count a request that goes out now."""
        self._counted += weight
        self._in_flight += weight

    def order_sent(self) -> None:
        """Count an order that goes out now; its request is counted by `sent`."""
        now = self._clock()
        for window in self._orders.values():
            window.sent(now)

    def answered(self, weight: int, headers: Mapping[str, str] | None = None) -> None:
        """Take back a request that was sent, with the headers of its answer (None: there was none)."""
        self._in_flight -= weight
        if headers is None:
            return
        used = _whole(headers.get(USED_WEIGHT))
        if used is not None:
            date = date_of(headers)
            self._report(used, date)
            for window in self._orders.values():
                orders = _whole(headers.get(window.header))
                if orders is not None and date is not None:
                    window.told(orders, date, self._clock())
        if _whole(headers.get(BYBIT_LEFT)) == 0:
            self.block(reset_secs(headers))

    def _report(self, used: int, date: float | None) -> None:
        minute = None if date is None else int(date // MINUTE_SECS)
        if minute is not None and minute == self._minute and self._reported is not None:
            # Answers overtake each other: within a minute the highest count is the newest.
            self._reported = max(self._reported, used)
        else:
            self._reported, self._minute = used, minute
        if date is not None:
            self._window_end = self._clock() + MINUTE_SECS - date % MINUTE_SECS

    def block(self, secs: float) -> None:
        """Send nothing for so many seconds."""
        self._blocked_until = max(self._blocked_until, self._clock() + secs)

    def limit(self, secs: float) -> None:
        """Note that the host has answered 429: it wants nothing at all for so many seconds."""
        self.block(secs)
        self._limited_until = max(self._limited_until, self._clock() + secs)

    def heed(self, status: int, headers: Mapping[str, str]) -> float:
        """Take what Binance's status and ``Retry-After`` ask for; return the seconds of silence, 0 for none.

        Parameters
        ----------
        status
            418 is a ban, 429 a limit; all others ask for nothing.
        headers
            Names in lower case.
        """
        if status not in DEFAULT_SECS:
            return 0.0
        asked_secs = retry_after_secs(headers)
        secs = DEFAULT_SECS[status] if asked_secs is None else asked_secs
        if status == BANNED:
            self.ban(secs, status)
        else:
            self.limit(secs)
        return secs

    def ban(self, secs: float, status: int) -> None:
        """Note that the host has banned this address for so many seconds, and by which status it said so."""
        self.ban_status = status
        self._ban_until = max(self._ban_until, self._clock() + min(secs, LONGEST_BAN_SECS))


def retry_after_secs(headers: Mapping[str, str]) -> float | None:
    """Return what ``Retry-After`` asks for in seconds, None without a usable one.

    A date in it is read against the host's own ``Date``, so that a wrong clock on either side does not
    matter.

    Examples
    --------
    >>> retry_after_secs({"retry-after": "7"})
    7.0
    """
    text = headers.get("retry-after", "").strip()
    try:
        secs = float(text)
    except ValueError:
        until, now = _http_date(text), date_of(headers)
        if until is None or now is None:
            return None
        secs = until - now
    return max(0.0, secs) if secs < LONGEST_BAN_SECS else None


def reset_secs(headers: Mapping[str, str]) -> float:
    """Return the seconds until Bybit's limit resets, by the host's own clock: in [0, 5], 1 if unknown."""
    reset_ms, now = _whole(headers.get(BYBIT_RESET)), date_of(headers)
    if reset_ms is None or now is None:
        return 1.0
    return min(max(0.0, reset_ms / 1000 - now), BYBIT_LONGEST_SECS)


def date_of(headers: Mapping[str, str]) -> float | None:
    """Return the host's clock of an answer, UNIX seconds, None without a readable ``Date``."""
    return _http_date(headers.get("date", ""))


def _http_date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdecimal() else None
