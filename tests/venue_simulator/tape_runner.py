"""Plays a tape to every venue: times moved to the wall clock and compressed by the speed.

Trade k leaves at start + (t_k - t_0) / speed and carries that time. What lies before the point of start is
history: it has been published at the same pace, up to now, and only REST knows it.

Klines must close on the clock's own boundaries. So a tape made of klines is moved by a whole number of
intervals where these are whole seconds of the clock (bars of five minutes at speed 5 are bars of one), fixed
when its history is loaded: after a wait or a pause it catches up at once.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.venue_simulator.core import Market, Trade
from tests.venue_simulator.tape import Series
from tests.venue_simulator.venue import Venue

SLICE_SECS: Final = 0.005
SECOND_NS: Final = 1_000_000_000
MOST_AT_ONCE: Final = 2_000  # trades of one symbol between two turns of the event loop


class TapeRunner:
    """One tape for all venues.

    Parameters
    ----------
    series
        The symbols' trades.
    venues
        Who publishes them; each market goes by its symbol.
    speed
        Seconds of the tape per second of the clock.
    history_secs
        How much of the tape (in its own seconds) lies before the start.
    """

    def __init__(
        self, series: Sequence[Series], venues: Sequence[Venue], speed: float, history_secs: float = 0.0
    ) -> None:
        self.speed = speed
        self.trades_sent = 0
        self._series = list(series)
        self._markets = [
            [
                (venue, market)
                for venue in venues
                for market in venue.exchange.markets.values()
                if market.symbol == one.terms.symbol
            ]
            for one in self._series
        ]
        self._first_ns = min(int(one.ts_ns[0]) for one in self._series)
        self._last_ns = max(int(one.ts_ns[-1]) for one in self._series)
        self._tape_ns = self._first_ns + int(history_secs * 1e9)
        self._wall_ns = time.time_ns()  # when the tape was at `_tape_ns`
        self._interval_ns = max(one.interval_ns for one in self._series)
        self._rows = [int(np.searchsorted(one.ts_ns, self._tape_ns)) for one in self._series]
        self._task: asyncio.Task[None] | None = None

    @property
    def _is_aligned(self) -> bool:
        return self._clock_interval_ns > 0

    @property
    def _clock_interval_ns(self) -> int:
        """Length of the tape's bars on the clock, 0 where they fit none of its seconds."""
        whole = float(self.speed).is_integer() and self._interval_ns % (int(self.speed) * SECOND_NS) == 0
        return self._interval_ns // int(self.speed) if whole else 0

    @property
    def is_running(self) -> bool:
        """Whether trades flow."""
        return self._task is not None and not self._task.done()

    def load_history(self) -> None:
        """Give the venues what lies before the start, and a last price to begin with."""
        self._place(self._tape_ns)
        for one, markets, row in zip(self._series, self._markets, self._rows, strict=True):
            times = self._wall_times(one.ts_ns[:row])
            # Without a past the first trade to come gives the price, though nobody has seen it.
            last = (
                one.trades(row - 1, row, times[-1:]) if row else one.trades(0, 1, np.array([self._wall_ns]))
            )
            for venue, market in markets:
                history = venue.histories[market.key]
                if _is_on_grid(one, market):
                    history.extend_columns(one, row, times)
                else:
                    history.extend(_on_grid(one.trades(0, row, times), one, market))
                venue.exchange.books[market.key].last = _on_grid(last, one, market)[0]

    def start(self) -> None:
        """Let the tape run, from where it stands."""
        if not self.is_running:
            if not self._is_aligned:
                self._wall_ns = time.time_ns()
            self._task = asyncio.create_task(self._run())

    def pause(self) -> None:
        """Hold the tape."""
        if self._task is not None:
            self._tape_ns, self._wall_ns = self._now_on_tape(), time.time_ns()
            self._task.cancel()
            self._task = None

    def set_speed(self, speed: float) -> None:
        """Change the speed from now on."""
        was_running = self.is_running
        self.pause()
        self.speed = speed
        if was_running:
            self.start()

    def seek(self, secs: float) -> None:
        """Jump to a second of the tape (0: its beginning); what is passed over is never published."""
        was_running = self.is_running
        self.pause()
        self._place(self._first_ns + int(secs * 1e9))
        if was_running:
            self.start()

    def state(self) -> dict[str, Any]:
        """Return where the tape stands."""
        at_ns = self._now_on_tape() if self.is_running else self._tape_ns
        return {
            "running": self.is_running,
            "speed": self.speed,
            "at_secs": (at_ns - self._first_ns) / 1e9,
            "length_secs": (self._last_ns - self._first_ns) / 1e9,
            "trades_sent": self.trades_sent,
            "symbols": [one.terms.symbol for one in self._series],
        }

    def _place(self, tape_ns: int) -> None:
        """Put the tape at one of its own times, now; klines a little later, on a boundary of the clock."""
        self._wall_ns = time.time_ns()
        if self._is_aligned:
            into_bar_ns = self._wall_ns % self._clock_interval_ns * int(self.speed)
            tape_ns += (into_bar_ns - tape_ns) % self._interval_ns
        self._tape_ns = tape_ns
        self._rows = [int(np.searchsorted(one.ts_ns, tape_ns)) for one in self._series]

    def _now_on_tape(self) -> int:
        return self._tape_ns + int((time.time_ns() - self._wall_ns) * self.speed)

    async def _run(self) -> None:
        while any(row < len(one) for row, one in zip(self._rows, self._series, strict=True)):
            until_ns = self._now_on_tape()
            is_behind = False
            for index, one in enumerate(self._series):
                low = self._rows[index]
                due = int(np.searchsorted(one.ts_ns, until_ns, side="right"))
                high = min(due, low + MOST_AT_ONCE)
                is_behind = is_behind or high < due
                if high > low:
                    self._publish(index, low, high)
            # Behind the clock the tape yields to the loop and goes on; it never skips a trade.
            await asyncio.sleep(0 if is_behind else SLICE_SECS)

    def _publish(self, index: int, low: int, high: int) -> None:
        one = self._series[index]
        self._rows[index] = high
        times = self._wall_times(one.ts_ns[low:high])
        trades = one.trades(low, high, times)
        self.trades_sent += len(trades)
        for venue, market in self._markets[index]:
            skew_ns = venue.clock.skew_ns
            moved = [t._replace(ts_ns=t.ts_ns + skew_ns) for t in trades] if skew_ns else trades
            venue.exchange.on_trades(market, _on_grid(moved, one, market))

    def _wall_times(self, ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._wall_ns + ((ts_ns - self._tape_ns) / self.speed).astype(np.int64)


def _is_on_grid(series: Series, market: Market) -> bool:
    return market.tick == series.terms.tick and market.lot == series.terms.lot


def _on_grid(trades: list[Trade], series: Series, market: Market) -> list[Trade]:
    """Move prices and sizes to a market's own increments, where they differ from the tape's."""
    if _is_on_grid(series, market):
        return trades
    terms = series.terms
    tick, lot = terms.tick / market.tick, terms.lot / market.lot
    return [
        trade._replace(
            price_ticks=max(1, round(trade.price_ticks * tick)),
            size_lots=max(1, round(trade.size_lots * lot)),
        )
        for trade in trades
    ]
