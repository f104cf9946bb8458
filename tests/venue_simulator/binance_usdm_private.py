"""What Binance USD-M tells the owner of an order: orders, algo orders, fills.

Sources: developers.binance.com, "USDⓈ-M Futures", sections Trade, Account and User Data Streams; recorded
messages under `data/wire/binance/futures/{http_json,user_data_json}`. Numbers come as text.
"""

from dataclasses import dataclass
from typing import Any

type Payload = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class OrderView:
    """One order in the words of the wire; times in milliseconds, `stop_price` "0" without one."""

    symbol: str
    order_id: int
    client_id: str
    side: str
    kind: str
    time_in_force: str
    qty: str
    price: str
    stop_price: str
    avg_price: str
    filled_qty: str
    filled_quote: str
    status: str
    is_reduce_only: bool
    is_close_position: bool
    original_kind: str
    working_type: str
    good_till_ms: int
    created_ms: int
    updated_ms: int


@dataclass(slots=True, kw_only=True)
class FillView:
    """One fill in the words of the wire."""

    trade_id: int
    price: str
    qty: str
    quote_qty: str
    fee: str
    fee_asset: str
    realized: str
    is_maker: bool
    ts_ms: int


def order(view: OrderView) -> Payload:
    """Answer of POST, PUT, GET, DELETE /fapi/v1/order (order_response.json; "New Order", "Query Order")."""
    return {
        "orderId": view.order_id,
        "symbol": view.symbol,
        "status": view.status,
        "clientOrderId": view.client_id,
        "price": view.price,
        "avgPrice": view.avg_price,
        "origQty": view.qty,
        "executedQty": view.filled_qty,
        "cumQty": view.filled_qty,
        "cumQuote": view.filled_quote,
        "timeInForce": view.time_in_force,
        "type": view.kind,
        "reduceOnly": view.is_reduce_only,
        "closePosition": view.is_close_position,
        "side": view.side,
        "positionSide": "BOTH",
        "stopPrice": view.stop_price,
        "workingType": view.working_type,
        "priceProtect": False,
        "origType": view.original_kind,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": view.good_till_ms,
        "time": view.created_ms,
        "updateTime": view.updated_ms,
    }


def algo_order(
    view: OrderView, algo_id: int, algo_status: str, actual_order_id: int | None, trigger_ms: int
) -> Payload:
    """Answer of POST and GET /fapi/v1/algoOrder, row of openAlgoOrders (open_algo_orders.json).

    The recorded file calls the type `type`, the page "Query Algo Order" `orderType`: both are sent.
    A close-position order has no quantity of its own: null.
    """
    return {
        "algoId": algo_id,
        "clientAlgoId": view.client_id,
        "algoType": "CONDITIONAL",
        "type": view.kind,
        "orderType": view.kind,
        "symbol": view.symbol,
        "side": view.side,
        "positionSide": "BOTH",
        "timeInForce": view.time_in_force,
        "quantity": None if view.is_close_position else view.qty,
        "algoStatus": algo_status,
        "actualOrderId": "" if actual_order_id is None else str(actual_order_id),
        "actualPrice": view.avg_price,
        "triggerPrice": view.stop_price,
        "price": view.price,
        "icebergQuantity": None,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": view.working_type,
        "priceMatch": "NONE",
        "closePosition": view.is_close_position,
        "priceProtect": False,
        "reduceOnly": view.is_reduce_only,
        "createTime": view.created_ms,
        "updateTime": view.updated_ms,
        "triggerTime": trigger_ms,
        "goodTillDate": view.good_till_ms,
    }


def algo_cancelled(algo_id: int, client_id: str) -> Payload:
    """Answer of DELETE /fapi/v1/algoOrder ("Cancel Algo Order")."""
    return {"algoId": algo_id, "clientAlgoId": client_id, "code": "200", "msg": "success"}


def order_update(view: OrderView, execution: str, now_ms: int, fill: FillView | None = None) -> Payload:
    """ORDER_TRADE_UPDATE (order_update_*.json; "Event: Order Update").

    `execution` is `x`: NEW, TRADE, CANCELED, EXPIRED, AMENDMENT, CALCULATED. `gtd` is documented and read by
    adapters; the recorded files are older.
    """
    details: Payload = {
        "s": view.symbol,
        "c": view.client_id,
        "S": view.side,
        "o": view.kind,
        "f": view.time_in_force,
        "q": view.qty,
        "p": view.price,
        "ap": view.avg_price,
        "sp": view.stop_price,
        "x": execution,
        "X": view.status,
        "i": view.order_id,
        "l": fill.qty if fill else "0",
        "z": view.filled_qty,
        "L": fill.price if fill else "0",
        "T": fill.ts_ms if fill else view.updated_ms,
        "t": fill.trade_id if fill else 0,
        "b": "0",
        "a": "0",
        "m": fill.is_maker if fill else False,
        "R": view.is_reduce_only,
        "wt": view.working_type,
        "ot": view.original_kind,
        "ps": "BOTH",
        "cp": view.is_close_position,
        "pP": False,
        "si": 0,
        "ss": 0,
        "rp": fill.realized if fill else "0",
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": view.good_till_ms,
    }
    if fill:  # "will not push if no commission"
        details |= {"N": fill.fee_asset, "n": fill.fee}
    return {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": details["T"], "o": details}


def trade_lite(view: OrderView, fill: FillView, now_ms: int) -> Payload:
    """TRADE_LITE (trade_lite.json; "Event: Trade Lite")."""
    return {
        "e": "TRADE_LITE",
        "E": now_ms,
        "T": fill.ts_ms,
        "s": view.symbol,
        "q": view.qty,
        "p": view.price,
        "m": fill.is_maker,
        "c": view.client_id,
        "S": view.side,
        "L": fill.price,
        "l": fill.qty,
        "t": fill.trade_id,
        "i": view.order_id,
    }


def algo_update(
    view: OrderView,
    algo_id: int,
    algo_status: str,
    now_ms: int,
    actual: OrderView | None = None,
    trigger_ms: int = 0,
    reason: str = "",
) -> Payload:
    """ALGO_UPDATE (algo_update_*.json; "Event: Algo Order Update").

    `actual` is the order in the matching engine once triggered; `q` of a close-position order is "0".
    """
    details: Payload = {
        "caid": view.client_id,
        "aid": algo_id,
        "at": "CONDITIONAL",
        "o": view.kind,
        "s": view.symbol,
        "S": view.side,
        "ps": "BOTH",
        "f": view.time_in_force,
        "q": "0" if view.is_close_position else view.qty,
        "X": algo_status,
        "ai": str(actual.order_id) if actual else "",
        "ap": actual.avg_price if actual else "0.00000",
        "aq": actual.filled_qty if actual else "0.00000",
        "act": actual.kind if actual else "0",
        "tp": view.stop_price,
        "p": view.price,
        "V": "EXPIRE_MAKER",
        "wt": view.working_type,
        "pm": "NONE",
        "cp": view.is_close_position,
        "pP": False,
        "R": view.is_reduce_only,
        "tt": trigger_ms,
        "gtd": view.good_till_ms,
        "rm": reason,
    }
    return {"e": "ALGO_UPDATE", "T": now_ms, "E": now_ms, "o": details}


def user_trade(symbol: str, order_id: int, side: str, fill: FillView) -> Payload:
    """Give one row of GET /fapi/v1/userTrades ("Account Trade List")."""
    return {
        "symbol": symbol,
        "id": fill.trade_id,
        "orderId": order_id,
        "side": side,
        "price": fill.price,
        "qty": fill.qty,
        "realizedPnl": fill.realized,
        "quoteQty": fill.quote_qty,
        "commission": fill.fee,
        "commissionAsset": fill.fee_asset,
        "time": fill.ts_ms,
        "positionSide": "BOTH",
        "buyer": side == "BUY",
        "maker": fill.is_maker,
    }
