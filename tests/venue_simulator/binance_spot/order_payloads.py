"""The JSON of Binance spot's orders and fills: every shape beside the source it was taken from.

"data/wire" names the recorded payloads of ../shared/data/wire/binance/spot; the other names are files of
binance/binance-spot-api-docs.
"""

from typing import Any, Final

from tests.venue_simulator.binance_common import text8
from tests.venue_simulator.core import Execution, Fill, Order
from tests.venue_simulator.core.terms import ZERO

type Json = dict[str, Any]

# enums.md, "Order types"; LIMIT_MAKER is a LIMIT with our post-only time in force.
TYPES: Final = {
    "LIMIT": "LIMIT",
    "MARKET": "MARKET",
    "STOP_MARKET": "STOP_LOSS",
    "STOP_LIMIT": "STOP_LOSS_LIMIT",
    "TAKE_PROFIT_MARKET": "TAKE_PROFIT",
    "TAKE_PROFIT_LIMIT": "TAKE_PROFIT_LIMIT",
}
# user-data-stream.md, "Order Expiry Reason".
EXPIRY_REASONS: Final = {
    "IOC": "UNFILLED_IOC_QUANTITY_EXPIRED",
    "FOK": "UNFILLED_FOK_ORDER_EXPIRED",
}


def wire_type(order: Order) -> str:
    """Return the venue's word for an order's type."""
    return "LIMIT_MAKER" if order.type == "LIMIT" and order.tif == "GTX" else TYPES[order.type]


def wire_tif(order: Order) -> str:
    """Return the venue's time in force; a LIMIT_MAKER is good till cancelled."""
    return "GTC" if order.tif in {"GTX", "GTD"} else order.tif


def wire_status(order: Order) -> str:
    """Return the venue's status: an order that waits for its stop price is NEW too."""
    return "NEW" if order.status in {"UNTRIGGERED", "TRIGGERED"} else order.status


def is_working(order: Order) -> bool:
    """Return whether the order stands (or stood) in the book."""
    return not order.is_waiting


def order_info(order: Order) -> Json:
    """Source: data/wire http_json/order_response.json (GET order, openOrders, allOrders)."""
    return {
        **_order_core(order),
        "stopPrice": text8(order.stop_price or ZERO),
        "icebergQty": text8(ZERO),
        "time": order.created_ns // 1_000_000,
        "updateTime": order.updated_ns // 1_000_000,
        "isWorking": is_working(order),
        "workingTime": _working_ms(order),
        "origQuoteOrderQty": text8(order.quote_qty or ZERO),
        "selfTradePreventionMode": "NONE",
    }


def order_ack(order: Order) -> Json:
    """Source: rest-api.md, "New order", response ACK."""
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "transactTime": order.updated_ns // 1_000_000,
    }


def order_full(order: Order) -> Json:
    """Source: data/wire http_json/new_order_full_response.json."""
    return {
        **_order_core(order),
        "transactTime": order.updated_ns // 1_000_000,
        "origQuoteOrderQty": text8(order.quote_qty or ZERO),
        "workingTime": _working_ms(order),
        "selfTradePreventionMode": "NONE",
        "fills": [
            {"price": text8(fill.price), "qty": text8(fill.qty), "commission": text8(fill.fee),
             "commissionAsset": fill.fee_asset, "tradeId": fill.trade_id}
            for fill in order.fills
        ],
    }  # fmt: skip


def order_canceled(order: Order, cancel_id: str) -> Json:
    """Source: data/wire http_json/cancel_order_response.json."""
    answer = {
        **_order_core(order),
        "origClientOrderId": order.client_id,
        "clientOrderId": cancel_id,
        "transactTime": order.updated_ns // 1_000_000,
        "origQuoteOrderQty": text8(order.quote_qty or ZERO),
        "selfTradePreventionMode": "NONE",
    }
    if order.is_conditional:
        answer["stopPrice"] = text8(order.stop_price or ZERO)
    return answer


def my_trade(fill: Fill) -> Json:
    """Source: data/wire http_json/account_trades_response.json."""
    return {
        "symbol": fill.order.symbol,
        "id": fill.trade_id,
        "orderId": fill.order.order_id,
        "orderListId": -1,
        "price": text8(fill.price),
        "qty": text8(fill.qty),
        "quoteQty": text8(fill.quote_qty),
        "commission": text8(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.ts_ns // 1_000_000,
        "isBuyer": fill.order.side == "BUY",
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def execution_report(
    order: Order, execution: Execution, fill: Fill | None, *, execution_id: int, cancel_id: str, now_ms: int
) -> Json:
    """Source: data/wire user_data_json/execution_report_wrapped.json; user-data-stream.md, "Order Update".

    When a stop price is reached the venue reports NEW once more, then with "w" true: the order is now in the
    book. Of a cancellation "c" is the cancel's own id and "C" the order's.
    """
    is_cancel = execution == "CANCELED"
    at_ms = order.updated_ns // 1_000_000
    report: Json = {
        "e": "executionReport",
        "E": now_ms,
        "s": order.symbol,
        "c": cancel_id if is_cancel else order.client_id,
        "S": order.side,
        "o": wire_type(order),
        "f": wire_tif(order),
        "q": text8(order.qty),
        "p": text8(order.price or ZERO),
        "P": text8(order.stop_price or ZERO),
        "F": text8(ZERO),
        "g": -1,
        "C": order.client_id if is_cancel else "",
        "x": "NEW" if execution == "TRIGGERED" else execution,
        "X": wire_status(order),
        "r": "NONE",
        "i": order.order_id,
        "l": text8(fill.qty if fill else ZERO),
        "z": text8(order.filled_qty),
        "L": text8(fill.price if fill else ZERO),
        "n": text8(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else None,
        "T": at_ms,
        "t": fill.trade_id if fill else -1,
        "I": execution_id,
        "w": order.is_open and is_working(order),
        "m": fill is not None and fill.is_maker,
        "M": fill is not None,
        "O": order.created_ns // 1_000_000,
        "Z": text8(order.filled_quote),
        "Y": text8(fill.quote_qty if fill else ZERO),
        "Q": text8(order.quote_qty or ZERO),
        "V": "NONE",
    }
    if is_working(order):
        report["W"] = _working_ms(order)
    if execution == "EXPIRED":
        report["eR"] = EXPIRY_REASONS.get(order.tif, "INSUFFICIENT_LIQUIDITY")
    return report


def _order_core(order: Order) -> Json:
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "price": text8(order.price or ZERO),
        "origQty": text8(order.qty),
        "executedQty": text8(order.filled_qty),
        "cummulativeQuoteQty": text8(order.filled_quote),
        "status": wire_status(order),
        "timeInForce": wire_tif(order),
        "type": wire_type(order),
        "side": order.side,
    }


def _working_ms(order: Order) -> int:
    if order.is_waiting:
        return -1
    return (order.triggered_ns or order.created_ns) // 1_000_000
