"""Order endpoints of Binance USD-M over the core: orders, algo orders, fills, the countdown.

Sources: developers.binance.com, "USDⓈ-M Futures", section Trade, one page per endpoint.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from tests.venue_simulator import binance_usdm_private as wire
from tests.venue_simulator.binance_usdm_public import places_of
from tests.venue_simulator.binance_usdm_rules import UsdmError, translated
from tests.venue_simulator.binance_usdm_views import (
    ACTUAL_ID_DISTANCE,
    KINDS,
    MILLION,
    actual_id,
    algo_status,
    algo_view,
    fill_view,
    has_worked,
    order_view,
    wire_id,
)
from tests.venue_simulator.core import Account, Exchange, Market, Order, OrderRequest, VenueRefusal

type Payload = dict[str, Any]
ALGO_KINDS = frozenset(KINDS) - {"LIMIT", "MARKET"}
SUCCESS: Payload = {"code": 200, "msg": "The operation of cancel all open order is done."}


@dataclass(frozen=True, slots=True)
class Call:
    """One request that passed the gate: who, with what, when (exchange time)."""

    account: Account
    parameters: Mapping[str, str]
    now_ms: int

    def get(self, name: str) -> str:
        """Return a parameter, "" without it."""
        return self.parameters.get(name, "")

    def need(self, name: str) -> str:
        """Return a parameter; -1102 without it."""
        value = self.parameters.get(name)
        if not value:
            raise UsdmError(
                -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
            )
        return value

    def number(self, name: str) -> int | None:
        """Return a whole number; None without it."""
        text = self.get(name)
        return int(text) if text else None

    def is_true(self, name: str) -> bool:
        """Return whether a flag says true, in any case of letters (adapters send True)."""
        return self.get(name).lower() == "true"


class OrderDesk:
    """Places, changes, cancels and reports orders of an exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.countdowns: dict[tuple[str, str], int] = {}  # (account, symbol) -> exchange time in ms

    # --- orders --------------------------------------------------------------------------------------------

    def place(self, call: Call) -> Payload:
        """POST order."""
        if call.need("type") in ALGO_KINDS:
            raise UsdmError(-4120)
        return wire.order(order_view(self._place(call, is_algo=False)))

    def place_algo(self, call: Call) -> Payload:
        """POST algoOrder."""
        if call.need("algoType") != "CONDITIONAL" or call.need("type") not in ALGO_KINDS:
            raise UsdmError(-1116)
        return _algo(self._place(call, is_algo=True))

    def amend(self, call: Call) -> Payload:
        """PUT order: LIMIT orders only, price and quantity both sent."""
        order = self._find(call)
        if not order.is_priced:
            raise UsdmError(-1116)
        qty = _number(call.need("quantity"), places_of(order.market.lot))
        price = _number(call.need("price"), places_of(order.market.tick))
        with_codes = _guarded(lambda: self.exchange.amend(order, qty=qty, price=price))
        return wire.order(order_view(with_codes))

    def cancel(self, call: Call) -> Payload:
        """DELETE order."""
        order = self._find(call, missing=-2011)
        return wire.order(order_view(self._cancel(call.account, order)))

    def cancel_algo(self, call: Call) -> Payload:
        """DELETE algoOrder; one that has triggered is an order like any other."""
        order = self._find_algo(call, missing=-2011)
        if order.triggered_ns:
            raise UsdmError(-2011)
        self._cancel(call.account, order)
        return wire.algo_cancelled(order.order_id, order.client_id)

    def cancel_all(self, call: Call) -> Payload:
        """DELETE allOpenOrders: what stands in the book, conditional orders stay."""
        for order in self._standing(call.account.name, call.need("symbol")):
            if order.is_open:
                self.exchange.cancel(call.account.name, order_id=order.order_id)
        return SUCCESS

    def cancel_all_algo(self, call: Call) -> Payload:
        """DELETE algoOpenOrders."""
        for order in self._waiting(call.account.name, call.need("symbol")):
            self.exchange.cancel(call.account.name, order_id=order.order_id)
        return SUCCESS

    def cancel_batch(self, call: Call) -> list[Payload]:
        """DELETE batchOrders: one answer per order, an error among them in its place."""
        name = "orderIdList" if call.get("orderIdList") else "origClientOrderIdList"
        field = "orderId" if name == "orderIdList" else "origClientOrderId"
        wanted = json.loads(call.need(name))
        return [self._one(self.cancel, call, {field: str(value)}) for value in wanted]

    def place_batch(self, call: Call) -> list[Payload]:
        """POST batchOrders, at most five."""
        orders = json.loads(call.need("batchOrders"))
        if len(orders) > 5:
            raise UsdmError(-1102, "Batch orders are limited to five.")
        return [self._one(self.place, call, order) for order in orders]

    # --- questions -----------------------------------------------------------------------------------------

    def query(self, call: Call) -> Payload:
        """GET order."""
        return wire.order(order_view(self._find(call)))

    def query_algo(self, call: Call) -> Payload:
        """GET algoOrder."""
        return _algo(self._find_algo(call))

    def open_orders(self, call: Call) -> list[Payload]:
        """GET openOrders."""
        standing = self._standing(call.account.name, call.get("symbol"))
        return [wire.order(order_view(order)) for order in standing]

    def open_algo_orders(self, call: Call) -> list[Payload]:
        """GET openAlgoOrders."""
        return [_algo(order) for order in self._waiting(call.account.name, call.get("symbol"))]

    def all_orders(self, call: Call) -> list[Payload]:
        """GET allOrders, oldest first."""
        found = (order for order in self._of(call) if not order.is_algo or has_worked(order))
        return _page(call, (wire.order(order_view(order)) for order in found), "orderId", "time", 500)

    def all_algo_orders(self, call: Call) -> list[Payload]:
        """GET allAlgoOrders, oldest first."""
        found = (_algo(order) for order in self._of(call) if order.is_algo)
        return _page(call, found, "algoId", "createTime", 500)

    def user_trades(self, call: Call) -> list[Payload]:
        """GET userTrades, oldest first, of one order where one is named."""
        symbol, wanted = call.need("symbol"), call.get("orderId")
        rows = (
            wire.user_trade(symbol, wire_id(fill.order), fill.order.side, fill_view(fill))
            for fill in self.exchange.fills
            if fill.order.symbol == symbol
            and fill.order.account == call.account.name
            and (not wanted or str(wire_id(fill.order)) == wanted)
        )
        return _page(call, rows, "id", "time", 500)

    # --- the countdown -------------------------------------------------------------------------------------

    def arm_countdown(self, call: Call) -> Payload:
        """POST countdownCancelAll; a time of 0 disarms."""
        symbol, countdown = call.need("symbol"), int(call.need("countdownTime"))
        if countdown:
            self.countdowns[call.account.name, symbol] = call.now_ms + countdown
        else:
            self.countdowns.pop((call.account.name, symbol), None)
        return {"symbol": symbol, "countdownTime": str(countdown)}

    def expire_countdowns(self, now_ms: int) -> None:
        """Cancel the orders whose countdown ran out.

        Conditional orders stay: they belong to another service since 2025-12-09. The documentation does not
        say so; it is the reading that has still to be verified on the testnet.
        """
        for (account, symbol), deadline_ms in list(self.countdowns.items()):
            if now_ms >= deadline_ms:
                del self.countdowns[account, symbol]
                for order in self._standing(account, symbol):
                    if order.is_open:
                        self.exchange.cancel(account, order_id=order.order_id)

    # --- inside --------------------------------------------------------------------------------------------

    def _place(self, call: Call, *, is_algo: bool) -> Order:
        symbol = call.need("symbol")
        if symbol not in self.exchange.markets:
            raise UsdmError(-1121)
        request = _request(call, self.exchange.markets[symbol], is_algo=is_algo)
        is_market = request.type == "MARKET"
        return _guarded(lambda: self.exchange.place(request), is_market=is_market, is_algo=is_algo)

    def _cancel(self, account: Account, order: Order) -> Order:
        return _guarded(lambda: self.exchange.cancel(account.name, order_id=order.order_id))

    def _one(self, action: Callable[[Call], Payload], call: Call, fields: Mapping[str, str]) -> Payload:
        try:
            return action(Call(call.account, {**call.parameters, **fields}, call.now_ms))
        except UsdmError as error:
            return error.body()

    def _of(self, call: Call) -> list[Order]:
        symbol = call.need("symbol")
        return [
            order
            for order in self.exchange.orders.values()
            if order.account == call.account.name and order.symbol == symbol
        ]

    def _standing(self, account: str, symbol: str) -> list[Order]:
        orders = self.exchange.open_orders(account, symbol or None)
        return [order for order in orders if not order.is_waiting]

    def _waiting(self, account: str, symbol: str) -> list[Order]:
        orders = self.exchange.open_orders(account, symbol or None)
        return [order for order in orders if order.is_waiting]

    def _find(self, call: Call, missing: int = -2013) -> Order:
        call.need("symbol")
        text = call.get("orderId")
        order_id = int(text) if text else None
        if order_id is not None and order_id > ACTUAL_ID_DISTANCE:
            order_id -= ACTUAL_ID_DISTANCE
        client_id = call.get("origClientOrderId")
        order = self._lookup(call.account, order_id, client_id, missing)
        if order.is_algo and not has_worked(order):
            raise UsdmError(missing)
        return order

    def _find_algo(self, call: Call, missing: int = -2013) -> Order:
        text = call.get("algoId")
        order = self._lookup(call.account, int(text) if text else None, call.get("clientAlgoId"), missing)
        if not order.is_algo:
            raise UsdmError(missing)
        return order

    def _lookup(self, account: Account, order_id: int | None, client_id: str, missing: int) -> Order:
        try:
            return self.exchange.find(account.name, order_id=order_id, client_id=client_id)
        except VenueRefusal as refusal:
            raise UsdmError(missing) from refusal


def _algo(order: Order) -> Payload:
    trigger_ms = order.triggered_ns // MILLION
    actual = actual_id(order)
    return wire.algo_order(algo_view(order), order.order_id, algo_status(order), actual, trigger_ms)


def _guarded[T](action: Callable[[], T], *, is_market: bool = False, is_algo: bool = False) -> T:
    try:
        return action()
    except VenueRefusal as refusal:
        raise translated(refusal, is_market=is_market, is_algo=is_algo) from refusal


def _page(call: Call, rows: Iterable[Payload], id_name: str, time_name: str, limit: int) -> list[Payload]:
    """Apply startTime, endTime, the id to start from and the limit; without an id the newest rows count."""
    start, end = int(call.get("startTime") or 0), int(call.get("endTime") or 1 << 62)
    first = call.get("fromId") or call.get(id_name)
    most = min(int(call.get("limit") or limit), 1000)
    found = [row for row in rows if start <= row[time_name] <= end]
    if first:
        return [row for row in found if row[id_name] >= int(first)][:most]
    return found[:most] if call.get("startTime") else found[-most:]


def _request(call: Call, market: Market, *, is_algo: bool) -> OrderRequest:
    kind, side = call.need("type"), call.need("side")
    if kind not in KINDS:
        raise UsdmError(-1116)
    is_closing = call.is_true("closePosition")
    if is_closing and (call.get("quantity") or call.is_true("reduceOnly")):
        raise UsdmError(-4137 if call.get("quantity") else -1106)
    priced = kind in ("LIMIT", "STOP", "TAKE_PROFIT")
    tif = call.need("timeInForce") if kind == "LIMIT" else call.get("timeInForce") or "GTC"
    good_till_ms = int(call.need("goodTillDate")) if tif == "GTD" else 0
    price_places = places_of(market.tick)
    return OrderRequest(
        symbol=market.symbol,
        side="BUY" if side == "BUY" else "SELL",
        type=KINDS[kind],
        qty=Decimal(0) if is_closing else _qty(call.need("quantity"), market),
        price=_number(call.need("price"), price_places) if priced else None,
        stop_price=_number(call.need("triggerPrice"), price_places) if is_algo else None,
        tif=tif,  # type: ignore[arg-type]  # the names are the venue's own
        client_id=call.get("clientAlgoId" if is_algo else "newClientOrderId"),
        account=call.account.name,
        reduce_only=call.is_true("reduceOnly"),
        close_position=is_closing,
        expire_ns=good_till_ms * MILLION or None,
        is_algo=is_algo,
        extra={"workingType": call.get("workingType") or "CONTRACT_PRICE"},
    )


def _qty(text: str, market: Market) -> Decimal:
    qty = _number(text, places_of(market.lot))
    if qty <= 0:
        raise UsdmError(-4003)
    if qty < market.min_qty:
        raise UsdmError(-4004)
    if qty > market.max_qty:
        raise UsdmError(-4005)
    return qty


def _number(text: str, places: int) -> Decimal:
    """Read a number; -1111 with more decimals than the market has."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise UsdmError(-1102) from None
    if places_of(value.normalize()) > places:
        raise UsdmError(-1111)
    return value
