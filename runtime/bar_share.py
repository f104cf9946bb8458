"""How much of a bar's volume the fills of a backtest took: whether the market would have borne them."""

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId
from nautilus_trader.model.orders import Order

LARGE_SHARE: Final = 0.1


class VolumeShares:
    """Adds up, order by order, the shares of the bars in which they filled.

    ``sells_leave`` is true on a cash account, where exits are not marked as such. ``volumes`` are of the bars
    in which the instruments' markets are now, base currency.
    """

    def __init__(self) -> None:
        self.volumes: dict[InstrumentId, Decimal] = {}
        self.sells_leave = False
        self.entries: dict[ClientOrderId, float] = {}
        self.exits: dict[ClientOrderId, float] = {}

    def add(self, order: Order, fill: OrderFilled) -> None:
        """Take a fill of an order in the bar whose volume was told last."""
        leaves = order.is_reduce_only or (self.sells_leave and order.side == OrderSide.SELL)
        shares = self.exits if leaves else self.entries
        volume = self.volumes.get(fill.instrument_id, Decimal(0))
        share = float(fill.last_qty.as_decimal() / volume) if volume else math.inf
        shares[order.client_order_id] = shares.get(order.client_order_id, 0.0) + share

    def tell(self, other: "VolumeShares") -> None:
        """Add all orders to those of another venue."""
        other.entries |= self.entries
        other.exits |= self.exits

    def as_plain(self) -> dict[str, dict[str, Any]]:
        """Return the figures of ``entries`` and ``exits``, see `share_figures`."""
        return {
            "entries": share_figures(self.entries.values()),
            "exits": share_figures(self.exits.values()),
        }

    def clear(self) -> None:
        """Forget the run."""
        self.entries.clear()
        self.exits.clear()


def share_figures(shares: Iterable[float]) -> dict[str, Any]:
    """Return how many orders took how much of the bars in which they filled.

    Parameters
    ----------
    shares
        By order, 1 is the whole volume of the bar; infinite for a fill without any volume.

    Examples
    --------
    >>> share_figures([0.01, 0.2, 1.5])
    {'orders': 3, 'above_10_pct': 2, 'above_100_pct': 1, 'without_volume': 0, 'worst_pct': 150.0}
    """
    every = list(shares)
    finite = [one for one in every if math.isfinite(one)]
    return {
        "orders": len(every),
        "above_10_pct": sum(one > LARGE_SHARE for one in every),
        "above_100_pct": sum(one > 1 for one in every),
        "without_volume": len(every) - len(finite),
        "worst_pct": max(finite) * 100 if finite else None,
    }
