"""Swings and the zigzag: extremes that `left` bars before and `right` bars after them confirm.

The extreme of bar p is known at the close of bar p + right and not earlier. Prices in side records are
*signed* (times +1 for highs, -1 for lows), so that "more extreme" is "greater" on both sides.
"""

from typing import Any

import numpy as np

from indicators.kernels import event as ev
from indicators.kernels import order_block
from indicators.kernels.bar import MASK
from indicators.kernels.jit import inline_kernel, kernel

HIGHER_HIGH, LOWER_HIGH, HIGHER_LOW, LOWER_LOW = 1, 2, 3, 4
BLOCK = 8
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
        ("limit", np.float64),  # what a bar must pass to break it: the price while unused, inf else
        ("leg_a_seq", np.int64),
        ("leg_a_ts", np.int64),
        ("before_seq", np.int64),  # -1: none
        ("before_ts", np.int64),
    ]
)


@kernel
def _is_extreme(
    ring: Any, sign: float, seq: int, left: int, right: int, left_strict: int, right_strict: int
) -> bool:
    """Tell whether the signed price of bar `seq` is the highest of its window.

    Looks at `BLOCK` neighbours on each side at a time: fewer branches, of which most deny.
    """
    price = sign * ring[seq & MASK]
    reach = max(left, right)
    for start in range(1, reach + 1, BLOCK):
        denied = False
        for i in range(start, min(start + BLOCK, right + 1)):
            other = sign * ring[(seq + i) & MASK]
            denied |= (other > price) | ((right_strict == 1) & (other == price))
        for i in range(start, min(start + BLOCK, left + 1)):
            other = sign * ring[(seq - i) & MASK]
            denied |= (other > price) | ((left_strict == 1) & (other == price))
        if denied:
            return False
    return True


@inline_kernel
def extend_leg(level: Any, low: float, high: float, seq: int, ts: int) -> None:
    """Advance the leg of a level by one bar.

    Parameters
    ----------
    level
        Record `LEVEL_DTYPE`, shape (), written.
    low, high
        Signed prices of the bar.
    seq, ts
        Its number, and its close time in UNIX ns.

    References
    ----------
    ``docs/structure.md``, "Dealing range and OTE".
    """
    # Choices instead of branches: whether a bar extends a leg, nobody can predict.
    is_lower = low < level.leg_a
    level.trailing = max(level.trailing, high)
    level.leg_b = high if is_lower | (high > level.leg_b) else level.leg_b
    level.leg_a = low if is_lower else level.leg_a
    level.leg_a_seq = seq if is_lower else level.leg_a_seq
    level.leg_a_ts = ts if is_lower else level.leg_a_ts


@kernel
def _set_level(state: Any, scope: Any, k: int, seq: int, price: float, event_id: int) -> None:
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
    level.limit = price
    level.before = -opposite.price
    level.before_seq = opposite.seq
    level.before_ts = opposite.ts
    trailing, leg_a, leg_b, leg_a_seq = -np.inf, np.inf, -np.inf, seq
    for other in range(seq, bar.seq + 1):  # `extend_leg` in local variables
        i = other & MASK
        low, high = (bar.lows[i], bar.highs[i]) if sign == 1 else (-bar.highs[i], -bar.lows[i])
        is_lower = low < leg_a
        trailing = max(trailing, high)
        leg_b = high if is_lower | (high > leg_b) else leg_b
        leg_a = low if is_lower else leg_a
        leg_a_seq = other if is_lower else leg_a_seq
    level.trailing = trailing
    level.leg_a = leg_a
    level.leg_b = leg_b
    level.leg_a_seq = leg_a_seq
    level.leg_a_ts = bar.times[leg_a_seq & MASK]
    if state.tracks_extremes == 1:
        side.extremes[LATEST].seq = -1
        for other in range(seq + 1, bar.seq + 1):
            extend_extreme(bar, side.extremes[LATEST], sign, other)


@kernel
def extend_extreme(bar: Any, extreme: Any, sign: int, seq: int) -> None:
    """Keep the bar with the lowest signed low since the level, the latest one if equal.

    Parameters
    ----------
    bar
        The current bar's record with the ring, shape ().
    extreme
        Record, shape (), written: signed prices and the number of the bar.
    sign
        +1 or -1.
    seq
        Number of the bar to compare.

    References
    ----------
    ``docs/structure.md``, "Order blocks and breakers".
    """
    i = seq & MASK
    is_lower = bar.lows[i] <= extreme.low if sign == 1 else bar.highs[i] >= extreme.high
    if extreme.seq < 0 or is_lower:
        order_block.copy_bar(bar, seq, extreme)


@kernel
def _lock(state: Any, events: Any, scope: Any, k: int) -> None:
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
    """Report bar `seq` as a swing of side k and lead it into the zigzag.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); the ring is read.
    events
        The event buffer's record (``event.buffer_dtype``), shape (); rows are appended.
    scope
        The record of one structure in `state`, shape (): internal or external.
    k
        Side: 0 highs (long), 1 lows (short); prices inside are times +1 or -1.
    seq
        Number of the swing's bar, `right` bars before the current one.

    References
    ----------
    ``docs/structure.md``, "Swings (scope INTERNAL and EXTERNAL)".
    """
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
            _lock(state, events, scope, 1 - k)
        scope.last_sign = sign
        scope.zigzag_moved = 2
    _set_level(state, scope, k, seq, price, event_id)


@inline_kernel
def find(state: Any, scope: Any) -> int:
    """Tell which swings the current bar confirms.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); the ring of bars is read: prices.
    scope
        The record of one structure in `state`, shape (): internal or external.

    Returns
    -------
    int
        Bit 1 a high, bit 2 a low, of bar t - right: known now and not earlier.

    References
    ----------
    ``docs/structure.md``, "Swings (scope INTERNAL and EXTERNAL)".
    """
    bar = state.bar
    seq = bar.seq - scope.right
    if seq < scope.left:
        return 0
    candidates = 0
    if scope.is_within == 1:
        candidates = bar.swings[seq & MASK]
    else:
        # Four neighbours at once deny most candidates with a single branch, which is taken rarely.
        before_1, before_2 = (seq - min(scope.left, 1)) & MASK, (seq - min(scope.left, 2)) & MASK
        after_1, after_2 = (seq + min(scope.right, 1)) & MASK, (seq + min(scope.right, 2)) & MASK
        highs, lows = bar.highs, bar.lows
        high, low = highs[seq & MASK], lows[seq & MASK]
        may_be_high = (
            (high >= highs[before_1])
            & (high >= highs[before_2])
            & (high >= highs[after_1])
            & (high >= highs[after_2])
        )
        may_be_low = (
            (low <= lows[before_1])
            & (low <= lows[before_2])
            & (low <= lows[after_1])
            & (low <= lows[after_2])
        )
        candidates = int(may_be_high) + 2 * int(may_be_low)
    if scope.name == ev.SCOPE_INTERNAL:
        bar.swings[seq & MASK] = 0
    if candidates == 0:
        return 0
    return _examine(state, scope, seq, candidates)


@kernel
def _examine(state: Any, scope: Any, seq: int, candidates: int) -> int:
    """Test the candidates of `find` against their whole windows."""
    bar, settings = state.bar, state.settings
    left, right = scope.left, scope.right
    left_strict, right_strict = settings.swing_left_strict, settings.swing_right_strict
    found = 0
    if candidates & 1 and _is_extreme(bar.highs, 1.0, seq, left, right, left_strict, right_strict):
        found = 1
    if candidates & 2 and _is_extreme(bar.lows, -1.0, seq, left, right, left_strict, right_strict):
        found += 2
    if scope.name == ev.SCOPE_INTERNAL:
        bar.swings[seq & MASK] = found
    return 1 if found == 3 and settings.swing_both == 1 else found
