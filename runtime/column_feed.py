"""Columns of a run as the two readers see them: the strategy (scores) and the simulated venue (bars)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.model.objects import Price, Quantity
from numpy.typing import NDArray

from ml.signal_features import SECONDS_PER_DAY
from ml.signal_measures import WINDOW_BARS, day_of
from runtime.confluence_scan import SECOND_NS
from runtime.score_columns import PRICES, Columns, Scale
from strategies.close_bars import CoinBar, Levels, scored_bar

# Close times that are turned from columns into rows at once.
WINDOW: Final = 2048


class ColumnRound:
    """The bars of one close time; see `strategies.close_bars.FeedRound`."""

    def __init__(
        self,
        feed: "ColumnFeed",
        close_ns: int,
        place: int,
        closes: NDArray[np.float64],
        count: int,
        ready: int,
    ) -> None:
        self.close_ns = close_ns
        self.closes = closes
        self.count = count
        self.ready = ready
        self._feed = feed
        self._place = place
        self._kept: dict[str, CoinBar] | None = None

    @property
    def present(self) -> frozenset[str]:
        """Return the instruments that have a bar."""
        if self.count == len(self._feed.names):
            return self._feed.all_names
        return frozenset(
            name for name, close in zip(self._feed.names, self.closes.tolist(), strict=True) if close == close
        )

    def get(self, name: str) -> CoinBar | None:
        """Return an instrument's bar, None where it has none."""
        kept = self._kept_bars().get(name)
        return self._feed.bar(name, self._place) if kept is None else kept

    def scored(self) -> list[tuple[str, CoinBar]]:
        """Return every bar that was kept for its score, in the order of the names."""
        return list(self._kept_bars().items())

    def candidates(self, least: float) -> dict[str, CoinBar]:
        """Return the bars with a side and at least this score, in the order of the names."""
        return {name: bar for name, bar in self._kept_bars().items() if bar.side and bar.score >= least}

    def arrived(self) -> tuple[()]:
        """Return nothing: the columns keep all bars."""
        return ()

    def window(self, name: str) -> "ColumnWindow":
        """Return an instrument's last bars up to this close time."""
        return self._feed.window(name, self._place)

    def _kept_bars(self) -> dict[str, CoinBar]:
        if self._kept is None:
            self._kept = self._feed.kept(self._place)
        return self._kept


@dataclass(frozen=True, slots=True, eq=False)
class ColumnWindow:
    """The last bars of an instrument; see `ml.signal_measures.Window`."""

    columns: NDArray[np.float64]
    day_high: float
    day_low: float


class ColumnFeed:
    """Shows a strategy one close time after another; see `strategies.close_bars.ScoreFeed`.

    Parameters
    ----------
    columns
        From `runtime.score_columns.score_columns`.
    """

    def __init__(self, columns: Columns) -> None:
        self.names = [one.instrument_id for one in columns.series]
        self.all_names = frozenset(self.names)
        self._columns = columns
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self._prices = [Scale.of(one.price_increment) for one in columns.series]
        self._sizes = [Scale.of(one.size_increment) for one in columns.series]
        self._whole = np.array([one.whole for one in self._prices], np.int64)
        self._divisor = np.array([one.divisor for one in self._prices])
        self._ticks = {name: columns.arrays[name] for name in PRICES}
        self._place = -1
        self._window = -1
        self._closes: NDArray[np.float64] = np.empty((0, len(self.names)))
        self._seen: NDArray[np.int64] = np.zeros((1, len(self.names)), np.int64)
        self._counts: list[int] = []
        self._ready: list[int] = []

    def advance(self, close_ns: int) -> ColumnRound:
        """Go on to a close time (UNIX nanoseconds, ascending), and return its bars."""
        place = self._columns.grid.index(close_ns)
        while self._window < place // WINDOW:
            self._open_window(self._window + 1)
        self._place = place
        row = place % WINDOW
        return ColumnRound(self, close_ns, place, self._closes[row], self._counts[row], self._ready[row])

    def _open_window(self, window: int) -> None:
        """Turn the next part of the closes into one row per close time."""
        self._columns.drop_pages()
        part = slice(window * WINDOW, (window + 1) * WINDOW)
        ticks = np.ascontiguousarray(self._ticks["close_ticks"][:, part].T)
        is_there = ticks > 0
        self._closes = np.where(is_there, ticks * self._whole / self._divisor, np.nan)
        self._counts = is_there.sum(axis=1).tolist()
        self._ready = self._columns.arrays["is_ready"][:, part].sum(axis=0, dtype=np.int64).tolist()
        self._seen = self._seen[-1] + np.cumsum(is_there, axis=0)
        self._window = window

    def bars_seen(self, name: str) -> int:
        """Return how many bars of an instrument have closed."""
        return 0 if self._place < 0 else int(self._seen[self._place % WINDOW, self._numbers[name]])

    def last_close(self, name: str) -> float | None:
        """Return an instrument's last close, None before its first bar."""
        if self._place < 0:
            return None
        number = self._numbers[name]
        place = last_place(self._ticks["close_ticks"][number], self._place)
        return None if place < 0 else self._close(number, place)

    def turnovers(self, name: str, count: int) -> list[float]:
        """Return volume x close of an instrument's last bars, at most `count`, oldest first."""
        number = self._numbers[name]
        places = self._last_places(number, count)
        closes = self._floats(number, "close_ticks", places)
        turnovers: list[float] = (self._volumes(number, places) * closes).tolist()
        return turnovers

    def volumes(self, name: str, count: int) -> list[float]:
        """Return the volumes of an instrument's last bars (base currency), at most `count`, oldest first."""
        number = self._numbers[name]
        volumes: list[float] = self._volumes(number, self._last_places(number, count)).tolist()
        return volumes

    def _last_places(self, number: int, count: int) -> NDArray[np.int64]:
        """Return the places of an instrument's last bars up to now, at most `count`."""
        ticks, begin, found = self._ticks["close_ticks"][number], self._place + 1, 0
        while begin > 0 and found < count:
            end, begin = begin, max(0, begin - count)
            found += int(np.count_nonzero(ticks[begin:end]))
        places: NDArray[np.int64] = (begin + np.flatnonzero(ticks[begin : self._place + 1]))[-count:]
        return places

    def _volumes(self, number: int, places: NDArray[np.int64]) -> NDArray[np.float64]:
        lots = self._columns.arrays["volume_lots"][number, places]
        volumes: NDArray[np.float64] = self._sizes[number].float_of(lots)
        return volumes

    def bar(self, name: str, place: int) -> CoinBar | None:
        """Return an instrument's bar at a place of the grid without its row, None where it has none."""
        number = self._numbers[name]
        if not self._ticks["close_ticks"][number, place]:
            return None
        arrays = self._columns.arrays
        rsi, bias = float(arrays["rsi"][number, place]), int(arrays["bias"][number, place])
        return CoinBar(*self._levels(number, place), rsi, bias)

    def window(self, name: str, place: int) -> "ColumnWindow":
        """Return an instrument's last bars up to a place of the grid."""
        number, grid = self._numbers[name], self._columns.grid
        ticks, begin, found = self._ticks["close_ticks"][number], place + 1, 0
        while begin > 0 and found < WINDOW_BARS:
            end, begin = begin, max(0, begin - WINDOW_BARS)
            found += int(np.count_nonzero(ticks[begin:end]))
        places = (begin + np.flatnonzero(ticks[begin : place + 1]))[-WINDOW_BARS:]
        secs = (grid.first_ns + places * grid.step_ns) // SECOND_NS
        high, low, close = (self._floats(number, one, places) for one in PRICES[1:])
        arrays = self._columns.arrays
        volume = self._sizes[number].float_of(arrays["volume_lots"][number, places])
        atr, rsi = arrays["atr"][number, places], arrays["rsi"][number, places]
        columns = np.array([secs, high, low, close, volume, atr, rsi], np.float64)
        if not len(places):
            return ColumnWindow(columns, math.nan, math.nan)
        midnight_ns = day_of(int(secs[-1])) * SECONDS_PER_DAY * SECOND_NS
        today = np.arange(max(0, grid.index(midnight_ns) + 1), int(places[-1]) + 1)
        today = today[ticks[today] > 0]
        highest, lowest = self._floats(number, "high_ticks", today), self._floats(number, "low_ticks", today)
        return ColumnWindow(columns, float(highest.max()), float(lowest.min()))

    def _floats(self, number: int, name: str, places: NDArray[np.int64]) -> NDArray[np.float64]:
        floats: NDArray[np.float64] = self._prices[number].float_of(self._ticks[name][number, places])
        return floats

    def kept(self, place: int) -> dict[str, CoinBar]:
        """Return the bars at a place of the grid whose rows were kept, by name, in their order."""
        columns, at = self._columns, self._columns.kept_at
        found = {}
        for one in range(*np.searchsorted(at, (place, place + 1)).tolist()):
            number = int(columns.kept_of[one])
            row = columns.rows[number][columns.kept_row[one]].copy()
            found[self.names[number]] = scored_bar(self._levels(number, place), row)
        return found

    def _levels(self, number: int, place: int) -> Levels:
        """Return close time, open, high, low, close and volume of a bar."""
        price = self._prices[number]
        open_, high, low, close = (price.float_of(int(self._ticks[name][number, place])) for name in PRICES)
        lots = int(self._columns.arrays["volume_lots"][number, place])
        return self._columns.grid.close_ns(place), open_, high, low, close, self._sizes[number].float_of(lots)

    def _close(self, number: int, place: int) -> float:
        close: float = self._prices[number].float_of(int(self._ticks["close_ticks"][number, place]))
        return close


class ColumnStore:
    """The bars of a run as the simulated venue looks them up, made when it asks; see `bar_venue.BarStore`.

    Parameters
    ----------
    columns
        From `runtime.score_columns.score_columns`.
    instruments
        In the order of the columns.
    bar_types
        Of the bars, by instrument id.
    """

    def __init__(
        self, columns: Columns, instruments: Sequence[Instrument], bar_types: Mapping[str, str]
    ) -> None:
        self._columns = columns
        self._numbers = {one.id: number for number, one in enumerate(instruments)}
        self._types = [BarType.from_str(bar_types[one.id.value]) for one in instruments]
        self._ticks = [columns.arrays[name] for name in PRICES]
        self._lots = columns.arrays["volume_lots"]
        self._prices = [(int(one.price_increment.raw), one.price_precision) for one in instruments]
        self._sizes = [(int(one.size_increment.raw), one.size_precision) for one in instruments]

    def at(self, instrument_id: InstrumentId, close_ns: int) -> Bar | None:
        """Return the bar that closes at a time, None when there is none."""
        place = self._columns.grid.index(close_ns)
        number = self._numbers[instrument_id]
        is_there = 0 <= place < self._columns.grid.count and self._ticks[-1][number, place]
        return self.bar(number, place) if is_there else None

    def around(self, instrument_id: InstrumentId, now_ns: int) -> tuple[Bar | None, Bar | None]:
        """Return the last bar closed at or before a time, and the first one closing after it."""
        number, place = self._numbers[instrument_id], self._columns.grid.index(now_ns)
        closes = self._ticks[-1][number]
        last, following = last_place(closes, place), next_place(closes, place + 1)
        return (
            self.bar(number, last) if last >= 0 else None,
            self.bar(number, following) if following >= 0 else None,
        )

    def next_traded(self, instrument_id: InstrumentId, now_ns: int, until_ns: int) -> Bar | None:
        """Return the first bar with volume that closes after a time, and until another one."""
        number, grid = self._numbers[instrument_id], self._columns.grid
        begin, end = max(grid.index(now_ns) + 1, 0), max(grid.index(until_ns) + 1, 0)
        found = np.flatnonzero(self._lots[number, begin:end])
        return self.bar(number, begin + int(found[0])) if len(found) else None

    def bar(self, number: int, place: int) -> Bar:
        """Return an instrument's bar at a place of the grid where it has one."""
        increment, precision = self._prices[number]
        prices = (Price.from_raw(int(ticks[number, place]) * increment, precision) for ticks in self._ticks)
        size, size_precision = self._sizes[number]
        volume = Quantity.from_raw(int(self._lots[number, place]) * size, size_precision)
        close_ns = self._columns.grid.close_ns(place)
        return Bar(self._types[number], *prices, volume, close_ns, close_ns)

    def beats(self) -> Iterator[list[Bar]]:
        """Yield one bar per close time, in lists: the clock of a run that takes its bars from columns.

        It is that of the first instrument that has one.
        """
        closes = self._ticks[-1]
        for begin in range(0, self._columns.grid.count, WINDOW):
            is_there = closes[:, begin : begin + WINDOW] > 0
            first = is_there.argmax(axis=0)
            places = np.flatnonzero(is_there.any(axis=0))
            bars = [self.bar(int(first[place]), begin + int(place)) for place in places]
            if bars:
                yield bars


def last_place(column: NDArray[np.int64], place: int) -> int:
    """Return the last place up to one, itself included, where a column is above 0; -1 for none."""
    place = min(place, len(column) - 1)
    while place >= 0:
        begin = max(0, place - WINDOW)
        found = np.flatnonzero(column[begin : place + 1]) if not column[place] else [place - begin]
        if len(found):
            return begin + int(found[-1])
        place = begin - 1
    return -1


def next_place(column: NDArray[np.int64], place: int) -> int:
    """Return the first place from one on, itself included, where a column is above 0; -1 for none."""
    place = max(place, 0)
    while place < len(column):
        if column[place]:
            return place
        found = np.flatnonzero(column[place : place + WINDOW])
        if len(found):
            return place + int(found[0])
        place += WINDOW
    return -1
