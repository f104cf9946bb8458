"""What the market as a whole did, as every signal of every coin is told: one coin stands for it."""

from collections import deque
from typing import Protocol

from strategies.portfolio import ReturnHistory

HOUR_SECS = 3600
HOURS = (1, 4)


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
        self._bars = {hours: max(1, hours * HOUR_SECS // bar_secs) for hours in HOURS}
        self._closes: deque[tuple[int, float]] = deque(maxlen=max(self._bars.values()) + 1)
        self._bar_ns = bar_secs * 1_000_000_000

    def push(self, close_ns: int, bar: Closing | None) -> None:
        """Take the coin's bar of a close time (UNIX nanoseconds), None where it is missing."""
        if bar is not None:
            self._closes.append((close_ns, bar.close))
            self._bias = bar.bias

    def change_pct(self, hours: int) -> float | None:
        """Return the change of the last hours in percent, None where bars are missing."""
        back = self._bars[hours]
        if len(self._closes) <= back:
            return None
        (first_ns, first), (last_ns, last) = self._closes[-1 - back], self._closes[-1]
        return (last / first - 1) * 100 if last_ns - first_ns == back * self._bar_ns else None

    def metadata(self, returns: ReturnHistory, name: str) -> dict[str, float | int]:
        """Return what a signal of a coin is put on record with; unknown figures are left out."""
        if not self.name:
            return {}
        found: dict[str, float | int] = {"context_bias": self._bias}
        for hours in HOURS:
            change = self.change_pct(hours)
            if change is not None:
                found[f"context_change_{hours}h_pct"] = change
        correlation = returns.correlation(self.name, name)
        if correlation == correlation:
            found["context_correlation"] = correlation
        return found
