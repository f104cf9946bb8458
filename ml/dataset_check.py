"""Whether the values of a dataset can be learnt from: a file may be whole and still hold nonsense."""

import numpy as np
from numpy.typing import NDArray

from ml.dataset import Dataset, DatasetError


def require_sound(data: Dataset) -> None:
    """Refuse values that would turn into a wrong model, or into an error without words, much later.

    Parameters
    ----------
    data
        As it was read.

    Raises
    ------
    DatasetError
        With the column, the number of rows and the first of them.
    """
    if not isinstance(data.meta, dict):
        raise DatasetError("meta is no object: make the dataset again")
    _refuse("y", ~np.isin(data.y, (0, 1)), "neither 0 nor 1")
    _refuse("net_r", np.isinf(data.net_r), "infinite")
    filled = np.isfinite(data.net_r)
    _refuse("y", filled & ((data.net_r > 0) != (data.y == 1)), "not what net_r says")
    _refuse("weight", ~(np.isfinite(data.weight) & (data.weight > 0)), "not above 0")
    _refuse("p_star", filled & ~np.isfinite(data.p_star), "not a number")
    for at, name in enumerate(data.names):
        _refuse(name, np.isinf(data.x[:, at]), "infinite (NaN is what is not known)")


def _refuse(column: str, bad: NDArray[np.bool_], why: str) -> None:
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise DatasetError(f"{column} is {why} in {int(bad.sum()):,} rows, row {first} first: make it again")


__all__ = ["require_sound"]
