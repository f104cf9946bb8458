"""Setting `live.protection`: how long a position may be without a stop, and what happens to strangers."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

type Unplanned = Literal["protect", "report"]


class ProtectionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The watchdog over protection, and positions that no strategy planned.

    Parameters
    ----------
    unprotected_secs
        Longest time in which a position may be without a stop that the venue acknowledged; over it the
        position is closed at market and entries halt.
    leaving_secs
        The same for a position whose only order is the one that closes it (spot: the target's limit).
    unplanned
        A position that no setup explains, on contracts: ``protect`` gives it a stop, or closes it at market
        where it has none for ``unprotected_secs`` (what a person adds to a position of a setup); ``report``
        leaves it to a person, with or without a stop. Entries of its instrument are held either way.
    unplanned_stop_pct
        Distance of that stop from the last price, percent.
    carried_stop
        Entries carry a stop a little beyond our own where the venue attaches one (Bybit's contracts): it
        stands from the first fill on, whatever becomes of the node. Try it on the demo environment first:
        how the venue lists such a stop after a restart is not documented.
    lookup_secs
        Pause before a venue that gave no answer about an order is asked again.
    """

    unprotected_secs: Annotated[float, Meta(gt=0, le=60)] = 2.0
    leaving_secs: Annotated[float, Meta(gt=0, le=120)] = 10.0
    unplanned: Unplanned = "protect"
    unplanned_stop_pct: Annotated[float, Meta(gt=0, le=50)] = 2.0
    carried_stop: bool = False
    lookup_secs: Annotated[float, Meta(gt=0, le=60)] = 1.0


__all__ = ["ProtectionSettings"]
