"""Section `universe` of the settings: which coins of a run may be entered on which day."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

# A choice among so few coins was made by hand, and is meant.
AUTO_ABOVE: int = 20
DEFAULT_TOP: int = 100


class UniverseSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may be entered on which day, by what was known before it (docs/how-to/universe.md).

    Parameters
    ----------
    mode
        ``on``; ``off``: every coin of the run on every day; ``auto``: on for more than 20 coins.
    top
        So many coins with the largest turnover belong to a day; null: as many as the stored universe was
        made with, 100 without one.
    min_turnover
        Least turnover of an average day, quote currency.
    min_listed_days
        Days since the coin's first kline in the catalog, at least. One that has klines on the day on which
        the catalog's klines begin may be older than that, and is never too young.
    rank_days
        Days before the day over which turnover is averaged; a stored universe has its month instead.
    """

    mode: Literal["auto", "on", "off"] | bool = "auto"  # YAML reads a plain on and off as true and false
    top: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    min_turnover: Annotated[float, Meta(ge=0, le=1e15)] = 1_000_000.0
    min_listed_days: Annotated[int, Meta(ge=0, le=10_000)] = 30
    rank_days: Annotated[int, Meta(ge=1, le=1000)] = 30

    def __post_init__(self) -> None:
        if isinstance(self.mode, bool):
            msgspec.structs.force_setattr(self, "mode", "on" if self.mode else "off")

    def is_enforced(self, coins: int) -> bool:
        """Tell whether the rule refuses entries in a run of so many coins."""
        return self.mode == "on" or (self.mode == "auto" and coins > AUTO_ABOVE)

    def is_reported(self, coins: int) -> bool:
        """Tell whether a run says what the rule does or would have done."""
        return self.is_enforced(coins) or coins > AUTO_ABOVE
