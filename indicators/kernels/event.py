"""Writing structure events: the codes of every kind, and the one kernel that appends a row."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from indicators.kernels.jit import kernel


def code(value: int) -> int:
    """Return an integer constant that kernels hand to each other.

    Numba compiles a callee anew for every literal int it is called with, but not for numpy scalars.

    Parameters
    ----------
    value
        Any int64 without a unit, shape ().

    References
    ----------
    The codes are those of ``indicators/events.py``.
    """
    return np.int64(value)  # type: ignore[return-value]


def codes(first: int, count: int) -> Iterator[int]:
    """Return consecutive constants, see `code`.

    Parameters
    ----------
    first, count
        The first value, and how many: plain numbers.

    Returns
    -------
    iterator of int
        `count` scalars.

    References
    ----------
    The codes are those of ``indicators/events.py``.
    """
    return map(code, range(first, first + count))


SWING, SWING_REPLACED, SWING_LOCKED = codes(1, 3)
BOS, CHOCH = codes(4, 2)
FVG, FVG_TOUCHED, FVG_CE, FVG_FILLED, FVG_INVERTED, FVG_EXPIRED, FVG_DROPPED = codes(10, 7)
OB, OB_REINFORCED, OB_TOUCHED, OB_MITIGATED, OB_INVALIDATED, OB_EXPIRED, OB_DROPPED = codes(20, 7)
BREAKER, BREAKER_TOUCHED, BREAKER_MITIGATED, BREAKER_INVALIDATED = codes(30, 4)
BREAKER_EXPIRED, BREAKER_DROPPED = codes(34, 2)
SWEEP_EXTREME, SWEEP_SWING, LIQUIDITY_TAKEN, LIQUIDITY_DROPPED, EQUAL_LEVELS = codes(40, 5)
PERIOD_LEVELS = code(50)
RANGE_FORMED, RANGE_EXTENDED, RANGE_RETRACING = codes(60, 3)
OTE_ENTERED, OTE_SWEET_TOUCHED, OTE_COMPLETED, OTE_FAILED = codes(63, 4)
RANGE_INVALIDATED, RANGE_SUPERSEDED, RANGE_OPPOSED, RANGE_EXPIRED = codes(67, 4)

SCOPE_NONE, SCOPE_INTERNAL, SCOPE_EXTERNAL = codes(0, 3)
FLAG_FIRST, FLAG_SHIFT = codes(1, 2)
NO_REF, NO_FLAG, NO_DIRECTION = code(-1), code(0), code(0)

# Zones: four stacks of 512 may each be touched, half filled, filled, closed through, inverted and
# dropped; liquidity: two stacks of 512 taken and swept; the rest is a few dozen.
MAX_EVENTS_PER_BAR = 4 * 512 * 6 + 2 * 512 * 2 + 64
BUFFER_EVENTS = 1 << 16  # 8 MB, of which only what is written costs memory

# `next_id` numbers the events of the stream; `count` is the fill of the buffer handed in, `bar_start` its
# fill when the current bar began.
LOG_DTYPE = np.dtype([("next_id", np.int64), ("count", np.int64), ("bar_start", np.int64)])


def buffer_dtype(event_dtype: np.dtype[np.void]) -> np.dtype[np.void]:
    """Return the dtype of an event buffer: one record around its rows.

    Numba passes a record as a bare pointer, an array with atomic reference counts.

    Parameters
    ----------
    event_dtype
        ``EVENT_DTYPE``: UNIX ns, prices.

    Returns
    -------
    numpy.dtype
        Record of shape () with the field `rows` of shape (BUFFER_EVENTS,).

    References
    ----------
    ``docs/structure.md``, "Columns that all events share".
    """
    return np.dtype([("rows", event_dtype, (BUFFER_EVENTS,))])


@kernel
def emit(
    state: Any,
    events: Any,
    kind: int,
    direction: int,
    scope: int,
    origin_seq: int,
    origin_ts_ns: int,
    low: float,
    high: float,
    level: float,
    ref_id: int,
    displacement: float,
    depth: float,
    flag: int,
) -> int:
    """Append one row to the event buffer, known at the current bar; return its event_id.

    The caller guarantees room: `MAX_EVENTS_PER_BAR` rows before a bar begins.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); `bar` gives number and close time, `log` the
        place, the count goes on.
    events
        The event buffer's record (``event.buffer_dtype``), shape (); rows are appended.
    kind, direction, scope, flag
        Codes, see ``indicators/events.py``.
    origin_seq, origin_ts_ns
        Bar that the event speaks of: its number, and its close time in UNIX ns.
    low, high, level
        Unsigned prices; low and high in either order.
    ref_id
        Event that created the thing, -1 none.
    displacement, depth
        As the kind defines them (ATRs, ratios or bars), NaN for none.

    Returns
    -------
    int
        The event's id, counted from 0 over the whole stream.

    References
    ----------
    ``docs/structure.md``, "Columns that all events share".
    """
    log = state.log
    event = events.rows[log.count]
    event_id = log.next_id
    event.event_id = event_id
    event.kind = kind
    event.direction = direction
    event.scope = scope
    event.known_seq = state.bar.seq
    event.known_ts_ns = state.bar.ts_close
    event.origin_seq = origin_seq
    event.origin_ts_ns = origin_ts_ns
    event.low = low
    event.high = high
    event.level = level
    event.ref_id = ref_id
    event.displacement = displacement
    event.depth = depth
    event.flag = flag
    event.volume = np.nan
    event.buy_share = np.nan
    log.count += 1
    log.next_id = event_id + 1
    return int(event_id)
