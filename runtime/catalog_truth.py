"""The files are the truth: a manifest is brought in line with the Parquet files that are really there."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
from nautilus_trader.model.data import BarType

from runtime.arrow_schema import decode_ids
from runtime.catalog_files import BAR_FOLDER, TRADE_FOLDER, GapStatistics
from runtime.catalog_tables import tables_of_file
from runtime.intervals import bar_type_text, interval_nanos, interval_of_bar_type
from runtime.manifest import FileEntry, SeriesEntry, read_entries, slot_name_of


def reconciled(catalog: Path, entry: SeriesEntry) -> SeriesEntry:
    """Add the files that an entry does not know (Nautilus wrote them), drop those that are gone.

    Raises
    ------
    DataError
        When an unknown file is damaged.
    """
    folder = folder_of(entry)
    present = set(_parquet_names(catalog / folder))
    known = {file.path.rpartition("/")[2] for file in entry.files}
    if present == known:
        return entry
    kept = [file for file in entry.files if file.path.rpartition("/")[2] in present]
    added = [_describe(catalog, f"{folder}/{name}", entry) for name in sorted(present - known)]
    files = sorted((*kept, *added), key=lambda file: file.first_ns)
    return msgspec.structs.replace(entry, files=tuple(files))


def all_series(catalog: Path) -> dict[str, SeriesEntry]:
    """Return every series that has files, by key."""
    entries = read_entries(catalog)
    for fresh in (*_trade_folders(catalog), *_bar_folders(catalog)):
        entries.setdefault(slot_name_of(fresh), fresh)
    found = (reconciled(catalog, entry) for entry in entries.values())
    return dict(sorted((entry.key, entry) for entry in found if entry.files))


def folder_of(entry: SeriesEntry) -> str:
    """Return the folder of a series, relative to the catalog."""
    if entry.interval is None:
        return f"{TRADE_FOLDER}/{entry.instrument}"
    return f"{BAR_FOLDER}/{bar_type_text(entry.instrument, entry.interval)}"


def _parquet_names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as found:  # a history has thousands of files: no Path for each
            return [file.name for file in found if file.name.endswith(".parquet")]
    except FileNotFoundError:
        return []


def _subfolders(folder: Path) -> Iterable[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else ()


def _trade_folders(catalog: Path) -> Iterable[SeriesEntry]:
    names = _subfolders(catalog / TRADE_FOLDER)
    return (SeriesEntry(instrument=name, kind="trades") for name in names)


def _bar_folders(catalog: Path) -> Iterable[SeriesEntry]:
    for name in _subfolders(catalog / BAR_FOLDER):
        instrument = str(BarType.from_str(name).instrument_id)
        yield SeriesEntry(instrument=instrument, kind="klines", interval=interval_of_bar_type(name))


def _describe(catalog: Path, name: str, entry: SeriesEntry) -> FileEntry:
    """Read what the manifest would say about a file."""
    statistics = GapStatistics()
    step_ns = None if entry.interval is None else interval_nanos(entry.interval)
    for table in tables_of_file(catalog / name):
        ts_ns = table.column("ts_init").to_numpy().view(np.int64)
        ids = decode_ids(table.column("trade_id")) if step_ns is None else ts_ns // step_ns - 1
        statistics.add(ids, ts_ns)
    return statistics.entry(name)
