"""Which rows are signals: the rule that turns two scores into a side."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from indicators.confluence.row import ConfluenceTable

MIN_CONFIDENCE = 90.0


def signal_sides(rows: ConfluenceTable, min_score: float = MIN_CONFIDENCE) -> NDArray[np.int8]:
    """Return the side of each row: +1 long, -1 short, 0 no signal, shape (n,).

    Parameters
    ----------
    rows
        Rows of `CONFLUENCE_DTYPE`.
    min_score
        The side's score must reach it, 0..100.

    Notes
    -----
    A side also needs the higher of the two scores, a bar of its own colour, and a row that is ready; so a row
    never signals both sides.
    """
    sides: NDArray[np.int8] = _sides(rows, min_score).astype(np.int8)
    return sides


def signal_side(row: np.void, min_score: float = MIN_CONFIDENCE) -> int:
    """Return the side of one row, as `signal_sides` does for many."""
    return int(_sides(row, min_score))


def _sides(rows: Any, min_score: float) -> Any:
    long_, short, colour = rows["score_long"], rows["score_short"], rows["colour"]
    is_long = (long_ >= min_score) & (long_ > short) & (colour > 0)
    is_short = (short >= min_score) & (short > long_) & (colour < 0)
    return (is_long.astype(int) - is_short.astype(int)) * rows["is_ready"]
