"""An order of which its client does not know whether the venue took it: said to those who ask the venue."""

from dataclasses import dataclass
from typing import Final

DOUBT_TOPIC: Final = "doubt"


@dataclass(frozen=True, slots=True)
class Doubt:
    """Nobody answered, or the venue failed: the order may be alive.

    Parameters
    ----------
    instrument_id, client_order_id
        Whose order, as text.
    reason
        In words.
    ts_ns
        When, UNIX nanoseconds.
    """

    instrument_id: str
    client_order_id: str
    reason: str
    ts_ns: int


__all__ = ["DOUBT_TOPIC", "Doubt"]
