"""Read a few columns of a structured row without building a Python object for every column."""

import struct
from typing import Final

import numpy as np

_CODES: Final = {"int64": "q", "int16": "h", "int8": "b", "float64": "d", "bool": "?"}


def row_struct(dtype: np.dtype[np.void], *names: str) -> struct.Struct:
    """Return a struct that unpacks these columns from the bytes of one row and skips the others.

    Parameters
    ----------
    dtype
        Structured dtype of the table.
    names
        Columns, in the order in which the dtype has them.

    Returns
    -------
    struct.Struct
        Of the row's size, so that ``iter_unpack(table)`` works on a contiguous table.

    Raises
    ------
    ValueError
        A column is out of order or of a type that is not used in our tables.

    Examples
    --------
    >>> table = np.array([(1, 2.5, True)], [("a", "i8"), ("b", "f8"), ("c", "?")])
    >>> row_struct(table.dtype, "a", "c").unpack_from(table)
    (1, True)
    """
    layout, at = "=", 0
    fields = dtype.fields
    assert fields is not None
    for name in names:
        column, offset = fields[name][:2]
        if offset < at or column.name not in _CODES:
            raise ValueError(f"column {name} ({column}) at byte {offset} cannot follow byte {at}")
        layout += f"{offset - at}x{_CODES[column.name]}"
        at = offset + column.itemsize
    return struct.Struct(f"{layout}{dtype.itemsize - at}x")
