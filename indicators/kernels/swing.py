"""Swings and the zigzag: extremes that `left` bars before and `right` bars after them confirm.

The extreme of bar p is known at the close of bar p + right and not earlier. Prices in side records are
*signed* (times +1 for highs, -1 for lows), so that "more extreme" is "greater" on both sides.
"""

from typing import Any

import numpy as np

from indicators.kernels import event as ev
from indicators.kernels import order_block
from indicators.kernels.bar import MASK
from indicators.kernels.jit import kernel

HIGHER_HIGH, LOWER_HIGH, HIGHER_LOW, LOWER_LOW = 1, 2, 3, 4
LATEST, GUARD = 0, 1  # places in `levels`: the zigzag's latest swing, the protected one

# A level and the leg that runs since its bar. The leg's origin A is the running extreme against the
# level, its end B the running extreme beyond A: neither needs a confirmation.
LEVEL_DTYPE = np.dtype(
    [
        ("price", np.float64),
        ("bar_low", np.float64),
        ("bar_high", np.float64),
        ("trailing", np.float64),
        ("leg_a", np.float64),
        ("leg_b", np.float64),
        ("before", np.float64),  # the opposite swing before it, signed like this side
        ("seq", np.int64),  # -1: none
        ("ts", np.int64),
        ("id", np.int64),
        ("is_used", np.int64),
        ("leg_a_seq", np.int64),
        ("leg_a_ts", np.int64),
        ("before_seq", np.int64),  # -1: none
        ("before_ts", np.int64),
    ]
)


@kernel
def is_high(ring: Any, seq: int, left: int, right: int, left_strict: int, right_strict: int) -> bool:
    """Tell whether bar `seq` is the highest of its window; leaves at the first bar that denies it."""
    price = ring[seq & MASK]
    for i in range(1, max(left, right) + 1):
        if i <= right:
            other = ring[(seq + i) & MASK]
            if other > price or (right_strict == 1 and other == price):
                return False
        if i <= left:
            other = ring[(seq - i) & MASK]
            if other > price or (left_strict == 1 and other == price):
                return False
    return True


@kernel
def is_low(ring: Any, seq: int, left: int, right: int, left_strict: int, right_strict: int) -> bool:
    """Tell whether bar `seq` is the lowest of its window; the mirror of `is_high`."""
    price = ring[seq & MASK]
    for i in range(1, max(left, right) + 1):
        if i <= right:
            other = ring[(seq + i) & MASK]
            if other < price or (right_strict == 1 and other == price):
                return False
        if i <= left:
            other = ring[(seq - i) & MASK]
            if other < price or (left_strict == 1 and other == price):
                return False
    return True


@kernel
def extend_leg(level: Any, low: float, high: float, seq: int, ts: int) -> None:
    """Advance the leg of a level by one bar; low and high are signed."""
    level.trailing = max(level.trailing, high)
    if low < level.leg_a:
        level.leg_a = low
        level.leg_a_seq = seq
        level.leg_a_ts = ts
        level.leg_b = high
    level.leg_b = max(level.leg_b, high)


@kernel
def set_level(state: Any, scope: Any, k: int, seq: int, price: float, event_id: int) -> None:
    """Make bar `seq` the zigzag's latest swing of side k and start its leg there."""
    bar = state.bar
    side = scope.sides[k]
    level, opposite = side.levels[LATEST], scope.sides[1 - k].levels[LATEST]
    sign = 1 - 2 * k
    level.price = price
    level.bar_low = bar.lows[seq & MASK]
    level.bar_high = bar.highs[seq & MASK]
    level.seq = seq
    level.ts = bar.times[seq & MASK]
    level.id = event_id
    level.is_used = 0
    level.before = -opposite.price
    level.before_seq = opposite.seq
    level.before_ts = opposite.ts
    level.trailing = -np.inf
    level.leg_a = np.inf
    level.leg_b = -np.inf
    for other in range(seq, bar.seq + 1):
        i = other & MASK
        low, high = (bar.lows[i], bar.highs[i]) if sign == 1 else (-bar.highs[i], -bar.lows[i])
        extend_leg(level, low, high, other, bar.times[i])
    if state.tracks_extremes == 1:
        side.extremes[LATEST].seq = -1
        for other in range(seq + 1, bar.seq + 1):
            extend_extreme(bar, side.extremes[LATEST], sign, other)


@kernel
def extend_extreme(bar: Any, extreme: Any, sign: int, seq: int) -> None:
    """Keep the bar with the lowest signed low since the level, the latest one if equal."""
    i = seq & MASK
    is_lower = bar.lows[i] <= extreme.low if sign == 1 else bar.highs[i] >= extreme.high
    if extreme.seq < 0 or is_lower:
        order_block.copy_bar(bar, seq, extreme)


@kernel
def lock(state: Any, events: Any, scope: Any, k: int) -> None:
    """Lock the zigzag's last swing, which is of side k, and name it against the one before it."""
    side = scope.sides[k]
    level = side.levels[LATEST]
    sign = 1 - 2 * k
    label = 0
    if side.has_locked == 1:
        is_beyond = level.price > side.locked_price
        if sign == 1:
            label = HIGHER_HIGH if is_beyond else LOWER_HIGH
        else:
            label = LOWER_LOW if is_beyond else HIGHER_LOW
    side.has_locked = 1
    side.locked_price = level.price
    side.label = label
    ev.emit(
        state,
        events,
        ev.SWING_LOCKED,
        sign,
        scope.name,
        level.seq,
        level.ts,
        level.bar_low,
        level.bar_high,
        sign * level.price,
        level.id,
        np.nan,
        np.nan,
        label,
    )


@kernel
def confirm(state: Any, events: Any, scope: Any, k: int, seq: int) -> None:
    """Report bar `seq` as a swing of side k and lead it into the zigzag."""
    bar = state.bar
    side = scope.sides[k]
    sign = 1 - 2 * k
    i = seq & MASK
    raw = bar.highs[i] if k == 0 else bar.lows[i]
    price = sign * raw
    ts = bar.times[i]
    low, high = bar.lows[i], bar.highs[i]
    event_id = ev.emit(
        state,
        events,
        ev.SWING,
        sign,
        scope.name,
        seq,
        ts,
        low,
        high,
        raw,
        ev.NO_REF,
        np.nan,
        np.nan,
        ev.NO_FLAG,
    )
    side.fresh_id = event_id

    scope.zigzag_moved = 0
    if scope.last_sign == sign:
        level = side.levels[LATEST]
        if not price > level.price:
            return
        old = sign * level.price
        ev.emit(
            state,
            events,
            ev.SWING_REPLACED,
            sign,
            scope.name,
            seq,
            ts,
            min(old, raw),
            max(old, raw),
            raw,
            level.id,
            np.nan,
            np.nan,
            ev.NO_FLAG,
        )
        scope.zigzag_moved = 1
    else:
        if scope.last_sign != 0:
            lock(state, events, scope, 1 - k)
        scope.last_sign = sign
        scope.zigzag_moved = 2
    set_level(state, scope, k, seq, price, event_id)


@kernel
def find(state: Any, scope: Any) -> int:
    """Tell which swings the current bar confirms: bit 1 a high, bit 2 a low, of bar t - right."""
    bar, settings = state.bar, state.settings
    left, right = scope.left, scope.right
    seq = bar.seq - right
    if seq < left:
        return 0
    left_strict, right_strict = settings.swing_left_strict, settings.swing_right_strict
    found = 0
    # Four neighbours at once deny most candidates with a single branch, which is taken rarely.
    before_1, before_2 = (seq - min(left, 1)) & MASK, (seq - min(left, 2)) & MASK
    after_1, after_2 = (seq + 1) & MASK, (seq + min(right, 2)) & MASK
    high, low = bar.highs[seq & MASK], bar.lows[seq & MASK]
    highs, lows = bar.highs, bar.lows
    may_be_high = (
        (high >= highs[before_1])
        & (high >= highs[before_2])
        & (high >= highs[after_1])
        & (high >= highs[after_2])
    )
    may_be_low = (
        (low <= lows[before_1]) & (low <= lows[before_2]) & (low <= lows[after_1]) & (low <= lows[after_2])
    )
    if may_be_high and is_high(bar.highs, seq, left, right, left_strict, right_strict):
        found = 1
        if settings.swing_both == 1:
            return found
    if may_be_low and is_low(bar.lows, seq, left, right, left_strict, right_strict):
        found += 2
    return found
