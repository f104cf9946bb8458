"""Trades and bars in a Nautilus ``ParquetDataCatalog``, written and read as plain integer columns.

The files are Nautilus' own in schema and name, so ``ParquetDataCatalog(path)`` reads them; only the
detour over one Python object per trade is left out. One file holds one UTC day of an instrument's
trades (by ``ts_init``), in row groups of 65,536, so that files never overlap and reading needs little
memory. Beside them lies the manifest (:mod:`runtime.manifest`).

A write is prepared in ``.staging``, described in ``.pending.json``, then moved into place, manifest last.
Killed at any point, the next command finds either nothing done or finishes the moves.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from nautilus_trader.model.data import BarType
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from runtime.arrow_schema import (
    NO_ID,
    BarColumns,
    TradeColumns,
    concatenate,
    decode_bars,
    decode_ids,
    decode_trades,
    require_wide_words,
)
from runtime.catalog_files import (
    BAR_FOLDER,
    DAY_NS,
    TRADE_FOLDER,
    GapStatistics,
    TradeWriter,
    scales_of,
    write_bar_file,
)
from runtime.errors import ConfigurationError, DataError
from runtime.instruments import increment_text
from runtime.intervals import bar_type_text, interval_nanos, interval_of_bar_type
from runtime.manifest import (
    MANIFEST_NAME,
    FileEntry,
    Kind,
    Manifest,
    SeriesEntry,
    SourceEntry,
    encode_manifest,
    merge_sources,
    read_manifest,
    replace_file,
    series_key,
)
from runtime.trade_merge import BLOCK_ROWS, MergeCount, merge_by_id, merge_by_time

__all__ = ["BarColumns", "Catalog", "TradeColumns", "WriteReport"]

STAGING: Final = ".staging"
PENDING: Final = ".pending.json"
LOCK: Final = ".lock"
LARGEST_MOVE_NS: Final = 3_600_000_000_000

type Advance = Callable[[float], None]


class _Pending(msgspec.Struct, frozen=True):
    """The moves of one write, stored before the first of them is made."""

    moves: tuple[tuple[str, str], ...]
    removals: tuple[str, ...]
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class WriteReport:
    """Outcome of a write: new rows, rows that were there already, and positions that contradict them."""

    added: int
    duplicates: int
    conflicts: tuple[int, ...]
    series: SeriesEntry


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
    DataError
        When its manifest is damaged.
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
        if (self.path / PENDING).exists():
            with self._write_lock():
                self._finish_pending()
        self._manifest = self._reconciled(read_manifest(self.path))

    # --- what is there -------------------------------------------------------------------------------
    @property
    def manifest(self) -> Manifest:
        """The manifest, brought in line with the files that are really there."""
        return self._manifest

    def series(self) -> list[dict[str, Any]]:
        """Return one row per series, as ``download_data.py list --json`` prints them."""
        return [entry.summary() for entry in self._manifest.series.values() if entry.files]

    def instruments(self) -> list[Instrument]:
        """Return all instrument definitions, sorted by id."""
        found: list[Instrument] = ParquetDataCatalog(str(self.path)).instruments()
        return sorted(found, key=lambda instrument: str(instrument.id))

    def find_instrument(self, instrument_id: str) -> Instrument | None:
        """Return the definition of an instrument, or None."""
        found = ParquetDataCatalog(str(self.path)).instruments(instrument_ids=[instrument_id])
        return found[0] if found else None

    def instrument(self, instrument_id: str) -> Instrument:
        """Return the definition of an instrument.

        Raises
        ------
        ConfigurationError
            When the catalog does not have it; the message lists those it has.
        """
        instrument = self.find_instrument(instrument_id)
        if instrument is None:
            known = (
                ", ".join(sorted({entry.instrument for entry in self._manifest.series.values()})) or "nothing"
            )
            raise ConfigurationError(f"{self.path}: no instrument {instrument_id}, it holds {known}")
        return instrument

    # --- reading -------------------------------------------------------------------------------------
    def read_trades(
        self, instrument_id: str, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[TradeColumns]:
        """Yield an instrument's trades in order, one row group (at most 65,536 rows) at a time.

        Parameters
        ----------
        instrument_id
            Such as ``XRPUSDT.BINANCE``.
        start_ns, end_ns
            Both inclusive, on ``ts_init``, as Nautilus filters; None leaves the side open.

        Yields
        ------
        TradeColumns
            Never empty. `ts_ns` is ``ts_init``.

        Raises
        ------
        ConfigurationError
            When the catalog has no such instrument.
        DataError
            When a file is damaged.
        """
        scales = scales_of(self.instrument(instrument_id))
        for table in self._tables(f"{TRADE_FOLDER}/{instrument_id}", start_ns, end_ns):
            yield decode_trades(table, scales)

    def read_trades_all(
        self, instrument_id: str, start_ns: int | None = None, end_ns: int | None = None
    ) -> TradeColumns:
        """Return the trades of :meth:`read_trades` in one piece, about 33 bytes each; it may be empty."""
        parts = list(self.read_trades(instrument_id, start_ns, end_ns))
        return concatenate(parts) if parts else _no_trades()

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
        for table in self._tables(f"{BAR_FOLDER}/{bar_type}", start_ns, end_ns):
            yield decode_bars(table, scales, interval_ns)

    def _tables(self, folder: str, start_ns: int | None, end_ns: int | None) -> Iterator[pa.Table]:
        low = -1 if start_ns is None else start_ns
        high = np.iinfo(np.int64).max if end_ns is None else end_ns
        for path in sorted((self.path / folder).glob("*.parquet")):
            with _reading(path), pq.ParquetFile(path, memory_map=True) as file:
                at = file.schema_arrow.get_field_index("ts_init")
                for group in range(file.num_row_groups):
                    statistics = file.metadata.row_group(group).column(at).statistics
                    if statistics is not None and (statistics.max < low or statistics.min > high):
                        continue
                    table = file.read_row_group(group)
                    ts_init = table.column("ts_init").to_numpy()
                    rows = slice(
                        *np.searchsorted(ts_init, np.array([max(low, 0), high + 1], dtype=np.uint64))
                    )
                    if rows.start < rows.stop:
                        yield table.slice(rows.start, rows.stop - rows.start)

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
            For the manifest.
        skip_conflicts
            Keep the stored row where an id comes back with other content, instead of writing nothing.
        advance
            Called with the number of rows done since the last call.

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
        _require_order(trades)
        instrument_id = str(instrument.id)
        with self._write_lock():
            self._finish_pending()
            self._manifest = self._reconciled(read_manifest(self.path))
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
            touched = _touched(entry.files, trades)
            before = [
                file for file in entry.files if file not in touched and file.last_ns < int(trades.ts_ns.max())
            ]
            writer = TradeWriter(self._fresh_staging(), instrument, before[-1].last_ns if before else 0)
            for block in self._merged(touched, trades, scales_of(instrument), count):
                moved_ns = writer.add(block)
                if moved_ns > LARGEST_MOVE_NS:
                    shutil.rmtree(self.path / STAGING, ignore_errors=True)
                    raise DataError(
                        f"{self.path}: {instrument_id}: the order of the ids is not that of the times, "
                        "trades (stored or new) would move by more than 1 hour: are all files of this "
                        "instrument? Nothing was written"
                    )
                if advance is not None:
                    advance(len(block))
            written = writer.close()
            if count.conflicts and not skip_conflicts:
                shutil.rmtree(self.path / STAGING)
                return WriteReport(0, count.duplicates, tuple(count.conflicts), entry)
            files = (
                entry.files
                if not count.added
                else (*(file for file in entry.files if file not in touched), *(file for _, file in written))
            )
            entry = msgspec.structs.replace(
                entry,
                synthetic=entry.synthetic or synthetic,
                note=note or entry.note,
                files=tuple(sorted(files, key=lambda file: file.first_ns)),
                sources=merge_sources(entry.sources, sources),
            )
            moves = [(str(path), file.path) for path, file in written] if count.added else []
            self._commit(instrument, moves, [file.path for file in touched] if count.added else [], entry)
        return WriteReport(count.added, count.duplicates, tuple(count.conflicts), entry)

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
        with self._write_lock():
            self._finish_pending()
            self._manifest = self._reconciled(read_manifest(self.path))
            self.require_increments(instrument)
            entry = self._manifest.series.get(
                series_key(instrument_id, "klines", interval),
                SeriesEntry(instrument=instrument_id, kind="klines", interval=interval),
            )
            scales = scales_of(instrument)
            stored = [
                decode_bars(table, scales, step_ns)
                for table in self._tables(f"{BAR_FOLDER}/{bar_type}", None, None)
            ]
            merged, count = _merge_bars(stored, bars)
            if count.conflicts and not skip_conflicts:
                return WriteReport(0, count.duplicates, tuple(count.conflicts), entry)
            entry = msgspec.structs.replace(entry, sources=merge_sources(entry.sources, sources))
            moves: list[tuple[str, str]] = []
            removals: list[str] = []
            if count.added:
                removals = [file.path for file in entry.files]
                path, file = write_bar_file(self._fresh_staging(), instrument, bar_type, merged, step_ns)
                moves = [(str(path), file.path)]
                entry = msgspec.structs.replace(entry, files=(file,))
            self._commit(instrument, moves, removals, entry)
        return WriteReport(count.added, count.duplicates, tuple(count.conflicts), entry)

    def _merged(
        self, touched: Sequence[FileEntry], trades: TradeColumns, scales: tuple[int, int], count: MergeCount
    ) -> Iterator[TradeColumns]:
        stored = (
            decode_trades(table, scales, "ts_event")
            for file in touched
            for table in self._tables_of_file(self.path / file.path)
        )
        if trades.trade_id[0] != NO_ID:
            return merge_by_id(stored, trades, count)
        if not touched:
            return merge_by_id((), trades, count)
        union = merge_by_time(concatenate(list(stored)), trades, count)
        return (union[low : low + BLOCK_ROWS] for low in range(0, len(union), BLOCK_ROWS))

    @staticmethod
    def _tables_of_file(path: Path) -> Iterator[pa.Table]:
        with _reading(path), pq.ParquetFile(path, memory_map=True) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)

    def _series_for_trades(self, instrument_id: str, kind: Kind, *, has_ids: bool) -> SeriesEntry:
        other = "trades" if kind == "aggtrades" else "aggtrades"
        if series_key(instrument_id, other, None) in self._manifest.series:
            raise ConfigurationError(
                f"{self.path}: {instrument_id} holds {other}, {kind} are the same trades again: "
                "use another --catalog"
            )
        entry = self._manifest.series.get(
            series_key(instrument_id, kind, None), SeriesEntry(instrument=instrument_id, kind=kind)
        )
        if entry.files and (entry.files[0].first_id is not None) != has_ids:
            raise ConfigurationError(
                f"{self.path}: the stored {kind} of {instrument_id} have {'no ' if has_ids else ''}ids, "
                f"the new ones have {'' if has_ids else 'none'}: use another --catalog"
            )
        return entry

    def require_increments(self, instrument: Instrument) -> None:
        """Raise ConfigurationError when the stored instrument has other increments."""
        stored = self.find_instrument(str(instrument.id))
        if stored is None:
            return
        for name in ("price_increment", "size_increment"):
            old, new = getattr(stored, name), getattr(instrument, name)
            if old != new:
                flag = "--tick-size" if name == "price_increment" else "--lot-size"
                raise ConfigurationError(
                    f"{self.path}: {instrument.id} is stored with {name} {increment_text(old)}, not "
                    f"{increment_text(new)}: say {flag} {increment_text(old)}, or use another --catalog"
                )

    # --- moving into place ---------------------------------------------------------------------------
    @contextmanager
    def _write_lock(self) -> Iterator[None]:
        with (self.path / LOCK).open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(
                    f"{self.path}: another command is writing to this catalog, wait for it"
                ) from None
            yield

    def _fresh_staging(self) -> Path:
        folder = self.path / STAGING
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def _commit(
        self, instrument: Instrument, moves: list[tuple[str, str]], removals: list[str], entry: SeriesEntry
    ) -> None:
        staging = self.path / STAGING
        staging.mkdir(exist_ok=True)
        if self.find_instrument(str(instrument.id)) is None:
            definitions = staging / "instruments"
            ParquetDataCatalog(str(definitions)).write_data([instrument])
            moves += [
                (str(path), path.relative_to(definitions).as_posix())
                for path in definitions.rglob("*.parquet")
            ]
        manifest = self._manifest.with_series(entry)
        relative = tuple((Path(source).relative_to(self.path).as_posix(), target) for source, target in moves)
        replace_file(self.path / PENDING, msgspec.json.encode(_Pending(relative, tuple(removals), manifest)))
        self._finish_pending()
        self._manifest = manifest

    def _finish_pending(self) -> None:
        """Make (or finish after a crash) the moves of `.pending.json`; each step may be repeated."""
        path = self.path / PENDING
        if path.exists():
            pending = msgspec.json.decode(path.read_bytes(), type=_Pending)
            targets = {target for _, target in pending.moves}
            for removal in pending.removals:
                if removal not in targets:
                    (self.path / removal).unlink(missing_ok=True)
            for source, target in pending.moves:
                (self.path / target).parent.mkdir(parents=True, exist_ok=True)
                if (self.path / source).exists():
                    (self.path / source).replace(self.path / target)
            replace_file(self.path / MANIFEST_NAME, encode_manifest(pending.manifest))
            path.unlink()
        shutil.rmtree(self.path / STAGING, ignore_errors=True)

    # --- the files are the truth -----------------------------------------------------------------------
    def _reconciled(self, manifest: Manifest) -> Manifest:
        """Add files that the manifest does not know (Nautilus wrote them), drop those that are gone."""
        known = {file.path: (key, file) for key, entry in manifest.series.items() for file in entry.files}
        present = {
            path.relative_to(self.path).as_posix()
            for folder in (TRADE_FOLDER, BAR_FOLDER)
            for path in (self.path / folder).glob("*/*.parquet")
        }
        if present == known.keys():
            return manifest
        series = {
            key: msgspec.structs.replace(
                entry, files=tuple(file for file in entry.files if file.path in present)
            )
            for key, entry in manifest.series.items()
        }
        for name in sorted(present - known.keys()):
            entry, file = self._describe(name, series)
            files = tuple(sorted((*entry.files, file), key=lambda file: file.first_ns))
            series[entry.key] = msgspec.structs.replace(entry, files=files)
        return Manifest(series={key: entry for key, entry in sorted(series.items()) if entry.files})

    def _describe(self, name: str, series: dict[str, SeriesEntry]) -> tuple[SeriesEntry, FileEntry]:
        """Read what the manifest would say about a file, and find or make its series."""
        identifier = Path(name).parent.name
        if name.startswith(BAR_FOLDER):
            interval = interval_of_bar_type(identifier)
            instrument_id = str(BarType.from_str(identifier).instrument_id)
            entry = SeriesEntry(instrument=instrument_id, kind="klines", interval=interval)
            statistics = GapStatistics()
            for table in self._tables_of_file(self.path / name):
                close_ns = table.column("ts_init").to_numpy().view(np.int64)
                statistics.add(close_ns // interval_nanos(interval) - 1, close_ns)
            return series.get(entry.key, entry), statistics.entry(name)
        kinds: tuple[Kind, Kind] = ("aggtrades", "trades")
        kind: Kind = next((kind for kind in kinds if series_key(identifier, kind, None) in series), "trades")
        entry = SeriesEntry(instrument=identifier, kind=kind)
        statistics = GapStatistics()
        for table in self._tables_of_file(self.path / name):
            statistics.add(
                decode_ids(table.column("trade_id")), table.column("ts_init").to_numpy().view(np.int64)
            )
        return series.get(entry.key, entry), statistics.entry(name)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
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


def _touched(files: Iterable[FileEntry], trades: TradeColumns) -> list[FileEntry]:
    """Return the files that must be merged: all but those wholly before or after, by id and by day."""
    first_day, last_day = int(trades.ts_ns.min()) // DAY_NS, int(trades.ts_ns.max()) // DAY_NS
    first_id, last_id = int(trades.trade_id[0]), int(trades.trade_id[-1])
    touched = []
    for file in files:
        is_before = file.last_ns // DAY_NS < first_day and (file.last_id is None or file.last_id < first_id)
        is_after = file.first_ns // DAY_NS > last_day and (file.first_id is None or file.first_id > last_id)
        if not is_before and not is_after:
            touched.append(file)
    return touched


def _require_order(trades: TradeColumns) -> None:
    if not len(trades):
        raise ValueError("no trades to write")
    has_ids = trades.trade_id[0] != NO_ID
    keys, smallest_step, what = (trades.trade_id, 1, "ids") if has_ids else (trades.ts_ns, 0, "times")
    for low in range(0, len(keys), BLOCK_ROWS):
        part = keys[low : low + BLOCK_ROWS + 1]
        if (np.diff(part) < smallest_step).any():
            raise ValueError(f"trade {what} must increase: sort them first")


def _require_bar_order(bars: BarColumns, step_ns: int) -> None:
    if not len(bars):
        raise ValueError("no bars to write")
    if (np.diff(bars.ts_open_ns) <= 0).any() or (bars.ts_close_ns - bars.ts_open_ns != step_ns).any():
        raise ValueError("bars must have increasing open times and close one interval later")


def _merge_bars(stored: list[BarColumns], new: BarColumns) -> tuple[BarColumns, MergeCount]:
    count = MergeCount()
    if not stored:
        count.added = len(new)
        return new, count
    old = concatenate(stored)
    at = np.minimum(np.searchsorted(old.ts_open_ns, new.ts_open_ns), len(old) - 1)
    is_known = old.ts_open_ns[at] == new.ts_open_ns
    names = ("open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots")
    is_same = np.logical_and.reduce([getattr(old, name)[at] == getattr(new, name) for name in names])
    count.duplicates = int((is_known & is_same).sum())
    count.conflicts = np.flatnonzero(is_known & ~is_same).tolist()
    count.added = int((~is_known).sum())
    union = concatenate([old, new[~is_known]])
    return union[np.argsort(union.ts_open_ns, kind="stable")], count


def _no_trades() -> TradeColumns:
    empty = np.empty(0, dtype=np.int64)
    return TradeColumns(empty, empty, empty, np.empty(0, dtype=np.bool_), empty)
