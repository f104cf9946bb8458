"""Bybit's codes and texts for what the exchange refuses.

Where they come from: Bybit v5 "Error Codes" (tables "UTA & Classic", "Spot Trade"); texts where that page
gives a description only are the ones of its examples. A grid violation of a linear order has no code of its
own there: it is a parameter error (10001).
"""

from typing import Final

from tests.venue_simulator.core import Order, RefusalKind, VenueRefusal
from tests.venue_simulator.core.terms import MarketKind

type Code = tuple[int, str]


class BybitError(Exception):
    """A non-zero `retCode` with its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
        self.headers: dict[str, str] = {}


LINEAR: Final[dict[RefusalKind, Code]] = {
    "unknown_symbol": (10001, "params error: symbol invalid"),
    "not_trading": (110074, "This contract is not live"),
    "bad_parameter": (10001, "Request parameter error."),
    "duplicate_id": (110072, "OrderLinkedID is duplicate"),
    "unknown_order": (110001, "order not exists or too late to cancel"),
    "insufficient_balance": (110007, "ab not enough for new order"),
    "insufficient_margin": (110007, "ab not enough for new order"),
    "filter_price": (10001, "Price invalid"),
    "filter_lot": (10001, "Qty invalid"),
    # The words of its users' reports, https://github.com/bybit-exchange/pybit/issues/284.
    "filter_most": (10001, "The number of contracts exceeds maximum limit allowed: too large"),
    "filter_notional": (110094, "Order does not meet minimum order value"),
    "percent_price": (110003, "Order price is out of permissible range"),
    "would_trigger": (110092, "trigger price on the wrong side of the current price"),
    "reduce_only": (110017, "current position is zero, cannot fix reduce-only order qty"),
    "no_liquidity": (110118, "Unable to retrieve a price of the market order due to low liquidity"),
    "too_many_orders": (110020, "Not allowed to have more than 500 active orders."),
    "no_change": (10001, "The order remains unchanged as the parameters entered match the existing ones."),
}
SPOT: Final[dict[RefusalKind, Code]] = {
    "unknown_symbol": (170121, "Invalid symbol."),
    "not_trading": (170151, "The trading pair is not open yet."),
    "bad_parameter": (170130, "Data sent for parameter is not valid."),
    "duplicate_id": (170141, "Duplicate clientOrderId."),
    "unknown_order": (170213, "Order does not exist."),
    "insufficient_balance": (170131, "Insufficient balance."),
    "insufficient_margin": (170033, "margin Insufficient account balance"),
    "filter_price": (170134, "Order price has too many decimals."),
    "filter_lot": (170137, "Order volume decimal too long."),
    "filter_most": (170124, "Order amount too large."),
    "filter_notional": (170140, "Order value exceeded lower limit."),
    "percent_price": (170192, "Order price is outside the permitted range."),
    "would_trigger": (170130, "Data sent for parameter 'triggerPrice' is not valid."),
    "reduce_only": (10001, "reduceOnly is not supported on spot"),
    "no_liquidity": (170198, "The filled price may deviate significantly from the market price."),
    "too_many_orders": (170810, "Cannot exceed maximum of 500 conditional, TP/SL and active orders."),
    "no_change": (10001, "The order remains unchanged as the parameters entered match the existing ones."),
}
TOO_LATE_TO_AMEND: Final = "order not exists or too late to replace"


def code_of(refusal: VenueRefusal, kind: MarketKind) -> BybitError:
    """Translate the exchange's refusal into the code of that product."""
    code, text = (SPOT if kind == "spot" else LINEAR).get(refusal.kind, (10001, refusal.detail))
    if refusal.kind == "filter_lot" and kind == "spot" and "outside" in refusal.detail:
        return BybitError(*_spot_lot(refusal.detail))
    return BybitError(code, text)


def _spot_lot(detail: str) -> Code:
    # The core says "<qty> outside <min>..<max> by <lot>" for both reasons.
    words = detail.split()
    if float(words[0]) < float(words[2].split("..")[0]):
        return 170136, "Order quantity lower than the minimum."
    return SPOT["filter_lot"]


def closed_code(order: Order) -> BybitError:
    """Return why a closed order can be neither cancelled nor amended."""
    if order.market.kind == "linear":
        return BybitError(*LINEAR["unknown_order"])
    if order.status == "FILLED":
        return BybitError(170139, "Order has been filled.")
    return BybitError(170142, "Order has been cancelled.")


# How an order that the venue itself ended says so: reason -> (cancelType, rejectReason). "Order Status",
# "cancelType" and "rejectReason" of "Enums Definitions".
ENDINGS: Final[dict[str, tuple[str, str]]] = {
    "would_take": ("UNKNOWN", "EC_PostOnlyWillTakeLiquidity"),
    "no_liquidity": ("UNKNOWN", "EC_NoImmediateQtyToFill"),
    "fill_or_kill": ("UNKNOWN", "EC_NoEnoughQtyToFill"),
    "reduce_only": ("CancelByReduceOnly", "EC_NoError"),
    "position_closed": ("CancelByTpSlTsClear", "EC_NoError"),
    "liquidation": ("CancelAllBeforeLiq", "EC_NoError"),
    "adl": ("CancelAllBeforeAdl", "EC_NoError"),
    "dcp": ("CancelByDCP", "EC_PerCancelRequest"),
}
