"""Moving averages: simple, Wilder's, exponential; true range and relative strength on top of them.

Every kernel takes one closed bar and its own state record, and tells the value known at that close.

References
----------
Wilder (1978), "New Concepts in Technical Trading Systems": ATR, RSI and his smoothing, 1 / length.
"""

from typing import Any

import numpy as np

from indicators.kernels.bar import MASK, RING
from indicators.kernels.jit import inline_kernel, kernel

# `total` runs over `ring`; `wilder` continues from the first full mean.
MEAN_DTYPE = np.dtype(
    [
        ("length", np.int64),
        ("count", np.int64),
        ("position", np.int64),
        ("total", np.float64),
        ("wilder", np.float64),
        ("ring", np.float64, (RING,)),
    ]
)
# `gain` and `loss` are sums until `count` reaches `length`, averages afterwards.
STRENGTH_DTYPE = np.dtype(
    [
        ("length", np.int64),
        ("count", np.int64),
        ("close", np.float64),
        ("gain", np.float64),
        ("loss", np.float64),
    ]
)


@inline_kernel
def mean_step(mean: Any, x: float) -> float:
    """Return the mean of the last `length` values, NaN before that many were seen.

    The running sum is added up afresh each time the ring is full, so that rounding does not accumulate.

    Parameters
    ----------
    mean
        Record `MEAN_DTYPE`, shape (): `length`, the ring of the last values, their running sum.
    x
        The next value, any unit.

    Returns
    -------
    float
        The mean, in the unit of x.

    References
    ----------
    ``docs/structure.md``, "Averages".
    """
    length = mean.length
    position = mean.position
    if mean.count >= length:
        mean.total = mean.total + x - mean.ring[position]
    else:
        mean.total += x
        mean.count += 1
    mean.ring[position] = x

    position += 1
    if position == length:
        position = 0
        total = 0.0
        for i in range(length):
            total += mean.ring[i]
        mean.total = total
    mean.position = position
    return mean.total / length if mean.count >= length else np.nan


@inline_kernel
def wilder_step(mean: Any, x: float) -> float:
    """Return Wilder's average: the plain mean of the first `length` values, then avg + (x - avg) / length.

    Parameters
    ----------
    mean
        Record `MEAN_DTYPE`, shape (); its ring is used until it is full.
    x
        The next value, any unit.

    Returns
    -------
    float
        The average, in the unit of x; NaN before `length` values.

    References
    ----------
    Wilder (1978), "New Concepts in Technical Trading Systems".
    """
    if mean.count < mean.length:
        mean.wilder = mean_step(mean, x)
    else:
        mean.wilder += (x - mean.wilder) / mean.length
    return float(mean.wilder)


@inline_kernel
def true_range(high: float, low: float, previous_close: float) -> float:
    """Return the true range of one bar.

    Parameters
    ----------
    high, low, previous_close
        Scalar prices; `previous_close` is NaN on the first bar.

    Returns
    -------
    float
        The largest of high - low and the distances of both from the close before, >= 0, a price
        difference; high - low on the first bar.

    References
    ----------
    Wilder (1978), "New Concepts in Technical Trading Systems".
    """
    if np.isnan(previous_close):
        return high - low
    return max(high - low, abs(high - previous_close), abs(low - previous_close))


@inline_kernel
def ema_step(ema: float, x: float, length: int) -> float:
    """Return the exponential average after x: recursive, seeded with the first value.

    Parameters
    ----------
    ema
        Scalar average before x, NaN for none.
    x
        The next value, any unit.
    length
        Bars, >= 1; the weight of x is 2 / (length + 1).

    Returns
    -------
    float
        The average, in the unit of x, defined from the first value on.

    References
    ----------
    ``docs/structure.md``, "Averages"; pandas' ``ewm(adjust=False)``.
    """
    if np.isnan(ema):
        return x
    return ema + (x - ema) * 2.0 / (length + 1)


@inline_kernel
def strength_step(strength: Any, close: float) -> float:
    """Return Wilder's relative strength index after one close.

    Parameters
    ----------
    strength
        Record `STRENGTH_DTYPE`, shape (): average gain and loss, price differences.
    close
        Scalar price.

    Returns
    -------
    float
        100 gain / (gain + loss), 0..100; NaN before `length` changes of close, 50 when nothing moved.

    References
    ----------
    Wilder (1978), "New Concepts in Technical Trading Systems".
    """
    change = close - strength.close
    strength.close = close
    if np.isnan(change):
        return np.nan

    length = strength.length
    gain = max(change, 0.0)
    loss = max(-change, 0.0)
    if strength.count < length:
        strength.gain += gain
        strength.loss += loss
        strength.count += 1
        if strength.count < length:
            return np.nan
        strength.gain /= length
        strength.loss /= length
    else:
        strength.gain += (gain - strength.gain) / length
        strength.loss += (loss - strength.loss) / length

    total = strength.gain + strength.loss
    return 100.0 * strength.gain / total if total > 0.0 else 50.0


# What the engine keeps of all averages; the last four are the values of the current bar.
AVERAGES_DTYPE = np.dtype(
    [
        ("range_mean", MEAN_DTYPE),
        ("slow_range_mean", MEAN_DTYPE),
        ("strength", STRENGTH_DTYPE),
        ("atr_slow", np.float64),
        ("ema_fast", np.float64),
        ("ema_slow", np.float64),
        ("rsi", np.float64),
    ]
)


@inline_kernel
def step(state: Any) -> None:
    """Advance ATR, slow ATR, both EMAs and the RSI of the engine by the current bar.

    ATRs are at least one tick, NaN while they are not defined.

    Parameters
    ----------
    state
        The engine's record (``engine.state_dtype``), shape (); `bar` is read, `bar.atr`, `bar.impulse_atr`
        and `averages` are written: prices, RSI 0..100.

    References
    ----------
    ``docs/structure.md``, "Averages".
    Wilder (1978), "New Concepts in Technical Trading Systems".
    """
    bar, averages, settings = state.bar, state.averages, state.settings
    previous_close = bar.closes[(bar.seq - 1) & MASK] if bar.seq > 0 else np.nan
    span = true_range(bar.high, bar.low, previous_close)
    atr_before = bar.atr
    if settings.atr_kind == 0:
        atr = mean_step(averages.range_mean, span)
    else:
        atr = wilder_step(averages.range_mean, span)
    slow = mean_step(averages.slow_range_mean, span)

    # max() may hide the NaN of the warm-up, depending on the order of its arguments.
    bar.atr = settings.tick_size if atr < settings.tick_size else atr  # noqa: FURB136
    bar.impulse_atr = bar.atr if settings.atr_lag == 0 else atr_before
    averages.atr_slow = settings.tick_size if slow < settings.tick_size else slow  # noqa: FURB136
    averages.ema_fast = ema_step(averages.ema_fast, bar.close, settings.ema_fast_length)
    averages.ema_slow = ema_step(averages.ema_slow, bar.close, settings.ema_slow_length)
    averages.rsi = strength_step(averages.strength, bar.close)


# Averages on their own, outside the engine: one record, which `average.py` of the objects keeps.
LONE_DTYPE = np.dtype(
    [
        ("kind", np.int64),  # of the true range: 0 plain mean, 1 Wilder's
        ("length", np.int64),  # of the exponential average
        ("close", np.float64),
        ("ema", np.float64),
        ("mean", MEAN_DTYPE),
        ("strength", STRENGTH_DTYPE),
    ]
)


@kernel
def atr_step(states: Any, high: float, low: float, close: float) -> float:
    """Advance a lone average true range by one closed bar.

    Parameters
    ----------
    states
        `LONE_DTYPE` of shape (1,), written.
    high, low, close
        Scalar prices.

    Returns
    -------
    float
        The ATR after the bar, a price difference without a floor; NaN before `length` bars.

    References
    ----------
    Wilder (1978), "New Concepts in Technical Trading Systems".
    """
    state = states[0]
    span = true_range(high, low, state.close)
    state.close = close
    return mean_step(state.mean, span) if state.kind == 0 else wilder_step(state.mean, span)


@kernel
def lone_ema_step(states: Any, close: float) -> float:
    """Advance a lone exponential average by one close.

    Parameters
    ----------
    states
        `LONE_DTYPE` of shape (1,), written.
    close
        Scalar price.

    Returns
    -------
    float
        The average after the close, a price.

    References
    ----------
    `ema_step`.
    """
    state = states[0]
    state.ema = ema_step(state.ema, close, state.length)
    return float(state.ema)


@kernel
def rsi_step(states: Any, close: float) -> float:
    """Advance a lone relative strength index by one close.

    Parameters
    ----------
    states
        `LONE_DTYPE` of shape (1,), written.
    close
        Scalar price.

    Returns
    -------
    float
        The RSI after the close, 0..100; NaN before `length` changes.

    References
    ----------
    `strength_step`.
    """
    return strength_step(states[0].strength, close)
