"""The universe: who is in it today, who was in it then, and that the past does not know the future."""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

import download_data
from runtime.cli import iso_time
from runtime.download.volume_archive import sum_turnover
from runtime.errors import ConfigurationError, DataError
from runtime.instruments import TERMS
from runtime.settings import DownloadSettings, HostSettings, Settings
from runtime.universe import (
    Filters,
    categories_of,
    read_universe,
    top_symbols,
    universe_at,
    universe_path,
    universe_schedule,
)
from tests.integration.download_harness import write_config
from tests.market_server import MarketArchive, MarketServer, market_server
from tests.market_server.archive import zipped
from tests.market_server.rest import example_rest
from tests.market_server.tape import Listing

NOW_MS = 1_773_835_230_000
DAY = timedelta(days=1)
PADDED = ("0.01000000", "0.00100000")
# Symbol, base, turnover, tags: in the order of turnover.
TODAY = (
    Listing("BTCUSDT", "BTC", "65000", *PADDED, turnover=9e8),
    Listing("USDCUSDT", "USDC", "1.00", *PADDED, turnover=8e8),
    Listing("ETHUSDT", "ETH", "3200", *PADDED, turnover=7e8),
    Listing("BTCUPUSDT", "BTCUP", "12.00", *PADDED, turnover=6e8),
    Listing("JUPUSDT", "JUP", "100.00", *PADDED, turnover=5e8, tags=("defi",)),
    Listing("HALTUSDT", "HALT", "100.00", *PADDED, turnover=4e8, is_trading=False),
    Listing("ETHBTC", "ETH", "0.05", "0.00001000", "0.00100000", turnover=3.5e8, quote="BTC"),
    Listing("WIDEUSDT", "WIDE", "100.00", *PADDED, turnover=3e8, spread_ticks=50),
    Listing("币安人生USDT", "币安人生", "100.00", *PADDED, turnover=2.5e8),
    Listing("NEWUSDT", "NEW", "100.00", *PADDED, turnover=2e8, listed_ms=1_773_600_000_000),
    Listing("SOLUSDT", "SOL", "100.00", *PADDED, turnover=1e8, tags=("Layer-1",)),
)


def settings_for(server: MarketServer) -> Settings:
    return Settings(
        hosts=HostSettings(**server.hosts), download=DownloadSettings(retries=0, backoff_secs=0.0)
    )


@pytest.fixture
def today() -> Iterator[MarketServer]:
    """Run the venues of today."""
    with market_server(example_rest(NOW_MS, TODAY)) as server:
        yield server


# --- today -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("venue", "market"), TERMS)
def test_top_is_by_turnover_without_what_is_no_market_of_its_own(
    today: MarketServer, venue: str, market: str
) -> None:
    """Stable coins, leveraged tokens, halted symbols and other quotes are not in it."""
    found = top_symbols(settings_for(today), venue, market, 4)
    assert found == ("BTCUSDT", "ETHUSDT", "JUPUSDT", "WIDEUSDT")


FILTERED = {
    "spread": (Filters(max_spread_bps=5), ("BTCUSDT", "ETHUSDT", "JUPUSDT", "NEWUSDT", "SOLUSDT")),
    "deny": (Filters(deny=("BTCUSDT", "JUPUSDT")), ("ETHUSDT", "WIDEUSDT", "NEWUSDT", "SOLUSDT")),
    "no category excluded": (
        Filters(exclude=(), deny=("WIDEUSDT", "NEWUSDT")),
        ("BTCUSDT", "USDCUSDT", "ETHUSDT", "BTCUPUSDT", "JUPUSDT", "SOLUSDT"),
    ),
    "age": (Filters(min_age_days=60), ("BTCUSDT", "ETHUSDT", "JUPUSDT", "WIDEUSDT", "SOLUSDT")),
}


@pytest.mark.parametrize(("filters", "expected"), FILTERED.values(), ids=FILTERED.keys())
def test_filters(
    today: MarketServer, monkeypatch: pytest.MonkeyPatch, filters: Filters, expected: tuple[str, ...]
) -> None:
    """Each filter takes out what it names; the next in turnover moves up."""
    monkeypatch.setattr("runtime.universe.time.time_ns", lambda: NOW_MS * 1_000_000)
    assert top_symbols(settings_for(today), "binance", "spot", 20, filters) == expected


def test_venues_own_categories(today: MarketServer) -> None:
    """What futures are tagged with can be asked for."""
    assert top_symbols(settings_for(today), "binance", "usdm", 5, Filters(only=("layer-1", "defi"))) == (
        "JUPUSDT",
        "SOLUSDT",
    )


def test_filters_that_leave_nothing_are_reported(today: MarketServer) -> None:
    """An empty list would silently download nothing."""
    with pytest.raises(ConfigurationError, match="the filters leave no symbol of binance spot"):
        top_symbols(settings_for(today), "binance", "spot", 5, Filters(only=("no-such",)))


CATEGORIES = {
    "BTCUP": ("leveraged",), "ETH": (), "ETH3S": ("leveraged",), "JUP": (), "SYRUP": (), "USDC": ("stable",),
    "EUR": ("fiat",), "WBTC": ("wrapped",), "BTC": (),
}  # fmt: skip


@pytest.mark.parametrize(("base", "categories"), CATEGORIES.items())
def test_categories_by_name(base: str, categories: tuple[str, ...]) -> None:
    """A leveraged token ends in UP, DOWN, 3L … behind a coin that is listed itself."""
    assert categories_of(base, CATEGORIES) == categories


# --- point in time ---------------------------------------------------------------------------------------


@dataclass
class Volumes(MarketArchive):
    """An archive of daily klines with chosen turnovers: symbol -> first day, last day, turnover a day."""

    traded: dict[str, tuple[date, date, dict[str, float]]] = field(default_factory=dict)

    def keys(self) -> Iterator[str]:
        """Yield the monthly files that have a day."""
        for symbol in self.traded:
            for month in self.months():
                if self.days_in(symbol, month):
                    yield f"data/spot/monthly/klines/{symbol}/1d/{symbol}-1d-{month}.zip"

    def months(self) -> list[str]:
        """Return the months of the archive."""
        days = (self.first_day + n * DAY for n in range((self.last_day - self.first_day).days + 1))
        return sorted({f"{day:%Y-%m}" for day in days})

    def days_in(self, symbol: str, month: str) -> list[date]:
        """Return the days of a month on which the symbol traded."""
        first, last, _ = self.traded[symbol]
        days = (first + n * DAY for n in range((last - first).days + 1))
        return [day for day in days if f"{day:%Y-%m}" == month]

    def _binance(self, parts: Any) -> bytes | None:
        symbol, month = parts["symbol"], parts["name"][-7:]
        if symbol not in self.traded or not self.days_in(symbol, month):
            return None
        turnover = self.traded[symbol][2].get(month, 1.0)
        lines = []
        for day in self.days_in(symbol, month):
            per_second = 1_000_000 if day >= date(2025, 1, 1) else 1_000
            opened = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * per_second
            close = opened + 86_400 * per_second - 1
            lines.append(f"{opened},1.0,2.0,0.5,1.5,10.0,{close},{turnover:.8f},7,5.0,{turnover / 2:.8f},0")
        return zipped(f"{parts['name']}.csv", "\n".join(lines).encode() + b"\n")


YEARS = (date(2024, 11, 1), date(2025, 3, 31))
TRADED: dict[str, tuple[date, date, dict[str, float]]] = {
    "BTCUSDT": (*YEARS, {"2024-12": 50, "2025-01": 50, "2025-02": 50}),
    # Falls from the first place, and is delisted on 2025-02-10.
    "LUNAUSDT": (YEARS[0], date(2025, 2, 10), {"2024-12": 90, "2025-01": 60, "2025-02": 500}),
    "ETHUSDT": (*YEARS, {"2024-12": 40, "2025-01": 70, "2025-02": 30}),
    "USDCUSDT": (*YEARS, {"2024-12": 999, "2025-01": 999, "2025-02": 999}),
    # Listed in the middle of January; the largest ever since.
    "NEWUSDT": (date(2025, 1, 15), YEARS[1], {"2025-01": 300, "2025-02": 800}),
    "ETHBTC": (*YEARS, {"2024-12": 1e6}),
}


@pytest.fixture
def archive() -> Volumes:
    """Give an archive from November 2024 to March 2025."""
    return Volumes(*YEARS, tuple(TRADED), traded=dict(TRADED))


@pytest.fixture
def server(archive: Volumes) -> Iterator[MarketServer]:
    """Run it."""
    with market_server(archive) as running:
        yield running


def universe(server: MarketServer, folder: Path, *options: str, retries: int = 0) -> int:
    """Run the command with --json and return its exit code."""
    config = folder / "config.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "hosts": dict(server.hosts),
                "download": {"retries": retries, "backoff_secs": 0},
                "catalog": str(folder),
            }
        )
    )
    return download_data.main(["universe", "--config", str(config), "--json", *options])


def members(printed: str) -> dict[str, list[str]]:
    """Return month -> symbols of the command's JSON."""
    return {
        month["from"][:7]: [one["symbol"] for one in month["symbols"]]
        for month in json.loads(printed)["months"]
    }


SPAN = ("--start", "2025-01-01", "--end", "2025-04-01", "--top", "2")


def test_universe_of_each_month_is_ranked_by_the_month_before(
    server: MarketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A coin that was delisted later is in the months before; one that grew later is not."""
    code = universe(server, tmp_path, *SPAN)
    printed = capsys.readouterr().out
    assert code == 0
    assert members(printed) == {
        "2025-01": ["LUNAUSDT", "BTCUSDT"],  # by December
        "2025-02": ["NEWUSDT", "ETHUSDT"],  # by January: 17 days of 300, 31 of 70
        "2025-03": ["NEWUSDT", "BTCUSDT"],  # by February; LUNA had stopped trading on the 10th
    }
    first = json.loads(printed)["months"][0]
    assert (first["from"], first["to"], first["based_on"]) == (
        "2025-01-01T00:00:00Z",
        "2025-02-01T00:00:00Z",
        "2024-12",
    )
    assert first["symbols"][0] == {
        "rank": 1, "instrument": "LUNAUSDT.BINANCE", "symbol": "LUNAUSDT", "turnover": 90.0 * 31, "days": 31,
        "last_day": "2024-12-31", "first_month": "2024-11",
    }  # fmt: skip


def test_reader_changes_at_the_turn_of_the_month(
    server: MarketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until the last nanosecond of a month its universe holds; the schedule has the same dates."""
    universe(server, tmp_path, *SPAN)
    turn = iso_time("2025-02-01")
    assert universe_at(tmp_path, turn - 1) == ("LUNAUSDT.BINANCE", "BTCUSDT.BINANCE")
    assert universe_at(tmp_path, turn) == ("NEWUSDT.BINANCE", "ETHUSDT.BINANCE")
    assert universe_at(tmp_path, turn, top=3) == ("NEWUSDT.BINANCE", "ETHUSDT.BINANCE", "LUNAUSDT.BINANCE")
    spans = universe_schedule(tmp_path, iso_time("2025-01-20"), iso_time("2025-03-02"))
    assert [(span.based_on, span.instruments[0]) for span in spans] == [
        ("2024-12", "LUNAUSDT.BINANCE"), ("2025-01", "NEWUSDT.BINANCE"), ("2025-02", "NEWUSDT.BINANCE"),
    ]  # fmt: skip
    assert all(before.to_ns == after.from_ns for before, after in itertools.pairwise(spans))


def test_past_does_not_depend_on_what_comes_later(
    archive: Volumes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the future changed (other turnovers, other listings) the universe of January is the same."""
    found = []
    for changed in (False, True):
        if changed:
            archive.made.clear()
            archive.traded["DOGEUSDT"] = (date(2025, 1, 1), YEARS[1], {"2025-01": 1e9})
            archive.traded["BTCUSDT"] = (*YEARS, {"2024-12": 50, "2025-01": 1e9})
            archive.traded["LUNAUSDT"] = (YEARS[0], date(2025, 1, 1), {"2024-12": 90})
        folder = tmp_path / str(changed)
        folder.mkdir()
        with market_server(archive) as server:
            universe(server, folder, *SPAN)
        found.append([universe_at(folder, iso_time(day)) for day in ("2025-01-01", "2025-02-01")])
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]


def test_month_that_is_not_stored_is_not_replaced_by_another(
    server: MarketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither an older nor a younger month stands in; the message has the command that fetches it."""
    universe(server, tmp_path, *SPAN)
    for day, needed in (("2024-12-31", "2024-11"), ("2025-04-01", "2025-03")):
        with pytest.raises(ConfigurationError, match=f"needs the turnover of {needed}, which is not stored"):
            universe_at(tmp_path, iso_time(day))
    with pytest.raises(ConfigurationError, match="no point-in-time universe; make it with"):
        universe_at(tmp_path / "elsewhere", iso_time("2025-01-01"))


def test_stored_months_are_not_fetched_again(
    server: MarketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second run with other choices asks for nothing; a longer span only for the new month."""
    universe(server, tmp_path, *SPAN)
    asked = len(server.requests)
    code = universe(server, tmp_path, *SPAN[:4], "--top", "1", "--deny", "newusdt")
    assert (code, len(server.requests)) == (0, asked)
    assert universe_at(tmp_path, iso_time("2025-02-03")) == ("ETHUSDT.BINANCE",)
    universe(server, tmp_path, "--as-of", "2024-12-05")
    assert {path[-11:-4] for path in server.paths(r"\.zip$")[-3:]} == {"2024-11"}


def test_age_is_that_of_the_moment(
    server: MarketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A coin enters when it is old enough then, not now; its age counts from the end of its first month."""
    universe(server, tmp_path, *SPAN, "--min-age-days", "20")
    printed = members(capsys.readouterr().out)
    assert printed["2025-02"] == ["ETHUSDT", "LUNAUSDT"]
    assert printed["2025-03"] == ["NEWUSDT", "BTCUSDT"]


def test_file_that_is_missing_in_the_middle_is_said(
    archive: Volumes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A symbol without its file of a month between two others is named, not ranked as nothing."""
    archive.absent.add("/data/spot/monthly/klines/ETHUSDT/1d/ETHUSDT-1d-2025-01.zip")
    with market_server(archive) as server:
        code = universe(server, tmp_path, *SPAN)
    shown = capsys.readouterr()
    assert code == 0
    assert "2025-01: the archive has no file of 1 symbols that traded before and after (ETHUSDT)" in shown.err
    stored = read_universe(tmp_path, "binance", "spot")
    assert stored is not None
    assert stored.months["2025-01"].missing == ("ETHUSDT",)


FAULTS = {
    "wrong checksum": (("CHECKSUM", "wrong_checksum", {}), "not what its .CHECKSUM says, twice"),
    "server error": (("2024-12.zip$", "status", {"status": 500}), "server error 500"),
    "ban": (("2024-12.zip$", "status", {"status": 418}), "has banned this address (418) until"),
    "reset": (("listing", "reset", {}), "gave up after 1 attempt"),
    "truncated": (("2024-12.zip$", "truncate", {}), "truncated answer"),
    "listing is no XML": (("listing", "status", {"status": 200, "body": b"<html>"}), "is no XML"),
}


@pytest.mark.parametrize(("fault", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_fault_ends_in_one_line_and_the_next_run_completes(
    server: MarketServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fault: tuple[str, str, Mapping[str, Any]],
    message: str,
) -> None:
    """Exit 1, one clear line, no month stored by halves."""
    pattern, kind, details = fault
    server.fault(pattern, kind, -1, **details)
    code = universe(server, tmp_path, *SPAN)
    shown = capsys.readouterr()
    assert (code, shown.out) == (1, "")
    assert message in shown.err
    lines = [line for line in shown.err.splitlines() if "error:" in line]
    assert [line.startswith("download_data.py: error: ") for line in lines] == [True]
    stored = read_universe(tmp_path, "binance", "spot")
    assert stored is None or "2024-12" not in stored.months
    server.heal()
    assert universe(server, tmp_path, *SPAN) == 0
    assert members(capsys.readouterr().out)["2025-01"] == ["LUNAUSDT", "BTCUSDT"]


def test_passing_faults_are_ridden_out(
    server: MarketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """429, a reset and a wrong checksum once each change nothing in the result."""
    server.fault("2024-12.zip$", "status", 1, status=429, headers={"Retry-After": "0"})
    server.fault("2025-01.zip$", "reset", 1)
    server.fault("BTC.*2025-02.zip$", "wrong_checksum", 1)
    code = universe(server, tmp_path, *SPAN, retries=3)
    assert code == 0
    assert members(capsys.readouterr().out)["2025-03"] == ["NEWUSDT", "BTCUSDT"]


def test_futures_files_have_a_header_and_milliseconds() -> None:
    """The header is no day, and the turnover is the eighth column."""
    text = (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
        "taker_buy_quote_volume,ignore\n"
        "1738368000000,1,2,0.5,1.5,10,1738454399999,12.5,7,5,2,0\n"
        "1738454400000,1,2,0.5,1.5,10,1738540799999,0.25,7,5,2,0\n"
    )
    turnover, days = sum_turnover(zipped("a.csv", text.encode()), "a.zip", date(2025, 2, 1))
    assert (turnover, days) == (12.75, {date(2025, 2, 1), date(2025, 2, 2)})


DAMAGED = {
    "another month": b"1700006400000,1,2,0.5,1.5,10,1700092799999,5,7,5,2,0\n",
    "too few columns": b"1733011200000,1,2,0.5\n",
    "no number": b"1733011200000,1,2,0.5,1.5,10,1733097599999,lots,7,5,2,0\n",
    "a day twice": b"1733011200000,1,2,0.5,1.5,10,1733097599999,5,7,5,2,0\n" * 2,
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED.keys())
def test_file_with_other_content_is_refused(
    archive: Volumes, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: bytes
) -> None:
    """A right checksum does not make wrong rows right."""
    path = "/data/spot/monthly/klines/BTCUSDT/1d/BTCUSDT-1d-2024-12.zip"
    archive.made[path] = zipped("BTCUSDT-1d-2024-12.csv", text)
    with market_server(archive) as server:
        code = universe(server, tmp_path, *SPAN)
    assert code == 1
    assert "BTCUSDT-1d-2024-12.zip:" in capsys.readouterr().err


def test_month_that_is_not_published_is_said(
    server: MarketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Behind the end of the archive there is nothing to rank by."""
    code = universe(server, tmp_path, "--as-of", "2025-05-02")
    assert code == 1
    assert "has no monthly spot file of 2025-04; a month is published" in capsys.readouterr().err


WRONG_USAGE = {
    "end alone": (["--end", "2025-01-01"], "--end needs --start"),
    "both kinds": (["--as-of", "2025-01-01", "--start", "2025-01-01"], "--as-of is one moment"),
    "backwards": (["--start", "2025-02-01", "--end", "2025-01-01"], "--start must lie before --end"),
    "the future": (["--as-of", "2200-01-01"], "must not lie in the future"),
    "spread then": (["--as-of", "2025-01-01", "--max-spread-bps", "3"], "known for today alone"),
    "Bybit then": (["--venue", "bybit", "--as-of", "2025-01-01"], "which only Binance has"),
    "market of another venue": (["--venue", "bybit", "--market", "usdm"], "bybit has no such market"),
    "no number": (["--top", "0"], "'0' is not a whole number of 1 or more"),
}


@pytest.mark.parametrize(("options", "message"), WRONG_USAGE.values(), ids=WRONG_USAGE.keys())
def test_wrong_usage(
    server: MarketServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    """Exit 2 and nothing asked of the venue."""
    code = universe(server, tmp_path, *options)
    assert code == 2
    assert message in capsys.readouterr().err
    assert server.requests == []


def test_damaged_universe_file_is_named(tmp_path: Path) -> None:
    """A file that is no universe is not taken for an empty one."""
    path = universe_path(tmp_path, "binance", "spot")
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(DataError, match="damaged universe"):
        universe_at(tmp_path, 0)


def test_command_shows_today(today: MarketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON object: rank, instrument, turnover, spread, and what was left out by which filter."""
    code = universe(today, tmp_path, "--venue", "bybit", "--top", "3", "--max-spread-bps", "5")
    shown = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [one["instrument"] for one in shown["symbols"]] == [
        "BTCUSDT-LINEAR.BYBIT", "ETHUSDT-LINEAR.BYBIT", "JUPUSDT-LINEAR.BYBIT",
    ]  # fmt: skip
    assert shown["symbols"][0]["turnover"] == 9e8
    assert shown["left_out"] == {"category": 2}


def test_symbol_that_is_no_plain_text_is_left_out(
    today: MarketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some tokens have names that neither archive paths nor instrument ids can hold: said, not fatal."""
    code = universe(today, tmp_path, "--top", "6")
    shown = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [one["symbol"] for one in shown["symbols"]][-2:] == ["NEWUSDT", "SOLUSDT"]
    assert shown["left_out"] == {"category": 2, "name": 1}


def test_a_month_that_is_being_published_is_fetched_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A symbol whose newest file is not there yet is named, and ranked once it is."""
    archive = MarketArchive(date(2025, 1, 1), date(2025, 2, 28), ("XRPUSDT", "BTCUSDT"), trades_a_day=1)
    archive.absent.add("/data/spot/monthly/klines/BTCUSDT/1d/BTCUSDT-1d-2025-02.zip")
    at_ns = 1_740_787_200_000_000_000  # 2025-03-01
    with market_server(archive) as server:
        config = write_config(server, tmp_path)
        words = ["universe", "--venue=binance", "--as-of=2025-03-01", f"--config={config}"]
        assert download_data.main(words) == 0
        assert "BTCUSDT" in capsys.readouterr().err
        assert universe_at(tmp_path / "catalog", at_ns) == ("XRPUSDT.BINANCE",)
        archive.absent.clear()
        assert download_data.main(words) == 0
        assert set(universe_at(tmp_path / "catalog", at_ns)) == {"BTCUSDT.BINANCE", "XRPUSDT.BINANCE"}
        server.requests.clear()
        assert download_data.main(words) == 0
        assert server.requests == []
