"""Fills of one setup, added up exactly."""

from dataclasses import dataclass
from decimal import Decimal

from strategies.trade_manager.orders import ZERO, Fill


@dataclass(slots=True)
class Ledger:
    """What was bought and sold, what it cost, and what is still held.

    Parameters
    ----------
    direction
        +1 long, -1 short.
    risk_per_unit
        Planned distance from entry to stop, quote currency: fills count for it whatever their own price, so
        that a fill next to the stop is no trade of a hundred R.
    carried_qty, carried_value
        Dust of an earlier trade: base coins, and what they count for in quote currency.
    """

    direction: int
    risk_per_unit: Decimal
    carried_qty: Decimal = ZERO
    carried_value: Decimal = ZERO
    entry_qty: Decimal = ZERO
    entry_value: Decimal = ZERO
    exit_qty: Decimal = ZERO
    exit_value: Decimal = ZERO
    fees: Decimal = ZERO
    fees_taken_quote: Decimal = ZERO
    fees_taken_base: Decimal = ZERO
    funding: Decimal = ZERO
    risk: Decimal = ZERO
    entry_ts_ns: int = 0
    exit_ts_ns: int = 0
    funded_ns: int = 0

    def enter(self, fill: Fill) -> None:
        """Add an entry fill."""
        if self.entry_qty == 0:
            self.entry_ts_ns = fill.ts_ns
        self.entry_qty += fill.qty
        self.entry_value += fill.qty * fill.price
        self.risk += fill.qty * self.risk_per_unit
        self._pay(fill)

    def leave(self, fill: Fill) -> None:
        """Add an exit fill."""
        self.exit_ts_ns = fill.ts_ns
        self.exit_qty += fill.qty
        self.exit_value += fill.qty * fill.price
        self._pay(fill)

    def give_back(self, qty: Decimal) -> None:
        """Take a quantity out of the exit again, at its average price: it was not of this position."""
        self.exit_value -= qty * self.exit_price
        self.exit_qty -= qty

    def fund(self, amount: Decimal, ts_ns: int = 0) -> None:
        """Add what the open position received at a funding time, quote currency, negative when it paid."""
        self.funding += amount
        self.funded_ns = max(self.funded_ns, ts_ns)

    @property
    def position_qty(self) -> Decimal:
        """Return what is held (long) or owed (short), base currency, dust and base fees counted."""
        return self.carried_qty + self.entry_qty - self.exit_qty - self.fees_taken_base

    @property
    def entry_price(self) -> Decimal:
        """Return the average entry price, 0 before the first fill."""
        return self.entry_value / self.entry_qty if self.entry_qty else ZERO

    @property
    def exit_price(self) -> Decimal:
        """Return the average exit price, 0 before the first exit fill."""
        return self.exit_value / self.exit_qty if self.exit_qty else ZERO

    @property
    def dust_value(self) -> Decimal:
        """Return what the coins left behind count for: the exit price, or all they cost if none was sold."""
        if self.exit_qty or not self.position_qty:
            return self.position_qty * self.exit_price
        return self.carried_value + self.entry_value + self.fees_taken_quote

    @property
    def pnl(self) -> Decimal:
        """Return the profit after fees and funding, quote currency, the position closed but for dust."""
        flows = (self.exit_value - self.entry_value) * self.direction
        return flows + self.funding - self.fees_taken_quote + self.dust_value - self.carried_value

    def _pay(self, fill: Fill) -> None:
        self.fees_taken_quote += fill.fee_quote
        self.fees_taken_base += fill.fee_base
        self.fees += fill.fee_quote + fill.fee_base * fill.price
