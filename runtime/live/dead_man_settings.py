"""Section `dead_man` of the settings of a node; see :mod:`runtime.live.dead_man`."""

from typing import Annotated

from msgspec import Meta, Struct


class DeadManSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the venue shall take entries back by itself (docs/risk-and-commands.md).

    Parameters
    ----------
    binance_usdm
        Count down for symbols with a resting entry.
    bybit
        Ask for disconnect-cancel, where the account has it.
    window_secs
        Without a word from the node for so long, the venue cancels.
    heartbeat_secs
        Time between two words; at most a third of the window.
    stop_survives
        The countdown was seen to leave the stop of a position alone: count down for symbols with one, too.
    """

    binance_usdm: bool = False
    bybit: bool = False
    window_secs: Annotated[int, Meta(ge=10, le=300)] = 120
    heartbeat_secs: Annotated[float, Meta(ge=1, le=100)] = 30.0
    stop_survives: bool = False

    def __post_init__(self) -> None:
        if self.heartbeat_secs * 3 > self.window_secs:
            raise ValueError(
                f"heartbeat_secs ({self.heartbeat_secs:g}) must be at most a third of window_secs "
                f"({self.window_secs}): two lost heartbeats must not cancel"
            )
