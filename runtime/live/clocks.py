"""The clock of this machine against the venues', which refuse orders that are a second off."""

import time
from collections.abc import Callable
from typing import Final

from runtime.live.freshness import ClockOffset, clock_offset
from runtime.live.freshness_actor import ServerClock

ATTEMPTS: Final = 3
NANOS: Final = 1_000_000_000
NANOS_PER_MILLI: Final = 1_000_000


async def measured_offset(
    venue: ServerClock, attempts: int = ATTEMPTS, now_ns: Callable[[], int] = time.time_ns
) -> ClockOffset:
    """Return how far a venue's clock is ahead of ours: of several answers the one that was fastest.

    Parameters
    ----------
    venue
        Tells its time.
    attempts
        Number of questions.
    now_ns
        Our clock, UNIX nanoseconds.

    Raises
    ------
    VenueError
        When the venue cannot be reached.
    """
    found = []
    for _ in range(attempts):
        sent_ns = now_ns()
        venue_ns = await venue.server_ms() * NANOS_PER_MILLI
        found.append(clock_offset(sent_ns, venue_ns, now_ns()))
    return min(found, key=lambda one: one.uncertainty_ns)
