"""Breakout of the recent range: a close beyond the extremes of the last bars, stop and target from the ATR.

The entry goes to market at the close that broke the range, so it fills with the venue's latency after it.
"""

from typing import Final

from strategies.bar_signal import Candle, atr_signal
from strategies.bar_strategy import BarStrategy, BarStrategyConfig
from strategies.breakout_rules import BreakoutRules, BreakoutWatch
from strategies.config_checks import Ranges, check_ranges
from strategies.registry import StrategySpec
from strategies.signal import Signal

SPEC: Final = StrategySpec(
    name="breakout",
    version="1",
    summary="Market entry at a close beyond the recent range, stop and target in ATRs",
    strategy_path="strategies.breakout:BreakoutStrategy",
    config_path="strategies.breakout:BreakoutConfig",
)
TAG: Final = "BRK"


_RANGES: Final[Ranges] = {
    "range_bars": (1, 100_000),
    "atr_bars": (1, 256),
    "stop_atr": (0.01, 100),
    "target_atr": (0.01, 100),
    "min_break_atr": (0, 100),
    "min_range_atr": (0, 1000),
    "min_volume_ratio": (0, 1000),
    "trend_ema_bars": (0, 100_000),
    "cooldown_bars": (0, 1_000_000),
}


class BreakoutConfig(BarStrategyConfig, frozen=True, kw_only=True):
    """Settings of `BreakoutStrategy`, besides those of `BarStrategyConfig`.

    Parameters
    ----------
    range_bars
        Bars whose highest high and lowest low are the range; the bar that breaks it is not one of them.
    atr_bars
        Length of the average true range (plain mean), bars, at most 256.
    stop_atr
        Distance of the stop from the close that broke the range, ATRs.
    target_atr
        Distance of the target from it, ATRs.
    min_break_atr
        The close must be at least this far beyond the range, ATRs; 0: any distance.
    min_range_atr
        Ranges lower than this are not traded, ATRs; 0 for no filter.
    min_volume_ratio
        Least volume of the breaking bar over the mean volume of the range's bars; 0 for no filter.
    trend_ema_bars
        Only breaks on the trend's side: above this exponential average of closes for a long, bars; 0 for no
        filter.
    cooldown_bars
        Bars after a breakout in which no other one counts, whichever its side and whether it was traded.
    """

    RANGES = _RANGES

    range_bars: int = 20
    atr_bars: int = 14
    stop_atr: float = 1.5
    target_atr: float = 3.0
    min_break_atr: float = 0.0
    min_range_atr: float = 1.0
    min_volume_ratio: float = 1.0
    trend_ema_bars: int = 50
    cooldown_bars: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, _RANGES)


def breakout_rules(config: BreakoutConfig) -> BreakoutRules:
    """Return the settings that say what a breakout is."""
    return BreakoutRules(
        range_bars=config.range_bars,
        atr_bars=config.atr_bars,
        min_break_atr=config.min_break_atr,
        min_range_atr=config.min_range_atr,
        min_volume_ratio=config.min_volume_ratio,
        trend_ema_bars=config.trend_ema_bars,
        cooldown_bars=config.cooldown_bars,
    )


class BreakoutStrategy(BarStrategy):
    """Trade breakouts of the recent range on one instrument.

    Parameters
    ----------
    config
        See `BreakoutConfig`.
    """

    def __init__(self, config: BreakoutConfig) -> None:
        super().__init__(config, TAG)
        self._watch = BreakoutWatch(breakout_rules(config))

    def signal_at(self, candle: Candle) -> Signal | None:
        """Return the signal of a breakout that this bar completes."""
        found = self._watch.update(candle)
        if found is None:
            return None
        return atr_signal(
            candle,
            found.direction,
            found.atr,
            stop_atr=self.config.stop_atr,
            target_atr=self.config.target_atr,
            tick_size=self.market.tick_size,
            confidence=found.strength(candle.close),
            metadata={
                "range_low": found.low,
                "range_high": found.high,
                "atr": found.atr,
                "volume_ratio": found.volume_ratio if found.volume_ratio == found.volume_ratio else -1.0,
            },
        )


__all__ = ["SPEC", "BreakoutConfig", "BreakoutStrategy", "breakout_rules"]
