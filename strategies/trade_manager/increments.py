"""Prices and quantities as exact multiples of the instrument's increments."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

# A price computed in floats (0.705 of a leg) may miss the tick it means by a few ulps. One millionth of an
# increment is far above that and far below anything a venue can express.
_RESOLUTION: Final = Decimal("1e-6")


def floor_to(value: Decimal | float, increment: Decimal) -> Decimal:
    """Return the largest multiple of the increment that is not above the value.

    Examples
    --------
    >>> floor_to(1.23456, Decimal("0.0001"))
    Decimal('1.2345')
    >>> floor_to(0.1 + 0.2, Decimal("0.1"))
    Decimal('0.3')
    """
    return _multiple(value, increment, ROUND_FLOOR)


def ceil_to(value: Decimal | float, increment: Decimal) -> Decimal:
    """Return the smallest multiple of the increment that is not below the value.

    Examples
    --------
    >>> ceil_to(1.23456, Decimal("0.0001"))
    Decimal('1.2346')
    """
    return _multiple(value, increment, ROUND_CEILING)


def next_piece(qty: Decimal, most: Decimal | None, increment: Decimal) -> Decimal:
    """Return how much of a quantity goes into one order: all of it, or one of the fewest equal pieces.

    Equal ones, because what is left of full ones may be smaller than the least that a venue takes.

    Parameters
    ----------
    qty
        To be traded, a multiple of the increment.
    most
        Largest quantity of one order, None for no limit.
    increment
        Of quantities.

    Examples
    --------
    >>> next_piece(Decimal("10.1"), Decimal("10"), Decimal("0.1"))
    Decimal('5.1')
    >>> next_piece(Decimal("10.1"), None, Decimal("0.1"))
    Decimal('10.1')
    """
    whole = None if most is None else floor_to(most, increment)
    if not whole or qty <= whole:
        return qty
    return ceil_to(qty / ceil_to(qty / whole, Decimal(1)), increment)


def round_down(value: Decimal | float, increment: Decimal, direction: int) -> Decimal:
    """Return the multiple next to the value on the low side of a long, mirrored for a short.

    Parameters
    ----------
    value
        Price, quote currency.
    increment
        Price increment.
    direction
        +1 long: down; -1 short: up.
    """
    return floor_to(value, increment) if direction > 0 else ceil_to(value, increment)


def _multiple(value: Decimal | float, increment: Decimal, rounding: str) -> Decimal:
    steps = (Decimal(value) / increment).quantize(_RESOLUTION).to_integral_value(rounding)
    return steps * increment
