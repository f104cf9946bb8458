"""When a bar closed: on the boundary of its interval, whatever a venue's adapter says."""

from typing import Final

# Binance ends a kline a millisecond before the next one begins, and the adapter's nanoseconds miss that by
# up to 128.
STAMPED_EARLY_NS: Final = 2_000_000


def close_of(ts_event_ns: int, bar_ns: int) -> int:
    """Return the close time of a bar, UNIX nanoseconds.

    Parameters
    ----------
    ts_event_ns
        As Nautilus has it: the boundary in a catalog, up to a millisecond before it from Binance's stream.
    bar_ns
        Length of the bar.

    Returns
    -------
    int
        The boundary that follows at once; other times are given back as they are, to be refused.

    Examples
    --------
    >>> minute = 60_000_000_000
    >>> [close_of(one, minute) for one in (2 * minute, 2 * minute - 1_000_100, 2 * minute - 5_000_000)]
    [120000000000, 120000000000, 119995000000]
    """
    missing_ns = -ts_event_ns % bar_ns
    return ts_event_ns + missing_ns if missing_ns <= STAMPED_EARLY_NS else ts_event_ns
