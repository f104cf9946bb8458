"""Reading Parquet, above all the tidy form.

Trades: ``ts_ns, price, qty, buyer_maker, trade_id``; klines: ``ts_open_ns, open, high, low, close, volume``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from runtime.download.layouts import Columns, recognise, time_unit
from runtime.download.records import (
    LAST_NS,
    NO_CLOSE,
    NO_ID,
    BadRows,
    KlineBlock,
    TradeBlock,
    without_faults,
)
from runtime.errors import DataError

BATCH_ROWS: Final = 65_536
PARQUET_MAGIC: Final = b"PAR1"
_TYPES: Final = {"time": pa.int64(), "close_time": pa.int64(), "id": pa.int64(), "maker": pa.bool_()}


def read_parquet(
    path: Path, venue: str, market: str, kind: str, symbol: str, bad: BadRows
) -> Iterator[TradeBlock] | Iterator[KlineBlock]:
    """Yield the good rows of a Parquet file in blocks; bad ones go to `bad` with their row, from 1.

    ``trade_id`` may be null in every row (the venue has no ids), but not in some of them.

    Raises
    ------
    ConfigurationError
        When the file is of another kind.
    DataError
        When it is damaged, empty, or lacks a column.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if not file.metadata.num_rows or not names:
                raise DataError(f"{path.name}: is empty")
            columns = recognise(names, venue, market, kind, path.name)
            if kind != "klines" and "maker" not in columns.roles:
                raise DataError(f"{path.name}: lacks a column buyer_maker (see docs/how-to/import.md)")
            by_role = {role: names[at] for role, at in columns.roles.items()}
            has_ids = "id" in by_role and _has_any(file, by_role["id"])
            if not has_ids:
                by_role.pop("id", None)
            by_role.pop("side", None)  # buyer_maker says it
            row = unit = 0
            for batch in file.iter_batches(BATCH_ROWS, columns=list(by_role.values())):
                unit = unit or _unit_of_times(batch.column(batch.schema.get_field_index(by_role["time"])))
                if unit:
                    yield _block(batch, by_role, columns, unit, symbol, path.name, bad, row)
                row += batch.num_rows
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{path.name}: damaged Parquet file ({str(error).splitlines()[0]})") from error


def _has_any(file: pq.ParquetFile, name: str) -> bool:
    batches = file.iter_batches(BATCH_ROWS, columns=[name])
    return any(batch.column(0).null_count < batch.num_rows for batch in batches)


def _unit_of_times(column: pa.Array) -> int:
    """Return nanoseconds per unit of the first time; 0 while there is none."""
    first = pc.cast(column, pa.int64()).drop_null()[:1].to_pylist()
    return time_unit(first[0]) if first else 0


def _in_nanoseconds(times: NDArray[np.int64], unit: int) -> NDArray[np.int64]:
    """Convert times, shape (n,); one that is not before 2100 in this unit becomes 0, which is a bad row.

    Multiplied as it is, it would overflow, silently and perhaps to a plausible time.
    """
    is_plausible = (times >= 0) & (times <= LAST_NS // unit)
    converted: NDArray[np.int64] = np.where(is_plausible, times, 0) * unit
    return converted


def _block(
    batch: pa.RecordBatch,
    by_role: dict[str, str],
    columns: Columns,
    unit: int,
    symbol: str,
    file: str,
    bad: BadRows,
    row: int,
) -> Any:
    lines = np.arange(row + 1, row + 1 + batch.num_rows)
    arrays = {role: batch.column(batch.schema.get_field_index(name)) for role, name in by_role.items()}
    is_complete = np.ones(batch.num_rows, dtype=np.bool_)
    for role, array in arrays.items():
        if array.null_count:
            is_null = pc.is_null(array).to_numpy(zero_copy_only=False)
            for at in np.flatnonzero(is_null & is_complete):
                bad.report(file, int(lines[at]), f"{by_role[role]} is missing")
            is_complete &= ~is_null
    if "symbol" in arrays:
        words = pc.fill_null(pc.cast(arrays["symbol"], pa.string()), "")
        is_other = is_complete & pc.not_equal(words, symbol).to_numpy(zero_copy_only=False)
        for line, word in zip(
            lines[is_other].tolist(), words.filter(pa.array(is_other)).to_pylist(), strict=True
        ):
            bad.report(file, line, f"symbol {word} instead of {symbol}")
        is_complete &= ~is_other
        del arrays["symbol"]
    values = {}
    for role, array in arrays.items():
        full = array.filter(pa.array(is_complete)) if not is_complete.all() else array
        values[role] = pc.cast(full, _TYPES.get(role, pa.float64())).to_numpy(zero_copy_only=False)
    lines = lines[is_complete]
    times = _in_nanoseconds(values["time"], unit)
    if columns.layout.kind == "klines":
        names = ("open", "high", "low", "close", "volume")
        close_ns = np.full(len(lines), NO_CLOSE)
        if "close_time" in values:
            close_ns = _in_nanoseconds(values["close_time"], unit)
        prices = {name: values[name] for name in names}
        klines = KlineBlock(ts_ns=times, close_ns=close_ns, line=lines, **prices)
        return without_faults(klines, file, bad)
    ids = values.get("id", np.full(len(lines), NO_ID))
    # -1 is our own mark for "none", so a stored -1 is as wrong as any other negative id.
    ids = np.where(ids == NO_ID, NO_ID - 1, ids) if "id" in values else ids
    trades = TradeBlock(times, values["price"], values["qty"], ~values["maker"], ids, lines)
    return without_faults(trades, file, bad)
