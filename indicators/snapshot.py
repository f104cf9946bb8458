"""Snapshot: one row per closed bar, the only thing that machine-learned features may read.

Flags tell what bar t did; everything else is the state after bar t. Prices are NaN, counts of bars -1,
directions 0 where there is nothing to tell. ``docs/structure.md`` defines each column.
"""

from typing import Any

import numpy as np

type SnapshotTable = np.ndarray[tuple[int], np.dtype[np.void]]
"""Array of shape (n,) with dtype `SNAPSHOT_DTYPE`."""

type _Fields = list[tuple[str, type[np.generic]]]


def _structure_fields(prefix: str) -> _Fields:
    return [
        (f"{prefix}swing_high", np.float64),  # price of the zigzag's latest swing high
        (f"{prefix}swing_low", np.float64),
        (f"{prefix}trailing_high", np.float64),  # highest high since that swing high's bar
        (f"{prefix}trailing_low", np.float64),
        (f"{prefix}range_low", np.float64),  # the live dealing range formed last
        (f"{prefix}range_high", np.float64),
        (f"{prefix}range_sweet", np.float64),  # price of the sweet spot
        (f"{prefix}range_position", np.float64),  # (close - low) / (high - low)
        (f"{prefix}range_retracement", np.float64),  # (B - close) / (B - A)
        (f"{prefix}bars_since_break", np.int32),  # 0 on the breaking bar, -1 before the first break
        (f"{prefix}range_age", np.int32),  # bars since RANGE_FORMED, -1: none live
        (f"{prefix}trend", np.int8),  # +1, -1, 0 before the first break
        (f"{prefix}break", np.int8),  # flag of bar t: +-1 BOS, +-2 CHOCH, 0 none
        (f"{prefix}high_is_used", np.int8),  # 1: the swing high was already broken
        (f"{prefix}low_is_used", np.int8),
        (f"{prefix}high_label", np.int8),  # SwingLabel of the last locked high
        (f"{prefix}low_label", np.int8),
        (f"{prefix}range_direction", np.int8),  # +1 long setup, -1 short setup, 0 none live
        (f"{prefix}range_stage", np.int8),  # RangeStage
        (f"{prefix}range_zone", np.int8),  # +1 premium, -1 discount, 0 equilibrium band or no range
        (f"{prefix}in_ote", np.int8),  # 1: ote_low <= retracement of the close <= ote_high
    ]


SNAPSHOT_DTYPE = np.dtype(
    [
        ("seq", np.int64),
        ("ts_close_ns", np.int64),
        ("close", np.float64),
        ("atr", np.float64),  # price units; NaN before atr_length bars
        ("atr_slow", np.float64),  # NaN before atr_slow_length bars
        ("ema_fast", np.float64),
        ("ema_slow", np.float64),
        ("rsi", np.float64),  # 0..100, NaN before rsi_length changes
        *_structure_fields("internal_"),
        *_structure_fields("external_"),
        ("bull_fvg_low", np.float64),  # nearest active gap below: the one with the highest top
        ("bull_fvg_high", np.float64),
        ("bear_fvg_low", np.float64),  # nearest active gap above: the one with the lowest bottom
        ("bear_fvg_high", np.float64),
        ("bull_ob_low", np.float64),  # nearest active order block, breakers included
        ("bull_ob_high", np.float64),
        ("bear_ob_low", np.float64),
        ("bear_ob_high", np.float64),
        ("liquidity_high", np.float64),  # nearest unbroken swing high (top of the stack)
        ("liquidity_low", np.float64),
        ("equal_high", np.float64),  # newest pool of equal highs that no wick exceeded yet
        ("equal_low", np.float64),
        ("previous_day_high", np.float64),
        ("previous_day_low", np.float64),
        ("previous_week_high", np.float64),
        ("previous_week_low", np.float64),
        ("bull_fvg_count", np.int32),  # active zones
        ("bear_fvg_count", np.int32),
        ("bull_ob_count", np.int32),
        ("bear_ob_count", np.int32),
        ("liquidity_high_count", np.int32),  # levels in the stack
        ("liquidity_low_count", np.int32),
        ("bars_since_bull_sweep_extreme", np.int32),  # 0: this bar, -1: never
        ("bars_since_bear_sweep_extreme", np.int32),
        ("bars_since_bull_sweep_swing", np.int32),
        ("bars_since_bear_sweep_swing", np.int32),
        ("event_count", np.int32),  # events known at bar t
        ("new_fvg", np.int8),  # flag of bar t: direction of a gap that it completed (IFVGs not counted)
        ("new_ob", np.int8),  # flag of bar t: direction of an order block it created or reinforced
        ("in_bull_fvg", np.int8),  # close of t inside a gap that was active BEFORE t
        ("in_bear_fvg", np.int8),
        ("near_bull_ob", np.int8),  # close of t inside a block that is active AFTER t, within 2 % of its mid
        ("near_bear_ob", np.int8),
        ("touch_bull_ob", np.int8),  # range of t meets a block that was active BEFORE t
        ("touch_bear_ob", np.int8),
        ("high_taken", np.int8),  # flag of bar t: 0 none, 1 sweep, 2 run (run wins)
        ("low_taken", np.int8),
        ("equal_levels", np.int8),  # flag of bar t: +1 equal highs, -1 equal lows, 2 both, 0 none
    ],
    align=True,
)


def _row_dtype() -> np.dtype[np.void]:
    """Return the same layout with one nested record per structure, which is how the kernels see a row."""
    structure = np.dtype(_structure_fields(""), align=True)
    names = SNAPSHOT_DTYPE.names or ()
    fields: list[Any] = []
    for name in names:
        scope, _, rest = name.partition("_")
        if scope not in ("internal", "external"):
            fields.append((name, SNAPSHOT_DTYPE[name]))
        elif scope == "internal" and rest == "swing_high":
            fields.append(("scopes", structure, (2,)))
    return np.dtype(fields, align=True)


ROW_DTYPE = _row_dtype()
