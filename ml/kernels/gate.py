"""From a trade to the probability that decides: the row, whether it may be scored, the trees, in one call."""

import math
from typing import Any

import numpy as np
from numba.np.numpy_support import carray
from numpy.typing import NDArray

from indicators.kernels.address import at_address
from indicators.kernels.jit import inline_kernel, kernel
from ml.kernels.features import RING_DTYPE, look
from ml.kernels.walker import WALK_DTYPE, walk

# A model and where its rows come from, by address: see `features.RING_DTYPE` and `walker.WALK_DTYPE`.
SCORING_DTYPE = np.dtype(
    [
        ("ring_at", np.int64),  # 0: rows are written by someone else
        ("columns_at", np.int64),  # address of int64 (width,): the model's columns among all
        ("width", np.int64),  # f, columns of the model
        ("row_at", np.int64),  # address of float64 (f,): the row that is scored
        ("bounds_at", np.int64),  # address of float64 (2, f)
        ("may_miss_at", np.int64),  # address of uint8 (f,)
        ("walk_at", np.int64),  # 0: the trees are not ours to walk
        ("unfit", np.int64),  # first column that must not be scored, -1 for none; written
        ("a", np.float64),  # calibration: probability = 1 / (1 + exp(-(a * margin + b)))
        ("b", np.float64),
    ],
    align=True,
)


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


@inline_kernel
def calibrated(margin: float, a: float, b: float) -> float:
    """Return 1 / (1 + exp(-(a * margin + b))), scalar 0..1, without overflow: as `ml.model.calibrated`.

    References
    ----------
    Platt (1999), "Probabilistic Outputs for Support Vector Machines".
    """
    z = a * margin + b
    if z >= 0.0:
        return 1.0 / (1.0 + math.exp(-z))
    grown = math.exp(z)
    return grown / (1.0 + grown)


@inline_kernel
def take(scoring: Any, ts_ns: int, price: float) -> None:
    """Write the model's columns of a trade's row where they are scored.

    Parameters
    ----------
    scoring
        Record of `SCORING_DTYPE`, shape (), with a ring.
    ts_ns, price
        Of the trade on which is decided, UNIX nanoseconds and quote currency.

    References
    ----------
    `features.look`.
    """
    all_columns = look(carray(at_address(scoring.ring_at), 1, RING_DTYPE)[0], ts_ns, price)
    columns = carray(at_address(scoring.columns_at), scoring.width, np.int64)
    row = carray(at_address(scoring.row_at), scoring.width, np.float64)
    for i in range(scoring.width):
        row[i] = all_columns[columns[i]]


@inline_kernel
def judge(scoring: Any) -> float:
    """Return the calibrated probability of the row, 0..1; NaN, with ``unfit`` set, where none may be given.

    Where the trees are not ours to walk, a fit row gives NaN as well and ``unfit`` is -1.

    Parameters
    ----------
    scoring
        Record of `SCORING_DTYPE`, shape ().

    References
    ----------
    `first_unfit`, `walker.walk`, `calibrated`.
    """
    width = scoring.width
    row = carray(at_address(scoring.row_at), width, np.float64)
    bounds = carray(at_address(scoring.bounds_at), (2, width), np.float64)
    scoring.unfit = first_unfit(row, bounds, carray(at_address(scoring.may_miss_at), width, np.uint8))
    if scoring.unfit >= 0 or scoring.walk_at == 0:
        return math.nan
    model = carray(at_address(scoring.walk_at), 1, WALK_DTYPE)[0]
    return calibrated(float(walk(model, row)), scoring.a, scoring.b)


@kernel
def score_at(scoring_address: int) -> float:
    """Return `judge` of the row as it stands, 0..1 or NaN.

    Parameters
    ----------
    scoring_address
        Of a record of `SCORING_DTYPE`, shape (1,).

    References
    ----------
    `judge`.
    """
    return judge(carray(at_address(scoring_address), 1, SCORING_DTYPE)[0])


@kernel
def probability_at(scoring_address: int, ts_ns: int, price: float) -> float:
    """Return the probability of a trade's row, 0..1 or NaN: features, fitness and trees in one call.

    Parameters
    ----------
    scoring_address
        Of a record of `SCORING_DTYPE`, shape (1,), with a ring.
    ts_ns, price
        Of the trade on which is decided, UNIX nanoseconds and quote currency.

    References
    ----------
    `take`, `judge`.
    """
    scoring = carray(at_address(scoring_address), 1, SCORING_DTYPE)[0]
    take(scoring, ts_ns, price)
    return judge(scoring)
