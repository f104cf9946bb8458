"""Binance's public archive: which files hold a request, and what its listing says is published.

References
----------
Repository ``binance/binance-public-data``: paths, columns, ``.CHECKSUM`` files. Daily files appear on the
next day (or one later), monthly files at the beginning of the next month, funding rates by month only.
"""

from collections.abc import Iterable
from datetime import date
from typing import Final
from xml.etree import ElementTree as ET

from runtime.download.archive_file import ArchiveFile, SeriesRequest, month_end, plan_files, stamped_days
from runtime.download.http import Http
from runtime.errors import ConfigurationError, VenueError

FOLDERS: Final = {"spot": "spot", "usdm": "futures/um"}
KIND_WORDS: Final = {"trades": "trades", "aggtrades": "aggTrades"}
FUNDING_WORD: Final = "fundingRate"
# Of both markets; spot alone has 1s as well. 3d, 1w and 1mo do not divide into days.
ARCHIVE_INTERVALS: Final = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
_NAMESPACE: Final = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def plan(request: SeriesRequest, covered: Iterable[date], today: date) -> list[ArchiveFile]:
    """Return the files of a request in order of time, without the days that are covered.

    Raises
    ------
    ConfigurationError
        When the archive has no such interval.

    Examples
    --------
    >>> first, last = date(2024, 1, 31), date(2024, 2, 29)
    >>> request = SeriesRequest("binance", "spot", "XRPUSDT", "trades", None, first, last)
    >>> [file.name for file in plan(request, (), date(2024, 6, 1))]
    ['XRPUSDT-trades-2024-01-31.zip', 'XRPUSDT-trades-2024-02.zip']
    """
    if request.kind == "klines" and request.interval not in ARCHIVE_INTERVALS:
        raise ConfigurationError(
            f"--interval {request.interval}: the archive has {', '.join(ARCHIVE_INTERVALS)}"
        )
    return plan_files(
        request,
        set(covered),
        today,
        lambda start: monthly_file(request, start),
        lambda day: daily_file(request, day),
    )


def monthly_file(request: SeriesRequest, start: date) -> ArchiveFile:
    """Return the file of the month that begins at `start`."""
    return ArchiveFile(_path(request, "monthly", f"{start:%Y-%m}"), start, month_end(start))


def daily_file(request: SeriesRequest, day: date) -> ArchiveFile:
    """Return the file of a day."""
    return ArchiveFile(_path(request, "daily", day.isoformat()), day, day)


def by_day(request: SeriesRequest, file: ArchiveFile) -> list[ArchiveFile]:
    """Return the daily files of a monthly one, for a month that is published by day only."""
    return [daily_file(request, day) for day in file.days() if request.first <= day <= request.last]


def funding_file(symbol: str, start: date) -> ArchiveFile:
    """Return the file of funding rates of the month that begins at `start`; there are no daily ones."""
    name = f"{symbol}-{FUNDING_WORD}-{start:%Y-%m}.zip"
    path = f"/data/futures/um/monthly/{FUNDING_WORD}/{symbol}/{name}"
    return ArchiveFile(path, start, month_end(start))


def _path(request: SeriesRequest, span: str, stamp: str) -> str:
    folder = f"/data/{FOLDERS[request.market]}/{span}"
    if request.kind == "klines":
        name = f"{request.symbol}-{request.interval}-{stamp}.zip"
        return f"{folder}/klines/{request.symbol}/{request.interval}/{name}"
    word = KIND_WORDS[request.kind]
    return f"{folder}/{word}/{request.symbol}/{request.symbol}-{word}-{stamp}.zip"


# --- the listing ------------------------------------------------------------------------------------
async def published_days(http: Http, listing: str, request: SeriesRequest) -> set[date]:
    """Return the days of which the archive has a file, daily or monthly, by its listing.

    Parameters
    ----------
    http
        For the requests.
    listing
        Base address of the S3 listing.
    request
        The series; its dates do not matter.

    Raises
    ------
    VenueError
        When the listing cannot be had or read.
    """
    days: set[date] = set()
    for file in (daily_file(request, request.first), monthly_file(request, request.first)):
        folder = file.url_path.removeprefix("/").rsplit("/", 1)[0] + "/"
        for key in await list_keys(http, listing, folder):
            days.update(stamped_days(key))
    return days


async def list_keys(http: Http, listing: str, prefix: str) -> list[str]:
    """Return all names below a prefix (folders end in a slash), page by page; raises VenueError."""
    names: list[str] = []
    marker = ""
    while True:
        params = {"delimiter": "/", "prefix": prefix} | ({"marker": marker} if marker else {})
        text = await http.get_text(listing, params)
        try:
            page = ET.fromstring(text)  # noqa: S314 - expat expands no external entity
        except ET.ParseError as error:
            raise VenueError(f"{listing}: the listing of {prefix} is no XML ({error})") from error
        found = [node.text or "" for node in page.iterfind(f"{_NAMESPACE}Contents/{_NAMESPACE}Key")]
        found += [node.text or "" for node in page.iterfind(f"{_NAMESPACE}CommonPrefixes/{_NAMESPACE}Prefix")]
        names += found
        if page.findtext(f"{_NAMESPACE}IsTruncated") != "true" or not found:
            return names
        marker = page.findtext(f"{_NAMESPACE}NextMarker") or max(found)
