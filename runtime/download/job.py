"""A download of many series: fetch, verify, import, and say what is missing.

One process does all requests; worker processes parse and write. A batch of files (a month of trades, a year
of klines) enters the catalog as a whole, in order of time, and is then done: a killed command goes on behind
the last whole batch, with the files and parts of files that are on the disk.
"""

import asyncio
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from runtime.catalog import Catalog
from runtime.download import binance_archive, bybit_archive
from runtime.download.archive_file import DAY, ArchiveFile, SeriesRequest, days_between, stamped_days
from runtime.download.asked import add_asked, add_published, downloads_folder
from runtime.download.http import Http, NotFound
from runtime.download.progress import DownloadProgress
from runtime.download.report import SeriesReport
from runtime.download.transfer import Fetched, WrongChecksum, fetch
from runtime.download.workers import import_batch, worker_pool
from runtime.errors import OperatorError, VenueError
from runtime.importer import ImportRequest
from runtime.instruments import instrument_id_text
from runtime.manifest import series_key
from runtime.settings import Settings

# A daily file appears on the next day, sometimes one or two days later.
PUBLISHING_DAYS: Final = 3
# So many files in a row that fail after all retries: it is the host, not the file.
MOST_FAILURES: Final = 3
ARCHIVES: Final = "archives"


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job imports: increments (None: of the stored instrument, or inferred) and bad rows."""

    tick_size: Decimal | None = None
    lot_size: Decimal | None = None
    skip_bad_rows: bool = False


@dataclass(slots=True)
class _Batch:
    """What became of the files of one batch."""

    got: list[tuple[ArchiveFile, Fetched]] = field(default_factory=list)
    absent: set[date] = field(default_factory=set)


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
    _failures_in_a_row: int = 0

    async def run(self, requests: Sequence[SeriesRequest]) -> list[SeriesReport]:
        """Bring all series; raises VenueError when a host gives nothing at all."""
        covered = covered_days(self.catalog, requests)
        plans = [self._plan(request, covered[request.label]) for request in requests]
        places = asyncio.Semaphore(2 * self.settings.download.workers)
        async with Http(self.settings.download) as http:

            async def bring(request: SeriesRequest, files: list[ArchiveFile]) -> SeriesReport:
                async with places:
                    return await _Series(self, http, request, files, covered[request.label]).bring()

            for files in plans:
                self.progress.expect(len(files))
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(bring(request, files))
                        for request, files in zip(requests, plans, strict=True)
                    ]
            except* OperatorError as errors:
                raise _first(errors) from None
        return [task.result() for task in tasks]

    def _plan(self, request: SeriesRequest, covered: set[date]) -> list[ArchiveFile]:
        plan = binance_archive.plan if request.venue == "binance" else bybit_archive.plan
        return plan(request, covered, self.today)

    def note_failure(self, error: VenueError) -> None:
        """Count a failed file; raises it when it is the host that fails."""
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= MOST_FAILURES:
            raise error

    def note_success(self) -> None:
        """Forget earlier failures: the host answers."""
        self._failures_in_a_row = 0


@dataclass(slots=True)
class _Series:
    """One series of a job."""

    job: DownloadJob
    http: Http
    request: SeriesRequest
    files: list[ArchiveFile]
    covered: set[date]

    @property
    def base(self) -> str:
        hosts = self.job.settings.hosts
        return hosts.binance_archive if self.request.venue == "binance" else hosts.bybit_archive

    @property
    def folder(self) -> Path:
        return self.job.folder / self.request.label.replace(" ", "-")

    async def bring(self) -> SeriesReport:
        report = SeriesReport(self.request, files_planned=len(self.files))
        self.folder.mkdir(exist_ok=True)
        absent: set[date] = set()
        fetching: asyncio.Task[_Batch] | None = None
        try:
            batches = list(batches_of(self.files, is_klines=self.request.kind == "klines"))
            for at, files in enumerate(batches):
                batch = await (fetching or self._fetch_batch(files, report))
                # The next batch comes in while this one is parsed and written.
                is_last = at + 1 == len(batches)
                fetching = (
                    None if is_last else asyncio.create_task(self._fetch_batch(batches[at + 1], report))
                )
                await self._import(batch, report)
                absent |= batch.absent
        finally:
            if fetching is not None:
                fetching.cancel()
                await asyncio.gather(fetching, return_exceptions=True)
        await self._judge(absent, report)
        if not report.failures:
            shutil.rmtree(self.folder, ignore_errors=True)
        return report

    # --- fetching ------------------------------------------------------------------------------------
    async def _fetch_batch(self, files: Iterable[ArchiveFile], report: SeriesReport) -> _Batch:
        batch = _Batch()
        try:
            async with asyncio.TaskGroup() as group:
                for file in files:
                    group.create_task(self._fetch(file, batch, report))
        except* OperatorError as errors:
            raise _first(errors) from None
        batch.got.sort(key=lambda pair: pair[0].first)
        return batch

    async def _fetch(self, file: ArchiveFile, batch: _Batch, report: SeriesReport) -> None:
        url = self.base + file.url_path
        settings = self.job.settings.download
        try:
            fetched = await fetch(
                self.http,
                url,
                self.folder,
                has_checksum=file.has_checksum,
                retries=settings.retries,
                advance=self.job.progress.received,
            )
        except NotFound:
            self.job.note_success()
            await self._take_absence(file, batch, report)
        except WrongChecksum as error:
            report.failures.append(str(error))
            self.job.progress.done()
        except VenueError as error:
            if self.http.budget(url).ban_secs > 0:
                raise
            self.job.note_failure(error)
            report.failures.append(str(error))
            self.job.progress.done()
        else:
            self.job.note_success()
            batch.got.append((file, fetched))
            report.files_fetched += 1
            report.size_bytes += fetched.size_bytes

    async def _take_absence(self, file: ArchiveFile, batch: _Batch, report: SeriesReport) -> None:
        """Go by day where a month is not there (yet)."""
        if not file.is_monthly:
            batch.absent.update(file.days())
            self.job.progress.done()
            return
        by_day = binance_archive.by_day if self.request.venue == "binance" else bybit_archive.by_day
        daily = by_day(self.request, file)
        self.job.progress.expect(len(daily) - 1)
        report.files_planned += len(daily) - 1
        async with asyncio.TaskGroup() as group:
            for one in daily:
                group.create_task(self._fetch(one, batch, report))

    # --- importing -----------------------------------------------------------------------------------
    async def _import(self, batch: _Batch, report: SeriesReport) -> None:
        if not batch.got:
            return
        request, options = self.request, self.job.options
        imports = ImportRequest(
            files=tuple(fetched.path for _, fetched in batch.got),
            venue=request.venue,
            market=request.market,
            symbol=request.symbol,
            kind=request.kind,
            interval=request.interval,
            tick_size=options.tick_size,
            lot_size=options.lot_size,
            skip_bad_rows=options.skip_bad_rows,
            url_paths={file.name: file.url_path for file, _ in batch.got},
        )
        loop = asyncio.get_running_loop()
        try:
            done = await loop.run_in_executor(self.job.pool, import_batch, imports, self.job.catalog)
        except OperatorError as error:
            report.failures.append(f"{request.label}: {error}")
        else:
            report.rows_added += done.rows_added
            report.duplicates += done.duplicates
            report.warnings += [warning for warning in done.warnings if warning not in report.warnings]
            for file, fetched in batch.got:
                self.covered.update(file.days())
                self._put_away(file, fetched)
        self.job.progress.done(len(batch.got))

    def _put_away(self, file: ArchiveFile, fetched: Fetched) -> None:
        if not self.job.settings.download.keep_archives:
            fetched.path.unlink()
            return
        kept = kept_path(self.job.catalog, self.request.venue, file.url_path)
        kept.parent.mkdir(parents=True, exist_ok=True)
        fetched.path.replace(kept)

    # --- what is not there ---------------------------------------------------------------------------
    async def _judge(self, absent: set[date], report: SeriesReport) -> None:
        """Tell days that are not published yet, or never were, from days that are missing."""
        latest = max(self.covered, default=date.min)
        recent = self.job.today - PUBLISHING_DAYS * DAY
        report.not_published = sorted(day for day in absent if day > latest and day >= recent)
        edges = {day for day in absent if day > latest or day < min(self.covered, default=date.max)}
        edges -= set(report.not_published)
        if edges and self.request.venue == "binance":
            try:
                published = await binance_archive.published_days(
                    self.http, self.job.settings.hosts.binance_archive_listing, self.request
                )
            except VenueError as error:
                report.warnings.append(
                    f"{self.request.label}: no listing to ask why days are absent: {error}"
                )
                published = set()
            if published:
                add_published(self.job.catalog, self.request.label, min(published), max(published))
                report.before_first = sorted(day for day in edges if day < min(published))
                report.after_last = sorted(day for day in edges if day > max(published))
        explained = {*report.not_published, *report.before_first, *report.after_last}
        report.missing = sorted(absent - explained)
        if report.missing and not self.covered:
            report.failures.append(
                f"{self.request.label}: the archive has no file of it: check --symbol, --market and the dates"
            )


def batches_of(files: Sequence[ArchiveFile], *, is_klines: bool) -> Iterator[list[ArchiveFile]]:
    """Cut files into what enters the catalog at once: those of a month, of klines those of a year.

    The cut depends on the plan alone, never on what arrives first.
    """

    def unit(file: ArchiveFile) -> str:
        return f"{file.first:%Y}" if is_klines else f"{file.first:%Y-%m}"

    for _, group in groupby(files, key=unit):
        yield list(group)


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


def kept_path(catalog: Path, venue: str, url_path: str) -> Path:
    """Return where a kept archive file lies."""
    return catalog / ARCHIVES / venue / url_path.removeprefix("/")


def _first(errors: BaseExceptionGroup[OperatorError]) -> OperatorError:
    """Return one error of a group: the rest are its consequences, or the same again."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, OperatorError)
    return error
