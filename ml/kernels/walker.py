"""Walking the trees of a boosted model: the same bits as XGBoost, without its fixed price per call.

Trees are padded to complete ones of one depth, so a walk is a fixed number of comparisons without a test for
"is this a leaf". Four trees are walked side by side: their loads do not wait for each other. A missing value
costs nothing: the row is laid out twice, once with minus and once with plus infinity in its place, and a node
reads the copy that sends a missing value where training sent it.
"""

import math
from typing import Any

import numpy as np
from numba.np.numpy_support import carray
from numpy.typing import NDArray

from indicators.kernels.address import at_address
from indicators.kernels.jit import inline_kernel, kernel

# What a walk needs to know of a model, by address: numba takes one integer faster than five arrays.
WALK_DTYPE = np.dtype(
    [
        ("features", np.int64),  # number of columns of a row
        ("trees", np.int64),  # a multiple of `LANES`
        ("depth", np.int64),  # of every tree, >= 1
        ("nodes_at", np.int64),  # address of uint16 (trees, 2**depth - 1): index into the doubled row
        ("thresholds_at", np.int64),  # address of float32, same shape
        ("leaves_at", np.int64),  # address of float32 (trees, 2**depth)
        ("wide_at", np.int64),  # address of float32 (2 * features,): scratch, the doubled row
        ("base", np.float32),  # margin before the first tree
        ("pad", np.int32),
    ],
    align=True,
)
LANES = 4
# XGBoost clips here, so that exp stays finite in single precision.
MAX_EXPONENT = np.float32(88.7)
ONE = np.float32(1.0)


@inline_kernel
def widen(row: NDArray[np.float64], wide: NDArray[np.float32]) -> None:
    """Lay a row out twice in single precision, missing values once as -inf and once as +inf.

    Parameters
    ----------
    row
        Shape (n,), the features in their own units, NaN where missing.
    wide
        Shape (2 * n,), written.

    References
    ----------
    XGBoost compares in single precision, whatever precision the row came in.
    """
    n = len(row)
    for i in range(n):
        value = np.float32(row[i])
        is_missing = value != value
        wide[i] = np.float32(-np.inf) if is_missing else value
        wide[n + i] = np.float32(np.inf) if is_missing else value


@inline_kernel
def descend(
    wide: NDArray[np.float32],
    nodes: NDArray[np.uint16],
    thresholds: NDArray[np.float32],
    leaves: NDArray[np.float32],
    depth: int,
    base: np.float32,
) -> np.float32:
    """Return base plus one leaf of every tree, added in the order of the trees in single precision.

    Parameters
    ----------
    wide
        Shape (2 * n,), from `widen`.
    nodes, thresholds
        Shape (trees * (2**depth - 1),): index into `wide`, and the threshold in units of that feature; a row
        goes left where it is below.
    leaves
        Shape (trees * 2**depth,), margin.
    depth
        Scalar, levels of comparisons of every tree.
    base
        Scalar, margin before the first tree.

    References
    ----------
    Chen, Guestrin (2016), "XGBoost: A Scalable Tree Boosting System", KDD; equation 1.
    """
    # Unsigned throughout: a signed index is tested for counting from the end, and costs a third more.
    width = np.uint64(1) << np.uint64(depth)
    inner = width - np.uint64(1)
    two = np.uint64(2)
    margin = base
    n0, leaf = np.uint64(0), np.uint64(0)
    for _ in range(len(leaves) // LANES // np.int64(width)):
        n1, n2, n3 = n0 + inner, n0 + two * inner, n0 + np.uint64(3) * inner
        i0, i1, i2, i3 = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
        for _ in range(depth):
            # Not "x >= threshold": that differs where the threshold of padding is infinite.
            i0 = two * i0 + two - np.uint64(wide[nodes[n0 + i0]] < thresholds[n0 + i0])
            i1 = two * i1 + two - np.uint64(wide[nodes[n1 + i1]] < thresholds[n1 + i1])
            i2 = two * i2 + two - np.uint64(wide[nodes[n2 + i2]] < thresholds[n2 + i2])
            i3 = two * i3 + two - np.uint64(wide[nodes[n3 + i3]] < thresholds[n3 + i3])
        margin += leaves[leaf + i0 - inner]
        margin += leaves[leaf + width + i1 - inner]
        margin += leaves[leaf + two * width + i2 - inner]
        margin += leaves[leaf + np.uint64(3) * width + i3 - inner]
        n0 += np.uint64(LANES) * inner
        leaf += np.uint64(LANES) * width
    return margin


@inline_kernel
def sigmoid(margin: np.float32) -> np.float32:
    """Return the probability of a margin in single precision, 0..1, scalar as XGBoost computes it.

    References
    ----------
    XGBoost, objective ``binary:logistic``: 1 / (1 + exp(-margin)), the exponent clipped at 88.7.
    """
    return np.float32(ONE / (np.float32(math.exp(min(-margin, MAX_EXPONENT))) + ONE))


@inline_kernel
def walk(model: Any, row: NDArray[np.float64]) -> np.float32:
    """Return the margin of one row; what a fused chain calls.

    Parameters
    ----------
    model
        Record of `WALK_DTYPE`, shape (); the arrays it points at are alive.
    row
        Shape (n,), features in their own units, NaN where missing.

    References
    ----------
    `descend`.
    """
    inner = (1 << model.depth) - 1
    count = model.trees
    wide = carray(at_address(model.wide_at), 2 * model.features, np.float32)
    nodes = carray(at_address(model.nodes_at), count * inner, np.uint16)
    thresholds = carray(at_address(model.thresholds_at), count * inner, np.float32)
    leaves = carray(at_address(model.leaves_at), count * (inner + 1), np.float32)
    widen(row, wide)
    return descend(wide, nodes, thresholds, leaves, model.depth, model.base)


@kernel
def margin_at(model_address: int, row_address: int) -> float:
    """Return the margin of one row, both by address.

    Parameters
    ----------
    model_address
        Of a record of `WALK_DTYPE`, shape (1,).
    row_address
        Of float64, shape (features,), in their own units.

    References
    ----------
    `descend`.
    """
    models = carray(at_address(model_address), 1, WALK_DTYPE)
    row = carray(at_address(row_address), models[0].features, np.float64)
    return float(walk(models[0], row))


@kernel
def probability_at(model_address: int, row_address: int) -> float:
    """Return the probability of one row before calibration, 0..1, both by address.

    Parameters
    ----------
    model_address
        Of a record of `WALK_DTYPE`, shape (1,).
    row_address
        Of float64, shape (features,), in their own units.

    References
    ----------
    `descend`, `sigmoid`.
    """
    models = carray(at_address(model_address), 1, WALK_DTYPE)
    row = carray(at_address(row_address), models[0].features, np.float64)
    return float(sigmoid(walk(models[0], row)))


@kernel
def scan(
    models: Any,
    rows: NDArray[np.float64],
    margins: NDArray[np.float32],
    probabilities: NDArray[np.float32],
) -> None:
    """Loop `walk` over rows.

    Parameters
    ----------
    models
        `WALK_DTYPE`, shape (1,).
    rows
        Shape (m, features), C order, in their own units.
    margins, probabilities
        Shape (m,), written; the latter 0..1, before calibration.

    References
    ----------
    `descend`, `sigmoid`.
    """
    model = models[0]
    for i in range(len(rows)):
        margins[i] = walk(model, rows[i])
        probabilities[i] = sigmoid(margins[i])
