"""Monthly turnover of every symbol that Binance's archive has, delisted ones included.

The archive's listing finds them: exchange-info forgets what no longer trades.
"""

import asyncio
import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from runtime.download.binance_archive import FOLDERS, list_keys
from runtime.download.http import Http, NotFound
from runtime.download.transfer import WrongChecksum, fetch_checksum
from runtime.errors import DataError, VenueError
from runtime.settings import HostSettings
from runtime.universe import SymbolMonth, UniverseMonth, previous_month

INTERVAL: Final = "1d"
QUOTE_VOLUME: Final = 7
COLUMNS: Final = 12
# A daily kline file has 31 short rows; anything larger is something else.
LARGEST_BYTES: Final = 1 << 20
ATTEMPTS: Final = 2

type Advance = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class ListedSymbol:
    """A symbol of the archive and the months (YYYY-MM) of which it has daily klines, in order."""

    symbol: str
    months: tuple[str, ...]


async def list_symbols(
    http: Http, hosts: HostSettings, market: str, quote: str, advance: Advance
) -> list[ListedSymbol]:
    """Return every symbol against a quote currency that has monthly files of daily klines.

    Raises
    ------
    VenueError
        When the listing cannot be had or read, or is empty.
    """
    root = f"data/{FOLDERS[market]}/monthly/klines/"
    names = await list_keys(http, hosts.binance_archive_listing, root)
    # Contracts with a delivery date (BTCUSDT_240628) are other instruments.
    symbols = [
        name
        for key in names
        if re.fullmatch(rf"[A-Z0-9]+{quote}", name := key.removeprefix(root).rstrip("/"))
    ]
    if not symbols:
        raise VenueError(f"{hosts.binance_archive_listing}: lists no {quote} symbol below {root}")

    async def months_of(symbol: str) -> ListedSymbol:
        keys = await list_keys(http, hosts.binance_archive_listing, f"{root}{symbol}/{INTERVAL}/")
        stamps = {
            found[1]
            for key in keys
            if (found := re.search(rf"/{symbol}-{INTERVAL}-(\d{{4}}-\d\d)\.zip$", key))
        }
        advance(1)
        return ListedSymbol(symbol, tuple(sorted(stamps)))

    listed = await asyncio.gather(*(months_of(symbol) for symbol in symbols))
    return [one for one in listed if one.months]


async def month_turnover(
    http: Http,
    hosts: HostSettings,
    market: str,
    month: date,
    listed: Sequence[ListedSymbol],
    advance: Advance,
) -> UniverseMonth:
    """Return the turnover of one month by the archive's daily klines.

    Parameters
    ----------
    http, hosts
        Where to ask.
    market
        ``spot`` or ``usdm``.
    month
        Its first day.
    listed
        From :func:`list_symbols`.
    advance
        Called with 1 for each symbol that is done.

    Raises
    ------
    DataError
        When a file is damaged although its checksum is right, or holds another month.
    VenueError
        When the archive has no file of that month at all (not published yet), a file differs from its
        checksum twice, or the host is unreachable.
    """
    name = f"{month:%Y-%m}"
    present = [one for one in listed if name in one.months]
    if not present:
        raise VenueError(
            f"{hosts.binance_archive_listing}: has no monthly {market} file of {name}; a month is published "
            "in the first days of the next one"
        )

    async def turnover_of(one: ListedSymbol) -> SymbolMonth | None:
        file = f"{one.symbol}-{INTERVAL}-{name}.zip"
        url = f"{hosts.binance_archive}/data/{FOLDERS[market]}/monthly/klines/{one.symbol}/{INTERVAL}/{file}"
        try:
            content = await _fetch(http, url)
        except NotFound:
            return None
        finally:
            advance(1)
        turnover, days = sum_turnover(content, file, month)
        return SymbolMonth(
            symbol=one.symbol,
            turnover=turnover,
            days=len(days),
            last_day=max(days, default=month).isoformat(),
            first_month=one.months[0],
        )

    found = await asyncio.gather(*(turnover_of(one) for one in present))
    symbols = sorted((one for one in found if one is not None), key=lambda one: (-one.turnover, one.symbol))
    absent = {one.symbol for one, result in zip(present, found, strict=True) if result is None}
    holes = {one.symbol for one in listed if name not in one.months and one.months[0] < name < one.months[-1]}
    is_newest = name == max(one.months[-1] for one in listed)
    before = f"{previous_month(month):%Y-%m}"
    awaited = sorted(one.symbol for one in listed if is_newest and one.months[-1] == before)
    return UniverseMonth(
        month=name,
        symbols=tuple(symbols),
        missing=tuple(sorted(absent | holes)),
        awaited=tuple(awaited),
    )


async def _fetch(http: Http, url: str) -> bytes:
    digest = ""
    for _attempt in range(ATTEMPTS):
        expected = await fetch_checksum(http, url)
        content = await http.get_bytes(url)
        digest = hashlib.sha256(content).hexdigest()
        if digest == expected:
            return content
    raise WrongChecksum(f"{url}: its SHA-256 is {digest[:12]}…, not what its .CHECKSUM says, twice")


def sum_turnover(content: bytes, name: str, month: date) -> tuple[float, set[date]]:
    """Return the sum of the quote volumes and the days of a zip of daily klines.

    Raises
    ------
    DataError
        When it is no such file, or a row is of another month.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            (entry,) = archive.infolist()
            if entry.file_size > LARGEST_BYTES:
                raise DataError(f"{name}: is too large for a month of daily klines")
            text = archive.read(entry).decode("ascii")
    except (zipfile.BadZipFile, ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{name}: is no zip of one text file ({error})") from error
    turnover, days = 0.0, set[date]()
    for line, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        if line == 1 and row and not row[0].isdecimal():
            continue  # futures files have a header
        try:
            day = _day_of(row)
            value = float(row[QUOTE_VOLUME])
        except (ValueError, IndexError) as error:
            raise DataError(f"{name}:{line}: is no daily kline ({error})") from error
        if day.replace(day=1) != month or not 0 <= value < float("inf") or day in days:
            raise DataError(f"{name}:{line}: {day} with turnover {value} does not belong into {month:%Y-%m}")
        turnover += value
        days.add(day)
    return turnover, days


def _day_of(row: Sequence[str]) -> date:
    if len(row) != COLUMNS:
        raise ValueError(f"{len(row)} columns instead of {COLUMNS}")
    stamp = int(row[0])
    seconds = stamp // (1_000_000 if stamp > 10**14 else 1_000)  # spot files of 2025 on: microseconds
    return date.fromordinal(date(1970, 1, 1).toordinal() + seconds // 86_400)
