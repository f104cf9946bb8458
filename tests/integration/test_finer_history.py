"""Old archives with finer ticks and lots than the venue has today: stored whole, whatever comes first."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from nautilus_trader.persistence.catalog import ParquetDataCatalog

import download_data
from runtime.catalog import Catalog
from runtime.catalog_refine import refine
from runtime.instruments import with_increments
from runtime.run_bars import read_candles
from tests.integration.download_harness import digests, run, write_config
from tests.market_server import MarketArchive, market_server
from tests.market_server.archive_rest import ArchiveRest

NOW_MS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1000
SPAN = ("--start=2025-01-30", "--end=2025-02-04")
LATE = ("--start=2025-02-02", "--end=2025-02-04")
PERPETUAL = "BTCUSDT-PERP.BINANCE"


@pytest.fixture
def archive() -> MarketArchive:
    """Make a venue whose BTCUSDT had a tick of 0.00005 and a lot of 0.05 until February."""
    until = {"BTCUSDT": date(2025, 2, 1)}
    return MarketArchive(
        date(2025, 1, 30), date(2025, 2, 3), ("XRPUSDT", "BTCUSDT"), trades_a_day=40, finer_until=until
    )


@pytest.fixture
def config(archive: MarketArchive, tmp_path: Path) -> Iterator[Path]:
    """Serve it, and today's increments of 0.0001 and 0.1."""
    with market_server(archive, ArchiveRest(archive, NOW_MS)) as server:
        yield write_config(server, tmp_path)


def prices_of(config: Path, instrument: str = PERPETUAL) -> list[str]:
    """Return what Nautilus itself reads, as text."""
    trades = ParquetDataCatalog(str(config.parent / "catalog")).trade_ticks([instrument])
    return [f"{trade.price} {trade.size}" for trade in trades]


def expected(archive: MarketArchive) -> list[str]:
    """Return the prices and sizes that the archive has, with the decimals of its finest."""
    days = [date(2025, 1, 30), date(2025, 1, 31), *(date(2025, 2, day) for day in (1, 2, 3))]
    return [
        f"{float(archive.decimal('BTCUSDT', day, trade.ticks, 4, 4)):.5f} "
        f"{float(archive.decimal('BTCUSDT', day, trade.lots, 1, 1)):.2f}"
        for day in days
        for trade in archive.trades("BTCUSDT", day)
    ]


def test_the_largest_over_years_keep_the_finer_increments(
    archive: MarketArchive, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--top 2`: the first batch is finer than exchange-info; a warning and a label name both."""
    words = ["trades", "--venue=binance", "--market=usdm", "--top=2", *SPAN, "--json", f"--config={config}"]
    assert download_data.main(words) == 0
    captured = capsys.readouterr()
    series = {one["symbol"]: one for one in json.loads(captured.out)["series"]}
    assert {symbol: one["complete"] for symbol, one in series.items()} == {"XRPUSDT": True, "BTCUSDT": True}
    assert "price_increment 0.00001, not 0.0001 as today at the venue" in captured.err
    assert "size_increment 0.01, not 0.1 as today at the venue" in captured.err
    catalog = Catalog(config.parent / "catalog")
    instrument = catalog.instrument(PERPETUAL)
    assert instrument.info == {
        "source": "exchange-info", "venue_price_increment": "0.0001", "venue_size_increment": "0.1",
    }  # fmt: skip
    assert (str(instrument.price_increment), str(instrument.size_increment)) == ("0.00001", "0.01")
    assert str(catalog.instrument("XRPUSDT-PERP.BINANCE").price_increment) == "0.0001"
    assert prices_of(config) == expected(archive)


def test_what_is_stored_is_refined_in_place(
    archive: MarketArchive, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """February first, trades and klines; then January: same rows, and every file with the finer decimals."""
    options = {"symbol": "BTCUSDT", "market": "usdm"}
    assert run("trades", config, *LATE, **options) == 0
    assert run("klines", config, *LATE, "--interval=1h", **options) == 0
    catalog = Catalog(config.parent / "catalog")
    bars = f"{PERPETUAL}-1-HOUR-LAST-EXTERNAL"
    before = [block.close_ticks.tolist() for block in catalog.read_bars(bars)]
    derived = read_candles(catalog, bars.replace("1-HOUR", "4-HOUR"), None).prices("close").tolist()
    assert str(catalog.instrument(PERPETUAL).price_increment) == "0.0001"
    capsys.readouterr()
    assert run("trades", config, *SPAN, **options) == 0
    assert "price_increment 0.00001, not 0.0001 as today at the venue" in capsys.readouterr().err
    assert prices_of(config) == expected(archive)
    catalog = Catalog(config.parent / "catalog")
    assert [block.close_ticks.tolist() for block in catalog.read_bars(bars)] == [
        [10 * ticks for ticks in block] for block in before
    ]
    assert read_candles(catalog, bars.replace("1-HOUR", "4-HOUR"), None).prices(
        "close"
    ).tolist() == pytest.approx(derived)
    found = ParquetDataCatalog(str(catalog.path)).bars(bar_types=[bars])
    assert {(bar.close.precision, bar.volume.precision) for bar in found} == {(5, 2)}
    assert download_data.main(["verify", f"--config={config}"]) == 0


def test_a_refinement_that_was_cut_is_made_whole(
    archive: MarketArchive, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended between the files and the definition: the rows read as before, the next import finishes."""
    options = {"symbol": "BTCUSDT", "market": "usdm"}
    assert run("trades", config, *LATE, **options) == 0
    catalog = Catalog(config.parent / "catalog")
    before = catalog.read_trades_all(PERPETUAL).price_ticks.tolist()
    finer = with_increments(catalog.instrument(PERPETUAL), Decimal("0.00001"), Decimal("0.01"))
    with monkeypatch.context() as patch:
        patch.setattr("runtime.catalog_refine.store_definition", end)
        with pytest.raises(KeyboardInterrupt):
            refine(catalog.path, finer)
    assert catalog.read_trades_all(PERPETUAL).price_ticks.tolist() == before
    assert run("trades", config, *SPAN, **options) == 0
    assert prices_of(config) == expected(archive)


def end(*_arguments: object) -> None:
    """Stop here."""
    raise KeyboardInterrupt


def test_the_order_of_the_downloads_does_not_matter(archive: MarketArchive, tmp_path: Path) -> None:
    """New months first or old ones first: the same bytes in the end."""
    options = {"symbol": "BTCUSDT", "market": "usdm"}
    with market_server(archive, ArchiveRest(archive, NOW_MS)) as server:
        whole, parts = write_config(server, tmp_path / "whole"), write_config(server, tmp_path / "parts")
        assert run("trades", whole, *SPAN, **options) == 0
        assert run("trades", parts, *LATE, **options) == 0
        assert run("trades", parts, *SPAN, **options) == 0
    assert digests(whole) == digests(parts)
    assert not list((tmp_path / "parts/catalog/.work").glob("*.staging"))
