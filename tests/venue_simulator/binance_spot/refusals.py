"""What Binance spot says when it refuses: codes and texts of errors.md (binance/binance-spot-api-docs)."""

from typing import Final

from aiohttp import web

from tests.venue_simulator.binance_common import error
from tests.venue_simulator.core import RefusalKind, VenueRefusal

NEW_ORDER_REJECTED: Final = -2010
INVALID_MESSAGE: Final = -1013

ANSWERS: Final[dict[RefusalKind, tuple[int, str]]] = {
    "unknown_symbol": (-1121, "Invalid symbol."),
    "not_trading": (INVALID_MESSAGE, "Market is closed."),
    "bad_parameter": (-1130, "Invalid data sent for a parameter."),
    "duplicate_id": (NEW_ORDER_REJECTED, "Duplicate order sent."),
    "insufficient_balance": (NEW_ORDER_REJECTED, "Account has insufficient balance for requested action."),
    "insufficient_margin": (NEW_ORDER_REJECTED, "Account has insufficient balance for requested action."),
    "filter_price": (INVALID_MESSAGE, "Filter failure: PRICE_FILTER"),
    "filter_lot": (INVALID_MESSAGE, "Filter failure: LOT_SIZE"),
    "filter_most": (INVALID_MESSAGE, "Filter failure: LOT_SIZE"),
    "filter_notional": (INVALID_MESSAGE, "Filter failure: NOTIONAL"),
    "percent_price": (INVALID_MESSAGE, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    "would_take": (NEW_ORDER_REJECTED, "Order would immediately match and take."),
    "would_trigger": (NEW_ORDER_REJECTED, "Order would trigger immediately."),
    "reduce_only": (-1106, "Parameter 'reduceOnly' sent when not required."),
    "no_liquidity": (NEW_ORDER_REJECTED, "Order book liquidity is less than symbol minimum quantity."),
    "too_many_orders": (INVALID_MESSAGE, "Filter failure: MAX_NUM_ORDERS"),
    "unknown_order": (-2013, "Order does not exist."),
    "no_change": (-2038, "The requested action would change no state; rejecting"),
}


def answer(refusal: VenueRefusal) -> web.Response:
    """Return the venue's answer to a refused request."""
    code, text = ANSWERS[refusal.kind]
    if refusal.kind == "too_many_orders" and "conditional" in refusal.detail:
        text = "Filter failure: MAX_NUM_ALGO_ORDERS"
    if refusal.kind == "filter_most" and "at market" in refusal.detail:
        text = "Filter failure: MARKET_LOT_SIZE"
    return error(400, code, text)


def unknown_cancel() -> web.Response:
    """Return the answer to a cancellation of an order that is not open (CANCEL_REJECTED)."""
    return error(400, -2011, "Unknown order sent.")


def too_many_requests(status: int, wait_secs: int, until_ms: int) -> web.Response:
    """Return 429 or 418 with Retry-After (rest-api.md, "IP Limits")."""
    advice = "Please use WebSocket Streams for live updates to avoid"
    text = (
        f"Way too much request weight used; IP banned until {until_ms}. {advice} bans."
        if status == 418
        else f"Too much request weight used; current limit is 6000 request weight per 1 MINUTE. {advice} "
        "polling the API."
    )
    response = error(status, -1003, text)
    response.headers["Retry-After"] = str(wait_secs)
    return response


def too_many_new_orders(wait_secs: int, limit: int, interval: str) -> web.Response:
    """Return 429 for the order count (rest-api.md, "Unfilled Order Count")."""
    response = error(429, -1015, f"Too many new orders; current limit is {limit} orders per {interval}.")
    response.headers["Retry-After"] = str(wait_secs)
    return response
