"""Bybit v5 as a protocol of the local exchange: one unified account, spot and linear, REST and websockets.

Where the paths come from: Bybit v5 "Integration Guidance" (envelope, signature), "Connect", and the page of
each endpoint. Fees: the non-VIP rates of "Trading Fee Structure".
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final

from aiohttp import web

from tests.venue_simulator import bybit_auth
from tests.venue_simulator import bybit_payloads as payloads
from tests.venue_simulator.bybit_account import PrivateStream
from tests.venue_simulator.bybit_codes import BybitError
from tests.venue_simulator.bybit_dcp import Dcp
from tests.venue_simulator.bybit_ids import market_key
from tests.venue_simulator.bybit_limits import RollingLimits
from tests.venue_simulator.bybit_orders import Orders, acknowledgement, amend_refusal, batch
from tests.venue_simulator.bybit_public import PublicStream
from tests.venue_simulator.bybit_queries import AccountQueries, MarketQueries
from tests.venue_simulator.bybit_record import MarketRecord
from tests.venue_simulator.bybit_sockets import Sockets
from tests.venue_simulator.core import (
    Account,
    BalanceReason,
    Execution,
    Fill,
    Market,
    Order,
    Position,
    Trade,
    VenueRefusal,
    VenueRules,
)
from tests.venue_simulator.limits import Window
from tests.venue_simulator.protocol import Handler, Protocol, Route, SocketRoute, SymbolTerms

if TYPE_CHECKING:
    from tests.venue_simulator.venue import Venue

type Params = Mapping[str, Any]
type Answer = Callable[[Params], dict[str, Any]]

# "600 requests within a 5-second window per IP"; then 403 until the client has been quiet.
PER_IP: Final = {"ip": 1}


class Bybit(Protocol):
    """The protocol."""

    name: ClassVar[str] = "bybit"

    def __init__(self, venue: "Venue") -> None:
        super().__init__(venue)
        self.records = {
            key: MarketRecord(self.exchange, market, venue.histories[key])
            for key, market in self.exchange.markets.items()
        }
        self.limits = RollingLimits()
        self.public_stream = PublicStream(self.records, venue.connections)
        self.private_stream = PrivateStream(self.exchange, venue.connections)
        self.dcp = Dcp(self.exchange, venue.connections)
        self.market = MarketQueries(self.exchange, self.records)
        self.sockets = Sockets(self)

    # --- what the venue is ---------------------------------------------------------------------------------

    @staticmethod
    def make_markets(terms: SymbolTerms) -> Sequence[Market]:
        """Return the spot and the linear market of a symbol."""
        shared: dict[str, Any] = {
            "symbol": terms.symbol,
            "base": terms.base,
            "quote": terms.quote,
            "tick": terms.tick,
            "lot": terms.lot,
            "min_qty": terms.lot,
            "max_qty": terms.lot * 1_000_000,
            "level_qty": terms.typical_qty,
            "min_notional": Decimal(5),
        }
        spot = Market(
            **shared,
            key=market_key(terms.symbol, "spot"),
            kind="spot",
            maker_rate=Decimal("0.001"),
            taker_rate=Decimal("0.001"),
            max_orders=500,
            max_conditional=30,
        )
        linear = Market(
            **shared,
            key=market_key(terms.symbol, "linear"),
            kind="linear",
            maker_rate=Decimal("0.0002"),
            taker_rate=Decimal("0.00055"),
            max_orders=500,
            max_conditional=10,
        )
        return (spot, linear)

    @staticmethod
    def rules() -> VenueRules:
        """Return where Bybit differs from others."""
        return VenueRules(
            waiting_locks=False,
            keeps_would_take=True,
            client_ids_for_ever=True,
            waiting_checks_reduce_only=True,
        )

    @staticmethod
    def windows() -> dict[str, Window]:
        """Return the limit of an address."""
        return {"ip": Window(600, 5)}

    def secrets(self) -> dict[str, str]:
        """Return the secret of every key."""
        return {account.api_key: account.api_secret for account in self.exchange.accounts.values()}

    def account_of(self, key: str) -> str:
        """Return the name of the account that a key belongs to."""
        return next(name for name, account in self.exchange.accounts.items() if account.api_key == key)

    def orders(self, account: str) -> Orders:
        """Return an account's order requests; refuses a key that may only read."""
        owner: Account = self.exchange.accounts[account]
        if not owner.can_trade:
            raise BybitError(10005, "Permission denied, please check your API key permissions.")
        return Orders(self.exchange, account)

    # --- the wire ------------------------------------------------------------------------------------------

    def routes(self) -> Iterable[Route | SocketRoute]:
        """Return the endpoints."""
        market = self.market
        public: dict[str, Answer] = {
            "market/time": market.time,
            "market/instruments-info": market.instruments,
            "market/kline": market.klines,
            "market/recent-trade": market.recent_trades,
            "market/tickers": market.tickers,
            "market/funding/history": market.funding,
        }
        for path, answer in public.items():
            yield Route("GET", f"/v5/{path}", self._public(path, answer), PER_IP)
        for path in ("order/realtime", "order/history", "execution/list", "position/list", "user/query-api",
                     "account/wallet-balance", "account/fee-rate", "account/info",
                     "account/query-dcp-info"):  # fmt: skip
            yield Route("GET", f"/v5/{path}", self._signed(path), PER_IP)
        for path in ("order/create", "order/amend", "order/cancel", "order/cancel-all", "order/create-batch",
                     "order/amend-batch", "order/cancel-batch", "order/disconnected-cancel-all",
                     "position/set-leverage", "position/switch-mode", "account/set-margin-mode"):  # fmt: skip
            yield Route("POST", f"/v5/{path}", self._signed(path), PER_IP)
        for category in ("spot", "linear"):
            yield SocketRoute(f"/v5/public/{category}", f"public-{category}", self.sockets.public)
        yield SocketRoute("/v5/private", "private", self.sockets.private)
        yield SocketRoute("/v5/trade", "trade", self.sockets.trade)

    def refused(self, refusal: VenueRefusal) -> web.Response:
        """Answer a request that the exchange refused without a code of its own."""
        return self._envelope(10001, str(refusal))

    def failed(self, status: int, code: int, text: str) -> web.Response:
        """Answer with a scripted error."""
        return self._envelope(code, text, status=status)

    def limited(self, status: int, wait_secs: int) -> web.Response:
        """Answer a request over the limit: 10006 while it is a warning, 403 once the address is banned."""
        if status == 429:
            reset_ms = self.now_ms() + wait_secs * 1000
            headers = {"X-Bapi-Limit-Status": "0", "X-Bapi-Limit-Reset-Timestamp": str(reset_ms)}
            return self._envelope(10006, "Too many visits!", headers=headers)
        return web.json_response({"ret_msg": "access too frequent"}, status=403)

    # --- events --------------------------------------------------------------------------------------------

    def on_order(self, order: Order, execution: Execution, fill: Fill | None) -> None:
        """Tell the private stream."""
        self.private_stream.on_order(order, execution, fill)

    def on_balance(self, account: Account, assets: Sequence[str], _reason: BalanceReason) -> None:
        """Tell the private stream."""
        self.private_stream.on_balance(account, assets)

    def on_position(self, account: Account, position: Position) -> None:
        """Tell the private stream."""
        self.private_stream.on_position(account, position)

    def on_trades(self, market: Market, trades: Sequence[Trade]) -> None:
        """Tell the public stream."""
        self.records[market.key].take(trades)
        self.public_stream.on_trades(market, trades)

    def on_tick(self) -> None:
        """Publish what goes by time, and end what was left alone too long."""
        now_ms = self.now_ms()
        self.public_stream.on_tick(now_ms)
        self.dcp.on_tick(now_ms)

    def settle_funding(self, symbol: str, rate: Decimal) -> None:
        """Pay funding of a perpetual now: with a positive rate longs pay."""
        market = self.exchange.market(symbol)
        if market.kind != "linear":
            return
        mark, now_ns = self.exchange.last_price(market.key) or Decimal(0), self.exchange.clock.now_ns()
        for account in self.exchange.accounts.values():
            if qty := account.position(market).qty:
                number = len(self.private_stream.fundings) + 1
                row = payloads.funding_execution(market, qty, mark, rate, number, now_ns)
                self.private_stream.on_funding(account, row)
                fee = Decimal(row["execFee"])
                self.exchange.change_balance(account.name, market.quote, -fee, "FUNDING_FEE")

    def enable_disconnect_cancel(self, product: str, secs: int) -> None:
        """Switch DCP on for "SPOT" or "DERIVATIVES", as the account's manager does."""
        self.dcp.enable(product, secs)

    def expire_user_stream(self, account: str) -> None:
        """Close the private sessions of an account."""
        for connection in list(self.venue.connections):
            if connection.name == "private" and connection.state.get("account") == account:
                connection.abort()

    # --- inside --------------------------------------------------------------------------------------------

    def _public(self, path: str, answer: Answer) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            try:
                return self._envelope(0, "OK", answer(request.query))
            except BybitError as error:
                return self._envelope(error.code, error.text)

        handle.__name__ = path
        return handle

    def _signed(self, path: str) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            is_post = request.method == "POST"
            payload = await request.text() if is_post else request.rel_url.raw_query_string
            headers: dict[str, str] = {}
            try:
                key = bybit_auth.check_rest(request.headers, payload, self.secrets(), self.now_ms())
                params: Params = json.loads(payload or "{}") if is_post else request.query
                headers = self.limits.take(path, str(params.get("category", "")), self.now_ms())
                result, details = self._answer(path, self.account_of(key), params)
                return self._envelope(0, "OK", result, headers=headers, details=details)
            except BybitError as error:
                return self._envelope(error.code, error.text, headers=error.headers or headers)
            except json.JSONDecodeError:
                return self._envelope(10001, "params error: body is not JSON", headers=headers)

        return handle

    def _answer(self, path: str, account: str, params: Params) -> tuple[dict[str, Any], dict[str, Any]]:
        """Answer a signed request with (result, retExtInfo)."""
        group, _, action = path.partition("/")
        if group == "order" and action in ("create", "amend", "cancel"):
            try:
                return acknowledgement(getattr(self.orders(account), action)(params)), {}
            except BybitError as error:
                raise amend_refusal(error) if action == "amend" else error from error
        if action.endswith("-batch"):
            return batch(self.orders(account), action.removesuffix("-batch"), params)
        if action == "cancel-all":
            done = self.orders(account).cancel_all(params)
            return {"list": [acknowledgement(order) for order in done], "success": "1"}, {}
        queries = AccountQueries(self.exchange, self.private_stream, account)
        answers: dict[str, Answer] = {
            "order/realtime": queries.realtime,
            "order/history": queries.history,
            "execution/list": queries.executions,
            "position/list": queries.positions,
            "account/wallet-balance": queries.wallet,
            "account/fee-rate": queries.fee_rates,
            "account/info": queries.info,
            "account/query-dcp-info": lambda _params: self.dcp.info(),
            "user/query-api": queries.key,
            "order/disconnected-cancel-all": lambda given: self.dcp.set(dict(given)),
            "position/set-leverage": queries.set_leverage,
            "position/switch-mode": queries.switch_mode,
            "account/set-margin-mode": lambda _params: {"reasons": []},
        }
        return answers[path](params), {}

    def _envelope(
        self,
        code: int,
        text: str,
        result: Mapping[str, Any] | None = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> web.Response:
        body = {"retCode": code, "retMsg": text, "result": result or {}, "retExtInfo": details or {}}
        response = web.json_response(body | {"time": self.now_ms()}, status=status, headers=headers)
        response["noted"] = {"retCode": str(code)}  # the status says nothing
        return response
