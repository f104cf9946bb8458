"""Money: what an order locks, what a fill moves, and the fee in the right currency."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from tests.venue_simulator.core.account import Account
from tests.venue_simulator.core.order import Order
from tests.venue_simulator.core.terms import ZERO, Market, VenueRefusal, cut


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one fill cost: fee (negative for a rebate), its asset, realized profit of a linear position."""

    fee: Decimal
    fee_asset: str
    realized_pnl: Decimal = ZERO


class Ledger:
    """Locks and settles.

    Parameters
    ----------
    accounts
        By name.
    mark_of
        Returns the price that margin is reckoned with, None before the first trade.
    open_orders
        Returns the open orders of an account.
    """

    def __init__(
        self,
        accounts: Mapping[str, Account],
        mark_of: Callable[[str], Decimal | None],
        open_orders: Callable[[str], list[Order]],
    ) -> None:
        self._accounts = accounts
        self._mark_of = mark_of
        self._open_orders = open_orders

    def reserve(self, order: Order) -> None:
        """Lock what an order could cost; refuses when it is not there.

        Raises
        ------
        VenueRefusal
            "insufficient_balance" on spot, "insufficient_margin" on linear markets.
        """
        if order.market.kind == "linear":
            self._check_margin(order)
            return
        asset, amount = self.cost(order)
        self._accounts[order.account].lock(asset, amount)
        order.locked_asset, order.locked = asset, amount

    def release(self, order: Order) -> None:
        """Give back what an order still holds."""
        if order.locked:
            self._accounts[order.account].unlock(order.locked_asset, order.locked)
            order.locked = ZERO

    def cost(self, order: Order) -> tuple[str, Decimal]:
        """Return what the rest of a spot order must have locked: quote of a buy, base of a sell."""
        market = order.market
        if order.side == "SELL":
            return market.base, order.leaves_qty
        price = order.price or order.stop_price
        assert price is not None, "the cost of a MARKET buy is known only by its fills"
        return market.quote, order.leaves_qty * price

    def settle(
        self, order: Order, qty: Decimal, price: Decimal, now_ns: int, *, is_maker: bool
    ) -> Settlement:
        """Move the money of one fill; the order's own quantities are not touched."""
        market, account = order.market, self._accounts[order.account]
        rate = market.maker_rate if is_maker else market.taker_rate
        account.updated_ns = now_ns
        if market.kind == "linear":
            pnl = account.position(market).apply(order.side, qty, price, now_ns)
            fee = cut(qty * price * rate, market.fee_decimals)
            account.balance(market.quote).free += pnl - fee
            return Settlement(fee, market.quote, pnl)
        base, quote = account.balance(market.base), account.balance(market.quote)
        if order.side == "BUY":
            self._pay(order, market.quote, qty * (order.price or order.stop_price or price), qty * price)
            fee = cut(qty * rate, market.fee_decimals)
            base.free += qty - fee
            return Settlement(fee, market.base)
        self._pay(order, market.base, qty, qty)
        fee = cut(qty * price * rate, market.fee_decimals)
        quote.free += qty * price - fee
        return Settlement(fee, market.quote)

    def available_margin(self, account: Account, asset: str) -> Decimal:
        """Return what new linear orders of this settlement currency may bind."""
        available = account.balance(asset).free
        for position in account.open_positions():
            if position.market.quote == asset:
                mark = self.mark(position.market, position.entry_price)
                available += position.unrealized_pnl(mark) - position.initial_margin(mark)
        for order in self._open_orders(account.name):
            if order.market.kind == "linear" and order.market.quote == asset:
                available -= self.order_margin(order)
        return available

    def order_margin(self, order: Order) -> Decimal:
        """Return the initial margin of a linear order's rest; none while it waits or if it only reduces."""
        if order.is_waiting or order.reduce_only or order.close_position:
            return ZERO
        position = self._accounts[order.account].position(order.market)
        price = order.price or self.mark(order.market, ZERO)
        opening = order.leaves_qty - (abs(position.qty) if position.closes(order.side) else ZERO)
        return max(opening, ZERO) * price / position.leverage

    def mark(self, market: Market, default: Decimal) -> Decimal:
        """Return the mark price, `default` before the first trade."""
        mark = self._mark_of(market.key)
        return default if mark is None else mark

    def _check_margin(self, order: Order) -> None:
        account = self._accounts[order.account]
        needed = self.order_margin(order)
        available = self.available_margin(account, order.market.quote)
        if needed > available:
            raise VenueRefusal("insufficient_margin", f"{available} available, {needed} needed")

    def _pay(self, order: Order, asset: str, held: Decimal, paid: Decimal) -> None:
        """Take `paid` out of what the order locked for this part, and free the difference."""
        balance = self._accounts[order.account].balance(asset)
        held = min(held, order.locked)
        order.locked -= held
        balance.locked -= held
        balance.free += held - paid
