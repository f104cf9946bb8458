"""`download_data.py funding` against the archive server: months from the archive, each once."""

import io
import json
import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

import download_data
from runtime.funding import read_funding
from tests.integration.download_harness import write_config
from tests.market_server import MarketArchive, market_server

MONTH = "/data/futures/um/monthly/fundingRate/XRPUSDT/XRPUSDT-fundingRate-2025-01.zip"


def test_months_come_from_the_archive_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rates exactly as written; a wrong checksum writes nothing; what is there is not fetched again."""
    with market_server(MarketArchive(date(2025, 1, 1), date(2025, 2, 28), trades_a_day=1)) as server:
        config = write_config(server, tmp_path)
        words = ["funding", "--venue=binance", "--symbol=XRPUSDT", "--start=2025-01-01", f"--config={config}"]
        server.fault("CHECKSUM$", "wrong_checksum", times=-1)
        assert download_data.main([*words, "--end=2025-02-01"]) == 1
        assert "the venue's .CHECKSUM says" in capsys.readouterr().err
        assert read_funding(tmp_path / "catalog", "XRPUSDT-PERP.BINANCE") == []
        server.heal()
        assert download_data.main([*words, "--end=2025-02-01"]) == 0
        server.requests.clear()
        assert download_data.main([*words, "--end=2025-03-01", "--json"]) == 0
        assert [path for path in server.paths("zip$") if "2025-02" not in path] == []
        with zipfile.ZipFile(io.BytesIO(server.respond(MONTH, {})[2])) as archive:
            lines = archive.read(archive.namelist()[0]).decode().splitlines()[1:]
    (series,) = json.loads(capsys.readouterr().out)["series"]
    assert (series["rows_added"], series["rows"], series["gaps"]) == (3 * 28, 3 * 59, 0)
    rates = read_funding(tmp_path / "catalog", "XRPUSDT-PERP.BINANCE")
    assert [(one.ts_ns, one.rate) for one in rates[: 3 * 31]] == [
        (int(time_ms) * 1_000_000, Decimal(rate)) for time_ms, _, rate in (line.split(",") for line in lines)
    ]


@pytest.mark.parametrize("content", [None, b"junk"])
def test_lost_funding_rates_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    """Verify reads them too; repair says which command brings them back."""
    with market_server(MarketArchive(date(2025, 1, 1), date(2025, 1, 31), trades_a_day=1)) as server:
        config = write_config(server, tmp_path)
        words = ["funding", "--venue=binance", "--symbol=XRPUSDT", "--start=2025-01-01", "--end=2025-02-01"]
        assert download_data.main([*words, f"--config={config}"]) == 0
    assert download_data.main(["verify", f"--config={config}"]) == 0
    (path,) = (tmp_path / "catalog/data/funding_rate_update").rglob("*.parquet")
    path.unlink() if content is None else path.write_bytes(content)
    capsys.readouterr()
    assert download_data.main(["verify", f"--config={config}"]) == 1
    assert "XRPUSDT-PERP.BINANCE funding" in capsys.readouterr().err
    assert download_data.main(["repair", f"--config={config}"]) == 1
    assert "again" in capsys.readouterr().err
