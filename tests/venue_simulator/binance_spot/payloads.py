"""The JSON of Binance spot: every shape beside the source it was taken from.

"data/wire" names the recorded payloads of ../shared/data/wire/binance/spot; the other names are files of
binance/binance-spot-api-docs.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from tests.venue_simulator.binance_common import text8
from tests.venue_simulator.core import Account, Execution, Fill, Market, Order
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
RATE_LIMITS: Final = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000},
    {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61000},
]


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


def exchange_info(markets: Sequence[Market], now_ms: int) -> Json:
    """Source: data/wire http_json/exchange_info_response.json; filters: filters.md."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": RATE_LIMITS,
        "exchangeFilters": [],
        "symbols": [symbol_info(market) for market in markets],
    }


def symbol_info(market: Market) -> Json:
    """Source: data/wire http_json/exchange_info_response.json."""
    return {
        "symbol": market.symbol,
        "status": market.status,
        "baseAsset": market.base,
        "baseAssetPrecision": 8,
        "quoteAsset": market.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT",
                       "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": True,
        "filters": filters(market),
        "permissions": [],
        "permissionSets": [["SPOT", "MARGIN"]],
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": ["NONE"],
    }  # fmt: skip


def filters(market: Market) -> list[Json]:
    """Source: filters.md, the /exchangeInfo format of each filter."""
    most_at_market = market.max_qty if market.market_max_qty is None else market.market_max_qty
    listed: list[Json] = [
        {"filterType": "PRICE_FILTER", "minPrice": text8(market.tick), "maxPrice": "1000000.00000000",
         "tickSize": text8(market.tick)},
        {"filterType": "LOT_SIZE", "minQty": text8(market.min_qty), "maxQty": text8(market.max_qty),
         "stepSize": text8(market.lot)},
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": text8(most_at_market),
         "stepSize": "0.00000000"},
        {"filterType": "NOTIONAL", "minNotional": text8(market.min_notional), "applyMinToMarket": True,
         "maxNotional": text8(market.max_notional or Decimal(9_000_000)), "applyMaxToMarket": False,
         "avgPriceMins": 0},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": market.max_orders},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": market.max_conditional},
    ]  # fmt: skip
    if market.percent_up is not None and market.percent_down is not None:
        up, down = f"{market.percent_up:f}", f"{market.percent_down:f}"
        listed.append(
            {"filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": up, "bidMultiplierDown": down,
             "askMultiplierUp": up, "askMultiplierDown": down, "avgPriceMins": 0}
        )  # fmt: skip
    return listed


def account_info(account: Account, markets: Sequence[Market], now_ms: int) -> Json:
    """Source: data/wire http_json/account_response.json."""
    maker = max((market.maker_rate for market in markets), default=ZERO)
    taker = max((market.taker_rate for market in markets), default=ZERO)
    return {
        "makerCommission": int(maker * 10_000),
        "takerCommission": int(taker * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": text8(maker), "taker": text8(taker), "buyer": text8(ZERO),
                            "seller": text8(ZERO)},
        "canTrade": account.can_trade,
        "canWithdraw": True,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": account.updated_ns // 1_000_000 or now_ms,
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": text8(balance.free), "locked": text8(balance.locked)}
            for asset, balance in account.balances.items()
        ],
        "permissions": ["SPOT"],
        "uid": 354_937_868,
    }  # fmt: skip


def api_restrictions(account: Account, now_ms: int) -> Json:
    """Source: Binance, Wallet endpoints, "Get API Key Permission" (GET /sapi/v1/account/apiRestrictions)."""
    return {
        "ipRestrict": account.ip_restricted,
        "createTime": now_ms - 86_400_000,
        "enableReading": True,
        "enableSpotAndMarginTrading": account.can_trade,
        "enableWithdrawals": account.can_withdraw,
        "enableInternalTransfer": False,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableFutures": account.can_trade,
        "enableMargin": False,
        "enablePortfolioMarginTrading": False,
    }


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


def account_position(account: Account, assets: Sequence[str], now_ms: int) -> Json:
    """Source: data/wire user_data_json/account_position_wrapped.json."""
    return {
        "e": "outboundAccountPosition",
        "E": now_ms,
        "u": account.updated_ns // 1_000_000 or now_ms,
        "B": [
            {
                "a": asset,
                "f": text8(account.balance(asset).free),
                "l": text8(account.balance(asset).locked),
            }
            for asset in assets
        ],
    }


def balance_update(asset: str, amount: Decimal, now_ms: int) -> Json:
    """Source: data/wire user_data_json/balance_update_wrapped.json."""
    return {"e": "balanceUpdate", "E": now_ms, "a": asset, "d": text8(amount), "T": now_ms}


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
