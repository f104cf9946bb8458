"""Reading the text archives: plain CSV, gzip and zip, in blocks, with file and line of every bad row.

Two ways lead to the same rows. The fast one (Arrow's typed CSV reader) gives up at the first thing that
looks odd; the careful one then reads the file again, field by field, and says what is wrong where.
"""

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from runtime.download.layouts import FALSE_WORDS, TRUE_WORDS, Columns, recognise, text_time_ns, time_unit
from runtime.download.records import (
    LAST_NS,
    NO_CLOSE,
    NO_ID,
    BadRows,
    Block,
    KlineBlock,
    TradeBlock,
    faults,
    without_faults,
)
from runtime.errors import DataError

# Arrow keeps about eight blocks under way: 4 MB ones cost 130 MB more memory and gain nothing.
BLOCK_BYTES: Final = 1 << 20
CAREFUL_ROWS: Final = 65_536
GZIP_MAGIC: Final = b"\x1f\x8b"
ZIP_MAGIC: Final = b"PK\x03\x04"
SECONDS_UNIT: Final = 1_000_000_000


class _LooksOddError(Exception):
    """The fast way met something, after `lines_done` lines, that the careful way has to judge."""

    def __init__(self, lines_done: int) -> None:
        super().__init__()
        self.lines_done = lines_done


@contextmanager
def open_text(path: Path) -> Iterator[IO[bytes]]:
    """Open the (compressed) text of an archive file for reading bytes.

    Raises
    ------
    DataError
        When the archive is damaged, or a zip file does not hold exactly one file.
    """
    with path.open("rb") as raw:
        magic = raw.read(4)
        raw.seek(0)
        try:
            if magic[:2] == GZIP_MAGIC:
                with gzip.open(raw) as stream:
                    yield stream  # type: ignore[misc]
            elif magic == ZIP_MAGIC:
                with zipfile.ZipFile(raw) as archive:
                    members = [name for name in archive.namelist() if not name.endswith("/")]
                    if len(members) != 1:
                        raise DataError(
                            f"{path.name}: holds {len(members)} files, expected one CSV: unpack it"
                        )
                    with archive.open(members[0]) as member:
                        yield member
            else:
                yield raw
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            raise DataError(f"{path.name}: damaged archive ({error}); download it again") from error


def read_text(
    path: Path, venue: str, market: str, kind: str, symbol: str, bad: BadRows
) -> Iterator[TradeBlock] | Iterator[KlineBlock]:
    """Yield the good rows of a text archive in blocks; bad ones go to `bad`.

    Raises
    ------
    ConfigurationError
        When the file is of another venue, market or kind.
    DataError
        When it is empty, damaged, or of no known format.
    """
    columns = first_line(path, venue, market, kind)
    try:
        yield from _fast(path, columns, symbol)
    except _LooksOddError as odd:
        yield from _careful(path, columns, symbol, bad, skip_lines=odd.lines_done)


def first_line(path: Path, venue: str, market: str, kind: str) -> Columns:
    """Recognise a file by its first line that is not blank; raises as :func:`read_text`."""
    with open_text(path) as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
        for number, line in enumerate(lines, start=1):
            if line.strip("\ufeff\r\n \t\0"):
                columns = recognise(next(csv.reader([line])), venue, market, kind, path.name)
                columns = replace(columns, header_lines=number if columns.header_lines else 0)
                return _with_spare(columns, next(lines, ""))
    raise DataError(f"{path.name}: is empty")


def _with_spare(columns: Columns, row: str) -> Columns:
    """Widen the columns by one where the rows have one more than their header and may."""
    has_more = row.rstrip("\r\n").count(",") == columns.width
    return replace(columns, width=columns.width + 1) if columns.layout.has_spare and has_more else columns


# --- the fast way -----------------------------------------------------------------------------------
def _fast(path: Path, columns: Columns, symbol: str) -> Iterator[Any]:
    """Yield blocks, or raise _LooksOddError with the number of the last line that was yielded."""
    line = columns.header_lines
    unit = 0
    try:
        with open_text(path) as stream:
            for batch in pa_csv.open_csv(stream, *_csv_options(columns)):
                if not batch.num_rows:
                    continue
                unit = unit or _unit_of_text(batch.column(f"column_{columns.roles['time']}")[0].as_py())
                block = _block_of_batch(batch, columns, symbol, unit, line)
                if block is None or any(is_bad.any() for is_bad, _ in faults(block)):
                    raise _LooksOddError(line)
                yield block
                line += batch.num_rows
    except (pa.ArrowInvalid, ValueError) as error:
        raise _LooksOddError(line) from error


def _csv_options(columns: Columns) -> tuple[Any, Any, Any]:
    # Text keeps all digits of a time: float64 would round nanoseconds.
    text_roles = dict.fromkeys(("time", "close_time", "side", "symbol"), pa.string())
    types = {"id": pa.int64(), "maker": pa.bool_(), **text_roles}
    names = [f"column_{at}" for at in range(columns.width)]
    return (
        pa_csv.ReadOptions(
            block_size=BLOCK_BYTES,
            column_names=names,
            skip_rows=columns.header_lines,
            use_threads=False,  # unzipping overlaps all the same; more threads only wait for it
        ),
        pa_csv.ParseOptions(ignore_empty_lines=False),
        pa_csv.ConvertOptions(
            include_columns=[names[at] for at in columns.roles.values()],
            column_types={names[at]: types.get(role, pa.float64()) for role, at in columns.roles.items()},
            null_values=[],
            strings_can_be_null=False,
        ),
    )


def _block_of_batch(
    batch: pa.RecordBatch, columns: Columns, symbol: str, unit: int, line: int
) -> Block | None:
    by_role = {role: batch.column(f"column_{at}") for role, at in columns.roles.items()}
    ts_ns = _times_of_text(by_role["time"], unit)
    if ts_ns is None or ("symbol" in by_role and not pc.all(pc.equal(by_role["symbol"], symbol)).as_py()):
        return None
    lines = np.arange(line + 1, line + 1 + batch.num_rows)
    if columns.layout.kind == "klines":
        names = ("open", "high", "low", "close", "volume")
        close_ns: NDArray[np.int64] | None = np.full(batch.num_rows, NO_CLOSE)
        if "close_time" in by_role:
            close_ns = _times_of_text(by_role["close_time"], unit)
        if close_ns is None:
            return None
        values = {name: by_role[name].to_numpy() for name in names}
        return KlineBlock(ts_ns=ts_ns, close_ns=close_ns, line=lines, **values)
    is_buyer = _is_buyer(by_role)
    if is_buyer is None:
        return None
    ids = by_role["id"].to_numpy() if "id" in by_role else np.full(batch.num_rows, NO_ID)
    if "id" in by_role and (ids < 0).any():
        return None
    return TradeBlock(ts_ns, by_role["price"].to_numpy(), by_role["qty"].to_numpy(), is_buyer, ids, lines)


def _unit_of_text(text: str) -> int:
    """Return nanoseconds per unit of a time; a date as text counts in seconds."""
    try:
        return time_unit(float(text))
    except ValueError:
        if text_time_ns(text) is None:
            raise ValueError(f"time {text!r} is not a number") from None
        return SECONDS_UNIT


def _times_of_text(column: pa.Array, unit: int) -> NDArray[np.int64] | None:
    """Convert times as text, or return None where that fails."""
    try:
        if unit == SECONDS_UNIT:
            # Seconds come with up to 6 decimals; float64 holds them to a quarter of a microsecond.
            micros: NDArray[np.float64] = np.rint(pc.cast(column, pa.float64()).to_numpy() * 1e6)
            if not ((micros >= 0) & (micros <= LAST_NS / 1_000)).all():
                return None
            return micros.astype(np.int64) * 1_000
        times: NDArray[np.int64] = pc.cast(column, pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    # Another unit further down would overflow, silently and perhaps to a plausible time.
    return times * unit if ((times >= 0) & (times <= LAST_NS // unit)).all() else None


def _is_buyer(by_role: dict[str, pa.Array]) -> NDArray[np.bool_] | None:
    if "maker" in by_role:
        is_maker: NDArray[np.bool_] = by_role["maker"].to_numpy(zero_copy_only=False)
        return ~is_maker
    side = pc.utf8_lower(by_role["side"])
    is_buyer: NDArray[np.bool_] = pc.equal(side, "buy").to_numpy(zero_copy_only=False)
    is_seller = pc.equal(side, "sell").to_numpy(zero_copy_only=False)
    return is_buyer if (is_buyer | is_seller).all() else None


# --- the careful way --------------------------------------------------------------------------------
def _careful(path: Path, columns: Columns, symbol: str, bad: BadRows, skip_lines: int) -> Iterator[Any]:
    rows: list[tuple[Any, ...]] = []
    unit: int | None = None
    kind = KlineBlock if columns.layout.kind == "klines" else TradeBlock
    with open_text(path) as stream:
        reader = csv.reader(io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline=""))
        for row in reader:
            if reader.line_num <= columns.header_lines or not "".join(row).strip():
                continue
            try:
                unit = unit or _unit_of_text(_field(row, columns, "time"))
                if reader.line_num <= skip_lines:
                    continue
                rows.append(_parse_row(row, columns, symbol, unit, reader.line_num))
            except ValueError as error:
                bad.report(path.name, reader.line_num, str(error))
            if len(rows) >= CAREFUL_ROWS:
                yield _good_block(rows, kind, path.name, bad)
                rows.clear()
    if rows:
        yield _good_block(rows, kind, path.name, bad)


def _good_block(rows: list[tuple[Any, ...]], kind: Any, file: str, bad: BadRows) -> Any:
    whole = dict.fromkeys(("ts_ns", "close_ns", "trade_id", "line"), np.int64)
    types: dict[str, Any] = {**whole, "is_buyer": np.bool_}
    names = [column.name for column in fields(kind)]
    arrays = (
        np.array(values, dtype=types.get(name, np.float64))
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    )
    return without_faults(kind(*arrays), file, bad)


def _field(row: list[str], columns: Columns, role: str) -> str:
    if len(row) != columns.width:
        raise ValueError(f"{len(row)} fields instead of {columns.width}")
    return row[columns.roles[role]].strip()


def _number(row: list[str], columns: Columns, role: str) -> float:
    text = _field(row, columns, role)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{role} {text!r} is not a number") from None


def _parse_row(row: list[str], columns: Columns, symbol: str, unit: int, line: int) -> tuple[Any, ...]:
    ts_ns = _time(_field(row, columns, "time"), unit)
    if columns.layout.kind == "klines":
        prices = [_number(row, columns, role) for role in ("open", "high", "low", "close", "volume")]
        has_close = "close_time" in columns.roles
        close_ns = _time(_field(row, columns, "close_time"), unit) if has_close else NO_CLOSE
        return (ts_ns, *prices, close_ns, line)
    if "symbol" in columns.roles and _field(row, columns, "symbol") != symbol:
        raise ValueError(f"symbol {_field(row, columns, 'symbol')} instead of {symbol}")
    trade_id = _trade_id(_field(row, columns, "id")) if "id" in columns.roles else NO_ID
    return (
        ts_ns,
        _number(row, columns, "price"),
        _number(row, columns, "qty"),
        _taker_bought(row, columns),
        trade_id,
        line,
    )


def _time(text: str, unit: int) -> int:
    ts_ns: int | None
    try:
        ts_ns = round(float(text) * 1e6) * 1_000 if unit == SECONDS_UNIT else int(text) * unit
    except (ValueError, OverflowError):
        ts_ns = text_time_ns(text)
        if ts_ns is None:
            raise ValueError(f"time {text!r} is not a number") from None
    if not 0 <= ts_ns <= LAST_NS:
        raise ValueError("time is not between 2009 and 2100")
    return ts_ns


def _trade_id(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ValueError(f"trade id {text!r} is not a number")
    return int(text)


def _taker_bought(row: list[str], columns: Columns) -> bool:
    if "maker" in columns.roles:
        word = _field(row, columns, "maker").lower()
        if word not in TRUE_WORDS | FALSE_WORDS:
            raise ValueError(f"buyer-is-maker flag {word!r} is neither true nor false")
        return word in FALSE_WORDS
    word = _field(row, columns, "side").lower()
    if word not in ("buy", "sell"):
        raise ValueError(f"side {word!r} is neither buy nor sell: the taker must be known")
    return word == "buy"
