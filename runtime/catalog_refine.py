"""Making the increments of a stored instrument finer.

Prices and sizes are stored as decimals times 10**16, whatever the increment, so their bytes stay; only the
number of decimals in each file's metadata, which Nautilus gives to its ticks, is written anew. Files come
first and the definition last: killed in between, every value is still a multiple of the old increments, and
the import that needs the finer ones begins again.
"""

from contextlib import ExitStack
from pathlib import Path

from nautilus_trader.model.instruments import Instrument

from runtime.arrow_schema import decode_bars, decode_trades
from runtime.catalog_files import has_precisions, scales_of, write_with_precisions
from runtime.catalog_migration import migrate
from runtime.catalog_slots import Slot, common_lock, store_definition
from runtime.catalog_tables import tables_of_file
from runtime.catalog_truth import all_series
from runtime.intervals import interval_nanos
from runtime.manifest import SeriesEntry, slot_name_of


def refine(catalog: Path, instrument: Instrument) -> None:
    """Give a stored instrument finer increments, and its files the decimals of these.

    Parameters
    ----------
    catalog
        The catalog's folder.
    instrument
        With increments of which the stored ones are multiples. The caller holds its `increments_lock`
        alone.

    Raises
    ------
    ConfigurationError
        When another command writes to one of its series.
    DataError
        When a stored value counts more than int64 of the finer increments, or a file is damaged.
    """
    migrate(catalog)
    entries = [entry for entry in all_series(catalog).values() if entry.instrument == str(instrument.id)]
    with ExitStack() as stack:
        slots = [Slot(catalog, slot_name_of(entry)) for entry in entries]
        for slot in slots:
            stack.enter_context(slot.locked())
        prepared = [
            _prepare(catalog, slot, entry, instrument) for slot, entry in zip(slots, entries, strict=True)
        ]
        for slot, entry, moves in zip(slots, entries, prepared, strict=True):
            slot.commit(moves, [], entry)
        staging = Slot(catalog, f"{instrument.id}.increments").fresh_staging()
        with common_lock(catalog):
            store_definition(catalog, staging, instrument)
        staging.rmdir()


def _prepare(catalog: Path, slot: Slot, entry: SeriesEntry, instrument: Instrument) -> list[tuple[Path, str]]:
    """Write the files of a series with the instrument's precisions, and prove that its increments fit."""
    staging = slot.fresh_staging()
    scales = scales_of(instrument)
    moves = []
    for number, file in enumerate(entry.files):
        path = catalog / file.path
        for table in tables_of_file(path):
            if entry.interval is None:
                decode_trades(table, scales)
            else:
                decode_bars(table, scales, interval_nanos(entry.interval))
        if not has_precisions(path, instrument):
            write_with_precisions(path, staging / f"{number}.parquet", instrument)
            moves.append((staging / f"{number}.parquet", file.path))
    return moves
