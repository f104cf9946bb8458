"""What venues say of orders, translated: an event of Nautilus becomes a fact of the setup."""

from typing import Any, Final, Protocol

from nautilus_trader.model.events import (
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderDenied,
    OrderEvent,
    OrderExpired,
    OrderFilled,
    OrderInitialized,
    OrderModifyRejected,
    OrderPendingCancel,
    OrderPendingUpdate,
    OrderRejected,
    OrderSubmitted,
    OrderUpdated,
)

from strategies.protection import VenueCapabilities, unknown_outcome
from strategies.trade_manager.orders import Action, Fill
from strategies.trade_manager.setup import Setup

# Why an entry is denied that was taken back, or entries closed, before it left for the venue.
WITHDRAWN: Final = "withdrawn"
# Why one is denied for which the venue's request limits have no room: the rest is for exits.
RATE_LIMIT: Final = "rate_limit"
# Events that tell nothing but that an order, or the wish to change it, is on its way.
OWN_STEPS: Final = frozenset({OrderInitialized, OrderSubmitted, OrderPendingCancel, OrderPendingUpdate})


def is_taken_back(event: OrderEvent) -> bool:
    """Tell whether an order ended unfilled, at the venue or before it left, without a refusal."""
    is_withdrawn = isinstance(event, OrderDenied) and event.reason == WITHDRAWN
    return is_withdrawn or isinstance(event, OrderCanceled | OrderExpired)


class Listener(Protocol):
    """What of a desk is needed to understand an event."""

    venue: VenueCapabilities
    """What the venue can do."""

    def fill_of(self, event: Any) -> Fill:
        """Return a fill in plain words."""


def tell(setup: Setup, event: Any, desk: Listener) -> list[Action]:
    """Tell a setup of an event; return what it asks for.

    Parameters
    ----------
    setup
        Has the order.
    event
        Of Nautilus, about an order.
    desk
        Of the setup.

    Raises
    ------
    IllegalTransition
        The event cannot follow what was before.
    """
    client_id: str = event.client_order_id.value
    ts_ns: int = event.ts_event
    if isinstance(event, OrderFilled):
        return setup.on_filled(client_id, desk.fill_of(event))
    if isinstance(event, OrderAccepted):
        return setup.on_accepted(client_id, ts_ns)
    if isinstance(event, OrderUpdated):
        return setup.on_updated(client_id, event.quantity.as_decimal(), ts_ns)
    if isinstance(event, OrderCanceled | OrderExpired):
        return setup.on_canceled(client_id, ts_ns)
    if isinstance(event, OrderRejected):
        if unknown_outcome(desk.venue, event.reason):
            return setup.on_unanswered(client_id, ts_ns)
        return setup.on_rejected(client_id, event.reason, ts_ns, due_post_only=event.due_post_only)
    if isinstance(event, OrderDenied):
        return setup.on_rejected(client_id, event.reason, ts_ns, due_post_only=False)
    if isinstance(event, OrderCancelRejected):
        return setup.on_cancel_refused(client_id, ts_ns)
    if isinstance(event, OrderModifyRejected):
        return setup.on_change_refused(client_id, ts_ns)
    return []


def point_before(setup: Setup, event: OrderEvent) -> str:
    """Return the name of the moment before an event is taken; empty where it has none."""
    leg = setup.orders[event.client_order_id.value].leg.name.lower()
    if isinstance(event, OrderFilled):
        return f"{leg}_fill_reported"
    if isinstance(event, OrderCanceled):
        return "cancel_confirmed"
    return f"{leg}_accepted" if isinstance(event, OrderAccepted) else ""
