"""VPIN over a ring of whole numbers: exact, without drift, independent of where the run started."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from indicators.kernels.jit import kernel


@kernel
def vpin_step(head: Any, ring: NDArray[np.int64], signed_units: int, total_units: int) -> float:
    """Add one closed packet to the window and return the VPIN after it.

    Parameters
    ----------
    head
        State record (``HEAD_DTYPE``): ``ring_at``, ``ring_count``, ``ring_sum`` are read and written.
    ring
        |signed dollars| of the last packets, shape (vpin_window,), in units of tick x lot.
    signed_units, total_units
        Buy minus sell, and buy plus sell, of the packet; units of tick x lot; total above 0.

    Returns
    -------
    float
        Mean |imbalance| of the last ``vpin_window`` packets, 0..1; NaN until that many have closed.

    References
    ----------
    Easley, Lopez de Prado, O'Hara (2012), "Flow Toxicity and Liquidity in a High-Frequency World",
    RFS 25(5), with the aggressor's true side instead of bulk volume classification.
    """
    bucket = head["bucket_units"]
    share = abs(signed_units)
    if total_units != bucket:
        # A short packet counts by its own imbalance, as a whole number of the full packet's units:
        # the sum stays an integer, so it cannot drift.
        share = min(int(float(share) / float(total_units) * float(bucket) + 0.5), bucket)

    at = head["ring_at"]
    head["ring_sum"] += share - ring[at]
    ring[at] = share
    head["ring_at"] = at + 1 if at + 1 < ring.shape[0] else 0
    head["ring_count"] = min(head["ring_count"] + 1, ring.shape[0])
    if head["ring_count"] < ring.shape[0]:
        return np.nan
    return float(head["ring_sum"]) / (float(bucket) * float(ring.shape[0]))
