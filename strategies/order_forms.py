"""Orders of the core as Nautilus orders, in the precisions of the instrument."""

from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import ClientOrderId
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.model.orders import Order

from strategies.trade_manager.orders import OrderKind, Submit


def nautilus_order(action: Submit, factory: Any, instrument: Instrument) -> Order:
    """Return the Nautilus order of what the core wants sent.

    Parameters
    ----------
    action
        What is to be sent.
    factory
        The strategy's order factory.
    instrument
        What is traded.
    """
    own = action.order
    common: dict[str, Any] = {
        "instrument_id": instrument.id,
        "order_side": OrderSide.BUY if action.is_buy else OrderSide.SELL,
        "quantity": quantity_in(instrument, own.qty),
        "reduce_only": action.reduce_only,
        "client_order_id": ClientOrderId(own.client_id),
        "tags": [own.leg.name],
    }
    match own.kind:
        case OrderKind.MARKET:
            return factory.market(**common)
        case OrderKind.LIMIT:
            return factory.limit(price=price_in(instrument, own.price), post_only=action.post_only, **common)
        case OrderKind.STOP_MARKET:
            return factory.stop_market(trigger_price=price_in(instrument, own.trigger_price), **common)
        case OrderKind.STOP_LIMIT:
            return factory.stop_limit(
                price=price_in(instrument, own.price),
                trigger_price=price_in(instrument, own.trigger_price),
                **common,
            )


def price_in(instrument: Instrument, price: Decimal | None) -> Price:
    """Return a price in the instrument's precision; ValueError without one."""
    if price is None:
        raise ValueError("this order type needs a price")
    return Price(price, instrument.price_precision)


def quantity_in(instrument: Instrument, qty: Decimal) -> Quantity:
    """Return a quantity in the instrument's precision."""
    return Quantity(qty, instrument.size_precision)
