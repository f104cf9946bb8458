"""Trades and bars in a Nautilus ``ParquetDataCatalog``, written and read as plain integer columns.

The files are Nautilus' own in schema and name, so ``ParquetDataCatalog(path)`` reads them; only the
detour over one Python object per trade is left out. One file holds one UTC day of an instrument's
trades (by ``ts_init``) or one year of its bars, in row groups of 65,536, so that files never overlap and
reading needs little memory. Beside them lies the manifest (:mod:`runtime.manifest`).

Processes may write different series at the same time; a killed one leaves the old state of its series, or
the next command finishes the new one (:mod:`runtime.catalog_slots`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow.parquet as pq
from nautilus_trader.model.data import BarType
from nautilus_trader.model.instruments import CryptoPerpetual, CurrencyPair, Instrument
from nautilus_trader.persistence.funcs import class_to_filename
from nautilus_trader.serialization.arrow.serializer import ArrowSerializer
from numpy.typing import NDArray

from runtime.arrow_schema import (
    NO_ID,
    BarColumns,
    TradeColumns,
    concatenate,
    decode_bars,
    decode_trades,
    empty_trades,
    require_wide_words,
)
from runtime.catalog_files import (
    BAR_FOLDER,
    DAY_NS,
    TRADE_FOLDER,
    TradeWriter,
    scales_of,
    write_bar_files,
    years_of,
)
from runtime.catalog_migration import finish_old_write, migrate
from runtime.catalog_slots import Slot, common_lock, settle_all, store_definition
from runtime.catalog_tables import reading, rows_of_folder, tables_of_file, tables_of_folder
from runtime.catalog_truth import all_series, reconciled
from runtime.errors import ConfigurationError, DataError
from runtime.instruments import increment_text
from runtime.intervals import bar_type_text, interval_nanos, interval_of_bar_type
from runtime.manifest import (
    FileEntry,
    Kind,
    Manifest,
    SeriesEntry,
    SourceEntry,
    is_provisional,
    merge_sources,
    read_entry,
    slot_name,
)
from runtime.nautilus_catalog import nautilus_catalog
from runtime.trade_merge import BLOCK_ROWS, MergeCount, merge_by_id, merge_by_time

__all__ = ["BarColumns", "Catalog", "TradeColumns", "WriteReport"]

DEFINITIONS: Final = {kind: class_to_filename(kind) for kind in (CurrencyPair, CryptoPerpetual)}
LARGEST_MOVE_NS: Final = 3_600_000_000_000
TRADE_COLUMNS: Final = ("price", "size", "aggressor_side", "trade_id", "ts_init")

type Advance = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class WriteReport:
    """Outcome of a write: new rows, rows that were there already, and positions that contradict them.

    `replaced` counts stored rows that had come by REST, and gave way to other content from the venue.
    """

    added: int
    duplicates: int
    conflicts: tuple[int, ...]
    series: SeriesEntry
    replaced: int = 0


class Catalog:
    """A catalog folder.

    Parameters
    ----------
    path
        The folder; also the argument of ``ParquetDataCatalog``.
    create
        Make it if it is absent, as the importing commands do.

    Raises
    ------
    ConfigurationError
        When there is no folder and `create` is False, or `path` is a file.
    """

    def __init__(self, path: Path | str, *, create: bool = False) -> None:
        require_wide_words()
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ConfigurationError(f"{self.path}: is a file, a catalog is a folder")
        if not self.path.exists() and not create:
            raise ConfigurationError(
                f"{self.path}: no such catalog; make one with `download_data.py import` or `… sample`"
            )
        if create:
            self.path.mkdir(parents=True, exist_ok=True)
        finish_old_write(self.path)
        settle_all(self.path)
        self._manifest: Manifest | None = None
        self._instruments: dict[str, Instrument] = {}

    # --- what is there -------------------------------------------------------------------------------
    @property
    def manifest(self) -> Manifest:
        """The manifest, brought in line with the files that are really there; read at the first look.

        Raises
        ------
        DataError
            When it is damaged.
        """
        if self._manifest is None:
            self._manifest = Manifest(series=all_series(self.path))
        return self._manifest

    def find_series(self, instrument_id: str, kind: Kind, interval: str | None = None) -> SeriesEntry | None:
        """Return the entry of one series without reading those of the others, None when it has no files.

        Raises
        ------
        DataError
            When its manifest is damaged.
        """
        entry = reconciled(self.path, self._entry(instrument_id, kind, interval))
        return entry if entry.files and entry.kind == kind else None

    def _entry(self, instrument_id: str, kind: Kind, interval: str | None) -> SeriesEntry:
        return read_entry(self.path, slot_name(instrument_id, kind, interval)) or SeriesEntry(
            instrument=instrument_id, kind=kind, interval=interval
        )

    def series(self) -> list[dict[str, Any]]:
        """Return one row per series, as ``download_data.py list --json`` prints them."""
        return [
            {**entry.summary(), "bytes": sum((self.path / file.path).stat().st_size for file in entry.files)}
            for entry in self.manifest.series.values()
        ]

    def instruments(self) -> list[Instrument]:
        """Return all instrument definitions, sorted by id."""
        found: list[Instrument] = nautilus_catalog(self.path).instruments()
        return sorted(found, key=lambda instrument: str(instrument.id))

    def find_instrument(self, instrument_id: str) -> Instrument | None:
        """Return the definition of an instrument, or None."""
        # Nautilus' own query tries all 19 classes of instruments with a glob each: 5 ms, for every write.
        for kind, name in DEFINITIONS.items():
            for path in sorted((self.path / "data" / name / instrument_id).glob("*.parquet"), reverse=True):
                with reading(path), pq.ParquetFile(path) as file:
                    found: list[Instrument] = ArrowSerializer.deserialize(kind, file.read())
                return found[-1]
        if not any((self.path / "data").glob(f"*/{instrument_id}")):
            return None
        found = nautilus_catalog(self.path).instruments(instrument_ids=[instrument_id])
        return found[0] if found else None

    def instrument(self, instrument_id: str) -> Instrument:
        """Return the definition of an instrument.

        Raises
        ------
        ConfigurationError
            When the catalog does not have it; the message lists those it has.
        """
        instrument = self._instruments.get(instrument_id) or self.find_instrument(instrument_id)
        if instrument is None:
            known = (
                ", ".join(sorted({entry.instrument for entry in self.manifest.series.values()})) or "nothing"
            )
            raise ConfigurationError(f"{self.path}: no instrument {instrument_id}, it holds {known}")
        self._instruments[instrument_id] = instrument
        return instrument

    # --- reading -------------------------------------------------------------------------------------
    def read_trades(
        self,
        instrument_id: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        *,
        exchange_time: bool = False,
    ) -> Iterator[TradeColumns]:
        """Yield an instrument's trades in order, one row group (at most 65,536 rows) at a time.

        Parameters
        ----------
        instrument_id
            Such as ``XRPUSDT.BINANCE``.
        start_ns, end_ns
            Both inclusive, on ``ts_init``, as Nautilus filters; None leaves the side open.
        exchange_time
            Give the exchange's own times, which may step back.

        Yields
        ------
        TradeColumns
            Never empty. `ts_ns` is ``ts_init``, or ``ts_event`` with `exchange_time`.

        Raises
        ------
        ConfigurationError
            When the catalog has no such instrument.
        DataError
            When a file is damaged.
        """
        scales = scales_of(self.instrument(instrument_id))
        time = "ts_event" if exchange_time else "ts_init"
        columns = [*TRADE_COLUMNS, time] if exchange_time else TRADE_COLUMNS
        for table in tables_of_folder(self.path / TRADE_FOLDER / instrument_id, start_ns, end_ns, columns):
            yield decode_trades(table, scales, time)

    def read_trades_all(
        self, instrument_id: str, start_ns: int | None = None, end_ns: int | None = None
    ) -> TradeColumns:
        """Return the trades of :meth:`read_trades` in one piece, 33 bytes each; it may be empty."""
        # Filled in place: parts joined at the end touch twice the memory and take 1.3 times as long.
        # Pages that a narrow range leaves untouched cost nothing.
        rows = rows_of_folder(self.path / TRADE_FOLDER / instrument_id, start_ns, end_ns)
        trades = empty_trades(rows)
        end = 0
        for block in self.read_trades(instrument_id, start_ns, end_ns):
            start, end = end, end + len(block)
            for column in fields(trades):
                getattr(trades, column.name)[start:end] = getattr(block, column.name)
        return trades[:end]

    def read_bars(
        self, bar_type: str, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[BarColumns]:
        """Yield closed bars in blocks of at most 65,536.

        `bar_type` is such as ``BTCUSDT.BINANCE-5-MINUTE-LAST-EXTERNAL``.
        The range is inclusive and refers to the close times. Raises as :meth:`read_trades`.
        """
        instrument_id = str(BarType.from_str(bar_type).instrument_id)
        scales = scales_of(self.instrument(instrument_id))
        interval_ns = interval_nanos(interval_of_bar_type(bar_type))
        for table in tables_of_folder(self.path / BAR_FOLDER / bar_type, start_ns, end_ns):
            yield decode_bars(table, scales, interval_ns)

    # --- writing -------------------------------------------------------------------------------------
    def write_trades(
        self,
        instrument: Instrument,
        trades: TradeColumns,
        *,
        kind: Kind = "trades",
        sources: Sequence[SourceEntry] = (),
        synthetic: bool = False,
        note: str = "",
        skip_conflicts: bool = False,
        advance: Advance | None = None,
    ) -> WriteReport:
        """Merge trades into an instrument's series; writing the same trades again changes nothing.

        Parameters
        ----------
        instrument
            Stored with the trades; must have the increments of a stored one.
        trades
            `ts_ns` are the exchange's times. Ids strictly increasing; or all -1, then times non-decreasing.
            Arrays may be memory maps.
        kind
            ``trades`` or ``aggtrades``; one instrument holds one of the two.
        sources, synthetic, note
            For the manifest. Rows of sources that were fetched from the venue replace those that came by
            REST, where the two differ.
        skip_conflicts
            Keep the stored row where an id comes back with other content, instead of writing nothing.
        advance
            Called with the number of rows done since the last call, which may be 0; the arrays of `trades`
            are not looked at meanwhile, so that the pages of memory maps can be given back.

        Returns
        -------
        WriteReport
            With `conflicts` and without `skip_conflicts` nothing was written.

        Raises
        ------
        ConfigurationError
            When the stored instrument has other increments, or the stored series is of another kind, or one
            of the two is synthetic and the other is not.
        DataError
            When a time lies more than an hour before that of a lower id, stored or new.
        ValueError
            When the trades are empty or out of order.
        """
        span_ns = _span_in_order(trades, advance)
        instrument_id = str(instrument.id)
        migrate(self.path)
        slot = Slot(self.path, slot_name(instrument_id, kind, None))
        with slot.locked():
            self.require_increments(instrument)
            entry = self._series_for_trades(instrument_id, kind, has_ids=trades.trade_id[0] != NO_ID)
            if entry.files and entry.synthetic != synthetic:
                raise ConfigurationError(
                    f"{self.path}: the stored {kind} of {instrument_id} are "
                    + (
                        "synthetic, the new ones are not"
                        if entry.synthetic
                        else "real, the new ones synthetic"
                    )
                    + ": use another --catalog"
                )
            count = MergeCount()
            touched = _touched(entry.files, trades, span_ns)
            before = [file for file in entry.files if file not in touched and file.last_ns < span_ns[1]]
            writer = TradeWriter(slot.fresh_staging(), instrument, before[-1].last_ns if before else 0)
            may_replace = (
                partial(is_provisional, entry.sources, by_id=True) if _may_replace(sources) else None
            )
            for block in self._merged(touched, trades, scales_of(instrument), count, may_replace):
                moved_ns = writer.add(block)
                if moved_ns > LARGEST_MOVE_NS:
                    slot.discard_staging()
                    raise DataError(
                        f"{self.path}: {instrument_id}: the order of the ids is not that of the times, "
                        "trades (stored or new) would move by more than 1 hour: are all files of this "
                        "instrument? Nothing was written"
                    )
                if advance is not None:
                    advance(len(block))
            written = writer.close()
            if count.conflicts and not skip_conflicts:
                slot.discard_staging()
                return WriteReport(0, count.duplicates, tuple(count.conflicts), entry)
            is_changed = bool(count.added or count.replaced)
            files = (
                entry.files
                if not is_changed
                else (*(file for file in entry.files if file not in touched), *(file for _, file in written))
            )
            entry = msgspec.structs.replace(
                entry,
                synthetic=entry.synthetic or synthetic,
                note=note or entry.note,
                files=tuple(sorted(files, key=lambda file: file.first_ns)),
                sources=merge_sources(entry.sources, sources),
            )
            moves = [(path, file.path) for path, file in written] if is_changed else []
            self._commit(
                slot, instrument, moves, [file.path for file in touched] if is_changed else [], entry
            )
        return WriteReport(count.added, count.duplicates, tuple(count.conflicts), entry, count.replaced)

    def write_bars(
        self,
        instrument: Instrument,
        interval: str,
        bars: BarColumns,
        *,
        sources: Sequence[SourceEntry] = (),
        skip_conflicts: bool = False,
    ) -> WriteReport:
        """Merge closed bars into the series of their interval, such as ``5m``; like :meth:`write_trades`.

        The bars must have strictly increasing open times that are multiples of the interval.
        """
        step_ns = interval_nanos(interval)
        _require_bar_order(bars, step_ns)
        instrument_id = str(instrument.id)
        bar_type = bar_type_text(instrument_id, interval)
        scales = scales_of(instrument)
        migrate(self.path)
        slot = Slot(self.path, slot_name(instrument_id, "klines", interval))
        with slot.locked():
            self.require_increments(instrument)
            entry = reconciled(self.path, self._entry(instrument_id, "klines", interval))
            touched = _touched_years(entry.files, bars, step_ns)
            stored = [
                decode_bars(table, scales, step_ns)
                for file in touched
                for table in tables_of_file(self.path / file.path)
            ]
            merged, count = _merge_bars(stored, bars, entry.sources if _may_replace(sources) else ())
            if count.conflicts and not skip_conflicts:
                return WriteReport(0, count.duplicates, tuple(count.conflicts), entry)
            entry = msgspec.structs.replace(entry, sources=merge_sources(entry.sources, sources))
            moves: list[tuple[Path, str]] = []
            removals: list[str] = []
            if count.added or count.replaced:
                removals = [file.path for file in touched]
                written = write_bar_files(slot.fresh_staging(), instrument, bar_type, merged, step_ns)
                moves = [(path, file.path) for path, file in written]
                files = (
                    *(file for file in entry.files if file not in touched),
                    *(file for _, file in written),
                )
                entry = msgspec.structs.replace(
                    entry, files=tuple(sorted(files, key=lambda file: file.first_ns))
                )
            self._commit(slot, instrument, moves, removals, entry)
        return WriteReport(count.added, count.duplicates, tuple(count.conflicts), entry, count.replaced)

    def _merged(
        self,
        touched: Sequence[FileEntry],
        trades: TradeColumns,
        scales: tuple[int, int],
        count: MergeCount,
        may_replace: Callable[[NDArray[np.int64]], NDArray[np.bool_]] | None,
    ) -> Iterator[TradeColumns]:
        stored = (
            decode_trades(table, scales, "ts_event")
            for file in touched
            for table in tables_of_file(self.path / file.path)
        )
        if trades.trade_id[0] != NO_ID:
            return merge_by_id(stored, trades, count, may_replace)
        if not touched:
            return merge_by_id((), trades, count)
        union = merge_by_time(concatenate(list(stored)), trades, count)
        return (union[low : low + BLOCK_ROWS] for low in range(0, len(union), BLOCK_ROWS))

    def _series_for_trades(self, instrument_id: str, kind: Kind, *, has_ids: bool) -> SeriesEntry:
        entry = reconciled(self.path, self._entry(instrument_id, kind, None))
        if entry.files and entry.kind != kind:
            raise ConfigurationError(
                f"{self.path}: {instrument_id} holds {entry.kind}, {kind} are the same trades again: "
                "use another --catalog"
            )
        entry = msgspec.structs.replace(entry, kind=kind)
        if entry.files and (entry.files[0].first_id is not None) != has_ids:
            raise ConfigurationError(
                f"{self.path}: the stored {kind} of {instrument_id} have {'no ' if has_ids else ''}ids, "
                f"the new ones have {'' if has_ids else 'none'}: use another --catalog"
            )
        return entry

    def require_increments(self, instrument: Instrument) -> bool:
        """Tell whether the instrument is stored; ConfigurationError when it has other increments there."""
        stored = self.find_instrument(str(instrument.id))
        if stored is None:
            return False
        for name in ("price_increment", "size_increment"):
            old, new = getattr(stored, name), getattr(instrument, name)
            if old != new:
                flag = "--tick-size" if name == "price_increment" else "--lot-size"
                raise ConfigurationError(
                    f"{self.path}: {instrument.id} is stored with {name} {increment_text(old)}, not "
                    f"{increment_text(new)}: say {flag} {increment_text(old)}, or use another --catalog"
                )
        return True

    def _commit(
        self,
        slot: Slot,
        instrument: Instrument,
        moves: Sequence[tuple[Path, str]],
        removals: Sequence[str],
        entry: SeriesEntry,
    ) -> None:
        """Put the prepared files of a slot into place, after the instrument that they need."""
        with common_lock(self.path):
            # Again: another process may have stored it meanwhile, from other files.
            if not self.require_increments(instrument):
                slot.staging.mkdir(exist_ok=True)
                store_definition(self.path, slot.staging, instrument)
        slot.commit(moves, removals, entry)
        if self._manifest is not None:
            series = {**self._manifest.series, entry.key: entry}
            self._manifest = Manifest(series=dict(sorted(series.items())))


def _touched(files: Iterable[FileEntry], trades: TradeColumns, span_ns: tuple[int, int]) -> list[FileEntry]:
    """Return the files that must be merged: all but those wholly before or after, by id and by day."""
    first_day, last_day = span_ns[0] // DAY_NS, span_ns[1] // DAY_NS
    first_id, last_id = int(trades.trade_id[0]), int(trades.trade_id[-1])
    touched = []
    for file in files:
        is_before = file.last_ns // DAY_NS < first_day and (file.last_id is None or file.last_id < first_id)
        is_after = file.first_ns // DAY_NS > last_day and (file.first_id is None or file.first_id > last_id)
        if not is_before and not is_after:
            touched.append(file)
    return touched


def _touched_years(files: Iterable[FileEntry], bars: BarColumns, step_ns: int) -> list[FileEntry]:
    """Return the files that share a year (of the open time) with the bars."""
    first_year, last_year = years_of(bars.ts_open_ns[[0, -1]]).tolist()
    spans = ((file, years_of(np.array([file.first_ns, file.last_ns]) - step_ns)) for file in files)
    return [file for file, (first, last) in spans if first <= last_year and last >= first_year]


def _span_in_order(trades: TradeColumns, advance: Advance | None) -> tuple[int, int]:
    """Return the first and last time of trades; ValueError unless ids (or times) are in order."""
    if not len(trades):
        raise ValueError("no trades to write")
    has_ids = trades.trade_id[0] != NO_ID
    keys, smallest_step, what = (trades.trade_id, 1, "ids") if has_ids else (trades.ts_ns, 0, "times")
    first_ns, last_ns = int(trades.ts_ns[0]), int(trades.ts_ns[0])
    for low in range(0, len(keys), BLOCK_ROWS):
        if (np.diff(keys[low : low + BLOCK_ROWS + 1]) < smallest_step).any():
            raise ValueError(f"trade {what} must increase: sort them first")
        times = trades.ts_ns[low : low + BLOCK_ROWS]
        first_ns, last_ns = min(first_ns, int(times.min())), max(last_ns, int(times.max()))
        if advance is not None:
            advance(0)
    return first_ns, last_ns


def _require_bar_order(bars: BarColumns, step_ns: int) -> None:
    if not len(bars):
        raise ValueError("no bars to write")
    if (np.diff(bars.ts_open_ns) <= 0).any() or (bars.ts_close_ns - bars.ts_open_ns != step_ns).any():
        raise ValueError("bars must have increasing open times and close one interval later")


def _may_replace(sources: Sequence[SourceEntry]) -> bool:
    return bool(sources) and all(source.is_from_venue for source in sources)


def _merge_bars(
    stored: list[BarColumns], new: BarColumns, replaceable: Sequence[SourceEntry]
) -> tuple[BarColumns, MergeCount]:
    """Join bars; those that `replaceable` sources brought by REST give way to new ones of other content."""
    count = MergeCount()
    if not stored:
        count.added = len(new)
        return new, count
    old = concatenate(stored)
    at = np.minimum(np.searchsorted(old.ts_open_ns, new.ts_open_ns), len(old) - 1)
    is_known = old.ts_open_ns[at] == new.ts_open_ns
    names = ("open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots")
    is_same = np.logical_and.reduce([getattr(old, name)[at] == getattr(new, name) for name in names])
    is_other = is_known & ~is_same
    is_replacing = is_other & is_provisional(replaceable, new.ts_close_ns, by_id=False)
    count.duplicates = int((is_known & is_same).sum())
    count.replaced = int(is_replacing.sum())
    count.conflicts = np.flatnonzero(is_other & ~is_replacing).tolist()
    count.added = int((~is_known).sum())
    is_kept = np.ones(len(old), dtype=np.bool_)
    is_kept[at[is_replacing]] = False
    union = concatenate([old[is_kept], new[~is_known | is_replacing]])
    return union[np.argsort(union.ts_open_ns, kind="stable")], count
