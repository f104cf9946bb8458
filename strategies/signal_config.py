"""Settings of every strategy that turns signals of closed bars into trades."""

from typing import Final

from strategies.config_checks import Ranges, check_ranges
from strategies.guarded_config import GuardedConfig

_RANGES: Final[Ranges] = {
    "min_stop_pct": (0, 50),
    "min_stop_ticks": (0, 1_000_000),
    "min_stop_fees": (0, 1000),
    "max_volume_pct": (0, 1000),
    "max_volume_bars": (1, 100_000),
}


class SignalConfig(GuardedConfig, frozen=True, kw_only=True):
    """How near a stop may be, and how large an order in a market that trades little.

    A signal whose stop is nearer is skipped as ``stop_too_near``: with a tiny stop distance fees, a tick of
    slippage or a gap cost many times what the trade was to risk. A size that the market does not bear is cut,
    and skipped as ``low_volume`` where less than the smallest order is left.

    Parameters
    ----------
    min_stop_pct
        Least distance of the stop from the entry, percent of the entry's price, 0 for off.
    min_stop_ticks
        The same in price increments.
    min_stop_fees
        The same in multiples of what two market orders (in and out) cost in fees.
    max_volume_pct
        Largest quantity of an entry, percent of the mean traded volume of a bar, 0 for no limit.
    max_volume_bars
        Last closed bars of which that mean is taken, those without any trade counted as 0.
    """

    RANGES = _RANGES

    min_stop_pct: float = 0.05
    min_stop_ticks: int = 3
    min_stop_fees: float = 1.0
    max_volume_pct: float = 5.0
    max_volume_bars: int = 12

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, _RANGES)


__all__ = ["SignalConfig"]
