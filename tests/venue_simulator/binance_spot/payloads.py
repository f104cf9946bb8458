"""The JSON of Binance spot's markets and accounts: every shape beside the source it was taken from.

"data/wire" names the recorded payloads of ../shared/data/wire/binance/spot; the other names are files of
binance/binance-spot-api-docs.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from tests.venue_simulator.binance_common import text8
from tests.venue_simulator.core import Account, Market
from tests.venue_simulator.core.terms import ZERO

type Json = dict[str, Any]

RATE_LIMITS: Final = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000},
    {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61000},
]


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
