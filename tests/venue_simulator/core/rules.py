"""Where venues differ in what they accept and in what follows from what."""

from dataclasses import dataclass


@dataclass(slots=True)
class VenueRules:
    """Where venues differ; a protocol sets them when it makes its exchange.

    Parameters
    ----------
    waiting_locks
        Spot: a conditional order locks its balance before its trigger (Binance: yes).
    keeps_would_take
        A post-only order that would take is kept as REJECTED and reported on the stream (Bybit) instead of
        being refused in the answer (Binance).
    client_ids_for_ever
        A client id can never be used twice (Bybit), not only while its order is open (Binance).
    waiting_checks_reduce_only
        A reduce-only conditional order is refused while there is nothing to reduce.
    flat_ends_reduce_only
        When a position becomes flat, its resting reduce-only orders expire.
    flat_ends_close_position
        ... and its waiting orders that would close it are cancelled.
    """

    waiting_locks: bool = True
    keeps_would_take: bool = False
    client_ids_for_ever: bool = False
    waiting_checks_reduce_only: bool = False
    flat_ends_reduce_only: bool = True
    flat_ends_close_position: bool = True
