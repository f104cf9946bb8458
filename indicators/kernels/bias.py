"""Bias of a higher time frame: close above a fast above a slow exponential average, or below both."""

from typing import Any

import numpy as np

from indicators.kernels.average import ema_step
from indicators.kernels.jit import kernel

BIAS_DTYPE = np.dtype(
    [
        ("fast_length", np.int64),
        ("slow_length", np.int64),
        ("warm_up", np.int64),  # closes before the bias is told
        ("count", np.int64),
        ("fast", np.float64),
        ("slow", np.float64),
    ]
)


@kernel
def step(states: Any, close: float) -> int:
    """Advance the bias by the close of one completed higher bar.

    Parameters
    ----------
    states
        `BIAS_DTYPE` of shape (1,), written.
    close
        Scalar price.

    Returns
    -------
    int
        +1 if close > fast EMA > slow EMA, -1 mirrored, 0 otherwise or before `warm_up` closes.

    References
    ----------
    ``docs/structure.md``, "Bias of a higher time frame".
    """
    state = states[0]
    state.fast = ema_step(state.fast, close, state.fast_length)
    state.slow = ema_step(state.slow, close, state.slow_length)
    state.count += 1
    if state.count < state.warm_up:
        return 0
    if close > state.fast > state.slow:
        return 1
    return -1 if close < state.fast < state.slow else 0


@kernel
def scan(states: Any, close: Any, out: Any) -> None:
    """Loop `step` over closes.

    Parameters
    ----------
    states
        `BIAS_DTYPE` of shape (1,), written.
    close
        Prices, shape (n,).
    out
        int64 of shape (n,), written: the bias after each close, -1, 0 or +1.

    References
    ----------
    `step`.
    """
    for i in range(len(close)):
        out[i] = step(states, close[i])
