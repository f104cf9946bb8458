"""Binance's public REST interface: what the archives do not have yet, exchange-info, tickers, funding.

No key is needed. Single trades by id need one, so the tail of trades is aggregate trades only.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from runtime.download.budget import HostBudget
from runtime.download.http import Http, Refused
from runtime.download.row_files import RowSpan, write_rows
from runtime.download.venue_rows import (
    NANOS_PER_MS,
    SETTLING_MS,
    FundingRate,
    TailFile,
    Ticker,
    VenueSymbol,
    decimal_or_none,
    positive_or_none,
    require_progress,
    understood,
    whole_number,
)
from runtime.errors import ConfigurationError
from runtime.intervals import interval_nanos
from runtime.manifest import REST_NAME
from runtime.settings import HostSettings

type BinanceMarket = Literal["spot", "usdm"]

PAGE_ROWS: Final = 1000
HOUR_MS: Final = 3_600_000
INVALID_SYMBOL: Final = -1121
# Weight per minute and address, and of each request with 1000 rows (the vendor's pages, 2026).
LIMITS: Final = {"spot": 6000, "usdm": 2400}
# Orders per account, by seconds; both as told by exchangeInfo, until it is asked.
ORDER_LIMITS: Final = {"spot": {10.0: 100, 86_400.0: 200_000}, "usdm": {10.0: 300, 60.0: 1_200}}
INTERVAL_SECS: Final = {"SECOND": 1.0, "MINUTE": 60.0, "DAY": 86_400.0}
WEIGHTS: Final = {
    "spot": {"time": 1, "exchangeInfo": 20, "klines": 2, "aggTrades": 4, "ticker/24hr": 80,
             "historicalTrades": 25},
    "usdm": {"time": 1, "exchangeInfo": 1, "klines": 2, "aggTrades": 20, "ticker/24hr": 40,
             "ticker/bookTicker": 5, "fundingRate": 1},
}  # fmt: skip
# Futures ask 5 for 1000 klines, 2 for 499 and 1 for 99: so the same weight brings a quarter more.
KLINE_ROWS: Final = {"spot": PAGE_ROWS, "usdm": 499}
FEW_ROWS: Final = 99


def allow_documented(http: Http, address: str, market: BinanceMarket) -> None:
    """Set the limits of a market that the vendor documents, for the host of an address."""
    http.allow(address, LIMITS[market])
    for secs, limit in ORDER_LIMITS[market].items():
        http.budget(address).allow_orders(limit, secs)


class BinanceRest:
    """One market of Binance.

    Parameters
    ----------
    http
        Shared by everything that the command fetches.
    hosts
        Its `binance_spot` or `binance_usdm` is used.
    market
        ``spot`` or ``usdm``.

    References
    ----------
    Binance, "Market Data endpoints" of the spot and of the USDⓈ-M futures REST interface.
    """

    def __init__(self, http: Http, hosts: HostSettings, market: BinanceMarket) -> None:
        self._http = http
        self._market = market
        self._weights = WEIGHTS[market]
        self._base = f"{hosts.binance_spot}/api/v3" if market == "spot" else f"{hosts.binance_usdm}/fapi/v1"
        allow_documented(http, self._base, market)

    @property
    def budget(self) -> HostBudget:
        """What the host still allows."""
        return self._http.budget(self._base)

    async def server_ms(self) -> int:
        """Return the venue's clock, UNIX milliseconds: what is closed is decided by it, not by ours."""
        # A node tells by it whether the venue is alive: it must not wait behind what reads history.
        answer = await self._http.get_json(f"{self._base}/time", is_reserved=True)
        with understood(f"{self._base}/time"):
            return whole_number(answer["serverTime"])

    # --- klines --------------------------------------------------------------------------------------
    async def klines(
        self, symbol: str, interval: str, start_ns: int, end_ns: int
    ) -> AsyncIterator[list[list[Any]]]:
        """Yield pages of closed klines whose open times lie in [start_ns, end_ns), oldest first.

        A kline counts as closed when it ended `SETTLING_MS` ago.

        Yields
        ------
        list
            Rows of twelve columns as in the archive's files.

        Raises
        ------
        ConfigurationError
            When the venue does not know the symbol.
        DataError
            When a page does not move on.
        VenueError
            When the venue cannot be reached or refuses.
        """
        step_ms = interval_nanos(interval) // NANOS_PER_MS
        closed_ms = await self.server_ms() - SETTLING_MS
        cursor, last_ms = -(-start_ns // NANOS_PER_MS), -(-end_ns // NANOS_PER_MS) - 1
        while cursor <= last_ms and cursor + step_ms <= closed_ms:
            left = (min(last_ms, closed_ms) - cursor) // step_ms + 1
            limit = FEW_ROWS if left < FEW_ROWS and self._market == "usdm" else KLINE_ROWS[self._market]
            page = await self._get(
                "klines",
                1 if limit == FEW_ROWS else None,
                symbol=symbol,
                interval=interval,
                startTime=cursor,
                endTime=last_ms,
                limit=limit,
            )
            with understood(f"{self._base}/klines"):
                opens = [whole_number(row[0]) for row in page]
            require_progress(opens, cursor, f"{self._base}/klines {symbol} {interval}")
            closed = [row for row, open_ms in zip(page, opens, strict=True) if open_ms + step_ms <= closed_ms]
            if closed:
                yield closed
            if len(page) < limit:
                return
            cursor = opens[-1] + step_ms

    async def klines_file(
        self,
        folder: Path,
        symbol: str,
        interval: str,
        start_ns: int,
        end_ns: int,
        note_page: Callable[[int], None] | None = None,
    ) -> TailFile | None:
        """Write :meth:`klines` to a file that the importer reads; None when nothing has closed.

        Goes on with what an earlier call left; `note_page` is told the rows of each page.
        """
        path = folder / f"{symbol}-{interval}-{_stamp(start_ns)}{REST_NAME}"
        span = RowSpan(-(-start_ns // NANOS_PER_MS), -(-end_ns // NANOS_PER_MS))

        def pages(from_ms: int) -> AsyncIterator[list[list[Any]]]:
            return self.klines(symbol, interval, from_ms * NANOS_PER_MS, end_ns)

        return await write_rows(path, span, pages, note_page)

    async def first_open_ns(self, symbol: str) -> int | None:
        """Return the open time of the symbol's first daily kline, None if it has never traded."""
        page = await self._get("klines", symbol=symbol, interval="1d", startTime=0, limit=1)
        with understood(f"{self._base}/klines"):
            return whole_number(page[0][0]) * NANOS_PER_MS if page else None

    # --- aggregate trades ----------------------------------------------------------------------------
    async def agg_trade_id_at(self, symbol: str, start_ns: int, end_ns: int) -> int | None:
        """Return the id of the first aggregate trade in [start_ns, end_ns), None without one.

        The venue searches at most an hour at a time.
        """
        return await self._first_agg_trade(symbol, start_ns, end_ns, "a")

    async def single_trade_id_at(self, symbol: str, start_ns: int, end_ns: int) -> int | None:
        """Return the id of the first single trade in [start_ns, end_ns), None without one."""
        return await self._first_agg_trade(symbol, start_ns, end_ns, "f")

    async def _first_agg_trade(self, symbol: str, start_ns: int, end_ns: int, column: str) -> int | None:
        start_ms, last_ms = -(-start_ns // NANOS_PER_MS), -(-end_ns // NANOS_PER_MS) - 1
        while start_ms <= last_ms:
            until_ms = min(start_ms + HOUR_MS - 1, last_ms)
            page = await self._get("aggTrades", symbol=symbol, startTime=start_ms, endTime=until_ms, limit=1)
            if page:
                with understood(f"{self._base}/aggTrades"):
                    return whole_number(page[0][column])
            start_ms = until_ms + 1
        return None

    async def agg_trades(
        self, symbol: str, from_id: int, end_ns: int | None = None
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield pages of aggregate trades from an id on, in the order of their ids.

        Parameters
        ----------
        symbol
            Such as XRPUSDT.
        from_id
            First id wanted; the pages go on from id to id, never from time to time.
        end_ns
            Ends before the first trade at or after this time; None: at the newest.

        Raises
        ------
        ConfigurationError, DataError, VenueError
            As :meth:`klines`.
        """
        cursor = from_id
        while True:
            page = await self._get("aggTrades", symbol=symbol, fromId=cursor, limit=PAGE_ROWS)
            with understood(f"{self._base}/aggTrades"):
                ids = [whole_number(row["a"]) for row in page]
                kept = page if end_ns is None else [row for row in page if row["T"] * NANOS_PER_MS < end_ns]
            require_progress(ids, cursor, f"{self._base}/aggTrades {symbol}")
            if kept:
                yield kept
            if len(kept) < PAGE_ROWS:
                return
            cursor = ids[-1] + 1

    async def agg_trades_file(
        self,
        folder: Path,
        symbol: str,
        from_id: int,
        end_ns: int | None = None,
        note_page: Callable[[int], None] | None = None,
    ) -> TailFile | None:
        """Write :meth:`agg_trades` to a file that the importer reads; None when there is nothing new.

        Goes on with what an earlier call left; `note_page` is told the rows of each page.
        """
        columns = ("a", "p", "q", "f", "l", "T", "m") + (("M",) if self._market == "spot" else ())

        async def pages(next_id: int) -> AsyncIterator[list[list[Any]]]:
            async for page in self.agg_trades(symbol, next_id, end_ns):
                yield [[row[name] for name in columns] for row in page]

        end_ms = None if end_ns is None else -(-end_ns // NANOS_PER_MS)
        span = RowSpan(from_id, end_ms, columns.index("T"))
        path = folder / f"{symbol}-aggTrades-{from_id}{REST_NAME}"
        return await write_rows(path, span, pages, note_page)

    # --- single trades (spot) ------------------------------------------------------------------------
    async def single_trades(
        self, symbol: str, from_id: int, last_id: int
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield pages of a spot market's single trades by id, at least to the last one, in their order.

        Rows have id, price, qty, time (milliseconds) and isBuyerMaker. The vendor's page "Old trade lookup"
        asks for no key (2026); where the venue wants one all the same, this raises `Refused`.

        Raises
        ------
        ConfigurationError, DataError, VenueError
            As :meth:`klines`.
        """
        cursor = from_id
        while cursor <= last_id:
            rows = min(PAGE_ROWS, last_id - cursor + 2)  # the one after shows that the last does not exist
            page = await self._get("historicalTrades", symbol=symbol, fromId=cursor, limit=rows)
            with understood(f"{self._base}/historicalTrades"):
                ids = [whole_number(row["id"]) for row in page]
            require_progress(ids, cursor, f"{self._base}/historicalTrades {symbol}")
            if page:
                yield page
            if len(page) < rows:
                return
            cursor = ids[-1] + 1

    # --- about symbols -------------------------------------------------------------------------------
    async def symbols(self) -> list[VenueSymbol]:
        """Return the symbols of exchange-info; of futures only perpetual contracts.

        A symbol without tick or lot size (delisted long ago) is left out.
        """
        info = await self._get("exchangeInfo")
        with understood(f"{self._base}/exchangeInfo"):
            self._learn_limit(info)
            found = [_symbol(entry) for entry in info["symbols"] if _is_ours(entry)]
        return [symbol for symbol in found if symbol is not None]

    def _learn_limit(self, info: Mapping[str, Any]) -> None:
        for limit in info.get("rateLimits", ()):
            secs = INTERVAL_SECS.get(limit.get("interval"), 0.0) * int(limit.get("intervalNum", 1))
            if limit.get("rateLimitType") == "REQUEST_WEIGHT" and limit.get("interval") == "MINUTE":
                self._http.allow(self._base, int(limit["limit"]), secs)
            elif limit.get("rateLimitType") == "ORDERS" and secs:
                self.budget.allow_orders(int(limit["limit"]), secs)

    async def tickers(self) -> list[Ticker]:
        """Return turnover and spread of every symbol over the last 24 hours."""
        rows = await self._get("ticker/24hr")
        quotes = {row["symbol"]: row for row in rows}
        if self._market == "usdm":  # whose 24-hour tickers have no quotes
            quotes = {row["symbol"]: row for row in await self._get("ticker/bookTicker")}
        with understood(f"{self._base}/ticker/24hr"):
            return [
                Ticker(
                    row["symbol"],
                    float(row["quoteVolume"]),
                    positive_or_none(quotes.get(row["symbol"], {}).get("bidPrice")),
                    positive_or_none(quotes.get(row["symbol"], {}).get("askPrice")),
                )
                for row in rows
            ]

    async def funding_rates(self, symbol: str, start_ns: int, end_ns: int) -> list[FundingRate]:
        """Return the funding payments in [start_ns, end_ns), oldest first (USD-M only)."""
        cursor, last_ms = -(-start_ns // NANOS_PER_MS), -(-end_ns // NANOS_PER_MS) - 1
        rates: list[FundingRate] = []
        while cursor <= last_ms:
            page = await self._get(
                "fundingRate", symbol=symbol, startTime=cursor, endTime=last_ms, limit=PAGE_ROWS
            )
            with understood(f"{self._base}/fundingRate"):
                times = [whole_number(row["fundingTime"]) for row in page]
                rates += [
                    FundingRate(time_ms * NANOS_PER_MS, Decimal(row["fundingRate"]))
                    for time_ms, row in zip(times, page, strict=True)
                ]
            require_progress(times, cursor, f"{self._base}/fundingRate {symbol}")
            if len(page) < PAGE_ROWS:
                break
            cursor = times[-1] + 1
        return rates

    async def _get(self, name: str, weight: int | None = None, /, **params: str | int) -> Any:
        url = f"{self._base}/{name}"
        try:
            return await self._http.get_json(url, params or None, weight=weight or self._weights[name])
        except Refused as refused:
            if _error_code(refused.body) == INVALID_SYMBOL:
                raise ConfigurationError(
                    f"{params['symbol']}: Binance {self._market} has no such symbol; "
                    f"`download_data.py universe --venue binance --market {self._market}` lists the largest"
                ) from refused
            raise


def _is_ours(entry: Mapping[str, Any]) -> bool:
    return str(entry.get("contractType", "PERPETUAL")) == "PERPETUAL"


def _symbol(entry: Mapping[str, Any]) -> VenueSymbol | None:
    filters = {one["filterType"]: one for one in entry["filters"]}
    price, lot = filters.get("PRICE_FILTER", {}), filters.get("LOT_SIZE", {})
    tick_size, lot_size = decimal_or_none(price.get("tickSize")), decimal_or_none(lot.get("stepSize"))
    if tick_size is None or lot_size is None:
        return None
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    onboard_ms = entry.get("onboardDate")
    return VenueSymbol(
        symbol=entry["symbol"],
        base=entry["baseAsset"],
        quote=entry["quoteAsset"],
        tick_size=tick_size,
        lot_size=lot_size,
        min_qty=decimal_or_none(lot.get("minQty")),
        max_qty=decimal_or_none(lot.get("maxQty")),
        min_notional=decimal_or_none(notional.get("minNotional", notional.get("notional"))),
        is_trading=entry["status"] == "TRADING",
        listed_ns=None if onboard_ms is None else int(onboard_ms) * NANOS_PER_MS,
        tags=tuple(
            str(tag).lower()
            for tag in (
                *entry.get("underlyingSubType", ()),
                *([entry["underlyingType"]] if entry.get("underlyingType", "COIN") != "COIN" else ()),
            )
        ),
    )


def _error_code(body: str) -> int | None:
    try:
        code = json.loads(body)["code"]
    except (ValueError, KeyError, TypeError):
        return None
    return code if isinstance(code, int) else None


def _stamp(ts_ns: int) -> str:
    # Milliseconds: a name that sorts, and that the importer's check of archive names understands.
    return f"{ts_ns // NANOS_PER_MS}"
