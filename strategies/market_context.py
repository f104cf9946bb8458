"""What the market as a whole did, as every signal of every coin is told: one coin stands for it."""

import itertools
import math
from collections import deque
from typing import Final, Protocol

from strategies.portfolio import ReturnHistory

HOUR_SECS = 3600
HOURS = (1, 4)
BITCOIN: Final = ("BTCUSD", "XBTUSD")  # how ids of what stands for the market begin
# A price older than this says nothing of the market now.
MAX_AGE_NS: Final = 600 * 1_000_000_000


class Closing(Protocol):
    """A closed bar."""

    close: float
    bias: int


class MarketContext:
    """Moves of one coin, usually Bitcoin, over the last hours.

    Parameters
    ----------
    name
        Nautilus id of that coin; empty for no context.
    bar_secs
        Length of a bar, seconds.
    """

    def __init__(self, name: str, bar_secs: int) -> None:
        self.name = name
        self._bias = 0
        self._bar_secs, self._now_ns = bar_secs, 0
        self._bars = {hours: max(1, hours * HOUR_SECS // bar_secs) for hours in HOURS}
        self._closes: deque[tuple[int, float]] = deque(maxlen=max(self._bars.values()) + 1)
        self._bar_ns = bar_secs * 1_000_000_000

    def push(self, close_ns: int, bar: Closing | None) -> None:
        """Take the coin's bar of a close time (UNIX nanoseconds), None where it is missing."""
        self._now_ns = close_ns
        if bar is not None:
            self._closes.append((close_ns, bar.close))
            self._bias = bar.bias

    def perceived(self) -> bytes:
        """Return what is remembered as bytes."""
        return repr((self._now_ns, self._bias, list(self._closes))).encode()

    def change_pct(self, hours: int) -> float | None:
        """Return the change of the last hours in percent, None where bars are missing."""
        closes = self._last(hours)
        return (closes[-1] / closes[0] - 1) * 100 if closes else None

    def price(self) -> float | None:
        """Return the last close, None where it is older than ten minutes and a bar."""
        if not self._closes or self._now_ns - self._closes[-1][0] > max(MAX_AGE_NS, self._bar_ns):
            return None
        return self._closes[-1][1]

    def volatility_pct(self) -> float | None:
        """Return the root of the sum of squared log returns of the last hour's bars, percent."""
        returns = (math.log(later / earlier) for earlier, later in itertools.pairwise(self._last(1)))
        squares = [step * step for step in returns]
        return math.sqrt(sum(squares)) * 100 if squares else None

    def _last(self, hours: int) -> list[float]:
        """Return the closes from so many hours ago to the newest, none where any or the time is missing."""
        back = self._bars[hours]
        if self.price() is None or len(self._closes) <= back or self._bar_secs > hours * HOUR_SECS:
            return []
        closes = list(self._closes)[-1 - back :]
        is_whole = closes[-1][0] - closes[0][0] == back * self._bar_ns
        return [close for _close_ns, close in closes] if is_whole else []

    def metadata(self, returns: ReturnHistory, name: str) -> dict[str, str | float | int]:
        """Return what a signal of a coin is put on record with; unknown figures are left out."""
        if not self.name:
            return {}
        found: dict[str, str | float | int] = {"context_id": self.name, "context_bias": self._bias}
        figures = {
            "context_price": self.price(),
            "context_volatility_1h_pct": self.volatility_pct(),
            **{f"context_change_{hours}h_pct": self.change_pct(hours) for hours in HOURS},
        }
        found |= {figure: value for figure, value in figures.items() if value is not None}
        correlation = returns.correlation(self.name, name)
        if correlation == correlation:
            found["context_correlation"] = correlation
        return found
