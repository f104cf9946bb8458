"""Bybit's questions over REST: market data, orders, executions, positions, wallet, key, settings.

Where the parameters and answers come from: Bybit v5 "Get Instruments Info", "Get Kline", "Get Recent Public
Trades", "Get Tickers", "Get Funding Rate History", "Get Open & Closed Orders", "Get Order History", "Get
Trade History", "Get Position Info", "Set Leverage", "Switch Position Mode", "Get Wallet Balance", "Get Fee
Rate", "Get API Key Information", "Get Account Info", "Get DCP Info"; the builders name the recorded answers.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from tests.venue_simulator import bybit_account_payloads as account_payloads
from tests.venue_simulator import bybit_market_payloads as market_payloads
from tests.venue_simulator import bybit_payloads as payloads
from tests.venue_simulator.bybit_account import PrivateStream
from tests.venue_simulator.bybit_codes import BybitError
from tests.venue_simulator.bybit_ids import market_key
from tests.venue_simulator.bybit_orders import Orders
from tests.venue_simulator.bybit_record import INTERVALS, MarketRecord
from tests.venue_simulator.bybit_requests import Params, kind_of, number
from tests.venue_simulator.core import Exchange, Market, Order

type Payload = dict[str, Any]

WEEK_MS: Final = 7 * 86_400_000
MOST_CLOSED: Final = 500
EPOCH_ISO: Final = "2026-01-01T00:00:00Z"


def page(rows: Sequence[Any], params: Params, most: int, usual: int) -> tuple[list[Any], str]:
    """Return one page of rows and the cursor of the next one, "" at the end."""
    limit = int(params.get("limit") or usual)
    if not 1 <= limit <= most:
        raise BybitError(10001, f"limit must be 1..{most}")
    first = int(params.get("cursor") or 0)
    cursor = str(first + limit) if first + limit < len(rows) else ""
    return list(rows[first : first + limit]), cursor


class MarketQueries:
    """Public questions.

    Parameters
    ----------
    exchange, records
        Markets, and their past by key.
    page_size
        Instruments on a page where the client names no limit.
    """

    def __init__(self, exchange: Exchange, records: Mapping[str, MarketRecord], page_size: int = 500) -> None:
        self.exchange = exchange
        self.records = records
        self.page_size = page_size

    def time(self, _params: Params) -> Payload:
        """Answer ``/v5/market/time``."""
        now_ns = self.exchange.clock.now_ns()
        return {"timeSecond": str(now_ns // 1_000_000_000), "timeNano": str(now_ns)}

    def instruments(self, params: Params) -> Payload:
        """Answer ``/v5/market/instruments-info``."""
        make = (
            market_payloads.spot_instrument
            if kind_of(params) == "spot"
            else market_payloads.linear_instrument
        )
        rows, cursor = page(self._markets(params), params, 1000, self.page_size)
        return {"category": params["category"], "list": [make(row) for row in rows], "nextPageCursor": cursor}

    def klines(self, params: Params) -> Payload:
        """Answer ``/v5/market/kline``, newest first."""
        record, interval = self._record(params), str(params.get("interval"))
        if interval not in INTERVALS:
            raise BybitError(10001, "Invalid period!")
        bounds = [int(params[name]) if params.get(name) else None for name in ("start", "end")]
        rows = record.rest_rows(interval, bounds[0], bounds[1], int(params.get("limit") or 200))
        return {"category": params.get("category", "linear"), "symbol": record.market.symbol, "list": rows}

    def recent_trades(self, params: Params) -> Payload:
        """Answer ``/v5/market/recent-trade``: 60 trades of spot, 500 (at most 1,000) of linear."""
        record = self._record(params)
        usual = 60 if record.market.kind == "spot" else 500
        rows = record.recent(int(params.get("limit") or usual))
        made = [market_payloads.rest_trade(record.market, trade) for trade in rows]
        return {"category": params.get("category", "linear"), "list": made}

    def tickers(self, params: Params) -> Payload:
        """Answer ``/v5/market/tickers``."""
        now_ms = self.exchange.clock.now_ns() // 1_000_000
        rows = []
        for market in self._markets(params):
            record = self.records[market.key]
            top = record.top()
            if top is not None:
                rows.append(market_payloads.rest_ticker(market, record.day, top, now_ms))
        return {"category": params["category"], "list": rows}

    def funding(self, params: Params) -> Payload:
        """Answer ``/v5/market/funding/history``: the same rate every eight hours, newest first."""
        market = self._record(params).market
        now_ms = self.exchange.clock.now_ns() // 1_000_000
        end_ms = min(int(params.get("endTime") or now_ms), now_ms)
        last_ms = end_ms // market_payloads.FUNDING_MS * market_payloads.FUNDING_MS
        start_ms = int(params.get("startTime") or 0)
        limit = int(params.get("limit") or 200)
        times = [last_ms - step * market_payloads.FUNDING_MS for step in range(limit)]
        rows = [market_payloads.funding_row(market, time) for time in times if time >= start_ms]
        return {"category": params["category"], "list": rows}

    def _markets(self, params: Params) -> list[Market]:
        kind, symbol = kind_of(params), params.get("symbol")
        found = [
            market
            for market in self.exchange.markets.values()
            if market.kind == kind and symbol in (None, "", market.symbol)
        ]
        if symbol and not found:
            raise BybitError(10001, "params error: symbol invalid")
        return found

    def _record(self, params: Params) -> MarketRecord:
        category = str(params.get("category") or "linear")
        record = self.records.get(market_key(str(params.get("symbol")), category))
        if record is None:
            raise BybitError(10001, "Not supported symbols")
        return record


class AccountQueries:
    """Private questions and settings of one account."""

    def __init__(self, exchange: Exchange, stream: PrivateStream, account: str = "main") -> None:
        self.exchange = exchange
        self.stream = stream
        self.account = account
        self.orders = Orders(exchange, account)

    def realtime(self, params: Params) -> Payload:
        """Answer ``/v5/order/realtime``: open orders, and by id also those that closed lately."""
        kind = kind_of(params)
        if params.get("orderId") or params.get("orderLinkId"):
            try:
                return self._orders([self.orders.find(params)], params)
            except BybitError:
                return self._orders([], params)
        if kind == "linear" and not any(params.get(name) for name in ("symbol", "baseCoin", "settleCoin")):
            raise BybitError(10001, "params error: symbol, baseCoin or settleCoin is required")
        if str(params.get("openOnly") or "0") == "1":
            return self._orders(self._closed()[:MOST_CLOSED], params)
        return self._orders(self.exchange.open_orders(self.account), params)

    def history(self, params: Params) -> Payload:
        """Answer ``/v5/order/history``: closed orders of seven days."""
        now_ms = self.exchange.clock.now_ns() // 1_000_000
        end_ms = int(params.get("endTime") or now_ms)
        start_ms = int(params.get("startTime") or end_ms - WEEK_MS)
        wanted = [row for row in self._closed() if start_ms <= row.created_ns // 1_000_000 <= end_ms]
        for name in ("orderId", "orderLinkId"):
            if params.get(name):
                wanted = [row for row in wanted if payloads.rest_order(row)[name] == params[name]]
        return self._orders(wanted, params)

    def executions(self, params: Params) -> Payload:
        """Answer ``/v5/execution/list``, newest first."""
        kind, symbol = kind_of(params), params.get("symbol")
        first_ns = int(params.get("startTime") or 0) * 1_000_000
        last_ns = int(params.get("endTime") or 2**43) * 1_000_000
        found = [
            fill
            for fill in reversed(self.exchange.fills)
            if fill.order.account == self.account
            and fill.order.market.kind == kind
            and symbol in (None, "", fill.order.symbol)
            and first_ns <= fill.ts_ns <= last_ns + 999_999
        ]
        for name in ("orderId", "orderLinkId"):
            if params.get(name):
                found = [fill for fill in found if payloads.rest_order(fill.order)[name] == params[name]]
        wanted = params.get("execType") or ""
        fundings = []
        if kind == "linear" and not params.get("orderId") and not params.get("orderLinkId"):
            fundings = self._fundings(symbol, first_ns // 1_000_000, last_ns // 1_000_000)
        if not fundings and not wanted:
            rows, cursor = page(found, params, 100, 50)
            made = [payloads.rest_execution(fill, fill.trade_id) for fill in rows]
            return {"category": kind, "list": made, "nextPageCursor": cursor}
        both = [*(payloads.rest_execution(fill, fill.trade_id) for fill in found), *fundings]
        both = [row for row in both if wanted in ("", row["execType"])]
        rows, cursor = page(sorted(both, key=lambda row: -int(row["execTime"])), params, 100, 50)
        return {"category": kind, "list": rows, "nextPageCursor": cursor}

    def _fundings(self, symbol: str | None, first_ms: int, last_ms: int) -> list[Payload]:
        found = [row for account, row in self.stream.fundings if account == self.account]
        return [
            {name: value for name, value in row.items() if name not in ("category", "isLeverage")}
            for row in reversed(found)
            if symbol in (None, "", row["symbol"]) and first_ms <= int(row["execTime"]) <= last_ms
        ]

    def positions(self, params: Params) -> Payload:
        """Answer ``/v5/position/list``: of a symbol even when flat, else the open ones."""
        if kind_of(params) == "spot":
            raise BybitError(10001, "category only support linear or option")
        symbol = params.get("symbol")
        account = self.exchange.accounts[self.account]
        now_ns = self.exchange.clock.now_ns()
        if symbol:
            market = self._market(params)
            found = [account.position(market)]
        elif params.get("settleCoin"):
            found = [row for row in account.open_positions() if row.market.quote == params["settleCoin"]]
        else:
            raise BybitError(10001, "params error: symbol or settleCoin is required")
        rows = []
        for position in found:
            mark = self.exchange.ledger.mark(position.market, position.entry_price)
            row = account_payloads.rest_position(position, mark, now_ns)
            rows.append(row | self.stream.attached(position))
        return {"category": "linear", "list": rows, "nextPageCursor": ""}

    def wallet(self, _params: Params) -> Payload:
        """Answer ``/v5/account/wallet-balance``."""
        account = self.exchange.accounts[self.account]
        coins = [account_payloads.rest_coin(row) for row in self.stream.wallet.coins(account)]
        totals = self.stream.wallet.totals(account)
        return {"list": [totals | {"accountType": "UNIFIED", "totalPerpUPL": "0", "coin": coins}]}

    def fee_rates(self, params: Params) -> Payload:
        """Answer ``/v5/account/fee-rate``."""
        kind, symbol = kind_of(params), params.get("symbol")
        markets = [row for row in self.exchange.markets.values() if row.kind == kind]
        rows = [market_payloads.fee_rate(row) for row in markets if symbol in (None, "", row.symbol)]
        return {"list": rows}

    def key(self, _params: Params) -> Payload:
        """Answer ``/v5/user/query-api``."""
        return account_payloads.api_key_info(self.exchange.accounts[self.account], EPOCH_ISO)

    def info(self, _params: Params) -> Payload:
        """Answer ``/v5/account/info`` (http_get_account_info)."""
        now = datetime.now(tz=UTC)
        return {
            "marginMode": "REGULAR_MARGIN",
            "updatedTime": str(int(now.timestamp() * 1000)),
            "unifiedMarginStatus": 4,
            "dcpStatus": "OFF",
            "timeWindow": 10,
            "smpGroup": 0,
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
        }

    def set_leverage(self, params: Params) -> Payload:
        """Answer ``/v5/position/set-leverage``."""
        market = self._market(params)
        leverage = number(params, "buyLeverage")
        if leverage is None or leverage != number(params, "sellLeverage") or leverage > market.max_leverage:
            raise BybitError(10001, "leverage invalid")
        if self.exchange.accounts[self.account].position(market).leverage == leverage:
            raise BybitError(110043, "leverage not modified")
        self.exchange.set_leverage(self.account, market.key, leverage)
        return {}

    def switch_mode(self, params: Params) -> Payload:
        """Answer ``/v5/position/switch-mode``: one-way is what there is."""
        if params.get("mode") == 0:
            raise BybitError(110025, "Position mode is not modified")
        raise BybitError(110029, "Hedge mode is not supported for this symbol.")

    def _market(self, params: Params) -> Market:
        market = self.exchange.markets.get(market_key(str(params.get("symbol")), kind_of(params)))
        if market is None:
            raise BybitError(10001, "params error: symbol invalid")
        return market

    def _closed(self) -> list[Order]:
        found = [
            row for row in self.exchange.orders.values() if row.account == self.account and not row.is_open
        ]
        return found[::-1]

    def _orders(self, orders: Sequence[Order], params: Params) -> Payload:
        kind = kind_of(params)
        tests: list[Callable[[Order], bool]] = [lambda row: row.market.kind == kind]
        if params.get("symbol"):
            tests.append(lambda row: row.symbol == params["symbol"])
        elif params.get("settleCoin"):
            tests.append(lambda row: row.market.quote == params["settleCoin"])
        if params.get("orderFilter") == "Order":
            tests.append(lambda row: not row.is_conditional)
        elif params.get("orderFilter") == "StopOrder":
            tests.append(lambda row: row.is_conditional)
        found = [row for row in orders if all(test(row) for test in tests)]
        found.sort(key=lambda row: row.created_ns, reverse=True)
        rows, cursor = page(found, params, 50, 20)
        made = [payloads.rest_order(row, self.stream.closing_qty(row)) for row in rows]
        return {"category": kind, "list": made, "nextPageCursor": cursor}
