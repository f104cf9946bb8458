"""Copy this file to write a strategy: follow three closes in a row in the same direction."""

from itertools import pairwise

from indicators.average import AverageTrueRange
from strategies.bar_signal import Candle, atr_signal
from strategies.bar_strategy import BarStrategy, BarStrategyConfig
from strategies.config_checks import check_ranges
from strategies.registry import StrategySpec
from strategies.signal import Signal

SPEC = StrategySpec(
    name="example",
    version="1",
    summary="Follow a row of closes in one direction; made to be copied, not to earn",
    strategy_path="strategies.example:ExampleStrategy",
    config_path="strategies.example:ExampleConfig",
)


class ExampleConfig(BarStrategyConfig, frozen=True, kw_only=True):
    """Settings of `ExampleStrategy`, besides those of `BarStrategyConfig`.

    Parameters
    ----------
    closes
        Length of the row, bars.
    stop_atr, target_atr
        Distances of stop and target from the entry, multiples of the average true range of 14 bars.
    """

    closes: int = 3
    stop_atr: float = 1.5
    target_atr: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, {"closes": (1, 1000), "stop_atr": (0.01, 100), "target_atr": (0.01, 100)})


class ExampleStrategy(BarStrategy):
    """See the module."""

    def __init__(self, config: ExampleConfig) -> None:
        super().__init__(config, "EXA")
        self.atr = AverageTrueRange(14)
        self.closes: list[float] = []

    def signal_at(self, candle: Candle) -> Signal | None:
        """Return a signal when the last closes all rose, or all fell."""
        config = self.config
        atr = self.atr.update(candle.high, candle.low, candle.close)  # NaN for the first bars: no signal
        self.closes = [*self.closes, candle.close][-config.closes - 1 :]
        signs = {(after > before) - (after < before) for before, after in pairwise(self.closes)}
        if len(self.closes) <= config.closes or signs not in ({1}, {-1}):
            return None
        return atr_signal(candle, signs.pop(), atr, stop_atr=config.stop_atr, target_atr=config.target_atr,
                          tick_size=self.market.tick_size, confidence=0.5)  # fmt: skip
