"""How Binance USD-M says no: error codes and texts, request weights and order counts.

Sources: developers.binance.com, "USDⓈ-M Futures", pages "Error Code" and "General Info" (limits), and the
request weight named on every endpoint's page.
"""

from collections.abc import Mapping

from tests.venue_simulator.binance_usdm_public import ORDERS_PER_10_SECS, ORDERS_PER_MINUTE, WEIGHT_LIMIT
from tests.venue_simulator.core import VenueRefusal
from tests.venue_simulator.limits import Window

# code -> text, as the page "Error Code" and live answers word them.
TEXTS: Mapping[int, str] = {
    -1000: "An unknown error occurred while processing the request.",
    -1003: "Too many requests; current limit of IP is 2400 requests per minute. "
    "Please use the websocket for live updates to avoid polling the API.",
    -1006: "An unexpected response was received from the message bus. Execution status unknown.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1008: "Server is currently overloaded with other requests. Please try again in a few minutes.",
    -1015: "Too many new orders.",
    -1102: "A mandatory parameter was not sent, was empty/null, or malformed.",
    -1106: "Parameter 'reduceonly' sent when not required.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1116: "Invalid orderType.",
    -1121: "Invalid symbol.",
    -1125: "This listenKey does not exist.",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2019: "Margin is insufficient.",
    -2021: "Order would immediately trigger.",
    -2022: "ReduceOnly Order is rejected.",
    -2025: "Reach max open order limit.",
    -4003: "Quantity less than or equal to zero.",
    -4004: "Quantity less than min quantity.",
    -4005: "Quantity greater than max quantity.",
    -4014: "Price not increased by tick size.",
    -4016: "Limit price can't be higher than the price band.",
    -4023: "Qty not increased by step size.",
    -4024: "Limit price can't be lower than the price band.",
    -4028: "Leverage is not valid.",
    -4045: "Reach max stop order limit.",
    -4046: "No need to change margin type.",
    -4116: "ClientOrderId is duplicated.",
    -4120: "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
    -4131: "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
    -4137: "Quantity must be zero with closePosition equals true",
    -4138: "Reduce only must be true with closePosition equals true",
    -4140: "Invalid symbol status for opening position.",
    -4164: "Order's notional must be no smaller than the minimum (unless you choose reduce only)",
    -5021: "Due to the order could not be filled immediately, the FOK order has been rejected.",
    -5022: "Due to the order could not be executed as maker, the Post Only order will be rejected. "
    "The order will not be recorded in the order history",
    -5027: "No need to modify the order.",
}
# The core's word -> code; what depends on the order is settled in `code_of`.
CODES: Mapping[str, int] = {
    "unknown_symbol": -1121,
    "not_trading": -4140,
    "bad_parameter": -1102,
    "duplicate_id": -4116,
    "unknown_order": -2011,
    "insufficient_balance": -2019,
    "insufficient_margin": -2019,
    "filter_price": -4014,
    "filter_lot": -4023,
    "filter_most": -4005,
    "filter_notional": -4164,
    "percent_price": -4016,
    "would_take": -5022,
    "would_trigger": -2021,
    "reduce_only": -2022,
    "no_liquidity": -4131,
    "too_many_orders": -2025,
    "no_change": -5027,
}
STATUS_OF_CODE: Mapping[int, int] = {-1003: 429, -1006: 503, -1007: 408, -1008: 503}


class UsdmError(Exception):
    """An answer that is an error: HTTP status, code, text."""

    def __init__(self, code: int, text: str = "", status: int = 0) -> None:
        self.code = code
        self.text = text or TEXTS.get(code, "")
        self.status = status or STATUS_OF_CODE.get(code, 400)
        super().__init__(f"{self.status} {code} {self.text}")

    def body(self) -> dict[str, object]:
        """Return what goes over the wire."""
        return {"code": self.code, "msg": self.text}


def translated(refusal: VenueRefusal, *, is_market: bool = False, is_algo: bool = False) -> UsdmError:
    """Say the core's refusal in the venue's codes."""
    code = CODES[refusal.kind]
    if refusal.kind == "percent_price":
        code = -4131 if is_market else -4024 if "below" in refusal.detail else -4016
    if refusal.kind == "too_many_orders" and is_algo:
        code = -4045
    return UsdmError(code)


# Weight of each endpoint without its parameters; `extra_weight` adds what they cost. 1 where not named.
WEIGHTS: Mapping[str, int] = {
    "GET account": 5,
    "GET positionRisk": 5,
    "GET balance": 5,
    "GET symbolConfig": 5,
    "GET positionSide/dual": 30,
    "GET allOrders": 5,
    "GET allAlgoOrders": 5,
    "GET userTrades": 5,
    "GET aggTrades": 20,
    "GET trades": 5,
    "GET historicalTrades": 20,
    "GET commissionRate": 20,
    "GET depth": 2,
    "POST countdownCancelAll": 10,
    "POST order": 0,
    "POST algoOrder": 0,
    "POST batchOrders": 5,
    "GET fundingRate": 0,
    "GET income": 30,
}
EXTRA_WITHOUT_SYMBOL: Mapping[str, int] = {
    "GET openOrders": 39,
    "GET openAlgoOrders": 39,
    "GET premiumIndex": 9,
    "GET ticker/bookTicker": 4,
}
COUNTED_ORDERS = frozenset({"POST order", "POST algoOrder", "PUT order"})
WEIGHT_WINDOW, ORDERS_10_SECS, ORDERS_MINUTE = "weight_1m", "orders_10s", "orders_1m"


def windows() -> dict[str, Window]:
    """Return the limits that exchangeInfo names."""
    return {
        WEIGHT_WINDOW: Window(WEIGHT_LIMIT, 60),
        ORDERS_10_SECS: Window(ORDERS_PER_10_SECS, 10),
        ORDERS_MINUTE: Window(ORDERS_PER_MINUTE, 60),
    }


def costs(endpoint: str) -> dict[str, int]:
    """Return what a call of an endpoint ("GET klines") costs, by window."""
    spent = {WEIGHT_WINDOW: WEIGHTS.get(endpoint, 1)}
    return spent | ({ORDERS_10_SECS: 1, ORDERS_MINUTE: 1} if endpoint in COUNTED_ORDERS else {})


def extra_weight(endpoint: str, parameters: Mapping[str, str]) -> int:
    """Return the weight that the parameters add: no symbol, or many klines."""
    if endpoint in EXTRA_WITHOUT_SYMBOL and not parameters.get("symbol"):
        return EXTRA_WITHOUT_SYMBOL[endpoint]
    if endpoint == "GET klines":
        limit = int(parameters.get("limit", 500))
        return 0 if limit < 100 else 1 if limit < 500 else 4 if limit <= 1000 else 9
    return 0
