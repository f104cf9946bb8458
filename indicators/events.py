"""Structure events: the append-only record of everything the detectors found, and when it was known.

One event is one row of `EVENT_DTYPE`. Rows are never edited or removed: a replacement, a touch, an
expiry is a new row that names the row it speaks of in ``ref_id``. ``docs/structure.md`` defines every
kind and every column; the tables below are its short form.
"""

from enum import IntEnum

import numpy as np

type EventTable = np.ndarray[tuple[int], np.dtype[np.void]]
"""Array of shape (n,) with dtype `EVENT_DTYPE`."""


class Scope(IntEnum):
    """Which structure engine speaks: internal 5/5, external 50/50, or none of the two."""

    NONE = 0
    INTERNAL = 1
    EXTERNAL = 2


class EventKind(IntEnum):
    """What happened. The columns of each kind are defined in ``docs/structure.md``."""

    SWING = 1
    SWING_REPLACED = 2
    SWING_LOCKED = 3
    BOS = 4
    CHOCH = 5
    FVG = 10
    FVG_TOUCHED = 11
    FVG_CE = 12
    FVG_FILLED = 13
    FVG_INVERTED = 14
    FVG_EXPIRED = 15
    FVG_DROPPED = 16
    OB = 20
    OB_REINFORCED = 21
    OB_TOUCHED = 22
    OB_MITIGATED = 23
    OB_INVALIDATED = 24
    OB_EXPIRED = 25
    OB_DROPPED = 26
    BREAKER = 30
    BREAKER_TOUCHED = 31
    BREAKER_MITIGATED = 32
    BREAKER_INVALIDATED = 33
    BREAKER_EXPIRED = 34
    BREAKER_DROPPED = 35
    SWEEP_EXTREME = 40
    SWEEP_SWING = 41
    LIQUIDITY_TAKEN = 42
    LIQUIDITY_DROPPED = 43
    EQUAL_LEVELS = 44
    PERIOD_LEVELS = 50
    RANGE_FORMED = 60
    RANGE_EXTENDED = 61
    RANGE_RETRACING = 62
    OTE_ENTERED = 63
    OTE_SWEET_TOUCHED = 64
    OTE_COMPLETED = 65
    OTE_FAILED = 66
    RANGE_INVALIDATED = 67
    RANGE_SUPERSEDED = 68
    RANGE_OPPOSED = 69
    RANGE_EXPIRED = 70


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

FLAG_FIRST = 1
"""BOS: the first break of the stream, when there was no trend yet."""
FLAG_SHIFT = 2
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
