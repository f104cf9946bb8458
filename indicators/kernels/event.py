"""Writing structure events: the codes of every kind, and the one kernel that appends a row."""

from typing import Any

import numpy as np

from indicators.kernels.jit import kernel

SWING, SWING_REPLACED, SWING_LOCKED = 1, 2, 3
BOS, CHOCH = 4, 5
FVG, FVG_TOUCHED, FVG_CE, FVG_FILLED, FVG_INVERTED, FVG_EXPIRED, FVG_DROPPED = range(10, 17)
OB, OB_REINFORCED, OB_TOUCHED, OB_MITIGATED, OB_INVALIDATED, OB_EXPIRED, OB_DROPPED = range(20, 27)
BREAKER, BREAKER_TOUCHED, BREAKER_MITIGATED, BREAKER_INVALIDATED = range(30, 34)
BREAKER_EXPIRED, BREAKER_DROPPED = 34, 35
SWEEP_EXTREME, SWEEP_SWING, LIQUIDITY_TAKEN, LIQUIDITY_DROPPED, EQUAL_LEVELS = range(40, 45)
PERIOD_LEVELS = 50
RANGE_FORMED, RANGE_EXTENDED, RANGE_RETRACING = 60, 61, 62
OTE_ENTERED, OTE_SWEET_TOUCHED, OTE_COMPLETED, OTE_FAILED = 63, 64, 65, 66
RANGE_INVALIDATED, RANGE_SUPERSEDED, RANGE_OPPOSED, RANGE_EXPIRED = 67, 68, 69, 70

SCOPE_NONE, SCOPE_INTERNAL, SCOPE_EXTERNAL = 0, 1, 2
FLAG_FIRST, FLAG_SHIFT = 1, 2

# `next_id` numbers the events of the stream; `count` is the fill of the buffer handed in, `bar_start` its
# fill when the current bar began.
LOG_DTYPE = np.dtype([("next_id", np.int64), ("count", np.int64), ("bar_start", np.int64)])


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
    """
    log = state.log
    event = events[log.count]
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
