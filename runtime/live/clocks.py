"""The clock of this machine against the venues', which refuse orders that are a second off."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from runtime.download.http import Http
from runtime.errors import VenueError
from runtime.live.addresses import addresses_of
from runtime.live.settings import LiveVenue

TIME_PATHS: Final = {
    ("binance", "spot"): "/api/v3/time",
    ("binance", "usdm"): "/fapi/v1/time",
    ("bybit", "spot"): "/v5/market/time",
    ("bybit", "linear"): "/v5/market/time",
}
ATTEMPTS: Final = 3


class ClockOffset(NamedTuple):
    """By how much our clock is ahead of a venue's, seconds, and how wrong that may be at most."""

    secs: float
    error_secs: float

    @property
    def least_secs(self) -> float:
        """The part of it that is certain, with its sign."""
        return math.copysign(max(0.0, abs(self.secs) - self.error_secs), self.secs)


async def clock_offset(
    http: Http, venue: LiveVenue, *, attempts: int = ATTEMPTS, now_s: Callable[[], float] = time.time
) -> ClockOffset:
    """Return the offset of our clock: of several answers the fastest one's.

    Parameters
    ----------
    http
        Client with retries.
    venue
        Whose clock.
    attempts
        Number of questions.
    now_s
        Our clock, UNIX seconds.

    Raises
    ------
    VenueError
        When the venue does not tell.

    Notes
    -----
    The answer is taken to be of the middle between question and answer, so it is wrong by half of the round
    trip at most: a busy loop makes the error large, not the offset.
    """
    url = f"{addresses_of(venue).http}{TIME_PATHS[venue.venue, venue.market]}"
    measured = []
    for _ in range(attempts):
        asked_s = now_s()
        answer = await http.get_json(url)
        answered_s = now_s()
        middle_s, error_s = (asked_s + answered_s) / 2, (answered_s - asked_s) / 2
        measured.append(ClockOffset(middle_s - _venue_secs(answer, url), error_s))
    return min(measured, key=lambda one: one.error_secs)


def _venue_secs(answer: Any, url: str) -> float:
    try:
        if "serverTime" in answer:
            return int(answer["serverTime"]) / 1e3
        return int(answer["result"]["timeNano"]) / 1e9
    except (KeyError, TypeError, ValueError) as error:
        raise VenueError(f"{url}: the answer tells no time") from error


class ClockOffsets:
    """The offsets as they were last measured, for health and for the hold of entries.

    Parameters
    ----------
    venues
        Accounts of the node.
    """

    def __init__(self, venues: Sequence[LiveVenue]) -> None:
        self._venues = tuple(venues)
        self.by_venue: dict[str, ClockOffset] = {}

    @property
    def worst_secs(self) -> float:
        """The largest offset that is certain, with its sign; 0 before one was measured."""
        return max((one.least_secs for one in self.by_venue.values()), key=abs, default=0.0)

    async def measure(self, http: Http) -> None:
        """Ask every venue; one that does not answer keeps what it was."""
        for venue in self._venues:
            try:
                self.by_venue[venue.venue_name] = await clock_offset(http, venue)
            except VenueError:
                continue
