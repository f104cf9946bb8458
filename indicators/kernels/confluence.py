"""Confluence: how many independent reasons for a long, and for a short, one closed bar gives.

One step takes a bar of the lower timeframe through its structure engine, joins it to the middle and the
higher timeframe, and writes one row: every factor, the event that caused it, and both scores.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from indicators.kernels import bias, engine, timeframe
from indicators.kernels.address import at_address
from indicators.kernels.jit import inline_kernel, kernel

LTF, MTF = 0, 1  # places in `structures`, and codes of `structure_role`
SWEEP_SWING, SWEEP_EXTREME, SWEEP_ANY = range(3)  # codes of `sweep_kind`
HTF_NONE, HTF_NEUTRAL, HTF_ALIGNED = range(3)
MAX_SCORE = 100.0

SETTINGS_DTYPE = np.dtype(
    [
        ("htf_aligned", np.float64),  # points
        ("htf_neutral", np.float64),
        ("sweep", np.float64),
        ("order_block", np.float64),
        ("fvg", np.float64),
        ("rsi", np.float64),
        ("structure", np.float64),
        ("base_ns", np.int64),
        ("sweep_kind", np.int64),
        ("sweep_max_age_bars", np.int64),
        ("rsi_oversold", np.float64),
        ("rsi_overbought", np.float64),
        ("structure_role", np.int64),
        ("structure_scope", np.int64),  # 0 internal, 1 external
        ("max_missing_bars", np.int64),
    ]
)


def state_dtype(structure: np.dtype[np.void], row: np.dtype[np.void]) -> np.dtype[np.void]:
    """Return the dtype of the whole state of one stream: one record, about 450 kB.

    Parameters
    ----------
    structure
        ``engine.state_dtype``, for the structure of the lower and that of the middle timeframe.
    row
        Layout of a row with a nested record per side.

    Returns
    -------
    numpy.dtype
        Record of shape (); times in UNIX ns, prices in quote units, ages in bars.

    References
    ----------
    ``docs/confluence.md``, "Row".
    """
    return np.dtype(
        [
            ("structures", structure, (2,)),  # LTF, MTF; its first field is the bar that a step takes
            ("settings", SETTINGS_DTYPE),
            ("mtf", timeframe.FRAME_DTYPE),
            ("htf", timeframe.FRAME_DTYPE),
            ("bias", bias.BIAS_DTYPE, (1,)),
            ("htf_bias", np.int64),  # of the last complete higher bar
            ("htf_close", np.float64),
            ("ts_close_before", np.int64),  # NEVER before the first bar
            ("row", row),
        ]
    )


@inline_kernel
def _fill_mtf(state: Any) -> None:
    """Give the completed middle bar to its structure engine."""
    frame, bar = state.mtf, state.structures[MTF].bar
    bar.ts_open = frame.last_close_ns - frame.step_ns
    bar.ts_close = frame.last_close_ns
    bar.open = frame.open
    bar.high = frame.high
    bar.low = frame.low
    bar.close = frame.close
    bar.volume = frame.volume
    bar.buy_volume = frame.buy_volume


@inline_kernel
def _advance(state: Any, events: Any) -> None:
    """Take the bar through its structure engine, and a middle bar that it completes through the other."""
    is_completed = timeframe.step(state.mtf, state.structures[LTF].bar)
    # With equal intervals the lower timeframe's engine serves both. A loop, so that the engine's step, which
    # is most of the machine code, is there once.
    count = 2 if is_completed & (state.mtf.wanted > 1) else 1
    for place in range(count):
        structure = state.structures[place]
        if place == MTF:
            _fill_mtf(state)
        structure.log.count = 0  # the events of the bar before are overwritten
        engine.step(structure, events, structure.row)


@inline_kernel
def _join_htf(state: Any) -> None:
    """Take the bar into the higher timeframe, and the close of a completed bar of that into the bias."""
    frame = state.htf
    if timeframe.step(frame, state.structures[LTF].bar):
        state.htf_close = frame.close
        state.htf_bias = bias.step(state.bias, frame.close)


@inline_kernel
def _write_timeframes(state: Any, mtf: Any, row: Any) -> None:
    """Write bias and RSI as of the last complete bar, and whether that is recent enough to count."""
    most = state.settings.max_missing_bars
    ts_close = state.structures[LTF].bar.ts_close
    averages = state.bias[0]
    missing = timeframe.missing(state.htf, ts_close)
    is_fresh = (missing >= 0) & (missing <= most)
    row.htf_bias = state.htf_bias
    row.htf_close = state.htf_close
    row.htf_ema_fast = averages.fast
    row.htf_ema_slow = averages.slow
    row.htf_ts_close_ns = state.htf.last_close_ns
    row.htf_missing = missing
    row.htf_is_known = np.int64(is_fresh & (averages.count >= averages.warm_up))

    missing = timeframe.missing(state.mtf, ts_close)
    is_fresh = (missing >= 0) & (missing <= most)
    row.mtf_rsi = mtf.averages.rsi
    row.mtf_ts_close_ns = state.mtf.last_close_ns
    row.mtf_missing = missing
    row.mtf_is_known = np.int64(is_fresh & (not np.isnan(mtf.averages.rsi)))


@inline_kernel
def _write_structure(state: Any, mtf: Any, row: Any) -> None:
    """Write both trends, and the break behind the one that scores."""
    settings = state.settings
    ltf = state.structures[LTF]
    row.ltf_trend = ltf.scopes[settings.structure_scope].trend
    row.mtf_trend = mtf.scopes[settings.structure_scope].trend
    is_ltf = settings.structure_role == LTF
    scope = ltf.scopes[settings.structure_scope] if is_ltf else mtf.scopes[settings.structure_scope]
    is_known = is_ltf | ((row.mtf_missing >= 0) & (row.mtf_missing <= settings.max_missing_bars))
    row.structure_trend = scope.trend if is_known else 0
    if row.structure_trend == 0:
        row.structure_kind = 0
        row.structure_seq = -1
        row.structure_ts_ns = -1
        row.structure_id = -1
        row.structure_level = np.nan
        return
    row.structure_kind = scope.trend_kind
    row.structure_seq = scope.trend_seq
    row.structure_ts_ns = scope.trend_ts
    row.structure_id = scope.trend_id
    row.structure_level = scope.trend_level


@inline_kernel
def _write_sweep(settings: Any, seq: int, book: Any, side: Any) -> None:
    """Write the last sweep of one side's stops if it is recent, the later of the kinds that count."""
    swept, kind = book.swing_seq, SWEEP_SWING
    if settings.sweep_kind == SWEEP_EXTREME or (
        settings.sweep_kind == SWEEP_ANY and book.extreme_seq > swept
    ):
        swept, kind = book.extreme_seq, SWEEP_EXTREME
    is_swing = kind == SWEEP_SWING
    is_recent = swept >= 0 and seq - swept <= settings.sweep_max_age_bars
    side.sweep = np.int64(is_recent)
    side.sweep_kind = kind
    side.sweep_seq = swept if is_recent else -1
    side.sweep_id = -1
    side.sweep_level = np.nan
    side.sweep_tip = np.nan
    if is_recent:
        side.sweep_id = book.swing_id if is_swing else book.extreme_id
        side.sweep_level = book.swing_level if is_swing else book.extreme_level
        side.sweep_tip = book.swing_tip if is_swing else book.extreme_tip


@inline_kernel
def _write_zones(gaps: Any, blocks: Any, side: Any) -> None:
    """Write the order block and the gap that hold the close."""
    side.order_block = blocks.is_near
    side.fvg = gaps.was_met
    side.block_seq = -1
    side.block_id = -1
    side.block_low = np.nan
    side.block_high = np.nan
    side.block_is_breaker = 0
    side.gap_seq = -1
    side.gap_id = -1
    side.gap_low = np.nan
    side.gap_high = np.nan
    side.gap_is_inverse = 0
    if blocks.is_near == 1:
        zone = blocks.told[0]
        one, other = blocks.sign * zone.near, blocks.sign * zone.far
        side.block_seq = zone.known_seq
        side.block_id = zone.id
        side.block_low = min(one, other)
        side.block_high = max(one, other)
        side.block_is_breaker = zone.is_inverse
    if gaps.was_met == 1:
        zone = gaps.told[0]
        one, other = gaps.sign * zone.near, gaps.sign * zone.far
        side.gap_seq = zone.known_seq
        side.gap_id = zone.id
        side.gap_low = min(one, other)
        side.gap_high = max(one, other)
        side.gap_is_inverse = zone.is_inverse


@inline_kernel
def _score(settings: Any, row: Any, side: Any, sign: int) -> float:
    """Write the side's flags of bias, RSI and structure; return its score."""
    is_aligned = (row.htf_is_known == 1) & (row.htf_bias == sign)
    is_neutral = (row.htf_is_known == 1) & (row.htf_bias == 0)
    is_stretched = row.mtf_rsi < settings.rsi_oversold if sign == 1 else row.mtf_rsi > settings.rsi_overbought
    side.htf = HTF_ALIGNED * np.int64(is_aligned) + HTF_NEUTRAL * np.int64(is_neutral)
    side.rsi = np.int64(is_stretched) & row.mtf_is_known
    side.structure = np.int64(row.structure_trend == sign)

    score = settings.htf_aligned if is_aligned else 0.0
    score += settings.htf_neutral if is_neutral else 0.0
    score += settings.sweep if side.sweep == 1 else 0.0
    score += settings.order_block if side.order_block == 1 else 0.0
    score += settings.fvg if side.fvg == 1 else 0.0
    score += settings.rsi if side.rsi == 1 else 0.0
    score += settings.structure if side.structure == 1 else 0.0
    return min(score, MAX_SCORE)


@inline_kernel
def step(state: Any, events: Any, row: Any) -> None:
    """Advance all timeframes by the bar in `state.structures[LTF].bar` and write its row.

    Parameters
    ----------
    state
        Record of `state_dtype`, shape (); read and written.
    events
        The event buffer's record (``event.buffer_dtype``), shape (); scratch.
    row
        One row, shape (), written: UNIX ns, prices, scores 0..100, ages and numbers in bars.

    References
    ----------
    ``docs/confluence.md``, "Row".
    """
    settings = state.settings
    ltf = state.structures[LTF]
    bar = ltf.bar
    row.missing_bars = 0
    if state.ts_close_before != timeframe.NEVER:
        row.missing_bars = (bar.ts_open - state.ts_close_before) // settings.base_ns
    state.ts_close_before = bar.ts_close

    _advance(state, events)
    _join_htf(state)

    row.seq = bar.seq
    row.ts_close_ns = bar.ts_close
    row.close = bar.close
    row.atr = bar.atr
    row.colour = np.int64(bar.close > bar.open) - np.int64(bar.close < bar.open)
    mtf = state.structures[LTF if state.mtf.wanted == 1 else MTF]
    _write_timeframes(state, mtf, row)
    _write_structure(state, mtf, row)
    for k in range(2):
        # Stops lie beyond the extremes of the other side: lows for a long.
        _write_sweep(settings, bar.seq, ltf.books[1 - k], row.sides[k])
        _write_zones(ltf.gaps[k], ltf.blocks[k], row.sides[k])
    row.score_long = _score(settings, row, row.sides[0], 1)
    row.score_short = _score(settings, row, row.sides[1], -1)
    is_measured = not np.isnan(bar.atr)
    row.is_ready = row.htf_is_known & row.mtf_is_known & np.int64(is_measured)


def scan_kernel(
    state: np.dtype[np.void], buffer: np.dtype[np.void], row: np.dtype[np.void]
) -> Callable[[int, int, int, int, int], None]:
    """Return the kernel that loops `step`, for states, buffers and rows of these dtypes.

    One for a live bar and for a whole history: compiling it takes half a minute.

    Parameters
    ----------
    state, buffer, row
        The dtypes of the state record, of the event buffer and of a row.

    Returns
    -------
    callable
        Takes the addresses (see `address`) of a state and of a buffer, each of shape (1,), of the rows, shape
        (n,), and of eight addresses: the columns ts_open, ts_close (UNIX ns), open, high, low, close
        (prices), volume, buy_volume, each of shape (n,), as ``first_bad_row`` and ``first_misplaced_row``
        passed them; and n.

    References
    ----------
    `step`.
    """

    @kernel
    def scan(
        state_address: int, buffer_address: int, rows_address: int, columns_address: int, count: int
    ) -> None:
        record = carray(at_address(state_address), 1, state)[0]
        events = carray(at_address(buffer_address), 1, buffer)[0]
        rows = carray(at_address(rows_address), count, row)
        columns = carray(at_address(columns_address), 8, np.int64)
        ts_open = carray(at_address(columns[0]), count, np.int64)
        ts_close = carray(at_address(columns[1]), count, np.int64)
        open_ = carray(at_address(columns[2]), count, np.float64)
        high = carray(at_address(columns[3]), count, np.float64)
        low = carray(at_address(columns[4]), count, np.float64)
        close = carray(at_address(columns[5]), count, np.float64)
        volume = carray(at_address(columns[6]), count, np.float64)
        buy_volume = carray(at_address(columns[7]), count, np.float64)
        bar = record.structures[LTF].bar
        for i in range(count):
            bar.ts_open = ts_open[i]
            bar.ts_close = ts_close[i]
            bar.open = open_[i]
            bar.high = high[i]
            bar.low = low[i]
            bar.close = close[i]
            bar.volume = volume[i]
            bar.buy_volume = buy_volume[i]
            step(record, events, rows[i])

    return scan
