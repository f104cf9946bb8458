"""Which archive files hold a request, by day and month; and the progress of fetching them."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from runtime.download import binance_archive, bybit_archive
from runtime.download.archive_file import SeriesRequest, stamped_days
from runtime.download.asked import add_asked, add_published, read_asked
from runtime.download.progress import DownloadProgress
from runtime.errors import ConfigurationError

TODAY = date(2024, 6, 10)


def request(first: str, last: str, **changes: str | None) -> SeriesRequest:
    """Ask for trades of XRPUSDT on some days."""
    words = {"venue": "binance", "market": "spot", "symbol": "XRPUSDT", "kind": "trades", "interval": None}
    return SeriesRequest(**words | changes, first=date.fromisoformat(first), last=date.fromisoformat(last))  # type: ignore[arg-type]


PLANS: dict[str, tuple[SeriesRequest, str, list[str]]] = {
    "a whole month": (request("2024-02-01", "2024-02-29"), "", ["2024-02"]),
    "days at both ends": (request("2024-01-31", "2024-03-01"), "", ["2024-01-31", "2024-02", "2024-03-01"]),
    "the month of today goes by day": (
        request("2024-06-09", "2024-06-10"), "", ["2024-06-09", "2024-06-10"],
    ),
    "a month that ended yesterday has its file": (request("2024-05-01", "2024-05-31"), "", ["2024-05"]),
    "one day is there already": (
        request("2024-02-27", "2024-02-29"), "2024-02-28", ["2024-02-27", "2024-02-29"],
    ),
    "over the turn of the year": (request("2023-12-31", "2024-01-01"), "", ["2023-12-31", "2024-01-01"]),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_plan(name: str) -> None:
    """Monthly where whole, daily for the rest, in order of time."""
    asked, covered, stamps = PLANS[name]
    days = {date.fromisoformat(covered)} if covered else set()
    files = binance_archive.plan(asked, days, TODAY)
    assert [file.name for file in files] == [f"XRPUSDT-trades-{stamp}.zip" for stamp in stamps]
    assert [list(file.days()) for file in files] == [list(stamped_days(file.url_path)) for file in files]


def test_a_month_with_a_covered_day_is_fetched_by_day() -> None:
    """Nothing is fetched twice."""
    files = binance_archive.plan(request("2024-02-01", "2024-02-29"), {date(2024, 2, 10)}, TODAY)
    assert len(files) == 28
    assert not any(file.is_monthly for file in files)


PATHS = {
    "/data/spot/monthly/trades/XRPUSDT/XRPUSDT-trades-2024-02.zip": {},
    "/data/spot/monthly/aggTrades/XRPUSDT/XRPUSDT-aggTrades-2024-02.zip": {"kind": "aggtrades"},
    "/data/futures/um/monthly/klines/XRPUSDT/5m/XRPUSDT-5m-2024-02.zip": {
        "market": "usdm", "kind": "klines", "interval": "5m",
    },
    "/spot/XRPUSDT/XRPUSDT-2024-02.csv.gz": {"venue": "bybit"},
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_url_paths_are_the_venues(path: str) -> None:
    """Folders and names as the archives have them."""
    asked = request("2024-02-01", "2024-02-29", **PATHS[path])
    archive = binance_archive if asked.venue == "binance" else bybit_archive
    assert [file.url_path for file in archive.plan(asked, set(), TODAY)] == [path]


def test_what_an_archive_does_not_have_is_refused() -> None:
    """Weeks do not divide into days; Bybit's archive has trades only."""
    with pytest.raises(ConfigurationError, match="the archive has 1m"):
        binance_archive.plan(request("2024-02-01", "2024-02-29", kind="klines", interval="1w"), set(), TODAY)
    with pytest.raises(ConfigurationError, match="has trades only"):
        bybit_archive.plan(request("2024-02-01", "2024-02-29", venue="bybit", kind="aggtrades"), set(), TODAY)


def test_what_was_asked_is_remembered_without_overlaps(tmp_path: Path) -> None:
    """Adjoining days become one entry, days apart stay two; the listing's bounds are kept."""
    for first, last in (
        ("2024-01-01", "2024-01-05"),
        ("2024-01-20", "2024-01-21"),
        ("2024-01-06", "2024-01-08"),
    ):
        add_asked(tmp_path, [request(first, last)])
    add_published(tmp_path, "label", date(2024, 1, 1), TODAY)
    asked = read_asked(tmp_path)
    assert [(one.first.day, one.last.day) for one in asked.requests] == [(1, 8), (20, 21)]
    assert asked.published == {"label": (date(2024, 1, 1), TODAY)}


def test_progress_counts_pages_by_rest() -> None:
    """A tail of unknown length shows requests and rows as they come."""
    progress = DownloadProgress("test")
    before = progress.rest_words
    for rows in (1000, 1000, 17):
        progress.paged(rows)
    assert (before, progress.rest_words) == ("", "3 REST pages, 2,017 rows")


def test_progress_estimates_what_is_not_open_yet() -> None:
    """Ten files, two open with 100 and 300 bytes: 2000 bytes are expected; absent files bring none."""
    progress = DownloadProgress("test")
    progress.expect(10)
    assert progress.expected_bytes is None
    progress.opened(100)
    progress.opened(300)
    assert progress.expected_bytes == 2000
    progress.received(100)
    progress.done(10)
    assert (progress.expected_bytes, progress.received_bytes) == (400, 100)


def test_a_leap_february_has_29_days() -> None:
    """The names of files say which days they cover."""
    days = list(stamped_days("/x/XRPUSDT-5m-2024-02.zip"))
    assert (days[0], days[-1] - days[0]) == (date(2024, 2, 1), timedelta(days=28))
    assert list(stamped_days("/x/readme.txt")) == []
