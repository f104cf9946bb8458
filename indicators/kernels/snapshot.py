"""Writing one snapshot row per bar: flags of the bar, state after it."""

from typing import Any

import numpy as np

from indicators.kernels import zone
from indicators.kernels.jit import kernel


@kernel
def bars_since(seq: int, event_seq: int) -> int:
    """Return the bars since an event, -1 if it never happened."""
    return seq - event_seq if event_seq >= 0 else -1


@kernel
def live_side(scope: Any) -> int:
    """Return the side whose live range formed last (0 long, 1 short), -1 if none is live."""
    long_, short = scope.sides[0].range, scope.sides[1].range
    if long_.stage == 0:
        return 1 if short.stage > 0 else -1
    return 1 if short.stage > 0 and short.id > long_.id else 0


@kernel
def write_range(scope: Any, settings: Any, seq: int, close: float, row: Any) -> None:
    """Write the columns of the live dealing range of one structure."""
    k = live_side(scope)
    if k < 0:
        row.range_low = np.nan
        row.range_high = np.nan
        row.range_sweet = np.nan
        row.range_position = np.nan
        row.range_retracement = np.nan
        row.range_age = -1
        row.range_direction = 0
        row.range_stage = 0
        row.range_zone = 0
        row.in_ote = 0
        return

    leg = scope.sides[k].range
    sign = 1 - 2 * k
    a, b = sign * leg.a, sign * leg.b
    low, high = min(a, b), max(a, b)
    position = (close - low) / (high - low)
    retracement = (leg.b - sign * close) / (leg.b - leg.a)
    zone_sign = np.int64(position > settings.equilibrium_high) - np.int64(position < settings.equilibrium_low)
    row.range_low = low
    row.range_high = high
    row.range_sweet = sign * leg.sweet
    row.range_position = position
    row.range_retracement = retracement
    row.range_age = seq - leg.formed_seq
    row.range_direction = sign
    row.range_stage = leg.stage
    row.range_zone = zone_sign
    row.in_ote = np.int64(settings.ote_low <= retracement <= settings.ote_high)


@kernel
def write_scope(scope: Any, settings: Any, seq: int, close: float, row: Any) -> None:
    """Write the columns of one structure."""
    high, low = scope.sides[0].levels[0], scope.sides[1].levels[0]
    row.swing_high = high.price if high.seq >= 0 else np.nan
    row.swing_low = -low.price if low.seq >= 0 else np.nan
    row.trailing_high = high.trailing if high.seq >= 0 else np.nan
    row.trailing_low = -low.trailing if low.seq >= 0 else np.nan
    row.bars_since_break = bars_since(seq, scope.break_seq)
    row.trend = scope.trend
    row["break"] = scope.break_flag
    row.high_is_used = high.is_used
    row.low_is_used = low.is_used
    row.high_label = scope.sides[0].label
    row.low_label = scope.sides[1].label
    write_range(scope, settings, seq, close, row)


@kernel
def write_zones(state: Any, row: Any) -> None:
    """Write counts, flags and the nearest active zone of the four stacks."""
    bulls, bears = state.gaps[0], state.gaps[1]
    row.bull_fvg_count = bulls.active
    row.bear_fvg_count = bears.active
    row.in_bull_fvg = bulls.was_met
    row.in_bear_fvg = bears.was_met
    i, j = zone.nearest_active(bulls), zone.nearest_active(bears)
    row.bull_fvg_low = bulls.zones[i].far if i >= 0 else np.nan
    row.bull_fvg_high = bulls.zones[i].near if i >= 0 else np.nan
    row.bear_fvg_low = -bears.zones[j].near if j >= 0 else np.nan
    row.bear_fvg_high = -bears.zones[j].far if j >= 0 else np.nan

    bulls, bears = state.blocks[0], state.blocks[1]
    row.bull_ob_count = bulls.active
    row.bear_ob_count = bears.active
    row.touch_bull_ob = bulls.was_met
    row.touch_bear_ob = bears.was_met
    row.near_bull_ob = bulls.is_near
    row.near_bear_ob = bears.is_near
    i, j = zone.nearest_active(bulls), zone.nearest_active(bears)
    row.bull_ob_low = bulls.zones[i].far if i >= 0 else np.nan
    row.bull_ob_high = bulls.zones[i].near if i >= 0 else np.nan
    row.bear_ob_low = -bears.zones[j].near if j >= 0 else np.nan
    row.bear_ob_high = -bears.zones[j].far if j >= 0 else np.nan


@kernel
def write_liquidity(state: Any, row: Any) -> None:
    """Write the liquidity stacks, sweeps and previous periods."""
    seq = state.bar.seq
    highs, lows = state.books[0], state.books[1]
    row.liquidity_high_count = highs.count
    row.liquidity_low_count = lows.count
    row.liquidity_high = highs.levels[highs.count - 1].price if highs.count > 0 else np.nan
    row.liquidity_low = -lows.levels[lows.count - 1].price if lows.count > 0 else np.nan
    row.equal_high = highs.equal
    row.equal_low = -lows.equal
    # A sweep of the highs is bearish.
    row.bars_since_bear_sweep_extreme = bars_since(seq, highs.extreme_seq)
    row.bars_since_bull_sweep_extreme = bars_since(seq, lows.extreme_seq)
    row.bars_since_bear_sweep_swing = bars_since(seq, highs.swing_seq)
    row.bars_since_bull_sweep_swing = bars_since(seq, lows.swing_seq)
    row.high_taken = highs.outcome
    row.low_taken = lows.outcome
    day, week = state.periods[0], state.periods[1]
    row.previous_day_high = day.previous_high
    row.previous_day_low = day.previous_low
    row.previous_week_high = week.previous_high
    row.previous_week_low = week.previous_low


@kernel
def write(state: Any, row: Any, new_gap: int, new_block: int, equal_levels: int) -> None:
    """Write the whole row of the current bar."""
    bar, averages = state.bar, state.averages
    row.seq = bar.seq
    row.ts_close_ns = bar.ts_close
    row.close = bar.close
    row.atr = bar.atr
    row.atr_slow = averages.atr_slow
    row.ema_fast = averages.ema_fast
    row.ema_slow = averages.ema_slow
    row.rsi = averages.rsi
    write_scope(state.scopes[0], state.settings, bar.seq, bar.close, row.internal)
    write_scope(state.scopes[1], state.settings, bar.seq, bar.close, row.external)
    write_zones(state, row)
    write_liquidity(state, row)
    row.event_count = state.log.count - state.log.bar_start
    row.new_fvg = new_gap
    row.new_ob = new_block
    row.equal_levels = equal_levels
