"""Writing Nautilus' Parquet files: one per UTC day of trades, one per series of bars, with gap statistics."""

import itertools
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from nautilus_trader.core.datetime import unix_nanos_to_iso8601
from nautilus_trader.model.instruments import Instrument
from numpy.typing import NDArray

from runtime.arrow_schema import (
    BAR_FIELDS,
    NO_ID,
    TRADE_FIELDS,
    BarColumns,
    TradeColumns,
    concatenate,
    encode_bars,
    encode_trades,
    increment_scale,
    synthetic_ids,
    table_schema,
)
from runtime.manifest import FileEntry
from runtime.trade_merge import BLOCK_ROWS, ordinal_within

DAY_NS: Final = 86_400_000_000_000
ROW_GROUP: Final = BLOCK_ROWS
BAR_ROW_GROUP: Final = 8_192  # a month of 5m bars: the last hundred are read without the whole year
TRADE_FOLDER: Final = "data/trade_tick"
BAR_FOLDER: Final = "data/bar"


def file_name(first_ns: int, last_ns: int) -> str:
    """Return Nautilus' name for a file that spans these ``ts_init``."""
    return f"{time_stamp(first_ns)}_{time_stamp(last_ns)}.parquet"


def time_stamp(ts_ns: int) -> str:
    """Return a time as in Nautilus' file names; of fixed width, so that the text sorts like the time.

    Examples
    --------
    >>> time_stamp(1773792000000000001)
    '2026-03-18T00-00-00-000000001Z'
    """
    text: str = unix_nanos_to_iso8601(int(ts_ns))
    return text.replace(":", "-").replace(".", "-")


def scales_of(instrument: Instrument) -> tuple[int, int]:
    """Return the stored integers of one price tick and one size lot."""
    return (
        increment_scale(Decimal(str(instrument.price_increment))),
        increment_scale(Decimal(str(instrument.size_increment))),
    )


class GapStatistics:
    """Counts rows, missing ids and the longest gap of a file while it passes by in blocks."""

    def __init__(self) -> None:
        self.rows = self.missing = self.gaps = self.longest_ns = self.longest_ids = 0
        self.first_id = self.last_id = self.first_ns = self.last_ns = 0

    def add(self, ids: NDArray[np.int64], ts_ns: NDArray[np.int64]) -> None:
        """Take the ids (-1: none) and times of the next rows, both shape (n,), n >= 1."""
        if not self.rows:
            self.first_id, self.first_ns = int(ids[0]), int(ts_ns[0])
            self.last_id, self.last_ns = self.first_id, self.first_ns
            self.rows, ids, ts_ns = 1, ids[1:], ts_ns[1:]
        if len(ids):
            steps = np.diff(ids, prepend=self.last_id)
            waits = np.diff(ts_ns, prepend=self.last_ns)
            is_gap = steps > 1
            self.missing += int((steps[is_gap] - 1).sum())
            self.gaps += int(is_gap.sum())
            self.longest_ids = max(self.longest_ids, int(steps.max()) - 1)
            self.longest_ns = max(
                self.longest_ns, int(waits[is_gap if self.first_id != NO_ID else ...].max(initial=0))
            )
            self.last_id, self.last_ns = int(ids[-1]), int(ts_ns[-1])
            self.rows += len(ids)

    def entry(self, name: str) -> FileEntry:
        """Return what the manifest says about the file."""
        has_ids = self.first_id != NO_ID
        return FileEntry(
            path=name,
            rows=self.rows,
            first_ns=self.first_ns,
            last_ns=self.last_ns,
            first_id=self.first_id if has_ids else None,
            last_id=self.last_id if has_ids else None,
            missing_ids=self.missing if has_ids else None,
            id_gaps=self.gaps if has_ids else None,
            longest_gap_ns=self.longest_ns,
            longest_gap_ids=self.longest_ids if has_ids else None,
        )


class TradeWriter:
    """Cuts a stream of trades into Parquet files, one per UTC day of their running time."""

    def __init__(self, staging: Path, instrument: Instrument, clock_ns: int) -> None:
        self._staging = staging
        self._instrument_id = str(instrument.id)
        self._scales = scales_of(instrument)
        self._schema = table_schema(
            TRADE_FIELDS,
            {
                "instrument_id": instrument.id,
                "price_precision": instrument.price_precision,
                "size_precision": instrument.size_precision,
            },
        )
        self._clock_ns = clock_ns
        self._tie: tuple[int, int] = (-1, 0)  # time of the last trade, and how many had it before
        self._day = -1
        self._waiting: list[tuple[TradeColumns, NDArray[np.int64]]] = []
        self._file: pq.ParquetWriter | None = None
        self._statistics = GapStatistics()
        self._written: list[tuple[Path, FileEntry]] = []

    def add(self, trades: TradeColumns) -> int:
        """Take the next trades and return by how many nanoseconds the running maximum moved one at most.

        `ts_ns` are the exchange's times.
        """
        # Nautilus sorts by ts_init, and archives are ordered by id with times that sometimes step back.
        ts_init = np.maximum.accumulate(np.maximum(trades.ts_ns, self._clock_ns))
        self._clock_ns = int(ts_init[-1])
        days = ts_init // DAY_NS
        cuts = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(trades)]
        for low, high in itertools.pairwise(cuts):
            if days[low] != self._day:
                self._end_day()
                self._day = int(days[low])
            self._waiting.append((trades[low:high], ts_init[low:high]))
            if sum(len(part) for part, _ in self._waiting) >= ROW_GROUP:
                self._flush()
        return int((ts_init - trades.ts_ns).max())

    def close(self) -> list[tuple[Path, FileEntry]]:
        """Finish the last file and return each file's temporary path and description."""
        self._end_day()
        return self._written

    def _flush(self) -> None:
        if not self._waiting:
            return
        trades = concatenate([part for part, _ in self._waiting])
        ts_init = np.concatenate([part for _, part in self._waiting])
        self._waiting.clear()
        table = encode_trades(trades, ts_init, self._id_strings(trades), self._scales, self._schema)
        if self._file is None:
            self._file = _writer(self._staging / f"{self._day}.parquet", self._schema)
        self._file.write_table(table, row_group_size=ROW_GROUP)
        self._statistics.add(trades.trade_id, ts_init)

    def _id_strings(self, trades: TradeColumns) -> pa.Array:
        if trades.trade_id[0] != NO_ID:
            return pa.array(trades.trade_id).cast(pa.string())
        ordinal = ordinal_within(trades.ts_ns)
        tied_ns, before = self._tie
        ordinal = np.where(trades.ts_ns == tied_ns, ordinal + before, ordinal)
        self._tie = (int(trades.ts_ns[-1]), int(ordinal[-1]) + 1)
        return synthetic_ids(trades.ts_ns, ordinal)

    def _end_day(self) -> None:
        self._flush()
        if self._file is None:
            return
        self._file.close()
        self._file = None
        statistics, self._statistics = self._statistics, GapStatistics()
        name = file_name(statistics.first_ns, statistics.last_ns)
        entry = statistics.entry(f"{TRADE_FOLDER}/{self._instrument_id}/{name}")
        self._written.append((self._staging / f"{self._day}.parquet", entry))


def years_of(ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the UTC calendar years of times, shape (n,), since 1970."""
    return ts_ns.astype("datetime64[ns]").astype("datetime64[Y]").astype(np.int64)


def write_bar_files(
    staging: Path, instrument: Instrument, bar_type: str, bars: BarColumns, step_ns: int
) -> list[tuple[Path, FileEntry]]:
    """Write bars of one series into `staging`, one file per UTC year of their open times.

    A year at a time, so that a new month does not rewrite the whole history. Returns each temporary path
    and its description.
    """
    schema = table_schema(
        BAR_FIELDS,
        {
            "bar_type": bar_type,
            "instrument_id": instrument.id,
            "price_precision": instrument.price_precision,
            "size_precision": instrument.size_precision,
        },
    )
    years = years_of(bars.ts_open_ns)
    cuts = [0, *(np.flatnonzero(np.diff(years)) + 1).tolist(), len(bars)]
    written = []
    for start, end in itertools.pairwise(cuts):
        statistics = GapStatistics()
        path = staging / f"{years[start]}.parquet"
        with _writer(path, schema) as file:
            for low in range(start, end, BAR_ROW_GROUP):
                part = bars[low : min(low + BAR_ROW_GROUP, end)]
                file.write_table(encode_bars(part, scales_of(instrument), schema))
                statistics.add(part.ts_open_ns // step_ns, part.ts_close_ns)
        name = file_name(statistics.first_ns, statistics.last_ns)
        written.append((path, statistics.entry(f"{BAR_FOLDER}/{bar_type}/{name}")))
    return written


def has_precisions(path: Path, instrument: Instrument) -> bool:
    """Tell whether a file's metadata has the decimals of an instrument."""
    metadata = pq.read_schema(path).metadata or {}
    return all(metadata.get(name) == text for name, text in _precisions(instrument).items())


def write_with_precisions(source: Path, target: Path, instrument: Instrument) -> None:
    """Write a file again, row group by row group, with the decimals of an instrument in its metadata."""
    with pq.ParquetFile(source) as file:
        schema = file.schema_arrow.with_metadata({**file.schema_arrow.metadata, **_precisions(instrument)})
        with _writer(target, schema) as rewritten:
            for group in range(file.num_row_groups):
                rewritten.write_table(file.read_row_group(group).cast(schema))


def _precisions(instrument: Instrument) -> dict[bytes, bytes]:
    return {
        b"price_precision": str(instrument.price_precision).encode(),
        b"size_precision": str(instrument.size_precision).encode(),
    }


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # LZ4 without dictionaries is read in half the time of Snappy with them, for 10 % more disk:
    # Arrow copies plain 16-byte words whole, but gathers those of a dictionary one by one.
    is_trades = "aggressor_side" in schema.names
    return pq.ParquetWriter(
        path,
        schema,
        compression="lz4",
        use_dictionary=["aggressor_side"] if is_trades else False,
        write_page_checksum=True,  # a flipped bit must not become a price: `verify` reads them
    )
