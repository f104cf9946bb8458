"""What Bybit remembers of a market: its recent trades, one-minute klines and the last day's figures."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tests.venue_simulator.bybit_ids import price_text, trimmed
from tests.venue_simulator.bybit_market_payloads import Day, Payload, Top
from tests.venue_simulator.core import Exchange, Market, Trade
from tests.venue_simulator.core.terms import ZERO

MINUTE_MS: Final = 60_000
INTERVALS: Final = {"1": 1, "3": 3, "5": 5, "15": 15, "30": 30, "60": 60, "120": 120, "240": 240, "360": 360,
                    "720": 720, "D": 1440}  # fmt: skip
# "spot: [1,60], others: [1,1000]" (Bybit v5 "Get Recent Public Trades").
MOST_TRADES: Final = {"spot": 60, "linear": 1000}


@dataclass(slots=True)
class Candle:
    """One kline in ticks and lots; turnover in quote currency."""

    start_ms: int
    open: int
    high: int
    low: int
    close: int
    lots: int
    turnover: Decimal

    def add(self, other: "Candle") -> None:
        """Take in the candle that follows."""
        self.high, self.low = max(self.high, other.high), min(self.low, other.low)
        self.close = other.close
        self.lots += other.lots
        self.turnover += other.turnover


class MarketRecord:
    """Trades and klines of one market, by the exchange's time."""

    def __init__(self, exchange: Exchange, market: Market) -> None:
        self.exchange = exchange
        self.market = market
        self.trades: deque[Trade] = deque(maxlen=MOST_TRADES[market.kind])
        self.minutes: list[Candle] = []
        self.day = Day()
        self.updates = 0

    def take(self, trades: Sequence[Trade]) -> None:
        """Take public trades in their order."""
        self.trades.extend(trades)
        self.updates += 1
        for trade in trades:
            start_ms = trade.ts_ns // 1_000_000 // MINUTE_MS * MINUTE_MS
            price, turnover = trade.price_ticks, self._turnover(trade)
            one = Candle(start_ms, price, price, price, price, trade.size_lots, turnover)
            if self.minutes and self.minutes[-1].start_ms == start_ms:
                self.minutes[-1].add(one)
            else:
                self._fill_gap(start_ms)
                self.minutes.append(one)
            self._take_day(trade, turnover)

    def candles(self, interval: str, now_ms: int) -> list[Candle]:
        """Return the klines of an interval, oldest first; the last one may be unfinished."""
        self._fill_gap(now_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS)
        step_ms = INTERVALS[interval] * MINUTE_MS
        made: list[Candle] = []
        for minute in self.minutes:
            start_ms = minute.start_ms // step_ms * step_ms
            if made and made[-1].start_ms == start_ms:
                made[-1].add(minute)
            else:
                made.append(
                    Candle(start_ms, minute.open, minute.high, minute.low, minute.close, minute.lots, minute.turnover)
                )
        return made

    def rest_rows(self, interval: str, now_ms: int, start_ms: int, end_ms: int, limit: int) -> list[list[str]]:
        """Return the rows of ``/v5/market/kline``, newest first (http_get_klines_linear)."""
        wanted = [row for row in self.candles(interval, now_ms) if start_ms <= row.start_ms <= end_ms]
        return [
            [str(row.start_ms), *self._prices(row), *self._amounts(row)] for row in reversed(wanted[-limit:])
        ]

    def stream_row(self, candle: Candle, interval: str, now_ms: int, *, is_closed: bool) -> Payload:
        """Return the `data` element of topic ``kline`` (ws_kline)."""
        opened, high, low, close = self._prices(candle)
        volume, turnover = self._amounts(candle)
        return {
            "start": candle.start_ms,
            "end": candle.start_ms + INTERVALS[interval] * MINUTE_MS - 1,
            "interval": interval,
            "open": opened,
            "close": close,
            "high": high,
            "low": low,
            "volume": volume,
            "turnover": turnover,
            "confirm": is_closed,
            "timestamp": now_ms,
        }

    def top(self) -> Top | None:
        """Return the best of the book; None before the first trade."""
        touch = self.exchange.books[self.market.symbol].touch()
        return None if touch is None else Top(touch.bid, touch.qty, touch.ask, touch.qty)

    def recent(self, limit: int) -> Iterator[Trade]:
        """Yield the newest trades, newest first."""
        newest = reversed(self.trades)
        for _, trade in zip(range(limit), newest, strict=False):
            yield trade

    def _turnover(self, trade: Trade) -> Decimal:
        return self.market.price_of(trade.price_ticks) * self.market.qty_of(trade.size_lots)

    def _fill_gap(self, until_ms: int) -> None:
        # A minute without a trade has a kline too: flat at the last close.
        while self.minutes and self.minutes[-1].start_ms + MINUTE_MS < until_ms:
            last = self.minutes[-1]
            close = last.close
            self.minutes.append(Candle(last.start_ms + MINUTE_MS, close, close, close, close, 0, ZERO))

    def _take_day(self, trade: Trade, turnover: Decimal) -> None:
        price, day = self.market.price_of(trade.price_ticks), self.day
        if not day.first:
            day.first = day.high = day.low = price
        day.high, day.low, day.last = max(day.high, price), min(day.low, price), price
        day.volume += self.market.qty_of(trade.size_lots)
        day.turnover += turnover

    def _prices(self, row: Candle) -> list[str]:
        market = self.market
        return [price_text(market, market.price_of(ticks)) for ticks in (row.open, row.high, row.low, row.close)]

    def _amounts(self, row: Candle) -> list[str]:
        return [trimmed(self.market.qty_of(row.lots)), trimmed(row.turnover)]
