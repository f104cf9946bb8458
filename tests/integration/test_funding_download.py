"""`download_data.py funding` against the local server."""

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from nautilus_trader.persistence.catalog import ParquetDataCatalog

import download_data
from runtime.funding import read_funding
from tests.integration.download_harness import write_config
from tests.market_server import MarketArchive, MarketServer, market_server

MONTH = "/data/futures/um/monthly/fundingRate/XRPUSDT/XRPUSDT-fundingRate-2025-01.zip"
PERP = "XRPUSDT-PERP.BINANCE"


@pytest.fixture
def server() -> Iterator[MarketServer]:
    """Serve two months of funding rates."""
    with market_server(MarketArchive(date(2025, 1, 1), date(2025, 2, 28), trades_a_day=1)) as running:
        yield running


def run(config: Path, *more: str) -> int:
    """Fetch January and February of XRPUSDT."""
    words = ["--venue=binance", "--symbol=XRPUSDT", "--start=2025-01-01", "--end=2025-03-01"]
    return download_data.main(["funding", *words, *more, f"--config={config}"])


def zipped_lines(server: MarketServer) -> list[str]:
    """Return the rows of January's file."""
    with zipfile.ZipFile(io.BytesIO(server.respond(MONTH, {})[2])) as archive:
        return archive.read(archive.namelist()[0]).decode().splitlines()[1:]


def test_rates_by_month(server: MarketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three payments a day, exactly as written, with their interval; Nautilus reads the same; once only."""
    config = write_config(server, tmp_path)
    assert run(config, "--json") == 0
    (series,) = json.loads(capsys.readouterr().out)["series"]
    assert (series["months_fetched"], series["rows"], series["gaps"]) == (["2025-01", "2025-02"], 3 * 59, 0)
    payments = read_funding(tmp_path / "catalog", PERP)
    assert len(payments) == 3 * 59
    assert payments == sorted(payments, key=lambda payment: payment.ts_ns)
    rows = [line.split(",") for line in zipped_lines(server)]
    assert [(one.ts_ns, one.interval_hours, one.rate) for one in payments[: 3 * 31]] == [
        (int(time_ms) * 1_000_000, int(hours), Decimal(rate)) for time_ms, hours, rate in rows
    ]
    assert len(ParquetDataCatalog(str(tmp_path / "catalog")).funding_rates()) == 3 * 59
    server.requests.clear()
    assert run(config) == 0
    assert server.requests == []


def test_a_wrong_checksum_writes_nothing(
    server: MarketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1 with the reason; the next run fetches the month."""
    server.fault("fundingRate-2025-02.zip.CHECKSUM", "wrong_checksum", times=-1)
    config = write_config(server, tmp_path)
    assert run(config) == 1
    assert "the venue's .CHECKSUM says" in capsys.readouterr().err
    assert len(read_funding(tmp_path / "catalog", PERP)) == 3 * 31
    server.heal()
    assert run(config) == 0
    assert len(server.paths("fundingRate-2025-01.zip$")) == 1
    assert len(read_funding(tmp_path / "catalog", PERP)) == 3 * 59


def test_a_spot_market_pays_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The wrong market is refused with the right one."""
    words = ["funding", "--venue=bybit", "--market=usdm", "--symbol=XRPUSDT", "--start=2025-01-01"]
    assert download_data.main([*words, f"--catalog={tmp_path}"]) == 2
    assert "bybit pays funding in linear" in capsys.readouterr().err
