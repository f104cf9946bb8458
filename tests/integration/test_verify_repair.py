"""`download_data.py verify | repair` on catalogs that were damaged on purpose."""

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import download_data
from runtime.download.archive_file import SeriesRequest
from runtime.download.asked import downloads_folder
from runtime.download.job import download
from runtime.download.verify import verify
from runtime.settings import load_settings
from tests.integration.download_harness import digests, run, write_config
from tests.market_server import MarketArchive, MarketServer, market_server
from tests.market_server.archive_rest import ArchiveRest

SPAN = ("--start", "2025-01-01", "--end", "2025-02-04")
NOW_MS = 1_767_225_600_000  # 2026-01-01
DAY = "/data/spot/daily/trades/XRPUSDT/XRPUSDT-trades-2025-02-02.zip"
MONTH = "/data/spot/monthly/trades/XRPUSDT/XRPUSDT-trades-2025-01.zip"


@pytest.fixture
def archive() -> MarketArchive:
    """Make an archive that a test may change."""
    return MarketArchive(date(2025, 1, 1), date(2025, 2, 3), trades_a_day=30)


@pytest.fixture
def server(archive: MarketArchive) -> Iterator[MarketServer]:
    """Serve it."""
    with market_server(archive, ArchiveRest(archive, NOW_MS)) as running:
        yield running


@pytest.fixture
def config(server: MarketServer, tmp_path: Path) -> Path:
    """Download trades and klines into a fresh catalog."""
    path = write_config(server, tmp_path, keep_archives=True)
    assert run("trades", path, *SPAN) == 0
    assert run("klines", path, *SPAN, "--interval=1h") == 0
    server.requests.clear()
    return path


def check(command: str, config: Path, *more: str) -> int:
    """Run verify or repair."""
    return download_data.main([command, *more, f"--config={config}"])


def trade_file(config: Path, day: str) -> Path:
    """Return the Parquet file of a day's trades."""
    (path,) = (config.parent / "catalog/data/trade_tick/XRPUSDT.BINANCE").glob(f"{day}T*.parquet")
    return path


def flip(path: Path) -> None:
    """Change one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(content)


def test_a_sound_catalog(server: MarketServer, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is found, nothing is asked of the venue, nothing is repaired."""
    capsys.readouterr()
    assert check("verify", config, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["sound"]
    assert [(one["series"], one["rows"]) for one in report["series"]] == [
        ("XRPUSDT.BINANCE klines 1h", 34 * 24), ("XRPUSDT.BINANCE trades", 34 * 30),
    ]  # fmt: skip
    assert check("repair", config) == 0
    assert "nothing to repair" in capsys.readouterr().err
    assert server.requests == []


def damage_file(config: Path) -> None:
    """Flip a bit of a Parquet file."""
    flip(trade_file(config, "2025-02-02"))


def damage_klines(config: Path) -> None:
    """Cut the end off the bars."""
    (path,) = (config.parent / "catalog/data/bar").rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:-100])


def delete_file(config: Path) -> None:
    """Delete a Parquet file in the middle of a month."""
    trade_file(config, "2025-01-10").unlink()


def damage_archive(config: Path) -> None:
    """Flip a bit of a kept archive file."""
    flip(config.parent / "catalog/archives/binance" / MONTH.removeprefix("/"))


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a flipped bit": (damage_file, "damaged Parquet file"),
    "cut bars": (damage_klines, "damaged Parquet file"),
    "a file is gone": (delete_file, "of its 930 rows at most 900 are in the catalog"),
    "a kept archive": (damage_archive, "kept archive file is damaged"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_repaired(config: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Exit 1 with the file's name; repair fetches it again and the same bytes are back."""
    damage, message = DAMAGES[name]
    before = digests(config)
    damage(config)
    assert check("verify", config) == 1
    assert message in capsys.readouterr().err
    assert check("repair", config) == 0
    assert check("verify", config) == 0
    assert digests(config) == before


def test_a_missing_day_is_found_and_repaired(
    archive: MarketArchive, server: MarketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was asked for and is not there is named until it is."""
    archive.absent.add(DAY)
    config = write_config(server, tmp_path)
    assert run("trades", config, *SPAN) == 1
    capsys.readouterr()
    assert check("verify", config, "--json") == 1
    (series,) = json.loads(capsys.readouterr().out)["series"]
    assert series["missing"] == ["2025-02-02"]
    assert check("repair", config) == 1
    archive.absent.clear()
    assert check("repair", config) == 0
    assert check("verify", config) == 0


def test_days_before_the_listing_are_not_missing(
    server: MarketServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bounds that the venue's listing gave are remembered: verify needs no network for them."""
    config = write_config(server, tmp_path)
    assert run("trades", config, "--start", "2024-12-20", "--end", "2025-01-03") == 0
    server.requests.clear()
    assert check("verify", config) == 0
    assert server.requests == []


def test_days_that_were_not_published_yet_are_missing_later(tmp_path: Path) -> None:
    """A listing that ends at the present says nothing about the days after it."""
    archive = MarketArchive(date(2025, 1, 1), date(2025, 1, 29), trades_a_day=3)
    with market_server(archive, ArchiveRest(archive, NOW_MS)) as server:
        config = write_config(server, tmp_path)
        settings, catalog = load_settings(config), tmp_path / "catalog"
        request = SeriesRequest(
            "binance", "spot", "XRPUSDT", "trades", None, date(2025, 1, 1), date(2025, 1, 31)
        )
        (report,) = download([request], catalog, settings, today=date(2025, 2, 1))
    late = [date(2025, 1, 30), date(2025, 1, 31)]
    assert report.not_published == late
    (found,) = verify(catalog, settings, date(2025, 2, 1)).values()
    assert found.missing == []
    (found,) = verify(catalog, settings, date(2025, 6, 1)).values()
    assert found.missing == late


def test_a_file_that_the_venue_replaced(
    archive: MarketArchive, server: MarketServer, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only `--online` can tell; repair takes the old rows out and the new ones in."""
    archive.made.clear()
    archive.seed = 2
    assert check("verify", config) == 0
    assert check("verify", config, "--online") == 1
    assert "the venue has replaced it" in capsys.readouterr().err
    assert check("repair", config, "--online") == 0
    assert check("verify", config, "--online") == 0
    fresh = write_config(server, config.parent / "fresh")
    assert run("trades", fresh, *SPAN) == 0
    assert run("klines", fresh, *SPAN, "--interval=1h") == 0
    assert digests(fresh) == digests(config)


def test_a_check_that_could_not_be_made_is_no_success(
    server: MarketServer, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--online` against a host that keeps failing ends with exit code 1 and one line."""
    server.fault("CHECKSUM$", "status", times=-1, status=500)
    assert check("verify", config, "--online") == 1
    assert "server error 500" in capsys.readouterr().err


def test_repair_waits_for_a_download_before_it_changes_anything(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While another command downloads, repair is refused with catalog and `downloads.json` as they were."""
    catalog = config.parent / "catalog"
    flip(trade_file(config, "2025-02-02"))

    def state() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in catalog.rglob("*.json") if ".work" not in path.parts}

    before = state()
    assert str(catalog / "downloads.json") in before
    with downloads_folder(catalog):
        assert check("repair", config) == 2
        assert "another download into this catalog is running" in capsys.readouterr().err
        assert state() == before
    assert check("repair", config) == 0
    assert check("verify", config) == 0


def test_local_files_must_be_imported_again(
    archive: MarketArchive, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What came from this disk cannot be fetched: repair says which file."""
    local = config.parent / "BTCUSDT-trades-2025-01-05.zip"
    content = archive.file(DAY.replace("XRPUSDT", "BTCUSDT").replace("2025-02-02", "2025-01-05"))
    assert content is not None
    local.write_bytes(content)
    words: list[Any] = [
        "import",
        local,
        "--venue=binance",
        "--market=spot",
        "--symbol=BTCUSDT",
        "--kind=trades",
    ]
    words.append(f"--config={config}")
    assert download_data.main([str(word) for word in words]) == 0
    (path,) = (config.parent / "catalog/data/trade_tick/BTCUSDT.BINANCE").glob("*.parquet")
    flip(path)
    assert check("repair", config) == 1
    assert "BTCUSDT-trades-2025-01-05.zip: was imported from a local file" in capsys.readouterr().err
    assert download_data.main([str(word) for word in words]) == 0
    assert check("verify", config) == 0
