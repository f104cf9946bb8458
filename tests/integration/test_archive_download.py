"""`download_data.py trades | klines` against the local archive server: resume, faults, what is missing."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import download_data
from runtime.catalog import Catalog
from runtime.download.asked import downloads_folder
from runtime.errors import DataError
from runtime.importer import ImportRequest, import_files
from tests.integration.download_harness import WHOLE, digests, rows_of, run, words, write_config
from tests.market_server import MarketArchive, MarketServer, market_server
from tests.market_server.archive_rest import ArchiveRest
from tests.market_server.rest import example_rest

ROOT = Path(__file__).resolve().parents[2]
DAY = timedelta(days=1)
FIRST, LAST = date(2024, 12, 30), date(2025, 2, 3)
NOW_MS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1000
SPOT_DAILY = "/data/spot/daily/trades/XRPUSDT/XRPUSDT-trades"
SPOT_MONTH = "/data/spot/monthly/trades/XRPUSDT/XRPUSDT-trades-2025-01.zip"


@pytest.fixture(scope="module")
def archive() -> MarketArchive:
    """Make the files once."""
    return MarketArchive(FIRST, LAST, ("XRPUSDT", "BTCUSDT"), trades_a_day=120)


@pytest.fixture
def server(archive: MarketArchive) -> Iterator[MarketServer]:
    """Serve them, with no fault yet."""
    with market_server(archive, ArchiveRest(archive, NOW_MS, delisted=LAST + timedelta(days=1))) as running:
        yield running


@pytest.fixture
def config(server: MarketServer, tmp_path: Path) -> Path:
    """Write settings that lead to the server, with short pauses."""
    return write_config(server, tmp_path)


def report(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the JSON object of the last run."""
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def expected_ids(archive: MarketArchive, first: date = FIRST, last: date = LAST) -> list[int]:
    """Return the ids of the archive's trades of some days."""
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return [trade.number for day in days for trade in archive.trades("XRPUSDT", day)]


def test_trades_by_month_and_by_day(
    archive: MarketArchive, server: MarketServer, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole months come as one file, the rest by day; every trade is there once, in the order of ids."""
    assert run("trades", config, "--json") == 0
    (series,) = report(capsys)["series"]
    assert (series["files_planned"], series["files_fetched"], series["complete"]) == (6, 6, True)
    assert SPOT_MONTH in server.paths()
    assert not server.paths(f"{SPOT_DAILY}-2025-01")
    rows = rows_of(config)
    assert [row[0] for row in rows] == expected_ids(archive)
    # Milliseconds until the end of 2024, microseconds from then on.
    times = np.array([row[1] for row in rows])
    is_old = times < 1_735_689_600_000_000_000
    assert (times[is_old] % 1_000_000 == 0).all()
    assert (times[~is_old] % 1_000_000 != 0).any()


def test_the_manifest_says_where_each_file_came_from(
    archive: MarketArchive, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Url path, SHA-256, rows, first and last id and time, gaps, and when."""
    run("trades", config)
    catalog = Catalog(config.parent / "catalog")
    sources = {
        source.url_path: source for source in catalog.manifest.series["XRPUSDT.BINANCE trades"].sources
    }
    month = sources[SPOT_MONTH]
    content = archive.file(SPOT_MONTH)
    assert content is not None
    ids = expected_ids(archive, date(2025, 1, 1), date(2025, 1, 31))
    assert month.sha256 == hashlib.sha256(content).hexdigest()
    assert (month.rows, month.first_id, month.last_id) == (len(ids), ids[0], ids[-1])
    assert (month.missing_ids, month.id_gaps) == (0, 0)
    assert month.imported_ns is not None
    assert month.first_ns is not None
    assert datetime.fromtimestamp(month.first_ns // 1_000_000_000, UTC).date() == date(2025, 1, 1)


def test_the_second_run_fetches_nothing(
    server: MarketServer, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the manifest has is not asked for again; a longer span adds what is new."""
    run("trades", config, "--start", "2024-12-31", "--end", "2025-02-02")
    before = digests(config)
    server.requests.clear()
    assert run("trades", config, "--start", "2024-12-31", "--end", "2025-02-02") == 0
    assert server.paths() == []
    assert digests(config) == before
    assert run("trades", config) == 0
    fetched = {path for path in server.paths() if path.endswith(".zip")}
    assert fetched == {f"{SPOT_DAILY}-{day}.zip" for day in ("2024-12-30", "2025-02-02", "2025-02-03")}


KLINES = {"spot": "XRPUSDT.BINANCE", "usdm": "XRPUSDT-PERP.BINANCE"}


@pytest.mark.parametrize("market", KLINES)
def test_klines_of_two_intervals(
    archive: MarketArchive, config: Path, capsys: pytest.CaptureFixture[str], market: str
) -> None:
    """Several symbols and intervals in one command; without and with a header row."""
    arguments = ("--symbol=BTCUSDT", "--interval=1h", "--interval=4h", "--json")
    assert run("klines", config, *arguments, market=market) == 0
    assert [series["complete"] for series in report(capsys)["series"]] == [True] * 4
    bars = Catalog(config.parent / "catalog").read_bars(f"{KLINES[market]}-1-HOUR-LAST-EXTERNAL")
    found = [
        (open_ns // 1_000_000, *ohlc)
        for block in bars
        for open_ns, *ohlc in zip(
            block.ts_open_ns.tolist(), block.open_ticks.tolist(), block.high_ticks.tolist(),
            block.low_ticks.tolist(), block.close_ticks.tolist(), strict=True,
        )
    ]  # fmt: skip
    days = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
    assert found == [row[:5] for day in days for row in archive.klines("XRPUSDT", "1h", day)]


def test_aggregate_trades_and_bybit(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The other archives, by their own names: aggTrades of USD-M, Bybit linear by day, spot by month."""
    span = ("--start", "2025-01-01", "--end", "2025-02-02", "--json")
    assert run("trades", config, *span, market="usdm", kind="aggtrades") == 0
    assert run("trades", config, *span, venue="bybit", market="linear") == 0
    assert run("trades", config, *span, venue="bybit", market="spot") == 0
    for instrument in ("XRPUSDT-PERP.BINANCE", "XRPUSDT-LINEAR.BYBIT", "XRPUSDT-SPOT.BYBIT"):
        assert len(rows_of(config, instrument)) == 32 * 120


# --- what is missing --------------------------------------------------------------------------------
def test_a_hole_in_the_middle_is_named_and_fails(
    archive: MarketArchive, server: MarketServer, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """404 for a day between others: the rest is imported, the gap is reported, exit 1, until it is there."""
    server.fault("XRPUSDT-trades-2025-02-02.zip", "not_found", times=2)
    assert run("trades", config, "--json") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["series"][0]["missing"] == ["2025-02-02"]
    assert "1 of 1 series are incomplete" in captured.err
    day = expected_ids(archive, date(2025, 2, 2), date(2025, 2, 2))
    assert [row[0] for row in rows_of(config)] == [n for n in expected_ids(archive) if n not in set(day)]
    server.heal()
    assert run("trades", config) == 0
    assert [row[0] for row in rows_of(config)] == expected_ids(archive)


def test_a_month_that_is_published_by_day_only(
    archive: MarketArchive, server: MarketServer, config: Path
) -> None:
    """Without the monthly file its days are fetched."""
    server.fault(SPOT_MONTH, "not_found", times=-1)
    assert run("trades", config) == 0
    assert len(server.paths(f"{SPOT_DAILY}-2025-01-../*.*zip$")) == 31
    assert [row[0] for row in rows_of(config)] == expected_ids(archive)


def test_before_the_first_and_after_the_last_file(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The archive's own listing tells a symbol that was not listed yet, or no longer, from missing files."""
    assert run("trades", config, "--start", "2024-12-25", "--end", "2025-02-08", "--json") == 0
    (series,) = report(capsys)["series"]
    assert series["before_first"] == ["2024-12-25..2024-12-29"]
    assert series["after_last"] == ["2025-02-04..2025-02-07"]


def test_years_before_the_listing_cost_a_few_requests(server: MarketServer, config: Path) -> None:
    """Absent months are not asked for day by day: the listing says from when on there is something."""
    assert run("trades", config, "--start", "2024-01-01", "--end", "2025-02-01") == 0
    assert len(server.requests) < 30


def test_the_last_days_are_not_published_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A daily file appears one or two days late: that is no failure, and the next run fetches it."""
    today = datetime.now(UTC).date()
    late = MarketArchive(today - timedelta(days=6), today - timedelta(days=3), ("XRPUSDT",), trades_a_day=20)
    with market_server(late) as server:
        config = write_config(server, tmp_path)
        span = ("--start", str(today - timedelta(days=6)), "--json")
        assert run("trades", config, *span) == 0
        (series,) = report(capsys)["series"]
        assert series["not_published"] == [f"{today - timedelta(days=2)}..{today - timedelta(days=1)}"]
        late.last_day = today - timedelta(days=1)
        assert run("trades", config, *span) == 0
        (series,) = report(capsys)["series"]
        assert (series["files_fetched"], series["not_published"]) == (2, [])


def test_a_symbol_that_nobody_has(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing at all found: the message says what to check."""
    assert run("trades", config, symbol="NOSUCHUSDT") == 1
    assert "the archive has no file of it: check --symbol" in capsys.readouterr().err


# --- faults -----------------------------------------------------------------------------------------
PASSING: dict[str, dict[str, Any]] = {
    "truncated": {"kind": "truncate", "times": 2},
    "connection reset": {"kind": "reset", "times": 2},
    "reset in the middle": {"kind": "reset", "times": 3, "after_bytes": 900},
    "server error": {"kind": "status", "times": 2, "status": 500},
    "too many requests": {"kind": "status", "status": 429, "headers": {"Retry-After": "0"}},
    "wrong checksum once": {"kind": "wrong_checksum"},
    "slow": {"kind": "slow", "piece_secs": 0.002, "piece_bytes": 512},
}


@pytest.mark.parametrize("name", PASSING)
def test_faults_that_pass_change_nothing(
    archive: MarketArchive, server: MarketServer, config: Path, name: str
) -> None:
    """Retried, continued or fetched again: the rows are those of an undisturbed run."""
    fault = dict(PASSING[name])
    pattern = "CHECKSUM$" if fault["kind"] == "wrong_checksum" else "2025-01.zip$"
    server.fault(pattern, **fault)
    assert run("trades", config) == 0
    assert [row[0] for row in rows_of(config)] == expected_ids(archive)


LASTING: dict[str, tuple[dict[str, Any], str]] = {
    "wrong checksum": ({"kind": "wrong_checksum"}, "the venue's .CHECKSUM says"),
    "truncated": ({"kind": "truncate", "keep": 0.0}, "truncated"),
    "server error": ({"kind": "status", "status": 500}, "server error 500"),
    "too many requests": (
        {"kind": "status", "status": 429, "headers": {"Retry-After": "9999"}},
        "asks to wait",
    ),
    "banned": (
        {"kind": "status", "status": 418, "headers": {"Retry-After": "600"}},
        "banned this address",
    ),
    "connection reset": ({"kind": "reset"}, "connection reset"),
}


@pytest.mark.parametrize("name", LASTING)
def test_faults_that_last_fail_with_one_clear_reason(
    archive: MarketArchive, server: MarketServer, config: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Exit 1, a message that names address and cause, a readable catalog; the next run completes."""
    details, message = LASTING[name]
    server.fault("CHECKSUM$" if details["kind"] == "wrong_checksum" else "2025-01.zip$", times=-1, **details)
    assert run("trades", config) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "127.0.0.1" in error
    assert "Traceback" not in error
    assert "internal error" not in error
    assert download_data.main(["list", f"--config={config}"]) == 0
    server.heal()
    assert run("trades", config) == 0
    assert [row[0] for row in rows_of(config)] == expected_ids(archive)


def test_a_damaged_archive_enters_nothing(
    archive: MarketArchive, server: MarketServer, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is what its checksum says, but unreadable, is refused with its name."""
    path = f"{SPOT_DAILY}-2025-02-03.zip"
    whole = archive.file(path)
    assert whole is not None
    archive.made[path] = whole[:-200]
    archive.made.pop(f"{path}.CHECKSUM", None)
    try:
        assert run("trades", config) == 1
    finally:
        archive.made.pop(path)
        archive.made.pop(f"{path}.CHECKSUM")
    assert "XRPUSDT-trades-2025-02-03.zip" in capsys.readouterr().err
    assert run("trades", config) == 0
    assert [row[0] for row in rows_of(config)] == expected_ids(archive)


def test_a_part_is_continued(archive: MarketArchive, server: MarketServer, config: Path) -> None:
    """Bytes that are on the disk are not fetched again."""
    server.fault("2025-01.zip$", "truncate", keep=0.5)
    assert run("trades", config) == 0
    offsets = [request.offset for request in server.requests if request.path == SPOT_MONTH]
    content = archive.file(SPOT_MONTH)
    assert content is not None
    assert offsets == [0, len(content) // 2]


# --- the tail by REST -------------------------------------------------------------------------------
@pytest.fixture
def late(tmp_path: Path) -> Iterator[tuple[MarketArchive, MarketServer, Path]]:
    """Serve an archive that ends three days ago, and REST that goes on until now."""
    today = datetime.now(UTC).date()
    archive = MarketArchive(
        today - timedelta(days=6), today - timedelta(days=3), ("XRPUSDT",), trades_a_day=50
    )
    with market_server(archive, ArchiveRest(archive, time.time_ns() // 1_000_000)) as server:
        yield archive, server, write_config(server, tmp_path)


def span_of(archive: MarketArchive) -> tuple[str, str]:
    """Ask for everything until now."""
    return ("--start", archive.first_day.isoformat())


def test_klines_go_on_by_rest_until_now(
    late: tuple[MarketArchive, MarketServer, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Days that are not published come page by page, closed bars only, and fit without a gap."""
    archive, _, config = late
    before_ns = time.time_ns()
    assert run("klines", config, *span_of(archive), "--interval=1m", "--json") == 0
    (series,) = report(capsys)["series"]
    assert series["rows_from_rest"] > 2 * 1440
    entry = Catalog(config.parent / "catalog").find_series("XRPUSDT.BINANCE", "klines", "1m")
    assert entry is not None
    assert entry.summary()["missing_ids"] == 0
    minute_ns = 60_000_000_000
    assert before_ns - 2 * minute_ns < entry.files[-1].last_ns <= time.time_ns()


def test_aggregate_trades_go_on_by_id_and_the_archive_agrees_later(
    late: tuple[MarketArchive, MarketServer, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """From the last id on; when the files are published they are fetched, and their trades are known."""
    archive, _, config = late
    assert run("trades", config, *span_of(archive), "--json", kind="aggtrades") == 0
    (series,) = report(capsys)["series"]
    assert (series["rows_added"], series["rows_from_rest"] > 90) == (200 + series["rows_from_rest"], True)
    numbers = [row[0] for row in rows_of(config)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    archive.last_day += timedelta(days=2)
    assert run("trades", config, *span_of(archive), "--json", kind="aggtrades") == 0
    (series,) = report(capsys)["series"]
    assert (series["files_fetched"], series["duplicates"]) == (2, 100)


def test_the_archive_replaces_what_rest_gave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A kline and a trade that were not final by REST: the next run counts them and keeps the archive's."""
    today = datetime.now(UTC).date()
    archive = MarketArchive(today - 6 * DAY, today - 3 * DAY, ("XRPUSDT",), trades_a_day=50)
    rest = ArchiveRest(archive, time.time_ns() // 1_000_000)
    opens = [row[0] for row in archive.klines("XRPUSDT", "1h", today - 2 * DAY)]
    rest.passing = {opens[3], archive.trades("XRPUSDT", today - 2 * DAY)[7].number}
    runs = (("klines", {}, ("--interval=1h",)), ("trades", {"kind": "aggtrades"}, ()))
    with market_server(archive, rest) as server:
        config, whole = write_config(server, tmp_path / "tail"), write_config(server, tmp_path / "whole")
        for command, options, more in runs:
            assert run(command, config, *span_of(archive), *more, **options) == 0
        archive.last_day += 2 * DAY
        rest.passing.clear()
        capsys.readouterr()
        for command, options, more in runs:
            assert run(command, config, *span_of(archive), *more, "--json", **options) == 0
            captured = capsys.readouterr()
            assert json.loads(captured.out)["series"][0]["rows_replaced"] == 1
            assert run(command, whole, *span_of(archive), *more, **options) == 0
            capsys.readouterr()
    bars = "XRPUSDT.BINANCE-1-HOUR-LAST-EXTERNAL"
    found, expected = (
        [block.volume_lots.tolist() for block in Catalog(one.parent / "catalog").read_bars(bars)]
        for one in (config, whole)
    )
    assert found == expected
    assert [row[3] for row in rows_of(config)] == [row[3] for row in rows_of(whole)]


def test_a_local_file_replaces_nothing(tmp_path: Path) -> None:
    """Only the venue may correct what came by REST; a file of the user that differs is refused."""
    today = datetime.now(UTC).date()
    archive = MarketArchive(today - 6 * DAY, today - 3 * DAY, ("XRPUSDT",), trades_a_day=50)
    rest = ArchiveRest(archive, time.time_ns() // 1_000_000)
    day = today - 2 * DAY
    rest.passing = {archive.klines("XRPUSDT", "1h", day)[3][0]}
    with market_server(archive, rest) as server:
        config = write_config(server, tmp_path)
        assert run("klines", config, *span_of(archive), "--interval=1h") == 0
    archive.last_day = day
    content = archive.file(f"/data/spot/daily/klines/XRPUSDT/1h/XRPUSDT-1h-{day}.zip")
    assert content is not None
    path = tmp_path / f"XRPUSDT-1h-{day}.zip"
    path.write_bytes(content)
    request = ImportRequest((path,), "binance", "spot", "XRPUSDT", "klines", "1h")
    with pytest.raises(DataError, match="open time is stored with other content"):
        import_files(request, tmp_path / "catalog")


def test_a_tail_that_cannot_be_had_is_a_reported_gap(
    late: tuple[MarketArchive, MarketServer, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """REST is away: the archive's days are there, the rest is named."""
    archive, server, config = late
    server.fault("/api/v3/klines", "status", times=-1, status=500)
    assert run("klines", config, *span_of(archive), "--interval=1h") == 0
    error = capsys.readouterr().err
    assert "server error 500" in error
    assert f"not yet published: {archive.last_day + timedelta(days=1)}.." in error


# --- an archive that lags ---------------------------------------------------------------------------
@pytest.fixture
def lagging(tmp_path: Path) -> Iterator[tuple[MarketArchive, MarketServer, Path]]:
    """Serve an archive that ends six days ago, while REST goes on until now."""
    today = datetime.now(UTC).date()
    archive = MarketArchive(
        today - timedelta(days=8), today - timedelta(days=6), ("XRPUSDT",), trades_a_day=50
    )
    with market_server(archive, ArchiveRest(archive, time.time_ns() // 1_000_000)) as server:
        yield archive, server, write_config(server, tmp_path)


@pytest.mark.parametrize(("command", "kind"), [("klines", ""), ("trades", "aggtrades")])
def test_a_lagging_archive_is_bridged_by_rest(
    lagging: tuple[MarketArchive, MarketServer, Path],
    capsys: pytest.CaptureFixture[str],
    command: str,
    kind: str,
) -> None:
    """The symbol still trades: the days between the archive's end and today come by REST, without a hole."""
    archive, _, config = lagging
    more, options = (("--interval=1h",), {}) if command == "klines" else ((), {"kind": kind})
    assert run(command, config, *span_of(archive), *more, "--json", **options) == 0
    (series,) = report(capsys)["series"]
    assert (series["after_last"], series["missing"]) == ([], [])
    assert series["not_published"][0].startswith(str(archive.last_day + timedelta(days=1)))
    (entry,) = Catalog(config.parent / "catalog").manifest.series.values()
    assert entry.summary()["missing_ids"] == 0
    assert entry.files[-1].last_ns > (time.time_ns() // 86_400_000_000_000 - 1) * 86_400_000_000_000
    assert download_data.main(["verify", f"--config={config}"]) == 0


@pytest.mark.parametrize("why", ["no REST for trades", "REST is away", "the tail is away"])
def test_a_lagging_archive_that_is_not_bridged_fails(
    lagging: tuple[MarketArchive, MarketServer, Path], capsys: pytest.CaptureFixture[str], why: str
) -> None:
    """Where REST cannot bring them, the days are missing, exit code 1, and `verify` names them offline."""
    archive, server, config = lagging
    kind = "trades" if why == "no REST for trades" else "aggtrades"
    if why != "no REST for trades":
        server.fault("/klines$" if why == "REST is away" else "/aggTrades$", "status", times=-1, status=500)
    if why == "REST is away":
        server.fault("/aggTrades$", "status", times=-1, status=500)
    assert run("trades", config, *span_of(archive), "--json", kind=kind) == 1
    today = datetime.now(UTC).date()
    hole = f"{today - timedelta(days=5)}..{today - timedelta(days=4)}"
    assert report(capsys)["series"][0]["missing"] == [hole]
    server.heal()
    before = len(server.requests)
    assert download_data.main(["verify", f"--config={config}"]) == 1
    assert hole in capsys.readouterr().err
    assert len(server.requests) == before


def test_bybit_klines_come_by_rest_alone(
    late: tuple[MarketArchive, MarketServer, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Day by day and resumable: the second run asks for the open day only."""
    archive, server, config = late
    words_ = ("--start", str(archive.first_day - timedelta(days=2)), "--interval=5m", "--json")
    assert run("klines", config, *words_, venue="bybit", market="linear") == 0
    (series,) = report(capsys)["series"]
    before = [archive.first_day - timedelta(days=2), archive.first_day - timedelta(days=1)]
    assert series["before_first"] == [f"{before[0]}..{before[1]}"]
    assert series["missing"] == []
    entry = Catalog(config.parent / "catalog").find_series("XRPUSDT-LINEAR.BYBIT", "klines", "5m")
    assert entry is not None
    assert entry.summary()["missing_ids"] == 0
    server.requests.clear()
    assert run("klines", config, *words_, venue="bybit", market="linear") == 0
    asked = {request.query["start"] for request in server.requests if request.query.get("interval") == "5"}
    midnight_ms = time.time_ns() // 86_400_000_000_000 * 86_400_000
    assert {start for start in asked if int(start) >= archive_start_ms(archive)} <= {str(midnight_ms)}


def archive_start_ms(archive: MarketArchive) -> int:
    """Return the first millisecond of an archive."""
    return (archive.first_day - date(1970, 1, 1)).days * 86_400_000


def test_a_refused_history_does_not_leave_the_tail_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a series would be stored whose history nobody gets."""
    today = datetime.now(UTC).date()
    archive = MarketArchive(today - timedelta(days=5), today - timedelta(days=2), ("BTCUSDT",), 3)
    with market_server(archive, example_rest(time.time_ns() // 1_000_000)) as server:
        config = write_config(server, tmp_path)
        span = ("--start", archive.first_day.isoformat(), "--interval=1h")
        assert run("klines", config, *span, "--tick-size=0.01", "--lot-size=0.1", symbol="BTCUSDT") == 1
        assert "no multiple of 0.01" in capsys.readouterr().err
        more = ("--tick-size=0.0001", "--lot-size=0.1", f"--end={today - timedelta(days=1)}")
        assert run("klines", config, *span, *more, symbol="BTCUSDT") == 0


def test_top_n_takes_the_largest_of_24_hours(
    server: MarketServer, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--top` asks the venue's tickers; a --symbol comes in addition, each once."""
    words_ = ["klines", "--venue=binance", "--top=1", *WHOLE, "--interval=4h", "--json"]
    assert download_data.main([*words_, f"--config={config}"]) == 0
    assert [one["symbol"] for one in report(capsys)["series"]] == ["BTCUSDT"]
    assert download_data.main([*words_, "--symbol=XRPUSDT", f"--config={config}"]) == 0
    assert [one["symbol"] for one in report(capsys)["series"]] == ["XRPUSDT", "BTCUSDT"]


def test_instruments_are_the_venues_own(config: Path) -> None:
    """Increments come from exchange-info, with its decimals."""
    assert run("trades", config) == 0
    instrument = Catalog(config.parent / "catalog").instrument("XRPUSDT.BINANCE")
    assert str(instrument.price_increment) == "0.00010000"


# --- killed -----------------------------------------------------------------------------------------
def start(config: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start the real command."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "download_data.py"), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=config.parent, start_new_session=True,
    )  # fmt: skip


def kill_and_compare(archive: MarketArchive, folder: Path, command: str, kills: int, *more: str) -> None:
    """Kill a command at random points, then let it end: bytes and requests as without a kill.

    After four kills, or when it was faster than the kill, the next ones hit a fresh catalog.
    """
    rng = random.Random(f"{command} {kills}")
    with market_server(archive, ArchiveRest(archive, NOW_MS)) as server:
        undisturbed = write_config(server, folder / "undisturbed")
        assert run(command, undisturbed, *more) == 0
        left = kills
        while left > 0:
            config = write_config(server, folder / f"killed{left}")
            # So slow that there is something to kill.
            server.fault("zip$", "slow", times=-1, piece_secs=0.01, piece_bytes=1000)
            imported: set[str] = set()
            for _ in range(min(4, left)):
                process = start(config, *words(command, config, *more))
                wanted = len(server.requests) + rng.randrange(1, 9)
                # Starting takes seconds: the random part begins with the first requests.
                while len(server.requests) < wanted and process.poll() is None:
                    time.sleep(0.002)
                time.sleep(rng.random() * 0.3)
                process.kill()
                process.communicate()
                left -= process.returncode == -signal.SIGKILL
                done = imported_paths(config)
                assert imported <= done
                imported = done
                if process.returncode == 0:
                    break
            before = len(server.requests)
            server.heal()
            assert run(command, config, *more) == 0
            assert not {request.path for request in server.requests[before:]} & imported
            assert digests(config) == digests(undisturbed)
            assert not any((config.parent / "catalog/.downloads").glob("*/*"))


def imported_paths(config: Path) -> set[str]:
    """Return the url paths in the manifest."""
    folder = config.parent / "catalog"
    if not folder.exists():
        return set()
    entries = Catalog(folder).manifest.series.values()
    return {source.url_path for entry in entries for source in entry.sources if source.url_path}


@pytest.mark.slow
def test_killed_three_times(archive: MarketArchive, tmp_path: Path) -> None:
    """SIGKILL at random points: the same bytes in the end, nothing that was imported is fetched again."""
    kill_and_compare(archive, tmp_path, "trades", 3)


@pytest.mark.slow
@pytest.mark.parametrize("command", [("trades",), ("klines", "--interval=1h")], ids=["trades", "klines"])
def test_killed_twenty_times(archive: MarketArchive, tmp_path: Path, command: tuple[str, ...]) -> None:
    """The same, twenty kills of each command."""
    kill_and_compare(archive, tmp_path, command[0], 20, *command[1:])


def test_a_tail_that_is_killed_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGKILL twice in the middle of the REST pages: the same rows, and no finished page twice."""
    today = datetime.now(UTC).date()
    archive = MarketArchive(today - timedelta(days=4), today - timedelta(days=3), ("XRPUSDT",), 2600)
    midnight_ms = time.time_ns() // 86_400_000_000_000 * 86_400_000
    arguments = (*span_of(archive), "--json")
    with market_server(archive, ArchiveRest(archive, midnight_ms)) as server:
        undisturbed = write_config(server, tmp_path / "undisturbed")
        assert run("trades", undisturbed, *arguments, kind="aggtrades") == 0
        whole = report(capsys)["series"][0]["rows_from_rest"]
        assert whole == 2 * 2600
        config = write_config(server, tmp_path / "killed")
        for kill in range(2):
            server.fault("/aggTrades$", "slow", times=-1, piece_secs=0.005, piece_bytes=5000)
            before = len(server.paths("/aggTrades$"))
            process = start(config, *words("trades", config, *arguments, kind="aggtrades"))
            while len(server.paths("/aggTrades$")) < before + 2 and process.poll() is None:
                time.sleep(0.002)
            time.sleep(0.03 * kill)
            process.kill()
            process.communicate()
            assert process.returncode == -signal.SIGKILL
        server.heal()
        assert run("trades", config, *arguments, kind="aggtrades") == 0
        assert report(capsys)["series"][0]["rows_from_rest"] == whole
        assert rows_of(config) == rows_of(undisturbed)
        asked = [int(request.query["fromId"]) for request in server.requests if "fromId" in request.query]
    again = asked[asked.index(max(asked)) + 1 :]
    # A page is finished when the one behind it was asked for: only the last one before a kill comes again.
    assert again == sorted(again)
    assert len(again) - len(set(again)) <= 2


def test_interrupt_leaves_a_clean_state(archive: MarketArchive, server: MarketServer, config: Path) -> None:
    """Ctrl-C ends with one line and exit 1; no worker lives on, and the next run completes."""
    server.fault("zip$", "slow", times=-1, piece_secs=0.05, piece_bytes=500)
    process = start(config, *words("trades", config))
    while not server.paths("zip$") and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"the same command continues" in error
    assert b"Traceback" not in error
    assert is_gone(process.pid)
    server.heal()
    assert run("trades", config) == 0
    assert [row[0] for row in rows_of(config)] == expected_ids(archive)


def is_gone(group: int) -> bool:
    """Wait for the last process of a group to end: they notice the end of their parent at once."""
    for _ in range(1000):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_two_downloads_at_once_are_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One download at a time into a catalog; the second says so."""
    with downloads_folder(config.parent / "catalog"):
        assert run("trades", config) == 2
    assert "another download into this catalog is running" in capsys.readouterr().err
