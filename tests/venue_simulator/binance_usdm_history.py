"""What traded on the local Binance USD-M: trades by id and the klines built from them, by exchange time."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.venue_simulator.binance_usdm_public import places_of, plain
from tests.venue_simulator.binance_usdm_views import MILLION, money
from tests.venue_simulator.core import Listener, Market, Trade
from tests.venue_simulator.core.terms import ZERO

MINUTE_MS = 60_000
# Names and lengths of "Kline/Candlestick chart intervals"; weeks begin on Monday, months are left out.
INTERVALS_MS = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "2h": 120 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "6h": 360 * MINUTE_MS,
    "8h": 480 * MINUTE_MS,
    "12h": 720 * MINUTE_MS,
    "1d": 1440 * MINUTE_MS,
}


@dataclass(slots=True)
class Bar:
    """One kline in ticks and lots; `first` and `last` are trade ids."""

    open_ms: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    buy_lots: int = 0
    quote: Decimal = ZERO
    buy_quote: Decimal = ZERO
    count: int = 0
    first: int = 0
    last: int = 0

    def add(self, trade: Trade, quote: Decimal) -> None:
        """Take one more trade."""
        self.high, self.low = max(self.high, trade.price_ticks), min(self.low, trade.price_ticks)
        self.close, self.last = trade.price_ticks, trade.trade_id
        self.lots += trade.size_lots
        self.quote += quote
        self.count += 1
        if trade.is_buyer:
            self.buy_lots += trade.size_lots
            self.buy_quote += quote

    def join(self, later: "Bar") -> None:
        """Append a later bar."""
        self.high, self.low = max(self.high, later.high), min(self.low, later.low)
        self.close, self.last = later.close, later.last
        self.lots += later.lots
        self.buy_lots += later.buy_lots
        self.quote += later.quote
        self.buy_quote += later.buy_quote
        self.count += later.count


class UsdmHistory(Listener):
    """Keeps every public trade and the minutes made of them."""

    def __init__(self) -> None:
        self.trades: dict[str, list[Trade]] = {}
        self.minutes: dict[str, dict[int, Bar]] = {}

    def on_trades(self, market: Market, trades: Sequence[Trade]) -> None:
        self.trades.setdefault(market.symbol, []).extend(trades)
        minutes = self.minutes.setdefault(market.symbol, {})
        for trade in trades:
            open_ms = trade.ts_ns // MILLION // MINUTE_MS * MINUTE_MS
            bar = minutes.get(open_ms)
            if bar is None:
                price = trade.price_ticks
                bar = minutes[open_ms] = Bar(open_ms, price, price, price, price, first=trade.trade_id)
            bar.add(trade, market.price_of(trade.price_ticks) * market.qty_of(trade.size_lots))

    def of(self, symbol: str) -> list[Trade]:
        """Return all trades of a symbol, oldest first."""
        return self.trades.get(symbol, [])

    def after(self, symbol: str, trade_id: int, limit: int) -> list[Trade]:
        """Return trades from an id on, by bisection: a session holds millions."""
        trades = self.of(symbol)
        begin = bisect_left(trades, trade_id, key=lambda trade: trade.trade_id)
        return trades[begin : begin + limit]

    def between(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[Trade]:
        """Return the first trades of a time range, both ends included."""
        trades = self.of(symbol)
        begin = bisect_left(trades, start_ms * MILLION, key=lambda trade: trade.ts_ns)
        found = trades[begin : begin + limit]
        return [trade for trade in found if trade.ts_ns < (end_ms + 1) * MILLION]

    def bars(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> list[Bar]:
        """Return klines whose open time lies in a range; intervals without a trade are left out."""
        length = INTERVALS_MS[interval]
        joined: dict[int, Bar] = {}
        for open_ms, minute in sorted(self.minutes.get(symbol, {}).items()):
            begin = open_ms // length * length
            if not start_ms <= begin <= end_ms:
                continue
            if begin in joined:
                joined[begin].join(minute)
            else:
                first = Bar(begin, minute.open, minute.high, minute.low, minute.close, first=minute.first)
                first.join(minute)
                joined[begin] = first
        return list(joined.values())


def kline_row(market: Market, bar: Bar, interval: str) -> list[Any]:
    """Write a kline as GET /fapi/v1/klines does ("Kline/Candlestick Data"), first and last trade id appended."""
    prices = places_of(market.tick)
    open_, high, low, close = (
        plain(market.price_of(ticks), prices) for ticks in (bar.open, bar.high, bar.low, bar.close)
    )
    sizes = places_of(market.lot)
    return [
        bar.open_ms,
        open_,
        high,
        low,
        close,
        plain(market.qty_of(bar.lots), sizes),
        bar.open_ms + INTERVALS_MS[interval] - 1,
        money(bar.quote),
        bar.count,
        plain(market.qty_of(bar.buy_lots), sizes),
        money(bar.buy_quote),
        "0",
        bar.first,
        bar.last,
    ]
