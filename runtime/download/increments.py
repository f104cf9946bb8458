"""Price and size increments: inferred from decimals, and floats counted in them exactly."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

MOST_DECIMALS: Final = 10
_EPSILON: Final = float(np.finfo(np.float64).eps)


def _is_whole(scaled: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which values are whole numbers up to the rounding of a decimal to float64, shape (n,)."""
    whole: NDArray[np.bool_] = np.abs(scaled - np.rint(scaled)) <= 4 * _EPSILON * np.abs(scaled)
    return whole


@dataclass(slots=True)
class DecimalsSeen:
    """The most decimals that any value had so far.

    Notes
    -----
    A tick of 0.05 or 0.5 shows as 0.01 or 0.1: finer than the venue's, never coarser. With few rows the
    finest decimal may be absent; a later import of the same instrument then says so.
    """

    decimals: int = 0

    def add(self, values: NDArray[np.float64]) -> None:
        """Look at more values, shape (n,)."""
        while self.decimals < MOST_DECIMALS and not _is_whole(values * 10.0**self.decimals).all():
            self.decimals += 1

    @property
    def increment(self) -> Decimal:
        """One unit of the last decimal, such as Decimal("0.0001")."""
        return Decimal(1).scaleb(-self.decimals)


def whole_units(
    values: NDArray[np.float64], increment: Decimal
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Count values in increments.

    Parameters
    ----------
    values
        Shape (n,), float64, finite.
    increment
        > 0.

    Returns
    -------
    units, is_on_grid
        int64 and bool, shape (n,). Where `is_on_grid` is False, the value lies between two multiples and
        `units` is the nearest.

    Examples
    --------
    >>> units, on_grid = whole_units(np.array([0.3, 0.25]), Decimal("0.1"))
    >>> units.tolist(), on_grid.tolist()
    ([3, 2], [True, False])
    """
    step = increment.normalize()
    exponent = step.as_tuple().exponent
    assert isinstance(exponent, int)
    decimals = max(0, -exponent)
    per_step = int(step.scaleb(decimals))
    scaled = values * 10.0**decimals
    # A millionth of a decimal is float noise of whoever computed the file, not another price.
    is_on_grid = np.abs(scaled - np.rint(scaled)) <= np.maximum(1e-6, 4 * _EPSILON * np.abs(scaled))
    counted = np.rint(scaled).astype(np.int64)
    if per_step == 1:
        return counted, is_on_grid
    return np.rint(counted / per_step).astype(np.int64), is_on_grid & (counted % per_step == 0)
