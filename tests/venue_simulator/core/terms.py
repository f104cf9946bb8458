"""The words of the local exchange: markets, public trades, refusals and the clock.

Money and order sizes are `Decimal`; public trades are integers in ticks and lots, because a tape holds
millions of them. Nothing here knows a wire protocol.
"""

import time
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Final, Literal, NamedTuple, Protocol

type Side = Literal["BUY", "SELL"]
type MarketKind = Literal["spot", "linear"]
type OrderType = Literal[
    "LIMIT", "MARKET", "STOP_MARKET", "STOP_LIMIT", "TAKE_PROFIT_MARKET", "TAKE_PROFIT_LIMIT"
]
type TimeInForce = Literal["GTC", "IOC", "FOK", "GTX", "GTD"]
type OrderStatus = Literal[
    "UNTRIGGERED", "TRIGGERED", "NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED", "EXPIRED"
]
type RefusalKind = Literal[
    "unknown_symbol",
    "not_trading",
    "bad_parameter",
    "duplicate_id",
    "unknown_order",
    "insufficient_balance",
    "insufficient_margin",
    "filter_price",
    "filter_lot",
    "filter_most",
    "filter_notional",
    "percent_price",
    "would_take",
    "would_trigger",
    "reduce_only",
    "no_liquidity",
    "too_many_orders",
    "no_change",
]

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
CONDITIONAL: Final = frozenset({"STOP_MARKET", "STOP_LIMIT", "TAKE_PROFIT_MARKET", "TAKE_PROFIT_LIMIT"})
PRICED: Final = frozenset({"LIMIT", "STOP_LIMIT", "TAKE_PROFIT_LIMIT"})
FINAL: Final = frozenset({"FILLED", "CANCELED", "REJECTED", "EXPIRED"})


class VenueRefusal(Exception):  # noqa: N818 - a refusal is the venue's answer, not an error of ours
    """The exchange's no to a request; every protocol translates the kind into its own code and text.

    Parameters
    ----------
    kind
        What was wrong.
    detail
        The same in words, for the reader of a log; a protocol may send its own text instead.
    """

    def __init__(self, kind: RefusalKind, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.detail = detail


class Clock(Protocol):
    """Whatever tells the exchange's time."""

    def now_ns(self) -> int:
        """Return UNIX nanoseconds UTC."""
        ...


class WallClock:
    """The machine's clock plus `skew_ns`, which the clock-skew fault sets."""

    def __init__(self) -> None:
        self.skew_ns = 0

    def now_ns(self) -> int:
        """Return UNIX nanoseconds UTC as the exchange believes them."""
        return time.time_ns() + self.skew_ns


class ManualClock:
    """A clock that stands still until it is moved; for tests."""

    def __init__(self, now_ns: int = 1_767_571_200_000_000_000) -> None:
        self.time_ns = now_ns
        self.skew_ns = 0

    def now_ns(self) -> int:
        """Return the time that was set last."""
        return self.time_ns + self.skew_ns


class Trade(NamedTuple):
    """One public trade: integers in ticks and lots of its market, the aggressor's side, exchange time."""

    trade_id: int
    price_ticks: int
    size_lots: int
    is_buyer: bool
    ts_ns: int


@dataclass(slots=True)
class Market:
    """What is traded, its filters and its fees. Only faults change one while the exchange runs.

    Parameters
    ----------
    symbol, base, quote
        The venue's own names; a linear market settles in `quote`.
    key
        How the exchange tells it from others; the symbol unless a venue uses one twice (the spot and linear
        markets of Bybit). Requests, books and positions go by the key.
    kind
        "spot" or "linear" (perpetual, one-way, margined and settled in the quote currency).
    tick, lot
        Increments of price and quantity.
    min_qty, max_qty, market_max_qty
        Bounds of one order's quantity; `market_max_qty` None means `max_qty`.
    min_notional, max_notional
        Bounds of price x quantity; 0 and None for none.
    percent_up, percent_down
        A limit price may be at most `percent_up` x and at least `percent_down` x the last price; or None.
    maker_rate, taker_rate
        Fees as ratios of the traded amount; negative for a rebate.
    level_qty
        Size that every price level of the implied book displays: what stands before a new resting order, and
        what a taker gets at each price before it slips by one tick. 0: no queue and no end at the touch.
    max_leverage
        Of linear markets.
    status
        "TRADING", or the venue's word for anything else: then every new order is refused.
    fee_decimals
        Fees and realized profits are cut off (never rounded up) after so many decimals.
    max_orders
        Open orders that one account may have here; `max_conditional` of them conditional.
    """

    symbol: str
    base: str
    quote: str
    kind: MarketKind = "spot"
    tick: Decimal = Decimal("0.01")
    lot: Decimal = Decimal("0.00001")
    min_qty: Decimal = Decimal("0.00001")
    max_qty: Decimal = Decimal(9000)
    market_max_qty: Decimal | None = None
    min_notional: Decimal = Decimal(5)
    max_notional: Decimal | None = None
    percent_up: Decimal | None = Decimal(5)
    percent_down: Decimal | None = Decimal("0.2")
    maker_rate: Decimal = Decimal("0.001")
    taker_rate: Decimal = Decimal("0.001")
    level_qty: Decimal = ZERO
    max_leverage: Decimal = Decimal(100)
    status: str = "TRADING"
    fee_decimals: int = 8
    max_orders: int = 200
    max_conditional: int = 5
    key: str = ""

    def __post_init__(self) -> None:
        self.key = self.key or self.symbol

    def price_of(self, ticks: int) -> Decimal:
        """Return a price in quote currency."""
        return self.tick * ticks

    def qty_of(self, lots: int) -> Decimal:
        """Return a quantity in base currency."""
        return self.lot * lots

    def ticks_of(self, price: Decimal) -> int:
        """Return a price in ticks; raises ValueError off the grid."""
        return _whole(price, self.tick, "price")

    def lots_of(self, qty: Decimal) -> int:
        """Return a quantity in lots; raises ValueError off the grid."""
        return _whole(qty, self.lot, "quantity")


def _whole(value: Decimal, step: Decimal, name: str) -> int:
    steps, rest = divmod(value, step)
    if rest:
        raise ValueError(f"{name} {value} is no multiple of {step}")
    return int(steps)


def cut(amount: Decimal, decimals: int) -> Decimal:
    """Cut an amount off after so many decimals, towards zero."""
    return amount.quantize(ONE.scaleb(-decimals), rounding=ROUND_DOWN)


def opposite(side: Side) -> Side:
    """Return the other side."""
    return "SELL" if side == "BUY" else "BUY"
