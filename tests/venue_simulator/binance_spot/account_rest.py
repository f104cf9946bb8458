"""The signed REST endpoints of Binance spot: account and orders (rest-api.md, "Trading endpoints")."""

from collections.abc import Iterable, Sequence
from typing import Final

from aiohttp import web

from tests.venue_simulator.binance_common import (
    decimal,
    market_of,
    need,
    refuse,
    reply,
    signed_params,
    whole,
)
from tests.venue_simulator.binance_spot import order_payloads, payloads, refusals
from tests.venue_simulator.binance_spot.market_rest import WEIGHT, limit_of
from tests.venue_simulator.binance_spot.user_stream import UserStreams
from tests.venue_simulator.core import Account, Market, Order, OrderRequest, OrderType, Side, TimeInForce
from tests.venue_simulator.core.terms import VenueRefusal
from tests.venue_simulator.protocol import Route
from tests.venue_simulator.venue import Venue

DAY_MS: Final = 86_400_000
TYPES: Final[dict[str, OrderType]] = {
    "LIMIT": "LIMIT",
    "LIMIT_MAKER": "LIMIT",
    "MARKET": "MARKET",
    "STOP_LOSS": "STOP_MARKET",
    "STOP_LOSS_LIMIT": "STOP_LIMIT",
    "TAKE_PROFIT": "TAKE_PROFIT_MARKET",
    "TAKE_PROFIT_LIMIT": "TAKE_PROFIT_LIMIT",
}
TIMES_IN_FORCE: Final[dict[str, TimeInForce]] = {"GTC": "GTC", "IOC": "IOC", "FOK": "FOK"}
NEEDS_TIF: Final = {"LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"}


class AccountRest:
    """Handlers of what needs a key.

    Parameters
    ----------
    venue
        Exchange, clock and limits.
    users
        Told the ids of cancellations, which its reports carry.
    """

    def __init__(self, venue: Venue, users: UserStreams) -> None:
        self._venue = venue
        self._exchange = venue.exchange
        self._users = users

    def routes(self) -> Iterable[Route]:
        """Return the endpoints with their weights (rest-api.md gives one for each)."""
        for path, handler, weight in (
            ("/api/v3/account", self.account, 20),
            ("/api/v3/order", self.order, 4),
            ("/api/v3/openOrders", self.open_orders, 6),
            ("/api/v3/allOrders", self.all_orders, 20),
            ("/api/v3/myTrades", self.my_trades, 20),
            ("/sapi/v1/asset/tradeFee", self.trade_fee, 1),
            ("/sapi/v1/account/apiRestrictions", self.api_restrictions, 1),
        ):
            yield Route("GET", path, handler, {WEIGHT: weight})
        yield Route("POST", "/api/v3/order", self.new_order, {WEIGHT: 1})
        yield Route("DELETE", "/api/v3/order", self.cancel_order, {WEIGHT: 1})
        yield Route("DELETE", "/api/v3/openOrders", self.cancel_open_orders, {WEIGHT: 1})

    async def account(self, request: web.Request) -> web.Response:
        """Return balances and permissions."""
        account, _ = await self._signed(request)
        return reply(payloads.account_info(account, list(self._exchange.markets.values()), self._now_ms()))

    async def trade_fee(self, request: web.Request) -> web.Response:
        """Source: Binance, Wallet endpoints, "Trade Fee"."""
        _, params = await self._signed(request)
        markets = [market_of(params, self._exchange.markets)] if params.get("symbol") else self._markets()
        return reply(
            [
                {"symbol": market.symbol, "makerCommission": f"{market.maker_rate:f}",
                 "takerCommission": f"{market.taker_rate:f}"}
                for market in markets
            ]
        )  # fmt: skip

    async def api_restrictions(self, request: web.Request) -> web.Response:
        """Return what the key may do."""
        account, _ = await self._signed(request)
        return reply(payloads.api_restrictions(account, self._now_ms()))

    async def order(self, request: web.Request) -> web.Response:
        """Return one order by either id."""
        account, params = await self._signed(request)
        return reply(order_payloads.order_info(self._find(account, params)))

    async def open_orders(self, request: web.Request) -> web.Response:
        """Return the open orders of one market or of all; all of them weigh 80."""
        account, params = await self._signed(request)
        key = market_of(params, self._exchange.markets).key if params.get("symbol") else None
        if key is None:
            self._venue.limiter.windows[WEIGHT].spend(74, self._venue.clock.now_ns())
        return reply(
            [order_payloads.order_info(order) for order in self._exchange.open_orders(account.name, key)]
        )

    async def all_orders(self, request: web.Request) -> web.Response:
        """Return orders by id or by time of creation."""
        account, params = await self._signed(request)
        market = market_of(params, self._exchange.markets)
        from_id, start, end = (whole(params, name) for name in ("orderId", "startTime", "endTime"))
        _check_span(start, end)
        orders = [
            order
            for order in self._exchange.orders.values()
            if order.account == account.name
            and order.market is market
            and (from_id is None or order.order_id >= from_id)
            and _is_between(order.created_ns // 1_000_000, start, end)
        ]
        is_newest = from_id is None and start is None
        return reply(
            [order_payloads.order_info(order) for order in _cut(orders, limit_of(params), is_newest)]
        )

    async def my_trades(self, request: web.Request) -> web.Response:
        """Return our fills of one market."""
        account, params = await self._signed(request)
        market = market_of(params, self._exchange.markets)
        names = ("orderId", "fromId", "startTime", "endTime")
        order_id, from_id, start, end = (whole(params, name) for name in names)
        _check_span(start, end)
        fills = [
            fill
            for fill in self._exchange.fills
            if fill.order.account == account.name
            and fill.order.market is market
            and order_id in {None, fill.order.order_id}
            and (from_id is None or fill.trade_id >= from_id)
            and _is_between(fill.ts_ns // 1_000_000, start, end)
        ]
        is_newest = from_id is None and start is None
        return reply([order_payloads.my_trade(fill) for fill in _cut(fills, limit_of(params), is_newest)])

    async def new_order(self, request: web.Request) -> web.Response:
        """Place an order."""
        account, params = await self._signed(request)
        now_ns = self._venue.clock.now_ns()
        for name, interval in (("ORDERS_10S", "10 SECOND"), ("ORDERS_1D", "1 DAY")):
            window = self._venue.limiter.windows[name]
            if not window.spend(1, now_ns):
                return refusals.too_many_new_orders(window.secs_left(now_ns), window.limit, interval)
        order = self._exchange.place(self._order_request(account, params))
        default = "FULL" if order.type in {"MARKET", "LIMIT"} else "ACK"
        is_full = params.get("newOrderRespType", default) == "FULL"
        return reply(order_payloads.order_full(order) if is_full else order_payloads.order_ack(order))

    async def cancel_order(self, request: web.Request) -> web.Response:
        """Cancel one order."""
        account, params = await self._signed(request)
        try:
            order = self._find(account, params)
            if not order.is_open:
                return refusals.unknown_cancel()
            cancel_id = self._note_cancel(order, params.get("newClientOrderId"))
            self._exchange.cancel(account.name, order_id=order.order_id)
        except VenueRefusal:
            return refusals.unknown_cancel()
        return reply(order_payloads.order_canceled(order, cancel_id))

    async def cancel_open_orders(self, request: web.Request) -> web.Response:
        """Cancel every order of one market; refuses when there is none."""
        account, params = await self._signed(request)
        market = market_of(params, self._exchange.markets)
        orders = self._exchange.open_orders(account.name, market.key)
        if not orders:
            return refusals.unknown_cancel()
        ids = [self._note_cancel(order, None) for order in orders]
        self._exchange.cancel_all(account.name, market.key)
        rows = zip(orders, ids, strict=True)
        return reply([order_payloads.order_canceled(order, cancel_id) for order, cancel_id in rows])

    def _order_request(self, account: Account, params: dict[str, str]) -> OrderRequest:
        market, kind = market_of(params, self._exchange.markets), need(params, "type")
        side = need(params, "side")
        if kind not in TYPES:
            raise refuse(-1116, "Invalid orderType.")
        if side not in {"BUY", "SELL"}:
            raise refuse(-1117, "Invalid side.")
        tif = need(params, "timeInForce") if kind in NEEDS_TIF else params.get("timeInForce", "")
        if tif and kind not in NEEDS_TIF:
            raise refuse(-1106, "Parameter 'timeInForce' sent when not required.")
        if tif and tif not in TIMES_IN_FORCE:
            raise refuse(-1115, "Invalid timeInForce.")
        quote_qty = decimal(params, "quoteOrderQty")
        qty = decimal(params, "quantity")
        if qty is None and not (quote_qty is not None and kind == "MARKET"):
            need(params, "quantity")
        return OrderRequest(
            symbol=market.key,
            side=_side(side),
            type=TYPES[kind],
            qty=qty if qty is not None else market.lot * 0,
            price=decimal(params, "price"),
            stop_price=decimal(params, "stopPrice"),
            tif="GTX" if kind == "LIMIT_MAKER" else TIMES_IN_FORCE.get(tif, "GTC"),
            client_id=params.get("newClientOrderId", ""),
            account=account.name,
            quote_qty=quote_qty,
        )

    def _find(self, account: Account, params: dict[str, str]) -> Order:
        order_id, client_id = whole(params, "orderId"), params.get("origClientOrderId", "")
        market_of(params, self._exchange.markets)
        if order_id is None and not client_id:
            raise refuse(
                -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
            )
        order = self._exchange.find(account.name, order_id=order_id, client_id=client_id)
        if client_id and order.client_id != client_id:
            raise VenueRefusal("unknown_order", client_id)
        return order

    def _note_cancel(self, order: Order, wanted: str | None) -> str:
        cancel_id = wanted or f"simcancel{order.order_id}"
        self._users.cancel_ids[order.order_id] = cancel_id
        return cancel_id

    async def _signed(self, request: web.Request) -> tuple[Account, dict[str, str]]:
        return await signed_params(request, self._exchange.accounts.values(), self._now_ms())

    def _markets(self) -> list[Market]:
        return list(self._exchange.markets.values())

    def _now_ms(self) -> int:
        return self._venue.clock.now_ns() // 1_000_000


def _side(text: str) -> Side:
    return "BUY" if text == "BUY" else "SELL"


def _check_span(start_ms: int | None, end_ms: int | None) -> None:
    if start_ms is not None and end_ms is not None and end_ms - start_ms > DAY_MS:
        raise refuse(-1127, "More than 24 hours between startTime and endTime.")


def _is_between(at_ms: int, start_ms: int | None, end_ms: int | None) -> bool:
    return (start_ms is None or at_ms >= start_ms) and (end_ms is None or at_ms <= end_ms)


def _cut[Row](rows: Sequence[Row], count: int, is_newest: bool) -> Sequence[Row]:
    return rows[-count:] if is_newest else rows[:count]
