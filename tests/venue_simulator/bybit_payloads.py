"""Bybit's payloads of orders and executions; the same builder feeds REST and stream.

Where the shapes come from (`wire/bybit` of the shared data, against which a test holds every builder):
http_get_orders_realtime_tp_sl, http_get_orders_history, ws_account_order*, http_get_executions,
ws_account_execution, ws_account_execution_adl. Values of the words: Bybit v5 "Enums Definitions".
"""

from decimal import Decimal
from typing import Any, Final

from tests.venue_simulator.bybit_codes import ENDINGS
from tests.venue_simulator.bybit_ids import (
    exec_id,
    funding_id,
    link_id,
    ms,
    order_id,
    price_text,
    qty_text,
    trimmed,
)
from tests.venue_simulator.core import Fill, Market, Order, Side
from tests.venue_simulator.core.terms import ZERO

type Payload = dict[str, Any]

SIDES: Final[dict[Side, str]] = {"BUY": "Buy", "SELL": "Sell"}
TIFS: Final = {"GTC": "GTC", "IOC": "IOC", "FOK": "FOK", "GTX": "PostOnly", "GTD": "GTC"}
STATUSES: Final = {
    "NEW": "New",
    "PARTIALLY_FILLED": "PartiallyFilled",
    "FILLED": "Filled",
    "REJECTED": "Cancelled",  # post-only that would take; other refusals are never an order
    "EXPIRED": "Cancelled",
    "CANCELED": "Cancelled",
    "UNTRIGGERED": "Untriggered",
    "TRIGGERED": "Triggered",
}


EXEC_TYPES: Final = {"liquidation": "BustTrade", "adl": "AdlTrade"}


def status(order: Order) -> str:
    """Return an order's status in Bybit's words."""
    if order.status in ("CANCELED", "EXPIRED"):
        if order.is_conditional and not order.triggered_ns:
            return "Deactivated"
        if order.market.kind == "spot" and order.filled_qty:
            return "PartiallyFilledCanceled"
    return STATUSES[order.status]


def is_market(order: Order) -> bool:
    """Return whether an order takes whatever price it finds."""
    return not order.is_priced


def stop_order_type(order: Order) -> str:
    """Return what kind of conditional order it is; "" of an ordinary one."""
    if not order.is_conditional:
        return ""
    if not is_attached(order):
        return order.extra.get("stopOrderType", "Stop")
    if order.market.kind == "spot":
        return "BidirectionalTpslOrder"
    part = "Partial" if "pair" in order.extra else ""
    return f"{part}{'StopLoss' if order.type == 'STOP_MARKET' else 'TakeProfit'}"


def is_attached(order: Order) -> bool:
    """Return whether the exchange made the order out of a stop or target that an entry carried."""
    return order.parent_id != 0


def tpsl_mode(order: Order) -> str:
    """Return whether an attached exit stands for the whole position, or what an entry asked for."""
    if is_attached(order):
        return "Partial" if "pair" in order.extra else "Full"
    return order.extra.get("tpslMode", "")


def trigger_direction(order: Order) -> int:
    """Return 1 when a rise triggers the order, 2 when a fall does, 0 of an ordinary one."""
    if not order.is_conditional:
        return 0
    is_stop = order.type in ("STOP_MARKET", "STOP_LIMIT")
    return 1 if is_stop == (order.side == "BUY") else 2


def order_fields(order: Order, closing_qty: Decimal = ZERO) -> Payload:
    """Return what REST and stream say alike about an order.

    Parameters
    ----------
    order
        Of any product, in any state.
    closing_qty
        The position's size, which an order that closes the whole position shows as its own.
    """
    market, extra = order.market, order.extra
    cancel_type, reject_reason = ending(order)
    price = None if is_market(order) else order.price
    fees = sum((fill.fee for fill in order.fills), ZERO)
    qty = order.qty or closing_qty
    leaves = qty - order.filled_qty if order.is_open else ZERO
    return {
        "symbol": market.symbol,
        "orderId": order_id(order),
        "orderLinkId": link_id(order),
        "side": SIDES[order.side],
        "orderType": "Market" if is_market(order) else "Limit",
        "cancelType": cancel_type,
        "price": price_text(market, price),
        "qty": qty_text(market, qty),
        "timeInForce": "IOC" if is_market(order) and not order.is_conditional else TIFS[order.tif],
        "orderStatus": status(order),
        "lastPriceOnCreated": extra.get("lastPriceOnCreated", ""),
        "reduceOnly": order.reduce_only or order.close_position,
        "leavesQty": qty_text(market, leaves),
        "leavesValue": trimmed(leaves * (order.price or order.stop_price or ZERO)),
        "cumExecQty": qty_text(market, order.filled_qty),
        "cumExecValue": trimmed(order.filled_quote),
        "avgPrice": trimmed(order.avg_price) if order.filled_qty else "",
        "positionIdx": 0,
        "cumExecFee": trimmed(fees),
        "createdTime": str(ms(order.created_ns)),
        "updatedTime": str(ms(order.updated_ns)),
        "rejectReason": reject_reason,
        "stopOrderType": stop_order_type(order),
        "tpslMode": tpsl_mode(order),
        "triggerPrice": price_text(market, order.stop_price) if order.is_conditional else "",
        "takeProfit": price_text(market, order.take_profit) if order.take_profit is not None else "",
        "stopLoss": price_text(market, order.stop_loss) if order.stop_loss is not None else "",
        "tpTriggerBy": extra.get("tpTriggerBy", ""),
        "slTriggerBy": extra.get("slTriggerBy", ""),
        "tpLimitPrice": "0",
        "slLimitPrice": "0",
        "triggerDirection": trigger_direction(order),
        "triggerBy": extra.get("triggerBy", "LastPrice") if order.is_conditional else "",
        "closeOnTrigger": order.close_position or extra.get("closeOnTrigger") == "true",
        "placeType": "order",
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
    }


def ending(order: Order) -> tuple[str, str]:
    """Return (cancelType, rejectReason) of an order."""
    if order.reason == "other_exit":
        words = "SlCanceledByTpTriggered" if order.type == "STOP_MARKET" else "TpCanceledBySlTriggered"
        return f"CancelByOCO{words}", "EC_NoError"
    if order.status in ("CANCELED", "EXPIRED", "REJECTED"):
        return ENDINGS.get(order.reason, ("CancelByUser", "EC_PerCancelRequest"))
    return "UNKNOWN", "EC_NoError"


def rest_order(order: Order, closing_qty: Decimal = ZERO) -> Payload:
    """Return a row of ``/v5/order/realtime`` and ``/v5/order/history`` (http_get_orders_realtime_tp_sl)."""
    leverage = order.extra.get("isLeverage", "0")
    return {**order_fields(order, closing_qty), "blockTradeId": "", "isLeverage": leverage, "orderIv": ""}


def stream_order(order: Order, closing_qty: Decimal = ZERO) -> Payload:
    """Return the `data` element of topic ``order`` (ws_account_order_filled)."""
    market = order.market
    return {
        **order_fields(order, closing_qty),
        "category": market.kind,
        "orderIv": "",
        "blockTradeId": "",
        "feeCurrency": fee_currency(market, order.side),
        "createType": create_type(order),
    }


def create_type(order: Order) -> str:
    """Return who made an order."""
    origins = {"liquidation": "CreateByLiq", "adl": "CreateByAdl_PassThrough"}
    if is_attached(order) and order.market.kind == "linear":
        return f"CreateBy{stop_order_type(order)}"
    return origins.get(order.extra.get("origin", ""), order.extra.get("createType", "CreateByUser"))


def fee_currency(market: Market, side: Side) -> str:
    """Return what the fee of such an order is paid in: what is received on spot, the quote otherwise."""
    return market.base if market.kind == "spot" and side == "BUY" else market.quote


def execution(fill: Fill, seq: int) -> Payload:
    """Return the `data` element of topic ``execution`` (ws_account_execution)."""
    order, market = fill.order, fill.order.market
    base = fill.fee * fill.price if fill.fee_asset == market.base else fill.fee
    rate = base / fill.quote_qty if fill.quote_qty else ZERO
    return {
        "category": market.kind,
        "symbol": market.symbol,
        "closedSize": qty_text(market, fill.qty) if order.reduce_only else "0",
        "execFee": trimmed(fill.fee),
        "execId": exec_id(fill),
        "execPrice": price_text(market, fill.price),
        "execQty": qty_text(market, fill.qty),
        "execType": EXEC_TYPES.get(order.extra.get("origin", ""), "Trade"),
        "execValue": trimmed(fill.quote_qty),
        "feeRate": trimmed(round(rate, 6)),
        "tradeIv": "",
        "markIv": "",
        "blockTradeId": "",
        "markPrice": price_text(market, fill.price),
        "indexPrice": "",
        "underlyingPrice": "",
        "leavesQty": qty_text(market, order.leaves_qty),
        "orderId": order_id(order),
        "orderLinkId": link_id(order),
        "orderPrice": price_text(market, order.price),
        "orderQty": qty_text(market, order.qty),
        "orderType": "Market" if is_market(order) else "Limit",
        "stopOrderType": stop_order_type(order) or "UNKNOWN",
        "side": SIDES[order.side],
        "execTime": str(ms(fill.ts_ns)),
        "isLeverage": order.extra.get("isLeverage", "0"),
        "isMaker": fill.is_maker,
        "seq": seq,
        "createType": create_type(order),
        "feeCurrency": fill.fee_asset,
    }


def rest_execution(fill: Fill, seq: int) -> Payload:
    """Return a row of ``/v5/execution/list`` (http_get_executions)."""
    row = execution(fill, seq)
    row.pop("category")
    row.pop("isLeverage")
    if row["stopOrderType"] == "UNKNOWN":
        row["stopOrderType"] = ""
    return row


def funding_execution(
    market: Market, qty: Decimal, mark: Decimal, rate: Decimal, number: int, ts_ns: int
) -> Payload:
    """Return the `data` element of topic ``execution`` for a funding fee.

    As recorded from the venue: github.com/ccxt/ccxt/issues/17244. The side is that of the position, the
    quantity its size, a positive fee was paid, and the order is none of ours.
    """
    value = abs(qty) * mark
    return {
        "category": market.kind,
        "symbol": market.symbol,
        "closedSize": "0",
        "execFee": trimmed((qty * mark * rate).quantize(Decimal("0.00000001"))),
        "execId": funding_id(number),
        "execPrice": price_text(market, mark),
        "execQty": qty_text(market, abs(qty)),
        "execType": "Funding",
        "execValue": trimmed(value),
        "feeRate": trimmed(rate),
        "tradeIv": "",
        "markIv": "",
        "blockTradeId": "",
        "markPrice": price_text(market, mark),
        "indexPrice": "",
        "underlyingPrice": "",
        "leavesQty": "0",
        "orderId": str(16_790 + number),
        "orderLinkId": "",
        "orderPrice": "0",
        "orderQty": "0",
        "orderType": "UNKNOWN",
        "stopOrderType": "UNKNOWN",
        "side": "Buy" if qty > 0 else "Sell",
        "execTime": str(ms(ts_ns)),
        "isLeverage": "0",
        "isMaker": False,
        "seq": number,
        "createType": "",
        "feeCurrency": market.quote,
    }
