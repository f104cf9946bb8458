"""One row per closed bar of the lower timeframe: both scores, every factor, and what caused it.

Everything in a row was known at ``ts_close_ns``. Prices are NaN, numbers of bars and events -1, directions 0
where there is nothing to tell. ``docs/confluence.md`` defines each column.
"""

from typing import Any

import numpy as np

type ConfluenceTable = np.ndarray[tuple[int], np.dtype[np.void]]
"""Array of shape (n,) with dtype `CONFLUENCE_DTYPE`."""

SIDES = ("long", "short")


def _side_fields(prefix: str) -> list[tuple[str, type[np.generic]]]:
    return [
        (f"{prefix}sweep_seq", np.int64),  # bar of the sweep that counts
        (f"{prefix}sweep_id", np.int64),  # its event in the lower timeframe's structure engine
        (f"{prefix}block_seq", np.int64),  # bar at whose close the order block became known
        (f"{prefix}block_id", np.int64),  # its OB or BREAKER event
        (f"{prefix}gap_seq", np.int64),
        (f"{prefix}gap_id", np.int64),  # its FVG event
        (f"{prefix}sweep_level", np.float64),  # price of the level whose stops were taken
        (f"{prefix}sweep_tip", np.float64),  # price of the wick's end
        (f"{prefix}block_low", np.float64),
        (f"{prefix}block_high", np.float64),
        (f"{prefix}gap_low", np.float64),
        (f"{prefix}gap_high", np.float64),
        (f"{prefix}htf", np.int8),  # 2 bias aligned, 1 neutral, 0 against or unknown
        (f"{prefix}sweep", np.int8),  # flags: 1 if the factor scores
        (f"{prefix}order_block", np.int8),
        (f"{prefix}fvg", np.int8),
        (f"{prefix}rsi", np.int8),
        (f"{prefix}structure", np.int8),
        (f"{prefix}sweep_kind", np.int8),  # of the sweep: 0 swing, 1 extreme
        (f"{prefix}block_is_breaker", np.int8),
        (f"{prefix}gap_is_inverse", np.int8),
    ]


CONFLUENCE_DTYPE = np.dtype(
    [
        ("seq", np.int64),  # 0, 1, 2, ... bars of the stream
        ("ts_close_ns", np.int64),  # when the row is known, UNIX ns UTC
        ("close", np.float64),
        ("atr", np.float64),  # of the lower timeframe, price units; NaN in warm-up
        ("score_long", np.float64),  # 0..100
        ("score_short", np.float64),
        ("htf_close", np.float64),  # of the last complete higher bar, and the averages after it
        ("htf_ema_fast", np.float64),
        ("htf_ema_slow", np.float64),
        ("htf_ts_close_ns", np.int64),
        ("mtf_rsi", np.float64),  # 0..100 after the last complete middle bar, NaN in warm-up
        ("mtf_ts_close_ns", np.int64),
        *_side_fields("long_"),
        *_side_fields("short_"),
        ("structure_level", np.float64),  # price that the last break of the scoring structure passed
        ("structure_seq", np.int64),  # bar of that break, counted in its timeframe
        ("structure_ts_ns", np.int64),
        ("structure_id", np.int64),  # its event in the engine of its timeframe, -1: none was emitted
        ("missing_bars", np.int32),  # base bars missing between this one and the one before
        ("htf_missing", np.int32),  # higher bars due since the last complete one; -1 before the first
        ("mtf_missing", np.int32),
        ("structure_kind", np.int8),  # EventKind: BOS or CHOCH
        ("structure_trend", np.int8),  # +1, -1, 0 none or unknown: the one that scores
        ("ltf_trend", np.int8),
        ("mtf_trend", np.int8),
        ("htf_bias", np.int8),  # +1, 0, -1 after the last complete higher bar
        ("htf_is_known", np.int8),  # 0: warm-up, or that bar is too old
        ("mtf_is_known", np.int8),
        ("colour", np.int8),  # sign of close - open
        ("is_ready", np.int8),  # 1: ATR, bias and RSI are all known
    ],
    align=True,
)


def _nested_dtype() -> np.dtype[np.void]:
    """Return the same layout with one nested record per side, which is how the kernel sees a row.

    Equal only because a field of eight bytes follows the sides.
    """
    side = np.dtype(_side_fields(""), align=True)
    fields: list[Any] = []
    for name in CONFLUENCE_DTYPE.names or ():
        if not name.startswith(("long_", "short_")):
            fields.append((name, CONFLUENCE_DTYPE[name]))
        elif name == "long_sweep_seq":
            fields.append(("sides", side, (2,)))
    return np.dtype(fields, align=True)


ROW_DTYPE = _nested_dtype()
