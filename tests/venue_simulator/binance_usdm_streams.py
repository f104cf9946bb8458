"""Streams of Binance USD-M: market streams with subscriptions, and user streams by listen key.

Sources: developers.binance.com, "USDⓈ-M Futures", "Websocket Market Streams" (connect, live subscribing) and
"User Data Streams" (start, keepalive, close, expiry).
"""

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.venue_simulator import binance_usdm_public as public
from tests.venue_simulator.binance_usdm_market import INTERVALS_MS, MarketDesk, kline_row, price_and_size
from tests.venue_simulator.binance_usdm_rules import UsdmError
from tests.venue_simulator.binance_usdm_views import MILLION
from tests.venue_simulator.core import Market, Trade
from tests.venue_simulator.streams import Connection, frame

LISTEN_KEY_MS = 60 * 60_000
KLINE_EVERY_MS = 250
MARK_PRICE_EVERY_MS = 1_000


def encoded(message: Any) -> str:
    """Write JSON as the venue does, without blanks."""
    return json.dumps(message, separators=(",", ":"))


class MarketStreams:
    """Serves `/stream` and `/ws`: what is subscribed, and the frames for it."""

    def __init__(self, desk: MarketDesk, now_ms: Callable[[], int]) -> None:
        self.desk = desk
        self.now_ms = now_ms
        self.connections: set[Connection] = set()
        self._next_kline_ms = self._next_mark_ms = 0
        self._moved: set[str] = set()  # markets with trades since the last tick
        self._kline_open: dict[str, int] = {}  # stream -> open time of the bar that was pushed last

    async def serve(self, connection: Connection, names: Iterable[str], *, is_combined: bool) -> None:
        """Serve one connection until it goes."""
        connection.state["is_combined"] = is_combined
        connection.topics |= set(names)
        self.connections.add(connection)
        try:
            async for text in connection.texts():
                self._obey(connection, json.loads(text))
        finally:
            self.connections.discard(connection)

    def publish(self, market: Market, trades: Sequence[Trade]) -> None:
        """Push public trades; the touch follows with the next tick, when the exchange has matched them."""
        self._moved.add(market.key)
        symbol = market.symbol.lower()
        for stream, kind in ((f"{symbol}@aggTrade", "aggTrade"), (f"{symbol}@trade", "trade")):
            listening = self._listening(stream)
            if listening:
                now_ms = self.now_ms()
                events = [self._trade(kind, market, trade, now_ms) for trade in trades]
                self._push(listening, f"public.{kind}", stream, events)

    def publish_touch(self, market: Market) -> None:
        """Push best bid and ask."""
        stream = f"{market.symbol.lower()}@bookTicker"
        listening = self._listening(stream)
        if listening:
            bid, ask = self.desk.touch(market.symbol)
            now_ms = self.now_ms()
            event = public.book_ticker_event(market.symbol, now_ms, bid, ask, now_ms)
            self._push(listening, "public.bookTicker", stream, [event])

    def on_tick(self) -> None:
        """Push touches, klines four times a second and mark prices every second, as the venue does."""
        while self._moved:
            self.publish_touch(self.desk.exchange.markets[self._moved.pop()])
        now_ms = self.now_ms()
        if now_ms >= self._next_kline_ms:
            self._next_kline_ms = now_ms + KLINE_EVERY_MS
            for market, stream, interval in self._kline_streams():
                self._push_kline(market, stream, interval, now_ms)
        if now_ms >= self._next_mark_ms:
            self._next_mark_ms = now_ms + MARK_PRICE_EVERY_MS
            for market in self.desk.exchange.markets.values():
                for speed in ("@markPrice", "@markPrice@1s"):
                    self._push_mark(market, f"{market.symbol.lower()}{speed}", now_ms)

    def _obey(self, connection: Connection, command: dict[str, Any]) -> None:
        names = command.get("params") or []
        result: list[str] | None = None
        match command.get("method"):
            case "SUBSCRIBE":
                connection.topics |= set(names)
            case "UNSUBSCRIBE":
                connection.topics -= set(names)
            case "LIST_SUBSCRIPTIONS":
                result = sorted(connection.topics)
        connection.send("reply", encoded({"result": result, "id": command.get("id")}))

    def _listening(self, stream: str) -> list[Connection]:
        return [connection for connection in self.connections if stream in connection.topics]

    def _push(
        self, listening: Iterable[Connection], kind: str, stream: str, events: Iterable[dict[str, Any]]
    ) -> None:
        plain = [encoded(event) for event in events]
        wrapped = [frame(f'{{"stream":"{stream}","data":{text}}}') for text in plain]
        for connection in listening:
            frames = wrapped if connection.state["is_combined"] else [frame(text) for text in plain]
            connection.send_frames(kind, frames)

    def _trade(self, kind: str, market: Market, trade: Trade, now_ms: int) -> dict[str, Any]:
        build = public.agg_trade_event if kind == "aggTrade" else public.trade_event
        price, qty = price_and_size(market, trade)
        ts_ms = trade.ts_ns // MILLION
        symbol = market.symbol
        return build(symbol, trade.trade_id, price, qty, ts_ms, now_ms, is_buyer_maker=not trade.is_buyer)

    def _kline_streams(self) -> Iterator[tuple[Market, str, str]]:
        wanted = {topic for connection in self.connections for topic in connection.topics}
        for market in self.desk.exchange.markets.values():
            for interval in INTERVALS_MS:
                stream = f"{market.symbol.lower()}@kline_{interval}"
                if stream in wanted:
                    yield market, stream, interval

    def _push_kline(self, market: Market, stream: str, interval: str, now_ms: int) -> None:
        """Push the bars since the last push: a bar whose time is over is pushed once as closed."""
        length = INTERVALS_MS[interval]
        current = now_ms // length * length
        begin = self._kline_open.get(stream, current)
        bars = self.desk.histories[market.key].klines(length, begin, now_ms, 100)
        events = [
            public.kline_event(market.symbol, interval, kline_row(market, bar), now_ms, is_closed=is_closed)
            for bar in bars
            if (is_closed := bar.close_ms < now_ms) or bar.open_ms == current
        ]
        if events:
            self._kline_open[stream] = max(bar.open_ms + length * (bar.close_ms < now_ms) for bar in bars)
            self._push(self._listening(stream), "public.kline", stream, events)

    def _push_mark(self, market: Market, stream: str, now_ms: int) -> None:
        listening = self._listening(stream)
        if listening and self.desk.exchange.last_price(market.key) is not None:
            mark, rate = self.desk.mark(market.symbol), f"{self.desk.rate(market.symbol):.8f}"
            due_ms = public.next_funding_ms(now_ms)
            event = public.mark_price_event(market.symbol, mark, mark, rate, due_ms, now_ms)
            self._push(listening, "public.markPrice", stream, [event])


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
        """Send an event; stream faults know it as "private.<event type>"."""
        key = self.keys.get(account)
        if key is None:
            return
        text = encoded(message)
        for connection in list(key.connections):
            connection.send(f"private.{message['e']}", text)

    def expire(self, account: str, build: Callable[[str, int], dict[str, Any]]) -> None:
        """End a listen key now: its streams hear so and get nothing more."""
        key = self.keys.pop(account, None)
        if key is not None:
            text = encoded(build(key.text, self.now_ms()))
            for connection in list(key.connections):
                connection.send("private.listenKeyExpired", text)

    def due(self) -> list[str]:
        """Return the accounts whose key was not kept alive for an hour."""
        now_ms = self.now_ms()
        return [key.account for key in self.keys.values() if key.expires_ms <= now_ms]
