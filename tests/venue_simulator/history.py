"""Every public trade of a market, by id and time, and the klines that they make."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tests.venue_simulator.core import Market, Trade

if TYPE_CHECKING:
    from tests.venue_simulator.tape import Series


@dataclass(frozen=True, slots=True)
class Kline:
    """One bar: times in milliseconds, prices in ticks, quantities in lots, turnover in ticks x lots."""

    open_ms: int
    close_ms: int  # the last millisecond inside
    open: int
    high: int
    low: int
    close: int
    lots: int
    turnover: int
    trades: int
    taker_lots: int  # bought by takers
    taker_turnover: int
    first_id: int
    last_id: int


type Sums = tuple[int, int, int, int, int, int, int, int, int]
"""Of a bar with trades, as in `Kline`: from `open` to `taker_turnover`."""


class TradeHistory:
    """The public trades of one market, oldest first; ids and times never decrease."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self._ids = array("q")
        self._ticks = array("q")
        self._lots = array("q")
        self._sides = array("b")
        self._times = array("q")

    def __len__(self) -> int:
        return len(self._ids)

    def extend(self, trades: Iterable[Trade]) -> None:
        """Append trades."""
        for trade in trades:
            self._ids.append(trade.trade_id)
            self._ticks.append(trade.price_ticks)
            self._lots.append(trade.size_lots)
            self._sides.append(trade.is_buyer)
            self._times.append(trade.ts_ns)

    def extend_columns(self, series: "Series", rows: int, ts_ns: NDArray[np.int64]) -> None:
        """Append the first rows of a tape with other times, without making an object of each trade."""
        for column, values in (
            (self._ids, series.trade_id),
            (self._ticks, series.price_ticks),
            (self._lots, series.size_lots),
            (self._times, ts_ns),
        ):
            column.frombytes(values[:rows].astype(np.int64).tobytes())
        self._sides.frombytes(series.is_buyer[:rows].astype(np.int8).tobytes())

    def __getitem__(self, row: int) -> Trade:
        return Trade(
            self._ids[row], self._ticks[row], self._lots[row], bool(self._sides[row]), self._times[row]
        )

    def last(self, count: int) -> list[Trade]:
        """Return the newest trades, oldest first."""
        return [self[row] for row in range(max(0, len(self) - count), len(self))]

    def from_id(self, trade_id: int, count: int) -> list[Trade]:
        """Return trades with this id or a later one, oldest first."""
        return self._slice(bisect_left(self._ids, trade_id), count)

    def between(self, start_ns: int | None, end_ns: int | None, count: int) -> list[Trade]:
        """Return trades of start <= time < end, oldest first; the newest ones when only the end is given."""
        low = 0 if start_ns is None else bisect_left(self._times, start_ns)
        high = len(self) if end_ns is None else bisect_left(self._times, end_ns)
        if start_ns is None:
            low = max(0, high - count)
        return [self[row] for row in range(low, min(high, low + count))]

    def klines(
        self,
        interval_ms: int,
        start_ms: int | None,
        end_ms: int | None,
        count: int,
        now_ms: int | None = None,
    ) -> list[Kline]:
        """Return klines of the intervals that begin in start..end, with the unfinished one, oldest first.

        The unfinished one is that of `now_ms`, or of the last trade.

        An interval without a trade repeats the last close, as at the venues. Without `start_ms`: the newest.
        """
        if not len(self):
            return []
        first = self._times[0] // 1_000_000 // interval_ms * interval_ms
        last = max(self._times[-1] // 1_000_000, now_ms or 0) // interval_ms * interval_ms
        if end_ms is not None:
            last = min(last, end_ms // interval_ms * interval_ms)
        if start_ms is not None:
            first = max(first, -(-start_ms // interval_ms) * interval_ms)
            last = min(last, first + (count - 1) * interval_ms)
        else:
            first = max(first, last - (count - 1) * interval_ms)
        return list(self._klines(interval_ms, first, last))

    def _slice(self, low: int, count: int) -> list[Trade]:
        return [self[row] for row in range(low, min(len(self), low + count))]

    def _klines(self, interval_ms: int, first_ms: int, last_ms: int) -> Iterator[Kline]:
        opens = np.arange(first_ms, last_ms + interval_ms, interval_ms)
        row, end = (bisect_left(self._times, one * 1_000_000) for one in (first_ms, last_ms + interval_ms))
        close = self._ticks[row - 1] if row else self._ticks[0]
        # Copies, not views: an exported buffer would forbid the next append.
        ticks, lots, times = (np.array(one[row:end]) for one in (self._ticks, self._lots, self._times))
        edges = np.searchsorted(times, [*(opens * 1_000_000), (last_ms + interval_ms) * 1_000_000])
        full = np.flatnonzero(np.diff(edges))
        starts = edges[full]
        sums: dict[int, Sums] = {}
        if len(full):
            turnovers = ticks.astype(object) * lots if _may_overflow(ticks, lots) else ticks * lots
            taken = np.array(self._sides[row:end])
            columns = (
                ticks[starts],
                np.maximum.reduceat(ticks, starts),
                np.minimum.reduceat(ticks, starts),
                ticks[edges[full + 1] - 1],
                *(np.add.reduceat(one, starts) for one in (lots, turnovers)),
                edges[full + 1] - starts,
                *(np.add.reduceat(one * taken, starts) for one in (lots, turnovers)),
            )
            rows = zip(*(one.tolist() for one in columns), strict=True)
            sums = dict(zip(full.tolist(), rows, strict=True))
        for number, open_ms in enumerate(opens.tolist()):
            close_ms = open_ms + interval_ms - 1
            if number in sums:
                close = sums[number][3]
                ids = self._ids[row + int(edges[number])], self._ids[row + int(edges[number + 1]) - 1]
                yield Kline(open_ms, close_ms, *(*sums[number], *ids))
            else:
                yield Kline(open_ms, close_ms, close, close, close, close, 0, 0, 0, 0, 0, -1, -1)


def _may_overflow(ticks: NDArray[np.int64], lots: NDArray[np.int64]) -> bool:
    return float(ticks.max()) * float(lots.sum()) > 2.0**62


def turnover_of(market: Market, ticks_lots: int) -> Decimal:
    """Return a turnover in quote currency."""
    return market.tick * market.lot * ticks_lots
