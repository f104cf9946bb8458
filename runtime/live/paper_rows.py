"""Orders and positions of a simulated venue as they are kept, and back."""

from typing import Final

import msgspec
from nautilus_trader.model.events import OrderInitialized
from nautilus_trader.model.orders import Order
from nautilus_trader.model.orders.unpacker import OrderUnpacker
from nautilus_trader.model.position import Position
from nautilus_trader.serialization.serializer import MsgSpecSerializer

from runtime.live.paper_state import OrderRow

SERIALIZER: Final = MsgSpecSerializer(encoding=msgspec.json)


def order_row(order: Order) -> OrderRow:
    """Return an order as it is kept."""
    events = tuple(SERIALIZER.serialize(event) for event in order.events)
    is_open = not order.is_closed
    return OrderRow(
        order.client_order_id.value, order.instrument_id.value, is_open, int(order.ts_last), events
    )


def restored_order(row: OrderRow) -> Order:
    """Return a kept order."""
    first, *others = (SERIALIZER.deserialize(event) for event in row.events)
    if not isinstance(first, OrderInitialized):
        raise TypeError(f"{row.client_order_id} begins with {type(first).__name__}")
    order = OrderUnpacker.from_init(first)
    for event in others:
        order.apply(event)
    return order


def position_summary(position: Position) -> dict[str, str]:
    """Return what those who read the state from outside want to know of a position."""
    return {
        "instrument": position.instrument_id.value,
        "strategy": position.strategy_id.value,
        "qty": f"{position.signed_decimal_qty():f}",
        "entry": str(position.avg_px_open),
        "realized": str(position.realized_pnl),
        "value_currency": position.settlement_currency.code,
        "coin": "" if position.base_currency is None else position.base_currency.code,
        "multiplier": str(position.multiplier),
    }
