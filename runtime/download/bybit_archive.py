"""Bybit's public archive of trades: which files hold a request. There are no checksums beside them.

References
----------
``public.bybit.com``: ``trading/SYMBOL/SYMBOLYYYY-MM-DD.csv.gz`` (linear, by day),
``spot/SYMBOL/SYMBOL_YYYY-MM-DD.csv.gz`` and ``spot/SYMBOL/SYMBOL-YYYY-MM.csv.gz``.
"""

from collections.abc import Iterable
from datetime import date

from runtime.download.archive_file import ArchiveFile, SeriesRequest, month_end, plan_files
from runtime.errors import ConfigurationError


def plan(request: SeriesRequest, covered: Iterable[date], today: date) -> list[ArchiveFile]:
    """Return the files of a request in order of time, without the days that are covered.

    Raises
    ------
    ConfigurationError
        When klines or aggregated trades are wanted: this archive has trades only.

    Examples
    --------
    >>> day = date(2024, 1, 31)
    >>> request = SeriesRequest("bybit", "linear", "XRPUSDT", "trades", None, day, day)
    >>> [file.url_path for file in plan(request, (), date(2024, 6, 1))]
    ['/trading/XRPUSDT/XRPUSDT2024-01-31.csv.gz']
    """
    if request.kind != "trades":
        raise ConfigurationError(f"--kind {request.kind}: Bybit's archive has trades only")
    is_spot = request.market == "spot"
    return plan_files(
        request,
        set(covered),
        today,
        (lambda start: monthly_file(request.symbol, start)) if is_spot else None,
        lambda day: daily_file(request, day),
    )


def monthly_file(symbol: str, start: date) -> ArchiveFile:
    """Return the spot file of the month that begins at `start`."""
    return ArchiveFile(
        f"/spot/{symbol}/{symbol}-{start:%Y-%m}.csv.gz", start, month_end(start), has_checksum=False
    )


def daily_file(request: SeriesRequest, day: date) -> ArchiveFile:
    """Return the file of a day."""
    symbol = request.symbol
    name = f"{symbol}_{day}.csv.gz" if request.market == "spot" else f"{symbol}{day}.csv.gz"
    folder = "spot" if request.market == "spot" else "trading"
    return ArchiveFile(f"/{folder}/{symbol}/{name}", day, day, has_checksum=False)


def by_day(request: SeriesRequest, file: ArchiveFile) -> list[ArchiveFile]:
    """Return the daily files of a monthly one, for a month that is published by day only."""
    return [daily_file(request, day) for day in file.days() if request.first <= day <= request.last]
