"""The structure engine: one causal pass over closed bars that finds every structure of the system."""

import struct
from collections.abc import Sequence
from dataclasses import asdict
from math import inf
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from indicators import state_bytes
from indicators.events import EVENT_DTYPE, EventTable
from indicators.kernels import engine as kernel
from indicators.kernels.bar import first_bad_row
from indicators.kernels.event import BUFFER_EVENTS, buffer_dtype
from indicators.kernels.zone import FULL, HALF, TOUCHED
from indicators.snapshot import ROW_DTYPE, SNAPSHOT_DTYPE, SnapshotTable
from indicators.structure_config import CHOICES, StructureConfig

__all__ = ["ScanBuffers", "StructureConfig", "StructureEngine"]

STATE_DTYPE = kernel.state_dtype(ROW_DTYPE)
BUFFER_DTYPE = buffer_dtype(EVENT_DTYPE)
_step_stream = kernel.stream_kernel(STATE_DTYPE, BUFFER_DTYPE)
_EVENT_BYTES = EVENT_DTYPE.itemsize
_pack_bar = struct.Struct("=2q6d").pack_into
_NO_EVENTS: EventTable = np.empty(0, EVENT_DTYPE)
_NO_EVENTS.flags.writeable = False
_NEVER = np.iinfo(np.int64).min
_ROW_START = STATE_DTYPE.itemsize - ROW_DTYPE.itemsize  # `row` is the last field


def _number(config: dict[str, Any], name: str) -> float | int:
    value = config[name]
    return CHOICES[name].index(value) if name in CHOICES else value


def fresh_state(config: StructureConfig) -> NDArray[np.void]:
    """Return the state before the first bar, shape (1,), dtype `STATE_DTYPE`."""
    states = np.zeros(1, STATE_DTYPE)
    state = states[0]
    values = asdict(config)
    for name in state["settings"].dtype.names:
        state["settings"][name] = _number(values, name)
    state["tracks_extremes"] = (
        config.order_block_trigger == "break" and config.order_block_origin == "extreme"
    )

    state["bar"]["seq"] = -1
    state["bar"]["ts_close"] = _NEVER
    state["bar"]["atr"] = np.nan
    averages = state["averages"]
    averages["range_mean"]["length"] = config.atr_length
    averages["slow_range_mean"]["length"] = config.atr_slow_length
    averages["strength"]["length"] = config.rsi_length
    averages["strength"]["close"] = np.nan
    for name in ("atr_slow", "ema_fast", "ema_slow", "rsi"):
        averages[name] = np.nan

    gaps, blocks = state["gaps"], state["blocks"]
    gaps["is_gap"] = 1
    gaps["active_below"] = {"touch": TOUCHED, "ce": HALF, "full": FULL}[config.fvg_valid_until]
    gaps["max_age"] = config.fvg_max_age
    gaps["near_ratio"] = inf
    blocks["active_below"] = HALF
    blocks["ends_by_wick"] = config.order_block_end == "wick"
    blocks["max_age"] = config.order_block_max_age
    blocks["near_ratio"] = config.order_block_near_ratio
    for stacks in (gaps, blocks):
        stacks["sign"] = (1, -1)
        stacks["reach"] = -inf
        stacks["shown_low"] = stacks["shown_high"] = np.nan

    scopes = state["scopes"]
    scopes["name"] = (1, 2)
    scopes["left"] = (config.internal_left, config.external_left)
    scopes["right"] = (config.internal_right, config.external_right)
    scopes["break_seq"] = -1
    scopes["trend_seq"] = -1
    # A swing of the wide window is one of the narrow window too, which found it earlier.
    scopes["is_within"][1] = (
        config.internal_left <= config.external_left and config.internal_right < config.external_right
    )
    scopes["shown_side"] = -1
    shown = scopes["shown"]
    for name in ("swing_high", "swing_low", "range_low", "range_high", "range_sweet"):
        shown[name] = np.nan
    shown["range_position"] = shown["range_retracement"] = np.nan
    shown["range_age"] = -1
    scopes["sides"]["levels"]["limit"] = inf
    ranges = scopes["sides"]["range"]
    ranges["floor"], ranges["ceiling"], ranges["expiry_seq"] = -inf, inf, np.iinfo(np.int64).max
    scopes["sides"]["levels"]["seq"] = -1
    scopes["sides"]["levels"]["before_seq"] = -1
    scopes["sides"]["fresh_id"] = -1
    books = state["books"]
    books["extreme_seq"] = -1
    books["swing_seq"] = -1
    books["top"] = books["equal"] = inf
    books["window_price"] = -inf
    state["periods"]["days"] = (1, 7)
    for name in ("previous_low", "previous_high"):
        state["periods"][name] = np.nan
    return states


class ScanBuffers:
    """Memory for the tables of `StructureEngine.scan`, to be used again and again.

    Fresh memory costs a third of a pass over a hundred thousand bars and twice the pass over a million:
    the system must clear 700 bytes per bar first. Whoever scans many series keeps one of these.

    Parameters
    ----------
    bars
        Largest number of bars of one scan, > 0.

    Attributes
    ----------
    events, snapshots
        Tables of `EVENT_DTYPE` and `SNAPSHOT_DTYPE`; `events` is replaced by a longer one when a scan
        finds more than two events per bar.

    Raises
    ------
    ValueError
        If `bars` is not positive.
    """

    __slots__ = ("events", "snapshots")

    def __init__(self, bars: int) -> None:
        if bars <= 0:
            raise ValueError(f"bars must be positive, got {bars}")
        # Some 1.3 events per bar are usual; what is not written costs no memory. Zeros, so that the bytes of
        # equal tables are equal, those of the padding between columns included.
        self.events: EventTable = np.zeros(2 * bars + BUFFER_EVENTS, EVENT_DTYPE)
        self.snapshots: SnapshotTable = np.zeros(bars, SNAPSHOT_DTYPE)

    def require(self, bars: int) -> None:
        """Raise ValueError when a scan of that many bars does not fit."""
        if bars > len(self.snapshots):
            raise ValueError(f"buffers for {len(self.snapshots)} bars cannot take a scan of {bars}")

    def lengthen(self, filled: int, more: int) -> None:
        """Keep the first `filled` events and make room for `more` after them."""
        self.events = np.concatenate([self.events[:filled], np.zeros(more, EVENT_DTYPE)])


class StructureEngine:
    """Every market structure of one stream of closed bars, klines or volume buckets alike.

    `update` takes one bar, `scan` takes columns; both continue the same state through the same kernel,
    so any mixture of them gives the same events. Nothing here looks ahead.

    Parameters
    ----------
    config
        Parameters of all detectors.

    Examples
    --------
    >>> engine = StructureEngine(StructureConfig(tick_size=0.5))
    >>> len(engine.update(0, 60_000_000_000, 10.0, 11.0, 9.0, 10.5, 3.0, float("nan")))
    0
    """

    def __init__(self, config: StructureConfig) -> None:
        self.config = config
        # Zeros, here and in `scan`: padding is part of a row's bytes, and equal rows must have equal bytes.
        self._buffers = np.zeros(1, BUFFER_DTYPE)
        self._event_bytes = memoryview(self._buffers.view(np.uint8))  # `rows` is the only field
        self._buffer_address = self._buffers.ctypes.data
        self._adopt(fresh_state(config))

    def _adopt(self, states: NDArray[np.void]) -> None:
        self._states = states
        self._state_address = states.ctypes.data
        self._bar_bytes = memoryview(states.view(np.uint8))  # `bar` is the first field
        self._row_bytes = self._bar_bytes[_ROW_START : _ROW_START + SNAPSHOT_DTYPE.itemsize]
        self._last_ts_close = int(states[0]["bar"]["ts_close"])

    def update(
        self,
        ts_open_ns: int,
        ts_close_ns: int,
        open_: float,
        high: float,
        low: float,
        close: float,
        volume: float,
        buy_volume: float,
    ) -> EventTable:
        """Take one closed bar; return the events that became known with it, shape (n,), often (0,).

        Parameters
        ----------
        ts_open_ns, ts_close_ns
            UNIX nanoseconds; the close time may repeat but not step back.
        open_, high, low, close
            Prices.
        volume, buy_volume
            Base volume >= 0 and the part that takers bought (NaN: unknown).

        Raises
        ------
        ValueError
            If the bar is impossible, not finite or older than the last one; the state is untouched.
        """
        is_legal = (
            -inf < low <= open_ <= high < inf
            and low <= close <= high
            and 0.0 <= volume < inf
            and (0.0 <= buy_volume < inf or buy_volume != buy_volume)
            and self._last_ts_close <= ts_close_ns >= ts_open_ns
        )
        if not is_legal:
            raise ValueError(
                self._complaint((ts_open_ns, ts_close_ns, open_, high, low, close, volume, buy_volume))
            )
        _pack_bar(self._bar_bytes, 0, ts_open_ns, ts_close_ns, open_, high, low, close, volume, buy_volume)
        self._last_ts_close = ts_close_ns
        count = _step_stream(self._state_address, self._buffer_address)
        if count == 0:
            return _NO_EVENTS
        # The bytes, since numpy takes 5 us to copy a few rows of a dtype with this many fields.
        return np.ndarray((count,), EVENT_DTYPE, bytearray(self._event_bytes[: count * _EVENT_BYTES]))

    def _complaint(self, bar: Sequence[float], row: int | None = None) -> str:
        ts_open_ns, ts_close_ns, open_, high, low, close, volume, buy_volume = bar
        where = "bar" if row is None else f"bar in row {row}"
        return (
            f"{where} is not a legal closed bar: open {open_} high {high} low {low} close {close} "
            f"volume {volume} buy_volume {buy_volume} ts_open_ns {ts_open_ns} ts_close_ns {ts_close_ns}; "
            "want finite prices with low <= open, close <= high, volumes >= 0, ts_open_ns <= ts_close_ns "
            "and no close time before the last one: drop or repair it"
        )

    def scan(
        self,
        ts_open_ns: NDArray[np.int64],
        ts_close_ns: NDArray[np.int64],
        open_: NDArray[np.float64],
        high: NDArray[np.float64],
        low: NDArray[np.float64],
        close: NDArray[np.float64],
        volume: NDArray[np.float64],
        buy_volume: NDArray[np.float64],
        *,
        out: ScanBuffers | None = None,
    ) -> tuple[EventTable, SnapshotTable]:
        """Take columns of closed bars, each of shape (n,), as if `update` were called n times.

        Parameters
        ----------
        ts_open_ns, ts_close_ns
            UNIX nanoseconds UTC.
        open_, high, low, close, volume, buy_volume
            Prices and base volumes; `buy_volume` may hold NaN.
        out
            Memory for the tables, which then are views that the next scan with it overwrites; None
            allocates fresh tables.

        Returns
        -------
        events, snapshots
            All events, shape (m,), and one snapshot row per bar, shape (n,).

        Raises
        ------
        ValueError
            If columns differ in length, any row is not a legal bar or `out` is too small; then no row
            was taken.
        """
        times = [np.ascontiguousarray(column, np.int64) for column in (ts_open_ns, ts_close_ns)]
        sizes = (open_, high, low, close, volume, buy_volume)
        columns: tuple[Any, ...] = (*times, *(np.ascontiguousarray(column, np.float64) for column in sizes))
        lengths = {column.shape for column in columns}
        if len(lengths) != 1 or columns[0].ndim != 1:
            raise ValueError(f"columns must have one common length, got shapes {sorted(lengths)}")
        bad = first_bad_row(self._last_ts_close, *columns)
        if bad >= 0:
            raise ValueError(self._complaint([column[bad].item() for column in columns], bad))

        count = len(columns[0])
        if out is None:
            out = ScanBuffers(max(count, 1))
        out.require(count)
        snapshots = out.snapshots[:count]
        rows = snapshots.view(ROW_DTYPE)
        filled = start = 0
        while start < count:
            if filled + BUFFER_EVENTS > len(out.events):
                out.lengthen(filled, 2 * (count - start) + BUFFER_EVENTS)
            buffers = out.events[filled : filled + BUFFER_EVENTS].view(BUFFER_DTYPE)
            start = kernel.scan(self._states, buffers, rows, start, *columns)
            filled += int(self._states[0]["log"]["count"])
        if count:
            self._states[0]["row"] = rows[-1]
            self._last_ts_close = int(columns[1][-1])
        return out.events[:filled], snapshots

    @property
    def bars(self) -> int:
        """Number of bars taken so far."""
        return int(self._states[0]["bar"]["seq"]) + 1

    @property
    def snapshot(self) -> np.void:
        """Row of `SNAPSHOT_DTYPE` after the last bar, a copy.

        Raises
        ------
        ValueError
            Before the first bar.
        """
        if self.bars == 0:
            raise ValueError("no snapshot before the first bar")
        # Numpy would copy it field by field, which takes 10 us.
        row: np.void = np.frombuffer(bytearray(self._row_bytes), SNAPSHOT_DTYPE)[0]
        return row

    @property
    def snapshot_bytes(self) -> memoryview:
        """Bytes of the row after the last bar, a view that the next bar changes; zeros before the first."""
        return self._row_bytes

    def reset(self) -> None:
        """Forget every bar: the state of a new engine with the same parameters."""
        self._adopt(fresh_state(self.config))

    def to_bytes(self) -> bytes:
        """Return the whole state; `from_bytes` continues from it as if there had been no break."""
        states = self._states.copy()
        # Where the last call left its event buffer says how it was called, not what the market did.
        states["log"]["count"] = states["log"]["bar_start"] = 0
        return state_bytes.pack(states, self.config.digest())

    @classmethod
    def from_bytes(cls, data: bytes, config: StructureConfig) -> Self:
        """Return an engine in the state that `to_bytes` saved.

        Raises
        ------
        ValueError
            If the bytes are no state, or of another version, other parameters or another layout.
        """
        engine = cls(config)
        engine._adopt(state_bytes.unpack(data, STATE_DTYPE, config.digest()))
        return engine
