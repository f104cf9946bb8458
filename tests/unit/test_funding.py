"""Funding rates: from archive and REST into Nautilus' own files, once each."""

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from nautilus_trader.model.data import FundingRateUpdate
from nautilus_trader.persistence.catalog import ParquetDataCatalog

import download_data
from runtime.cli import iso_time
from runtime.download.venue_rows import FundingRate
from runtime.errors import ConfigurationError, DataError
from runtime.funding import _merged, funding_series, parse_funding_archive, read_funding, write_funding
from tests.market_server import MarketArchive, MarketServer, market_server
from tests.market_server.archive import zipped
from tests.market_server.rest import example_rest

HOUR_NS = 3_600_000_000_000
START = iso_time("2026-01-01")
PERPETUAL = "XRPUSDT-PERP.BINANCE"
NOW_MS = 1_773_835_230_000  # 2026-03-18


def rate(hours: float, text: str = "0.0001", interval: int | None = None) -> FundingRate:
    """Make a payment so many hours after 2026 began."""
    return FundingRate(START + int(hours * HOUR_NS), Decimal(text), interval)


# --- the store -------------------------------------------------------------------------------------------


def test_nautilus_reads_what_was_stored(tmp_path: Path) -> None:
    """The files are Nautilus' own, and the rate keeps each digit."""
    write_funding(tmp_path, PERPETUAL, [rate(8, "-0.00012345", 480), rate(0, "0.00010000")])
    found = ParquetDataCatalog(str(tmp_path)).query(FundingRateUpdate, identifiers=[PERPETUAL])
    assert [(one.ts_event, str(one.rate), one.interval) for one in found] == [
        (START, "0.00010000", None),
        (START + 8 * HOUR_NS, "-0.00012345", 480),
    ]


def test_same_payments_again_change_nothing(tmp_path: Path) -> None:
    """Archive and REST stamp the same payment some milliseconds apart: it is one."""
    write_funding(tmp_path, PERPETUAL, [rate(0), rate(8)])
    late = FundingRate(START + 8 * HOUR_NS + 7_000_000, Decimal("0.00010000"))
    report = write_funding(tmp_path, PERPETUAL, [late, rate(16)])
    assert (report.added, report.duplicates, report.notes.rows) == (1, 1, 3)
    assert [one.ts_ns for one in read_funding(tmp_path, PERPETUAL)] == [
        START + n * 8 * HOUR_NS for n in range(3)
    ]
    assert len(list((tmp_path / "data").rglob("*.parquet"))) == 1


def test_other_rate_at_the_same_time_is_refused(tmp_path: Path) -> None:
    """One of the two is wrong, and nobody here can say which."""
    write_funding(tmp_path, PERPETUAL, [rate(0), rate(8)])
    with pytest.raises(DataError, match=r"of 2026-01-01T08:00:00Z is 0\.0001, and comes again as 0\.0002"):
        write_funding(tmp_path, PERPETUAL, [rate(16), rate(8, "0.0002")])
    assert len(read_funding(tmp_path, PERPETUAL)) == 2


def test_kill_between_the_moves_leaves_no_hole_and_no_repeat(tmp_path: Path) -> None:
    """With old and new file side by side each payment is read once, and the next write leaves one file."""
    write_funding(tmp_path, PERPETUAL, [rate(0), rate(8)])
    (old,) = (tmp_path / "data").rglob("*.parquet")
    content = old.read_bytes()
    write_funding(tmp_path, PERPETUAL, [rate(16)])
    old.write_bytes(content)
    assert len(read_funding(tmp_path, PERPETUAL)) == 3
    write_funding(tmp_path, PERPETUAL, [rate(24)])
    assert len(list((tmp_path / "data").rglob("*.parquet"))) == 1
    assert len(read_funding(tmp_path, PERPETUAL)) == 4


def test_gaps_are_counted(tmp_path: Path) -> None:
    """Eight hours is the longest interval of both venues; more is a gap. Shorter ones are none."""
    report = write_funding(tmp_path, PERPETUAL, [rate(0), rate(1), rate(9), rate(33), rate(41)])
    assert (report.notes.gaps, report.notes.longest_gap_ns) == (1, 24 * HOUR_NS)
    (row,) = funding_series(tmp_path)
    assert (row["kind"], row["rows"], row["longest_gap_s"]) == ("funding", 5, 86_400.0)


def test_range_is_read(tmp_path: Path) -> None:
    """Both ends are included, as in Nautilus' queries; an unknown instrument has none."""
    write_funding(tmp_path, PERPETUAL, [rate(0), rate(8), rate(16)])
    found = read_funding(tmp_path, PERPETUAL, START + 1, START + 16 * HOUR_NS)
    assert [one.ts_ns for one in found] == [START + 8 * HOUR_NS, START + 16 * HOUR_NS]
    assert read_funding(tmp_path, "BTCUSDT-PERP.BINANCE") == []
    with pytest.raises(ConfigurationError, match="no funding rates to write"):
        write_funding(tmp_path, "BTCUSDT-PERP.BINANCE", [])


def test_absurd_rate_is_refused(tmp_path: Path) -> None:
    """A price in the rate's column must not become a payment of it."""
    with pytest.raises(DataError, match="is no funding rate"):
        write_funding(tmp_path, PERPETUAL, [rate(0, "65000")])


@given(
    st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=40),
    st.lists(st.integers(0, 60), max_size=40),
)
def test_merge_is_a_union_in_order(first: list[tuple[int, bool]], second: list[int]) -> None:
    """Whatever comes in whatever order: each minute once, sorted, and merging again adds nothing."""
    stored = _merged([], [rate(hours, interval=480 if known else None) for hours, known in first], PERPETUAL)
    merged = _merged(stored, [rate(hours) for hours in second], PERPETUAL)
    assert [one.ts_ns for one in merged] == [
        START + hours * HOUR_NS for hours in sorted({hours for hours, _ in first} | set(second))
    ]
    assert _merged(merged, stored, PERPETUAL) == merged


DAMAGED = {
    "another header": ("open_time,open,high\n1,2,3\n", ":1: expected the columns calc_time"),
    "no number": (
        "calc_time,funding_interval_hours,last_funding_rate\n17,8,much\n",
        ":2: is no funding rate",
    ),
    "too few columns": ("calc_time,funding_interval_hours,last_funding_rate\n17\n", ":2: is no funding rate"),
}


@pytest.mark.parametrize(("text", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_archive_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    """Not a row of it is taken."""
    path = tmp_path / "XRPUSDT-fundingRate-2026-01.zip"
    path.write_bytes(zipped("a.csv", text.encode()))
    with pytest.raises(DataError, match=rf"XRPUSDT-fundingRate-2026-01\.zip{message}"):
        parse_funding_archive(path)


# --- the command -----------------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MarketServer]:
    """Run archive (January and February 2026) and REST (to 2026-03-18)."""
    monkeypatch.setattr("runtime.data_commands.funding.time.time_ns", lambda: NOW_MS * 1_000_000)
    archive = MarketArchive(date(2026, 1, 1), date(2026, 2, 28))
    with market_server(archive, example_rest(NOW_MS)) as running:
        yield running


def funding(server: MarketServer, folder: Path, *options: str) -> int:
    """Run the command with --json and return its exit code."""
    config = folder / "config.yaml"
    config.write_text(
        yaml.safe_dump(
            {"hosts": dict(server.hosts), "download": {"retries": 0}, "catalog": str(folder / "catalog")}
        )
    )
    return download_data.main(["funding", "--config", str(config), "--json", *options])


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_months_come_from_the_archive_and_the_rest_by_rest(
    server: MarketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """December is not in the archive, January and February are, March is not over: no gap between them."""
    options = ("--venue", "binance", "--symbol", "XRPUSDT", "--start", "2025-12-01")
    assert funding(server, tmp_path, *options) == 0
    (row,) = printed(capsys)["series"]
    days = 31 + 31 + 28 + 17
    assert (row["rows"], row["gaps"]) == (3 * days + 2, 0)
    assert row["last"] == "2026-03-18T08:00:00Z"
    files = [path.rsplit("-", 2)[1:] for path in server.paths(r"fundingRate.*\.zip$")]
    assert files == [["2026", "01.zip"], ["2026", "02.zip"]]
    assert [request.query["startTime"] for request in server.requests if "startTime" in request.query] == [
        "1764547200000",
        "1772323200000",
    ]
    assert list((tmp_path / "catalog" / ".downloads").glob("*.zip")) == []
    # Once more: nothing new.
    assert funding(server, tmp_path, *options) == 0
    assert printed(capsys)["series"][0]["rows_added"] == 0


def test_bybit_comes_by_rest(
    server: MarketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two symbols, a month; `list` shows them beside the other series."""
    options = ("--venue", "bybit", "--top", "2", "--start", "2026-01-01", "--end", "2026-02-01")
    assert funding(server, tmp_path, *options) == 0
    rows = printed(capsys)["series"]
    assert [(row["instrument"], row["rows"]) for row in rows] == [
        ("BTCUSDT-LINEAR.BYBIT", 93),
        ("ETHUSDT-LINEAR.BYBIT", 93),
    ]
    download_data.main(["list", "--catalog", str(tmp_path / "catalog"), "--json"])
    assert [(row["kind"], row["rows"], row["files"]) for row in printed(capsys)["series"]] == [
        ("funding", 93, 1),
        ("funding", 93, 1),
    ]


@pytest.mark.parametrize(
    ("pattern", "kind", "details", "message"),
    [
        ("CHECKSUM", "wrong_checksum", {}, "SHA-256"),
        (r"2026-02\.zip$", "status", {"status": 500}, "server error 500"),
        (r"2026-02\.zip$", "status", {"status": 418}, "has banned this address (418) until"),
        ("fapi", "reset", {}, "gave up after 1 attempt"),
    ],
)
def test_fault_writes_nothing_and_the_next_run_completes(
    server: MarketServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    pattern: str,
    kind: str,
    details: dict[str, Any],
    message: str,
) -> None:
    """Exit 1 with the cause; a symbol is stored whole or not at all."""
    server.fault(pattern, kind, -1, **details)
    options = ("--venue", "binance", "--symbol", "XRPUSDT", "--start", "2026-01-01")
    assert funding(server, tmp_path, *options) == 1
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
    assert read_funding(tmp_path / "catalog", PERPETUAL) == []
    server.heal()
    assert funding(server, tmp_path, *options) == 0
    assert printed(capsys)["series"][0]["gaps"] == 0


WRONG_USAGE = {
    "no symbol": (["--start", "2026-01-01"], "say which: --symbol BTCUSDT"),
    "both": (["--start", "2026-01-01", "--top", "2", "--symbol", "XRPUSDT"], "say which"),
    "the future": (["--start", "2200-01-01", "--symbol", "XRPUSDT"], "--start must lie in the past"),
    "unknown symbol": (["--start", "2026-01-01", "--symbol", "NOPEUSDT"], "has no such symbol"),
    "no symbol at all": (["--start", "2026-01-01", "--symbol", "xrp"], "expected base and quote"),
}


@pytest.mark.parametrize(("options", "message"), WRONG_USAGE.values(), ids=WRONG_USAGE.keys())
def test_wrong_usage(
    server: MarketServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    """Exit 2, and what to say instead."""
    assert funding(server, tmp_path, "--venue", "binance", *options) == 2
    assert message in capsys.readouterr().err
