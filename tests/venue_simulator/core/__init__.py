"""The protocol-free exchange: exact, synchronous, driven by public trades and by a clock it is given."""

from tests.venue_simulator.core.account import Account, Balance, Position
from tests.venue_simulator.core.book import Book, Touch
from tests.venue_simulator.core.events import BalanceReason, Execution, Listener
from tests.venue_simulator.core.exchange import Exchange
from tests.venue_simulator.core.order import Fill, Order, OrderRequest
from tests.venue_simulator.core.rules import VenueRules
from tests.venue_simulator.core.terms import (
    Clock,
    ManualClock,
    Market,
    OrderStatus,
    OrderType,
    RefusalKind,
    Side,
    TimeInForce,
    Trade,
    VenueRefusal,
    WallClock,
)

__all__ = [
    "Account",
    "Balance",
    "BalanceReason",
    "Book",
    "Clock",
    "Exchange",
    "Execution",
    "Fill",
    "Listener",
    "ManualClock",
    "Market",
    "Order",
    "OrderRequest",
    "OrderStatus",
    "OrderType",
    "Position",
    "RefusalKind",
    "Side",
    "TimeInForce",
    "Touch",
    "Trade",
    "VenueRefusal",
    "VenueRules",
    "WallClock",
]
