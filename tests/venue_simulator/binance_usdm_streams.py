"""Streams of Binance USD-M: market streams with subscriptions, and user streams by listen key.

Sources: developers.binance.com, "USDⓈ-M Futures", "Websocket Market Streams" (connect, live subscribing) and
"User Data Streams" (start, keepalive, close, expiry).
"""

import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.venue_simulator import binance_usdm_public as public
from tests.venue_simulator.binance_common import INTERVALS_MS
from tests.venue_simulator.binance_usdm_market import MarketDesk, kline_row
from tests.venue_simulator.binance_usdm_rules import UsdmError
from tests.venue_simulator.binance_usdm_views import MILLION
from tests.venue_simulator.core import Market, Trade
from tests.venue_simulator.klines import KlineFeed
from tests.venue_simulator.streams import Connection, frame

LISTEN_KEY_MS = 60 * 60_000
KLINE_EVERY_MS = 250
KIND_OF_EVENT = {  # how stream faults name the events
    "ORDER_TRADE_UPDATE": "private.order",
    "TRADE_LITE": "private.lite",
    "ALGO_UPDATE": "private.algo",
    "ACCOUNT_UPDATE": "private.balance",
}
MARK_PRICE_EVERY_MS = 1_000


def encoded(message: Any) -> str:
    """Write JSON as the venue does, without blanks."""
    return json.dumps(message, separators=(",", ":"))


class MarketStreams:
    """Serves `/stream` and `/ws`: who listens to what, and the frames for it.

    Parameters
    ----------
    desk
        Markets, histories, touch, mark price and funding rate.
    now_ms
        Returns exchange time.
    """

    def __init__(self, desk: MarketDesk, now_ms: Callable[[], int]) -> None:
        self.desk = desk
        self.now_ms = now_ms
        self._markets = {market.symbol.lower(): market for market in desk.exchange.markets.values()}
        self._listeners: defaultdict[str, set[Connection]] = defaultdict(set)
        self._feeds: dict[str, tuple[Market, str, KlineFeed]] = {}  # by stream name
        self._moved: set[str] = set()  # markets with trades since the last tick
        self._next_kline_ms = self._next_mark_ms = 0

    async def serve(self, connection: Connection, names: Iterable[str], *, is_combined: bool) -> None:
        """Serve one connection until it goes."""
        connection.state["is_combined"] = is_combined
        for name in names:
            self._subscribe(connection, name)
        try:
            async for text in connection.texts():
                self._obey(connection, json.loads(text))
        finally:
            for name in connection.topics:
                self._listeners[name].discard(connection)

    def publish(self, market: Market, trades: Sequence[Trade]) -> None:
        """Push public trades; the touch follows with the next tick, when the exchange has matched them."""
        self._moved.add(market.key)
        symbol = market.symbol.lower()
        for kind in ("aggTrade", "trade"):
            stream = f"{symbol}@{kind}"
            if self._listeners.get(stream):
                self._push("public.trade", stream, trade_texts(kind, market, trades, self.now_ms()))
        for fed, _, feed in self._feeds.values():
            if fed is market:
                feed.update(trades)

    def on_tick(self) -> None:
        """Push touches and closed klines at once, open ones four times a second, mark prices every second."""
        now_ms = self.now_ms()
        while self._moved:
            self._push_touch(self.desk.exchange.markets[self._moved.pop()], now_ms)
        is_due = now_ms >= self._next_kline_ms
        for stream, (market, interval, feed) in self._feeds.items():
            bars = [(bar, True) for bar in feed.take_closed(now_ms)]
            if is_due and feed.is_changed:
                bars.append((feed.current, False))
                feed.is_changed = False
            rows = ((kline_row(market, bar), is_closed) for bar, is_closed in bars)
            events = [
                public.kline_event(market.symbol, interval, row, now_ms, is_closed=closed)
                for row, closed in rows
            ]
            self._push("public.kline", stream, [encoded(event) for event in events])
        if is_due:
            self._next_kline_ms = now_ms + KLINE_EVERY_MS
        if now_ms >= self._next_mark_ms:
            self._next_mark_ms = now_ms + MARK_PRICE_EVERY_MS
            for market in self._markets.values():
                self._push_mark(market, now_ms)

    def _obey(self, connection: Connection, command: dict[str, Any]) -> None:
        result: list[str] | None = None
        for name in command.get("params") or []:
            if command.get("method") == "SUBSCRIBE":
                self._subscribe(connection, name)
            elif command.get("method") == "UNSUBSCRIBE":
                connection.topics.discard(name)
                self._listeners[name].discard(connection)
        if command.get("method") == "LIST_SUBSCRIPTIONS":
            result = sorted(connection.topics)
        connection.send("reply", encoded({"result": result, "id": command.get("id")}))

    def _subscribe(self, connection: Connection, name: str) -> None:
        connection.topics.add(name)
        self._listeners[name].add(connection)
        symbol, _, kind = name.partition("@")
        interval = kind.removeprefix("kline_")
        market = self._markets.get(symbol)
        if market is not None and kind != interval and interval in INTERVALS_MS and name not in self._feeds:
            feed = KlineFeed(self.desk.histories[market.key], INTERVALS_MS[interval], self.now_ms())
            self._feeds[name] = (market, interval, feed)

    def _push(self, kind: str, stream: str, texts: Sequence[str]) -> None:
        """Encode once for everybody; `/ws` goes without the envelope."""
        listeners = self._listeners.get(stream)
        if not listeners or not texts:
            return
        wrapped = [frame(f'{{"stream":"{stream}","data":{text}}}') for text in texts]
        for connection in listeners:
            is_combined = connection.state["is_combined"]
            connection.send_frames(kind, wrapped if is_combined else [frame(text) for text in texts])

    def _push_touch(self, market: Market, now_ms: int) -> None:
        stream = f"{market.symbol.lower()}@bookTicker"
        if self._listeners.get(stream):
            bid, ask = self.desk.touch(market.symbol)
            event = public.book_ticker_event(market.symbol, now_ms, bid, ask, now_ms)
            self._push("public.book", stream, [encoded(event)])

    def _push_mark(self, market: Market, now_ms: int) -> None:
        if self.desk.exchange.last_price(market.key) is None:
            return
        mark, rate = self.desk.mark(market.symbol), f"{self.desk.rate(market.symbol):.8f}"
        due_ms = public.next_funding_ms(now_ms)
        text = encoded(public.mark_price_event(market.symbol, mark, mark, rate, due_ms, now_ms))
        for speed in ("@markPrice", "@markPrice@1s"):
            self._push("public.markPrice", f"{market.symbol.lower()}{speed}", [text])


def trade_texts(kind: str, market: Market, trades: Sequence[Trade], now_ms: int) -> list[str]:
    """Encode trades as `agg_trade_event` and `trade_event` would; by hand, since 20,000 a second come."""
    price_of, qty_of = public.grid_writer(market.tick), public.grid_writer(market.lot)
    symbol = market.symbol
    texts = []
    for trade_id, ticks, lots, is_buyer, ts_ns in trades:
        numbers = f'"p":"{price_of(ticks)}","q":"{qty_of(lots)}"'
        tail = f'"T":{ts_ns // MILLION},"m":{"false" if is_buyer else "true"}'
        if kind == "trade":
            texts.append(f'{{"e":"trade","E":{now_ms},"s":"{symbol}","t":{trade_id},{numbers},{tail}}}')
        else:
            head = f'{{"e":"aggTrade","E":{now_ms},"a":{trade_id},"s":"{symbol}"'
            texts.append(f'{head},{numbers},"f":{trade_id},"l":{trade_id},{tail},"st":1}}')
    return texts


@dataclass(slots=True)
class ListenKey:
    """One account's listen key."""

    account: str
    text: str
    expires_ms: int
    connections: set[Connection] = field(default_factory=set)


class UserStreams:
    """Issues listen keys and pushes an account's events to whoever listens with a valid one."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.keys: dict[str, ListenKey] = {}  # by account

    def start(self, account: str) -> str:
        """POST listenKey: the present one, its validity extended, or a new one."""
        key = self.keys.get(account)
        if key is None:
            key = self.keys[account] = ListenKey(account, secrets.token_hex(32), 0)
        key.expires_ms = self.now_ms() + LISTEN_KEY_MS
        return key.text

    def keep_alive(self, account: str) -> str:
        """PUT listenKey; -1125 without one."""
        if account not in self.keys:
            raise UsdmError(-1125)
        return self.start(account)

    def stop(self, account: str) -> None:
        """DELETE listenKey: streams that use it stay silent from now on."""
        self.keys.pop(account, None)

    async def serve(self, connection: Connection, text: str) -> None:
        """Serve one connection; one with an unknown key stays open and silent, as at the venue."""
        key = next((key for key in self.keys.values() if key.text == text), None)
        if key is not None:
            connection.state["account"] = key.account
            key.connections.add(connection)
        async for _ in connection.texts():
            pass  # the venue takes no commands here
        if key is not None:
            key.connections.discard(connection)

    def push(self, account: str, message: dict[str, Any]) -> None:
        """Send an event."""
        key = self.keys.get(account)
        if key is None:
            return
        text = encoded(message)
        for connection in list(key.connections):
            connection.send(KIND_OF_EVENT[message["e"]], text)

    def expire(self, account: str, build: Callable[[str, int], dict[str, Any]]) -> None:
        """End a listen key now: its streams hear so and get nothing more."""
        key = self.keys.pop(account, None)
        if key is not None:
            text = encoded(build(key.text, self.now_ms()))
            for connection in list(key.connections):
                connection.send("private.stream", text)

    def due(self) -> list[str]:
        """Return the accounts whose key was not kept alive for an hour."""
        now_ms = self.now_ms()
        return [key.account for key in self.keys.values() if key.expires_ms <= now_ms]
