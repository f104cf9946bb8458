"""Bybit's order requests in the exchange's words: create, amend, cancel and their batches, of REST and stream.

Where the rules come from: Bybit v5 "Place Order", "Amend Order", "Cancel Order", "Cancel All Orders", "Batch
Place Order" and "Error Codes".

A spot order is conditional only with `orderFilter` "StopOrder" or "tpslOrder": without it the trigger price
is ignored and the order works at once ("If it is not passed, `Order` by default"; the vendor's client
pybit, issue 156, has the case of a market sale that did not wait).
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from tests.venue_simulator.bybit_codes import TOO_LATE_TO_AMEND, BybitError, closed_code, code_of
from tests.venue_simulator.bybit_ids import link_id, market_key, order_id, order_number, text
from tests.venue_simulator.core import (
    Exchange,
    Market,
    Order,
    OrderRequest,
    OrderType,
    Side,
    TimeInForce,
    VenueRefusal,
)
from tests.venue_simulator.core.terms import MarketKind

type Params = Mapping[str, Any]

SIDES: Final[dict[str, Side]] = {"Buy": "BUY", "Sell": "SELL"}
TIFS: Final[dict[str, TimeInForce]] = {"GTC": "GTC", "IOC": "IOC", "FOK": "FOK", "PostOnly": "GTX"}
SPOT_CONDITIONAL: Final = frozenset({"StopOrder", "tpslOrder"})
LONGEST_LINK_ID: Final = 36
MOST_IN_A_BATCH: Final = {"spot": 10, "linear": 20}
KEPT: Final = ("tpslMode", "tpTriggerBy", "slTriggerBy", "triggerBy", "isLeverage", "orderFilter")


def number(params: Params, name: str) -> Decimal | None:
    """Return a numeric parameter; None where it is absent, empty or zero."""
    value = params.get(name)
    if value in (None, ""):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        raise BybitError(10001, f"Request parameter error: {name}") from None
    if not found.is_finite() or found < 0:
        raise BybitError(10001, f"Request parameter error: {name}")
    return found or None


def kind_of(params: Params) -> MarketKind:
    """Return the product that a request is about; refuses what this exchange does not have."""
    match params.get("category"):
        case "spot":
            return "spot"
        case "linear":
            return "linear"
        case other:
            raise BybitError(10001, f"Illegal category: {other}")


class Orders:
    """The order requests.

    Parameters
    ----------
    exchange
        Spot and linear markets, named as `market_key` does.
    account
        Whose orders they are.
    """

    def __init__(self, exchange: Exchange, account: str = "main") -> None:
        self.exchange = exchange
        self.account = account

    def create(self, params: Params) -> Order:
        """Place an order.

        Raises
        ------
        BybitError
            Nothing was placed.
        """
        market = self._market(params)
        request = self._request(market, params)
        try:
            return self.exchange.place(request)
        except VenueRefusal as refusal:
            if (
                refusal.kind == "would_trigger"
                and market.kind == "linear"
                and params.get("triggerDirection") == 2
            ):
                raise BybitError(110093, "expect Falling, but trigger_price >= current") from refusal
            raise code_of(refusal, market.kind) from refusal

    def amend(self, params: Params) -> Order:
        """Change an open order.

        Raises
        ------
        BybitError
            The order is as it was.
        """
        order = self._open_order(params)
        take_profit, stop_loss = number(params, "takeProfit"), number(params, "stopLoss")
        if take_profit or stop_loss:
            if order.filled_qty:
                raise BybitError(110059, "Not allowed to modify the TP/SL of a partially filled open order")
            order.take_profit = take_profit or order.take_profit
            order.stop_loss = stop_loss or order.stop_loss
        wanted = {
            "qty": number(params, "qty"),
            "price": number(params, "price"),
            "stop_price": number(params, "triggerPrice"),
        }
        if not any(wanted.values()) and (take_profit or stop_loss):
            return order
        try:
            return self.exchange.amend(order, **wanted)
        except VenueRefusal as refusal:
            raise code_of(refusal, order.market.kind) from refusal

    def cancel(self, params: Params) -> Order:
        """Cancel an open order.

        Raises
        ------
        BybitError
            It is unknown or closed; or a spot order of another `orderFilter`, "Order" when none is named.
        """
        order = self._open_order(params)
        is_conditional = params.get("orderFilter") in SPOT_CONDITIONAL
        if order.market.kind == "spot" and order.is_waiting != is_conditional:
            raise code_of(VenueRefusal("unknown_order"), "spot")
        return self.exchange.cancel(self.account, order_id=order.order_id)

    def cancel_all(self, params: Params) -> list[Order]:
        """Cancel the orders of a symbol or a settlement coin; on spot ordinary ones only, unless told."""
        kind = kind_of(params)
        symbol = market_key(str(params["symbol"]), kind) if params.get("symbol") else None
        coin = params.get("settleCoin") or params.get("baseCoin")
        if kind == "linear" and not symbol and not coin:
            raise BybitError(10001, "params error: symbol, baseCoin or settleCoin is required")
        wanted = params.get("orderFilter") or ("Order" if kind == "spot" else "")
        cancelled = []
        for order in self.exchange.open_orders(self.account, symbol):
            is_of_coin = not coin or symbol or coin in (order.market.quote, order.market.base)
            is_wanted = order.market.kind == kind and (not wanted or (wanted == "Order") != order.is_waiting)
            if is_of_coin and is_wanted and order.is_open:
                cancelled.append(self.exchange.cancel(self.account, order_id=order.order_id))
        return cancelled

    def find(self, params: Params) -> Order:
        """Return the order that `orderId` or `orderLinkId` names; refuses an unknown one."""
        try:
            if params.get("orderId"):
                return self.exchange.find(self.account, order_id=order_number(str(params["orderId"])))
            if params.get("orderLinkId"):
                return self.exchange.find(self.account, client_id=str(params["orderLinkId"]))
        except (VenueRefusal, ValueError) as error:
            raise code_of(VenueRefusal("unknown_order"), kind_of(params)) from error
        raise BybitError(10001, "params error: orderId or orderLinkId is required")

    def _open_order(self, params: Params) -> Order:
        order = self.find(params)
        if not order.is_open:
            raise closed_code(order)
        return order

    def _market(self, params: Params) -> Market:
        kind = kind_of(params)
        try:
            return self.exchange.market(market_key(str(params.get("symbol")), kind))
        except VenueRefusal as refusal:
            raise code_of(refusal, kind) from refusal

    def _request(self, market: Market, params: Params) -> OrderRequest:
        side = SIDES.get(str(params.get("side")))
        if side is None or params.get("orderType") not in ("Limit", "Market"):
            raise BybitError(10001, "Request parameter error: side, orderType")
        if params.get("positionIdx") not in (None, 0):
            raise BybitError(10001, "position idx not match position mode")
        link_id = str(params.get("orderLinkId") or "")
        if len(link_id) > LONGEST_LINK_ID:
            raise BybitError(10001, f"orderLinkId is longer than {LONGEST_LINK_ID}")
        kind, stop_price = self._kind(market, side, params)
        is_limit = params["orderType"] == "Limit"
        price = number(params, "price") if is_limit else None
        tif = TIFS.get(str(params.get("timeInForce") or "GTC"))
        if tif is None:
            raise BybitError(10001, "Request parameter error: timeInForce")
        qty, quote_qty = self._quantity(market, side, kind, params)
        is_linear = market.kind == "linear"
        reduce_only = is_linear and params.get("reduceOnly") is True
        exits = self._exits(market, side, price, params, reduce_only=reduce_only)
        return OrderRequest(
            symbol=market.key,
            side=side,
            type=kind,
            qty=qty,
            quote_qty=quote_qty,
            price=price,
            stop_price=stop_price,
            tif=tif if is_limit else "GTC",
            client_id=link_id,
            account=self.account,
            reduce_only=reduce_only,
            close_position=not qty
            and quote_qty is None
            and reduce_only
            and params.get("closeOnTrigger") is True,
            take_profit=exits[0],
            stop_loss=exits[1],
            extra=self._extra(market, stop_price, params),
        )

    def _kind(self, market: Market, side: Side, params: Params) -> tuple[OrderType, Decimal | None]:
        """Return the order's type and its trigger price."""
        is_limit = params["orderType"] == "Limit"
        trigger = number(params, "triggerPrice")
        if market.kind == "spot" and params.get("orderFilter") not in SPOT_CONDITIONAL:
            trigger = None
        if trigger is None:
            return ("LIMIT" if is_limit else "MARKET"), None
        if market.kind == "linear":
            if params.get("triggerDirection") not in (1, 2):
                raise BybitError(10001, "TriggerDirection invalid")
            is_rising = params["triggerDirection"] == 1
        else:
            last = self.exchange.last_price(market.key)
            is_rising = last is not None and trigger > last
        family = "STOP" if is_rising == (side == "BUY") else "TAKE_PROFIT"
        return cast(OrderType, f"{family}_{'LIMIT' if is_limit else 'MARKET'}"), trigger

    def _quantity(
        self, market: Market, side: Side, kind: OrderType, params: Params
    ) -> tuple[Decimal, Decimal | None]:
        """Return (quantity, quote quantity): spot market orders may be sized in the quote currency."""
        qty = number(params, "qty") or Decimal(0)
        if market.kind == "spot" and kind == "MARKET":
            unit = params.get("marketUnit") or ("quoteCoin" if side == "BUY" else "baseCoin")
            if unit == "quoteCoin":
                return Decimal(0), qty
        return qty, None

    def _exits(
        self, market: Market, side: Side, price: Decimal | None, params: Params, *, reduce_only: bool
    ) -> tuple[Decimal | None, Decimal | None]:
        """Return the target and the stop that an entry carries, on the right sides of its price."""
        take_profit, stop_loss = number(params, "takeProfit"), number(params, "stopLoss")
        if not (take_profit or stop_loss):
            return None, None
        if reduce_only:
            raise BybitError(110057, "Conditional order or limit order contains TP/SL related params")
        base = price or self.exchange.last_price(market.key)
        sign = 1 if side == "BUY" else -1
        name = "Buy" if side == "BUY" else "Sell"
        if base is not None and take_profit and (take_profit - base) * sign <= 0:
            words = "higher" if sign > 0 else "lower"
            raise BybitError(
                10001,
                f"TakeProfit:{take_profit} set for {name} position should be {words} than base_price:{base}",
            )
        if base is not None and stop_loss and (base - stop_loss) * sign <= 0:
            words = "lower" if sign > 0 else "higher"
            raise BybitError(
                10001,
                f"StopLoss:{stop_loss} set for {name} position should be {words} than base_price:{base}",
            )
        return take_profit, stop_loss

    def _extra(self, market: Market, stop_price: Decimal | None, params: Params) -> dict[str, str]:
        extra = {name: str(params[name]) for name in KEPT if params.get(name) not in (None, "")}
        extra["lastPriceOnCreated"] = text(self.exchange.last_price(market.key))
        if stop_price is not None and market.kind == "linear":
            extra["createType"] = "CreateByStopOrder"
        if params.get("closeOnTrigger") is True:
            extra["closeOnTrigger"] = "true"
        return extra


def acknowledgement(order: Order) -> dict[str, str]:
    """Return what an accepted request answers (ws_order_response)."""
    return {"orderId": order_id(order), "orderLinkId": link_id(order)}


def batch(orders: Orders, action: str, params: Params) -> tuple[dict[str, Any], dict[str, Any]]:
    """Do a batch and return (result, retExtInfo): two lists of the same length ("Batch Place Order").

    Parameters
    ----------
    action
        "create", "amend" or "cancel".

    Raises
    ------
    BybitError
        Nothing of the batch was done.
    """
    rows = params.get("request")
    category = kind_of(params)
    if not isinstance(rows, list) or not rows or len(rows) > MOST_IN_A_BATCH[category]:
        raise BybitError(
            10001, f"Request parameter error: 1 to {MOST_IN_A_BATCH[category]} orders in a batch"
        )
    results, verdicts = [], []
    for row in rows:
        answer = {"category": category, "symbol": row.get("symbol", ""), "orderId": ""}
        answer["orderLinkId"] = str(row.get("orderLinkId") or "")
        try:
            order = getattr(orders, action)({**row, "category": category})
            answer |= acknowledgement(order)
            verdicts.append({"code": 0, "msg": "OK"})
        except BybitError as error:
            order = None
            verdicts.append({"code": error.code, "msg": error.text})
        if action == "create":
            answer["createAt"] = str(order.created_ns // 1_000_000) if order else ""
        results.append(answer)
    return {"list": results}, {"list": verdicts}


def amend_refusal(error: BybitError) -> BybitError:
    """Return the text that amending a closed linear order has."""
    return BybitError(error.code, TOO_LATE_TO_AMEND) if error.code == 110001 else error
