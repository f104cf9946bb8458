"""Fair value gap (FVG): the price range that three consecutive bars left untraded.

Bullish when the low of bar t is above the high of bar t-2. Known at the close of bar t and not earlier.
Its later life is `zone.live`.
"""

from typing import Any

import numpy as np

from indicators.kernels import event as ev
from indicators.kernels import zone
from indicators.kernels.bar import MASK
from indicators.kernels.jit import inline_kernel

MIDDLE_ANY, MIDDLE_COLOUR, MIDDLE_CLOSE_BEYOND = range(3)


@inline_kernel
def step(state: Any, events: Any) -> int:
    """Find the gap that the current bar completes with the two before it.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); the ring of bars and the ATR are read, the
        stack of gaps is written; prices.
    events
        The event buffer's record (``event.buffer_dtype``), shape (); rows are appended.

    Returns
    -------
    int
        +1 bullish, -1 bearish, 0 none; known at the close of the current bar, origin the bar before.

    References
    ----------
    ``docs/structure.md``, "Fair value gaps".
    """
    bar, settings = state.bar, state.settings
    if bar.seq < 2:
        return 0
    first, middle = (bar.seq - 2) & MASK, (bar.seq - 1) & MASK
    if bar.low > bar.highs[first]:
        sign, near, far = 1, bar.low, bar.highs[first]
    elif bar.high < bar.lows[first]:
        sign, near, far = -1, -bar.high, -bar.lows[first]
    else:
        return 0

    height = near - far
    if height < settings.fvg_min_ratio * abs(bar.close):
        return 0
    if settings.fvg_min_atr > 0.0 and not height >= settings.fvg_min_atr * bar.atr:
        return 0  # also when the ATR is not defined yet
    body = sign * (bar.closes[middle] - bar.opens[middle])
    if settings.fvg_middle == MIDDLE_COLOUR and not body > 0.0:
        return 0
    if settings.fvg_middle == MIDDLE_CLOSE_BEYOND and not sign * bar.closes[middle] > far:
        return 0

    stack = state.gaps[0 if sign == 1 else 1]
    zone.make_room(state, events, stack)
    event_id = ev.emit(
        state,
        events,
        ev.FVG,
        sign,
        ev.SCOPE_NONE,
        bar.seq - 1,
        bar.times[middle],
        min(sign * near, sign * far),
        max(sign * near, sign * far),
        0.5 * (near + far) * sign,
        ev.NO_REF,
        height / bar.atr,
        np.nan,
        ev.NO_FLAG,
    )
    zone.insert(state, stack, near, far, event_id, bar.seq - 1, bar.times[middle], 0)
    return sign
