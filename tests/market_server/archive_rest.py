"""Binance's and Bybit's REST answers over the same trades and klines as the archive: for tails that must fit.

Shapes as in :mod:`tests.market_server.rest`, which is a market of its own.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from tests.market_server.archive import DAY, SECONDS, MarketArchive, Trade
from tests.market_server.rest import example_rest
from tests.market_server.server import Reply, Responder
from tests.market_server.tape import Listing

BYBIT_STEPS = {"1": "1m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "240": "4h", "D": "1d"}


@dataclass
class ArchiveRest:
    """A responder that goes on where the archive ends, until `now_ms`.

    `lacking` are days whose klines the venue has lost; `passing` are open times in ms of klines and ids of
    trades that it gives with another volume than its archive will have; `delisted` is the first day without
    trades.
    """

    archive: MarketArchive
    now_ms: int
    lacking: set[date] = field(default_factory=set)
    passing: set[int] = field(default_factory=set)
    delisted: date = date.max

    def __call__(self, path: str, query: Mapping[str, str]) -> Reply | None:
        """Answer a request."""
        if path.startswith("/v5/market/"):
            return self._bybit(path.removeprefix("/v5/market/"), query)
        found = re.fullmatch(r"(/api/v3|/fapi/v1)/(.+)", path)
        if found is None:
            return None
        head, name = found[1], found[2]
        symbol = query.get("symbol", self.archive.symbols[0])
        if symbol not in self.archive.symbols:
            return encoded({"code": -1121, "msg": "Invalid symbol."}, 400)
        answers = {
            "time": lambda: {"serverTime": self.now_ms},
            "exchangeInfo": lambda: self._exchange_info(is_spot=head == "/api/v3"),
            "ticker/24hr": self._tickers,
            "ticker/bookTicker": self._tickers,
            "klines": lambda: list(self._klines(symbol, query)),
            "aggTrades": lambda: self._agg_trades(symbol, query, is_spot=head == "/api/v3"),
        }
        return encoded(answers[name]()) if name in answers else encoded({"code": -1}, 404)

    def _exchange_info(self, *, is_spot: bool) -> dict[str, Any]:
        tick_size, lot_size = ("0.00010000", "0.10000000") if is_spot else ("0.0001", "0.1")
        symbols = [
            {
                "symbol": symbol, "status": "TRADING", "baseAsset": symbol[:-4], "quoteAsset": "USDT",
                "contractType": "PERPETUAL",
                "filters": [
                    {"filterType": "PRICE_FILTER", "tickSize": tick_size},
                    {"filterType": "LOT_SIZE", "minQty": lot_size, "stepSize": lot_size},
                ],
            }
            for symbol in self.archive.symbols
        ]  # fmt: skip
        return {"rateLimits": [], "symbols": symbols}

    def _tickers(self) -> list[dict[str, str]]:
        return [
            {"symbol": symbol, "quoteVolume": f"{1e6 * rank:.1f}", "bidPrice": "1.5000", "askPrice": "1.5001"}
            for rank, symbol in enumerate(self.archive.symbols, start=1)
        ]

    def _days(self, low_ms: int, high_ms: int) -> Iterator[date]:
        day = max(datetime.fromtimestamp(low_ms / 1000, UTC).date(), self.archive.first_day)
        until = datetime.fromtimestamp(min(high_ms, self.now_ms) / 1000, UTC).date()
        while day <= until:
            if day not in self.lacking and day < self.delisted:
                yield day
            day += DAY

    def _klines(self, symbol: str, query: Mapping[str, str]) -> Iterator[list[Any]]:
        low, high, left = int(query["startTime"]), int(query.get("endTime", self.now_ms)), int(query["limit"])
        length_ms = SECONDS[query["interval"]] * 1000
        for day in self._days(low, high):
            for open_ms, first, top, bottom, close, lots in self.archive.klines(
                symbol, query["interval"], day
            ):
                if low <= open_ms <= min(high, self.now_ms) and left > 0:
                    left -= 1
                    prices = [f"{ticks / 1e4:.8f}" for ticks in (first, top, bottom, close)]
                    volume = f"{(lots + (open_ms in self.passing)) / 10:.8f}"
                    yield [open_ms, *prices, volume, open_ms + length_ms - 1, "1.0", 7, volume, "1.0", "0"]

    def _agg_trades(self, symbol: str, query: Mapping[str, str], *, is_spot: bool) -> list[dict[str, Any]]:
        limit = int(query["limit"])
        low_ms = int(query.get("startTime", 0))
        high_ms = int(query.get("endTime", self.now_ms))
        found: list[Trade] = []
        for day in self._days(low_ms, high_ms):
            for trade in self.archive.trades(symbol, day):
                at_ms = trade.ts_us // 1000
                if trade.number >= int(query.get("fromId", 0)) and low_ms <= at_ms <= min(
                    high_ms, self.now_ms
                ):
                    found.append(trade)
            if len(found) >= limit:
                break
        best = {"M": True} if is_spot else {}
        return [
            {
                "a": trade.number, "p": f"{trade.ticks / 1e4:.8f}",
                "q": f"{(trade.lots + (trade.number in self.passing)) / 10:.8f}",
                "f": 3 * trade.number, "l": 3 * trade.number + 2, "T": trade.ts_us // 1000,
                "m": not trade.is_buy, **best,
            }
            for trade in found[:limit]
        ]  # fmt: skip

    def _bybit(self, name: str, query: Mapping[str, str]) -> Reply:
        symbol = query.get("symbol", self.archive.symbols[0])
        result: dict[str, Any] = {"category": query.get("category", ""), "list": []}
        if name == "kline" and query["interval"] == "M":
            first = self.archive.first_day
            opened = datetime(first.year, first.month, first.day, tzinfo=UTC)
            result["list"] = [[str(int(opened.timestamp()) * 1000), "1", "1", "1", "1", "1", "1"]]
        elif name == "kline":
            asked = {"startTime": query["start"], "endTime": query["end"], "limit": query["limit"]}
            rows = list(self._klines(symbol, {**asked, "interval": BYBIT_STEPS[query["interval"]]}))
            # Newest first, seven texts.
            result["list"] = [[str(row[0]), *row[1:6], "1.0"] for row in rows][::-1]
        elif name == "instruments-info":
            result["list"] = [
                {
                    "symbol": one, "status": "Trading", "baseCoin": one[:-4], "quoteCoin": "USDT",
                    "contractType": "LinearPerpetual", "launchTime": "1500000000000",
                    "priceFilter": {"tickSize": "0.0001"},
                    "lotSizeFilter": {"qtyStep": "0.1", "basePrecision": "0.1", "minOrderQty": "0.1"},
                }
                for one in self.archive.symbols
            ]  # fmt: skip
        return encoded(
            {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self.now_ms}
        )


def whole_rest(archive: MarketArchive, now_ms: int) -> Responder:
    """Return all interfaces, for trying things out: klines and trades are those of the archive."""
    listings = [
        Listing(symbol, symbol.removesuffix("USDT"), "1.5", "0.00010000", "0.10000000", turnover=1e6 * rank)
        for rank, symbol in enumerate(archive.symbols, start=1)
    ]
    tail, others = ArchiveRest(archive, now_ms), example_rest(now_ms, listings)

    def respond(path: str, query: Mapping[str, str]) -> Reply | None:
        return (tail if path.endswith(("/klines", "/aggTrades", "/kline")) else others)(path, query)

    return respond


def encoded(value: Any, status: int = 200) -> Reply:
    """Return a JSON answer."""
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()
