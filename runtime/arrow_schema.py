"""Nautilus' Parquet schema of trades and bars, from and to plain integer columns.

A price or size is stored as a 128-bit little-endian integer: the decimal value times 10**16. It is
written from int64 ticks and read back as int64 ticks by exact integer arithmetic, over both 64-bit words:
a size above 1,844.67 does not fit into the low one. No Nautilus object is made on the way.
"""

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from nautilus_trader.core import nautilus_pyo3
from numpy.typing import NDArray

from runtime.errors import ConfigurationError, DataError

WORD_BYTES: Final = 16
FIXED_DECIMALS: Final = int(nautilus_pyo3.FIXED_PRECISION)
BUYER, SELLER = 1, 2
NO_ID: Final = -1
# Nautilus keeps a trade id in 36 bytes; ours without an id are "t<time>-<n>", never only digits.
SYNTHETIC_PREFIX: Final = "t"

_WORD: Final = pa.binary(WORD_BYTES)
TRADE_FIELDS: Final = [
    pa.field("price", _WORD, nullable=False),
    pa.field("size", _WORD, nullable=False),
    pa.field("aggressor_side", pa.uint8(), nullable=False),
    pa.field("trade_id", pa.string(), nullable=False),
    pa.field("ts_event", pa.uint64(), nullable=False),
    pa.field("ts_init", pa.uint64(), nullable=False),
]
BAR_PRICES: Final = ("open", "high", "low", "close")
BAR_FIELDS: Final = [
    *(pa.field(name, _WORD, nullable=False) for name in (*BAR_PRICES, "volume")),
    pa.field("ts_event", pa.uint64(), nullable=False),
    pa.field("ts_init", pa.uint64(), nullable=False),
]


@dataclass(frozen=True, slots=True, eq=False)
class TradeColumns:
    """Trades in the order of their ids, one array per field, all of shape (n,).

    Parameters
    ----------
    ts_ns
        int64, UNIX nanoseconds UTC. From a catalog: ``ts_init``, the running maximum of the exchange's times.
    price_ticks, size_lots
        int64 > 0, in units of the instrument's price and size increment.
    is_buyer
        bool, True when the taker bought.
    trade_id
        int64 >= 0, or -1 where the venue publishes none.
    """

    ts_ns: NDArray[np.int64]
    price_ticks: NDArray[np.int64]
    size_lots: NDArray[np.int64]
    is_buyer: NDArray[np.bool_]
    trade_id: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ts_ns)

    def __getitem__(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> "TradeColumns":
        return TradeColumns(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class BarColumns:
    """Closed bars in time order, one int64 array of shape (n,) per field.

    Parameters
    ----------
    ts_open_ns, ts_close_ns
        UNIX nanoseconds UTC; the close is the open plus the interval, and is the bar's ``ts_event``.
    open_ticks, high_ticks, low_ticks, close_ticks
        Units of the instrument's price increment, > 0.
    volume_lots
        Units of its size increment, >= 0.
    """

    ts_open_ns: NDArray[np.int64]
    ts_close_ns: NDArray[np.int64]
    open_ticks: NDArray[np.int64]
    high_ticks: NDArray[np.int64]
    low_ticks: NDArray[np.int64]
    close_ticks: NDArray[np.int64]
    volume_lots: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ts_open_ns)

    def __getitem__(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> "BarColumns":
        return BarColumns(*(getattr(self, field.name)[rows] for field in fields(self)))


def empty_trades(rows: int) -> TradeColumns:
    """Return columns of shape (rows,) whose content is yet to be written."""
    whole = (np.empty(rows, dtype=np.int64) for _ in range(4))
    return TradeColumns(next(whole), next(whole), next(whole), np.empty(rows, dtype=np.bool_), next(whole))


def concatenate[C: (TradeColumns, BarColumns)](parts: list[C]) -> C:
    """Join column sets end to end; there must be at least one."""
    names = [field.name for field in fields(parts[0])]
    return type(parts[0])(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def require_wide_words() -> None:
    """Refuse a Nautilus build with 64-bit prices (standard precision), whose files look different.

    Raises
    ------
    ConfigurationError
        On such a build.
    """
    if nautilus_pyo3.PRECISION_BYTES != WORD_BYTES:
        raise ConfigurationError(
            f"this nautilus_trader has {nautilus_pyo3.PRECISION_BYTES}-byte prices, not {WORD_BYTES}: "
            "install the high-precision build"
        )


def increment_scale(increment: Decimal) -> int:
    """Return the stored integer of one increment: the increment times 10**16.

    Examples
    --------
    >>> increment_scale(Decimal("0.0001"))
    1000000000000
    """
    return int(increment.scaleb(FIXED_DECIMALS).to_integral_exact())


def encode_words(units: NDArray[np.int64], scale: int) -> pa.FixedSizeBinaryArray:
    """Return ``units * scale`` as 128-bit little-endian integers.

    Parameters
    ----------
    units
        Shape (n,), >= 0.
    scale
        Stored integer of one unit, 1 <= scale < 2**63.

    Returns
    -------
    pa.FixedSizeBinaryArray
        Shape (n,), 16 bytes each.
    """
    factor = np.ascontiguousarray(units).view(np.uint64)
    # Schoolbook product of 32-bit halves: the four partial products fit 64 bits each.
    half, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    scale_low, scale_high = np.uint64(scale & 0xFFFFFFFF), np.uint64(scale >> 32)
    low, high = factor & mask, factor >> half
    low_low, high_low = low * scale_low, high * scale_low
    middle = (low_low >> half) + (low * scale_high & mask) + (high_low & mask)
    words = np.empty((len(factor), 2), dtype="<u8")
    words[:, 0] = factor * np.uint64(scale)
    words[:, 1] = high * scale_high + (low * scale_high >> half) + (high_low >> half) + (middle >> half)
    return pa.Array.from_buffers(_WORD, len(factor), [None, pa.py_buffer(words)])


def decode_words(column: pa.Array, scale: int, name: str) -> NDArray[np.int64]:
    """Return 128-bit integers divided by `scale`, exactly.

    Parameters
    ----------
    column
        Shape (n,), 16 bytes each, without nulls.
    scale
        Stored integer of one unit, as in :func:`encode_words`.
    name
        What the column holds, for the error.

    Returns
    -------
    ndarray of int64
        Shape (n,), units >= 0.

    Raises
    ------
    DataError
        When a value is no multiple of the unit, or its quotient does not fit int64.

    Notes
    -----
    The quotient of an exact division modulo 2**64 is the product with the inverse of the odd part, so only
    64-bit operations are needed. Where the high word is zero, the division was exact if the quotient is small
    enough and no bit was shifted out (Granlund and Montgomery 1994, "Division by Invariant Integers using
    Multiplication", section 9); elsewhere multiplying back over both words proves it.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    flat = np.frombuffer(column.buffers()[1], dtype="<u8")
    words = flat[2 * column.offset : 2 * (column.offset + len(column))].reshape(-1, 2)
    low, high = np.ascontiguousarray(words[:, 0]), words[:, 1]
    twos = (scale & -scale).bit_length() - 1
    odd = scale >> twos
    inverse = np.uint64(pow(odd, -1, 1 << 64))
    quotient = (low >> np.uint64(twos)) * inverse
    is_exact = quotient <= np.uint64(((1 << (64 - twos)) - 1) // odd)
    if twos:
        is_exact &= low & np.uint64((1 << twos) - 1) == 0
    units = quotient.view(np.int64)
    is_wide = high != 0
    if is_wide.any():
        units[is_wide], is_exact[is_wide] = _wide_quotients(words[is_wide], scale, twos, inverse)
    if not (is_exact & (units >= 0)).all():
        row = int(np.argmin(is_exact & (units >= 0)))
        raise DataError(
            f"{name} of row {row + 1} is no multiple of the instrument's increment: import the data again"
        )
    return units


def _wide_quotients(
    words: NDArray[np.uint64], scale: int, twos: int, inverse: np.uint64
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Divide values of two words, shape (n, 2); return quotients and whether each is exact and fits int64."""
    low, high = words[:, 0], words[:, 1]
    shifted = low if twos == 0 else (low >> np.uint64(twos)) | (high << np.uint64(64 - twos))
    units = (shifted * inverse).view(np.int64)
    product = np.frombuffer(encode_words(units, scale).buffers()[1], dtype="<u8").reshape(-1, 2)
    return units, (units >= 0) & (product == words).all(axis=1)


def synthetic_ids(ts_ns: NDArray[np.int64], ordinal: NDArray[np.int64]) -> pa.Array:
    """Return id strings for trades without ids: ``t<time>-<how many before it had the same time>``."""
    time, number = (pc.cast(pa.array(values), pa.string()) for values in (ts_ns, ordinal))
    return pc.binary_join_element_wise(pc.binary_join_element_wise(SYNTHETIC_PREFIX, time, ""), number, "-")


def decode_ids(column: pa.ChunkedArray | pa.Array) -> NDArray[np.int64]:
    """Return trade ids as int64, -1 for every one that is not a plain number."""
    try:
        numbers = pc.cast(column, pa.int64())
    except pa.ArrowInvalid:
        is_number = pc.match_substring_regex(column, r"^[0-9]{1,18}$")
        numbers = pc.cast(pc.if_else(is_number, column, str(NO_ID)), pa.int64())
    ids: NDArray[np.int64] = (
        numbers.to_numpy() if isinstance(numbers, pa.ChunkedArray) else numbers.to_numpy(zero_copy_only=False)
    )
    return ids


def encode_trades(
    trades: TradeColumns,
    ts_init: NDArray[np.int64],
    ids: pa.Array,
    scales: tuple[int, int],
    schema: pa.Schema,
) -> pa.Table:
    """Build the Arrow table of trades; `scales` are those of the price and the size increment."""
    columns = [
        encode_words(trades.price_ticks, scales[0]),
        encode_words(trades.size_lots, scales[1]),
        pa.array(np.where(trades.is_buyer, np.uint8(BUYER), np.uint8(SELLER))),
        ids,
        pa.array(np.ascontiguousarray(trades.ts_ns).view(np.uint64)),
        pa.array(ts_init.view(np.uint64)),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def decode_trades(table: pa.Table, scales: tuple[int, int], time_column: str = "ts_init") -> TradeColumns:
    """Read an Arrow table of trades; unknown aggressors are refused with DataError."""
    side = table.column("aggressor_side").to_numpy()
    if len(side) and not BUYER <= side.min() <= side.max() <= SELLER:
        raise DataError(
            "a trade has no aggressor side: volume buckets need to know who took, import other data"
        )
    return TradeColumns(
        ts_ns=table.column(time_column).to_numpy().view(np.int64),
        price_ticks=decode_words(table.column("price"), scales[0], "the price"),
        size_lots=decode_words(table.column("size"), scales[1], "the size"),
        is_buyer=side == BUYER,
        trade_id=decode_ids(table.column("trade_id")),
    )


def encode_bars(bars: BarColumns, scales: tuple[int, int], schema: pa.Schema) -> pa.Table:
    """Build the Arrow table of bars; `scales` are those of the price and the size increment."""
    prices = [encode_words(getattr(bars, f"{name}_ticks"), scales[0]) for name in BAR_PRICES]
    times = pa.array(np.ascontiguousarray(bars.ts_close_ns).view(np.uint64))
    columns = [*prices, encode_words(bars.volume_lots, scales[1]), times, times]
    return pa.Table.from_arrays(columns, schema=schema)


def decode_bars(table: pa.Table, scales: tuple[int, int], interval_ns: int) -> BarColumns:
    """Read an Arrow table of bars; the open time is the close time minus the interval."""
    close_ns = table.column("ts_event").to_numpy().view(np.int64)
    prices = {
        f"{name}_ticks": decode_words(table.column(name), scales[0], f"the {name}") for name in BAR_PRICES
    }
    volume = decode_words(table.column("volume"), scales[1], "the volume")
    return BarColumns(ts_open_ns=close_ns - interval_ns, ts_close_ns=close_ns, volume_lots=volume, **prices)


def table_schema(table_fields: list[pa.Field], metadata: dict[str, Any]) -> pa.Schema:
    """Return a schema with the metadata by which Nautilus knows instrument and precisions."""
    return pa.schema(table_fields, metadata={key: str(value) for key, value in metadata.items()})
