"""Bybit's public REST interface, version 5, through pybit: klines, instruments, tickers, funding.

pybit blocks, so each call runs in a thread; its own retries are off, since it would sleep outside our budget
(and by the local clock: a reset in the past makes it fail). One answer page is one call.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from runtime.download.budget import reset_secs
from runtime.download.http import FORBIDDEN, OK, Answer, Http, Passing
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
from runtime.errors import ConfigurationError, VenueError
from runtime.intervals import interval_nanos
from runtime.manifest import REST_NAME
from runtime.settings import DownloadSettings, HostSettings

type BybitMarket = Literal["linear", "spot"]

PAGE_ROWS: Final = 1000
FUNDING_ROWS: Final = 200
PUBLIC_TRADES: Final = {"linear": 1000, "spot": 60}  # newest ones, nothing before them
# 600 requests in 5 s and address (the vendor's "Rate Limit Rules").
LIMIT, WINDOW_SECS = 600, 5.0
# "403, access too frequent": the vendor asks to end all sessions for at least ten minutes.
BAN_SECS: Final = 600.0
PARAMETER_ERROR: Final = 10001
TOO_MANY_VISITS: Final = 10006
SERVER_CODES: Final = frozenset({10000, 10016})  # timeout, internal error
# pybit retries these itself; a code that never comes switches that off.
NO_RETRY_CODES: Final = frozenset({-1})
INTERVALS: Final = {"1m": "1", "3m": "3", "5m": "5", "15m": "15", "30m": "30", "1h": "60", "2h": "120",
                    "4h": "240", "6h": "360", "12h": "720", "1d": "D", "1w": "W"}  # fmt: skip
# The longest time between two fundings is eight hours: a page of 200 covers it without a gap.
FUNDING_PAGE_MS: Final = 7 * 86_400_000
MONTH: Final = "M"
LONGEST_MONTH_MS: Final = 31 * 86_400_000


class BybitRest:
    """One market of Bybit.

    Parameters
    ----------
    http
        Shared by everything that the command fetches; its budgets and retries hold here too.
    hosts
        Its `bybit` is used.
    market
        ``linear`` or ``spot``.
    settings
        For the timeout.

    References
    ----------
    Bybit, version 5: "Get Kline", "Get Instruments Info", "Get Tickers", "Get Funding Rate History".
    """

    def __init__(
        self, http: Http, hosts: HostSettings, market: BybitMarket, settings: DownloadSettings
    ) -> None:
        from pybit.unified_trading import HTTP  # a third of a second: only who asks Bybit pays

        self._http = http
        self._market = market
        self._base = hosts.bybit
        self._session = HTTP(
            timeout=settings.timeout_secs,
            max_retries=1,
            retry_codes=set(NO_RETRY_CODES),
            return_response_headers=True,
            logging_level=logging.CRITICAL,
        )
        self._session.endpoint = hosts.bybit  # its constructor only knows Bybit's own domains
        http.allow(hosts.bybit, LIMIT, WINDOW_SECS)

    async def server_ms(self) -> int:
        """Return the venue's clock, UNIX milliseconds."""

        def get_server_time(**_category: str) -> Any:
            return self._session.get_server_time()

        answer = await self._call(get_server_time)
        with understood(f"{self._base} market/time"):
            return whole_number(answer["time"])

    async def recent_trades(self, symbol: str) -> list[dict[str, Any]]:
        """Return the newest trades, oldest first: 1,000 of linear contracts, 60 of spot, never more.

        Rows have execId, price, size, side of the taker and time in milliseconds.
        """
        limit = PUBLIC_TRADES[self._market]
        answer = await self._call(self._session.get_public_trade_history, symbol=symbol, limit=limit)
        with understood(f"{self._base} recent-trade {symbol}"):
            return list(reversed(answer["result"]["list"]))

    # --- klines --------------------------------------------------------------------------------------
    async def klines(
        self, symbol: str, interval: str, start_ns: int, end_ns: int
    ) -> AsyncIterator[list[list[str]]]:
        """Yield pages of closed klines whose open times lie in [start_ns, end_ns), oldest first.

        A kline counts as closed when it ended `SETTLING_MS` ago.

        The venue gives the newest rows of a window; windows of at most a page leave nothing out.

        Yields
        ------
        list
            Rows of seven texts: open time in ms, open, high, low, close, volume, turnover.

        Raises
        ------
        ConfigurationError
            When the venue does not know the symbol or has no such interval.
        DataError
            When a page is out of order.
        VenueError
            When the venue cannot be reached or refuses.
        """
        if interval not in INTERVALS:
            raise ConfigurationError(f"--interval {interval}: Bybit has {', '.join(INTERVALS)}")
        step_ms = interval_nanos(interval) // NANOS_PER_MS
        last_ms = -(-end_ns // NANOS_PER_MS) - 1
        cursor = -(-start_ns // NANOS_PER_MS // step_ms) * step_ms
        while cursor <= last_ms:
            until_ms = min(cursor + (PAGE_ROWS - 1) * step_ms, last_ms)
            answer = await self._call(
                self._session.get_kline, symbol=symbol, interval=INTERVALS[interval], start=cursor,
                end=until_ms, limit=PAGE_ROWS,
            )  # fmt: skip
            with understood(f"{self._base} kline {symbol}"):
                rows: list[list[str]] = answer["result"]["list"][::-1]
                opens = [whole_number(row[0]) for row in rows]
                closed_ms = whole_number(answer["time"]) - SETTLING_MS
            require_progress(opens, cursor, f"{self._base} kline {symbol} {interval}")
            closed = [row for row, open_ms in zip(rows, opens, strict=True) if open_ms + step_ms <= closed_ms]
            if closed:
                yield closed
            if until_ms + step_ms > closed_ms:
                return
            cursor = until_ms + step_ms

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
        path = folder / f"{symbol}-{self._market}-{interval}-{start_ns // NANOS_PER_MS}{REST_NAME}"
        span = RowSpan(-(-start_ns // NANOS_PER_MS), -(-end_ns // NANOS_PER_MS))

        def pages(from_ms: int) -> AsyncIterator[list[list[str]]]:
            return self.klines(symbol, interval, from_ms * NANOS_PER_MS, end_ns)

        return await write_rows(path, span, pages, note_page)

    async def first_open_ns(self, symbol: str) -> int | None:
        """Return the open time of the symbol's first daily kline, None if it has never traded.

        Pages end with the newest, so the first month is found before its days.
        """
        month_ms = await self._oldest_ms(symbol, interval=MONTH)
        if month_ms is None:
            return None
        day_ms = await self._oldest_ms(
            symbol, interval=INTERVALS["1d"], start=month_ms, end=month_ms + LONGEST_MONTH_MS
        )
        return (month_ms if day_ms is None else day_ms) * NANOS_PER_MS

    async def _oldest_ms(self, symbol: str, **span: Any) -> int | None:
        answer = await self._call(self._session.get_kline, symbol=symbol, limit=PAGE_ROWS, **span)
        with understood(f"{self._base} kline {symbol}"):
            rows = answer["result"]["list"]
            return whole_number(rows[-1][0]) if rows else None

    # --- about symbols -------------------------------------------------------------------------------
    async def symbols(self) -> list[VenueSymbol]:
        """Return all symbols that trade, page by page; of futures only perpetual contracts."""
        found: list[VenueSymbol] = []
        cursor: str | None = None
        while True:
            answer = await self._call(self._session.get_instruments_info, limit=PAGE_ROWS, cursor=cursor)
            with understood(f"{self._base} instruments-info"):
                entries = answer["result"]["list"]
                found += [
                    self._symbol(entry)
                    for entry in entries
                    if entry.get("contractType", "LinearPerpetual") == "LinearPerpetual"
                ]
                following = answer["result"].get("nextPageCursor") or None
            if following is None or following == cursor or not entries:
                return found
            cursor = following

    def _symbol(self, entry: dict[str, Any]) -> VenueSymbol:
        lots = entry["lotSizeFilter"]
        launch_ms = entry.get("launchTime")
        tags = [entry["symbolType"]] if entry.get("symbolType") else []
        if entry.get("innovation") == "1":
            tags.append("innovation")
        return VenueSymbol(
            symbol=entry["symbol"],
            base=entry["baseCoin"],
            quote=entry["quoteCoin"],
            tick_size=Decimal(entry["priceFilter"]["tickSize"]),
            lot_size=Decimal(lots["qtyStep"] if self._market == "linear" else lots["basePrecision"]),
            min_qty=decimal_or_none(lots.get("minOrderQty")),
            max_qty=decimal_or_none(lots.get("maxOrderQty", lots.get("maxLimitOrderQty"))),
            min_notional=decimal_or_none(lots.get("minNotionalValue", lots.get("minOrderAmt"))),
            is_trading=entry["status"] == "Trading",
            listed_ns=None if not launch_ms else int(launch_ms) * NANOS_PER_MS,
            tags=tuple(sorted({tag.lower() for tag in tags})),
        )

    async def tickers(self) -> list[Ticker]:
        """Return turnover and spread of every symbol over the last 24 hours."""
        answer = await self._call(self._session.get_tickers)
        with understood(f"{self._base} tickers"):
            return [
                Ticker(
                    row["symbol"],
                    float(row["turnover24h"] or 0),
                    positive_or_none(row.get("bid1Price")),
                    positive_or_none(row.get("ask1Price")),
                )
                for row in answer["result"]["list"]
            ]

    async def funding_rates(self, symbol: str, start_ns: int, end_ns: int) -> list[FundingRate]:
        """Return the funding payments in [start_ns, end_ns), oldest first (linear only).

        Windows of a week: 200 rows at one payment an hour, the shortest interval, with room.
        """
        rates: list[FundingRate] = []
        cursor, last_ms = -(-start_ns // NANOS_PER_MS), -(-end_ns // NANOS_PER_MS) - 1
        while cursor <= last_ms:
            until_ms = min(cursor + FUNDING_PAGE_MS - 1, last_ms)
            answer = await self._call(
                self._session.get_funding_rate_history, symbol=symbol, startTime=cursor, endTime=until_ms,
                limit=FUNDING_ROWS,
            )  # fmt: skip
            with understood(f"{self._base} funding/history {symbol}"):
                rows = answer["result"]["list"][::-1]
                times = [whole_number(row["fundingRateTimestamp"]) for row in rows]
                rates += [
                    FundingRate(time_ms * NANOS_PER_MS, Decimal(row["fundingRate"]))
                    for time_ms, row in zip(times, rows, strict=True)
                ]
                now_ms = whole_number(answer["time"])
            require_progress(times, cursor, f"{self._base} funding/history {symbol}")
            if until_ms > now_ms:
                break
            cursor = until_ms + 1
        return rates

    # --- through pybit -------------------------------------------------------------------------------
    async def _call(self, method: Callable[..., Any], **params: Any) -> Any:
        import requests
        from pybit.exceptions import FailedRequestError, InvalidRequestError

        name = method.__name__.removeprefix("get_")
        url = f"{self._base} {name}"

        def blocking() -> Answer[Any]:
            try:
                body, _elapsed, headers = method(category=self._market, **params)
            except InvalidRequestError as error:
                return self._judged(error, params, url)
            except FailedRequestError as error:
                headers = {key.lower(): value for key, value in (error.resp_headers or {}).items()}
                if error.status_code == requests.codes.conflict and not headers:  # pybit's word for no JSON
                    raise Passing("the answer is no JSON (truncated?)") from error
                if error.status_code == FORBIDDEN:
                    self._http.budget(self._base).ban(BAN_SECS, FORBIDDEN)
                return Answer(int(error.status_code), headers, None, str(error.message))
            except requests.exceptions.Timeout as error:
                raise Passing("no byte in time (timeout)") from error
            except requests.exceptions.RequestException as error:
                raise Passing(f"connection broke ({type(error).__name__})") from error
            return Answer(OK, {key.lower(): value for key, value in headers.items()}, body)

        async def call() -> Answer[Any]:
            return await asyncio.to_thread(blocking)

        return await self._http.call(self._base, call, what=url)

    def _judged(self, error: Any, params: dict[str, Any], url: str) -> Answer[Any]:
        """Say what an error inside a 200 means: it passes, it is the user's, or it is final."""
        headers = {key.lower(): value for key, value in (error.resp_headers or {}).items()}
        code = int(error.status_code)
        if code == TOO_MANY_VISITS:
            self._http.budget(self._base).block(reset_secs(headers))
            raise Passing("10006, too many visits", 0.0)
        if code in SERVER_CODES:
            raise Passing(f"server error {code}")
        if code == PARAMETER_ERROR and "symbol" in params and "symbol" in str(error.message).lower():
            raise ConfigurationError(
                f"{params['symbol']}: Bybit {self._market} has no such symbol; "
                f"`download_data.py universe --venue bybit --market {self._market}` lists the largest"
            )
        raise VenueError(f"{url}: refused with code {code}: {error.message}")
