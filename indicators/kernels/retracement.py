"""Dealing range and optimal trade entry (OTE): the leg that broke structure, and the way back into it.

A is the leg's origin, B its end, both running extremes that need no confirmation. Retracement 0 is B,
1 is A. A range is known at the close of the breaking bar; its life starts on the next one. Prices are
signed like the side of the break, so A < B for long and short setups alike.
"""

from typing import Any

import numpy as np

from indicators.kernels import event as ev
from indicators.kernels import snapshot
from indicators.kernels.event import codes
from indicators.kernels.jit import inline_kernel, kernel

# RangeStage, as numpy scalars for the reason that `event` gives.
NONE, FORMED, RETRACING, ENTERED, SWEET, ENDED = codes(0, 6)
NEVER = np.iinfo(np.int64).max

RANGE_DTYPE = np.dtype(
    [
        ("stage", np.int64),
        ("id", np.int64),  # RANGE_FORMED
        ("formed_seq", np.int64),
        ("entered_seq", np.int64),  # bar of OTE_ENTERED
        ("a_seq", np.int64),
        ("a_ts", np.int64),
        ("a", np.float64),
        ("b", np.float64),
        ("retracing", np.float64),  # lines, signed prices
        ("upper", np.float64),
        ("sweet", np.float64),
        ("lower", np.float64),
        # A bar that stays above `floor` and below `ceiling` (signed), before `expiry_seq`, changes nothing.
        ("floor", np.float64),
        ("ceiling", np.float64),
        ("expiry_seq", np.int64),
    ]
)


@kernel
def _set_lines(settings: Any, leg: Any) -> None:
    """Place the retracement lines between A and B."""
    height = leg.b - leg.a
    leg.retracing = leg.b - settings.range_retracing * height
    leg.upper = leg.b - settings.ote_low * height
    leg.sweet = leg.b - settings.ote_sweet * height
    leg.lower = leg.b - settings.ote_high * height


@kernel
def _arm(settings: Any, leg: Any) -> None:
    """Place the bounds within which a bar leaves the range as it is; A lies below every line."""
    leg.expiry_seq = NEVER
    leg.ceiling = leg.b
    if leg.stage == NONE:
        leg.floor = -np.inf
        leg.ceiling = np.inf
    elif leg.stage == FORMED:
        leg.floor = leg.retracing
    elif leg.stage == RETRACING:
        leg.floor = leg.upper
    else:
        leg.expiry_seq = leg.entered_seq + settings.range_expiry
        leg.floor = leg.sweet
        if leg.stage == SWEET:
            leg.floor = leg.lower
            leg.ceiling = leg.upper


@kernel
def _report(
    state: Any,
    events: Any,
    scope: Any,
    k: int,
    kind: int,
    ref_id: int,
    displacement: float,
    depth: float,
    stage: int,
) -> int:
    """Emit an event of the range of side k, which is in `stage` from now on; return its event_id."""
    leg = scope.sides[k].range
    leg.stage = NONE if stage == ENDED else stage
    _arm(state.settings, leg)
    sign = 1 - 2 * k
    a, b = sign * leg.a, sign * leg.b
    return ev.emit(
        state,
        events,
        kind,
        sign,
        scope.name,
        leg.a_seq,
        leg.a_ts,
        min(a, b),
        max(a, b),
        sign * leg.sweet,
        ref_id,
        displacement,
        depth,
        stage,
    )


@inline_kernel
def _is_concerned(bar: Any, leg: Any, low: float, high: float) -> bool:
    """Tell whether the current bar may change a range; low and high are signed."""
    return bool((low <= leg.floor) | (high >= leg.ceiling) | (bar.seq >= leg.expiry_seq))


@kernel
def _advance(state: Any, events: Any, scope: Any, k: int, low: float, high: float) -> None:
    """Advance a live range that the current bar may concern; low and high are signed."""
    bar, settings, leg = state.bar, state.settings, scope.sides[k].range
    if leg.stage == NONE:
        return
    close = bar.close if k == 0 else -bar.close
    depth = (leg.b - low) / (leg.b - leg.a)
    was_sweet = leg.stage == SWEET
    if leg.stage == FORMED and low <= leg.retracing:
        _report(state, events, scope, k, ev.RANGE_RETRACING, leg.id, np.nan, depth, RETRACING)
    if leg.stage == RETRACING and low <= leg.upper:
        leg.entered_seq = bar.seq
        _report(state, events, scope, k, ev.OTE_ENTERED, leg.id, np.nan, depth, ENTERED)
    if leg.stage == ENTERED and low <= leg.sweet:
        _report(state, events, scope, k, ev.OTE_SWEET_TOUCHED, leg.id, np.nan, depth, SWEET)

    is_entered = leg.stage >= ENTERED
    deepest = low if settings.range_fail == 0 else close
    if close <= leg.a or low < leg.a - settings.range_break_ratio * abs(leg.a):
        _report(state, events, scope, k, ev.RANGE_INVALIDATED, leg.id, np.nan, depth, ENDED)
    elif is_entered and deepest < leg.lower:
        _report(state, events, scope, k, ev.OTE_FAILED, leg.id, np.nan, depth, ENDED)
    elif was_sweet and high >= leg.upper:
        _report(state, events, scope, k, ev.OTE_COMPLETED, leg.id, np.nan, depth, ENDED)
    elif is_entered and bar.seq - leg.entered_seq >= settings.range_expiry:
        _report(state, events, scope, k, ev.RANGE_EXPIRED, leg.id, np.nan, depth, ENDED)
    elif leg.stage < SWEET and high > leg.b:
        displacement = (high - leg.b) / (leg.b - leg.a)
        leg.b = high
        _set_lines(settings, leg)
        _report(state, events, scope, k, ev.RANGE_EXTENDED, leg.id, displacement, depth, FORMED)


@kernel
def _forms(state: Any, scope: Any, k: int) -> bool:
    """Tell whether this bar's break of side k makes a range; write its A and B into `state.leg`."""
    side, settings, leg = scope.sides[k], state.settings, state.leg
    if side.broken != 1:  # not at all, or told by the external structure
        return False
    if settings.range_side == 1 + (1 - k):
        return False
    level = side.levels[side.broken_level]
    if settings.range_origin == 0:
        leg.a, leg.a_seq, leg.a_ts, leg.b = level.leg_a, level.leg_a_seq, level.leg_a_ts, level.leg_b
    else:
        if level.before_seq < 0:
            return False
        leg.a, leg.a_seq, leg.a_ts, leg.b = level.before, level.before_seq, level.before_ts, level.trailing
    return bool(leg.b > leg.a)


@kernel
def _end(state: Any, events: Any, scope: Any, k: int, kind: int) -> None:
    """End the live range of side k because of a break."""
    leg = scope.sides[k].range
    if leg.stage == NONE:
        return
    low = state.bar.low if k == 0 else -state.bar.high
    depth = (leg.b - low) / (leg.b - leg.a)
    _report(state, events, scope, k, kind, leg.id, np.nan, depth, ENDED)


@kernel
def _form(state: Any, events: Any, scope: Any, k: int) -> None:
    """Start the range of side k from `state.leg`."""
    bar, side, new = state.bar, scope.sides[k], state.leg
    leg = side.range
    leg.a, leg.b, leg.a_seq, leg.a_ts = new.a, new.b, new.a_seq, new.a_ts
    leg.formed_seq = bar.seq
    _set_lines(state.settings, leg)
    close = bar.close if k == 0 else -bar.close
    height = leg.b - leg.a
    leg.id = _report(
        state,
        events,
        scope,
        k,
        ev.RANGE_FORMED,
        side.broken_id,
        height / bar.atr,
        (leg.b - close) / height,
        FORMED,
    )


@inline_kernel
def step(state: Any, events: Any, scope: Any) -> None:
    """Advance the ranges of one structure: life first, then what this bar's breaks end and form.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); bar, ATR and settings are read; prices,
        retracements as ratios (0 at B, 1 at A).
    events
        The event buffer's record (``event.buffer_dtype``), shape (); rows are appended.
    scope
        The record of one structure in `state`, shape (): internal or external.

    References
    ----------
    ``docs/structure.md``, "Dealing range and OTE".
    """
    bar, long_, short = state.bar, scope.sides[0], scope.sides[1]
    is_broken = (long_.broken | short.broken) != 0
    if (
        _is_concerned(bar, long_.range, bar.low, bar.high)
        | _is_concerned(bar, short.range, -bar.high, -bar.low)
        | is_broken
    ):
        _advance(state, events, scope, 0, bar.low, bar.high)
        _advance(state, events, scope, 1, -bar.high, -bar.low)
        if is_broken:
            _on_breaks(state, events, scope)
        snapshot.show(scope)


@kernel
def _on_breaks(state: Any, events: Any, scope: Any) -> None:
    """End and form ranges by the current bar's breaks."""
    for k in range(2):
        if _forms(state, scope, k):
            _end(state, events, scope, k, ev.RANGE_SUPERSEDED)
        if scope.sides[1 - k].broken != 0 and state.settings.range_opposed == 1:
            _end(state, events, scope, k, ev.RANGE_OPPOSED)
    for k in range(2):
        if _forms(state, scope, k):
            _form(state, events, scope, k)
