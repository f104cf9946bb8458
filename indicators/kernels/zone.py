"""Price zones and their life: touched, half filled, filled, closed through. Used by gaps and order blocks.

A stack holds the zones of one direction. Prices are *signed*: multiplied by +1 in a bullish and by -1 in
a bearish stack, so `near` is the edge that price meets first from its healthy side, `far` the other one,
and far < near on both sides. The stack is sorted by `near`, the nearest zone last, hence a bar visits
only the zones that it reaches: no live zone was ever closed through, so those are few.
"""

from typing import Any

import numpy as np

from indicators.kernels import event as ev
from indicators.kernels.jit import kernel

CAP = 512
OPEN, TOUCHED, HALF, FULL = range(4)  # stages

ZONE_DTYPE = np.dtype(
    [
        ("near", np.float64),
        ("far", np.float64),
        ("id", np.int64),  # event_id of its creation
        ("known_seq", np.int64),
        ("origin_seq", np.int64),
        ("origin_ts", np.int64),
        ("stage", np.int64),
        ("is_inverse", np.int64),  # an IFVG or a breaker
    ]
)
STACK_DTYPE = np.dtype(
    [
        ("is_gap", np.int64),  # 1 fair value gaps, 0 order blocks
        ("sign", np.int64),  # +1 bullish, -1 bearish
        ("active_below", np.int64),  # a zone is active while its stage is below this one
        ("ends_by_wick", np.int64),
        ("max_age", np.int64),  # bars, 0: none
        ("near_ratio", np.float64),
        (
            "was_met",
            np.int64,
        ),  # flags of the current bar: an active gap held the close, an active block was touched
        ("is_near", np.int64),
        ("count", np.int64),
        ("active", np.int64),
        ("oldest_seq", np.int64),  # no live zone became known before this bar
        ("zones", ZONE_DTYPE, (CAP,)),
    ]
)


@kernel
def first_kind(is_gap: int, is_inverse: int) -> int:
    """Return the code from which the zone's life events are counted: +1 touched, +2 half filled."""
    if is_gap == 1:
        return ev.FVG
    return ev.BREAKER if is_inverse == 1 else ev.OB_REINFORCED


@kernel
def end_kind(is_gap: int, is_inverse: int) -> int:
    """Return the code of the zone's end by price; +1 is its expiry, +2 its drop."""
    if is_gap == 1:
        return ev.FVG_INVERTED
    return ev.BREAKER_INVALIDATED if is_inverse == 1 else ev.OB_INVALIDATED


@kernel
def report(state: Any, events: Any, stack: Any, zone: Any, kind: int, level: float) -> None:
    """Emit a life event of the zone; `level` is a signed price."""
    sign = stack.sign
    near, far = sign * zone.near, sign * zone.far
    ev.emit(
        state,
        events,
        kind,
        sign,
        ev.SCOPE_NONE,
        zone.origin_seq,
        zone.origin_ts,
        min(near, far),
        max(near, far),
        sign * level,
        zone.id,
        np.nan,
        float(state.bar.seq - zone.known_seq),
        zone.is_inverse * stack.is_gap,
    )


@kernel
def remove(stack: Any, index: int) -> None:
    """Take one zone out, keeping the order of the others."""
    zones = stack.zones
    if zones[index].stage < stack.active_below:
        stack.active -= 1
    for i in range(index, stack.count - 1):
        zones[i] = zones[i + 1]
    stack.count -= 1


@kernel
def make_room(state: Any, events: Any, stack: Any) -> None:
    """Drop the oldest zone if the stack is full."""
    if stack.count < state.settings.zone_cap:
        return
    zones = stack.zones
    oldest = 0
    for i in range(1, stack.count):
        if zones[i].id < zones[oldest].id:
            oldest = i
    zone = zones[oldest]
    kind = end_kind(stack.is_gap, zone.is_inverse) + 2
    report(state, events, stack, zone, kind, 0.5 * (zone.near + zone.far))
    remove(stack, oldest)


@kernel
def insert(
    state: Any,
    stack: Any,
    near: float,
    far: float,
    event_id: int,
    origin_seq: int,
    origin_ts: int,
    is_inverse: int,
) -> None:
    """Put a zone known at the current bar in its place; the older of two equal ones is met first."""
    zones = stack.zones
    i = stack.count
    while i > 0 and zones[i - 1].near >= near:
        zones[i] = zones[i - 1]
        i -= 1
    zone = zones[i]
    zone.near = near
    zone.far = far
    zone.id = event_id
    zone.known_seq = state.bar.seq
    zone.origin_seq = origin_seq
    zone.origin_ts = origin_ts
    zone.stage = OPEN
    zone.is_inverse = is_inverse
    if stack.count == 0:
        stack.oldest_seq = state.bar.seq
    stack.count += 1
    stack.active += 1


@kernel
def expire(state: Any, events: Any, stack: Any) -> None:
    """End every zone that is older than `max_age` bars."""
    now = state.bar.seq
    if now - stack.oldest_seq <= stack.max_age:
        return
    zones = stack.zones
    oldest = now
    for i in range(stack.count - 1, -1, -1):
        zone = zones[i]
        if now - zone.known_seq > stack.max_age:
            kind = end_kind(stack.is_gap, zone.is_inverse) + 1
            report(state, events, stack, zone, kind, 0.5 * (zone.near + zone.far))
            remove(stack, i)
        else:
            oldest = min(oldest, zone.known_seq)
    stack.oldest_seq = oldest


@kernel
def invert(state: Any, events: Any, stack: Any, opposite: Any, zone: Any) -> None:
    """Let the IFVG or the breaker of a zone that was closed through begin in the opposite stack."""
    make_room(state, events, opposite)
    sign = opposite.sign
    near, far = -zone.far, -zone.near
    is_gap = stack.is_gap
    event_id = ev.emit(
        state,
        events,
        ev.FVG if is_gap == 1 else ev.BREAKER,
        sign,
        ev.SCOPE_NONE,
        zone.origin_seq,
        zone.origin_ts,
        min(sign * near, sign * far),
        max(sign * near, sign * far),
        0.5 * (near + far) * sign,
        zone.id,
        (near - far) / state.bar.atr if is_gap == 1 else np.nan,
        np.nan,
        is_gap,
    )
    insert(state, opposite, near, far, event_id, zone.origin_seq, zone.origin_ts, 1)


@kernel
def live(state: Any, events: Any, stack: Any, opposite: Any) -> None:
    """Advance the zones of one stack by the current bar; sets its flags `was_met` and `is_near`.

    Only the test whether the bar reaches a zone at all stands here, so that it can be inlined.
    """
    stack.was_met = 0
    stack.is_near = 0
    if stack.count == 0:
        return
    if stack.max_age > 0:
        expire(state, events, stack)
    low = state.bar.low if stack.sign == 1 else -state.bar.high
    if stack.count > 0 and stack.zones[stack.count - 1].near >= low:
        visit(state, events, stack, opposite)


@kernel
def visit(state: Any, events: Any, stack: Any, opposite: Any) -> None:
    """Advance the zones that the current bar reaches.

    Zones that became known on this very bar (inverses from the stack handled before) are left alone.
    """
    bar = state.bar
    is_bullish = stack.sign == 1
    low = bar.low if is_bullish else -bar.high
    high = bar.high if is_bullish else -bar.low
    close = bar.close if is_bullish else -bar.close
    ending = low if stack.ends_by_wick == 1 else close
    zones = stack.zones

    i = stack.count - 1
    ended = 0
    while i >= 0 and zones[i].near >= low:
        zone = zones[i]
        i -= 1
        if zone.known_seq == bar.seq:
            continue
        was_active = zone.stage < stack.active_below
        holds_close = zone.far <= close <= zone.near
        if was_active and (holds_close if stack.is_gap == 1 else high >= zone.far):
            stack.was_met = 1

        middle = zone.near + zone.far
        if zone.stage < FULL:
            deepen(state, events, stack, zone, low)
        is_active = zone.stage < stack.active_below
        if was_active and not is_active:
            stack.active -= 1

        if ending < zone.far:
            report(state, events, stack, zone, end_kind(stack.is_gap, zone.is_inverse), zone.far)
            if zone.is_inverse == 0:
                invert(state, events, stack, opposite, zone)
            if is_active:
                stack.active -= 1
            zone.id = -1
            ended += 1
        elif is_active and holds_close and abs(close - 0.5 * middle) <= stack.near_ratio * abs(close):
            stack.is_near = 1

    if ended > 0:
        kept = i + 1
        for j in range(i + 1, stack.count):
            if zones[j].id >= 0:
                zones[kept] = zones[j]
                kept += 1
        stack.count = kept


@kernel
def deepen(state: Any, events: Any, stack: Any, zone: Any, low: float) -> None:
    """Report how deep the signed low went into the zone, each depth once."""
    first = first_kind(stack.is_gap, zone.is_inverse)
    middle = zone.near + zone.far
    if zone.stage == OPEN:
        zone.stage = TOUCHED
        report(state, events, stack, zone, first + 1, zone.near)
    if zone.stage == TOUCHED and 2.0 * low <= middle:
        zone.stage = HALF
        report(state, events, stack, zone, first + 2, 0.5 * middle)
    if zone.stage == HALF and stack.is_gap == 1 and low <= zone.far:
        zone.stage = FULL
        report(state, events, stack, zone, ev.FVG_FILLED, zone.far)


@kernel
def nearest_active(stack: Any) -> int:
    """Return the index of the active zone that price would meet first, -1 if there is none."""
    if stack.active == 0:
        return -1
    i = stack.count - 1
    while stack.zones[i].stage >= stack.active_below:
        i -= 1
    return int(i)
