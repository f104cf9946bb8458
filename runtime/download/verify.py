"""Whether a catalog is what it says: files, ids, order, sources, checksums, coverage of what was asked."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

from runtime.arrow_schema import NO_ID, decode_ids
from runtime.catalog import Catalog
from runtime.catalog_files import GapStatistics
from runtime.catalog_tables import reading
from runtime.download.archive_file import DAY, SeriesRequest, stamped_days
from runtime.download.asked import Asked, read_asked
from runtime.download.http import Http, NotFound
from runtime.download.job import wanted_days
from runtime.download.report import spans
from runtime.download.series import PUBLISHING_DAYS, first_of, kept_path
from runtime.download.tail import rest_days
from runtime.download.transfer import WrongChecksum, fetch_checksum, sha256_of
from runtime.errors import DataError, VenueError
from runtime.funding import FUNDING_FOLDER, funding_damage
from runtime.instruments import TERMS, instrument_id_text
from runtime.intervals import interval_nanos
from runtime.kline_check import TRADE_KINDS, Difference, KlineCheck, check_klines
from runtime.manifest import FileEntry, SeriesEntry, SourceEntry, series_key
from runtime.settings import Settings

SHOWN_DIFFERENCES: Final = 5
WEEK_PHASE_NS: Final = 4 * 86_400_000_000_000


@dataclass(slots=True)
class SeriesFindings:
    """What is wrong with one series.

    Parameters
    ----------
    key
        Of the series in the manifest.
    files, rows
        Parquet files read and the rows in them.
    bad_files
        Path of a Parquet file, relative to the catalog, and what is wrong with it.
    bad_sources
        SHA-256 of a source, and what is wrong: its rows are gone, its kept archive is damaged, or the venue
        has replaced it.
    missing
        Days that were asked for and are not there.
    klines
        Klines against the trades of the instrument, where both are stored and undamaged; else None.
    notes
        What could not be checked, and the first differences between klines and trades: fetching again what is
        as the venue published it would not mend them.
    """

    key: str
    files: int = 0
    rows: int = 0
    bad_files: dict[str, str] = field(default_factory=dict)
    bad_sources: dict[str, str] = field(default_factory=dict)
    missing: list[date] = field(default_factory=list)
    klines: KlineCheck | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.bad_files or self.bad_sources or self.missing)

    @property
    def differences(self) -> list[Difference]:
        """Where klines and trades contradict each other; both may still be what the venue published."""
        return self.klines.differences if self.klines else []

    def lines(self) -> Iterator[str]:
        """Yield one line per finding."""
        for words in (*self.bad_files.values(), *self.bad_sources.values()):
            yield f"{self.key}: {words}"
        if self.missing:
            yield f"{self.key}: asked for and not there: {', '.join(spans(self.missing))}"

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints for this series."""
        return {
            "series": self.key,
            "files": self.files,
            "rows": self.rows,
            "sound": self.is_sound,
            "findings": list(self.lines()),
            "missing": spans(self.missing),
            "checked_against_trades": self.klines.checked if self.klines else 0,
            "not_checked_for_missing_ids": self.klines.tainted if self.klines else 0,
            "differences": len(self.differences),
            "notes": self.notes,
        }


def verify(
    folder: Path, settings: Settings, today: date, *, online: bool = False
) -> dict[str, SeriesFindings]:
    """Check every series of the catalog at `folder`; it is not changed.

    Parameters
    ----------
    folder
        The catalog.
    settings
        Hosts for `online`.
    today
        The current UTC day: the latest days may be unpublished yet.
    online
        Also ask the venue for the checksum of every file, for it replaces some.

    Returns
    -------
    dict
        Findings by the key of the series, those that were asked for and have no row included.

    Raises
    ------
    ConfigurationError
        When there is no catalog.
    DataError
        When its manifest is damaged.
    VenueError
        With `online`, when the venue cannot be reached.
    """
    series = Catalog(folder).manifest.series
    findings = {key: SeriesFindings(key) for key in series}
    for key, entry in series.items():
        _check_files(folder, entry, findings[key])
        _check_sources(folder, entry, findings[key])
    _check_klines(folder, series, findings)
    asked = read_asked(folder)
    for request in asked.requests:
        key = key_of(request)
        found = findings.setdefault(key, SeriesFindings(key))
        found.missing += uncovered(request, series.get(key), asked, today)
    for notes, damage in funding_damage(folder):
        key = f"{notes.instrument} funding"
        findings[key] = SeriesFindings(key, files=1, rows=notes.rows)
        if damage is not None:
            findings[key].bad_files[FUNDING_FOLDER] = damage
    if online:
        asyncio.run(_check_online(series, settings, findings))
    return dict(sorted(findings.items()))


def key_of(request: SeriesRequest) -> str:
    """Return the manifest's key of a request."""
    instrument = instrument_id_text(request.venue, request.market, request.symbol)
    return series_key(instrument, request.kind, request.interval)


def venue_market_of(instrument: str) -> tuple[str, str, str]:
    """Return venue, market and symbol of an instrument id.

    Examples
    --------
    >>> venue_market_of("XRPUSDT-PERP.BINANCE")
    ('binance', 'usdm', 'XRPUSDT')
    """
    name, _, venue = instrument.rpartition(".")
    fitting = [
        (terms.id_suffix, market)
        for (owner, market), terms in TERMS.items()
        if owner == venue.lower() and name.endswith(terms.id_suffix)
    ]
    if not fitting:
        raise DataError(f"{instrument}: is of no market that is downloaded")
    suffix, market = max(fitting)  # an empty suffix fits every name
    return venue.lower(), market, name.removesuffix(suffix)


def covered_by(sources: Iterable[SourceEntry]) -> set[date]:
    """Return the days of which the archive's files are among the sources."""
    return {day for source in sources if source.url_path for day in stamped_days(source.url_path)}


def uncovered(request: SeriesRequest, entry: SeriesEntry | None, asked: Asked, today: date) -> list[date]:
    """Return the days of a request that should be there by now, from the archive or by REST, and are not."""
    sources = entry.sources if entry else ()
    covered = covered_by(sources) | rest_days(sources)
    days = wanted_days(request) - covered
    bounds = asked.published.get(request.label)
    latest = max(covered, default=date.min)
    return sorted(
        day
        for day in days
        if not (day > latest and day >= today - PUBLISHING_DAYS * DAY)
        and not (bounds and not bounds[0] <= day <= bounds[1])
    )


# --- Parquet files ----------------------------------------------------------------------------------
def _check_files(folder: Path, entry: SeriesEntry, found: SeriesFindings) -> None:
    last: tuple[int, int] | None = None
    for file in entry.files:
        found.files += 1
        try:
            statistics, last = _read_file(folder / file.path, entry, last)
        except DataError as error:
            found.bad_files[file.path] = str(error)
            continue
        found.rows += statistics.rows
        is_now = statistics.entry(file.path)
        if is_now != file:
            names = [
                name for name in FileEntry.__struct_fields__ if getattr(is_now, name) != getattr(file, name)
            ]
            found.bad_files[file.path] = f"{file.path}: {', '.join(names)} are not as the manifest says"


def _read_file(
    path: Path, entry: SeriesEntry, last: tuple[int, int] | None
) -> tuple[GapStatistics, tuple[int, int]]:
    """Read a file and return its statistics and last (id, time); raises DataError on damage or disorder."""
    step_ns = None if entry.interval is None else interval_nanos(entry.interval)
    phase_ns = WEEK_PHASE_NS if entry.interval == "1w" else 0
    statistics = GapStatistics()
    with reading(path), pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)  # every column: a damaged one must not pass
            ts_ns = table.column("ts_init").to_numpy().view(np.int64)
            if step_ns is None:
                ids = decode_ids(table.column("trade_id"))
            else:
                ids = ts_ns // step_ns - 1
                if ((ts_ns - phase_ns) % step_ns != 0).any():
                    raise DataError(f"close times are no multiples of {entry.interval}")
            last_id, last_ns = last or (int(ids[0]) - 1, int(ts_ns[0]))
            if (np.diff(ts_ns, prepend=last_ns) < 0).any():
                raise DataError("times step back")
            if ids[0] != NO_ID and (np.diff(ids, prepend=last_id) <= 0).any():
                raise DataError("ids do not increase")
            statistics.add(ids, ts_ns)
            last = (int(ids[-1]), int(ts_ns[-1]))
    if last is None:
        raise DataError(f"{path}: has no rows")
    return statistics, last


# --- sources ----------------------------------------------------------------------------------------
def _check_klines(folder: Path, series: dict[str, SeriesEntry], findings: dict[str, SeriesFindings]) -> None:
    """Compare klines with trades; damaged files cannot be read for it."""
    catalog = Catalog(folder)
    for key, entry in series.items():
        others = (findings.get(series_key(entry.instrument, kind, None)) for kind in TRADE_KINDS)
        trades = next((found for found in others if found is not None), None)
        if entry.interval is None or trades is None:
            continue
        if findings[key].bad_files or trades.bad_files:
            findings[key].notes.append("not compared with the trades: files are damaged")
            continue
        check = check_klines(catalog, entry.instrument, entry.interval)
        findings[key].klines = check
        findings[key].notes += [one.words() for one in check.differences[:SHOWN_DIFFERENCES]]
        if len(check.differences) > SHOWN_DIFFERENCES:
            findings[key].notes.append(f"{len(check.differences)} differences from the trades in all")


def _check_sources(folder: Path, entry: SeriesEntry, found: SeriesFindings) -> None:
    for source in entry.sources:
        held = sum(file.rows for file in overlapping_files(entry.files, source))
        if held < source.rows - source.duplicates:
            found.bad_sources[source.sha256] = (
                f"{source.name}: of its {source.rows} rows at most {held} are in the catalog"
            )
        if source.url_path is None:
            continue
        venue = venue_market_of(entry.instrument)[0]
        kept = kept_path(folder, venue, source.url_path)
        if kept.exists() and sha256_of(kept) != source.sha256:
            found.bad_sources[source.sha256] = f"{kept}: kept archive file is damaged"


def overlapping_files(files: Iterable[FileEntry], source: SourceEntry) -> Iterator[FileEntry]:
    """Yield the Parquet files that share time with a source."""
    if source.first_ns is None or source.last_ns is None:
        return iter(())
    low, high = source.first_ns, source.last_ns
    return (file for file in files if file.last_ns >= low and file.first_ns <= high)


async def _check_online(
    series: dict[str, SeriesEntry], settings: Settings, findings: dict[str, SeriesFindings]
) -> None:
    try:
        async with Http(settings.download) as http, asyncio.TaskGroup() as group:
            for key, entry in series.items():
                group.create_task(_compare_checksums(http, entry, settings, findings[key]))
    except* VenueError as errors:
        raise first_of(errors) from None


async def _compare_checksums(
    http: Http, entry: SeriesEntry, settings: Settings, found: SeriesFindings
) -> None:
    sources = [source for source in entry.sources if source.url_path]
    if not sources or venue_market_of(entry.instrument)[0] != "binance":
        if sources:
            found.notes.append("Bybit publishes no checksums")
        return
    for source in sources:
        url = f"{settings.hosts.binance_archive}{source.url_path}"
        try:
            published = await fetch_checksum(http, url)
        except (NotFound, WrongChecksum) as error:  # an unreachable host has answered nothing: no success
            found.notes.append(str(error))
            continue
        if published != source.sha256:
            found.bad_sources[source.sha256] = f"{source.name}: the venue has replaced it (another SHA-256)"
