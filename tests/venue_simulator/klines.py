"""The bar in the making, for kline streams: updated by every trade, closed by the clock."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress
from operator import mul
from typing import Final

from tests.venue_simulator.core import Trade
from tests.venue_simulator.history import Kline, TradeHistory

# A trade of the last millisecond may reach us a moment later; the venues close their bars late too.
GRACE_MS: Final = 50


class KlineFeed:
    """Klines of one market and interval, from now on.

    Parameters
    ----------
    history
        The market's trades so far: the bar that is open now begins with them.
    interval_ms
        Length of a bar; bars begin at multiples of it.
    now_ms
        The exchange's time.
    """

    def __init__(self, history: TradeHistory, interval_ms: int, now_ms: int) -> None:
        self.interval_ms = interval_ms
        self.is_changed = False
        self._closed: list[Kline] = []
        open_ms = now_ms // interval_ms * interval_ms
        begun = history.klines(interval_ms, open_ms, open_ms, 1)
        last = history.last(1)
        self.current = begun[0] if begun else _flat(open_ms, interval_ms, last[0].price_ticks if last else 0)

    def update(self, trades: Sequence[Trade]) -> None:
        """Take public trades."""
        left = trades
        while left:
            end_ns = (self.current.close_ms + 1) * 1_000_000
            count = len(left) if left[-1].ts_ns < end_ns else bisect_left(left, end_ns, key=_time)
            if count:
                self.current = _with_trades(self.current, left[:count])
            else:
                self._roll(left[0].ts_ns // 1_000_000)
            left = left[count:]
        self.is_changed = self.is_changed or bool(trades)

    def take_closed(self, now_ms: int) -> list[Kline]:
        """Return the bars that have closed since the last call, oldest first."""
        if now_ms - GRACE_MS > self.current.close_ms:
            self._roll(now_ms - GRACE_MS)
        closed, self._closed = self._closed, []
        return closed

    def _roll(self, at_ms: int) -> None:
        while self.current.close_ms < at_ms:
            if self.current.close:  # before the first trade there is no price for a bar
                self._closed.append(self.current)
            self.current = _flat(self.current.close_ms + 1, self.interval_ms, self.current.close)


def _flat(open_ms: int, interval_ms: int, price: int) -> Kline:
    return Kline(open_ms, open_ms + interval_ms - 1, price, price, price, price, 0, 0, 0, 0, 0, -1, -1)


def _with_trades(bar: Kline, trades: Sequence[Trade]) -> Kline:
    """Return the bar after trades of its own interval; all at once, a busy tape brings many."""
    ids, prices, lots, sides, _ = zip(*trades, strict=True)
    turnovers = list(map(mul, prices, lots))
    is_first = bar.trades == 0
    return replace(
        bar,
        open=prices[0] if is_first else bar.open,
        high=max(prices) if is_first else max(bar.high, *prices),
        low=min(prices) if is_first else min(bar.low, *prices),
        close=prices[-1],
        lots=bar.lots + sum(lots),
        turnover=bar.turnover + sum(turnovers),
        trades=bar.trades + len(trades),
        taker_lots=bar.taker_lots + sum(compress(lots, sides)),
        taker_turnover=bar.taker_turnover + sum(compress(turnovers, sides)),
        first_id=ids[0] if is_first else bar.first_id,
        last_id=ids[-1],
    )


def _time(trade: Trade) -> int:
    return trade.ts_ns
