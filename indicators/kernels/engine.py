"""The step of the structure engine, which composes all detectors, and the scan that loops over it."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from indicators.kernels import (
    average,
    fair_value_gap,
    liquidity,
    order_block,
    retracement,
    session,
    snapshot,
    structure,
    zone,
)
from indicators.kernels.address import at_address
from indicators.kernels.bar import BAR_DTYPE, advance
from indicators.kernels.event import BUFFER_EVENTS, LOG_DTYPE, MAX_EVENTS_PER_BAR
from indicators.kernels.jit import inline_kernel, kernel

# Parameters as numbers: words are their place in the documented list, booleans 0 and 1.
SETTINGS_DTYPE = np.dtype(
    [
        ("tick_size", np.float64),
        ("atr_kind", np.int64),
        ("atr_lag", np.int64),
        ("ema_fast_length", np.int64),
        ("ema_slow_length", np.int64),
        ("swing_left_strict", np.int64),
        ("swing_right_strict", np.int64),
        ("swing_both", np.int64),
        ("structure_break", np.int64),
        ("structure_rule", np.int64),
        ("choch_level", np.int64),
        ("internal_suppressed", np.int64),
        ("float32_levels", np.int64),
        ("displacement_atr", np.float64),
        ("fvg_min_ratio", np.float64),
        ("fvg_min_atr", np.float64),
        ("fvg_middle", np.int64),
        ("order_block_trigger", np.int64),
        ("order_block_origin", np.int64),
        ("order_block_impulse_atr", np.float64),
        ("order_block_lookback", np.int64),
        ("order_block_zone", np.int64),
        ("zone_cap", np.int64),
        ("sweep_lookback", np.int64),
        ("equal_atr", np.float64),
        ("equal_both_sides", np.int64),
        ("range_origin", np.int64),
        ("range_side", np.int64),
        ("range_retracing", np.float64),
        ("ote_low", np.float64),
        ("ote_sweet", np.float64),
        ("ote_high", np.float64),
        ("range_fail", np.int64),
        ("range_opposed", np.int64),
        ("range_expiry", np.int64),
        ("range_break_ratio", np.float64),
        ("equilibrium_low", np.float64),
        ("equilibrium_high", np.float64),
        ("session_start_tolerance_secs", np.float64),
    ]
)


def state_dtype(row_dtype: np.dtype[np.void]) -> np.dtype[np.void]:
    """Return the dtype of the engine's whole state: one record, about 220 kB.

    Parameters
    ----------
    row_dtype
        Layout of a snapshot row with a nested record per structure.

    Returns
    -------
    numpy.dtype
        Record of shape () per engine; times in UNIX ns, prices in quote units, ages in bars.

    References
    ----------
    ``docs/structure.md``, "Snapshot".
    """
    return np.dtype(
        [
            ("bar", BAR_DTYPE),
            ("settings", SETTINGS_DTYPE),
            ("log", LOG_DTYPE),
            ("averages", average.AVERAGES_DTYPE),
            ("gaps", zone.STACK_DTYPE, (2,)),  # bullish, bearish
            ("blocks", zone.STACK_DTYPE, (2,)),
            ("scopes", structure.scope_dtype(row_dtype["scopes"].base), (2,)),  # internal, external
            ("books", liquidity.BOOK_DTYPE, (2,)),  # highs, lows
            ("periods", session.PERIOD_DTYPE, (2,)),  # day, week
            ("tracks_extremes", np.int64),
            ("block", order_block.BLOCK_DTYPE),  # scratch of one step
            ("leg", retracement.RANGE_DTYPE),
            ("row", row_dtype),  # snapshot of the last bar
        ]
    )


@inline_kernel
def step(state: Any, events: Any, row: Any) -> None:
    """Advance everything by the bar in `state.bar`, in the documented order.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); read and written.
    events
        The event buffer's record (``event.buffer_dtype``), shape (); rows are appended.
    row
        One snapshot row, shape (), written last: prices, ages in bars.

    References
    ----------
    ``docs/structure.md``, "Order within a bar".
    """
    log = state.log
    log.bar_start = log.count
    advance(state.bar)
    session.step(state, events, state.periods[0])
    session.step(state, events, state.periods[1])
    average.step(state)

    for k in range(2):
        zone.live(state, events, state.gaps[k], state.gaps[1 - k])
    for k in range(2):
        zone.live(state, events, state.blocks[k], state.blocks[1 - k])
    liquidity.step(state, events)

    # External first: the internal structure asks what it broke.
    for i in range(1, -1, -1):
        structure.step(state, events, state.scopes[i])
    for i in range(1, -1, -1):
        retracement.step(state, events, state.scopes[i])
    new_gap = fair_value_gap.step(state, events)
    new_block = order_block.step(state, events)
    if state.tracks_extremes == 1:
        structure.extend_extremes(state)

    for i in range(1, -1, -1):
        structure.confirm_swings(state, events, state.scopes[i])
    equal_levels = 0
    sides = state.scopes[0].sides
    if sides[0].fresh_id >= 0 and liquidity.push(state, events, 0) == 1:
        equal_levels = 1
    if sides[1].fresh_id >= 0 and liquidity.push(state, events, 1) == 1:
        equal_levels = -1 if equal_levels == 0 else 2
    snapshot.write(state, row, new_gap, new_block, equal_levels)


def stream_kernel(state: np.dtype[np.void], buffer: np.dtype[np.void]) -> Callable[[int, int], int]:
    """Return the kernel that advances a live engine by one bar, for states and buffers of these dtypes.

    The bar stands in the first eight fields of the state: UNIX ns, prices, base volumes.

    Parameters
    ----------
    state, buffer
        The dtypes of the state record and of the event buffer.

    Returns
    -------
    callable
        Takes the addresses (see `address`) of a state and of a buffer, each of shape (1,), and returns
        the number of event rows that it filled.

    References
    ----------
    `step`.
    """

    @kernel
    def step_stream(state_address: int, buffer_address: int) -> int:
        states = carray(at_address(state_address), 1, state)
        buffers = carray(at_address(buffer_address), 1, buffer)
        record = states[0]
        record.log.count = 0
        step(record, buffers[0], record.row)
        return int(record.log.count)

    return step_stream


@kernel
def scan(
    states: Any,
    buffers: Any,
    rows: Any,
    start: int,
    ts_open: Any,
    ts_close: Any,
    open_: Any,
    high: Any,
    low: Any,
    close: Any,
    volume: Any,
    buy_volume: Any,
) -> int:
    """Loop `step` over checked columns from row `start`; return the first row not taken.

    Parameters
    ----------
    states, buffers
        State and event buffer, shape (1,) each.
    rows
        Snapshot rows, shape (n,), written.
    start
        First row to take.
    ts_open, ts_close, open_, high, low, close, volume, buy_volume
        Columns, shape (n,): UNIX ns, prices, base volumes, as `first_bad_row` passed them.

    Returns
    -------
    int
        n, or less when the event buffer could overflow on the next bar; `log.count` tells its fill.

    References
    ----------
    `step`.
    """
    state, events = states[0], buffers[0]
    bar = state.bar
    state.log.count = 0
    room = BUFFER_EVENTS - MAX_EVENTS_PER_BAR
    for j in range(len(close) - start):
        i = np.uint64(start) + np.uint64(j)  # unsigned, or every index is tested for counting from the end
        if state.log.count > room:
            return start + j
        bar.ts_open = ts_open[i]
        bar.ts_close = ts_close[i]
        bar.open = open_[i]
        bar.high = high[i]
        bar.low = low[i]
        bar.close = close[i]
        bar.volume = volume[i]
        bar.buy_volume = buy_volume[i]
        step(state, events, rows[i])
    return len(close)
