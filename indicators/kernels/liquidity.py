"""Liquidity: unbroken swing levels, what takes them, equal highs and lows, and sweeps.

Levels are those of the internal swings, signed (+1 highs, -1 lows), the nearest on top of its stack:
a level that a later one exceeds was taken by that later bar's own wick, so the stack is sorted.
"""

from typing import Any

import numpy as np

from indicators.kernels import event as ev
from indicators.kernels.bar import MASK
from indicators.kernels.jit import inline_kernel, kernel

CAP = 512

RESTING_DTYPE = np.dtype(
    [
        ("price", np.float64),
        ("pool", np.float64),  # highest level of the pool of equal levels it belongs to
        ("members", np.int64),
        ("id", np.int64),
        ("seq", np.int64),
        ("ts", np.int64),
    ]
)
BOOK_DTYPE = np.dtype(
    [
        ("count", np.int64),
        ("has_taken", np.int64),  # 1: `taken` was taken since the last swing of this side
        ("taken", RESTING_DTYPE),
        ("top", np.float64),  # signed price of the nearest level, inf none
        ("equal", np.float64),  # newest pool that no wick exceeded, signed, inf none
        ("outcome", np.int64),  # of the current bar: 0, 1 sweep, 2 run
        ("extreme_seq", np.int64),  # last SWEEP_EXTREME, SWEEP_SWING of this side; -1 never
        ("swing_seq", np.int64),
        # What those two swept, prices as on the chart: of several levels of one bar the furthest.
        ("extreme_id", np.int64),
        ("extreme_level", np.float64),
        ("extreme_tip", np.float64),
        ("swing_id", np.int64),
        ("swing_level", np.float64),
        ("swing_tip", np.float64),
        ("window_seq", np.int64),  # first bar with the extreme of the last `sweep_lookback` bars
        ("window_price", np.float64),
        ("levels", RESTING_DTYPE, (CAP,)),
    ]
)


@inline_kernel
def _sweep_extreme(state: Any, events: Any, book: Any, k: int) -> None:
    """Report a wick beyond the extreme of the last n bars that closed back; then take the bar in."""
    bar = state.bar
    now, lookback = bar.seq, state.settings.sweep_lookback
    reach = bar.high if k == 0 else -bar.low
    # A new search when the extreme leaves the window costs less than a monotone deque, whose branches
    # nobody can predict: with n = 20 it happens on one bar in ten.
    if (book.window_seq < now - lookback) | (reach > book.window_price):
        if book.window_seq < now - lookback:
            _search_window(bar, book, k, now - lookback)
        if reach > book.window_price:
            close, open_ = (bar.close, bar.open) if k == 0 else (-bar.close, -bar.open)
            if now >= lookback and close < book.window_price and close < open_:
                _report_extreme(state, events, book, k, book.window_seq, book.window_price, reach)
            book.window_seq = now
            book.window_price = reach


@kernel
def _search_window(bar: Any, book: Any, k: int, first: int) -> None:
    """Find the extreme of the bars from `first` to the one before the current, the first if equal."""
    ring = bar.highs if k == 0 else bar.lows
    sign = 1.0 - 2.0 * k
    found, price = first, sign * ring[first & MASK]
    for seq in range(first + 1, bar.seq):
        other = sign * ring[seq & MASK]
        if other > price:
            found, price = seq, other
    book.window_seq = found
    book.window_price = price


@kernel
def _report_extreme(
    state: Any, events: Any, book: Any, k: int, origin: int, extreme: float, reach: float
) -> None:
    """Emit SWEEP_EXTREME of side k; extreme and reach are signed."""
    sign = 1 - 2 * k
    raw, tip = sign * extreme, sign * reach
    book.extreme_id = ev.emit(
        state,
        events,
        ev.SWEEP_EXTREME,
        -sign,
        ev.SCOPE_NONE,
        origin,
        state.bar.times[origin & MASK],
        min(raw, tip),
        max(raw, tip),
        raw,
        ev.NO_REF,
        np.nan,
        (reach - extreme) / state.bar.atr,
        ev.NO_FLAG,
    )
    book.extreme_seq = state.bar.seq
    book.extreme_level = raw
    book.extreme_tip = tip


@inline_kernel
def _take(state: Any, events: Any, book: Any, k: int) -> None:
    """Pop every level that the current bar's wick exceeds."""
    bar = state.bar
    reach = bar.high if k == 0 else -bar.low
    book.outcome = 0
    book.equal = np.inf if reach > book.equal else book.equal
    if reach > book.top:
        while book.count > 0 and reach > book.levels[book.count - 1].price:
            _take_top(state, events, book, k, reach)
        book.top = book.levels[book.count - 1].price if book.count > 0 else np.inf


@kernel
def _take_top(state: Any, events: Any, book: Any, k: int, reach: float) -> None:
    """Take the level on top of the stack: swept if the bar closed back, run over if not."""
    bar = state.bar
    sign = 1 - 2 * k
    close, open_ = sign * bar.close, sign * bar.open
    level = book.levels[book.count - 1]
    is_run = close >= level.price
    raw, tip = sign * level.price, sign * reach
    depth = (reach - level.price) / bar.atr
    ev.emit(
        state,
        events,
        ev.LIQUIDITY_TAKEN,
        sign,
        ev.SCOPE_NONE,
        level.seq,
        level.ts,
        raw,
        raw,
        raw,
        level.id,
        np.nan,
        depth,
        int(is_run),
    )
    if not is_run and close < open_:
        book.swing_id = ev.emit(
            state,
            events,
            ev.SWEEP_SWING,
            -sign,
            ev.SCOPE_NONE,
            level.seq,
            level.ts,
            min(raw, tip),
            max(raw, tip),
            raw,
            level.id,
            np.nan,
            depth,
            ev.NO_FLAG,
        )
        book.swing_seq = bar.seq
        book.swing_level = raw
        book.swing_tip = tip
    book.outcome = max(book.outcome, 2 if is_run else 1)
    _copy(level, book.taken)
    book.has_taken = 1
    book.count -= 1


@kernel
def _copy(source: Any, target: Any) -> None:
    """Copy one resting level."""
    target.price = source.price
    target.pool = source.pool
    target.members = source.members
    target.id = source.id
    target.seq = source.seq
    target.ts = source.ts


@kernel
def push(state: Any, events: Any, k: int) -> int:
    """Compare the swing that the current bar confirmed with its neighbours and put it on its stack.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); the stack of side k is written; prices,
        distances in slow ATRs.
    events
        The event buffer's record (``event.buffer_dtype``), shape (); rows are appended.
    k
        Side: 0 highs (long), 1 lows (short); prices inside are times +1 or -1.

    Returns
    -------
    int
        1 if it makes equal levels, else 0.

    References
    ----------
    ``docs/structure.md``, "Sweeps and liquidity".
    """
    bar, settings, book = state.bar, state.settings, state.books[k]
    scope = state.scopes[0]
    event_id = scope.sides[k].fresh_id
    seq = bar.seq - scope.right
    sign = 1 - 2 * k
    price = bar.highs[seq & MASK] if k == 0 else -bar.lows[seq & MASK]
    unit = bar.atr if np.isnan(state.averages.atr_slow) else state.averages.atr_slow
    tolerance = settings.equal_atr * unit

    top = book.levels[max(book.count - 1, 0)]
    match = top
    is_equal = book.count > 0 and 0.0 <= top.price - price <= tolerance
    if not is_equal and settings.equal_both_sides == 1 and book.has_taken == 1:
        match = book.taken
        is_equal = 0.0 <= price - match.price <= tolerance
    book.has_taken = 0
    pool, members = price, 1
    if is_equal:
        pool, members = max(match.pool, price), match.members + 1
        one, other = sign * match.price, sign * price
        ev.emit(
            state,
            events,
            ev.EQUAL_LEVELS,
            sign,
            ev.SCOPE_NONE,
            seq,
            bar.times[seq & MASK],
            min(one, other),
            max(one, other),
            sign * pool,
            match.id,
            np.nan,
            abs(match.price - price) / unit,
            members,
        )
        book.equal = pool

    if book.count == CAP:
        _drop(state, events, book, sign)
    level = book.levels[book.count]
    level.price = price
    level.pool = pool
    level.members = members
    level.id = event_id
    level.seq = seq
    level.ts = bar.times[seq & MASK]
    book.count += 1
    book.top = price
    return 1 if is_equal else 0


@kernel
def _drop(state: Any, events: Any, book: Any, sign: int) -> None:
    """Forget the oldest level of a full stack."""
    level = book.levels[0]
    raw = sign * level.price
    ev.emit(
        state,
        events,
        ev.LIQUIDITY_DROPPED,
        sign,
        ev.SCOPE_NONE,
        level.seq,
        level.ts,
        raw,
        raw,
        raw,
        level.id,
        np.nan,
        np.nan,
        ev.NO_FLAG,
    )
    for i in range(book.count - 1):
        book.levels[i] = book.levels[i + 1]
    book.count -= 1


@inline_kernel
def step(state: Any, events: Any) -> None:
    """Report sweeps and taken levels of the current bar: the levels known one bar earlier.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); both books of levels are written; signed
        prices, depths in ATRs.
    events
        The event buffer's record (``event.buffer_dtype``), shape (); rows are appended.

    References
    ----------
    ``docs/structure.md``, "Sweeps and liquidity".
    """
    for k in range(2):
        _sweep_extreme(state, events, state.books[k], k)
    for k in range(2):
        _take(state, events, state.books[k], k)
