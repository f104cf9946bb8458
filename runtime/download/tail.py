"""What the archives do not have (yet), by the REST interfaces, as files for the same importer.

Binance: the last days of klines and of aggregate trades. Bybit: klines as a whole, by month or day.
Single trades by id need a key at Binance: their last days wait for the archive.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, Literal, cast

from runtime.catalog import Catalog
from runtime.download.archive_file import DAY, ArchiveFile, SeriesRequest, days_between, month_end, plan_files
from runtime.download.binance_rest import BinanceRest
from runtime.download.bybit_rest import BybitRest
from runtime.download.http import Http
from runtime.download.venue_rows import TailFile, understood, whole_number
from runtime.errors import ConfigurationError
from runtime.instruments import instrument_id_text
from runtime.manifest import SourceEntry
from runtime.settings import Settings

NANOS_PER_DAY: Final = 86_400_000_000_000
REST_SUFFIX: Final = ".rest"
TAIL_NAME: Final = "-rest.csv"
# Column of a kline of Binance: its number of trades.
KLINE_TRADES: Final = 8
# Longer than an import waits for its turn after its rows came in.
IMPORT_NS: Final = 3_600_000_000_000


def start_ns(day: date) -> int:
    """Return the first nanosecond of a UTC day.

    Examples
    --------
    >>> start_ns(date(2026, 3, 18))
    1773792000000000000
    """
    return (day - date(1970, 1, 1)).days * NANOS_PER_DAY


def has_tail(request: SeriesRequest) -> bool:
    """Whether the venue's REST interface has what the archive does not have yet."""
    return request.kind == "klines" or (request.venue == "binance" and request.kind == "aggtrades")


def plan_rest(request: SeriesRequest, covered: set[date], today: date) -> list[ArchiveFile]:
    """Return Bybit's klines as files of whole months and days; a file is made when it is fetched."""
    folder = f"/v5/market/kline/{request.market}/{request.symbol}/{request.interval}"

    def file(start: date, last: date, stamp: str) -> ArchiveFile:
        name = f"{request.symbol}-{request.interval}-{stamp}{REST_SUFFIX}"
        return ArchiveFile(f"{folder}/{name}", start, last, has_checksum=False)

    files = plan_files(
        request,
        covered,
        today,
        lambda start: file(start, month_end(start), f"{start:%Y-%m}"),
        lambda day: file(day, day, day.isoformat()),
    )
    return [one for one in files if one.last < today]


async def fetch_klines(
    http: Http,
    settings: Settings,
    request: SeriesRequest,
    first: date,
    last: date,
    folder: Path,
    note_page: Callable[[int], None] | None = None,
) -> TailFile | None:
    """Bring the closed klines of some days by REST; None when there are none.

    Goes on with what an earlier call left in `folder`; `note_page` is told the rows of each page.

    Raises
    ------
    ConfigurationError
        When the venue does not know the symbol or interval.
    DataError
        When its pages are out of order.
    VenueError
        When it cannot be reached or refuses.
    """
    assert request.interval is not None
    span = (start_ns(first), start_ns(last + DAY))
    if request.venue == "binance":
        binance = BinanceRest(http, settings.hosts, cast("Literal['spot', 'usdm']", request.market))
        return await binance.klines_file(folder, request.symbol, request.interval, *span, note_page)
    market = cast("Literal['linear', 'spot']", request.market)
    bybit = BybitRest(http, settings.hosts, market, settings.download)
    return await bybit.klines_file(folder, request.symbol, request.interval, *span, note_page)


async def fetch_tail(
    http: Http,
    settings: Settings,
    request: SeriesRequest,
    first: date,
    folder: Path,
    catalog: Path,
    note_page: Callable[[int], None] | None = None,
) -> TailFile | None:
    """Bring what follows the archive's last day, from `first` to the request's end; raises as above.

    Aggregate trades go on at the id after the last one in the catalog, if that is of the day before.
    """
    if request.kind == "klines":
        return await fetch_klines(http, settings, request, first, request.last, folder, note_page)
    rest = BinanceRest(http, settings.hosts, cast("Literal['spot', 'usdm']", request.market))
    end_ns = start_ns(request.last + DAY)
    from_id = _next_id(catalog, request, first)
    if from_id is None:
        from_id = await rest.agg_trade_id_at(request.symbol, start_ns(first), end_ns)
    if from_id is None:
        return None
    return await rest.agg_trades_file(folder, request.symbol, from_id, end_ns, note_page)


def _next_id(catalog: Path, request: SeriesRequest, first: date) -> int | None:
    instrument = instrument_id_text(request.venue, request.market, request.symbol)
    entry = Catalog(catalog).find_series(instrument, request.kind)
    last = entry.files[-1] if entry and entry.files else None
    if last is None or last.last_id is None or last.last_ns < start_ns(first - DAY):
        return None
    return last.last_id + 1


async def last_traded_day(
    http: Http, settings: Settings, request: SeriesRequest, first: date, today: date
) -> date | None:
    """Return the last whole day from `first` on that Binance has trades of; None when there is none.

    Daily klines tell, for exchange-info forgets a symbol, and a halted one is still listed there.

    Raises
    ------
    VenueError
        When Binance cannot be reached or refuses.
    """
    rest = BinanceRest(http, settings.hosts, cast("Literal['spot', 'usdm']", request.market))
    last: date | None = None
    try:
        async for page in rest.klines(request.symbol, "1d", start_ns(first), start_ns(today + DAY)):
            with understood(f"{request.label}: daily klines"):
                traded = [whole_number(row[0]) for row in page if whole_number(row[KLINE_TRADES])]
            if traded:
                last = datetime.fromtimestamp(traded[-1] // 1000, UTC).date()
    except ConfigurationError:  # the venue knows the symbol no longer
        return None
    return last


def rest_days(sources: Iterable[SourceEntry]) -> set[date]:
    """Return the days that REST brought whole: a tail has everything between its first and last row.

    Its last day counts only if it was over when it was asked for.
    """
    days: set[date] = set()
    for source in sources:
        if not source.name.endswith(TAIL_NAME) or source.first_ns is None or source.last_ns is None:
            continue
        first, last = (
            date(1970, 1, 1) + ns // NANOS_PER_DAY * DAY for ns in (source.first_ns, source.last_ns)
        )
        over_ns = start_ns(last + DAY) + IMPORT_NS
        is_over = source.imported_ns is not None and source.imported_ns >= over_ns
        days.update(days_between(first, last if is_over else last - DAY))
    return days


async def first_day(http: Http, settings: Settings, request: SeriesRequest) -> date | None:
    """Return the day of a Bybit symbol's first kline, None if it has never traded; raises as above."""
    market = cast("Literal['linear', 'spot']", request.market)
    open_ns = await BybitRest(http, settings.hosts, market, settings.download).first_open_ns(request.symbol)
    return None if open_ns is None else datetime.fromtimestamp(open_ns // 1_000_000_000, UTC).date()
