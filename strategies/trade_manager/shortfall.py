"""How far fills were from the prices at which their orders were decided, added up exactly.

The decision price of an order is the price at which the strategy wanted it: the limit of an entry and of a
target, the trigger of a stop, and for market orders the last price when they were ordered. A market order
that stands in for a stop or a target is measured against that: it is the price the plan promised.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from strategies.trade_manager.orders import ZERO, Fill

BPS: Final = Decimal(10_000)


@dataclass(slots=True)
class Shortfall:
    """The entry fills, or the exit fills, of one trade against their decision prices.

    Parameters
    ----------
    buys
        +1 when the fills buy, -1 when they sell: a higher price is worse for a buyer.
    """

    buys: int
    qty: Decimal = ZERO
    decided_value: Decimal = ZERO
    slippage: Decimal = ZERO
    market_value: Decimal = ZERO
    is_known: bool = True

    def add(self, fill: Fill, decided_price: Decimal | None, *, is_market: bool) -> None:
        """Add a fill; ``None`` is a market order that was sent before any price was known."""
        if is_market:
            self.market_value += fill.qty * fill.price
        if decided_price is None:
            self.is_known = False
            return
        self.qty += fill.qty
        self.decided_value += fill.qty * decided_price
        self.slippage += fill.qty * (fill.price - decided_price) * self.buys

    @property
    def decision_price(self) -> Decimal | None:
        """Return the average decision price by filled quantity, None where one is not known."""
        return self.decided_value / self.qty if self.is_known and self.qty else None

    @property
    def slippage_quote(self) -> Decimal | None:
        """Return what the fills cost more than decided, quote currency, negative when they were better."""
        return self.slippage if self.is_known and self.qty else None

    @property
    def slippage_bps(self) -> float | None:
        """Return the same in hundredths of a percent of what was decided."""
        if not self.is_known or not self.decided_value:
            return None
        return float(self.slippage / self.decided_value * BPS)
