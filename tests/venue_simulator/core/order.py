"""Orders and fills as the exchange keeps them."""

from dataclasses import dataclass, field
from decimal import Decimal

from tests.venue_simulator.core.terms import (
    CONDITIONAL,
    FINAL,
    PRICED,
    ZERO,
    Market,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What a client asks for, protocol free; `symbol` is the market's key.

    `qty` may be 0 only with `close_position` (size taken from the position when it triggers). `quote_qty`
    replaces `qty` for MARKET orders on spot. `take_profit` and `stop_loss` are trigger prices that an entry
    carries (Bybit): with the first fill they become conditional orders that close the whole position.
    """

    symbol: str
    side: Side
    type: OrderType
    qty: Decimal = ZERO
    price: Decimal | None = None
    stop_price: Decimal | None = None
    tif: TimeInForce = "GTC"
    client_id: str = ""
    account: str = "main"
    quote_qty: Decimal | None = None
    reduce_only: bool = False
    close_position: bool = False
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    expire_ns: int | None = None
    is_algo: bool = False
    # Whatever a protocol must say again in its reports (workingType, tpslMode, ...): the core never reads it.
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Order:
    """One order over its whole life. Mutable; only the exchange writes to it."""

    order_id: int
    client_id: str
    account: str
    market: Market
    side: Side
    type: OrderType
    tif: TimeInForce
    qty: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    reduce_only: bool
    close_position: bool
    take_profit: Decimal | None
    stop_loss: Decimal | None
    expire_ns: int | None
    is_algo: bool
    created_ns: int
    updated_ns: int
    extra: dict[str, str]
    status: OrderStatus = "NEW"
    filled_qty: Decimal = ZERO
    filled_quote: Decimal = ZERO
    queue_ahead: Decimal = ZERO
    locked: Decimal = ZERO  # of `locked_asset`, what this order still holds back
    locked_asset: str = ""
    fills: list["Fill"] = field(default_factory=list)
    triggered_ns: int = 0  # when a conditional order began to work
    parent_id: int = 0  # the entry that carried this stop or target
    reason: str = ""  # why it ended, a `RefusalKind` or the venue's own doing ("liquidation", "expired", ...)
    quote_qty: Decimal | None = None

    @property
    def symbol(self) -> str:
        """The market's symbol."""
        return self.market.symbol

    @property
    def leaves_qty(self) -> Decimal:
        """What is not filled."""
        return self.qty - self.filled_qty

    @property
    def avg_price(self) -> Decimal:
        """Average price of the fills; 0 without one."""
        return self.filled_quote / self.filled_qty if self.filled_qty else ZERO

    @property
    def is_open(self) -> bool:
        """Whether anything can still happen to it."""
        return self.status not in FINAL

    @property
    def is_conditional(self) -> bool:
        """Whether it waits (or waited) for a trigger price."""
        return self.type in CONDITIONAL

    @property
    def is_waiting(self) -> bool:
        """Whether it still waits for its trigger price."""
        return self.status == "UNTRIGGERED"

    @property
    def is_priced(self) -> bool:
        """Whether it has a limit price once it works."""
        return self.type in PRICED

    @property
    def sign(self) -> int:
        """Return 1 of a buy, -1 of a sell."""
        return 1 if self.side == "BUY" else -1


@dataclass(frozen=True, slots=True, eq=False)
class Fill:
    """One execution of one of our orders, with its exact fee."""

    trade_id: int
    order: Order
    qty: Decimal
    price: Decimal
    is_maker: bool
    fee: Decimal
    fee_asset: str
    ts_ns: int
    realized_pnl: Decimal = ZERO
    public_id: int = 0  # the public trade that hit a resting order; 0 of a taker

    @property
    def quote_qty(self) -> Decimal:
        """Price x quantity."""
        return self.price * self.qty
