"""Orders that were given up because the venue did not know them, and that may arrive all the same.

A request can wait in front of a venue's matching for longer than its receive window promises, and an answer
of 5xx promises nothing. Nautilus holds such an order for rejected, which is an end: whatever the venue tells
of it later changes nothing there. So it is looked after for some minutes, and withdrawn where it turns up.
"""

from dataclasses import dataclass
from typing import Any, Final

NANOS: Final = 1_000_000_000
# Pauses between looks; five minutes in all.
LOOK_SECS: Final = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 150.0)


@dataclass(slots=True)
class _GivenUp:
    instrument_id: Any
    due_ns: int
    looks: int = 0


class LateOrders:
    """When to look after which order.

    Examples
    --------
    >>> late = LateOrders()
    >>> late.add("OTE-XRPUSDT-Lmmv7y0w014-E1", "XRPUSDT.BINANCE", 0)
    >>> late.due(1 * NANOS), late.due(2 * NANOS)
    ([], [('OTE-XRPUSDT-Lmmv7y0w014-E1', 'XRPUSDT.BINANCE')])
    >>> late.hear("OTE-XRPUSDT-Lmmv7y0w014-S1", 0)
    False
    """

    def __init__(self) -> None:
        self._orders: dict[str, _GivenUp] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def add(self, client_id: str, instrument_id: Any, now_ns: int) -> None:
        """Look after an order from now on."""
        self._orders[client_id] = _GivenUp(instrument_id, now_ns + round(LOOK_SECS[0] * NANOS))

    def hear(self, client_id: str, now_ns: int) -> bool:
        """Look at an order at once, since the venue spoke of it; False when it is none of these."""
        order = self._orders.get(client_id)
        if order is not None:
            order.due_ns = now_ns
        return order is not None

    def due(self, now_ns: int) -> list[tuple[str, Any]]:
        """Return client and instrument ids of what must be looked at now."""
        return [(name, one.instrument_id) for name, one in self._orders.items() if one.due_ns <= now_ns]

    def look_again(self, client_id: str, now_ns: int, *, is_there: bool) -> None:
        """Look again later; one that never turned up is forgotten in the end, one that is there is not."""
        order = self._orders[client_id]
        order.looks = 0 if is_there else order.looks + 1
        if order.looks >= len(LOOK_SECS):
            self.forget(client_id)
        else:
            order.due_ns = now_ns + round(LOOK_SECS[order.looks] * NANOS)

    def forget(self, client_id: str) -> None:
        """Look at an order no more: it has ended."""
        self._orders.pop(client_id, None)


__all__ = ["LOOK_SECS", "LateOrders"]
