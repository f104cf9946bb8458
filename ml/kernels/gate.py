"""Whether a row of features may be scored."""

import numpy as np
from numpy.typing import NDArray

from indicators.kernels.jit import kernel


@kernel
def first_unfit(row: NDArray[np.float64], bounds: NDArray[np.float64], may_miss: NDArray[np.uint8]) -> int:
    """Return the first column of a row that must not be scored, -1 when every one may.

    Parameters
    ----------
    row
        Shape (f,), features in their own units.
    bounds
        Shape (2, f): lowest and highest value of each; infinities are beyond any.
    may_miss
        Shape (f,): 1 where NaN is a value like another.

    References
    ----------
    `ml.model.plausible_bounds`.
    """
    for i in range(len(row)):
        value = row[i]
        if value != value:
            if may_miss[i] == 0:
                return i
        elif not bounds[0, i] <= value <= bounds[1, i]:
            return i
    return -1
