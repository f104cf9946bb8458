"""Our own picture of our orders, and the plain words in which the core asks the shell to act."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from strategies.trade_manager.record import ClosedTrade, DecisionKind

ZERO = Decimal(0)


class Leg(StrEnum):
    """What an order is for; the value is a letter of its client order id."""

    ENTRY = "E"
    STOP = "S"
    TARGET = "T"
    EXIT = "X"  # at market


class OrderKind(StrEnum):
    """Order types in use."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP_MARKET = "STOP_MARKET"
    STOP_LIMIT = "STOP_LIMIT"


class OrderStage(StrEnum):
    """Where an order is on its way."""

    SENT = "SENT"  # in flight to the venue: not acknowledged
    WORKING = "WORKING"
    CHANGING = "CHANGING"  # modification in flight
    CANCELLING = "CANCELLING"  # cancellation in flight; it can still fill
    FINAL = "FINAL"


@dataclass(slots=True)
class OwnOrder:
    """One order that we sent.

    Parameters
    ----------
    client_id
        Client order id.
    leg, kind
        What for, and the order type.
    qty
        Ordered quantity, base currency.
    price, trigger_price
        Limit and stop price, None where the type has none.
    filled_qty
        Sum of its fills.
    stage
        See `OrderStage`.
    reason
        Of an exit: the exit reason when it fills, empty for the name of its leg.
    changing_to_qty, changing_to_price, changing_to_trigger
        Ordered quantity and prices asked for by the modification in flight.
    may_change
        The venue has not refused to modify it.
    refusals
        How often a cancellation of it was refused.
    answer_due_ns
        An exit that the venue has not acknowledged by then is asked about, then given up, UNIX nanoseconds.
    is_asked, is_given_up
        How far that went. What was given up may still report: it is taken as alive again.
    """

    client_id: str
    leg: Leg
    kind: OrderKind
    qty: Decimal
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    filled_qty: Decimal = ZERO
    stage: OrderStage = OrderStage.SENT
    reason: str = ""
    changing_to_qty: Decimal | None = None
    changing_to_price: Decimal | None = None
    changing_to_trigger: Decimal | None = None
    may_change: bool = True
    refusals: int = 0
    answer_due_ns: int = 0
    is_asked: bool = False
    is_given_up: bool = False

    @property
    def is_alive(self) -> bool:
        """Tell whether it can still fill."""
        return self.stage is not OrderStage.FINAL

    @property
    def is_in_flight(self) -> bool:
        """Tell whether the venue has still to answer."""
        return self.stage in (OrderStage.SENT, OrderStage.CHANGING, OrderStage.CANCELLING)

    @property
    def leaves_qty(self) -> Decimal:
        """Return what can still fill, base currency."""
        return max(self.qty - self.filled_qty, ZERO) if self.is_alive else ZERO

    @property
    def intended_leaves_qty(self) -> Decimal:
        """Return what can still fill once the modification in flight is through."""
        qty = self.qty if self.changing_to_qty is None else self.changing_to_qty
        return max(qty - self.filled_qty, ZERO) if self.is_alive else ZERO

    @property
    def intended_prices(self) -> tuple[Decimal | None, Decimal | None]:
        """Return limit and stop price once the modification in flight is through."""
        if self.changing_to_qty is None:
            return self.price, self.trigger_price
        return self.changing_to_price, self.changing_to_trigger

    def end_change(self, *, is_done: bool) -> None:
        """Take the venue's answer to the modification in flight."""
        if is_done and self.changing_to_qty is not None:
            self.price, self.trigger_price = self.changing_to_price, self.changing_to_trigger
        self.changing_to_qty = self.changing_to_price = self.changing_to_trigger = None


@dataclass(frozen=True, slots=True)
class Fill:
    """One fill as the venue reports it.

    Parameters
    ----------
    ts_ns
        UNIX nanoseconds.
    trade_id
        Of the venue: the same fill reported twice counts once.
    qty, price
        Base and quote currency.
    fee_quote, fee_base
        Commission in either currency; the other is 0.
    """

    ts_ns: int
    trade_id: str
    qty: Decimal
    price: Decimal
    fee_quote: Decimal = ZERO
    fee_base: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Submit:
    """Send this order."""

    order: OwnOrder
    is_buy: bool
    post_only: bool = False
    reduce_only: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take this order back."""

    client_id: str


@dataclass(frozen=True, slots=True)
class Change:
    """Modify this order: quantity (the ordered one, fills included), limit and stop price.

    A price of None is left as it is, and so is the order's type.
    """

    client_id: str
    qty: Decimal
    price: Decimal | None = None
    trigger_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """Ask the venue what became of this order."""

    client_id: str


@dataclass(frozen=True, slots=True)
class AskBalance:
    """Ask the venue what the account has: what the node was told last denies an exit."""


@dataclass(frozen=True, slots=True)
class Note:
    """Publish this decision; fields as in `Decision`."""

    kind: DecisionKind
    reason: str = ""
    price: Decimal | None = None
    stop: Decimal | None = None
    target: Decimal | None = None
    qty: Decimal | None = None
    detail: dict[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """The setup is closed and every order final.

    Parameters
    ----------
    trade
        The result, None when nothing was sold again (no fill, or dust only).
    dust_qty, dust_value
        Base coins left behind and what they count for, quote currency.
    """

    trade: ClosedTrade | None
    dust_qty: Decimal = ZERO
    dust_value: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Halt:
    """Open nothing any more: a person must look."""

    reason: str


type Action = Submit | Cancel | Change | Query | AskBalance | Note | Finished | Halt
