"""Funding rates beside the klines: Nautilus' own ``FundingRateUpdate`` files, merged without repeats.

``ParquetDataCatalog(path).query(FundingRateUpdate)`` reads them. One file per instrument; where it came from
and what is missing lies in ``<catalog>/funding/<instrument>.json``.
"""

import csv
import fcntl
import io
import itertools
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import msgspec
from nautilus_trader.model.data import FundingRateUpdate
from nautilus_trader.model.identifiers import InstrumentId

from runtime.cli import NANOS_PER_SECOND, format_ns
from runtime.download.venue_rows import FundingRate
from runtime.errors import ConfigurationError, DataError
from runtime.manifest import SourceEntry, merge_sources, replace_file
from runtime.nautilus_catalog import nautilus_catalog

FUNDING_FOLDER: Final = "data/funding_rate_update"
NOTES_FOLDER: Final = "funding"
STAGING: Final = ".staging"
LOCK: Final = ".lock"
MINUTE_NS: Final = 60 * NANOS_PER_SECOND
# The longest interval of both venues is eight hours; they stamp some milliseconds late.
LONGEST_INTERVAL_NS: Final = 8 * 3600 * NANOS_PER_SECOND
MINUTES_PER_HOUR: Final = 60
ARCHIVE_HEADER: Final = ("calc_time", "funding_interval_hours", "last_funding_rate")
# No venue lets a rate be beyond: what is, was read from the wrong column.
LARGEST_RATE: Final = Decimal("0.2")


class FundingNotes(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an instrument's funding rates: how many, when, gaps, and their sources."""

    instrument: str
    rows: int
    first_ns: int
    last_ns: int
    gaps: int
    longest_gap_ns: int
    sources: tuple[SourceEntry, ...] = ()

    def summary(self, catalog: Path) -> dict[str, Any]:
        """Return the row of ``download_data.py list``; ids there are none."""
        files = sorted((catalog / FUNDING_FOLDER / self.instrument).glob("*.parquet"))
        return {
            "instrument": self.instrument,
            "kind": "funding",
            "interval": None,
            "rows": self.rows,
            "first": format_ns(self.first_ns),
            "last": format_ns(self.last_ns),
            "missing_ids": "no ids",
            "id_gaps": None,
            "longest_gap_s": self.longest_gap_ns / NANOS_PER_SECOND,
            "longest_gap_ids": None,
            "files": len(files),
            "bytes": sum(file.stat().st_size for file in files),
        }


@dataclass(frozen=True, slots=True)
class FundingReport:
    """Outcome of a write: new rates, rates that were there already, and the series as it is now."""

    added: int
    duplicates: int
    notes: FundingNotes


def read_funding(
    catalog: Path, instrument_id: str, start_ns: int | None = None, end_ns: int | None = None
) -> list[FundingRate]:
    """Return an instrument's funding payments in [start_ns, end_ns], oldest first, [] without any.

    Raises
    ------
    DataError
        When a file is damaged.
    """
    return [
        rate
        for rate in _stored(catalog, instrument_id)
        if (start_ns is None or rate.ts_ns >= start_ns) and (end_ns is None or rate.ts_ns <= end_ns)
    ]


def write_funding(
    catalog: Path, instrument_id: str, rates: Sequence[FundingRate], sources: Sequence[SourceEntry] = ()
) -> FundingReport:
    """Merge funding payments into an instrument's series; writing the same ones again changes nothing.

    Two payments within the same minute are one: archive and REST differ by milliseconds.

    Parameters
    ----------
    catalog
        The folder; made if absent.
    instrument_id
        Nautilus id of a perpetual contract.
    rates
        In any order; at least one, or the series must exist.
    sources
        Where they came from.

    Raises
    ------
    ConfigurationError
        While another command writes funding rates, or there is nothing to write.
    DataError
        When a payment comes again with another rate.
    """
    notes_folder = catalog / NOTES_FOLDER
    notes_folder.mkdir(parents=True, exist_ok=True)
    with _lock(notes_folder):
        stored = _stored(catalog, instrument_id)
        merged = _merged(stored, rates, instrument_id)
        if not merged:
            raise ConfigurationError(f"{instrument_id}: no funding rates to write")
        if merged != stored:
            _replace(catalog, instrument_id, merged)
        known = _read_notes(notes_folder / f"{instrument_id}.json")
        notes = _notes(instrument_id, merged, merge_sources(known.sources if known else (), sources))
        replace_file(
            notes_folder / f"{instrument_id}.json", msgspec.json.format(msgspec.json.encode(notes)) + b"\n"
        )
    added = len(merged) - len(stored)
    return FundingReport(added, len(rates) - added, notes)


def known_paths(catalog: Path, instrument_id: str) -> frozenset[str]:
    """Return the url paths of the archive files whose payments an instrument's stored series has."""
    notes = _read_notes(catalog / NOTES_FOLDER / f"{instrument_id}.json")
    if notes is None or not any((catalog / FUNDING_FOLDER / instrument_id).glob("*.parquet")):
        return frozenset()
    return frozenset(source.url_path for source in notes.sources if source.url_path is not None)


def funding_series(catalog: Path) -> list[dict[str, Any]]:
    """Return one row per instrument with funding rates, as ``download_data.py list`` prints series."""
    found = (_read_notes(path) for path in sorted((catalog / NOTES_FOLDER).glob("*.json")))
    return [notes.summary(catalog) for notes in found if notes is not None]


def funding_damage(catalog: Path) -> Iterator[tuple[FundingNotes, str | None]]:
    """Yield the notes of each series of funding rates, and what is wrong with its files or None."""
    for path in sorted((catalog / NOTES_FOLDER).glob("*.json")):
        notes = _read_notes(path)
        if notes is None:
            continue
        try:
            rates = _stored(catalog, notes.instrument)
        except DataError as error:
            yield notes, str(error)
            continue
        there = (len(rates), rates[0].ts_ns, rates[-1].ts_ns) if rates else (0, 0, 0)
        is_whole = there == (notes.rows, notes.first_ns, notes.last_ns)
        yield (
            notes,
            None
            if is_whole
            else f"{notes.rows} rates are noted and {len(rates)} are there, or others; delete "
            f"{path} and fetch them again by `download_data.py funding`",
        )


def parse_funding_archive(path: Path) -> list[FundingRate]:
    """Read one of Binance's monthly archive files of funding rates.

    Raises
    ------
    DataError
        When it is no such file, with its line.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (entry,) = archive.infolist()
            text = archive.read(entry).decode("ascii")
    except (zipfile.BadZipFile, ValueError) as error:
        raise DataError(f"{path.name}: is no zip of one text file ({error})") from error
    rates = []
    for line, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        if line == 1:
            if tuple(word.strip().lower() for word in row) != ARCHIVE_HEADER:
                raise DataError(f"{path.name}:1: expected the columns {', '.join(ARCHIVE_HEADER)}")
            continue
        try:
            time_ms, hours, rate = int(row[0]), int(row[1]), Decimal(row[2])
        except (ValueError, IndexError, InvalidOperation) as error:
            raise DataError(f"{path.name}:{line}: is no funding rate ({error})") from error
        rates.append(FundingRate(time_ms * 1_000_000, rate, hours * MINUTES_PER_HOUR))
    return rates


def _stored(catalog: Path, instrument_id: str) -> list[FundingRate]:
    folder = catalog / FUNDING_FOLDER / instrument_id
    if not any(folder.glob("*.parquet")):
        return []
    try:
        found = nautilus_catalog(catalog).query(FundingRateUpdate, identifiers=[instrument_id])
    except Exception as error:  # Nautilus raises what its Rust reader panicked with
        raise DataError(f"{folder}: cannot be read ({error}); delete it and fetch the rates again") from error
    # Nautilus 1.231 gives the rate back as text.
    rates = [FundingRate(one.ts_event, Decimal(str(one.rate)), one.interval) for one in found]
    return _merged([], rates, instrument_id)


def _merged(
    stored: Sequence[FundingRate], new: Iterable[FundingRate], instrument_id: str
) -> list[FundingRate]:
    by_minute = {_minute(rate): rate for rate in stored}
    for rate in new:
        if not rate.rate.is_finite() or abs(rate.rate) > LARGEST_RATE:
            raise DataError(f"{instrument_id}: {rate.rate} at {format_ns(rate.ts_ns)} is no funding rate")
        known = by_minute.setdefault(_minute(rate), rate)
        if known.rate != rate.rate:
            raise DataError(
                f"{instrument_id}: the funding rate of {format_ns(known.ts_ns)} is {known.rate}, "
                f"and comes again as {rate.rate}; nothing was written"
            )
    return sorted(by_minute.values(), key=lambda rate: rate.ts_ns)


def _minute(rate: FundingRate) -> int:
    return (rate.ts_ns + MINUTE_NS // 2) // MINUTE_NS


def _replace(catalog: Path, instrument_id: str, rates: Sequence[FundingRate]) -> None:
    """Put the new file into place, then remove the old ones: a kill between leaves repeats, never a hole."""
    staging = catalog / NOTES_FOLDER / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    identifier = InstrumentId.from_str(instrument_id)
    nautilus_catalog(staging).write_data(
        [
            FundingRateUpdate(identifier, one.rate, one.ts_ns, one.ts_ns, interval=one.interval_mins)
            for one in rates
        ]
    )
    (new,) = (staging / FUNDING_FOLDER / instrument_id).glob("*.parquet")
    folder = catalog / FUNDING_FOLDER / instrument_id
    folder.mkdir(parents=True, exist_ok=True)
    new.replace(folder / new.name)
    for old in folder.glob("*.parquet"):
        if old.name != new.name:
            old.unlink()
    shutil.rmtree(staging)


def _notes(
    instrument_id: str, rates: Sequence[FundingRate], sources: tuple[SourceEntry, ...]
) -> FundingNotes:
    waits = [after.ts_ns - before.ts_ns for before, after in itertools.pairwise(rates)]
    too_long = [wait for wait in waits if wait > LONGEST_INTERVAL_NS + MINUTE_NS]
    return FundingNotes(
        instrument=instrument_id,
        rows=len(rates),
        first_ns=rates[0].ts_ns,
        last_ns=rates[-1].ts_ns,
        gaps=len(too_long),
        longest_gap_ns=max(too_long, default=0),
        sources=sources,
    )


def _read_notes(path: Path) -> FundingNotes | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=FundingNotes)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: damaged ({error}); delete it, the next `funding` command makes it again"
        ) from error


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with (folder / LOCK).open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"{folder}: another command is writing funding rates to this catalog, wait for it"
            ) from None
        yield
