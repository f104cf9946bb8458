"""The venues' public REST interfaces over a made-up market, in their exact wire formats.

Where the shapes come from: the vendors' pages (Binance "Market Data endpoints" of spot and of USDⓈ-M futures,
"Filters"; Bybit version 5 "Get Kline", "Get Instruments Info", "Get Tickers", "Get Funding Rate History",
"Rate Limit Rules") and the recorded answers in `wire/` of the shared data (exchange_info_response,
klines_response, ticker_24hr_response, http_get_instruments_*, http_get_klines_linear,
http_get_funding_history), against which a test holds these.

``Rest.respond(path, query)`` is a pure function of the tape; a server mounts it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from tests.market_server.tape import STEP_MS, Listing, Tape

type Reply = tuple[int, dict[str, str], bytes]
type Query = Mapping[str, str]

BYBIT_STEPS: Final = {"1": "1m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "240": "4h", "D": "1d"}
LARGEST: Final = 2**62


class Rest:
    """All three hosts in one: ``/api/…`` spot, ``/fapi/…`` USD-M, ``/v5/…`` Bybit.

    Parameters
    ----------
    spot, usdm, linear, bybit_spot
        The market of each.
    page
        Rows of a page of Bybit's instruments, small so that tests see the cursor.
    """

    def __init__(self, spot: Tape, usdm: Tape, linear: Tape, bybit_spot: Tape, page: int = 2) -> None:
        self.spot, self.usdm, self.linear, self.bybit_spot = spot, usdm, linear, bybit_spot
        self.page = page
        self.used_weight = 0

    def __call__(self, path: str, query: Query) -> Reply | None:
        """Answer as a responder of the market server: at its root, or below a path for each host."""
        for host in ("/binance_spot", "/binance_usdm", "/bybit"):
            if path.startswith(f"{host}/"):
                return self.respond(path.removeprefix(host), query)
        return self.respond(path, query)

    def respond(self, path: str, query: Query) -> Reply | None:
        """Answer a GET request; None when the path is none of a REST interface."""
        if path.startswith("/v5/market/"):
            return self._bybit(path.removeprefix("/v5/market/"), query)
        for prefix, tape in (("/api/v3/", self.spot), ("/fapi/v1/", self.usdm)):
            if path.startswith(prefix):
                return self._binance(path.removeprefix(prefix), query, tape, is_spot=tape is self.spot)
        return None

    # --- Binance -------------------------------------------------------------------------------------
    def _binance(self, name: str, query: Query, tape: Tape, *, is_spot: bool) -> Reply:
        answers: dict[str, Callable[[Query, Tape, bool], Any]] = {
            "time": lambda _query, tape, _spot: {"serverTime": tape.now_ms},
            "exchangeInfo": _exchange_info,
            "klines": _binance_klines,
            "aggTrades": _agg_trades,
            "ticker/24hr": _tickers,
            "ticker/bookTicker": _book_tickers,
            "fundingRate": _funding_rates,
        }
        self.used_weight += 1
        headers = {
            "Content-Type": "application/json;charset=UTF-8",
            "x-mbx-used-weight": str(self.used_weight),
            "x-mbx-used-weight-1m": str(self.used_weight),
        }
        if name not in answers or (name == "fundingRate" and is_spot):
            return 404, headers, b""
        if "symbol" in query and query["symbol"] not in tape.listings:
            return 400, headers, _encoded({"code": -1121, "msg": "Invalid symbol."})
        if int(query.get("limit", 1)) < 1:
            return (
                400,
                headers,
                _encoded({"code": -1130, "msg": "Data sent for parameter 'limit' is not valid."}),
            )
        return 200, headers, _encoded(answers[name](query, tape, is_spot))

    # --- Bybit ---------------------------------------------------------------------------------------
    def _bybit(self, name: str, query: Query) -> Reply:
        headers = {"Content-Type": "application/json"}
        tape = self.linear if query.get("category") == "linear" else self.bybit_spot
        answers: dict[str, Callable[[Query, Tape], dict[str, Any]]] = {
            "kline": _bybit_klines,
            "instruments-info": self._instruments,
            "tickers": _bybit_tickers,
            "funding/history": _bybit_funding,
        }
        if name == "time":
            seconds, nanos = str(tape.now_ms // 1000), str(tape.now_ms * 1_000_000)
            return _envelope({"timeSecond": seconds, "timeNano": nanos}, tape, headers)
        if name not in answers:
            return 404, headers, b""
        if query.get("category") not in ("linear", "spot"):
            return _envelope({}, tape, headers, 10001, "params error: Category is invalid")
        if "symbol" in query and query["symbol"] not in tape.listings:
            return _envelope({}, tape, headers, 10001, "params error: Symbol Is Invalid")
        if name == "funding/history" and "startTime" in query and "endTime" not in query:
            return _envelope({}, tape, headers, 10001, "params error: endTime is required with startTime")
        return _envelope(answers[name](query, tape), tape, headers)

    def _instruments(self, query: Query, tape: Tape) -> dict[str, Any]:
        category = query["category"]
        listings = [
            listing
            for listing in tape.listings.values()
            if listing.is_trading and query.get("symbol") in (None, listing.symbol)
        ]
        if category == "spot":  # its list comes whole
            return {"category": category, "list": [_bybit_spot(one) for one in listings]}
        first = int(query.get("cursor") or 0)
        size = min(self.page, int(query.get("limit", 500)))
        has_more = first + size < len(listings)
        return {
            "category": category,
            "list": [_bybit_linear(one) for one in listings[first : first + size]],
            "nextPageCursor": str(first + size) if has_more else "",
        }


def _exchange_info(query: Query, tape: Tape, is_spot: bool) -> dict[str, Any]:
    listings = [one for one in tape.listings.values() if query.get("symbol") in (None, one.symbol)]
    limit = 6000 if is_spot else 2400
    answer: dict[str, Any] = {
        "timezone": "UTC",
        "serverTime": tape.now_ms,
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": limit}
        ],
        "exchangeFilters": [],
    }
    if not is_spot:
        return answer | {"futuresType": "U_MARGINED", "symbols": [_usdm_symbol(one) for one in listings]}
    return answer | {"symbols": [_spot_symbol(one) for one in listings]}


def _spot_symbol(one: Listing) -> dict[str, Any]:
    filters = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": one.tick,
            "maxPrice": "1000000.00000000",
            "tickSize": one.tick,
        },
        {"filterType": "LOT_SIZE", "minQty": one.lot, "maxQty": "9000.00000000", "stepSize": one.lot},
        {
            "filterType": "NOTIONAL",
            "minNotional": "5.00000000",
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
    ]
    return {
        "symbol": one.symbol,
        "status": "TRADING" if one.is_trading else "BREAK",
        "baseAsset": one.base,
        "baseAssetPrecision": 8,
        "quoteAsset": one.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": True,
        "filters": filters,
        "permissions": [],
        "permissionSets": [["SPOT", "MARGIN"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"],
    }


def _usdm_symbol(one: Listing) -> dict[str, Any]:
    return {
        "symbol": one.symbol,
        "pair": one.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": one.listed_ms,
        "status": "TRADING" if one.is_trading else "SETTLING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": one.base,
        "quoteAsset": one.quote,
        "marginAsset": one.quote,
        "pricePrecision": 2,
        "quantityPrecision": 3,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": list(one.tags),
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": one.tick, "maxPrice": "4529764", "tickSize": one.tick},
            {"filterType": "LOT_SIZE", "minQty": one.lot, "maxQty": "1000", "stepSize": one.lot},
            {"filterType": "MARKET_LOT_SIZE", "minQty": one.lot, "maxQty": "120", "stepSize": one.lot},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def _binance_klines(query: Query, tape: Tape, is_spot: bool) -> list[list[Any]]:
    listing, step = tape.listings[query["symbol"]], STEP_MS[query["interval"]]
    limit = min(int(query.get("limit", 500)), 1000 if is_spot else 1500)
    end = min(int(query.get("endTime", LARGEST)), tape.now_ms)
    # Without a start the newest, with one the oldest from there on.
    start = (
        max(int(query["startTime"]), listing.listed_ms - step) if "startTime" in query else end - limit * step
    )
    rows = tape.klines(listing.symbol, query["interval"], start, min(end, start + (limit + 1) * step))
    return [
        [
            row[0],
            *(_times(ticks, listing.tick) for ticks in row[1:5]),
            _times(row[5], listing.lot),
            row[0] + step - 1,
            _times(row[6], listing.tick, listing.lot),
            row[7],
            _times(row[8], listing.lot),
            _times(row[9], listing.tick, listing.lot),
            "0",
        ]
        for row in rows[:limit]
        if row[0] <= end
    ]


def _agg_trades(query: Query, tape: Tape, is_spot: bool) -> list[dict[str, Any]]:
    listing = tape.listings[query["symbol"]]
    limit = min(int(query.get("limit", 500)), 1000)
    last = tape.last_id(listing.symbol)
    if "fromId" in query:
        first = int(query["fromId"])
    elif "startTime" in query:
        first = tape.first_id_at(listing.symbol, int(query["startTime"]))
        if "endTime" in query:
            last = min(last, tape.first_id_at(listing.symbol, int(query["endTime"]) + 1) - 1)
    else:
        first = last - limit + 1
    found = tape.trades(listing.symbol, first, min(last, first + limit - 1))
    rows = zip(found.trade_id, found.time_ms, found.ticks, found.lots, found.buyer_maker, strict=True)
    return [
        {
            "a": int(trade_id),
            "p": _times(ticks, listing.tick),
            "q": _times(lots, listing.lot),
            "f": int(trade_id),
            "l": int(trade_id),
            "T": int(time_ms),
            "m": bool(maker),
        }
        | ({"M": True} if is_spot else {})
        for trade_id, time_ms, ticks, lots, maker in rows
    ]


def _tickers(query: Query, tape: Tape, is_spot: bool) -> Any:
    rows = []
    for one in _asked(query, tape):
        bid, ask = _quotes(one)
        row = {
            "symbol": one.symbol,
            "priceChange": "0",
            "priceChangePercent": "0.000",
            "weightedAvgPrice": one.price,
            "prevClosePrice": one.price,
            "lastPrice": one.price,
            "lastQty": one.lot,
            "bidPrice": bid,
            "bidQty": one.lot,
            "askPrice": ask,
            "askQty": one.lot,
            "openPrice": one.price,
            "highPrice": one.price,
            "lowPrice": one.price,
            "volume": f"{one.turnover / float(one.price):.8f}",
            "quoteVolume": f"{one.turnover:.8f}",
            "openTime": tape.now_ms - 86_400_000,
            "closeTime": tape.now_ms,
            "firstId": 0,
            "lastId": 1,
            "count": 2,
        }
        if not is_spot:  # futures tickers have no quotes
            for absent in ("prevClosePrice", "bidPrice", "bidQty", "askPrice", "askQty"):
                del row[absent]
        rows.append(row)
    return rows[0] if "symbol" in query else rows


def _book_tickers(query: Query, tape: Tape, is_spot: bool) -> Any:
    rows = []
    for one in _asked(query, tape):
        bid, ask = _quotes(one)
        row = {"symbol": one.symbol, "bidPrice": bid, "bidQty": "1", "askPrice": ask, "askQty": "1"}
        rows.append(row if is_spot else row | {"time": tape.now_ms})
    return rows[0] if "symbol" in query else rows


def _funding_rates(query: Query, tape: Tape, _is_spot: bool) -> list[dict[str, Any]]:
    first, last = int(query.get("startTime", 0)), int(query.get("endTime", LARGEST))
    rows = tape.funding(query["symbol"], first, last)[: min(int(query.get("limit", 100)), 1000)]
    price = tape.listings[query["symbol"]].price
    return [
        {"symbol": query["symbol"], "fundingTime": time_ms, "fundingRate": rate, "markPrice": price}
        for time_ms, rate in rows
    ]


def _bybit_klines(query: Query, tape: Tape) -> dict[str, Any]:
    listing = tape.listings[query["symbol"]]
    if query["interval"] == "M":
        return {"category": query["category"], "symbol": listing.symbol, "list": _months(listing, tape)}
    interval = BYBIT_STEPS[query["interval"]]
    step, limit = STEP_MS[interval], min(int(query.get("limit", 200)), 1000)
    end = min(int(query.get("end", LARGEST)), tape.now_ms)
    # The newest `limit` rows of the window, so that older ones need not be made.
    start = max(int(query.get("start", 0)), end - limit * step)
    rows = [row for row in tape.klines(listing.symbol, interval, start, end) if row[0] <= end]
    found = [
        [
            str(row[0]),
            *(_times(ticks, listing.tick) for ticks in row[1:5]),
            _times(row[5], listing.lot),
            _times(row[6], listing.tick, listing.lot),
        ]
        for row in reversed(rows[-limit:])
    ]
    return {"category": query["category"], "symbol": listing.symbol, "list": found}


def _months(listing: Listing, tape: Tape) -> list[list[str]]:
    """Return monthly klines, newest first; their prices are the listing's."""
    first, last = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (listing.listed_ms, tape.now_ms))
    months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    opens = [datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC) for month in reversed(months)]
    return [[str(int(at.timestamp()) * 1000), *[listing.price] * 4, "1", listing.price] for at in opens]


def _bybit_linear(one: Listing) -> dict[str, Any]:
    return {
        "symbol": one.symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": one.base,
        "quoteCoin": one.quote,
        "launchTime": str(one.listed_ms),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": one.tick, "maxPrice": "1999999.80", "tickSize": one.tick},
        "lotSizeFilter": {
            "maxOrderQty": "1190.000",
            "minOrderQty": one.lot,
            "qtyStep": one.lot,
            "postOnlyMaxOrderQty": "1190.000",
            "maxMktOrderQty": "500.000",
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": one.quote,
        "symbolType": one.tags[0] if one.tags else "",
    }


def _bybit_spot(one: Listing) -> dict[str, Any]:
    return {
        "symbol": one.symbol,
        "baseCoin": one.base,
        "quoteCoin": one.quote,
        "innovation": "1" if "innovation" in one.tags else "0",
        "status": "Trading",
        "marginTrading": "utaOnly",
        "lotSizeFilter": {
            "basePrecision": one.lot,
            "quotePrecision": "0.0000001",
            "minOrderQty": one.lot,
            "maxOrderQty": "230",
            "minOrderAmt": "5",
            "maxOrderAmt": "8000000",
        },
        "priceFilter": {"tickSize": one.tick},
    }


def _bybit_tickers(query: Query, tape: Tape) -> dict[str, Any]:
    rows = []
    for one in _asked(query, tape):
        bid, ask = _quotes(one)
        rows.append(
            {
                "symbol": one.symbol,
                "bid1Price": bid,
                "bid1Size": "1",
                "ask1Price": ask,
                "ask1Size": "1",
                "lastPrice": one.price,
                "prevPrice24h": one.price,
                "price24hPcnt": "0",
                "highPrice24h": one.price,
                "lowPrice24h": one.price,
                "turnover24h": f"{one.turnover:.4f}",
                "volume24h": f"{one.turnover / float(one.price):.4f}",
            }
        )
    return {"category": query["category"], "list": [row for row in rows if row]}


def _bybit_funding(query: Query, tape: Tape) -> dict[str, Any]:
    rows = tape.funding(query["symbol"], int(query.get("startTime", 0)), int(query.get("endTime", LARGEST)))
    newest_first = rows[::-1][: min(int(query.get("limit", 200)), 200)]
    return {
        "category": query["category"],
        "list": [
            {"symbol": query["symbol"], "fundingRate": rate, "fundingRateTimestamp": str(time_ms)}
            for time_ms, rate in newest_first
        ],
    }


def _asked(query: Query, tape: Tape) -> list[Listing]:
    return [
        one for one in tape.listings.values() if one.is_trading and query.get("symbol") in (None, one.symbol)
    ]


def _quotes(one: Listing) -> tuple[str, str]:
    return one.price, str(Decimal(one.price) + one.spread_ticks * Decimal(one.tick))


def _times(units: object, *increments: str) -> str:
    """Return units of an increment as the venue writes it, with all its decimals."""
    product = Decimal(int(units))  # type: ignore[call-overload]
    for increment in increments:
        product *= Decimal(increment)
    return f"{product:f}"


def _encoded(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _envelope(
    result: Mapping[str, Any], tape: Tape, headers: dict[str, str], code: int = 0, message: str = "OK"
) -> Reply:
    """Wrap a result of Bybit: its errors come with HTTP status 200."""
    body = {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": tape.now_ms}
    return 200, headers, _encoded(body)


def example_rest(now_ms: int, listings: Sequence[Listing] = ()) -> Rest:
    """Return the interfaces over a few symbols, at a moment of your choice."""
    chosen = tuple(listings) or (
        Listing("BTCUSDT", "BTC", "65000", "0.01000000", "0.00001000", turnover=9e8),
        Listing("ETHUSDT", "ETH", "3200", "0.01000000", "0.00010000", turnover=5e8),
        Listing("XRPUSDT", "XRP", "0.62", "0.00010000", "1.00000000", turnover=2e8),
    )
    short = tuple(_shortened(one) for one in chosen)
    return Rest(Tape(chosen, now_ms), Tape(short, now_ms), Tape(short, now_ms), Tape(short, now_ms))


def _shortened(one: Listing) -> Listing:
    """Write the increments as futures do: without the padding to eight decimals."""
    tick, lot = (f"{Decimal(text).normalize():f}" for text in (one.tick, one.lot))
    return replace(one, tick=tick, lot=lot)
