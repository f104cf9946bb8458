"""Bybit's public stream: trades at once, klines, tickers and the best of the book as time passes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.venue_simulator import bybit_market_payloads as payloads
from tests.venue_simulator.bybit_ids import market_key
from tests.venue_simulator.bybit_record import INTERVALS, MINUTE_MS, MarketRecord
from tests.venue_simulator.core import Market, Trade
from tests.venue_simulator.history import Kline
from tests.venue_simulator.klines import KlineFeed
from tests.venue_simulator.streams import Connection, frame

# A message has at most 1,024 trades ("Trade": "one message may contain multiple trades").
MOST_PER_MESSAGE: Final = 1024
KLINE_EVERY_MS: Final = 1000
TICKER_EVERY_MS: Final = 100
SPOT_MOST_ARGS: Final = 10


class PublicStream:
    """Writes the public topics to the connections that subscribed them.

    Parameters
    ----------
    records
        The markets' past, by key.
    connections
        The venue's open connections; a public one knows its product as `state["category"]`.
    """

    def __init__(self, records: Mapping[str, MarketRecord], connections: Iterable[Connection]) -> None:
        self.records = records
        self.connections = connections
        self._new_books: set[str] = set()
        self._new_tickers: set[str] = set()
        self._next_kline_ms = self._next_ticker_ms = 0
        self._feeds: dict[tuple[str, str], KlineFeed] = {}  # by market and interval

    def refusal(self, category: str, topics: Sequence[str]) -> str:
        """Return why topics cannot be subscribed; "" when they can."""
        if category == "spot" and len(topics) > SPOT_MOST_ARGS:
            return f"args size >{SPOT_MOST_ARGS}"
        for topic in topics:
            if not self._is_topic(category, topic):
                return f"Invalid topic: {topic}"
        return ""

    def first_messages(self, category: str, topics: Sequence[str], now_ms: int) -> list[str]:
        """Return the snapshots with which subscriptions begin."""
        texts = []
        for topic in topics:
            record = self.records[market_key(topic.rpartition(".")[2], category)]
            if topic.startswith("orderbook"):
                texts.append(self._book(record, topic, now_ms))
            elif topic.startswith("tickers"):
                texts.append(self._ticker(record, now_ms))
            elif topic.startswith("kline"):
                self._feed(record, topic.split(".")[1], now_ms)
        return [text for text in texts if text]

    def on_trades(self, market: Market, trades: Sequence[Trade]) -> None:
        """Publish trades, encoded once for all who read them."""
        self._new_books.add(market.key)
        self._new_tickers.add(market.key)
        for (key, _), feed in self._feeds.items():
            if key == market.key:
                feed.update(trades)
        topic = f"publicTrade.{market.symbol}"
        readers = self._readers(market.kind, topic)
        if not readers:
            return
        frames = []
        for first in range(0, len(trades), MOST_PER_MESSAGE):
            part = trades[first : first + MOST_PER_MESSAGE]
            rows = [payloads.stream_trade(market, trade) for trade in part]
            message = payloads.topic_message(topic, rows, part[-1].ts_ns // 1_000_000)
            frames.append(frame(json.dumps(message)))
        for connection in readers:
            connection.send_frames("public.trade", frames)

    def on_tick(self, now_ms: int) -> None:
        """Publish what goes by time."""
        for key in self._new_books:
            market = self.records[key].market
            self._publish(market, f"orderbook.1.{market.symbol}", "public.book", self._book, now_ms)
        self._new_books.clear()
        if now_ms >= self._next_ticker_ms:
            self._next_ticker_ms = now_ms + TICKER_EVERY_MS
            for key in self._new_tickers:
                market = self.records[key].market
                self._publish(market, f"tickers.{market.symbol}", "public.ticker", self._ticker_of, now_ms)
            self._new_tickers.clear()
        self._publish_klines(now_ms)

    def _publish(self, market: Market, topic: str, kind: str, make: Any, now_ms: int) -> None:
        readers = self._readers(market.kind, topic)
        text = make(self.records[market.key], topic, now_ms) if readers else ""
        if text:
            for connection in readers:
                connection.send(kind, text)

    def _publish_klines(self, now_ms: int) -> None:
        is_due = now_ms >= self._next_kline_ms
        if is_due:
            self._next_kline_ms = now_ms + KLINE_EVERY_MS
        for (key, interval), feed in self._feeds.items():
            for row in feed.take_closed(now_ms):
                self._send_kline(self.records[key], interval, row, now_ms)
            if is_due and feed.is_changed:
                feed.is_changed = False
                self._send_kline(self.records[key], interval, feed.current, now_ms)

    def _send_kline(self, record: MarketRecord, interval: str, row: Kline, now_ms: int) -> None:
        topic = f"kline.{interval}.{record.market.symbol}"
        readers = self._readers(record.market.kind, topic)
        if readers:
            message = payloads.topic_message(topic, [record.stream_row(row, interval, now_ms)], now_ms)
            text = json.dumps(message)
            for connection in readers:
                connection.send("public.kline", text)

    def _feed(self, record: MarketRecord, interval: str, now_ms: int) -> None:
        key = (record.market.key, interval)
        if key not in self._feeds:
            self._feeds[key] = KlineFeed(record.history, INTERVALS[interval] * MINUTE_MS, now_ms)

    def _book(self, record: MarketRecord, topic: str, now_ms: int) -> str:
        top = record.top()
        if top is None:
            return ""
        return json.dumps(
            payloads.topic_message(topic, payloads.book(record.market, top, record.updates), now_ms)
        )

    def _ticker_of(self, record: MarketRecord, _topic: str, now_ms: int) -> str:
        return self._ticker(record, now_ms)

    def _ticker(self, record: MarketRecord, now_ms: int) -> str:
        top = record.top()
        if top is None:
            return ""
        data = payloads.stream_ticker(record.market, record.day, top, now_ms)
        message = payloads.topic_message(f"tickers.{record.market.symbol}", data, now_ms)
        return json.dumps(message | {"cs": record.updates})

    def _readers(self, category: str, topic: str) -> list[Connection]:
        return [
            connection
            for connection in self.connections
            if topic in connection.topics and connection.state.get("category") == category
        ]

    def _is_topic(self, category: str, topic: str) -> bool:
        words = topic.split(".")
        if market_key(words[-1], category) not in self.records:
            return False
        match words[:-1]:
            case ["publicTrade"] | ["tickers"]:
                return True
            case ["kline", interval]:
                return interval in INTERVALS
            case ["orderbook", depth]:
                return depth == "1"
        return False
