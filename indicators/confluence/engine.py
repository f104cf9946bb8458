"""The confluence engine: one pass over closed bars of the lower timeframe, one row per bar."""

import struct
from collections.abc import Sequence
from dataclasses import asdict
from math import inf, nan
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from indicators import state_bytes
from indicators.confluence.config import (
    STRUCTURE_ROLES,
    STRUCTURE_SCOPES,
    SWEEP_KINDS,
    ConfluenceConfig,
    ConfluenceWeights,
    phase_secs,
)
from indicators.confluence.row import CONFLUENCE_DTYPE, ROW_DTYPE, ConfluenceTable
from indicators.engine import BUFFER_DTYPE
from indicators.engine import STATE_DTYPE as STRUCTURE_DTYPE
from indicators.engine import fresh_state as fresh_structure
from indicators.kernels import confluence as kernel
from indicators.kernels.bar import first_bad_row
from indicators.kernels.timeframe import NEVER, first_misplaced_row
from indicators.snapshot import SNAPSHOT_DTYPE

__all__ = ["ConfluenceConfig", "ConfluenceEngine", "ConfluenceWeights"]

STATE_DTYPE = kernel.state_dtype(STRUCTURE_DTYPE, ROW_DTYPE)
_scan = kernel.scan_kernel(STATE_DTYPE, BUFFER_DTYPE, ROW_DTYPE)
_pack_bar = struct.Struct("=2q6d").pack_into
_SECOND_NS = 1_000_000_000


def fresh_state(config: ConfluenceConfig) -> NDArray[np.void]:
    """Return the state before the first bar, shape (1,), dtype `STATE_DTYPE`."""
    states = np.zeros(1, STATE_DTYPE)
    state = states[0]
    # As bytes: an assignment leaves the padding between fields to chance, and it is part of saved states.
    fresh = fresh_structure(config.structure).view(np.uint8)
    for place in range(2):
        state["structures"][place : place + 1].view(np.uint8)[:] = fresh
    settings = state["settings"]
    for name, points in asdict(config.weights).items():
        settings[name] = points
    settings["base_ns"] = config.ltf_secs * _SECOND_NS
    settings["sweep_kind"] = SWEEP_KINDS.index(config.sweep_kind)
    settings["structure_role"] = STRUCTURE_ROLES.index(config.structure_role)
    settings["structure_scope"] = STRUCTURE_SCOPES.index(config.structure_scope)
    for name in ("sweep_max_age_bars", "rsi_oversold", "rsi_overbought", "max_missing_bars"):
        settings[name] = getattr(config, name)

    for name in ("mtf", "htf"):
        interval_secs = getattr(config, f"{name}_secs")
        frame = state[name]
        frame["step_ns"] = interval_secs * _SECOND_NS
        frame["phase_ns"] = phase_secs(interval_secs) * _SECOND_NS
        frame["wanted"] = interval_secs // config.ltf_secs
        frame["last_close_ns"] = NEVER
    averages = state["bias"]
    averages["fast_length"] = config.htf_ema_fast_length
    averages["slow_length"] = config.htf_ema_slow_length
    averages["warm_up"] = config.htf_warm_up_bars
    averages["fast"] = averages["slow"] = np.nan
    state["htf_close"] = np.nan
    state["ts_close_before"] = NEVER
    return states


class ConfluenceEngine:
    """Score both sides of one stream of closed bars of the lower timeframe.

    `update` takes one bar, `scan` takes columns; both continue the same state through the same kernel, so
    any mixture of them gives the same rows, bit for bit. Nothing here looks ahead: higher bars count from
    the close of their last lower bar on.

    Parameters
    ----------
    config
        Timeframes, factors and weights.

    Examples
    --------
    >>> engine = ConfluenceEngine(ConfluenceConfig(structure=StructureConfig(tick_size=0.5)))
    >>> row = engine.update(0, 300_000_000_000, 10.0, 11.0, 9.0, 10.5, 3.0)
    >>> float(row["score_long"]), int(row["is_ready"])
    (0.0, 0)
    """

    def __init__(self, config: ConfluenceConfig) -> None:
        self.config = config
        self._base_ns = config.ltf_secs * _SECOND_NS
        self._buffers = np.zeros(1, BUFFER_DTYPE)  # scratch, of which only what is written costs memory
        self._buffer_address = self._buffers.ctypes.data
        # One live bar: its eight values are eight columns of one row.
        self._bar = np.zeros(8, np.int64)
        self._bar_bytes = memoryview(self._bar.view(np.uint8))
        self._bar_columns = self._bar.ctypes.data + 8 * np.arange(8)
        self._columns_address = self._bar_columns.ctypes.data
        self._adopt(fresh_state(config))

    def _adopt(self, states: NDArray[np.void]) -> None:
        self._states = states
        self._state_address = states.ctypes.data
        # Zeros: padding is part of a row's bytes, and equal rows must have equal bytes.
        self._rows = states["row"]
        self._row_address = self._rows.ctypes.data
        self._last_ts_close = int(states[0]["ts_close_before"])

    def update(
        self,
        ts_open_ns: int,
        ts_close_ns: int,
        open_: float,
        high: float,
        low: float,
        close: float,
        volume: float,
        buy_volume: float = nan,
    ) -> np.void:
        """Take one closed bar of the lower timeframe; return its row of `CONFLUENCE_DTYPE`, a copy.

        Parameters
        ----------
        ts_open_ns, ts_close_ns
            UNIX nanoseconds on boundaries of the interval, later than every bar before.
        open_, high, low, close
            Prices.
        volume, buy_volume
            Base volume >= 0 and the part that takers bought (NaN: unknown).

        Raises
        ------
        ValueError
            If the bar is impossible, not finite, off the grid of its interval, or not later than the last
            one; the state is untouched.
        """
        is_legal = (
            -inf < low <= open_ <= high < inf
            and low <= close <= high
            and 0.0 <= volume < inf
            and (0.0 <= buy_volume < inf or buy_volume != buy_volume)
            and self._last_ts_close <= ts_open_ns
            and ts_close_ns - ts_open_ns == self._base_ns
            and ts_open_ns % self._base_ns == 0
        )
        if not is_legal:
            raise ValueError(
                self._complaint((ts_open_ns, ts_close_ns, open_, high, low, close, volume, buy_volume))
            )
        _pack_bar(self._bar_bytes, 0, ts_open_ns, ts_close_ns, open_, high, low, close, volume, buy_volume)
        self._last_ts_close = ts_close_ns
        _scan(self._state_address, self._buffer_address, self._row_address, self._columns_address, 1)
        return self._row()

    def _row(self) -> np.void:
        row: np.void = np.frombuffer(self._rows.tobytes(), CONFLUENCE_DTYPE)[0]
        return row

    def _complaint(self, bar: Sequence[float], row: int | None = None) -> str:
        ts_open_ns, ts_close_ns, open_, high, low, close, volume, buy_volume = bar
        where = "bar" if row is None else f"bar in row {row}"
        return (
            f"{where} is not the next closed bar of {self.config.ltf_secs} s: open {open_} high {high} "
            f"low {low} close {close} volume {volume} buy_volume {buy_volume} ts_open_ns {ts_open_ns} "
            f"ts_close_ns {ts_close_ns}; want finite prices with low <= open, close <= high, volumes >= 0, "
            f"times on the interval's boundaries, and no bar twice or before {self._last_ts_close}: drop or "
            "repair it"
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
        buy_volume: NDArray[np.float64] | None = None,
        *,
        out: ConfluenceTable | None = None,
    ) -> ConfluenceTable:
        """Take columns of closed bars, each of shape (n,), as if `update` were called n times.

        Parameters
        ----------
        ts_open_ns, ts_close_ns
            UNIX nanoseconds UTC.
        open_, high, low, close, volume, buy_volume
            Prices and base volumes; None: bought volume is not known.
        out
            Rows to write into, of `CONFLUENCE_DTYPE` and at least n, made by ``numpy.zeros``; None makes
            them. Whoever scans many series keeps one, since fresh memory costs as much as the pass.

        Returns
        -------
        ndarray
            One row per bar, shape (n,); a view of `out`.

        Raises
        ------
        ValueError
            If columns differ in length, any row is not a legal bar or `out` does not fit; then no row was
            taken.
        """
        if buy_volume is None:
            buy_volume = np.full(len(close), np.nan)
        times = [np.ascontiguousarray(column, np.int64) for column in (ts_open_ns, ts_close_ns)]
        sizes = (open_, high, low, close, volume, buy_volume)
        columns: tuple[Any, ...] = (*times, *(np.ascontiguousarray(column, np.float64) for column in sizes))
        lengths = {column.shape for column in columns}
        if len(lengths) != 1 or columns[0].ndim != 1:
            raise ValueError(f"columns must have one common length, got shapes {sorted(lengths)}")
        last_ts_open_ns = self._last_ts_close - self._base_ns
        wrong = (
            first_bad_row(self._last_ts_close, *columns),
            first_misplaced_row(last_ts_open_ns, self._base_ns, *times),
        )
        bad = min((row for row in wrong if row >= 0), default=-1)
        if bad >= 0:
            raise ValueError(self._complaint([column[bad].item() for column in columns], bad))

        count = len(columns[0])
        if out is None:
            out = np.zeros(count, CONFLUENCE_DTYPE)
        if out.dtype != CONFLUENCE_DTYPE or len(out) < count or not out.flags.c_contiguous:
            raise ValueError(f"out must hold {count} rows of CONFLUENCE_DTYPE in one piece, got {len(out)}")
        rows = out[:count].view(ROW_DTYPE)
        if count:
            addresses = np.array([column.ctypes.data for column in columns])
            _scan(
                self._state_address,
                self._buffer_address,
                rows.ctypes.data,
                addresses.ctypes.data,
                count,
            )
            self._rows[0] = rows[-1]
            self._last_ts_close = int(times[1][-1])
        return out[:count]

    @property
    def bars(self) -> int:
        """Number of bars taken so far."""
        return int(self._states[0]["structures"][0]["bar"]["seq"]) + 1

    @property
    def row(self) -> np.void:
        """Row after the last bar, a copy.

        Raises
        ------
        ValueError
            Before the first bar.
        """
        if self.bars == 0:
            raise ValueError("no row before the first bar")
        return self._row()

    @property
    def snapshot(self) -> np.void:
        """Row of ``SNAPSHOT_DTYPE`` of the lower timeframe's structure engine after the last bar, a copy.

        Raises
        ------
        ValueError
            Before the first bar.
        """
        if self.bars == 0:
            raise ValueError("no snapshot before the first bar")
        snapshot: np.void = self._states["structures"][0, :1]["row"].copy().view(SNAPSHOT_DTYPE)[0]
        return snapshot

    def reset(self) -> None:
        """Forget every bar: the state of a new engine with the same parameters."""
        self._adopt(fresh_state(self.config))

    def to_bytes(self) -> bytes:
        """Return the whole state; `from_bytes` continues from it as if there had been no break."""
        return state_bytes.pack(self._states, self.config.digest())

    @classmethod
    def from_bytes(cls, data: bytes, config: ConfluenceConfig) -> Self:
        """Return an engine in the state that `to_bytes` saved.

        Raises
        ------
        ValueError
            If the bytes are no state, or of another version, other parameters or another layout.
        """
        engine = cls(config)
        engine._adopt(state_bytes.unpack(data, STATE_DTYPE, config.digest()))
        return engine
