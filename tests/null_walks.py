"""Playing trades on a fair random walk: whoever enters at a known price wins as often as chance has it."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tests.bars import WALK_STEPS

LIMIT = 3.0  # standard errors


class Market(Protocol):
    """Whatever has a walk."""

    @property
    def path(self) -> NDArray[np.int64]:
        """Price in ticks before and after each move."""


class Trade(NamedTuple):
    """An entry, at a moment of the path, with its two exits in ticks."""

    moment: int
    stop: int
    target: int


class Tally(NamedTuple):
    """What a signal's trades came to."""

    count: int
    wins: int
    expected: float
    z: float


def first_passage(path: NDArray[np.int64], start: int, low: int, high: int, end: int | None = None) -> int:
    """Return the first moment from ``start`` on at which the path is at or beyond a bound, -1 for none."""
    end = len(path) if end is None else end
    size = 64
    while start < end:
        part = path[start : min(start + size, end)]
        hits = np.flatnonzero((part <= low) | (part >= high))
        if len(hits):
            return start + int(hits[0])
        start, size = start + size, 2 * size
    return -1


def tally(trades_by_market: Iterable[tuple[Market, Iterable[Trade]]]) -> Tally:
    """Play trades one at a time (the next only after the last has ended, so that they are independent)."""
    count, wins, expected, variance = 0, 0, 0.0, 0.0
    for market, trades in trades_by_market:
        free_from = 0
        for trade in sorted(trades):
            price = int(market.path[trade.moment])
            low, high = sorted((trade.stop, trade.target))
            if trade.moment < free_from or not low < price < high:
                continue
            exit_at = first_passage(market.path, trade.moment, low, high)
            if exit_at < 0:
                continue
            free_from = exit_at
            chance = (price - trade.stop) / (trade.target - trade.stop)
            count += 1
            wins += int(market.path[exit_at]) == trade.target
            expected += chance
            variance += chance * (1 - chance)
    return Tally(count, wins, expected, (wins - expected) / variance**0.5 if count else 0.0)


def close_of(seq: int) -> int:
    """Return the moment at which a bar closes."""
    return (seq + 1) * WALK_STEPS
