"""A download of many series: fetch, verify, import, and say what is missing.

One process does all requests; worker processes parse and write. A batch of files (a month of trades, a year
of klines) enters the catalog as a whole, in order of time, and is then done: a killed command goes on behind
the last whole batch, with the files and parts of files that are on the disk.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from nautilus_trader.model.instruments import Instrument

from runtime.catalog import Catalog
from runtime.download import binance_archive, bybit_archive
from runtime.download.archive_file import ArchiveFile, SeriesRequest, days_between, stamped_days
from runtime.download.asked import add_asked, downloads_folder
from runtime.download.http import Http
from runtime.download.progress import DownloadProgress
from runtime.download.report import SeriesReport
from runtime.download.series import Series, first_of
from runtime.download.tail import plan_rest
from runtime.download.workers import worker_pool
from runtime.errors import OperatorError, VenueError
from runtime.instruments import instrument_id_text
from runtime.manifest import series_key
from runtime.settings import Settings
from runtime.venue_instruments import find_instruments

# So many files in a row that fail after all retries: it is the host, not the file.
MOST_FAILURES: Final = 3


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job imports: increments (None: of the stored instrument, or inferred) and bad rows."""

    tick_size: Decimal | None = None
    lot_size: Decimal | None = None
    skip_bad_rows: bool = False


def download(
    requests: Sequence[SeriesRequest],
    catalog: Path,
    settings: Settings,
    options: JobOptions = JobOptions(),
    *,
    today: date | None = None,
) -> list[SeriesReport]:
    """Download series into the catalog at `catalog`; what is there is not fetched again.

    Parameters
    ----------
    requests
        The series.
    catalog
        Made if absent.
    settings, options
        Hosts and limits, and how to import.
    today
        The current UTC day; None asks the clock.

    Returns
    -------
    list of SeriesReport
        In the order of the requests.

    Raises
    ------
    ConfigurationError
        When a request cannot be, or another download into this catalog runs.
    VenueError
        When a host is unreachable, refuses, or has banned this address. What was imported stays.
    """
    Catalog(catalog, create=True)
    with (
        downloads_folder(catalog) as folder,
        DownloadProgress("download") as progress,
        worker_pool(settings.download.workers) as pool,
    ):
        add_asked(catalog, requests)
        job = DownloadJob(
            catalog, folder, settings, options, pool, progress, today or datetime.now(UTC).date()
        )
        return asyncio.run(job.run(requests))


@dataclass(slots=True)
class DownloadJob:
    """One run of :func:`download`; its parts are arguments, so that tests can replace them."""

    catalog: Path
    folder: Path
    settings: Settings
    options: JobOptions
    pool: Executor
    progress: DownloadProgress
    today: date
    definitions: dict[tuple[str, str, str], Instrument] = field(default_factory=dict)
    _failures_in_a_row: int = 0

    async def run(self, requests: Sequence[SeriesRequest]) -> list[SeriesReport]:
        """Bring all series; raises VenueError when a host gives nothing at all."""
        covered = covered_days(self.catalog, requests)
        plans = [self._plan(request, covered[request.label]) for request in requests]
        places = asyncio.Semaphore(2 * self.settings.download.workers)
        async with Http(self.settings.download) as http:

            async def bring(request: SeriesRequest, files: list[ArchiveFile]) -> SeriesReport:
                async with places:
                    return await Series(self, http, request, files, covered[request.label]).bring()

            for files in plans:
                self.progress.expect(len(files))
            planned = [one for one, files in zip(requests, plans, strict=True) if files]
            warnings = await self._define(http, planned)
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(bring(request, files))
                        for request, files in zip(requests, plans, strict=True)
                    ]
            except* (OperatorError, OSError) as errors:
                raise first_of(errors) from None
        reports = [task.result() for task in tasks]
        if reports:
            reports[0].warnings += warnings
        return reports

    async def _define(self, http: Http, requests: Iterable[SeriesRequest]) -> list[str]:
        """Get the venues' own definitions of instruments that the catalog does not have yet."""
        if self.options.tick_size is not None or self.options.lot_size is not None:
            return []
        catalog, warnings = Catalog(self.catalog), list[str]()
        wanted: dict[tuple[str, str], list[str]] = {}
        for one in requests:
            if catalog.find_instrument(instrument_id_text(one.venue, one.market, one.symbol)) is None:
                wanted.setdefault((one.venue, one.market), []).append(one.symbol)
        for (venue, market), symbols in wanted.items():
            found = await find_instruments(http, self.settings, venue, market, symbols)
            for symbol, instrument in found.instruments.items():
                self.definitions[venue, market, symbol] = instrument
            warnings += [found.warning] if found.warning else []
        return warnings

    def _plan(self, request: SeriesRequest, covered: set[date]) -> list[ArchiveFile]:
        if request.venue == "binance":
            return binance_archive.plan(request, covered, self.today)
        plan = plan_rest if request.kind == "klines" else bybit_archive.plan
        return plan(request, covered, self.today)

    def note_failure(self, error: VenueError) -> None:
        """Count a failed file; raises it when it is the host that fails."""
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= MOST_FAILURES:
            raise error

    def note_success(self) -> None:
        """Forget earlier failures: the host answers."""
        self._failures_in_a_row = 0


def covered_days(catalog: Path, requests: Iterable[SeriesRequest]) -> dict[str, set[date]]:
    """Return for each series, by label, the days whose archive files are in the manifest."""
    series: Mapping[str, Any] = Catalog(catalog).manifest.series
    found: dict[str, set[date]] = {}
    for request in requests:
        instrument = instrument_id_text(request.venue, request.market, request.symbol)
        entry = series.get(series_key(instrument, request.kind, request.interval))
        days = found.setdefault(request.label, set())
        for source in entry.sources if entry else ():
            if source.url_path is not None:
                days.update(stamped_days(source.url_path))
    return found


def wanted_days(request: SeriesRequest) -> set[date]:
    """Return all days of a request."""
    return set(days_between(request.first, request.last))
