"""The venues by name, each loaded when it is asked for."""

import importlib
from collections.abc import Iterable, Sequence
from typing import Final

from tests.venue_simulator.core import Account
from tests.venue_simulator.protocol import Protocol, SymbolTerms
from tests.venue_simulator.venue import Venue

PROTOCOLS: Final = {
    "binance_spot": "tests.venue_simulator.binance_spot:BinanceSpot",
    "binance_usdm": "tests.venue_simulator.binance_usdm:BinanceUsdm",
    "bybit": "tests.venue_simulator.bybit:Bybit",
}
QUOTE_BALANCE: Final = 100_000


def make_venue(name: str, symbols: Iterable[SymbolTerms], latency_secs: float = 0.005) -> Venue:
    """Make a venue where these symbols trade, and one account that owns 100,000 of each quote currency."""
    if name not in PROTOCOLS:
        raise SystemExit(f"venue {name}: one of {', '.join(PROTOCOLS)}")
    module, _, attribute = PROTOCOLS[name].partition(":")
    protocol: type[Protocol] = getattr(importlib.import_module(module), attribute)
    terms: Sequence[SymbolTerms] = list(symbols)
    markets = [market for one in terms for market in protocol.make_markets(one)]
    account = Account.with_balances({one.quote: QUOTE_BALANCE for one in terms})
    return Venue(protocol, markets, [account], latency_secs)
