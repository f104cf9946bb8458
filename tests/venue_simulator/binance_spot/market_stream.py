"""The market streams of Binance spot (web-socket-streams.md): /stream (combined) and /ws (raw)."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from tests.venue_simulator.binance_common import INTERVALS_MS, price_texts
from tests.venue_simulator.binance_spot.market_data import quote_text
from tests.venue_simulator.core import Market, Trade
from tests.venue_simulator.history import Kline
from tests.venue_simulator.klines import KlineFeed
from tests.venue_simulator.streams import Connection, frame
from tests.venue_simulator.venue import Venue

KLINE_UPDATE_MS: Final = 2_000
MOST_STREAMS: Final = 1024


class MarketStreams:
    """Who listens to what, and the frames that they get.

    Parameters
    ----------
    venue
        Clock, markets and histories.
    """

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._symbols = {market.symbol.lower(): market for market in venue.exchange.markets.values()}
        self._subscribers: dict[str, set[Connection]] = defaultdict(set)
        self._feeds: dict[tuple[str, str], KlineFeed] = {}
        self._next_update_ms = 0
        self._update_id = 1_000_000

    async def serve(self, request: web.Request, connection: Connection) -> None:
        """Serve one connection until it closes."""
        connection.state["combined"] = request.path.endswith("/stream")
        raw = request.match_info.get("stream", "")
        for name in request.query.get("streams", raw).split("/"):
            if name:
                self._subscribe(connection, name)
        try:
            async for text in connection.texts():
                self._venue.note("WS market", {"text": text}, 200)
                connection.send("reply", json.dumps(self._answer(connection, text)))
        finally:
            for name in connection.topics:
                self._subscribers[name].discard(connection)

    def on_trades(self, market: Market, trades: Sequence[Trade]) -> None:
        """Send trades to those who asked for them; feed the klines."""
        symbol = market.symbol.lower()
        now_ms = self._venue.clock.now_ns() // 1_000_000
        for kind in ("trade", "aggTrade"):
            if listeners := self._subscribers.get(f"{symbol}@{kind}"):
                encode = trade_data if kind == "trade" else agg_trade_data
                self._broadcast(f"{symbol}@{kind}", "public.trade", encode(market, trades, now_ms), listeners)
        for (name, _interval), feed in self._feeds.items():
            if name == symbol:
                feed.update(trades)
        if listeners := self._subscribers.get(f"{symbol}@bookTicker"):
            self._broadcast(f"{symbol}@bookTicker", "public.book", [self._book_data(market)], listeners)

    def on_tick(self) -> None:
        """Send klines: those that have closed at once, the open ones every two seconds."""
        now_ms = self._venue.clock.now_ns() // 1_000_000
        is_update = now_ms >= self._next_update_ms
        if is_update:
            self._next_update_ms = now_ms + KLINE_UPDATE_MS
        for (symbol, interval), feed in self._feeds.items():
            name = f"{symbol}@kline_{interval}"
            listeners = self._subscribers.get(name)
            bars = [(bar, True) for bar in feed.take_closed(now_ms)]
            if is_update and feed.is_changed:
                bars.append((feed.current, False))
                feed.is_changed = False
            if bars and listeners:
                market = self._symbols[symbol]
                data = [
                    kline_data(market, interval, bar, now_ms, is_closed=is_closed) for bar, is_closed in bars
                ]
                self._broadcast(name, "public.kline", data, listeners)

    def _answer(self, connection: Connection, text: str) -> dict[str, Any]:
        try:
            message = json.loads(text)
        except ValueError:
            return {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}
        names = message.get("params") or []
        match message.get("method"):
            case "SUBSCRIBE":
                for name in names:
                    self._subscribe(connection, name)
            case "UNSUBSCRIBE":
                for name in names:
                    connection.topics.discard(name)
                    self._subscribers[name].discard(connection)
            case "LIST_SUBSCRIPTIONS":
                return {"result": sorted(connection.topics), "id": message.get("id")}
            case unknown:
                return {"code": 2, "msg": f"Invalid request: unknown variant {unknown}, expected one of "
                        "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY` "
                        "at line 1 column 28"}  # fmt: skip
        return {"result": None, "id": message.get("id")}

    def _subscribe(self, connection: Connection, name: str) -> None:
        if len(connection.topics) >= MOST_STREAMS:
            return
        connection.topics.add(name)
        self._subscribers[name].add(connection)
        symbol, _, kind = name.partition("@")
        interval = kind.removeprefix("kline_")
        market = self._symbols.get(symbol)
        if market is not None and kind != interval and interval in INTERVALS_MS:
            now_ms = self._venue.clock.now_ns() // 1_000_000
            history = self._venue.histories[market.key]
            self._feeds.setdefault((symbol, interval), KlineFeed(history, INTERVALS_MS[interval], now_ms))

    def _book_data(self, market: Market) -> str:
        self._update_id += 1
        touch = self._venue.exchange.books[market.key].touch()
        if touch is None:
            return book_data(market, self._update_id, market.tick, market.tick, market.lot)
        return book_data(market, self._update_id, touch.bid, touch.ask, touch.qty)

    def _broadcast(self, name: str, kind: str, data: Sequence[str], listeners: set[Connection]) -> None:
        """Encode once for everybody; raw streams go without the envelope."""
        wrapped = [frame(f'{{"stream":"{name}","data":{one}}}') for one in data]
        for connection in listeners:
            if connection.state["combined"]:
                connection.send_frames(kind, wrapped)
            else:
                connection.send_frames(kind, [frame(one) for one in data])


def trade_data(market: Market, trades: Sequence[Trade], now_ms: int) -> list[str]:
    """Source: web-socket-streams.md, "Trade Streams"."""
    price, qty = price_texts(market)
    head = f'{{"e":"trade","E":{now_ms},"s":"{market.symbol}","t":'
    return [
        f'{head}{trade_id},"p":"{price(ticks)}","q":"{qty(lots)}","T":{ts_ns // 1_000_000},'
        f'"m":{"false" if is_buyer else "true"},"M":true}}'
        for trade_id, ticks, lots, is_buyer, ts_ns in trades
    ]


def agg_trade_data(market: Market, trades: Sequence[Trade], now_ms: int) -> list[str]:
    """Source: web-socket-streams.md, "Aggregate Trade Streams". Every trade is an aggregate of its own."""
    price, qty = price_texts(market)
    head = f'{{"e":"aggTrade","E":{now_ms},"s":"{market.symbol}","a":'
    return [
        f'{head}{trade_id},"p":"{price(ticks)}","q":"{qty(lots)}","f":{trade_id},"l":{trade_id},'
        f'"T":{ts_ns // 1_000_000},"m":{"false" if is_buyer else "true"},"M":true}}'
        for trade_id, ticks, lots, is_buyer, ts_ns in trades
    ]


def kline_data(market: Market, interval: str, bar: Kline, now_ms: int, *, is_closed: bool) -> str:
    """Source: web-socket-streams.md, "Kline/Candlestick Streams for UTC"."""
    price, qty = price_texts(market)
    kline = {
        "t": bar.open_ms,
        "T": bar.close_ms,
        "s": market.symbol,
        "i": interval,
        "f": bar.first_id,
        "L": bar.last_id,
        "o": price(bar.open),
        "c": price(bar.close),
        "h": price(bar.high),
        "l": price(bar.low),
        "v": qty(bar.lots),
        "n": bar.trades,
        "x": is_closed,
        "q": quote_text(market, bar.turnover),
        "V": qty(bar.taker_lots),
        "Q": quote_text(market, bar.taker_turnover),
        "B": "0",
    }
    return json.dumps({"e": "kline", "E": now_ms, "s": market.symbol, "k": kline}, separators=(",", ":"))


def book_data(market: Market, update_id: int, bid: Any, ask: Any, qty: Any) -> str:
    """Source: web-socket-streams.md, "Individual Symbol Book Ticker Streams"."""
    return (
        f'{{"u":{update_id},"s":"{market.symbol}","b":"{bid:.8f}","B":"{qty:.8f}",'
        f'"a":"{ask:.8f}","A":"{qty:.8f}"}}'
    )
