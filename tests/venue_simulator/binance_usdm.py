"""Binance USD-M futures: the gate of the REST interface, the routes, and the events of the user stream.

Sources: developers.binance.com, "USDⓈ-M Futures". What follows from no page is marked: liquidation and ADL
messages follow the recorded order_update_calculated.json and order_update_adl.json.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar

from aiohttp import web

from tests.venue_simulator import binance_usdm_account as wire
from tests.venue_simulator import binance_usdm_rules as rules
from tests.venue_simulator.binance_common import account_of, error, params_of, reply, signed_params
from tests.venue_simulator.binance_usdm_market import AccountDesk, MarketDesk
from tests.venue_simulator.binance_usdm_orders import Call, OrderDesk
from tests.venue_simulator.binance_usdm_rules import UsdmError
from tests.venue_simulator.binance_usdm_streams import MarketStreams, UserStreams
from tests.venue_simulator.binance_usdm_user import UserEvents
from tests.venue_simulator.core import Market, Trade, VenueRefusal, VenueRules
from tests.venue_simulator.limits import Window
from tests.venue_simulator.protocol import Protocol, Route, SocketRoute, SymbolTerms
from tests.venue_simulator.streams import Connection
from tests.venue_simulator.venue import Venue

type Answer = Callable[[Call], Any]

PUBLIC, KEY, SIGNED = "public", "key", "signed"
# Routed paths of the live venue ("/market", "/public", "/private") and the plain ones lead to the same.
PREFIXES = ("", "/market", "/public", "/private")


class BinanceUsdm(Protocol):
    """The protocol; orders, market data, account questions and streams each have a desk of their own."""

    name: ClassVar[str] = "binance_usdm"

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self.orders = OrderDesk(venue.exchange)
        self.market_desk = MarketDesk(venue.exchange, venue.histories)
        self.accounts = AccountDesk(venue.exchange)
        self.market_streams = MarketStreams(self.market_desk, self.now_ms)
        self.user_streams = UserStreams(self.now_ms)
        self.user_events = UserEvents(self.exchange, self.now_ms, self.user_streams.push)
        self.exchange.add_listener(self.user_events)

    @staticmethod
    def make_markets(terms: SymbolTerms) -> Sequence[Market]:
        """Return one perpetual with the venue's filters: GET exchangeInfo of BTCUSDT, fees of tier 0."""
        return [
            Market(
                terms.symbol,
                terms.base,
                terms.quote,
                "linear",
                tick=terms.tick,
                lot=terms.lot,
                min_qty=terms.lot,
                # 1,000 and 120 BTC of 0.001; coins in larger lots may be traded in larger numbers.
                max_qty=terms.lot * 1_000_000,
                market_max_qty=terms.lot * 120_000,
                min_notional=Decimal(5),
                percent_up=Decimal("1.05"),
                percent_down=Decimal("0.95"),
                maker_rate=Decimal("0.0002"),
                taker_rate=Decimal("0.0005"),
                level_qty=terms.typical_qty,
                max_leverage=Decimal(125),
                max_conditional=10,
            )
        ]

    @staticmethod
    def rules() -> VenueRules:
        """Return the core's rules for this venue."""
        return VenueRules()

    @staticmethod
    def windows() -> dict[str, Window]:
        """Return the limits that exchangeInfo names."""
        return rules.windows()

    # --- the gate ------------------------------------------------------------------------------------------

    def routes(self) -> Iterable[Route | SocketRoute]:
        """Return every endpoint."""
        for endpoint, security, answer in self._endpoints():
            method, name = endpoint.split(" ")
            for path in _paths(name):
                handler = partial(self._gate, endpoint, security, answer)
                yield Route(method, path, handler, rules.costs(endpoint))
        for prefix in PREFIXES:
            yield SocketRoute(f"{prefix}/stream", "market", self._serve_combined)
            yield SocketRoute(f"{prefix}/ws", "ws", self._serve_single)
            yield SocketRoute(f"{prefix}/ws/{{name}}", "ws", self._serve_single)

    def _endpoints(self) -> Iterable[tuple[str, str, Answer]]:
        market, orders, account = self.market_desk, self.orders, self.accounts
        yield "GET ping", PUBLIC, market.ping
        yield "GET time", PUBLIC, market.time
        yield "GET exchangeInfo", PUBLIC, market.exchange_info
        yield "GET klines", PUBLIC, market.klines
        yield "GET aggTrades", PUBLIC, market.agg_trades
        yield "GET trades", PUBLIC, market.trades
        yield "GET historicalTrades", PUBLIC, market.trades
        yield "GET premiumIndex", PUBLIC, market.premium_index
        yield "GET fundingRate", PUBLIC, market.funding_rate
        yield "GET depth", PUBLIC, market.depth
        yield "GET ticker/bookTicker", PUBLIC, market.book_ticker
        yield "GET ticker/price", PUBLIC, market.price_ticker
        yield "GET account", SIGNED, account.account
        yield "GET balance", SIGNED, account.balance
        yield "GET positionRisk", SIGNED, partial(account.position_risk, version=3)
        yield "GET v2/positionRisk", SIGNED, partial(account.position_risk, version=2)
        yield "GET income", SIGNED, market.income
        yield "GET symbolConfig", SIGNED, account.symbol_config
        yield "GET positionSide/dual", SIGNED, account.position_mode
        yield "GET commissionRate", SIGNED, account.commission_rate
        yield "GET apiRestrictions", SIGNED, account.restrictions
        yield "POST leverage", SIGNED, account.leverage
        yield "POST marginType", SIGNED, account.margin_type
        yield "POST order", SIGNED, orders.place
        yield "PUT order", SIGNED, orders.amend
        yield "GET order", SIGNED, orders.query
        yield "DELETE order", SIGNED, orders.cancel
        yield "POST algoOrder", SIGNED, orders.place_algo
        yield "GET algoOrder", SIGNED, orders.query_algo
        yield "DELETE algoOrder", SIGNED, orders.cancel_algo
        yield "GET openOrders", SIGNED, orders.open_orders
        yield "GET openAlgoOrders", SIGNED, orders.open_algo_orders
        yield "GET allOrders", SIGNED, orders.all_orders
        yield "GET allAlgoOrders", SIGNED, orders.all_algo_orders
        yield "GET userTrades", SIGNED, orders.user_trades
        yield "DELETE allOpenOrders", SIGNED, orders.cancel_all
        yield "DELETE algoOpenOrders", SIGNED, orders.cancel_all_algo
        yield "DELETE batchOrders", SIGNED, orders.cancel_batch
        yield "POST batchOrders", SIGNED, orders.place_batch
        yield "POST countdownCancelAll", SIGNED, orders.arm_countdown
        yield "POST listenKey", KEY, self._start_stream
        yield "PUT listenKey", KEY, self._keep_stream
        yield "DELETE listenKey", KEY, self._stop_stream

    async def _gate(
        self, endpoint: str, security: str, answer: Answer, request: web.Request
    ) -> web.StreamResponse:
        try:
            call = await self._admitted(endpoint, security, request)
            return reply(answer(call))
        except UsdmError as refused:
            return self.failed(refused.status, refused.code, refused.text)

    async def _admitted(self, endpoint: str, security: str, request: web.Request) -> Call:
        now_ms = self.now_ms()
        account = next(iter(self.exchange.accounts.values()))
        parameters = await params_of(request)
        owners = self.exchange.accounts.values()
        if security == SIGNED:
            account, parameters = await signed_params(request, owners, now_ms)
        elif security == KEY:
            account = account_of(request, owners)
        extra = rules.extra_weight(endpoint, parameters)
        if extra:
            wait = self.venue.limiter.refusal({rules.WEIGHT_WINDOW: extra})
            if wait is not None:
                raise UsdmError(-1003, status=wait[0])
        return Call(account, parameters, now_ms)

    def refused(self, refusal: VenueRefusal) -> web.Response:
        """Answer what a desk did not translate itself."""
        refused = rules.translated(refusal)
        return self.failed(refused.status, refused.code, refused.text)

    def failed(self, status: int, code: int, text: str) -> web.Response:
        """Answer with an error."""
        return error(status, code, text or rules.TEXTS.get(code, ""))

    def limited(self, status: int, wait_secs: int) -> web.Response:
        """Answer 429 or 418 with `Retry-After` ("Limits": IP limits)."""
        text = rules.TEXTS[-1003]
        if status == 418:
            until = self.now_ms() + wait_secs * 1000
            text = f"Way too many requests; IP banned until {until}. Please use the websocket to avoid bans."
        response = self.failed(status, -1003, text)
        response.headers["Retry-After"] = str(wait_secs)
        return response

    def stamp(self, response: web.StreamResponse) -> None:
        """Add used weight and order counts ("Limits")."""
        known = self.venue.limiter.windows
        response.headers["X-MBX-USED-WEIGHT-1M"] = str(known[rules.WEIGHT_WINDOW].used)
        response.headers["X-MBX-ORDER-COUNT-10S"] = str(known[rules.ORDERS_10_SECS].used)
        response.headers["X-MBX-ORDER-COUNT-1M"] = str(known[rules.ORDERS_MINUTE].used)

    # --- listen keys and streams ---------------------------------------------------------------------------

    def _start_stream(self, call: Call) -> dict[str, str]:
        return {"listenKey": self.user_streams.start(call.account.name)}

    def _keep_stream(self, call: Call) -> dict[str, str]:
        return {"listenKey": self.user_streams.keep_alive(call.account.name)}

    def _stop_stream(self, call: Call) -> dict[str, str]:
        self.user_streams.stop(call.account.name)
        return {}

    def settle_funding(self, symbol: str, rate: Decimal) -> None:
        """Settle funding now."""
        self.market_desk.settle_funding(symbol, rate, self.now_ms())

    def expire_user_stream(self, account: str = "main") -> None:
        """End an account's listen key now, as after an hour without keep-alive."""
        self.user_streams.expire(account, wire.listen_key_expired)

    async def _serve_combined(self, request: web.Request, connection: Connection) -> None:
        names = request.query.get("streams", "").split("/")
        await self.market_streams.serve(connection, filter(None, names), is_combined=True)

    async def _serve_single(self, request: web.Request, connection: Connection) -> None:
        name = request.match_info.get("name", "")
        listen_key = request.query.get("listenKey", "") or ("" if "@" in name else name)
        if listen_key:
            connection.name = "user"
            await self.user_streams.serve(connection, listen_key)
        else:
            await self.market_streams.serve(connection, [name] if name else [], is_combined=False)

    def on_trades(self, market: Market, trades: Sequence[Trade]) -> None:
        """Push public trades."""
        self.market_streams.publish(market, trades)

    def on_tick(self) -> None:
        """Push what goes by time, run the countdowns, expire listen keys."""
        self.market_streams.on_tick()
        self.user_events.on_tick()
        self.orders.expire_countdowns(self.now_ms())
        for account in self.user_streams.due():
            self.expire_user_stream(account)


def _paths(name: str) -> Iterable[str]:
    """Give the paths of an endpoint: what the venue offers in several versions has one behaviour here."""
    if name == "apiRestrictions":
        yield "/sapi/v1/account/apiRestrictions"
    elif name == "v2/positionRisk":
        yield "/fapi/v2/positionRisk"
    elif name in ("account", "balance"):
        yield f"/fapi/v2/{name}"
        yield f"/fapi/v3/{name}"
    elif name == "positionRisk":
        yield "/fapi/v3/positionRisk"
    else:
        yield f"/fapi/v1/{name}"
        if name == "ticker/price":
            yield "/fapi/v2/ticker/price"
