"""A download of funding rates: Binance USD-M by month from the archive, the rest and Bybit by REST."""

import asyncio
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from runtime.catalog import Catalog
from runtime.download.archive_file import DAY, month_end
from runtime.download.asked import downloads_folder
from runtime.download.binance_archive import funding_file
from runtime.download.http import Http, NotFound
from runtime.download.layouts import time_unit
from runtime.download.tail import start_ns
from runtime.download.text_files import open_text
from runtime.download.transfer import fetch
from runtime.errors import DataError, OperatorError
from runtime.funding import FundingPayment, FundingStore
from runtime.instruments import instrument_id_text
from runtime.settings import Settings
from runtime.venue_instruments import venue_rest


@dataclass(slots=True)
class FundingReport:
    """What came in for one instrument: months with payments, without any, and failures."""

    instrument: str
    fetched: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    rows: int = 0
    gaps: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints for this instrument."""
        return {
            "instrument": self.instrument,
            "months_fetched": self.fetched,
            "months_without_payments": self.empty,
            "rows": self.rows,
            "gaps": self.gaps,
            "failures": self.failures,
            "complete": not self.failures,
        }


def months_between(first: date, last: date) -> Iterator[date]:
    """Yield the first day of each month from that of `first` to that of `last`."""
    month = first.replace(day=1)
    while month <= last:
        yield month
        month = month_end(month) + DAY


def download_funding(
    venue: str, market: str, symbols: Sequence[str], span: tuple[date, date], catalog: Path,
    settings: Settings, today: date,
) -> list[FundingReport]:  # fmt: skip
    """Download the funding rates of some symbols for the months of `span`, first and last day.

    Raises
    ------
    ConfigurationError
        When another download into this catalog runs.
    VenueError
        When a host is unreachable or refuses.
    """
    Catalog(catalog, create=True)
    with downloads_folder(catalog) as folder:

        async def main() -> list[FundingReport]:
            async with Http(settings.download) as http:
                jobs = (
                    _Funding(http, settings, venue, market, symbol, catalog, folder, today).bring(span)
                    for symbol in symbols
                )
                return list(await asyncio.gather(*jobs))

        return asyncio.run(main())


@dataclass(slots=True)
class _Funding:
    """One symbol."""

    http: Http
    settings: Settings
    venue: str
    market: str
    symbol: str
    catalog: Path
    folder: Path
    today: date

    async def bring(self, span: tuple[date, date]) -> FundingReport:
        instrument = instrument_id_text(self.venue, self.market, self.symbol)
        store, report = FundingStore(self.catalog, instrument), FundingReport(instrument)
        for month in months_between(*span):
            if store.has(month):
                continue
            name = f"{month:%Y-%m}"
            try:
                await self._bring_month(store, month)
            except OperatorError as error:
                report.failures.append(f"{instrument} {name}: {error}")
                break  # what follows would fail the same way, or leave a hole
            (report.fetched if store.months[name].rows else report.empty).append(name)
        wanted = [f"{month:%Y-%m}" for month in months_between(*span)]
        held = [store.months[name] for name in wanted if name in store.months]
        report.rows = sum(month.rows for month in held)
        report.gaps = sum(month.gaps for month in held)
        return report

    async def _bring_month(self, store: FundingStore, month: date) -> None:
        is_over = month_end(month) < self.today
        if self.venue == "binance" and is_over:
            file = funding_file(self.symbol, month)
            url = self.settings.hosts.binance_archive + file.url_path
            retries = self.settings.download.retries
            try:
                got = await fetch(self.http, url, self.folder, has_checksum=True, retries=retries)
            except NotFound:
                pass  # not published yet, or before the listing: REST knows
            else:
                payments = read_funding_file(got.path)
                store.write(month, payments, url_path=file.url_path, sha256=got.sha256, is_final=True)
                got.path.unlink()
                return
        rest = venue_rest(self.http, self.settings, self.venue, self.market)
        rates = await rest.funding_rates(self.symbol, start_ns(month), start_ns(month_end(month) + DAY))
        store.write(month, [FundingPayment(one.ts_ns, one.rate) for one in rates], is_final=is_over)


def read_funding_file(path: Path) -> list[FundingPayment]:
    """Read a file of the archive: ``calc_time, funding_interval_hours, last_funding_rate``, with a header.

    Raises
    ------
    DataError
        When it is damaged or of another form, with the line.
    """
    payments = []
    with open_text(path) as stream:
        reader = csv.reader(io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline=""))
        for row in reader:
            if not row or (reader.line_num == 1 and not row[0].isdigit()):
                continue
            try:
                calc_time, hours, rate = int(row[0]), int(row[1]), Decimal(row[2])
            except (ValueError, IndexError, InvalidOperation) as error:
                raise DataError(f"{path.name}:{reader.line_num}: is no funding rate: {row}") from error
            payments.append(FundingPayment(calc_time * time_unit(calc_time), rate, hours))
    if not payments:
        raise DataError(f"{path.name}: has no rows")
    return payments
