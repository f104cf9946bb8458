"""Writing one snapshot row per bar: flags of the bar, state after it.

What a structure shows changes with its swings, breaks and ranges only, so `show` keeps those columns in the
state, and a bar copies them.
"""

from typing import Any

import numpy as np

from indicators.kernels.jit import inline_kernel, kernel


@inline_kernel
def _bars_since(seq: int, event_seq: int) -> int:
    """Return the bars since an event, -1 if it never happened."""
    return seq - event_seq if event_seq >= 0 else -1


@kernel
def _live_side(scope: Any) -> int:
    """Return the side whose live range formed last (0 long, 1 short), -1 if none is live."""
    long_, short = scope.sides[0].range, scope.sides[1].range
    if long_.stage == 0:
        return 1 if short.stage > 0 else -1
    return 1 if short.stage > 0 and short.id > long_.id else 0


@kernel
def _show_range(scope: Any, shown: Any) -> None:
    """Keep the columns of the live dealing range; those that follow the close are left to `write_range`."""
    k = _live_side(scope)
    scope.shown_side = k
    if k < 0:
        shown.range_low = np.nan
        shown.range_high = np.nan
        shown.range_sweet = np.nan
        shown.range_position = np.nan
        shown.range_retracement = np.nan
        shown.range_age = -1
        shown.range_direction = 0
        shown.range_stage = 0
        shown.range_zone = 0
        shown.in_ote = 0
        return
    leg = scope.sides[k].range
    sign = 1 - 2 * k
    a, b = sign * leg.a, sign * leg.b
    shown.range_low = min(a, b)
    shown.range_high = max(a, b)
    shown.range_sweet = sign * leg.sweet
    shown.range_direction = sign
    shown.range_stage = leg.stage


@kernel
def show(scope: Any) -> None:
    """Keep the columns of one structure that stay until its next swing, break or change of a range."""
    shown = scope.shown
    high, low = scope.sides[0].levels[0], scope.sides[1].levels[0]
    shown.swing_high = high.price if high.seq >= 0 else np.nan
    shown.swing_low = -low.price if low.seq >= 0 else np.nan
    shown.trend = scope.trend
    shown.high_is_used = high.is_used
    shown.low_is_used = low.is_used
    shown.high_label = scope.sides[0].label
    shown.low_label = scope.sides[1].label
    _show_range(scope, shown)


@inline_kernel
def _write_range(scope: Any, settings: Any, seq: int, close: float, row: Any) -> None:
    """Write where the close stands in the live dealing range of one structure."""
    k = scope.shown_side
    if k < 0:
        return
    leg = scope.sides[k].range
    sign = 1 - 2 * k
    low, high = row.range_low, row.range_high
    position = (close - low) / (high - low)
    retracement = (leg.b - sign * close) / (leg.b - leg.a)
    is_premium, is_discount = position > settings.equilibrium_high, position < settings.equilibrium_low
    row.range_position = position
    row.range_retracement = retracement
    row.range_age = seq - leg.formed_seq
    row.range_zone = np.int64(is_premium) - np.int64(is_discount)
    row.in_ote = np.int64(settings.ote_low <= retracement) & np.int64(retracement <= settings.ote_high)


@inline_kernel
def _write_scope(scope: Any, settings: Any, seq: int, close: float, row: Any) -> None:
    """Write what every bar changes of one structure; `row` has what `show` kept."""
    high, low = scope.sides[0].levels[0], scope.sides[1].levels[0]
    row.trailing_high = high.trailing if high.seq >= 0 else np.nan
    row.trailing_low = -low.trailing if low.seq >= 0 else np.nan
    row.bars_since_break = _bars_since(seq, scope.break_seq)
    row["break"] = scope.break_flag
    _write_range(scope, settings, seq, close, row)


@inline_kernel
def _write_zones(state: Any, row: Any) -> None:
    """Write counts, flags and the nearest active zone of the four stacks."""
    bulls, bears = state.gaps[0], state.gaps[1]
    row.bull_fvg_count = bulls.active
    row.bear_fvg_count = bears.active
    row.in_bull_fvg = bulls.was_met
    row.in_bear_fvg = bears.was_met
    row.bull_fvg_low = bulls.shown_low
    row.bull_fvg_high = bulls.shown_high
    row.bear_fvg_low = bears.shown_low
    row.bear_fvg_high = bears.shown_high

    bulls, bears = state.blocks[0], state.blocks[1]
    row.bull_ob_count = bulls.active
    row.bear_ob_count = bears.active
    row.touch_bull_ob = bulls.was_met
    row.touch_bear_ob = bears.was_met
    row.near_bull_ob = bulls.is_near
    row.near_bear_ob = bears.is_near
    row.bull_ob_low = bulls.shown_low
    row.bull_ob_high = bulls.shown_high
    row.bear_ob_low = bears.shown_low
    row.bear_ob_high = bears.shown_high


@inline_kernel
def _unsigned(sign: float, price: float) -> float:
    """Return a signed price as it stands on the chart, NaN for the infinity that stands for none."""
    return np.nan if price == np.inf else sign * price


@inline_kernel
def _write_liquidity(state: Any, row: Any) -> None:
    """Write the liquidity stacks, sweeps and previous periods."""
    seq = state.bar.seq
    highs, lows = state.books[0], state.books[1]
    row.liquidity_high_count = highs.count
    row.liquidity_low_count = lows.count
    row.liquidity_high = _unsigned(1.0, highs.top)
    row.liquidity_low = _unsigned(-1.0, lows.top)
    row.equal_high = _unsigned(1.0, highs.equal)
    row.equal_low = _unsigned(-1.0, lows.equal)
    # A sweep of the highs is bearish.
    row.bars_since_bear_sweep_extreme = _bars_since(seq, highs.extreme_seq)
    row.bars_since_bull_sweep_extreme = _bars_since(seq, lows.extreme_seq)
    row.bars_since_bear_sweep_swing = _bars_since(seq, highs.swing_seq)
    row.bars_since_bull_sweep_swing = _bars_since(seq, lows.swing_seq)
    row.high_taken = highs.outcome
    row.low_taken = lows.outcome
    day, week = state.periods[0], state.periods[1]
    row.previous_day_high = day.previous_high
    row.previous_day_low = day.previous_low
    row.previous_week_high = week.previous_high
    row.previous_week_low = week.previous_low


@inline_kernel
def write(state: Any, row: Any, new_gap: int, new_block: int, equal_levels: int) -> None:
    """Write the whole row of the current bar: its flags, and all else as it is after the bar.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); read.
    row
        Snapshot row, shape (), written: prices, ages in bars, ratios; NaN, 0 or -1 for none.
    new_gap, new_block
        Direction of the gap and block that the bar made, 0 none.
    equal_levels
        +1 equal highs, -1 equal lows, 2 both, 0 none.

    References
    ----------
    ``docs/structure.md``, "Snapshot".
    """
    bar, averages = state.bar, state.averages
    row.scopes[0] = state.scopes[0].shown
    row.scopes[1] = state.scopes[1].shown
    row.seq = bar.seq
    row.ts_close_ns = bar.ts_close
    row.close = bar.close
    row.atr = bar.atr
    row.atr_slow = averages.atr_slow
    row.ema_fast = averages.ema_fast
    row.ema_slow = averages.ema_slow
    row.rsi = averages.rsi
    _write_scope(state.scopes[0], state.settings, bar.seq, bar.close, row.scopes[0])
    _write_scope(state.scopes[1], state.settings, bar.seq, bar.close, row.scopes[1])
    _write_zones(state, row)
    _write_liquidity(state, row)
    row.event_count = state.log.count - state.log.bar_start
    row.new_fvg = new_gap
    row.new_ob = new_block
    row.equal_levels = equal_levels
