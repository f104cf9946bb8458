"""Trades made from klines, so that a tape of klines can fill orders: four for each bar, or more.

They are the open, the nearer extreme, the other extreme and the close, evenly spaced, with steps on straight
lines between them where more are wanted, and they give the bar back exactly: same prices, same volume. A
rising bar visits its low first, a falling one its high. A bar with fewer lots than trades is left out: the
venue's flat bar stands for it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.venue_simulator.tape import Series, increment_of, make_series, whole_steps

CORNERS: Final = 4


def trades_of_klines(
    symbol: str, columns: Mapping[str, NDArray[Any]], prints: int = CORNERS, dense_from_ns: int = 0
) -> Series:
    """Return the trades of bars.

    Parameters
    ----------
    symbol
        Such as BTCUSDT.
    columns
        `ts_open_ns`, `open`, `high`, `low`, `close`, `volume`, each of shape (n,), oldest first, all of one
        interval (the shortest step between two of them).
    prints
        Trades of a bar that opens at `dense_from_ns` or later: 4, 7, 10, ...; earlier ones have 4.
    dense_from_ns
        UNIX nanoseconds.
    """
    if prints < CORNERS or (prints - 1) % (CORNERS - 1):
        raise ValueError(f"prints ({prints}) must be 4, 7, 10, ...: the same number between all corners")
    prices = np.stack([columns[name] for name in ("open", "high", "low", "close")])
    tick, lot = increment_of(prices.ravel()), increment_of(columns["volume"])
    open_, high, low, close = (whole_steps(row, tick) for row in prices)
    lots = whole_steps(columns["volume"], lot)
    opens_ns = columns["ts_open_ns"]
    step_ns = int(np.min(np.diff(opens_ns)))
    is_up = close >= open_
    corners = np.stack([open_, np.where(is_up, low, high), np.where(is_up, high, low), close], axis=1)
    cut = int(np.searchsorted(opens_ns, dense_from_ns))
    parts = [
        _trades_of_bars(opens_ns[rows], corners[rows], lots[rows], step_ns, count)
        for rows, count in ((slice(0, cut), CORNERS), (slice(cut, None), prints))
    ]
    joined = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    return replace(make_series(symbol, tick, lot, (*joined, np.empty(0)), has_ids=False), interval_ns=step_ns)


def _trades_of_bars(
    opens_ns: NDArray[np.int64],
    corners: NDArray[np.int64],
    lots: NDArray[np.int64],
    step_ns: int,
    count: int,
) -> tuple[NDArray[Any], ...]:
    """Return times, ticks, lots and sides of so many trades per bar, each of shape (kept bars x count,)."""
    between = (count - 1) // (CORNERS - 1)
    at = np.arange(count)
    leg = np.minimum(at // between, CORNERS - 2)
    share = (at - leg * between) / between
    path = np.round(corners[:, leg] + (corners[:, leg + 1] - corners[:, leg]) * share).astype(np.int64)
    sizes = np.repeat((lots // count)[:, None], count, axis=1)
    sizes[:, -1] += lots % count
    offsets = at * (step_ns // count)
    offsets[-1] = step_ns - 1_000_000  # the close is the last millisecond's
    times = opens_ns[:, None] + offsets[None, :]
    # The aggressor buys where the price has risen; the first trade goes the bar's way.
    is_up = corners[:, -1:] >= corners[:, :1]
    rises = np.concatenate([is_up, np.diff(path, axis=1) > 0], axis=1)
    kept = lots >= count
    return times[kept].ravel(), path[kept].ravel(), sizes[kept].ravel(), rises[kept].ravel()
