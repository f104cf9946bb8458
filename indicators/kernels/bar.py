"""The current bar and the ring of the last 256, shared by all detectors of the engine."""

from typing import Any

import numpy as np

from indicators.kernels.jit import inline_kernel, kernel

RING = 256  # a power of two: position = seq & MASK
MASK = RING - 1

# The first eight fields are the input of one step, in this order and without gaps: the streaming path
# fills them with one struct.pack_into.
BAR_DTYPE = np.dtype(
    [
        ("ts_open", np.int64),
        ("ts_close", np.int64),
        ("open", np.float64),
        ("high", np.float64),
        ("low", np.float64),
        ("close", np.float64),
        ("volume", np.float64),
        ("buy_volume", np.float64),
        ("seq", np.int64),  # -1 before the first bar
        ("atr", np.float64),  # of this bar, NaN in warm-up
        ("impulse_atr", np.float64),  # of the bar `atr_lag` before it
        ("opens", np.float64, (RING,)),
        ("highs", np.float64, (RING,)),
        ("lows", np.float64, (RING,)),
        ("closes", np.float64, (RING,)),
        ("volumes", np.float64, (RING,)),
        ("buy_volumes", np.float64, (RING,)),
        ("times", np.int64, (RING,)),  # ts_close
        ("swings", np.int64, (RING,)),  # internal swings: bit 1 a high, bit 2 a low
    ]
)


@inline_kernel
def advance(bar: Any) -> None:
    """Give the bar in the input fields its number and store it in the ring.

    Parameters
    ----------
    bar
        Record of the current bar (UNIX ns, prices, base volumes) and the ring of the last `RING`, shape ().

    References
    ----------
    ``docs/structure.md``, "Bars".
    """
    bar.seq += 1
    i = bar.seq & MASK
    bar.opens[i] = bar.open
    bar.highs[i] = bar.high
    bar.lows[i] = bar.low
    bar.closes[i] = bar.close
    bar.volumes[i] = bar.volume
    bar.buy_volumes[i] = bar.buy_volume
    bar.times[i] = bar.ts_close


@kernel
def first_bad_row(
    last_ts_close: int,
    ts_open: Any,
    ts_close: Any,
    open_: Any,
    high: Any,
    low: Any,
    close: Any,
    volume: Any,
    buy_volume: Any,
) -> int:
    """Return the index of the first row that is not a legal bar, -1 if all are.

    Parameters
    ----------
    last_ts_close
        Close time of the bar before row 0, UNIX ns.
    ts_open, ts_close, open_, high, low, close, volume, buy_volume
        Columns, shape (n,): UNIX ns, prices and base volumes; ``buy_volume`` may hold NaN.

    Returns
    -------
    int
        Row number from 0, or -1.

    References
    ----------
    ``docs/structure.md``, "Bars".
    """
    before = last_ts_close
    for i in range(len(close)):
        # Written so that NaN fails: every comparison with it is false.
        is_priced = -np.inf < low[i] <= open_[i] <= high[i] < np.inf and low[i] <= close[i] <= high[i]
        is_sized = 0.0 <= volume[i] < np.inf and (np.isnan(buy_volume[i]) or 0.0 <= buy_volume[i] < np.inf)
        is_timed = before <= ts_close[i] and ts_open[i] <= ts_close[i]
        if not (is_priced and is_sized and is_timed):
            return i
        before = ts_close[i]
    return -1
