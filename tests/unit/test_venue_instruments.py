"""Instruments from exchange-info and from the fallback file."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from runtime.download.http import Http
from runtime.download.increments import whole_units
from runtime.download.venue_rows import VenueSymbol
from runtime.instruments import TERMS
from runtime.settings import DownloadSettings, HostSettings, Settings
from runtime.venue_instruments import Definitions, fallback_symbols, find_instruments, venue_instrument
from tests.local_server import Reply, local_server
from tests.market_server.rest import example_rest

NOW_MS = 1_773_835_230_000
GONE: Reply = (503, {}, b"")
# Contracts whose tick the venue has since made coarser: today's definition cannot hold that day's prices.
CHANGED_SINCE = {"binance-usdm_BTCUSDT_2020-02-22"}


def find(venue: str, market: str, *symbols: str, is_up: bool = True) -> Definitions:
    """Ask for the definitions of symbols, with the venue up or down."""
    rest = example_rest(NOW_MS)

    def respond(path: str, query: Mapping[str, str]) -> Reply:
        return (rest.respond(path, query) or GONE) if is_up else GONE

    async def main(address: str) -> Definitions:
        settings = Settings(
            hosts=HostSettings(binance_spot=address, binance_usdm=address, bybit=address),
            download=DownloadSettings(retries=0),
        )
        async with Http(settings.download) as http:
            return await find_instruments(http, settings, venue, market, symbols)

    with local_server(respond) as server:
        return asyncio.run(main(server.address))


@pytest.mark.parametrize(("venue", "market"), TERMS)
def test_exchange_info_makes_instruments(venue: str, market: str) -> None:
    """Increments, precision, minimum order and fees of every market; what is unknown is said."""
    found = find(venue, market, "BTCUSDT", "NOPEUSDT", "BTCUSDT")
    instrument = found.instruments["BTCUSDT"]
    is_spot = (venue, market) == ("binance", "spot")
    assert (instrument.price_precision, instrument.size_precision) == ((8, 8) if is_spot else (2, 5))
    assert instrument.price_increment.as_decimal() == Decimal("0.01")
    assert instrument.min_notional.as_decimal() == 5
    assert instrument.taker_fee == TERMS[venue, market].taker_fee > 0
    assert instrument.info == {"source": "exchange-info"}
    assert (found.source, found.missing, found.warning) == ("exchange-info", ("NOPEUSDT",), "")


def test_unreachable_venue_falls_back_with_a_warning() -> None:
    """The label is in the instrument and in the warning, which names the cause too."""
    found = find("binance", "spot", "XRPUSDT", "RAREUSDT", is_up=False)
    assert (found.source, found.missing) == ("offline fallback", ("RAREUSDT",))
    assert found.instruments["XRPUSDT"].info == {"source": "offline fallback"}
    assert found.instruments["XRPUSDT"].price_precision == 8
    assert "server error 503" in found.warning
    assert "1 of 2 symbols are from the offline fallback" in found.warning


def test_source_survives_the_catalog(tmp_path: Path) -> None:
    """Nautilus stores the label with the definition."""
    instrument = find("bybit", "linear", "ETHUSDT").instruments["ETHUSDT"]
    ParquetDataCatalog(str(tmp_path)).write_data([instrument])
    (stored,) = ParquetDataCatalog(str(tmp_path)).instruments()
    assert stored == instrument
    assert stored.info == {"source": "exchange-info"}
    assert (stored.price_increment, stored.min_notional) == (
        instrument.price_increment,
        instrument.min_notional,
    )


def test_smallest_quantity_is_a_whole_number_of_lots() -> None:
    """A minimum between two lots is rounded up: the lower one would be refused."""
    symbol = VenueSymbol("XRPUSDT", "XRP", "USDT", Decimal("0.0001"), Decimal("0.1"), min_qty=Decimal("2.63"))
    instrument = venue_instrument("bybit", "spot", symbol, "exchange-info")
    assert str(instrument.min_quantity) == "2.7"


def test_fallback_has_the_common_symbols_of_every_market() -> None:
    """Each entry makes an instrument; spot of Binance is written with eight decimals."""
    counts = {}
    for venue, market in TERMS:
        symbols = fallback_symbols(venue, market)
        counts[venue, market] = len(symbols)
        for symbol in symbols.values():
            instrument = venue_instrument(venue, market, symbol, "offline fallback")
            assert instrument.price_increment.as_decimal() == symbol.tick_size
        assert {"BTCUSDT", "ETHUSDT"} <= symbols.keys()
    assert counts["binance", "spot"] >= 40
    assert counts["binance", "usdm"] >= 40


def test_fallback_holds_recorded_trades(shared_data: Path) -> None:
    """Every recorded price and quantity is a whole number of the fallback's increments."""
    checked = 0
    for path in sorted((shared_data / "trades").glob("*.parquet")):
        name, symbol, _ = path.stem.split("_")
        known = fallback_symbols(*name.split("-"))
        if symbol not in known or path.stem in CHANGED_SINCE:
            continue
        table = pq.read_table(path, columns=["price", "qty"])
        for column, increment in (("price", known[symbol].tick_size), ("qty", known[symbol].lot_size)):
            assert whole_units(table[column].to_numpy(), increment)[1].all(), (path.stem, column)
        checked += 1
    assert checked >= 10
