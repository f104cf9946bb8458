"""What the plans of all archives are made of: files, the days they cover, and what was asked for."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from runtime.manifest import Kind

DAY: Final = timedelta(days=1)
# `XRPUSDT-trades-2026-03.zip`, `XRPUSDT_2026-03-18.csv.gz`, `XRPUSDT2026-03-18.csv.gz`
_STAMP: Final = re.compile(r"(\d{4})-(\d\d)(?:-(\d\d))?\.(?:zip|csv\.gz|rest)$")


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """One series of one symbol over whole UTC days.

    Parameters
    ----------
    venue, market, symbol, kind, interval
        As for an import; `interval` is None for trades.
    first, last
        Days, both included.
    """

    venue: str
    market: str
    symbol: str
    kind: Kind
    interval: str | None
    first: date
    last: date

    @property
    def label(self) -> str:
        """Name for messages, such as ``binance spot XRPUSDT klines 5m``."""
        return " ".join(
            word for word in (self.venue, self.market, self.symbol, self.kind, self.interval) if word
        )


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file of an archive.

    Parameters
    ----------
    url_path
        Below the archive's base address, with a leading slash.
    first, last
        Days that it covers, both included.
    has_checksum
        Whether the venue publishes ``<file>.CHECKSUM`` beside it.
    """

    url_path: str
    first: date
    last: date
    has_checksum: bool = True

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url_path.rsplit("/", 1)[1]

    @property
    def is_monthly(self) -> bool:
        """Whether it holds a month."""
        return self.first != self.last

    def days(self) -> Iterator[date]:
        """Yield the days that it covers."""
        return days_between(self.first, self.last)


def days_between(first: date, last: date) -> Iterator[date]:
    """Yield the days from `first` to `last`, both included."""
    return (first + number * DAY for number in range((last - first).days + 1))


def month_end(day: date) -> date:
    """Return the last day of a day's month.

    Examples
    --------
    >>> month_end(date(2024, 2, 3))
    datetime.date(2024, 2, 29)
    """
    return (day.replace(day=28) + 4 * DAY).replace(day=1) - DAY


def stamped_days(url_path: str) -> Iterator[date]:
    """Yield the days that a file covers by its name; nothing where the name has no date.

    Examples
    --------
    >>> len(list(stamped_days("/data/spot/monthly/trades/XRPUSDT/XRPUSDT-trades-2026-02.zip")))
    28
    """
    found = _STAMP.search(url_path)
    if not found:
        return iter(())
    first = date(int(found[1]), int(found[2]), int(found[3] or 1))
    return days_between(first, first if found[3] else month_end(first))


def plan_files(
    request: SeriesRequest,
    covered: set[date],
    today: date,
    monthly: Callable[[date], ArchiveFile] | None,
    daily: Callable[[date], ArchiveFile],
) -> list[ArchiveFile]:
    """Choose the files of a request: a month's where the whole month is wanted, a day's for the rest.

    Parameters
    ----------
    request
        What is wanted.
    covered
        Days that are there already; a month with one of them is fetched by day.
    today
        The month of today has no monthly file yet.
    monthly, daily
        Make the file of the month or day that begins at a date; `monthly` None: the venue has none.
    """
    wanted = [day for day in days_between(request.first, request.last) if day not in covered]
    files = []
    for start, days in _by_month(wanted):
        is_whole = len(days) == month_end(start).day and month_end(start) < today
        if monthly is not None and is_whole:
            files.append(monthly(start))
        else:
            files += [daily(day) for day in days]
    return files


def _by_month(days: Iterable[date]) -> Iterator[tuple[date, list[date]]]:
    months: dict[date, list[date]] = {}
    for day in days:
        months.setdefault(day.replace(day=1), []).append(day)
    return iter(months.items())
