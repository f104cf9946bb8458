"""What the exchange tells: protocols and recorders subclass `Listener` and take what they need."""

from collections.abc import Sequence
from typing import Literal

from tests.venue_simulator.core.account import Account, Position
from tests.venue_simulator.core.order import Fill, Order
from tests.venue_simulator.core.terms import Market, Trade

type Execution = Literal["NEW", "TRIGGERED", "TRADE", "REPLACED", "CANCELED", "EXPIRED", "REJECTED"]
type BalanceReason = Literal["ORDER", "DEPOSIT", "FUNDING_FEE", "LIQUIDATION"]


class Listener:
    """Every event of an exchange, as methods that do nothing.

    One change calls, in this order: `on_order`, then `on_balance`, then `on_position`; a public trade calls
    `on_trades` before the orders that it fills. Called synchronously: a listener must not place orders.
    """

    def on_order(self, order: Order, execution: Execution, fill: Fill | None) -> None:
        """Take a change of an order; `fill` is there with "TRADE" only."""

    def on_balance(self, account: Account, assets: Sequence[str], reason: BalanceReason) -> None:
        """Take a change of these assets of an account."""

    def on_position(self, account: Account, position: Position) -> None:
        """Take a change of a linear position (size, entry price or leverage)."""

    def on_trades(self, market: Market, trades: Sequence[Trade]) -> None:
        """Take public trades of one market, in the order of their ids."""

    def on_market(self, market: Market) -> None:
        """Take a change of a market's terms: tick size, status, filters."""
