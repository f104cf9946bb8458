"""When a resting entry is looked at: the first trade in its approach band after each bucket."""

import numpy as np
from numpy.typing import NDArray

from indicators.kernels.jit import kernel


@kernel
def first_in_band(
    ts_ns: NDArray[np.int64],
    price_ticks: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    after_ns: NDArray[np.int64],
    before_ns: NDArray[np.int64],
    low_ticks: NDArray[np.int64],
    high_ticks: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    """Find per stretch of the tape the first trade within a band of time and price.

    Parameters
    ----------
    ts_ns, price_ticks
        The tape, shape (n,): UNIX nanoseconds and prices in ticks.
    begin, end
        Stretches, shape (m,): positions on the tape, the end not included.
    after_ns, before_ns
        Shape (m,), UNIX nanoseconds, both excluded.
    low_ticks, high_ticks
        Shape (m,), prices in ticks, both included.
    out
        Shape (m,): position of the trade found, -1 for none.

    References
    ----------
    ``docs/features.md``, decisions.
    """
    for stretch in range(len(begin)):
        out[stretch] = -1
        for at in range(begin[stretch], end[stretch]):
            is_late = ts_ns[at] >= before_ns[stretch]
            if is_late:
                break
            is_early = ts_ns[at] <= after_ns[stretch]
            if not is_early and low_ticks[stretch] <= price_ticks[at] <= high_ticks[stretch]:
                out[stretch] = at
                break
