"""One series of a download: its batches one after another, then what is missing, then the tail by REST."""

import asyncio
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runtime.catalog import Catalog
from runtime.download import binance_archive, bybit_archive
from runtime.download.archive_file import DAY, ArchiveFile, SeriesRequest
from runtime.download.asked import add_published
from runtime.download.http import Http, NotFound
from runtime.download.report import SeriesReport, spans
from runtime.download.tail import (
    REST_SUFFIX,
    fetch_klines,
    fetch_tail,
    first_day,
    has_tail,
    last_traded_day,
    rest_days,
)
from runtime.download.transfer import Fetched, WrongChecksum, fetch, sha256_of
from runtime.download.workers import import_batch
from runtime.errors import DataError, OperatorError, VenueError
from runtime.importer import ImportRequest
from runtime.instruments import instrument_id_text

if TYPE_CHECKING:
    from runtime.download.job import DownloadJob

# A daily file appears on the next day, sometimes one or two days later.
PUBLISHING_DAYS: Final = 3
ARCHIVES: Final = "archives"


@dataclass(slots=True)
class _Batch:
    """What became of the files of one batch."""

    got: list[tuple[ArchiveFile, Fetched]] = field(default_factory=list)
    absent: set[date] = field(default_factory=set)


@dataclass(slots=True)
class Series:
    """One series of a job."""

    job: "DownloadJob"
    http: Http
    request: SeriesRequest
    files: list[ArchiveFile]
    covered: set[date]
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _has_asked: bool = False
    _published_bounds: tuple[date, date] | None = None

    @property
    def base(self) -> str:
        """Base address of its files."""
        hosts = self.job.settings.hosts
        if self.request.venue == "binance":
            return hosts.binance_archive
        return hosts.bybit if self.request.kind == "klines" else hosts.bybit_archive

    @property
    def folder(self) -> Path:
        """Where its unfinished files lie."""
        return self.job.folder / self.request.label.replace(" ", "-")

    async def bring(self) -> SeriesReport:
        """Fetch and import everything; raises VenueError when it is the host that fails, not a file."""
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
        if has_tail(self.request) and self.request.last >= self.job.today:
            absent.add(self.job.today)
        lagging = await self._judge(absent, report)
        # A tail alone would settle the increments by today's rows, and so refuse the history for good.
        is_history_refused = bool(report.failures) and not self.covered
        is_tail_open = False
        if report.not_published and has_tail(self.request) and not is_history_refused:
            is_tail_open = not await self._take_tail(report)
        if lagging:
            self._miss(lagging, report)
        if not report.failures and not is_tail_open:
            shutil.rmtree(self.folder, ignore_errors=True)
        return report

    # --- fetching ------------------------------------------------------------------------------------
    async def _fetch_batch(self, files: Iterable[ArchiveFile], report: SeriesReport) -> _Batch:
        batch = _Batch()
        try:
            async with asyncio.TaskGroup() as group:
                for file in files:
                    group.create_task(self._fetch(file, batch, report))
        except* (OperatorError, OSError) as errors:
            raise first_of(errors) from None
        batch.got.sort(key=lambda pair: pair[0].first)
        return batch

    async def _fetch(self, file: ArchiveFile, batch: _Batch, report: SeriesReport) -> None:
        url = self.base + file.url_path
        try:
            fetched = await (
                self._by_rest(file) if file.url_path.endswith(REST_SUFFIX) else self._whole(file)
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

    async def _whole(self, file: ArchiveFile) -> Fetched:
        return await fetch(
            self.http,
            self.base + file.url_path,
            self.folder,
            has_checksum=file.has_checksum,
            retries=self.job.settings.download.retries,
            meter=self.job.progress,
        )

    async def _by_rest(self, file: ArchiveFile) -> Fetched:
        job = self.job
        got = await fetch_klines(
            self.http, job.settings, self.request, file.first, file.last, self.folder, job.progress.paged
        )
        if got is None:
            raise NotFound(f"{file.name}: the venue has no klines of these days")
        size_bytes = got.path.stat().st_size
        job.progress.opened(size_bytes)
        job.progress.received(size_bytes)
        return Fetched(got.path, sha256_of(got.path), size_bytes)

    async def _take_absence(self, file: ArchiveFile, batch: _Batch, report: SeriesReport) -> None:
        """Go by day where a month is not there (yet)."""
        if not file.is_monthly or file.url_path.endswith(REST_SUFFIX):
            batch.absent.update(file.days())
            self.job.progress.done()
            return
        by_day = binance_archive.by_day if self.request.venue == "binance" else bybit_archive.by_day
        bounds = await self._bounds(report)
        days = by_day(self.request, file)
        # A listed year costs a few requests, 365 absent days would cost as many.
        daily = [one for one in days if bounds is None or bounds[0] <= one.first <= bounds[1]]
        batch.absent.update({one.first for one in days} - {one.first for one in daily})
        self.job.progress.expect(len(daily) - 1)
        report.files_planned += len(daily) - 1
        async with asyncio.TaskGroup() as group:
            for one in daily:
                group.create_task(self._fetch(one, batch, report))

    # --- importing -----------------------------------------------------------------------------------
    async def _import(self, batch: _Batch, report: SeriesReport) -> None:
        if batch.got:
            url_paths = {fetched.path.name: file.url_path for file, fetched in batch.got}
            if await self._import_files([fetched.path for _, fetched in batch.got], url_paths, report):
                for file, fetched in batch.got:
                    self.covered.update(file.days())
                    self._put_away(file, fetched)
            else:
                # Nothing published vouches for these rows: they are not kept for the next run.
                for file, fetched in batch.got:
                    if file.url_path.endswith(REST_SUFFIX):
                        fetched.path.unlink()
            self.job.progress.done(len(batch.got))

    async def _import_files(
        self, paths: Sequence[Path], url_paths: Mapping[str, str], report: SeriesReport
    ) -> bool:
        """Import files in a worker; False, with the reason in the report, when that fails."""
        request, options = self.request, self.job.options
        imports = ImportRequest(
            files=tuple(paths),
            venue=request.venue,
            market=request.market,
            symbol=request.symbol,
            kind=request.kind,
            interval=request.interval,
            tick_size=options.tick_size,
            lot_size=options.lot_size,
            skip_bad_rows=options.skip_bad_rows,
            url_paths=url_paths,
            definition=self.job.definitions.get((request.venue, request.market, request.symbol)),
        )
        loop = asyncio.get_running_loop()
        try:
            done = await loop.run_in_executor(self.job.pool, import_batch, imports, self.job.catalog)
        except OperatorError as error:
            report.failures.append(f"{request.label}: {error}")
            return False
        except BrokenExecutor as error:
            raise DataError(
                f"{request.label}: a worker process was ended from outside (out of memory?); the catalog is "
                "whole: run the command again, with fewer download.workers"
            ) from error
        report.rows_added += done.rows_added
        report.duplicates += done.duplicates
        report.replaced += done.replaced
        report.warnings += [warning for warning in done.warnings if warning not in report.warnings]
        return True

    def _put_away(self, file: ArchiveFile, fetched: Fetched) -> None:
        if not self.job.settings.download.keep_archives:
            fetched.path.unlink()
            return
        kept = kept_path(self.job.catalog, self.request.venue, file.url_path)
        kept.parent.mkdir(parents=True, exist_ok=True)
        fetched.path.replace(kept)

    # --- what is not there ---------------------------------------------------------------------------
    async def _judge(self, absent: set[date], report: SeriesReport) -> set[date]:
        """Tell days that are not published yet, or never were, from days that are missing.

        Returns the days of a lagging archive that REST can bring: they are missing unless it does.
        """
        latest = max(self.covered, default=date.min)
        recent = self.job.today - PUBLISHING_DAYS * DAY
        report.not_published = sorted(day for day in absent if day > latest and day >= recent)
        edges = {day for day in absent if day > latest or day < min(self.covered, default=date.max)}
        edges -= set(report.not_published)
        bounds = await self._bounds(report) if edges else None
        lagging: set[date] = set()
        if bounds:
            report.before_first = sorted(day for day in edges if day < bounds[0])
            after = {day for day in edges if day > bounds[1]}
            traded_until = await self._traded_until(bounds, report) if after else date.min
            report.after_last = sorted(day for day in after if day > traded_until)
            lagging = {day for day in after if day <= traded_until} if has_tail(self.request) else set()
            report.not_published = sorted({*report.not_published, *lagging})
        explained = {*report.not_published, *report.before_first, *report.after_last}
        report.missing = sorted(absent - explained)
        if report.missing and not self.covered:
            report.failures.append(
                f"{self.request.label}: the archive has no file of it: check --symbol, --market and the dates"
            )
        return lagging

    async def _traded_until(self, bounds: tuple[date, date], report: SeriesReport) -> date:
        """Return the last day with trades behind the archive's end; all days count when that is unknown."""
        first, last = bounds
        if self.request.venue != "binance":
            return last
        job = self.job
        try:
            traded = await last_traded_day(self.http, job.settings, self.request, last + DAY, job.today)
        except OperatorError as error:
            report.warnings.append(f"{self.request.label}: no answer whether it still trades: {error}")
            traded = date.max
        if traded is None:
            return last
        # A symbol that trades has no end yet: `verify` must hold later days to be missing, not "after".
        is_alive = traded >= job.today - PUBLISHING_DAYS * DAY
        add_published(job.catalog, self.request.label, first, date.max if is_alive else traded)
        return traded

    def _miss(self, lagging: set[date], report: SeriesReport) -> None:
        """Count the days of a lagging archive as missing that REST has not brought either, now or earlier."""
        request = self.request
        instrument = instrument_id_text(request.venue, request.market, request.symbol)
        entry = Catalog(self.job.catalog).find_series(instrument, request.kind, request.interval)
        absent = lagging - rest_days(entry.sources if entry else ())
        report.not_published = [day for day in report.not_published if day not in absent]
        report.missing = sorted({*report.missing, *absent})

    async def _bounds(self, report: SeriesReport) -> tuple[date, date] | None:
        """Return the first and last day that the venue has of the series; it is asked once."""
        async with self._asking:
            if not self._has_asked:
                self._published_bounds = await self._ask_bounds(report)
                self._has_asked = True
                if self._published_bounds is not None:
                    first, last = self._published_bounds
                    # A listing that reaches the present has no end yet: later days are not "after the last".
                    is_alive = last >= self.job.today - PUBLISHING_DAYS * DAY
                    add_published(self.job.catalog, self.request.label, first, date.max if is_alive else last)
        return self._published_bounds

    async def _ask_bounds(self, report: SeriesReport) -> tuple[date, date] | None:
        settings = self.job.settings
        try:
            if self.request.venue == "binance":
                listing = settings.hosts.binance_archive_listing
                days = await binance_archive.published_days(self.http, listing, self.request)
                return (min(days), max(days)) if days else None
            first = await first_day(self.http, settings, self.request)
        except OperatorError as error:
            report.warnings.append(f"{self.request.label}: no listing to ask why days are absent: {error}")
            return None
        return None if first is None else (first, self.job.today)

    async def _take_tail(self, report: SeriesReport) -> bool:
        """Bring the days that the archive has not published yet by REST; they stay reported as such.

        False when it broke off: its pages stay for the next run.
        """
        job, first = self.job, report.not_published[0]
        try:
            tail = await fetch_tail(
                self.http, job.settings, self.request, first, self.folder, job.catalog, job.progress.paged
            )
        except OperatorError as error:
            report.warnings.append(f"{self.request.label}: {', '.join(spans(report.not_published))}: {error}")
            return False
        if tail is not None:
            if await self._import_files([tail.path], {}, report):
                report.from_rest = tail.rows
            tail.path.unlink()
        return True


def batches_of(files: Sequence[ArchiveFile], *, is_klines: bool) -> Iterator[list[ArchiveFile]]:
    """Cut files into what enters the catalog at once: those of a month, of klines those of a year.

    The cut depends on the plan alone, never on what arrives first.
    """

    def unit(file: ArchiveFile) -> str:
        return f"{file.first:%Y}" if is_klines else f"{file.first:%Y-%m}"

    for _, group in groupby(files, key=unit):
        yield list(group)


def kept_path(catalog: Path, venue: str, url_path: str) -> Path:
    """Return where a kept archive file lies."""
    return catalog / ARCHIVES / venue / url_path.removeprefix("/")


def first_of(errors: BaseExceptionGroup[OperatorError | OSError]) -> OperatorError | OSError:
    """Return one error of a group: the rest are its consequences, or the same again."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, OperatorError | OSError)
    return error
