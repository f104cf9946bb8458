"""The way of the price through one bar, as an honest simulated venue walks it.

A bar tells where the price was, not in which order. Of the two orders that are possible the one that is
worse for the open side is taken: a long meets the low first, a short the high. Without a position but with
an entry resting, the entry is met last, so that its target cannot fill in the bar that filled it.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple


class Extremes(NamedTuple):
    """The four prices of a bar, quote currency."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


def turning_points(bar: Extremes, position_side: int, entry_side: int) -> tuple[Decimal, Decimal, Decimal]:
    """Return the prices at which the way through a bar turns, after its open.

    Parameters
    ----------
    bar
        Open, high, low and close.
    position_side
        +1 long, -1 short, 0 flat, as of the open.
    entry_side
        Side of the entry that rests while flat, 0 for none.

    Returns
    -------
    tuple of Decimal
        First extreme, second extreme, close.

    Examples
    --------
    >>> bar = Extremes(Decimal(10), Decimal(12), Decimal(9), Decimal(11))
    >>> turning_points(bar, 1, 0)
    (Decimal('9'), Decimal('12'), Decimal('11'))
    >>> turning_points(bar, 0, 1)
    (Decimal('12'), Decimal('9'), Decimal('11'))
    """
    is_low_first = position_side > 0 if position_side else entry_side < 0
    first, second = (bar.low, bar.high) if is_low_first else (bar.high, bar.low)
    return first, second, bar.close


def next_level(start: Decimal, end: Decimal, levels: Iterable[Decimal]) -> Decimal:
    """Return the nearest level on the way from start to end, start excluded; the end when there is none.

    The venue is stepped from level to level, so that a stop triggers at its own price, and what the
    strategy answers to one fill is at the venue before the price goes on.

    Examples
    --------
    >>> next_level(Decimal(10), Decimal(8), [Decimal(11), Decimal(9), Decimal("9.5")])
    Decimal('9.5')
    """
    if end < start:
        return max([level for level in levels if end < level < start], default=end)
    return min([level for level in levels if start < level < end], default=end)
