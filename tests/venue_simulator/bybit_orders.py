"""Bybit's order requests: create, amend, cancel and their batches, of REST and stream.

Where the rules come from: Bybit v5 "Place Order", "Amend Order", "Cancel Order", "Cancel All Orders", "Batch
Place Order" and "Error Codes".
"""

from typing import Any, Final

from tests.venue_simulator.bybit_codes import TOO_LATE_TO_AMEND, BybitError, closed_code, code_of
from tests.venue_simulator.bybit_ids import link_id, market_key, order_id, order_number
from tests.venue_simulator.bybit_requests import SPOT_CONDITIONAL, Params, kind_of, number, order_request
from tests.venue_simulator.core import Exchange, Market, Order, VenueRefusal

MOST_IN_A_BATCH: Final = {"spot": 10, "linear": 20}


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
        request = order_request(market, self.exchange.last_price(market.key), self.account, params)
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


def acknowledgement(order: Order) -> dict[str, str]:
    """Return what an accepted request answers (ws_order_response)."""
    return {"orderId": order_id(order), "orderLinkId": link_id(order)}


def batch(orders: Orders, action: str, params: Params) -> tuple[dict[str, Any], dict[str, Any]]:
    """Do a batch and return (result, retExtInfo): two lists of the same length ("Batch Place Order").

    Parameters
    ----------
    orders
        Who does it.
    action
        "create", "amend" or "cancel".
    params
        The batch: `category` and `request`.

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
