"""Break of structure (BOS) and change of character (CHoCH): closes beyond the zigzag's swings.

One `scope` record per structure: internal and external. Each holds two sides, highs (k = 0) and lows
(k = 1), in signed prices. Breaks are tested against levels that were known one bar earlier.
"""

from typing import Any

import numpy as np

from indicators.kernels import event as ev
from indicators.kernels import pattern, snapshot, swing
from indicators.kernels.jit import inline_kernel, kernel
from indicators.kernels.order_block import BLOCK_DTYPE
from indicators.kernels.retracement import RANGE_DTYPE

UNBROKEN, EMITTED, SUPPRESSED = 0, 1, 2  # `broken`

SIDE_DTYPE = np.dtype(
    [
        ("levels", swing.LEVEL_DTYPE, (2,)),  # swing.LATEST, swing.GUARD
        ("extremes", BLOCK_DTYPE, (2,)),  # bar of the leg's extreme, for order blocks by break
        ("locked_price", np.float64),
        ("has_locked", np.int64),
        ("label", np.int64),
        ("fresh_id", np.int64),  # SWING that the current bar confirmed, -1 none
        ("broken", np.int64),  # by the current bar
        ("broken_level", np.int64),  # which of `levels` it was
        ("broken_id", np.int64),  # the event, -1 if none was emitted
        ("range", RANGE_DTYPE),
    ]
)
SCOPE_FIELDS = [
    ("name", np.int64),
    ("left", np.int64),
    ("right", np.int64),
    ("trend", np.int64),
    ("last_sign", np.int64),  # type of the zigzag's last swing
    ("zigzag_moved", np.int64),  # by the last confirm: 1 replaced, 2 new swing
    ("break_flag", np.int64),  # of the current bar: direction, doubled for CHOCH
    ("break_seq", np.int64),  # -1 before the first
    # The break that made the trend what it is, reported by this structure or (suppressed) by the external.
    ("trend_seq", np.int64),  # -1 before the first
    ("trend_ts", np.int64),
    ("trend_kind", np.int64),  # BOS or CHOCH
    ("trend_id", np.int64),  # the event, -1 none was emitted
    ("trend_level", np.float64),
    # 1: every swing of this structure is an internal one too, found before; only those are examined.
    ("is_within", np.int64),
    ("shown_side", np.int64),  # side of the live range that `shown` has, -1 none
    ("sides", SIDE_DTYPE, (2,)),
    ("pattern", pattern.PATTERN_DTYPE),
]


def scope_dtype(shown: np.dtype[np.void]) -> np.dtype[np.void]:
    """Return the dtype of one structure's state; `shown` is the layout of its snapshot columns."""
    return np.dtype([*SCOPE_FIELDS, ("shown", shown)])


@inline_kernel
def _tested_level(state: Any, scope: Any, k: int) -> int:
    """Return which level of side k a break must pass: the latest, or the protected one against the trend."""
    is_protected = state.settings.choch_level == 1 and scope.trend == 2 * k - 1
    return swing.GUARD if is_protected and scope.sides[k].levels[swing.GUARD].seq >= 0 else swing.LATEST


@kernel
def _is_reported_outside(state: Any, scope: Any, k: int, price: float) -> bool:
    """Tell whether the external structure broke the same level on this bar."""
    if scope.name != ev.SCOPE_INTERNAL or state.settings.internal_suppressed == 0:
        return False
    side = state.scopes[1].sides[k]
    return bool(side.broken != UNBROKEN and side.levels[side.broken_level].price == price)


@kernel
def _report(state: Any, events: Any, scope: Any, k: int, level: Any, price: float) -> int:
    """Emit BOS or CHOCH for a level that the signed price passed; return its event_id."""
    bar, settings = state.bar, state.settings
    sign = 1 - 2 * k
    body = abs(bar.close - bar.open)
    is_change = scope.trend == -sign
    flag = ev.FLAG_FIRST if scope.trend == 0 else ev.NO_FLAG
    if body > settings.displacement_atr * bar.impulse_atr:
        flag |= ev.FLAG_SHIFT
    scope.break_flag = 2 * sign if is_change else sign
    scope.break_seq = bar.seq
    raw = sign * level.price
    return ev.emit(
        state,
        events,
        ev.CHOCH if is_change else ev.BOS,
        sign,
        scope.name,
        level.seq,
        level.ts,
        raw,
        raw,
        raw,
        level.id,
        body / bar.impulse_atr,
        (price - level.price) / bar.atr,
        flag,
    )


@inline_kernel
def _step_side(state: Any, events: Any, scope: Any, k: int, which: int, price: float) -> None:
    """Test level `which` of one side; `price` is the signed close or extreme that breaks."""
    side = scope.sides[k]
    side.broken = UNBROKEN
    if price > side.levels[which].limit:
        _on_break(state, events, scope, k, which, price)


@kernel
def _on_break(state: Any, events: Any, scope: Any, k: int, which: int, price: float) -> None:
    """Report the break of side k and turn the trend."""
    side = scope.sides[k]
    level = side.levels[which]
    side.broken = EMITTED
    side.broken_level = which
    side.broken_id = -1
    sign = 1 - 2 * k
    scope.trend_id = -1
    if _is_reported_outside(state, scope, k, level.price):
        side.broken = SUPPRESSED
        scope.trend_id = state.scopes[1].sides[k].broken_id
    elif state.settings.structure_rule == 0:
        side.broken_id = _report(state, events, scope, k, level, price)
        scope.trend_id = side.broken_id
    scope.trend_kind = ev.CHOCH if scope.trend == -sign else ev.BOS
    scope.trend_level = sign * level.price
    scope.trend_seq = state.bar.seq
    scope.trend_ts = state.bar.ts_close
    level.is_used = 1
    level.limit = np.inf
    latest = side.levels[swing.LATEST]
    if price > latest.price:
        latest.is_used = 1
        latest.limit = np.inf
    scope.trend = sign


@kernel
def _guard_launching_swings(state: Any, scope: Any) -> None:
    """Protect the opposite swing of every side that broke, once nobody reads the broken levels any more."""
    for k in range(2):
        if scope.sides[k].broken == UNBROKEN:
            continue
        other = scope.sides[1 - k]
        other.levels[swing.GUARD] = other.levels[swing.LATEST]
        if state.tracks_extremes == 1:
            other.extremes[swing.GUARD] = other.extremes[swing.LATEST]


@inline_kernel
def step(state: Any, events: Any, scope: Any) -> None:
    """Advance both legs by the current bar, then look for breaks up and down.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); bar, ATR and settings are read; signed
        prices, displacement and depth in ATRs.
    events
        The event buffer's record (``event.buffer_dtype``), shape (); rows are appended.
    scope
        The record of one structure in `state`, shape (): internal or external.

    References
    ----------
    ``docs/structure.md``, "BOS and CHoCH".
    """
    bar, settings = state.bar, state.settings
    seq, ts = bar.seq, bar.ts_close
    scope.break_flag = 0
    for k in range(2):
        signed_low, signed_high = (bar.low, bar.high) if k == 0 else (-bar.high, -bar.low)
        levels = scope.sides[k].levels
        if levels[swing.LATEST].seq >= 0:
            swing.extend_leg(levels[swing.LATEST], signed_low, signed_high, seq, ts)
        if levels[swing.GUARD].seq >= 0:
            swing.extend_leg(levels[swing.GUARD], signed_low, signed_high, seq, ts)

    # Both levels as they were known at t - 1: were the second chosen after the first break, a chart and
    # its mirror image would differ.
    upper, lower = _tested_level(state, scope, 0), _tested_level(state, scope, 1)
    by_wick = settings.structure_break == 1
    for k in range(2):
        reach, close = (bar.high, bar.close) if k == 0 else (-bar.low, -bar.close)
        _step_side(state, events, scope, k, upper if k == 0 else lower, reach if by_wick else close)
    if settings.structure_rule == 1:
        pattern.on_bar(state, events, scope)


@kernel
def extend_extremes(state: Any) -> None:
    """Take the current bar into the extremes that order blocks by break look for (after they looked).

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); the internal structure's extremes are
        written: signed prices and bar numbers.

    References
    ----------
    ``docs/structure.md``, "Order blocks and breakers".
    """
    bar = state.bar
    for k in range(2):
        side = state.scopes[0].sides[k]
        for which in range(2):
            if side.levels[which].seq >= 0:
                swing.extend_extreme(bar, side.extremes[which], 1 - 2 * k, bar.seq)


@inline_kernel
def confirm_swings(state: Any, events: Any, scope: Any) -> None:
    """Report the swings that the current bar confirms, the high first.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); the ring of bars is read.
    events
        The event buffer's record (``event.buffer_dtype``), shape (); rows are appended.
    scope
        The record of one structure in `state`, shape (): internal or external.

    References
    ----------
    ``docs/structure.md``, "Swings (scope INTERNAL and EXTERNAL)".
    """
    if state.settings.choch_level == 1:
        _guard_launching_swings(state, scope)
    for k in range(2):
        scope.sides[k].fresh_id = -1
    found = swing.find(state, scope)
    if found == 0:
        return
    for k in range(2):
        if found & (k + 1):
            swing.confirm(state, events, scope, k, state.bar.seq - scope.right)
            if state.settings.structure_rule == 1 and scope.zigzag_moved > 0:
                pattern.on_zigzag(state, events, scope, k)
    snapshot.show(scope)
