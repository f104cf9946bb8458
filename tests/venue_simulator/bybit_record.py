"""What Bybit says about a market's past: klines, recent trades, the last day, the best of the book."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from tests.venue_simulator.bybit_ids import price_text, trimmed
from tests.venue_simulator.bybit_market_payloads import Day, Payload, Top
from tests.venue_simulator.core import Exchange, Market, Trade
from tests.venue_simulator.history import Kline, TradeHistory, turnover_of

MINUTE_MS: Final = 60_000
INTERVALS: Final = {"1": 1, "3": 3, "5": 5, "15": 15, "30": 30, "60": 60, "120": 120, "240": 240, "360": 360,
                    "720": 720, "D": 1440}  # fmt: skip
# "spot: [1,60], others: [1,1000]" (Bybit v5 "Get Recent Public Trades").
MOST_TRADES: Final = {"spot": 60, "linear": 1000}
MOST_KLINES: Final = 1000


class MarketRecord:
    """One market's past, by the exchange's time.

    Parameters
    ----------
    exchange, market
        Where the book is, and whose past it is.
    history
        Every public trade so far; the venue fills it.
    """

    def __init__(self, exchange: Exchange, market: Market, history: TradeHistory) -> None:
        self.exchange = exchange
        self.market = market
        self.history = history
        self._day = Day()
        self.updates = 0

    def take(self, trades: Sequence[Trade]) -> None:
        """Reckon trades in the day's figures."""
        self.updates += 1
        if not self._day.first:
            return  # `day` begins with the history, which has these trades already
        day = self._day
        for trade in trades:
            price, qty = self.market.price_of(trade.price_ticks), self.market.qty_of(trade.size_lots)
            day.high, day.low, day.last = max(day.high, price), min(day.low, price), price
            day.volume += qty
            day.turnover += price * qty

    @property
    def day(self) -> Day:
        """The last 24 hours when it was first asked for, and everything since."""
        hours = [] if self._day.first else self.history.klines(60 * MINUTE_MS, None, None, 24)
        if hours:
            price, qty = self.market.price_of, self.market.qty_of
            self._day = Day(
                first=price(hours[0].open),
                high=price(max(row.high for row in hours)),
                low=price(min(row.low for row in hours)),
                last=price(hours[-1].close),
                volume=qty(sum(row.lots for row in hours)),
                turnover=turnover_of(self.market, sum(row.turnover for row in hours)),
            )
        return self._day

    def klines(self, interval: str, start_ms: int | None, end_ms: int | None, limit: int) -> list[Kline]:
        """Return klines of an interval, oldest first; the last one may be unfinished."""
        now_ms = self.exchange.clock.now_ns() // 1_000_000
        return self.history.klines(INTERVALS[interval] * MINUTE_MS, start_ms, end_ms, limit, now_ms)

    def rest_rows(
        self, interval: str, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[list[str]]:
        """Return the rows of ``/v5/market/kline``, newest first (http_get_klines_linear)."""
        rows = self.klines(interval, start_ms, end_ms, min(limit, MOST_KLINES))
        return [[str(row.open_ms), *self._prices(row), *self._amounts(row)] for row in reversed(rows)]

    def stream_row(self, row: Kline, interval: str, now_ms: int) -> Payload:
        """Return the `data` element of topic ``kline`` (ws_kline)."""
        opened, high, low, close = self._prices(row)
        volume, turnover = self._amounts(row)
        return {
            "start": row.open_ms,
            "end": row.close_ms,
            "interval": interval,
            "open": opened,
            "close": close,
            "high": high,
            "low": low,
            "volume": volume,
            "turnover": turnover,
            "confirm": now_ms > row.close_ms,
            "timestamp": now_ms,
        }

    def top(self) -> Top | None:
        """Return the best of the book; None before the first trade."""
        touch = self.exchange.books[self.market.key].touch()
        return None if touch is None else Top(touch.bid, touch.qty, touch.ask, touch.qty)

    def recent(self, limit: int) -> list[Trade]:
        """Return the newest trades, newest first, at most as many as the product shows."""
        return self.history.last(min(limit, MOST_TRADES[self.market.kind]))[::-1]

    def last_price(self) -> Decimal:
        """Return the last price; 0 before the first trade."""
        return self.exchange.last_price(self.market.key) or Decimal(0)

    def _prices(self, row: Kline) -> list[str]:
        market = self.market
        return [
            price_text(market, market.price_of(ticks)) for ticks in (row.open, row.high, row.low, row.close)
        ]

    def _amounts(self, row: Kline) -> list[str]:
        return [trimmed(self.market.qty_of(row.lots)), trimmed(turnover_of(self.market, row.turnover))]
