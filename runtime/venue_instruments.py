"""Instruments as the venues define them: from exchange-info, or from a labelled file while that is away.

Fees are the public base tier (:mod:`runtime.instruments`): an account's own
fees are not public.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, Protocol, cast

from nautilus_trader.model.instruments import Instrument

from runtime.download.binance_rest import BinanceRest
from runtime.download.bybit_rest import BybitRest
from runtime.download.http import Http
from runtime.download.venue_rows import FundingRate, Ticker, VenueSymbol
from runtime.errors import VenueError
from runtime.instruments import PublishedTerms, make_instrument, market_terms, split_symbol
from runtime.settings import Settings

EXCHANGE_INFO: Final = "exchange-info"
FALLBACK: Final = "offline fallback"
FALLBACK_FILE: Final = Path(__file__).with_name("fallback_instruments.json")

type Source = Literal["exchange-info", "offline fallback"]


class VenueRest(Protocol):
    """What both venues' REST clients can do."""

    async def server_ms(self) -> int:
        """Return the venue's clock, UNIX milliseconds."""
        ...

    async def symbols(self) -> list[VenueSymbol]:
        """Return the symbols of exchange-info."""
        ...

    async def tickers(self) -> list[Ticker]:
        """Return turnover and spread of every symbol over the last 24 hours."""
        ...

    async def first_open_ns(self, symbol: str) -> int | None:
        """Return the open time of the symbol's first kline, None if it has never traded."""
        ...

    async def funding_rates(self, symbol: str, start_ns: int, end_ns: int) -> list[FundingRate]:
        """Return the funding payments in [start_ns, end_ns), oldest first."""
        ...


def venue_rest(http: Http, settings: Settings, venue: str, market: str) -> VenueRest:
    """Return the REST client of a market; ConfigurationError when the venue has no such market."""
    market_terms(venue, market)
    if venue == "binance":
        return BinanceRest(http, settings.hosts, cast("Literal['spot', 'usdm']", market))
    return BybitRest(http, settings.hosts, cast("Literal['linear', 'spot']", market), settings.download)


@dataclass(frozen=True, slots=True)
class Definitions:
    """Instruments of one market.

    Parameters
    ----------
    instruments
        By the venue's symbol.
    source
        Where they were read.
    missing
        Symbols that were asked for and are not there.
    warning
        What to tell the user, empty when all is well.
    """

    instruments: Mapping[str, Instrument]
    source: Source
    missing: tuple[str, ...]
    warning: str = ""


def venue_instrument(venue: str, market: str, symbol: VenueSymbol, source: Source) -> Instrument:
    """Build the instrument of a symbol with the precision that live ticks have (decision 0004).

    Examples
    --------
    >>> bitcoin = VenueSymbol("BTCUSDT", "BTC", "USDT", Decimal("0.01000000"), Decimal("0.00001000"))
    >>> instrument = venue_instrument("binance", "spot", bitcoin, "exchange-info")
    >>> instrument.price_precision, str(instrument.price_increment)
    (8, '0.01000000')
    """
    published = PublishedTerms(source, (symbol.base, symbol.quote), symbol.min_qty, symbol.min_notional)
    return make_instrument(venue, market, symbol.symbol, symbol.tick_size, symbol.lot_size, published)


async def find_instruments(
    http: Http, settings: Settings, venue: str, market: str, symbols: Iterable[str]
) -> Definitions:
    """Return the venue's definitions of some symbols; from the fallback file while it cannot be reached.

    Parameters
    ----------
    http
        Shared by everything that the command fetches.
    settings
        Hosts and download limits.
    venue, market
        One of the pairs of :data:`runtime.instruments.TERMS`.
    symbols
        The venue's symbols, in capitals. Delisted ones are in no exchange-info: they end up in `missing`
        and get their increments from their files.

    Raises
    ------
    ConfigurationError
        When the venue has no such market.
    """
    wanted = tuple(dict.fromkeys(symbols))
    rest = venue_rest(http, settings, venue, market)
    try:
        known = {one.symbol: one for one in await rest.symbols()}
    except VenueError as error:
        return _fallback(venue, market, wanted, str(error))
    return _definitions(venue, market, wanted, known, EXCHANGE_INFO)


def fallback_symbols(venue: str, market: str) -> dict[str, VenueSymbol]:
    """Return the symbols of the fallback file for a market."""
    document: dict[str, Any] = json.loads(FALLBACK_FILE.read_text(encoding="utf-8"))
    found: dict[str, VenueSymbol] = {}
    for entry in document["markets"]:
        if (entry["venue"], entry["market"]) == (venue, market):
            for symbol, (tick_size, lot_size, min_notional) in entry["symbols"].items():
                base, quote = split_symbol(symbol)
                found[symbol] = VenueSymbol(
                    symbol,
                    base,
                    quote,
                    Decimal(tick_size),
                    Decimal(lot_size),
                    min_notional=Decimal(min_notional),
                )
    return found


def _fallback(venue: str, market: str, wanted: tuple[str, ...], cause: str) -> Definitions:
    found = _definitions(venue, market, wanted, fallback_symbols(venue, market), FALLBACK)
    warning = (
        f"{cause}; increments of {len(found.instruments)} of {len(wanted)} symbols are from the offline "
        f"fallback ({FALLBACK_FILE.name}), which may be out of date"
    )
    return Definitions(found.instruments, FALLBACK, found.missing, warning)


def _definitions(
    venue: str, market: str, wanted: tuple[str, ...], known: Mapping[str, VenueSymbol], source: Source
) -> Definitions:
    instruments = {
        symbol: venue_instrument(venue, market, known[symbol], source) for symbol in wanted if symbol in known
    }
    return Definitions(instruments, source, tuple(symbol for symbol in wanted if symbol not in known))
