"""The candle store: one reader of closed bars, for backtest, scanner and API.

A bar of an interval comes from the downloaded series of that interval where it reaches; elsewhere it is
derived from the coarsest stored interval that divides it. A derived bar of which base bars are missing
is left out and named, never filled. What was read lately is kept in memory, up to a number of bytes
and for a limited time.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from runtime.arrow_schema import BarColumns, concatenate
from runtime.catalog import Catalog
from runtime.errors import ConfigurationError
from runtime.intervals import INTERVALS, bar_type_text, interval_nanos, interval_phase_ns
from runtime.manifest import SeriesEntry
from runtime.timeframes import derive, divides

MAX_BYTES: Final = 256 << 20
MAX_AGE_SECS: Final = 60.0
LAST_NS: Final = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """Closed bars of one instrument and interval; the arrays are read-only, for they are shared.

    Parameters
    ----------
    instrument_id, interval
        Such as ``BTCUSDT.BINANCE`` and ``1h``.
    bars
        In time order; there may be gaps.
    is_derived
        bool, shape (n,): the bar was joined from bars of a finer interval, not downloaded.
    incomplete_open_ns
        int64: open times of bars that are left out because base bars are missing, some or all of them,
        within the range that was read and the span of the base series. Of downloaded bars none is named.
    tick_size, lot_size
        Units of the prices and volumes, floats.
    """

    instrument_id: str
    interval: str
    bars: BarColumns
    is_derived: NDArray[np.bool_]
    incomplete_open_ns: NDArray[np.int64]
    tick_size: float
    lot_size: float

    def __len__(self) -> int:
        return len(self.bars)

    @property
    def nbytes(self) -> int:
        """Size of the arrays in bytes."""
        columns = [getattr(self.bars, field.name) for field in fields(self.bars)]
        return sum(array.nbytes for array in (*columns, self.is_derived, self.incomplete_open_ns))

    def prices(self, name: str) -> NDArray[np.float64]:
        """Return ``open``, ``high``, ``low`` or ``close`` in quote currency, float64, shape (n,)."""
        ticks: NDArray[np.int64] = getattr(self.bars, f"{name}_ticks")
        return np.multiply(ticks, self.tick_size, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Cached:
    candles: Candles
    read_at_secs: float


class CandleStore:
    """Closed bars of a catalog.

    Parameters
    ----------
    catalog
        Where the bars are.
    max_bytes
        Of arrays kept in memory; the least recently used go first. 0 keeps nothing.
    max_age_secs
        After which what was read is read again, so that new bars show up.
    clock
        Seconds that never step back.

    Notes
    -----
    May be used by several threads.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        max_bytes: int = MAX_BYTES,
        max_age_secs: float = MAX_AGE_SECS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._max_bytes = max_bytes
        self._max_age_secs = max_age_secs
        self._clock = clock
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[str, str, int | None, int | None], _Cached] = OrderedDict()
        self._bytes = 0
        self._series: dict[str, tuple[float, list[SeriesEntry]]] = {}

    @property
    def cached_bytes(self) -> int:
        """Size of what is kept in memory."""
        return self._bytes

    def stored_intervals(self, instrument_id: str) -> tuple[str, ...]:
        """Return the intervals whose bars are stored, shortest first."""
        return tuple(entry.interval or "" for entry in self._stored(instrument_id))

    def intervals(self, instrument_id: str) -> tuple[str, ...]:
        """Return the intervals that can be read, stored or derived, shortest first."""
        stored = self.stored_intervals(instrument_id)
        return tuple(
            interval
            for interval in INTERVALS
            if interval in stored or any(divides(base, interval) for base in stored)
        )

    def read(
        self, instrument_id: str, interval: str, start_ns: int | None = None, end_ns: int | None = None
    ) -> Candles:
        """Return closed bars.

        Parameters
        ----------
        instrument_id, interval
            Such as ``BTCUSDT.BINANCE`` and ``4h``.
        start_ns, end_ns
            Of the close times, both inclusive; None leaves the side open. What is returned up to `end_ns`
            does not depend on later bars: it is what was known then.

        Raises
        ------
        ConfigurationError
            When the instrument has no stored bars of this or of a dividing interval.
        DataError
            When a file is damaged.
        """
        interval_nanos(interval)
        key = (instrument_id, interval, start_ns, end_ns)
        found = self._remembered(key)
        if found is None:
            found = self._read(instrument_id, interval, start_ns, end_ns)
            self._remember(key, found)
        return found

    # --- reading ---------------------------------------------------------------------------------------
    def _stored(self, instrument_id: str) -> list[SeriesEntry]:
        read_at_secs, entries = self._series.get(instrument_id, (-LAST_NS, []))
        now_secs = self._clock()
        if now_secs - read_at_secs >= self._max_age_secs:
            found = (self._catalog.find_series(instrument_id, "klines", interval) for interval in INTERVALS)
            entries = [entry for entry in found if entry is not None]
            self._series[instrument_id] = (now_secs, entries)
        return entries

    def _read(self, instrument_id: str, interval: str, start_ns: int | None, end_ns: int | None) -> Candles:
        # The interval itself, then from the coarsest that divides it to the finest.
        stored = self._stored(instrument_id)[::-1]
        sources = [entry for entry in stored if entry.interval == interval]
        sources += [entry for entry in stored if divides(entry.interval or "", interval)]
        if not sources:
            has = ", ".join(entry.interval or "" for entry in stored[::-1]) or "none"
            raise ConfigurationError(
                f"{self._catalog.path}: no {interval} bars of {instrument_id} and none to derive them from "
                f"(stored: {has}): import or download klines"
            )
        low = 0 if start_ns is None else start_ns
        high = LAST_NS if end_ns is None else end_ns
        instrument = self._catalog.instrument(instrument_id)
        parts: list[BarColumns] = []
        derived: list[NDArray[np.bool_]] = []
        incomplete: list[NDArray[np.int64]] = []
        taken: list[tuple[int, int]] = []  # close times that an earlier source answers for
        for entry in sources:
            bars, missing = self._bars_of(entry, interval, low, high)
            is_free = _outside(bars.ts_close_ns, taken)
            parts.append(bars[is_free])
            derived.append(np.full(int(is_free.sum()), entry.interval != interval))
            incomplete.append(missing)
            taken.append(_whole_span(entry, interval))
        joined = concatenate(parts)
        order = np.argsort(joined.ts_open_ns, kind="stable")
        left_out = np.concatenate(incomplete)
        if len(left_out):  # a set of all times is a third of the reading
            left_out = np.setdiff1d(left_out, joined.ts_open_ns)
        return _frozen(
            Candles(
                instrument_id,
                interval,
                joined[order],
                np.concatenate(derived)[order],
                left_out,
                float(instrument.price_increment),
                float(instrument.size_increment),
            )
        )

    def _bars_of(
        self, entry: SeriesEntry, interval: str, low: int, high: int
    ) -> tuple[BarColumns, NDArray[np.int64]]:
        """Return one source's bars of the interval that close from `low` to `high`, and those left out."""
        base = entry.interval or ""
        bar_type = bar_type_text(entry.instrument, base)
        if base == interval:
            return _joined(list(self._catalog.read_bars(bar_type, low, high))), np.empty(0, dtype=np.int64)
        step_ns = interval_nanos(interval)
        # From the start of the bar that closes at or after `low`, so that it is not cut.
        first_close = max(_boundary_from(low, interval), step_ns)
        stored = _joined(list(self._catalog.read_bars(bar_type, first_close - step_ns + 1, high)))
        as_of_ns = min(high, entry.files[-1].last_ns)
        series_open_ns = entry.files[0].first_ns - interval_nanos(base)
        expected_ns = max(first_close - step_ns, _boundary_from(series_open_ns + 1, interval) - step_ns)
        found = derive(stored, base, interval, as_of_ns, expected_ns)
        return found.bars, found.incomplete_open_ns

    # --- memory ----------------------------------------------------------------------------------------
    def _remembered(self, key: tuple[str, str, int | None, int | None]) -> Candles | None:
        with self._lock:
            cached = self._cache.get(key)
            if cached is None:
                return None
            if self._clock() - cached.read_at_secs >= self._max_age_secs:
                self._forget(key)
                return None
            self._cache.move_to_end(key)
            return cached.candles

    def _remember(self, key: tuple[str, str, int | None, int | None], candles: Candles) -> None:
        if candles.nbytes > self._max_bytes:
            return
        with self._lock:
            if key in self._cache:  # another thread was first
                self._forget(key)
            self._cache[key] = _Cached(candles, self._clock())
            self._bytes += candles.nbytes
            while self._bytes > self._max_bytes:
                self._forget(next(iter(self._cache)))

    def _forget(self, key: tuple[str, str, int | None, int | None]) -> None:
        self._bytes -= self._cache.pop(key).candles.nbytes


def _joined(parts: list[BarColumns]) -> BarColumns:
    empty = np.empty(0, dtype=np.int64)
    return concatenate([BarColumns(empty, empty, empty, empty, empty, empty, empty), *parts])


def _boundary_from(ts_ns: int, interval: str) -> int:
    """Return the first boundary of an interval that is not before a time."""
    step_ns, phase_ns = interval_nanos(interval), interval_phase_ns(interval)
    return -(-(ts_ns - phase_ns) // step_ns) * step_ns + phase_ns


def _whole_span(entry: SeriesEntry, interval: str) -> tuple[int, int]:
    """Return the first and last close of the bars of `interval` that a series reaches all of.

    It is that of the series, not of one read: else a bar would come from one source in a long read and from
    another in a short one.
    """
    first_open_ns = entry.files[0].first_ns - interval_nanos(entry.interval or "")
    first_ns = _boundary_from(first_open_ns, interval) + interval_nanos(interval)
    last_ns = _boundary_from(entry.files[-1].last_ns + 1, interval) - interval_nanos(interval)
    return first_ns, last_ns


def _outside(close_ns: NDArray[np.int64], spans: list[tuple[int, int]]) -> NDArray[np.bool_]:
    """Tell which close times, shape (n,), lie in none of the spans."""
    is_free = np.ones(len(close_ns), dtype=np.bool_)
    for first, last in spans:
        is_free &= (close_ns < first) | (close_ns > last)
    return is_free


def _frozen(candles: Candles) -> Candles:
    columns = [getattr(candles.bars, field.name) for field in fields(candles.bars)]
    for array in (*columns, candles.is_derived, candles.incomplete_open_ns):
        array.setflags(write=False)
    return candles
