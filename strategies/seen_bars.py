"""What a coin's bars have made of its score: the engine and the windows, apart from its trades."""

from collections import deque

from indicators.confluence.config import ConfluenceConfig as ScoreConfig
from indicators.confluence.engine import ConfluenceEngine
from strategies.close_bars import CoinBar, Levels, scored_bar


class SeenBars:
    """Scores the closed bars of one coin in order.

    Parameters
    ----------
    score
        Parameters of the score.
    bar_ns
        Length of a bar.
    decimals
        Of prices and of sizes.
    turnover_bars
        Turnovers that are kept, 0 for none.
    volume_bars
        Volumes that are kept.
    """

    def __init__(
        self,
        score: ScoreConfig,
        *,
        bar_ns: int,
        decimals: tuple[int, int],
        turnover_bars: int,
        volume_bars: int,
    ) -> None:
        self.engine = ConfluenceEngine(score)
        self.turnover: deque[float] = deque(maxlen=turnover_bars)
        self.volumes: deque[float] = deque(maxlen=volume_bars)
        self.last: CoinBar | None = None
        self.count = 0
        self._bar_ns = bar_ns
        self._price_decimals, self._size_decimals = decimals

    def take(self, levels: Levels) -> CoinBar:
        """Score a closed bar given as numbers.

        Raises
        ------
        ValueError
            When it is not the next closed bar; nothing has changed then.
        """
        close_ns, *prices, volume = levels
        # A Nautilus price is a fraction of 10**16; this is the float nearest to its decimals.
        open_, high, low, close = (round(one, self._price_decimals) for one in prices)
        volume = round(volume, self._size_decimals)
        row = self.engine.update(close_ns - self._bar_ns, close_ns, open_, high, low, close, volume)
        self.turnover.append(volume * close)
        self.volumes.append(volume)
        self.count += 1
        self.last = scored_bar((close_ns, open_, high, low, close, volume), row)
        return self.last

    def perceived(self) -> bytes:
        """Return scores' state and windows as bytes; equal bars give equal bytes."""
        windows = repr((self.count - 1, list(self.volumes), list(self.turnover)))
        return self.engine.to_bytes() + windows.encode()


__all__ = ["SeenBars"]
