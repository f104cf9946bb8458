"""How many orders a venue has counted within its present interval, from our own orders and its answers."""

from collections.abc import Mapping
from typing import Final

# Binance's headers ("Limits" of its REST interfaces), by the seconds of the interval.
ORDER_COUNTS: Final[Mapping[float, str]] = {
    10.0: "x-mbx-order-count-10s",
    60.0: "x-mbx-order-count-1m",
    86_400.0: "x-mbx-order-count-1d",
}
NONE_YET: Final = -1


class OrderWindow:
    """Counts orders in intervals that begin by the venue's clock, as the venue does.

    What it reports counts the orders of other programs, and those of this one before its start, too.

    Parameters
    ----------
    limit
        Orders that the venue takes within an interval.
    secs
        Length of an interval.
    """

    def __init__(self, limit: int, secs: float) -> None:
        self.limit, self.secs = limit, secs
        self.header = ORDER_COUNTS.get(secs, "")
        self._used = 0
        self._interval = NONE_YET
        self._end_s = 0.0

    def used(self, now_s: float) -> int:
        """Return the orders of the present interval; monotonic seconds."""
        if now_s >= self._end_s:
            self._used, self._end_s = 0, now_s + self.secs
        return self._used

    def sent(self, now_s: float) -> None:
        """Count an order that leaves now."""
        self._used = self.used(now_s) + 1

    def told(self, used: int, date_s: float, now_s: float) -> None:
        """Take the venue's own count.

        Parameters
        ----------
        used
            Orders of the interval.
        date_s
            The venue's clock of the answer, UNIX seconds; whole ones, so that an interval never ends early.
        now_s
            Monotonic seconds.
        """
        interval = int(date_s // self.secs)
        if interval < self._interval:
            return  # overtaken by an answer of the next one
        # What is on its way is in our count alone, what others sent in the venue's alone.
        is_known = self._interval in (interval, NONE_YET)
        self._used = max(self.used(now_s), used) if is_known else used
        self._interval, self._end_s = interval, now_s + self.secs - date_s % self.secs


__all__ = ["ORDER_COUNTS", "OrderWindow"]
