"""Binance spot: REST, market streams and the user data stream of the WS API."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from aiohttp import web

from tests.venue_simulator.binance_common import error
from tests.venue_simulator.binance_spot import refusals
from tests.venue_simulator.binance_spot.account_rest import AccountRest
from tests.venue_simulator.binance_spot.market_rest import WEIGHT, MarketRest
from tests.venue_simulator.binance_spot.market_stream import MarketStreams
from tests.venue_simulator.binance_spot.user_stream import UserStreams
from tests.venue_simulator.core import (
    Account,
    BalanceReason,
    Execution,
    Fill,
    Market,
    Order,
    Trade,
    VenueRefusal,
)
from tests.venue_simulator.limits import Window
from tests.venue_simulator.protocol import Protocol, Route, SocketRoute, SymbolTerms
from tests.venue_simulator.venue import Venue


class BinanceSpot(Protocol):
    """The protocol; base URLs are ``http://…/binance_spot`` and ``ws://…/binance_spot[/ws-api/v3]``."""

    name = "binance_spot"

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self.users = UserStreams(venue)
        self.streams = MarketStreams(venue)
        self.market_rest = MarketRest(venue)
        self.account_rest = AccountRest(venue, self.users)

    @staticmethod
    def make_markets(terms: SymbolTerms) -> Sequence[Market]:
        """Return the one spot market, with filters as the venue has them for its large symbols."""
        return [
            Market(
                symbol=terms.symbol,
                base=terms.base,
                quote=terms.quote,
                tick=terms.tick,
                lot=terms.lot,
                min_qty=terms.lot,
                max_qty=Decimal(9_000_000),
                level_qty=terms.typical_qty,
            )
        ]

    @staticmethod
    def windows() -> dict[str, Window]:
        """Return the limits that exchangeInfo states (`payloads.RATE_LIMITS`)."""
        return {
            WEIGHT: Window(6000, 60),
            "ORDERS_10S": Window(100, 10),
            "ORDERS_1D": Window(200_000, 86_400),
        }

    def routes(self) -> Iterable[Route | SocketRoute]:
        """Return every endpoint."""
        yield from self.market_rest.routes()
        yield from self.account_rest.routes()
        yield SocketRoute("/stream", "market", self.streams.serve)
        yield SocketRoute("/ws/{stream:.*}", "market", self.streams.serve)
        yield SocketRoute("/ws-api/v3", "user", self.users.serve)

    def refused(self, refusal: VenueRefusal) -> web.Response:
        """Answer with the code of errors.md."""
        return refusals.answer(refusal)

    def failed(self, status: int, code: int, text: str) -> web.Response:
        """Answer with a scripted error."""
        return error(status, code, text)

    def limited(self, status: int, wait_secs: int) -> web.Response:
        """Answer 429 or 418."""
        return refusals.too_many_requests(status, wait_secs, self.now_ms() + wait_secs * 1000)

    def stamp(self, response: web.StreamResponse) -> None:
        """Add the used weight and order counts (rest-api.md, "LIMITS")."""
        windows = self.venue.limiter.windows
        response.headers["X-MBX-USED-WEIGHT"] = str(windows[WEIGHT].used)
        response.headers["X-MBX-USED-WEIGHT-1M"] = str(windows[WEIGHT].used)
        response.headers["X-MBX-ORDER-COUNT-10S"] = str(windows["ORDERS_10S"].used)
        response.headers["X-MBX-ORDER-COUNT-1D"] = str(windows["ORDERS_1D"].used)

    def on_order(self, order: Order, execution: Execution, fill: Fill | None) -> None:
        """Send an executionReport."""
        self.users.on_order(order, execution, fill)

    def on_balance(self, account: Account, assets: Sequence[str], reason: BalanceReason) -> None:
        """Send an outboundAccountPosition."""
        self.users.on_balance(account, assets)

    def on_trades(self, market: Market, trades: Sequence[Trade]) -> None:
        """Send trades, book tickers and klines."""
        self.streams.on_trades(market, trades)

    def expire_user_stream(self, account: str) -> None:
        """End the subscriptions of an account."""
        self.users.terminate(account)

    def on_tick(self) -> None:
        """Close klines."""
        self.streams.on_tick()
