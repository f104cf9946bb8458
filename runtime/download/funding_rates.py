"""Where funding rates come from: Binance's monthly archive files and REST behind them, Bybit's REST."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from runtime.cli import format_ns
from runtime.download.archive_file import DAY, month_end
from runtime.download.binance_archive import funding_file
from runtime.download.http import Http, NotFound
from runtime.download.transfer import fetch
from runtime.download.venue_rows import FundingRate
from runtime.errors import ConfigurationError
from runtime.funding import parse_funding_archive
from runtime.manifest import SourceEntry
from runtime.settings import Settings
from runtime.venue_instruments import venue_rest

NANOS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class FetchedFunding:
    """Funding payments, oldest first, and the sources they came from."""

    rates: Sequence[FundingRate]
    sources: tuple[SourceEntry, ...]


async def fetch_funding(
    http: Http,
    settings: Settings,
    venue: str,
    market: str,
    symbol: str,
    start_ns: int,
    end_ns: int,
    *,
    now_ns: int,
    folder: Path,
    known: frozenset[str] = frozenset(),
) -> FetchedFunding:
    """Return the funding payments of a perpetual contract in [start_ns, end_ns); archive months as a whole.

    Whole months of Binance that are over come from the archive, checked against its checksums; what it does
    not have (yet), and everything of Bybit, from REST.

    Parameters
    ----------
    http, settings
        Shared by everything that the command fetches; hosts and limits.
    venue, market, symbol
        ``binance usdm`` or ``bybit linear``.
    start_ns, end_ns
        UNIX nanoseconds.
    now_ns
        The present: a month that is not over has no archive file.
    folder
        For archive files while they are read.
    known
        Url paths of the archive files that are in the catalog: they are not fetched again.

    Raises
    ------
    ConfigurationError
        When the market has no funding, or the venue does not know the symbol.
    DataError
        When a file is damaged.
    VenueError
        When the venue cannot be reached.
    """
    if market not in ("usdm", "linear"):
        raise ConfigurationError(
            f"--market {market}: only perpetual contracts have funding: binance usdm, bybit linear"
        )
    rest = venue_rest(http, settings, venue, market)
    rates: list[FundingRate] = []
    sources: list[SourceEntry] = []
    rest_from_ns = start_ns

    async def by_rest(until_ns: int) -> None:
        if rest_from_ns < until_ns:
            found = await rest.funding_rates(symbol, rest_from_ns, until_ns)
            rates.extend(found)
            sources.extend(_rest_source(venue, market, symbol, found, now_ns))

    for month in _archived_months(start_ns, end_ns, now_ns) if venue == "binance" else []:
        file = funding_file(symbol, month)
        if file.url_path in known:
            await by_rest(_ns(month))
            rest_from_ns = _ns(month_end(month) + DAY)
            continue
        try:
            fetched = await fetch(
                http,
                settings.hosts.binance_archive + file.url_path,
                folder,
                has_checksum=True,
                retries=settings.download.retries,
            )
        except NotFound:
            continue  # not published yet, or before the listing: REST says which
        found = parse_funding_archive(fetched.path)
        if not settings.download.keep_archives:
            fetched.path.unlink()
        await by_rest(_ns(month))
        rest_from_ns = _ns(month_end(month) + DAY)
        rates.extend(found)
        sources.append(_source(file.name, fetched.sha256, found, now_ns, file.url_path))
    await by_rest(end_ns)
    return FetchedFunding(rates, tuple(sources))


def _archived_months(start_ns: int, end_ns: int, now_ns: int) -> list[date]:
    """Return the first days of the months that touch the span and are over."""
    month = _day(start_ns).replace(day=1)
    months = []
    while _ns(month) < end_ns and _ns(month_end(month) + DAY) <= now_ns:
        months.append(month)
        month = month_end(month) + DAY
    return months


def _rest_source(
    venue: str, market: str, symbol: str, rates: Sequence[FundingRate], now_ns: int
) -> list[SourceEntry]:
    """Describe an answer of REST as a source; its digest is that of its rows."""
    if not rates:
        return []
    rows = "\n".join(f"{one.ts_ns},{one.rate}" for one in rates)
    name = f"{venue}-{market}-{symbol}-funding-{format_ns(rates[0].ts_ns)[:10]}-rest"
    return [_source(name, hashlib.sha256(rows.encode()).hexdigest(), rates, now_ns, None)]


def _source(
    name: str, sha256: str, rates: Sequence[FundingRate], now_ns: int, url_path: str | None
) -> SourceEntry:
    return SourceEntry(
        name=name,
        sha256=sha256,
        rows=len(rates),
        first_ns=rates[0].ts_ns if rates else None,
        last_ns=rates[-1].ts_ns if rates else None,
        url_path=url_path,
        imported_ns=now_ns,
    )


def _day(ts_ns: int) -> date:
    return datetime.fromtimestamp(ts_ns // NANOS, UTC).date()


def _ns(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NANOS
