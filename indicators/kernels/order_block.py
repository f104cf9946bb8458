"""Order block (OB): the last bar of the other colour before an impulse, or the extreme of a broken leg.

Known at the close of the impulse (or of the break), never from the origin bar on. Its later life, and
that of the breaker it may become, is `zone.live`.
"""

from typing import Any

import numpy as np

from indicators.kernels import event as ev
from indicators.kernels import zone
from indicators.kernels.bar import MASK
from indicators.kernels.jit import inline_kernel, kernel

BLOCK_DTYPE = np.dtype(
    [
        ("seq", np.int64),
        ("ts", np.int64),
        ("open", np.float64),
        ("high", np.float64),
        ("low", np.float64),
        ("close", np.float64),
        ("volume", np.float64),
        ("buy_volume", np.float64),
    ]
)


@kernel
def copy_bar(bar: Any, seq: int, block: Any) -> None:
    """Copy one bar out of the ring.

    Parameters
    ----------
    bar
        The current bar's record with the ring of the last `RING`, shape ().
    seq
        Number of a bar that is still in the ring.
    block
        Record, shape (), written: prices, base volumes, close time in UNIX ns.

    References
    ----------
    ``docs/structure.md``, "Order blocks and breakers".
    """
    i = seq & MASK
    block.seq = seq
    block.ts = bar.times[i]
    block.open = bar.opens[i]
    block.high = bar.highs[i]
    block.low = bar.lows[i]
    block.close = bar.closes[i]
    block.volume = bar.volumes[i]
    block.buy_volume = bar.buy_volumes[i]


@kernel
def _find_origin(state: Any, sign: int) -> int:
    """Return the seq of the origin bar among t-1 .. t-(lookback-1), -1 for none."""
    bar, settings = state.bar, state.settings
    first = max(0, bar.seq - settings.order_block_lookback + 1)
    if settings.order_block_origin == 0:
        for seq in range(bar.seq - 1, first - 1, -1):
            i = seq & MASK
            if sign * (bar.closes[i] - bar.opens[i]) < 0.0:
                return seq
        return -1
    found = -1
    extreme = np.inf
    for seq in range(bar.seq - 1, first - 1, -1):
        i = seq & MASK
        low = bar.lows[i] if sign == 1 else -bar.highs[i]
        if low < extreme:
            extreme = low
            found = seq
    return found


@kernel
def _is_clean_departure(bar: Any, sign: int, origin_seq: int, middle: float) -> int:
    """Tell (1 or 0) whether no bar after the origin reached the zone's middle: near + far, signed."""
    # A break can look back further than the ring reaches; what left the ring is taken as clean.
    for seq in range(max(origin_seq + 1, bar.seq - MASK), bar.seq + 1):
        low = bar.lows[seq & MASK] if sign == 1 else -bar.highs[seq & MASK]
        if 2.0 * low <= middle:
            return 0
    return 1


@kernel
def _create(state: Any, events: Any, sign: int) -> None:
    """Create the block of `state.block` in the given direction, or reinforce the one it already has."""
    bar, settings, block = state.bar, state.settings, state.block
    low, high = block.low, block.high
    if settings.order_block_zone == 1:
        low, high = min(block.open, block.close), max(block.open, block.close)
    near, far = (high, low) if sign == 1 else (-low, -high)

    stack = state.blocks[0 if sign == 1 else 1]
    kind, ref_id = ev.OB, -1
    for i in range(stack.count):
        known = stack.zones[i]
        if known.origin_seq == block.seq and known.is_inverse == 0:
            kind, ref_id = ev.OB_REINFORCED, known.id
            break
    if kind == ev.OB:
        zone.make_room(state, events, stack)

    event_id = ev.emit(
        state,
        events,
        kind,
        sign,
        ev.SCOPE_NONE,
        block.seq,
        block.ts,
        low,
        high,
        0.5 * (low + high),
        ref_id,
        abs(bar.close - bar.open) / bar.impulse_atr,
        float(bar.seq - block.seq),
        _is_clean_departure(bar, sign, block.seq, near + far),
    )
    volume = block.volume + bar.volume
    row = events.rows[state.log.count - 1]
    row.volume = volume
    row.buy_share = (block.buy_volume + bar.buy_volume) / volume if volume > 0.0 else np.nan
    if kind == ev.OB:
        zone.insert(state, stack, near, far, event_id, block.seq, block.ts, 0)


@inline_kernel
def step(state: Any, events: Any) -> int:
    """Find the order block of the current bar's impulse or break.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); the ring, ATR and breaks are read, the stack
        of blocks is written; prices, impulse in ATRs.
    events
        The event buffer's record (``event.buffer_dtype``), shape (); rows are appended.

    Returns
    -------
    int
        +1 bullish, -1 bearish, 0 none; known at the close of the current bar, never from the origin on.

    References
    ----------
    ``docs/structure.md``, "Order blocks and breakers".
    """
    bar, settings = state.bar, state.settings
    if settings.order_block_trigger == 1:
        return _on_break(state, events)
    body = bar.close - bar.open
    if not abs(body) > settings.order_block_impulse_atr * bar.impulse_atr:
        return 0
    sign = 1 if body > 0.0 else -1
    origin_seq = _find_origin(state, sign)
    if origin_seq < 0:
        return 0
    copy_bar(bar, origin_seq, state.block)
    _create(state, events, sign)
    return sign


@kernel
def _on_break(state: Any, events: Any) -> int:
    """Create the blocks of the internal structure's breaks on this bar; return the last direction."""
    bar, internal = state.bar, state.scopes[0]
    found = 0
    for k in range(2):
        side = internal.sides[k]
        if side.broken == 0:
            continue
        sign = 1 - 2 * k
        if state.settings.order_block_origin == 0:
            origin_seq = _find_origin(state, sign)
            if origin_seq < 0:
                continue
            copy_bar(bar, origin_seq, state.block)
        else:
            source, target = side.extremes[side.broken_level], state.block
            target.seq = source.seq
            target.ts = source.ts
            target.open = source.open
            target.high = source.high
            target.low = source.low
            target.close = source.close
            target.volume = source.volume
            target.buy_volume = source.buy_volume
        _create(state, events, sign)
        found = sign
    return found
