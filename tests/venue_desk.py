"""A small exchange for tests of the matching core: prices around 100, ticks of 0.1, lots of 0.01."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tests.venue_simulator.core import (
    Account,
    BalanceReason,
    Exchange,
    Execution,
    Fill,
    Listener,
    ManualClock,
    Market,
    Order,
    OrderRequest,
    Position,
    Side,
    Trade,
    VenueRules,
)

SECOND_NS = 1_000_000_000


class Recorder(Listener):
    """Keeps every event as a short text."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_order(self, order: Order, execution: Execution, fill: Fill | None) -> None:
        self.lines.append(
            f"{execution} {order.client_id}" + (f" {fill.qty:f}@{fill.price:f}" if fill else "")
        )

    def on_balance(self, account: Account, assets: Sequence[str], reason: BalanceReason) -> None:
        self.lines.append(f"{reason} {','.join(assets)}")

    def on_position(self, account: Account, position: Position) -> None:
        self.lines.append(f"position {position.qty:f}")

    def on_trades(self, market: Market, trades: Sequence[Trade]) -> None:
        self.lines.extend(
            f"print {market.qty_of(t.size_lots)}@{market.price_of(t.price_ticks)}" for t in trades
        )

    def on_market(self, market: Market) -> None:
        self.lines.append(f"market {market.symbol} {market.status}")


class Desk:
    """One market, one account, and short words for what happens.

    Parameters
    ----------
    kind
        "spot" or "linear".
    rules
        Of the venue.
    terms
        Further terms of the market.
    """

    def __init__(self, kind: Any = "spot", rules: VenueRules | None = None, **terms: Any) -> None:
        terms = {"level_qty": Decimal(0), "min_notional": Decimal(1), **terms}
        self.market = Market(
            "XYZUSDT",
            "XYZ",
            "USDT",
            kind,
            tick=Decimal("0.1"),
            lot=Decimal("0.01"),
            min_qty=Decimal("0.01"),
            **terms,
        )
        self.account = Account.with_balances({"USDT": 10_000, "XYZ": 100 if kind == "spot" else 0})
        self.clock = ManualClock()
        self.exchange = Exchange([self.market], [self.account], self.clock, rules)
        self.recorder = Recorder()
        self.exchange.add_listener(self.recorder)

    def prints(self, *trades: str) -> None:
        """Print public trades: "buy 1 @ 100" is an aggressor that buys."""
        for text in trades:
            side, qty, _, price = text.split()
            self.exchange.print_trade("XYZUSDT", _side(side), Decimal(qty), Decimal(price))

    def place(self, text: str, **options: Any) -> Order:
        """Place "buy 1 @ 99.9" (LIMIT) or "sell 1" (MARKET); options are those of `OrderRequest`."""
        side, qty, *price = text.split()
        fields: dict[str, Any] = {"type": "LIMIT" if price else "MARKET", "qty": Decimal(qty)}
        if price:
            fields["price"] = Decimal(price[1])
        for name in ("stop_price", "price", "quote_qty", "take_profit", "stop_loss"):
            if name in options:
                options[name] = Decimal(options[name])
        return self.exchange.place(OrderRequest(symbol="XYZUSDT", side=_side(side), **(fields | options)))

    def balance(self, asset: str) -> tuple[str, str]:
        """Return free and locked as texts."""
        balance = self.account.balance(asset)
        return plain(balance.free), plain(balance.locked)

    @property
    def position(self) -> Position:
        """The account's position."""
        return self.account.position(self.market)


def plain(value: Decimal) -> str:
    """Write a decimal without trailing zeros."""
    return f"{value.normalize():f}"


def fills_of(order: Order) -> list[str]:
    """Return an order's fills as texts."""
    return [f"{plain(fill.qty)} @ {plain(fill.price)}" for fill in order.fills]


def _side(text: str) -> Side:
    return "BUY" if text == "buy" else "SELL"
