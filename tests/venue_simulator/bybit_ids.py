"""Bybit's identifiers and numbers on the wire: UUIDs, 19-digit spot order ids, decimals as strings.

Where the forms come from: `wire/bybit` of the shared data (http_get_executions: UUID order and execution ids
of linear; ws_order_response: 19-digit order ids) and Bybit v5 "Get Open & Closed Orders" (spot ids).
"""

from decimal import Decimal
from functools import cache
from typing import Final
from uuid import UUID

from tests.venue_simulator.core.order import Fill, Order
from tests.venue_simulator.core.terms import Market

# A fixed upper half makes a number of the core a UUID and back, the same in every run.
_ORDER_HIGH: Final = 0x5CF98598_39A7_459E << 64
_EXEC_HIGH: Final = 0xE0CBE81D_0F18_5866 << 64
_FUNDING_HIGH: Final = 0xD93E7B3C_8319_4C3E << 64
_TRADE_HIGH: Final = "9dc75fca-4bdd-4773"
_LOW_BITS: Final = 0x8000_0000_0000_0000
_SPOT_FIRST: Final = 1_726_025_498_520_000_000


def market_key(symbol: str, category: str) -> str:
    """Return the exchange's key of a symbol in a category: spot and linear share their names."""
    return f"{symbol}-{category.upper()}"


def link_id(order: Order) -> str:
    """Return the client's id; "" where the exchange had to make one up."""
    return "" if order.client_id == f"sim{order.order_id}" or "origin" in order.extra else order.client_id


def text(value: Decimal | None) -> str:
    """Return a number without an exponent; "" of None."""
    return "" if value is None else format(value, "f")


def trimmed(value: Decimal) -> str:
    """Return a number without an exponent and without zeros at its end."""
    return format(value.normalize(), "f") if value else "0"


def on_grid(value: Decimal, step: Decimal) -> str:
    """Return a number with as many decimals as its increment has."""
    return format(value.quantize(step), "f")


@cache
def _scale(step: Decimal) -> tuple[int, int, int]:
    decimals = max(0, -int(step.as_tuple().exponent))
    return int(step.scaleb(decimals)), 10**decimals, decimals


def steps_text(steps: int, step: Decimal) -> str:
    """Return `steps` x `step` with the increment's decimals; integers only, for a tape has many trades."""
    unit, scale, decimals = _scale(step)
    whole, rest = divmod(steps * unit, scale)
    return f"{whole}.{rest:0{decimals}d}" if decimals else str(whole)


def price_text(market: Market, price: Decimal | None) -> str:
    """Return a price with the decimals of its market's tick; "0" of None."""
    return "0" if price is None else on_grid(price, market.tick)


def qty_text(market: Market, qty: Decimal) -> str:
    """Return a quantity with the decimals of its market's lot."""
    return on_grid(qty, market.lot)


def order_id(order: Order) -> str:
    """Return an order's id as its product writes it."""
    return order_id_of(order.market, order.order_id)


def order_id_of(market: Market, number: int) -> str:
    """Return the wire's id of the core's order number: UUID of linear, 19 digits of spot."""
    if market.kind == "spot":
        return str(_SPOT_FIRST + number)
    return str(UUID(int=_ORDER_HIGH | _LOW_BITS | number))


def order_number(wire_id: str) -> int:
    """Return the core's number of a wire id; raises ValueError where it is none of ours."""
    number = int(wire_id) - _SPOT_FIRST if wire_id.isdigit() else UUID(wire_id).int ^ _ORDER_HIGH ^ _LOW_BITS
    if not 0 < number < _LOW_BITS:
        raise ValueError(f"{wire_id} is no order id of this exchange")
    return number


def exec_id(fill: Fill) -> str:
    """Return the id of an execution."""
    return str(UUID(int=_EXEC_HIGH | _LOW_BITS | fill.trade_id))


def funding_id(number: int) -> str:
    """Return the id of a funding execution."""
    return str(UUID(int=_FUNDING_HIGH | _LOW_BITS | number))


def trade_id(number: int) -> str:
    """Return the id of a public trade: a UUID, which says nothing about the trade before it."""
    # Multiplied by an odd constant, modulo 2**63: one to one, and neighbours look unrelated as on the venue.
    low = f"{_LOW_BITS | (number * 0x9E37_79B9_7F4A_7C15) % _LOW_BITS:016x}"
    return f"{_TRADE_HIGH}-{low[:4]}-{low[4:]}"


def ms(time_ns: int) -> int:
    """Return milliseconds of UNIX nanoseconds."""
    return time_ns // 1_000_000
