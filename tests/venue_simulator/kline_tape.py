"""Trades made from klines, so that a tape of klines can fill orders: four for each bar.

They are the open, the nearer extreme, the other extreme and the close, at quarters of the bar, and they give
the bar back exactly: same prices, same volume. A rising bar visits its low first, a falling one its high.
A bar with a volume below four lots is left out: the venue's flat bar stands for it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.venue_simulator.tape import Series, increment_of, make_series, whole_steps

PARTS: Final = 4


def trades_of_klines(symbol: str, columns: Mapping[str, NDArray[Any]]) -> Series:
    """Return the trades of bars.

    Parameters
    ----------
    symbol
        Such as BTCUSDT.
    columns
        `ts_open_ns`, `open`, `high`, `low`, `close`, `volume`, each of shape (n,), oldest first, all of one
        interval (the shortest step between two of them).
    """
    prices = np.stack([columns[name] for name in ("open", "high", "low", "close")])
    tick, lot = increment_of(prices.ravel()), increment_of(columns["volume"])
    open_, high, low, close = (whole_steps(row, tick) for row in prices)
    lots = whole_steps(columns["volume"], lot)
    step_ns = int(np.min(np.diff(columns["ts_open_ns"])))
    is_up = close >= open_
    path = np.stack([open_, np.where(is_up, low, high), np.where(is_up, high, low), close], axis=1)
    sizes = np.repeat((lots // PARTS)[:, None], PARTS, axis=1)
    sizes[:, -1] += lots % PARTS
    quarters = np.arange(PARTS) * (step_ns // PARTS)
    quarters[-1] = step_ns - 1_000_000  # the close is the last millisecond's
    times = columns["ts_open_ns"][:, None] + quarters[None, :]
    # The aggressor buys where the price has risen; the first trade goes the bar's way.
    rises = np.concatenate([is_up[:, None], np.diff(path, axis=1) > 0], axis=1)
    kept = lots >= PARTS
    rows = (times[kept].ravel(), path[kept].ravel(), sizes[kept].ravel(), rises[kept].ravel(), np.empty(0))
    return replace(make_series(symbol, tick, lot, rows, has_ids=False), interval_ns=step_ns)
