"""The public REST endpoints of Binance spot (rest-api.md, "General" and "Market Data endpoints")."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from aiohttp import web

from tests.venue_simulator.binance_common import Params, interval_ms_of, market_of, refuse, reply, whole
from tests.venue_simulator.binance_spot import market_data, payloads
from tests.venue_simulator.core import Book, Market
from tests.venue_simulator.protocol import Route
from tests.venue_simulator.venue import Venue

WEIGHT: Final = "REQUEST_WEIGHT"
MOST_ROWS: Final = 1000


class MarketRest:
    """Handlers of what everybody may ask.

    Parameters
    ----------
    venue
        Exchange, clock and histories.
    """

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._exchange = venue.exchange

    def routes(self) -> Iterable[Route]:
        """Return the endpoints with their weights (rest-api.md gives one for each)."""
        for path, handler, weight in (
            ("/api/v3/ping", self.ping, 1),
            ("/api/v3/time", self.time, 1),
            ("/api/v3/exchangeInfo", self.exchange_info, 20),
            ("/api/v3/klines", self.klines, 2),
            ("/api/v3/trades", self.trades, 25),
            ("/api/v3/historicalTrades", self.historical_trades, 25),
            ("/api/v3/aggTrades", self.agg_trades, 4),
            ("/api/v3/depth", self.depth, 5),
            ("/api/v3/ticker/price", self.price_ticker, 2),
            ("/api/v3/ticker/bookTicker", self.book_ticker, 2),
            ("/api/v3/ticker/24hr", self.day_ticker, 2),
        ):
            yield Route("GET", path, handler, {WEIGHT: weight})

    async def ping(self, _request: web.Request) -> web.Response:
        """Source: data/wire http_json/ping_response.json."""
        return reply({})

    async def time(self, _request: web.Request) -> web.Response:
        """Source: data/wire http_json/server_time_response.json."""
        return reply({"serverTime": self._now_ms()})

    async def exchange_info(self, request: web.Request) -> web.Response:
        """Return the markets, all or those asked for."""
        return reply(payloads.exchange_info(self._asked_markets(request), self._now_ms()))

    async def klines(self, request: web.Request) -> web.Response:
        """Return bars by open time, the unfinished one included."""
        market, step_ms = self._market(request), interval_ms_of(request.query)
        start, end = whole(request.query, "startTime"), whole(request.query, "endTime")
        bars = self._venue.histories[market.key].klines(
            step_ms, start, end, limit_of(request.query), self._now_ms()
        )
        return reply([market_data.kline_row(market, bar) for bar in bars])

    async def trades(self, request: web.Request) -> web.Response:
        """Return the newest trades."""
        market = self._market(request)
        rows = self._venue.histories[market.key].last(limit_of(request.query))
        return reply([market_data.trade_row(market, row) for row in rows])

    async def historical_trades(self, request: web.Request) -> web.Response:
        """Return trades by id."""
        market, count = self._market(request), limit_of(request.query)
        history, from_id = self._venue.histories[market.key], whole(request.query, "fromId")
        rows = history.last(count) if from_id is None else history.from_id(from_id, count)
        return reply([market_data.trade_row(market, row) for row in rows])

    async def agg_trades(self, request: web.Request) -> web.Response:
        """Return aggregate trades by id or time."""
        market, count = self._market(request), limit_of(request.query)
        history, from_id = self._venue.histories[market.key], whole(request.query, "fromId")
        start, end = whole(request.query, "startTime"), whole(request.query, "endTime")
        if from_id is not None:
            rows = history.from_id(from_id, count)
        else:
            start_ns = None if start is None else start * 1_000_000
            end_ns = None if end is None else (end + 1) * 1_000_000
            rows = history.between(start_ns, end_ns, count)
        return reply([market_data.agg_trade_row(market, row) for row in rows])

    async def depth(self, request: web.Request) -> web.Response:
        """Return the implied book."""
        market = self._market(request)
        levels = min(whole(request.query, "limit", 100) or 100, 5000)
        book = self._exchange.books[market.key]
        return reply(market_data.depth(market, book, levels, book.last.trade_id if book.last else 0))

    async def price_ticker(self, request: web.Request) -> web.Response:
        """Return last prices."""
        return self._per_market(request, lambda market: market_data.price_ticker(market, self._book(market)))

    async def book_ticker(self, request: web.Request) -> web.Response:
        """Return best bids and asks."""
        return self._per_market(request, lambda market: market_data.book_ticker(market, self._book(market)))

    async def day_ticker(self, request: web.Request) -> web.Response:
        """Return the statistics of 24 hours."""
        return self._per_market(
            request,
            lambda market: market_data.day_ticker(
                market, self._venue.histories[market.key], self._book(market), self._now_ms()
            ),
        )

    def _asked_markets(self, request: web.Request) -> Sequence[Market]:
        asked = request.query.get("symbol") or request.query.get("symbols")
        if not asked:
            return list(self._exchange.markets.values())
        names = asked.strip("[]").replace('"', "").split(",")
        return [market_of({"symbol": name.strip()}, self._exchange.markets) for name in names]

    def _per_market(self, request: web.Request, row: Callable[[Market], Any]) -> web.Response:
        rows = [row(market) for market in self._asked_markets(request)]
        return reply(rows[0] if request.query.get("symbol") else rows)

    def _market(self, request: web.Request) -> Market:
        return market_of(request.query, self._exchange.markets)

    def _book(self, market: Market) -> Book:
        return self._exchange.books[market.key]

    def _now_ms(self) -> int:
        return self._venue.clock.now_ns() // 1_000_000


def limit_of(params: Params) -> int:
    """Return how many rows are asked for, at most 1000."""
    count = whole(params, "limit", 500)
    if count is None or count < 1:
        raise refuse(-1100, "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'.")
    return min(count, MOST_ROWS)
