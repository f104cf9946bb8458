"""Reading a catalog's Parquet files as Arrow tables, a row group at a time."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from runtime.catalog_files import time_stamp
from runtime.errors import DataError

LAST_STAMP: Final = "9"
STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{9}Z")


def tables_of_folder(
    folder: Path, start_ns: int | None, end_ns: int | None, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Yield the row groups of all files of a folder, in order, cut to a range of ``ts_init``.

    Parameters
    ----------
    folder
        Files do not overlap, and their names sort by time.
    start_ns, end_ns
        Both inclusive; None leaves the side open.
    columns
        Those to read, `ts_init` among them; None for all.

    Raises
    ------
    DataError
        When a file is damaged.
    """
    low = -1 if start_ns is None else start_ns
    high = np.iinfo(np.int64).max if end_ns is None else end_ns
    for path in _files_between(folder, start_ns, end_ns):
        with reading(path), pq.ParquetFile(path, memory_map=True) as file:
            at = file.schema_arrow.get_field_index("ts_init")
            for group in range(file.num_row_groups):
                statistics = file.metadata.row_group(group).column(at).statistics
                is_inside = False
                if statistics is not None:
                    if statistics.max < low or statistics.min > high:
                        continue
                    is_inside = low <= statistics.min and statistics.max <= high
                table = file.read_row_group(group, columns=columns)
                if is_inside:
                    yield table
                    continue
                ts_init = table.column("ts_init").to_numpy()
                rows = slice(*np.searchsorted(ts_init, np.array([max(low, 0), high + 1], dtype=np.uint64)))
                if rows.start < rows.stop:
                    yield table.slice(rows.start, rows.stop - rows.start)


def rows_of_folder(folder: Path, start_ns: int | None, end_ns: int | None) -> int:
    """Return the number of rows in the files that reach into a range; raises as :func:`tables_of_folder`."""
    rows = 0
    for path in _files_between(folder, start_ns, end_ns):
        with reading(path), pq.ParquetFile(path, memory_map=True) as file:
            rows += file.metadata.num_rows
    return rows


def _files_between(folder: Path, start_ns: int | None, end_ns: int | None) -> list[Path]:
    """Return the files whose names reach into a range, in order: a history has thousands of others."""
    low = "" if start_ns is None or start_ns < 0 else time_stamp(start_ns)
    high = LAST_STAMP if end_ns is None else time_stamp(max(end_ns, 0))
    found = []
    for path in sorted(folder.glob("*.parquet")):
        first, _, last = path.stem.partition("_")
        if STAMP.fullmatch(first) and STAMP.fullmatch(last) and (last < low or first > high):
            continue
        found.append(path)
    return found


def tables_of_file(path: Path) -> Iterator[pa.Table]:
    """Yield the row groups of one file; raises as :func:`tables_of_folder`."""
    with reading(path), pq.ParquetFile(path, memory_map=True) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the errors of a damaged Parquet file into one line."""
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowKeyError, KeyError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path}: damaged Parquet file ({reason}); delete it and import its source again"
        ) from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
