"""Structure events: the append-only record of everything the detectors found, and when it was known.

One event is one row of `EVENT_DTYPE`. Rows are never edited or removed: a replacement, a touch, an
expiry is a new row that names the row it speaks of in ``ref_id``. ``docs/structure.md`` defines every
kind and every column; the tables below are its short form.
"""

from enum import IntEnum

import numpy as np

from indicators.kernels import event as ev

type EventTable = np.ndarray[tuple[int], np.dtype[np.void]]
"""Array of shape (n,) with dtype `EVENT_DTYPE`."""


class Scope(IntEnum):
    """Which structure engine speaks: internal 5/5, external 50/50, or none of the two."""

    NONE = 0
    INTERNAL = 1
    EXTERNAL = 2


class EventKind(IntEnum):
    """What happened. The columns of each kind are defined in ``docs/structure.md``."""

    SWING = ev.SWING
    SWING_REPLACED = ev.SWING_REPLACED
    SWING_LOCKED = ev.SWING_LOCKED
    BOS = ev.BOS
    CHOCH = ev.CHOCH
    FVG = ev.FVG
    FVG_TOUCHED = ev.FVG_TOUCHED
    FVG_CE = ev.FVG_CE
    FVG_FILLED = ev.FVG_FILLED
    FVG_INVERTED = ev.FVG_INVERTED
    FVG_EXPIRED = ev.FVG_EXPIRED
    FVG_DROPPED = ev.FVG_DROPPED
    OB = ev.OB
    OB_REINFORCED = ev.OB_REINFORCED
    OB_TOUCHED = ev.OB_TOUCHED
    OB_MITIGATED = ev.OB_MITIGATED
    OB_INVALIDATED = ev.OB_INVALIDATED
    OB_EXPIRED = ev.OB_EXPIRED
    OB_DROPPED = ev.OB_DROPPED
    BREAKER = ev.BREAKER
    BREAKER_TOUCHED = ev.BREAKER_TOUCHED
    BREAKER_MITIGATED = ev.BREAKER_MITIGATED
    BREAKER_INVALIDATED = ev.BREAKER_INVALIDATED
    BREAKER_EXPIRED = ev.BREAKER_EXPIRED
    BREAKER_DROPPED = ev.BREAKER_DROPPED
    SWEEP_EXTREME = ev.SWEEP_EXTREME
    SWEEP_SWING = ev.SWEEP_SWING
    LIQUIDITY_TAKEN = ev.LIQUIDITY_TAKEN
    LIQUIDITY_DROPPED = ev.LIQUIDITY_DROPPED
    EQUAL_LEVELS = ev.EQUAL_LEVELS
    PERIOD_LEVELS = ev.PERIOD_LEVELS
    RANGE_FORMED = ev.RANGE_FORMED
    RANGE_EXTENDED = ev.RANGE_EXTENDED
    RANGE_RETRACING = ev.RANGE_RETRACING
    OTE_ENTERED = ev.OTE_ENTERED
    OTE_SWEET_TOUCHED = ev.OTE_SWEET_TOUCHED
    OTE_COMPLETED = ev.OTE_COMPLETED
    OTE_FAILED = ev.OTE_FAILED
    RANGE_INVALIDATED = ev.RANGE_INVALIDATED
    RANGE_SUPERSEDED = ev.RANGE_SUPERSEDED
    RANGE_OPPOSED = ev.RANGE_OPPOSED
    RANGE_EXPIRED = ev.RANGE_EXPIRED


EVENT_DTYPE = np.dtype(
    [
        ("event_id", np.int64),  # 0, 1, 2, ... over the life of the stream
        ("kind", np.int16),  # EventKind
        ("direction", np.int8),  # +1 bullish or upper side, -1 bearish or lower side, 0 neither
        ("scope", np.int8),  # Scope
        ("known_seq", np.int64),  # bar at whose close the event became known
        ("known_ts_ns", np.int64),  # close time of that bar; act on the first tick after it
        ("origin_seq", np.int64),  # bar the event speaks of, <= known_seq
        ("origin_ts_ns", np.int64),  # close time of that bar
        ("low", np.float64),  # price, lower bound of the zone
        ("high", np.float64),  # price, upper bound of the zone
        ("level", np.float64),  # price, the line of the event
        ("ref_id", np.int64),  # event_id of the event that created the thing, -1: none
        ("displacement", np.float64),  # per kind, NaN where it has no meaning
        ("depth", np.float64),  # per kind, NaN where it has no meaning
        ("flag", np.int64),  # per kind, 0 where it has no meaning
        ("volume", np.float64),  # OB kinds: volume of origin and impulse bar, else NaN
        ("buy_share", np.float64),  # OB kinds: share of that volume that takers bought, NaN if unknown
    ],
    align=True,
)

FLAG_FIRST = ev.FLAG_FIRST
"""BOS: the first break of the stream, when there was no trend yet."""
FLAG_SHIFT = ev.FLAG_SHIFT
"""BOS, CHOCH: market structure shift, the breaking bar's body exceeds ``displacement_atr`` ATRs."""


class SwingLabel(IntEnum):
    """``flag`` of SWING_LOCKED: the locked swing against the locked swing of its own type before it."""

    NONE = 0
    HIGHER_HIGH = 1
    LOWER_HIGH = 2
    HIGHER_LOW = 3
    LOWER_LOW = 4


class RangeStage(IntEnum):
    """Stage of a dealing range: ``flag`` of the range events and the snapshot's ``*_range_stage``."""

    NONE = 0
    FORMED = 1
    RETRACING = 2
    OTE_ENTERED = 3
    SWEET_TOUCHED = 4
    ENDED = 5
