"""Joining closed bars to bars of a higher timeframe at UTC boundaries, nothing filled in.

A higher bar is known at the close of its last base bar, and only if every base bar of it was there.
"""

from typing import Any

import numpy as np

from indicators.kernels.jit import inline_kernel, kernel

NEVER = -1

FRAME_DTYPE = np.dtype(
    [
        ("step_ns", np.int64),
        ("phase_ns", np.int64),  # of the boundaries behind multiples of `step_ns` since 1970
        ("wanted", np.int64),  # base bars of one higher bar
        ("number", np.int64),  # of the higher bar that is forming
        ("count", np.int64),  # its base bars so far
        ("bars", np.int64),  # complete higher bars so far
        ("last_close_ns", np.int64),  # of the last complete one, NEVER before the first
        ("open", np.float64),
        ("high", np.float64),
        ("low", np.float64),
        ("close", np.float64),
        ("volume", np.float64),
        ("buy_volume", np.float64),
    ]
)


@inline_kernel
def step(frame: Any, bar: Any) -> bool:
    """Take one closed base bar into the higher bar that it belongs to.

    Parameters
    ----------
    frame
        Record `FRAME_DTYPE`, shape (), written: UNIX ns, prices, base volumes of the forming bar.
    bar
        The engine's record of the current base bar, shape (): opened on a boundary of the base interval and
        later than the one before it.

    Returns
    -------
    bool
        Whether it completes a higher bar, whose values then stand in `frame` until the next step.

    References
    ----------
    ``docs/confluence.md``, "Timeframes".
    """
    number = (bar.ts_open - frame.phase_ns) // frame.step_ns
    if (frame.count == 0) | (number != frame.number):
        frame.number = number
        frame.count = 0
        frame.open = bar.open
        frame.high = bar.high
        frame.low = bar.low
        frame.volume = 0.0
        frame.buy_volume = 0.0
    frame.count += 1
    frame.high = max(frame.high, bar.high)
    frame.low = min(frame.low, bar.low)
    frame.close = bar.close
    frame.volume += bar.volume
    frame.buy_volume += bar.buy_volume
    if frame.count < frame.wanted:
        return False
    frame.bars += 1
    frame.last_close_ns = bar.ts_close
    return True


@inline_kernel
def missing(frame: Any, ts_close_ns: int) -> int:
    """Return how many higher bars should have closed since the last complete one.

    Parameters
    ----------
    frame
        Record `FRAME_DTYPE`, shape ().
    ts_close_ns
        Close of the current base bar, UNIX ns.

    Returns
    -------
    int
        Number of bars, 0 when the newest closed one was complete; `NEVER` before the first.

    References
    ----------
    ``docs/confluence.md``, "Timeframes".
    """
    if frame.last_close_ns == NEVER:
        return NEVER
    # Close times are boundaries, so the phase cancels in the difference only if both are counted with it.
    now = (ts_close_ns - frame.phase_ns) // frame.step_ns
    return int(now - (frame.last_close_ns - frame.phase_ns) // frame.step_ns)


@kernel
def first_misplaced_row(last_ts_open_ns: int, base_ns: int, ts_open: Any, ts_close: Any) -> int:
    """Return the index of the first bar that is not on the grid or not later than the one before, else -1.

    Parameters
    ----------
    last_ts_open_ns
        Open time of the bar before row 0, UNIX ns.
    base_ns
        Length of the base interval in ns.
    ts_open, ts_close
        Columns, shape (n,): UNIX ns.

    Returns
    -------
    int
        Row number from 0, or -1.

    References
    ----------
    ``docs/confluence.md``, "Timeframes".
    """
    before = last_ts_open_ns
    for i in range(len(ts_open)):
        is_placed = ts_open[i] % base_ns == 0 and ts_close[i] - ts_open[i] == base_ns and ts_open[i] > before
        if not is_placed:
            return i
        before = ts_open[i]
    return -1
