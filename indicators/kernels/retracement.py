"""Dealing range and optimal trade entry (OTE): the leg that broke structure, and the way back into it.

A is the leg's origin, B its end, both running extremes that need no confirmation. Retracement 0 is B,
1 is A. A range is known at the close of the breaking bar; its life starts on the next one. Prices are
signed like the side of the break, so A < B for long and short setups alike.
"""

from typing import Any

import numpy as np

from indicators.kernels import event as ev
from indicators.kernels.event import codes
from indicators.kernels.jit import kernel

# RangeStage, as numpy scalars for the reason that `event` gives.
NONE, FORMED, RETRACING, ENTERED, SWEET, ENDED = codes(0, 6)

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
    ]
)


@kernel
def set_lines(settings: Any, leg: Any) -> None:
    """Place the retracement lines between A and B."""
    height = leg.b - leg.a
    leg.retracing = leg.b - settings.range_retracing * height
    leg.upper = leg.b - settings.ote_low * height
    leg.sweet = leg.b - settings.ote_sweet * height
    leg.lower = leg.b - settings.ote_high * height


@kernel
def report(
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


@kernel
def live(state: Any, events: Any, scope: Any, k: int) -> None:
    """Advance the range of side k by the current bar, against the lines known one bar earlier."""
    bar, leg = state.bar, scope.sides[k].range
    if leg.stage == NONE:
        return
    low, high = (bar.low, bar.high) if k == 0 else (-bar.high, -bar.low)
    if leg.stage != FORMED or low <= leg.retracing or high > leg.b:
        advance(state, events, scope, k, low, high)


@kernel
def advance(state: Any, events: Any, scope: Any, k: int, low: float, high: float) -> None:
    """Advance a live range that the current bar may concern; low and high are signed."""
    bar, settings, leg = state.bar, state.settings, scope.sides[k].range
    close = bar.close if k == 0 else -bar.close
    depth = (leg.b - low) / (leg.b - leg.a)
    was_sweet = leg.stage == SWEET
    if leg.stage == FORMED and low <= leg.retracing:
        report(state, events, scope, k, ev.RANGE_RETRACING, leg.id, np.nan, depth, RETRACING)
    if leg.stage == RETRACING and low <= leg.upper:
        leg.entered_seq = bar.seq
        report(state, events, scope, k, ev.OTE_ENTERED, leg.id, np.nan, depth, ENTERED)
    if leg.stage == ENTERED and low <= leg.sweet:
        report(state, events, scope, k, ev.OTE_SWEET_TOUCHED, leg.id, np.nan, depth, SWEET)

    is_entered = leg.stage >= ENTERED
    deepest = low if settings.range_fail == 0 else close
    if close <= leg.a or low < leg.a - settings.range_break_ratio * abs(leg.a):
        report(state, events, scope, k, ev.RANGE_INVALIDATED, leg.id, np.nan, depth, ENDED)
    elif is_entered and deepest < leg.lower:
        report(state, events, scope, k, ev.OTE_FAILED, leg.id, np.nan, depth, ENDED)
    elif was_sweet and high >= leg.upper:
        report(state, events, scope, k, ev.OTE_COMPLETED, leg.id, np.nan, depth, ENDED)
    elif is_entered and bar.seq - leg.entered_seq >= settings.range_expiry:
        report(state, events, scope, k, ev.RANGE_EXPIRED, leg.id, np.nan, depth, ENDED)
    elif leg.stage < SWEET and high > leg.b:
        displacement = (high - leg.b) / (leg.b - leg.a)
        leg.b = high
        set_lines(settings, leg)
        report(state, events, scope, k, ev.RANGE_EXTENDED, leg.id, displacement, depth, FORMED)


@kernel
def forms(state: Any, scope: Any, k: int) -> bool:
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
def end(state: Any, events: Any, scope: Any, k: int, kind: int) -> None:
    """End the live range of side k because of a break."""
    leg = scope.sides[k].range
    if leg.stage == NONE:
        return
    low = state.bar.low if k == 0 else -state.bar.high
    depth = (leg.b - low) / (leg.b - leg.a)
    report(state, events, scope, k, kind, leg.id, np.nan, depth, ENDED)


@kernel
def form(state: Any, events: Any, scope: Any, k: int) -> None:
    """Start the range of side k from `state.leg`."""
    bar, side, new = state.bar, scope.sides[k], state.leg
    leg = side.range
    leg.a, leg.b, leg.a_seq, leg.a_ts = new.a, new.b, new.a_seq, new.a_ts
    leg.formed_seq = bar.seq
    set_lines(state.settings, leg)
    close = bar.close if k == 0 else -bar.close
    height = leg.b - leg.a
    leg.id = report(
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


@kernel
def step(state: Any, events: Any, scope: Any) -> None:
    """Advance the ranges of one structure: life first, then what this bar's breaks end and form."""
    for k in range(2):
        live(state, events, scope, k)
    if scope.sides[0].broken != 0 or scope.sides[1].broken != 0:
        on_breaks(state, events, scope)


@kernel
def on_breaks(state: Any, events: Any, scope: Any) -> None:
    """End and form ranges by the current bar's breaks."""
    for k in range(2):
        if forms(state, scope, k):
            end(state, events, scope, k, ev.RANGE_SUPERSEDED)
        if scope.sides[1 - k].broken != 0 and state.settings.range_opposed == 1:
            end(state, events, scope, k, ev.RANGE_OPPOSED)
    for k in range(2):
        if forms(state, scope, k):
            form(state, events, scope, k)
