"""When each order was last sent, or tried to be: from then on it may still arrive at the venue.

An exit that finds no connection is tried again for minutes, so the time at which the order was made says
nothing about when its request may reach the matching.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

# Whoever asks does so within seconds.
KEPT_NS: Final = 60_000_000_000


class LastTries:
    """Times of the last tries, by client order id.

    Parameters
    ----------
    now_ns
        UNIX nanoseconds.

    Examples
    --------
    >>> now = [5]
    >>> tries = LastTries(lambda: now[0])
    >>> with tries.trying("OTE-XRPUSDT-Lmmv7y0w014-X1"):
    ...     now[0] = 9
    ...     tries.last_ns("OTE-XRPUSDT-Lmmv7y0w014-X1")
    9
    >>> now[0] = 12
    >>> tries.last_ns("OTE-XRPUSDT-Lmmv7y0w014-X1"), tries.last_ns("OTE-XRPUSDT-Lmmv7y0w014-X2")
    (9, 0)
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._under_way: set[str] = set()
        self._ended_ns: dict[str, int] = {}

    @contextmanager
    def trying(self, client_id: str) -> Iterator[None]:
        """Note that an order is being sent within the block, however often."""
        self._under_way.add(client_id)
        try:
            yield
        finally:
            self._under_way.discard(client_id)
            now_ns = self._now_ns()
            kept = {name: at for name, at in self._ended_ns.items() if now_ns - at < KEPT_NS}
            self._ended_ns = {**kept, client_id: now_ns}

    def last_ns(self, client_id: str) -> int:
        """Return when an order was last tried, now where it is being; 0 where nothing is known of it."""
        return self._now_ns() if client_id in self._under_way else self._ended_ns.get(client_id, 0)


__all__ = ["LastTries"]
