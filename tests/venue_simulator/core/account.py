"""What an account owns: balances that orders lock, and positions with their margin.

One class serves spot accounts, futures accounts and Bybit's unified one: a spot fill moves base and quote
balances, a linear fill moves a position and pays profit, loss and fee in the settlement currency.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from tests.venue_simulator.core.terms import ONE, ZERO, Market, Side, VenueRefusal, cut


@dataclass(slots=True)
class Balance:
    """An asset's free and locked amount."""

    free: Decimal = ZERO
    locked: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """Free plus locked."""
        return self.free + self.locked


@dataclass(slots=True)
class Position:
    """A one-way linear position; `qty` is signed, 0 when flat."""

    market: Market
    qty: Decimal = ZERO
    entry_price: Decimal = ZERO
    leverage: Decimal = Decimal(10)
    realized_pnl: Decimal = ZERO
    created_ns: int = 0
    updated_ns: int = 0
    seq: int = 0  # grows with every change

    def unrealized_pnl(self, mark: Decimal) -> Decimal:
        """Return profit (+) or loss at price `mark`, in the settlement currency."""
        return (mark - self.entry_price) * self.qty

    def initial_margin(self, mark: Decimal) -> Decimal:
        """Return the margin that the position binds at price `mark`."""
        return abs(self.qty) * mark / self.leverage

    def closes(self, side: Side) -> bool:
        """Return whether an order of this side would make the position smaller."""
        return self.qty > 0 if side == "SELL" else self.qty < 0

    def apply(self, side: Side, qty: Decimal, price: Decimal, now_ns: int) -> Decimal:
        """Book one fill and return the profit that it realized."""
        signed = qty if side == "BUY" else -qty
        closed = min(abs(signed), abs(self.qty)) if self.closes(side) else ZERO
        direction = ONE if self.qty > 0 else -ONE
        # An average price may have endless digits; the wallet knows the currency's last unit only.
        pnl = cut((price - self.entry_price) * closed * direction, self.market.fee_decimals)
        before, after = self.qty, self.qty + signed
        if closed == 0:
            self.entry_price = (self.entry_price * abs(before) + price * qty) / abs(after)
        elif after == 0:
            self.entry_price = ZERO
        elif (after > 0) != (before > 0):
            self.entry_price = price  # turned round: what is left was opened here
        if before == 0 or (after != 0 and (after > 0) != (before > 0)):
            self.created_ns = now_ns
        self.qty, self.updated_ns = after, now_ns
        self.realized_pnl += pnl
        self.seq += 1
        return pnl


@dataclass(slots=True)
class Account:
    """One account of one venue.

    Parameters
    ----------
    name
        How `/ctl` names it.
    api_key, api_secret
        The only key that it accepts.
    balances
        By asset; an asset that is not there counts as zero.
    positions
        By the market's key, linear markets only.
    can_trade, can_withdraw, ip_restricted
        What the venue says about the key's permissions.
    """

    name: str = "main"
    api_key: str = "simulator-key-" + "0" * 50
    api_secret: str = "simulator-secret-" + "0" * 47
    balances: dict[str, Balance] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    default_leverage: Decimal = Decimal(10)
    can_trade: bool = True
    can_withdraw: bool = False
    ip_restricted: bool = True
    updated_ns: int = 0

    @classmethod
    def with_balances(cls, amounts: Mapping[str, str | int | Decimal], name: str = "main") -> "Account":
        """Make an account that owns these amounts."""
        return cls(name, balances={asset: Balance(Decimal(amount)) for asset, amount in amounts.items()})

    def balance(self, asset: str) -> Balance:
        """Return the (possibly new, empty) balance of an asset."""
        return self.balances.setdefault(asset, Balance())

    def position(self, market: Market) -> Position:
        """Return the (possibly new, flat) position of a linear market."""
        known = self.positions.get(market.key)
        if known is None:
            leverage = min(self.default_leverage, market.max_leverage)
            known = self.positions[market.key] = Position(market, leverage=leverage)
        return known

    def lock(self, asset: str, amount: Decimal) -> None:
        """Hold an amount back for an order.

        Raises
        ------
        VenueRefusal
            "insufficient_balance" when less than that is free.
        """
        balance = self.balance(asset)
        if balance.free < amount:
            raise VenueRefusal("insufficient_balance", f"{balance.free} {asset} free, {amount} needed")
        balance.free -= amount
        balance.locked += amount

    def unlock(self, asset: str, amount: Decimal) -> None:
        """Give back what `lock` held."""
        balance = self.balance(asset)
        balance.locked -= amount
        balance.free += amount

    def open_positions(self) -> Iterator[Position]:
        """Yield the positions that are not flat."""
        return (position for position in self.positions.values() if position.qty)
