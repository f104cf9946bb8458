"""What Bybit is told about orders by REST: the bodies of its requests, version 5.

A conditional order of spot is one only with ``orderFilter``; one of contracts by its trigger price alone.
"""

from typing import Final

from nautilus_trader.core import nautilus_pyo3
from nautilus_trader.execution.messages import ModifyOrder
from nautilus_trader.model.enums import OrderSide, OrderType, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.orders import Order

WAITING, WORKING = "StopOrder", "Order"
TIFS: Final = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK"}
# A GTD order is taken back by its strategy; the venue has no such thing.
_OTHER_TIFS: Final = {TimeInForce.GTD: "GTC"}
_SPOT_STOPS: Final = frozenset(
    {OrderType.STOP_LIMIT, OrderType.STOP_MARKET, OrderType.LIMIT_IF_TOUCHED, OrderType.MARKET_IF_TOUCHED}
)
_STOPS: Final = frozenset({OrderType.STOP_LIMIT, OrderType.STOP_MARKET})
_LIMITS: Final = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED})
_ALL: Final = _SPOT_STOPS | {OrderType.LIMIT, OrderType.MARKET}
_RISE, _FALL = 1, 2


def can_go_by_rest(order: Order) -> bool:
    """Tell whether `order_body` has words for an order: none for trailing, or sized in quote currency."""
    is_known = order.order_type in _ALL and order.time_in_force in TIFS | _OTHER_TIFS
    return is_known and not order.is_quote_quantity


def order_body(order: Order) -> dict[str, str | int | bool]:
    """Return an order as the venue wants it ("Place Order").

    The coins of a spot stop are locked when it triggers, not before.
    """
    on_spot = is_spot(order.instrument_id)
    body: dict[str, str | int | bool] = {
        "category": category(order.instrument_id),
        "symbol": raw_symbol(order.instrument_id),
        "side": "Buy" if order.side == OrderSide.BUY else "Sell",
        "orderType": "Limit" if order.order_type in _LIMITS else "Market",
        "qty": str(order.quantity),
        "timeInForce": "PostOnly" if order.is_post_only else (TIFS | _OTHER_TIFS)[order.time_in_force],
        "orderLinkId": order.client_order_id.value,
    }
    if order.order_type in _LIMITS:
        body["price"] = str(order.price)
    elif on_spot:
        body["marketUnit"] = "baseCoin"
    if order.has_trigger_price:
        body["triggerPrice"] = str(order.trigger_price)
        if on_spot:
            body["orderFilter"] = WAITING
        else:
            rises = (order.side == OrderSide.BUY) == (order.order_type in _STOPS)
            body["triggerDirection"] = _RISE if rises else _FALL
    if order.is_reduce_only:
        body["reduceOnly"] = True
    return body


def change(order: Order, command: ModifyOrder) -> dict[str, str]:
    """Return the change of a stop as the venue wants it ("Amend Order"): only what differs."""
    body = {
        "category": category(order.instrument_id),
        "symbol": raw_symbol(order.instrument_id),
        "orderLinkId": order.client_order_id.value,
    }
    price = order.price if order.has_price else None
    trigger_price = order.trigger_price if order.has_trigger_price else None
    for name, new, old in (
        ("qty", command.quantity, order.quantity),
        ("price", command.price, price),
        ("triggerPrice", command.trigger_price, trigger_price),
    ):
        if new is not None and new != old:
            body[name] = str(new)
    return body


def category(instrument_id: InstrumentId) -> str:
    """Return the venue's name of the market of an instrument."""
    return "spot" if is_spot(instrument_id) else "linear"


def is_spot(instrument_id: InstrumentId) -> bool:
    """Tell whether an instrument is of the spot market."""
    return str(instrument_id.symbol.value).endswith("-SPOT")


def is_spot_stop(order: Order) -> bool:
    """Tell whether an order is a conditional one of spot."""
    return is_spot(order.instrument_id) and order.order_type in _SPOT_STOPS


def is_exit(order: Order) -> bool:
    """Tell whether an order ends or protects a position: nothing is sold short on spot."""
    is_sale = is_spot(order.instrument_id) and order.side == OrderSide.SELL
    return bool(is_sale or order.is_reduce_only)


def raw_symbol(instrument_id: InstrumentId) -> str:
    """Return the venue's own symbol."""
    return str(nautilus_pyo3.bybit_extract_raw_symbol(instrument_id.symbol.value))


__all__ = [
    "WAITING",
    "WORKING",
    "can_go_by_rest",
    "category",
    "change",
    "is_exit",
    "is_spot",
    "is_spot_stop",
    "order_body",
    "raw_symbol",
]
