"""What Binance USD-M tells everybody: contract rules, trades, klines, book top, mark price.

Sources: developers.binance.com, "USDⓈ-M Futures", sections Market Data and Websocket Market Streams; recorded
frames under `data/wire/binance/futures/market_data_json`. The tests compare every builder with those files.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

type Payload = dict[str, Any]

ORDER_TYPES = (
    "LIMIT",
    "MARKET",
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
)
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX", "GTD")
WEIGHT_LIMIT = 2400
ORDERS_PER_10_SECS = 300
ORDERS_PER_MINUTE = 1200
PERPETUAL_DELIVERY_MS = 4_133_404_800_000  # the venue's "never"
FUNDING_INTERVAL_MS = 8 * 3_600_000


def plain(value: Decimal, places: int) -> str:
    """Write a number as the venue does: fixed point, so many places."""
    return f"{value:.{places}f}"


def places_of(step: Decimal) -> int:
    """Count the decimal places of a price or size step as it is written: two for 0.10."""
    return max(0, -int(step.as_tuple().exponent))


def grid_writer(step: Decimal) -> Callable[[int], str]:
    """Return what writes a number of steps: whole-number arithmetic, a tape is a lot of numbers."""
    places = places_of(step)
    unit = 10**places
    size = int(step * unit)
    if not places:
        return lambda steps: str(steps * size)
    return lambda steps: f"{steps * size // unit}.{steps * size % unit:0{places}d}"


def exchange_info(symbols: Iterable[Payload], now_ms: int) -> Payload:
    """GET /fapi/v1/exchangeInfo (Market Data, "Exchange Information")."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": WEIGHT_LIMIT,
            },
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": ORDERS_PER_MINUTE},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": ORDERS_PER_10_SECS},
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": list(symbols),
    }


def symbol_info(
    symbol: str,
    base: str,
    quote: str,
    tick: Decimal,
    lot: Decimal,
    min_qty: Decimal,
    max_qty: Decimal,
    market_max_qty: Decimal,
    min_notional: Decimal,
    percent_price: tuple[Decimal, Decimal],
    status: str = "TRADING",
) -> Payload:
    """Give one entry of `symbols` of exchangeInfo; `percent_price` is (up, down) of PERCENT_PRICE."""
    price_places, qty_places = places_of(tick), places_of(lot)
    up, down = percent_price
    sizes = {
        "maxQty": plain(max_qty, qty_places),
        "minQty": plain(min_qty, qty_places),
        "stepSize": plain(lot, qty_places),
    }
    return {
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": PERPETUAL_DELIVERY_MS,
        "onboardDate": 1_569_398_400_000,
        "status": status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
        "pricePrecision": price_places,
        "quantityPrecision": qty_places,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": plain(tick, price_places),
                "maxPrice": plain(Decimal(4_529_764), price_places),
                "tickSize": plain(tick, price_places),
            },
            {"filterType": "LOT_SIZE", **sizes},
            {"filterType": "MARKET_LOT_SIZE", **sizes, "maxQty": plain(market_max_qty, qty_places)},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": f"{min_notional.normalize():f}"},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": plain(up, 4),
                "multiplierDown": plain(down, 4),
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": list(ORDER_TYPES),
        "timeInForce": list(TIMES_IN_FORCE),
    }


def agg_trade_event(
    symbol: str, trade_id: int, price: str, qty: str, ts_ms: int, now_ms: int, *, is_buyer_maker: bool
) -> Payload:
    """`<symbol>@aggTrade` (agg_trade_stream.json); one print of ours is one aggregate of one trade."""
    return {
        "e": "aggTrade",
        "E": now_ms,
        "a": trade_id,
        "s": symbol,
        "p": price,
        "q": qty,
        "f": trade_id,
        "l": trade_id,
        "T": ts_ms,
        "m": is_buyer_maker,
        "st": 1,
    }


def trade_event(
    symbol: str, trade_id: int, price: str, qty: str, ts_ms: int, now_ms: int, *, is_buyer_maker: bool
) -> Payload:
    """`<symbol>@trade` (trade_stream.json)."""
    return {
        "e": "trade",
        "E": now_ms,
        "s": symbol,
        "t": trade_id,
        "p": price,
        "q": qty,
        "T": ts_ms,
        "m": is_buyer_maker,
    }


def agg_trade_row(trade_id: int, price: str, qty: str, ts_ms: int, *, is_buyer_maker: bool) -> Payload:
    """Give one row of GET /fapi/v1/aggTrades ("Compressed/Aggregate Trades List")."""
    return {
        "a": trade_id,
        "p": price,
        "q": qty,
        "f": trade_id,
        "l": trade_id,
        "T": ts_ms,
        "m": is_buyer_maker,
    }


def trade_row(
    trade_id: int, price: str, qty: str, quote_qty: str, ts_ms: int, *, is_buyer_maker: bool
) -> Payload:
    """Give one row of GET /fapi/v1/trades and historicalTrades ("Recent Trades List")."""
    return {
        "id": trade_id,
        "price": price,
        "qty": qty,
        "quoteQty": quote_qty,
        "time": ts_ms,
        "isBuyerMaker": is_buyer_maker,
        "isRPITrade": False,
    }


def kline_event(symbol: str, interval: str, row: Sequence[Any], now_ms: int, *, is_closed: bool) -> Payload:
    """`<symbol>@kline_<interval>` (kline_stream_*.json) from a row as `kline_row` gives it plus trade ids."""
    (
        open_ms,
        open_,
        high,
        low,
        close,
        volume,
        close_ms,
        quote_volume,
        count,
        buy_volume,
        buy_quote,
        _,
        first,
        last,
    ) = row
    bar = {"t": open_ms, "T": close_ms, "s": symbol, "i": interval, "f": first, "L": last}
    bar |= {"o": open_, "c": close, "h": high, "l": low, "v": volume, "n": count, "x": is_closed}
    bar |= {"q": quote_volume, "V": buy_volume, "Q": buy_quote, "B": "0"}
    return {"e": "kline", "E": now_ms, "s": symbol, "k": bar}


def mark_price_event(
    symbol: str, mark: str, index: str, funding_rate: str, next_funding_ms: int, now_ms: int
) -> Payload:
    """`<symbol>@markPrice` (mark_price_stream.json)."""
    return {
        "e": "markPriceUpdate",
        "E": now_ms,
        "s": symbol,
        "p": mark,
        "i": index,
        "P": mark,
        "r": funding_rate,
        "T": next_funding_ms,
        "st": 1,
    }


def premium_index(
    symbol: str, mark: str, index: str, funding_rate: str, next_funding_ms: int, now_ms: int
) -> Payload:
    """GET /fapi/v1/premiumIndex ("Mark Price")."""
    return {
        "symbol": symbol,
        "markPrice": mark,
        "indexPrice": index,
        "estimatedSettlePrice": mark,
        "lastFundingRate": funding_rate,
        "interestRate": "0.00010000",
        "nextFundingTime": next_funding_ms,
        "time": now_ms,
    }


def funding_rate_row(symbol: str, rate: str, ts_ms: int, mark: str) -> Payload:
    """Give one row of GET /fapi/v1/fundingRate ("Get Funding Rate History")."""
    return {"symbol": symbol, "fundingRate": rate, "fundingTime": ts_ms, "markPrice": mark}


def book_ticker_event(
    symbol: str, update_id: int, bid: tuple[str, str], ask: tuple[str, str], now_ms: int
) -> Payload:
    """`<symbol>@bookTicker` (book_ticker_stream.json); bid and ask are (price, size)."""
    return {
        "e": "bookTicker",
        "u": update_id,
        "s": symbol,
        "b": bid[0],
        "B": bid[1],
        "a": ask[0],
        "A": ask[1],
        "T": now_ms,
        "E": now_ms,
        "st": 1,
        "ps": symbol,
    }


def book_ticker_row(symbol: str, bid: tuple[str, str], ask: tuple[str, str], now_ms: int) -> Payload:
    """GET /fapi/v1/ticker/bookTicker ("Symbol Order Book Ticker")."""
    return {
        "symbol": symbol,
        "bidPrice": bid[0],
        "bidQty": bid[1],
        "askPrice": ask[0],
        "askQty": ask[1],
        "time": now_ms,
        "lastUpdateId": now_ms,
    }


def depth(bid: tuple[str, str], ask: tuple[str, str], now_ms: int) -> Payload:
    """GET /fapi/v1/depth ("Order Book"), one level a side: the market has no more."""
    return {"lastUpdateId": now_ms, "E": now_ms, "T": now_ms, "bids": [list(bid)], "asks": [list(ask)]}


def next_funding_ms(now_ms: int) -> int:
    """Give the next settlement: 00:00, 08:00, 16:00 UTC."""
    return (now_ms // FUNDING_INTERVAL_MS + 1) * FUNDING_INTERVAL_MS
