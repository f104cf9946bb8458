"""Four-swing patterns: the structure rule of the peer package, told when it can be known.

Swings L1 H2 L3 H4 with L1 < L3 < H2 < H4 are a bullish BOS of H2, with L3 < L1 < H2 < H4 a bullish CHoCH,
once a bar closed above H2. Used by `structure_rule = "pattern"` only, to compare with that package.
"""

from typing import Any

import numpy as np

from indicators.kernels import event as ev
from indicators.kernels.bar import MASK
from indicators.kernels.jit import kernel
from indicators.kernels.swing import LATEST

CAP = 512

# `price` as in the bars, `limit` signed and possibly in single precision, `broken_seq` -1 until broken.
PIVOT_DTYPE = np.dtype(
    [
        ("sign", np.int64),
        ("price", np.float64),
        ("limit", np.float64),
        ("seq", np.int64),
        ("ts", np.int64),
        ("id", np.int64),
        ("broken_seq", np.int64),
        ("kind", np.int64),  # of its pattern, 0 while none was seen
    ]
)
PATTERN_DTYPE = np.dtype(
    [
        ("count", np.int64),  # pivots in use
        ("pivots", PIVOT_DTYPE, (4,)),  # the zigzag's last four, oldest first
        ("pending", np.int64),
        ("waiting", PIVOT_DTYPE, (CAP,)),  # patterns whose level is unbroken, by seq
    ]
)


@kernel
def _breaking_price(state: Any, sign: int, seq: int) -> float:
    """Return the signed price with which bar `seq` breaks levels of that side."""
    bar = state.bar
    i = seq & MASK
    if state.settings.structure_break == 0:
        return float(sign * bar.closes[i])
    return float(bar.highs[i] if sign == 1 else -bar.lows[i])


@kernel
def _report(state: Any, events: Any, scope: Any, pivot: Any) -> None:
    """Emit the pattern of a pivot and forget the waiting ones that are older."""
    now = state.bar.seq
    sign = pivot.sign
    ev.emit(
        state,
        events,
        pivot.kind,
        sign,
        scope.name,
        pivot.seq,
        pivot.ts,
        pivot.price,
        pivot.price,
        pivot.price,
        pivot.id,
        np.nan,
        float(now - pivot.broken_seq),
        ev.NO_FLAG,
    )
    scope.break_flag = sign if pivot.kind == ev.BOS else 2 * sign
    scope.break_seq = now

    book = scope.pattern
    limit_seq = pivot.seq
    kept = 0
    for i in range(book.pending):
        if book.waiting[i].seq > limit_seq:
            book.waiting[kept] = book.waiting[i]
            kept += 1
    book.pending = kept


@kernel
def on_bar(state: Any, events: Any, scope: Any) -> None:
    """Note which pivots the current bar breaks; report the newest waiting pattern that it breaks.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); the bar is read; signed prices.
    events
        The event buffer's record (``event.buffer_dtype``), shape (); rows are appended.
    scope
        The record of one structure in `state`, shape (): internal or external.

    References
    ----------
    ``docs/structure.md``, "BOS and CHoCH"; the rule of the package smartmoneyconcepts 0.0.27, made causal.
    """
    book = scope.pattern
    now = state.bar.seq
    up, down = _breaking_price(state, 1, now), _breaking_price(state, -1, now)
    for i in range(book.count):
        pivot = book.pivots[i]
        if pivot.broken_seq < 0 and (up if pivot.sign == 1 else down) > pivot.limit:
            pivot.broken_seq = now
    for i in range(book.pending - 1, -1, -1):
        pivot = book.waiting[i]
        if (up if pivot.sign == 1 else down) > pivot.limit:
            pivot.broken_seq = now
            _report(state, events, scope, pivot)
            return


@kernel
def _push(state: Any, scope: Any, k: int) -> None:
    """Take over the zigzag's latest swing of side k, in place of the last pivot if it was replaced."""
    book = scope.pattern
    level = scope.sides[k].levels[LATEST]
    sign = 1 - 2 * k
    if scope.zigzag_moved == 2:
        if book.count == 4:
            for i in range(3):
                book.pivots[i] = book.pivots[i + 1]
            book.count = 3
        book.count += 1
    pivot = book.pivots[book.count - 1]
    pivot.sign = sign
    pivot.price = sign * level.price
    pivot.limit = level.price
    if state.settings.float32_levels == 1:
        pivot.limit = np.float64(np.float32(level.price))
    pivot.seq = level.seq
    pivot.ts = level.ts
    pivot.id = level.id
    pivot.kind = 0
    pivot.broken_seq = -1
    for seq in range(level.seq + 2, state.bar.seq + 1):
        if _breaking_price(state, sign, seq) > pivot.limit:
            pivot.broken_seq = seq
            return


@kernel
def on_zigzag(state: Any, events: Any, scope: Any, k: int) -> None:
    """Lead a moved zigzag into the last four pivots and look for a pattern in them.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); read; signed prices.
    events
        The event buffer's record (``event.buffer_dtype``), shape (); rows are appended.
    scope
        The record of one structure in `state`, shape (): internal or external.
    k
        Side: 0 highs (long), 1 lows (short); prices inside are times +1 or -1.

    References
    ----------
    ``docs/structure.md``, "BOS and CHoCH"; the rule of the package smartmoneyconcepts 0.0.27, made causal.
    """
    _push(state, scope, k)
    book = scope.pattern
    if book.count < 4 or book.pivots[1].kind != 0:
        return
    sign = book.pivots[3].sign
    first, second = sign * book.pivots[0].price, sign * book.pivots[1].price
    third, fourth = sign * book.pivots[2].price, sign * book.pivots[3].price
    if first < third < second < fourth:
        kind = ev.BOS
    elif third < first < second < fourth:
        kind = ev.CHOCH
    else:
        return

    pivot = book.pivots[1]
    pivot.kind = kind
    if pivot.broken_seq >= 0:
        _report(state, events, scope, pivot)
        return
    if book.pending == CAP:
        for i in range(CAP - 1):
            book.waiting[i] = book.waiting[i + 1]
        book.pending -= 1
    book.waiting[book.pending] = pivot
    book.pending += 1
