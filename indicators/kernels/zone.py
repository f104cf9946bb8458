"""Price zones and their life: touched, half filled, filled, closed through. Used by gaps and order blocks.

A stack holds the zones of one direction. Prices are *signed*: multiplied by +1 in a bullish and by -1 in
a bearish stack, so `near` is the edge that price meets first from its healthy side, `far` the other one,
and far < near on both sides. The stack is sorted by `near`, the nearest zone last, hence a bar visits
only the zones that it reaches: no live zone was ever closed through, so those are few.
"""

from typing import Any

import numpy as np

from indicators.kernels import event as ev
from indicators.kernels.jit import inline_kernel, kernel

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
        # Flags of the current bar: an active gap held the close, an active block was touched.
        ("was_met", np.int64),
        ("is_near", np.int64),
        ("count", np.int64),
        ("active", np.int64),
        ("oldest_seq", np.int64),  # no live zone became known before this bar
        # What `settle` found after the last change: a bar that stays above `reach` changes no zone and
        # meets no active one; and the bounds of the last active one as they stand on the chart (NaN: none).
        ("reach", np.float64),
        ("shown_low", np.float64),
        ("shown_high", np.float64),
        # What the flag speaks of, valid while it is set: the gap of `was_met`, the block of `is_near`; of
        # several the one that price met first.
        ("told", ZONE_DTYPE, (1,)),
        ("zones", ZONE_DTYPE, (CAP,)),
    ]
)


@kernel
def _first_kind(is_gap: int, is_inverse: int) -> int:
    """Return the code from which the zone's life events are counted: +1 touched, +2 half filled."""
    if is_gap == 1:
        return ev.FVG
    return ev.BREAKER if is_inverse == 1 else ev.OB_REINFORCED


@kernel
def _end_kind(is_gap: int, is_inverse: int) -> int:
    """Return the code of the zone's end by price; +1 is its expiry, +2 its drop."""
    if is_gap == 1:
        return ev.FVG_INVERTED
    return ev.BREAKER_INVALIDATED if is_inverse == 1 else ev.OB_INVALIDATED


@kernel
def _report(state: Any, events: Any, stack: Any, zone: Any, kind: int, level: float) -> None:
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
def _remove(stack: Any, index: int) -> None:
    """Take one zone out, keeping the order of the others."""
    zones = stack.zones
    if zones[index].stage < stack.active_below:
        stack.active -= 1
    for i in range(index, stack.count - 1):
        zones[i] = zones[i + 1]
    stack.count -= 1


@kernel
def make_room(state: Any, events: Any, stack: Any) -> None:
    """Drop the oldest zone if the stack is full.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); settings are read.
    events
        The event buffer's record (``event.buffer_dtype``), shape (); rows are appended.
    stack
        Record of the zones of one kind and direction, shape (), written; signed prices.

    References
    ----------
    ``docs/structure.md``, "Fair value gaps".
    """
    if stack.count < state.settings.zone_cap:
        return
    zones = stack.zones
    oldest = 0
    for i in range(1, stack.count):
        if zones[i].id < zones[oldest].id:
            oldest = i
    zone = zones[oldest]
    kind = _end_kind(stack.is_gap, zone.is_inverse) + 2
    _report(state, events, stack, zone, kind, 0.5 * (zone.near + zone.far))
    _remove(stack, oldest)


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
    """Put a zone known at the current bar in its place; the older of two equal ones is met first.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); the bar is read.
    stack
        Record of the zones of one kind and direction, shape (), with room for one more.
    near, far
        Signed prices, far < near.
    event_id, origin_seq, origin_ts
        The event that made it, and its bar: number and close time in UNIX ns.
    is_inverse
        1 for an IFVG or a breaker.

    References
    ----------
    ``docs/structure.md``, "Order within a bar".
    """
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
    _settle(stack)


@kernel
def _expire(state: Any, events: Any, stack: Any) -> None:
    """End every zone that is older than `max_age` bars."""
    now = state.bar.seq
    if now - stack.oldest_seq <= stack.max_age:
        return
    zones = stack.zones
    oldest = now
    for i in range(stack.count - 1, -1, -1):
        zone = zones[i]
        if now - zone.known_seq > stack.max_age:
            kind = _end_kind(stack.is_gap, zone.is_inverse) + 1
            _report(state, events, stack, zone, kind, 0.5 * (zone.near + zone.far))
            _remove(stack, i)
        else:
            oldest = min(oldest, zone.known_seq)
    stack.oldest_seq = oldest
    _settle(stack)


@kernel
def _invert(state: Any, events: Any, stack: Any, opposite: Any, zone: Any) -> None:
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
def _settle(stack: Any) -> None:
    """Note which zones the next bar and the snapshot ask for, after the stack changed."""
    zones = stack.zones
    last = stack.count - 1
    reach = -np.inf
    stack.shown_low = np.nan
    stack.shown_high = np.nan
    if stack.active > 0:
        while zones[last].stage >= stack.active_below:
            reach = max(reach, _next_depth(zones[last]))
            last -= 1
        reach = max(reach, zones[last].near)
        near, far = stack.sign * zones[last].near, stack.sign * zones[last].far
        stack.shown_low = min(near, far)
        stack.shown_high = max(near, far)
    # No zone changes above its `near`, by which they are sorted.
    while last >= 0 and zones[last].near > reach:
        reach = max(reach, _next_depth(zones[last]))
        last -= 1
    stack.reach = reach


@kernel
def _next_depth(zone: Any) -> float:
    """Return the signed price that a bar must reach to change the zone: its next stage, or its end."""
    if zone.stage == OPEN:
        return float(zone.near)
    return 0.5 * (zone.near + zone.far) if zone.stage == TOUCHED else float(zone.far)


@inline_kernel
def live(state: Any, events: Any, stack: Any, opposite: Any) -> None:
    """Advance the zones of one stack by the current bar; sets its flags `was_met` and `is_near`.

    Only the test whether the bar reaches a zone that it may change or meet stands here: most bars reach
    only zones that are no longer active and already as deeply filled.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); the bar is read; prices, ages in bars.
    events
        The event buffer's record (``event.buffer_dtype``), shape (); rows are appended.
    stack, opposite
        Records of the zones of one kind, of this and of the other direction, shape () each, written.

    References
    ----------
    ``docs/structure.md``, "Fair value gaps" and "Order blocks and breakers".
    """
    stack.was_met = 0
    stack.is_near = 0
    if stack.max_age > 0 and stack.count > 0:
        _expire(state, events, stack)
    low = state.bar.low if stack.sign == 1 else -state.bar.high
    if stack.reach >= low:
        _visit(state, events, stack, opposite)


@kernel
def _visit(state: Any, events: Any, stack: Any, opposite: Any) -> None:
    """Advance the zones that the current bar reaches.

    Zones that became known on this very bar (inverses from the stack handled before) are left alone.
    """
    bar = state.bar
    is_gap = stack.is_gap == 1
    is_bullish = stack.sign == 1
    low = bar.low if is_bullish else -bar.high
    high = bar.high if is_bullish else -bar.low
    close = bar.close if is_bullish else -bar.close
    ending = low if stack.ends_by_wick == 1 else close
    zones = stack.zones
    active_below = stack.active_below
    closeness = stack.near_ratio * abs(close)

    i = stack.count - 1
    ended = changed = 0
    was_met = is_near = is_told = False
    while i >= 0 and zones[i].near >= low:
        zone = zones[i]
        i -= 1
        near, far, before = zone.near, zone.far, zone.stage
        middle = near + far
        # Without branches up to the first one: most zones that a bar reaches were touched before, and
        # what a branch on prices costs is not its work but that nobody can predict it.
        is_old = zone.known_seq != bar.seq
        depth = TOUCHED + np.int64(2.0 * low <= middle) + np.int64(is_gap & (low <= far))
        stage = max(before, depth)
        is_active = stage < active_below
        holds_close = (far <= close) & (close <= near)
        is_met = holds_close if is_gap else high >= far
        is_over = ending < far
        meets = is_old & (before < active_below) & is_met
        was_met |= meets
        is_close = abs(close - 0.5 * middle) <= closeness
        nears = is_old & is_active & holds_close & (not is_over) & is_close
        is_near |= nears
        if (not is_told) & (meets if is_gap else nears):
            is_told = True
            stack.told[0] = zone
        if is_old & ((stage != before) | is_over):
            changed = 1
            if stage != before:
                _deepen(state, events, stack, zone, stage)
            if is_over:
                _report(state, events, stack, zone, _end_kind(stack.is_gap, zone.is_inverse), far)
                if zone.is_inverse == 0:
                    _invert(state, events, stack, opposite, zone)
                if is_active:
                    stack.active -= 1
                zone.id = -1
                ended += 1

    stack.was_met = int(was_met)
    stack.is_near = int(is_near)
    if ended > 0:
        kept = i + 1
        for j in range(i + 1, stack.count):
            if zones[j].id >= 0:
                zones[kept] = zones[j]
                kept += 1
        stack.count = kept
    if changed == 1:
        _settle(stack)


@kernel
def _deepen(state: Any, events: Any, stack: Any, zone: Any, stage: int) -> None:
    """Report every depth of the zone from its stage to the new one."""
    first = _first_kind(stack.is_gap, zone.is_inverse)
    before = zone.stage
    zone.stage = stage
    if before < stack.active_below <= stage:
        stack.active -= 1
    if before < TOUCHED:
        _report(state, events, stack, zone, first + 1, zone.near)
    if before < HALF <= stage:
        _report(state, events, stack, zone, first + 2, 0.5 * (zone.near + zone.far))
    if before < FULL <= stage:
        _report(state, events, stack, zone, ev.FVG_FILLED, zone.far)
