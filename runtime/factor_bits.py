"""Which factors of a row score, in fourteen bits: what is kept of bars whose rows are not.

A side takes seven bits: two for the bias of the higher timeframe (2 aligned, 1 neutral, 0 neither), one for
each of `FLAGS`. The long side is in the lower ones.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from indicators.confluence.config import ConfluenceWeights
from indicators.confluence.row import SIDES, ConfluenceTable

FLAGS: Final = ("sweep", "order_block", "fvg", "rsi", "structure")
SIDE_BITS: Final = 7
MOST: Final = 100.0


def factor_bits(rows: ConfluenceTable) -> NDArray[np.uint16]:
    """Return the bits of rows of `CONFLUENCE_DTYPE`, shape (n,)."""
    bits = np.zeros(len(rows), np.uint16)
    for number, side in enumerate(SIDES):
        first = number * SIDE_BITS
        bits |= rows[f"{side}_htf"].astype(np.uint16) << first
        for place, flag in enumerate(FLAGS):
            bits |= rows[f"{side}_{flag}"].astype(np.uint16) << (first + 2 + place)
    return bits


@lru_cache(maxsize=1 << 14)
def scored(bits: int, weights: ConfluenceWeights) -> tuple[float, float, dict[str, float]]:
    """Return both scores, 0 to 100, and the points of each factor of the higher side.

    Parameters
    ----------
    bits
        Of `factor_bits`.
    weights
        Points of the factors.

    Examples
    --------
    >>> scored(0b0000110 | 1 << SIDE_BITS, ConfluenceWeights())[:2]
    (45.0, 10.0)
    """
    long, short = (_points(bits >> number * SIDE_BITS, weights) for number in range(len(SIDES)))
    long_score, short_score = (min(MOST, sum(one.values())) for one in (long, short))
    return long_score, short_score, long if long_score >= short_score else short


def _points(bits: int, weights: ConfluenceWeights) -> dict[str, float]:
    points = {"htf": (0.0, weights.htf_neutral, weights.htf_aligned, 0.0)[bits & 3]}
    flags = {flag: getattr(weights, flag) * (bits >> 2 + place & 1) for place, flag in enumerate(FLAGS)}
    return points | flags


__all__ = ["FLAGS", "SIDE_BITS", "factor_bits", "scored"]
