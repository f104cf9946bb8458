"""Previous day's and week's high and low: of the last completed UTC period, never of the forming one."""

from typing import Any

import numpy as np

from indicators.kernels import event as ev
from indicators.kernels.jit import inline_kernel, kernel

DAY_NS = 86_400_000_000_000
# 1970-01-01 was a Thursday: three days after the Monday that began its week.
THURSDAY_NS = 3 * DAY_NS

PERIOD_DTYPE = np.dtype(
    [
        ("days", np.int64),  # 1 or 7
        ("start", np.int64),  # of the forming period, ns
        ("stop", np.int64),
        ("is_open", np.int64),  # 0 before the first bar
        ("is_whole", np.int64),  # the forming period was seen from its start
        ("first_seq", np.int64),
        ("first_ts", np.int64),
        ("low", np.float64),
        ("high", np.float64),
        ("previous_low", np.float64),
        ("previous_high", np.float64),
    ]
)


@kernel
def _complete(state: Any, events: Any, period: Any) -> None:
    """Report the period that ended before the current bar."""
    period.previous_low = period.low
    period.previous_high = period.high
    ev.emit(
        state,
        events,
        ev.PERIOD_LEVELS,
        ev.NO_DIRECTION,
        ev.SCOPE_NONE,
        period.first_seq,
        period.first_ts,
        period.low,
        period.high,
        0.5 * (period.low + period.high),
        ev.NO_REF,
        np.nan,
        np.nan,
        period.days,
    )


@inline_kernel
def step(state: Any, events: Any, period: Any) -> None:
    """Lead the current bar into its period, by its open time; report the one before if it is complete.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); the bar is read: UNIX ns, prices.
    events
        The event buffer's record (``event.buffer_dtype``), shape (); rows are appended.
    period
        Record of the day or of the week, shape (), written.

    References
    ----------
    ``docs/structure.md``, "Previous day and week".
    """
    bar = state.bar
    if period.is_open == 1 and bar.ts_open < period.stop:
        period.low = min(period.low, bar.low)
        period.high = max(period.high, bar.high)
    else:
        _begin(state, events, period)


@kernel
def _begin(state: Any, events: Any, period: Any) -> None:
    """Begin the period of the current bar, and report the one before if it is complete."""
    bar = state.bar
    if period.is_open == 1 and period.is_whole == 1:
        _complete(state, events, period)
    length = period.days * DAY_NS
    offset = THURSDAY_NS if period.days == 7 else 0
    period.start = (bar.ts_open + offset) // length * length - offset
    period.stop = period.start + length
    late = bar.ts_open - period.start
    is_seen_whole = period.is_open == 1 or late <= 1e9 * state.settings.session_start_tolerance_secs
    period.is_whole = 1 if is_seen_whole else 0
    period.is_open = 1
    period.first_seq = bar.seq
    period.first_ts = bar.ts_close
    period.low = bar.low
    period.high = bar.high
