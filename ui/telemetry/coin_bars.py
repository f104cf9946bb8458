"""The klines of many coins as their strategy scores them: each is told once, those of before too."""

from collections import deque
from functools import partial
from typing import Any, Final

from ui.protocol import Bar
from ui.telemetry import views
from ui.telemetry.sources import Sink

NANOS: Final = 1_000_000_000
# Of before the start, of each coin: a day of five minutes and a little more.
KEPT: Final = 300
# In one look, because their factors are put together then: 100 coins have 30,000 of before the start.
AT_ONCE: Final = 100
# A coin that takes bars older than so many of its bars still reads those of before.
PAST_BARS: Final = 3


class CoinBars:
    """Hears each bar that a coin takes, and tells it at one of the next looks.

    A strategy shows the last bar of a coin alone. Who looks at that now and then sees one in twenty of those
    that a warm-up reads, and takes them for neighbours.

    Parameters
    ----------
    sink
        Where messages go.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._coins: dict[str, _Coin] = {}

    def watch(self, strategy: Any) -> None:
        """Hear the bars of a strategy on many coins from now on; other strategies have none."""
        coins = getattr(strategy, "coins", None)
        if not isinstance(coins, dict):
            return
        for name, desk in coins.items():
            if name not in self._coins:
                self._coins[name] = coin = _Coin(name, desk, strategy.config.ltf_secs)
                desk.take_levels = partial(coin.take, desk.take_levels)

    def tell(self, now_ns: int) -> None:
        """Tell what waits, a part of it at a time; what a warm-up reads waits for its end."""
        left = AT_ONCE
        for coin in self._coins.values():
            while left and coin.waiting and not coin.is_behind(now_ns):
                self._sink.publish("bar", coin.next(), now_ns)
                left -= 1


class _Coin:
    """The bars of a coin that are not told yet, oldest first."""

    def __init__(self, name: str, desk: Any, secs: int) -> None:
        self.waiting: deque[Any] = deque(maxlen=KEPT)
        self._name, self._desk, self._secs = name, desk, secs

    def take(self, take_levels: Any, levels: Any) -> Any:
        """Let the coin take a bar, and keep what came of it."""
        bar = take_levels(levels)
        if self.waiting and self._is_long(bar.close_ns - self.waiting[-1].close_ns):
            self.waiting.clear()  # a warm-up that ended early: they would look like neighbours
        self.waiting.append(bar)
        return bar

    def is_behind(self, now_ns: int) -> bool:
        """Tell whether newer bars are about to come: its entries are held, its last bar is of long ago."""
        return self._is_long(now_ns - self.waiting[-1].close_ns) and bool(getattr(self._desk, "holds", ()))

    def _is_long(self, ns: int) -> bool:
        return ns > PAST_BARS * self._secs * NANOS

    def next(self) -> Bar:
        """Return the oldest, which waits no more."""
        return views.bar_view(self._name, self._secs, self.waiting.popleft(), self._desk.score)


__all__ = ["CoinBars"]
