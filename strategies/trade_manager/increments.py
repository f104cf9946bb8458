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
