"""Higher timeframes from closed bars of a base interval, at UTC boundaries, nothing filled in."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.arrow_schema import BarColumns
from runtime.intervals import interval_nanos, interval_phase_ns


@dataclass(frozen=True, slots=True, eq=False)
class DerivedBars:
    """Closed bars of a higher timeframe.

    Parameters
    ----------
    bars
        Those of which every base bar is there.
    incomplete_open_ns
        Open times, int64, of the closed bars that are left out because base bars are missing, some or all:
        of all that are expected up to the time of asking.
    """

    bars: BarColumns
    incomplete_open_ns: NDArray[np.int64]


def divides(base: str, interval: str) -> bool:
    """Tell whether bars of `interval` are made of whole, and several, bars of `base`.

    Examples
    --------
    >>> divides("5m", "1h"), divides("1h", "5m"), divides("3m", "5m"), divides("1d", "1w")
    (True, False, False, True)
    """
    step_ns, base_ns = interval_nanos(interval), interval_nanos(base)
    return base != "1w" and step_ns > base_ns and step_ns % base_ns == 0


def derive(
    base: BarColumns, base_interval: str, interval: str, as_of_ns: int, from_ns: int | None = None
) -> DerivedBars:
    """Join base bars to bars of a higher timeframe.

    Parameters
    ----------
    base
        Closed bars in order, shape (n,); n may be 0.
    base_interval, interval
        Such as ``5m`` and ``1h``; :func:`divides` holds.
    as_of_ns
        Bars that close later are still open and are left out, UNIX nanoseconds UTC.

    from_ns
        Open time of the first bar that is expected; None: that of the first base bar.

    Returns
    -------
    DerivedBars
        A bar is known at its close, which is that of its last base bar: later base bars do not change it.

    Raises
    ------
    ValueError
        When the higher interval is not made of whole base intervals.
    """
    if not divides(base_interval, interval):
        raise ValueError(f"bars of {interval} are not made of whole bars of {base_interval}")
    step_ns, phase_ns = interval_nanos(interval), interval_phase_ns(interval)
    number = (base.ts_open_ns - phase_ns) // step_ns
    starts = np.flatnonzero(np.r_[True, np.diff(number) != 0]) if len(base) else np.empty(0, dtype=np.int64)
    ends = np.r_[starts[1:], len(base)].astype(np.int64) if len(base) else starts
    opens = number[starts] * step_ns + phase_ns
    is_closed = opens + step_ns <= as_of_ns
    is_complete = ends - starts == step_ns // interval_nanos(base_interval)
    if len(base):
        high = np.maximum.reduceat(base.high_ticks, starts)
        low = np.minimum.reduceat(base.low_ticks, starts)
        volume = np.add.reduceat(base.volume_lots, starts)
    else:
        high = low = volume = starts
    joined = BarColumns(
        ts_open_ns=opens,
        ts_close_ns=opens + step_ns,
        open_ticks=base.open_ticks[starts],
        high_ticks=high,
        low_ticks=low,
        close_ticks=base.close_ticks[ends - 1],
        volume_lots=volume,
    )
    whole = joined[is_closed & is_complete]
    # Up to the time of asking, not up to the next bar: whether one follows is not known then.
    if from_ns is None:
        from_ns = int(opens[0]) if len(opens) else as_of_ns
    expected = np.arange(from_ns, as_of_ns - step_ns + 1, step_ns, dtype=np.int64)
    return DerivedBars(whole, np.setdiff1d(expected, whole.ts_open_ns, assume_unique=True))
