"""A client's order of Bybit's form in the exchange's words.

Where the rules come from: Bybit v5 "Place Order" and "Error Codes".

A spot order is conditional only with `orderFilter` "StopOrder" or "tpslOrder": without it the trigger price
is ignored and the order works at once ("If it is not passed, `Order` by default"; the vendor's client
pybit, issue 156, has the case of a market sale that did not wait).
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from tests.venue_simulator.bybit_codes import BybitError
from tests.venue_simulator.bybit_ids import text
from tests.venue_simulator.core import Market, OrderRequest, OrderType, Side, TimeInForce
from tests.venue_simulator.core.terms import MarketKind

type Params = Mapping[str, Any]

SIDES: Final[dict[str, Side]] = {"Buy": "BUY", "Sell": "SELL"}
TIFS: Final[dict[str, TimeInForce]] = {"GTC": "GTC", "IOC": "IOC", "FOK": "FOK", "PostOnly": "GTX"}
SPOT_CONDITIONAL: Final = frozenset({"StopOrder", "tpslOrder"})
LONGEST_LINK_ID: Final = 36
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


def order_request(market: Market, last: Decimal | None, account: str, params: Params) -> OrderRequest:
    """Return the exchange's request of a client's order.

    Parameters
    ----------
    market
        Where.
    last
        Its last price; None before the first trade.
    account
        Whose.
    params
        As "Place Order" names them.

    Raises
    ------
    BybitError
        The parameters make no sense together.
    """
    side = SIDES.get(str(params.get("side")))
    if side is None or params.get("orderType") not in ("Limit", "Market"):
        raise BybitError(10001, "Request parameter error: side, orderType")
    if params.get("positionIdx") not in (None, 0):
        raise BybitError(10001, "position idx not match position mode")
    link_id = str(params.get("orderLinkId") or "")
    if len(link_id) > LONGEST_LINK_ID:
        raise BybitError(10001, f"orderLinkId is longer than {LONGEST_LINK_ID}")
    tif = TIFS.get(str(params.get("timeInForce") or "GTC"))
    if tif is None:
        raise BybitError(10001, "Request parameter error: timeInForce")
    kind, stop_price = _kind(market, side, last, params)
    is_limit = params["orderType"] == "Limit"
    price = number(params, "price") if is_limit else None
    qty, quote_qty = _quantity(market, side, kind, params)
    reduce_only = market.kind == "linear" and params.get("reduceOnly") is True
    take_profit, stop_loss = _exits(side, price or last, params, reduce_only=reduce_only)
    is_whole = not qty and quote_qty is None and reduce_only
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
        account=account,
        reduce_only=reduce_only,
        close_position=is_whole and params.get("closeOnTrigger") is True,
        take_profit=take_profit,
        stop_loss=stop_loss,
        extra=_extra(market, last, stop_price, params),
    )


def _kind(
    market: Market, side: Side, last: Decimal | None, params: Params
) -> tuple[OrderType, Decimal | None]:
    """Return the order's type and its trigger price."""
    is_limit = params["orderType"] == "Limit"
    trigger = number(params, "triggerPrice")
    if market.kind == "spot" and params.get("orderFilter") not in SPOT_CONDITIONAL:
        trigger = None
    if trigger is None:
        return ("LIMIT" if is_limit else "MARKET"), None
    if market.kind == "spot":
        is_rising = last is not None and trigger > last
    elif params.get("triggerDirection") in (1, 2):
        is_rising = params["triggerDirection"] == 1
    else:
        raise BybitError(10001, "TriggerDirection invalid")
    family = "STOP" if is_rising == (side == "BUY") else "TAKE_PROFIT"
    return cast(OrderType, f"{family}_{'LIMIT' if is_limit else 'MARKET'}"), trigger


def _quantity(market: Market, side: Side, kind: OrderType, params: Params) -> tuple[Decimal, Decimal | None]:
    """Return (quantity, quote quantity): spot market orders may be sized in the quote currency."""
    qty = number(params, "qty") or Decimal(0)
    if market.kind == "spot" and kind == "MARKET":
        unit = params.get("marketUnit") or ("quoteCoin" if side == "BUY" else "baseCoin")
        if unit == "quoteCoin":
            return Decimal(0), qty
    return qty, None


def _exits(
    side: Side, base: Decimal | None, params: Params, *, reduce_only: bool
) -> tuple[Decimal | None, Decimal | None]:
    """Return the target and the stop that an entry carries, on the right sides of its price."""
    take_profit, stop_loss = number(params, "takeProfit"), number(params, "stopLoss")
    if not (take_profit or stop_loss):
        return None, None
    if reduce_only:
        raise BybitError(110057, "Conditional order or limit order contains TP/SL related params")
    is_buy = side == "BUY"
    for name, price, is_above in (("TakeProfit", take_profit, is_buy), ("StopLoss", stop_loss, not is_buy)):
        if base is None or price is None or (price > base if is_above else price < base):
            continue
        words = f"{'Buy' if is_buy else 'Sell'} position should be {'higher' if is_above else 'lower'}"
        raise BybitError(10001, f"{name}:{price} set for {words} than base_price:{base}")
    return take_profit, stop_loss


def _extra(
    market: Market, last: Decimal | None, stop_price: Decimal | None, params: Params
) -> dict[str, str]:
    extra = {name: str(params[name]) for name in KEPT if params.get(name) not in (None, "")}
    extra["lastPriceOnCreated"] = text(last)
    if stop_price is not None and market.kind == "linear":
        extra["createType"] = "CreateByStopOrder"
    if params.get("closeOnTrigger") is True:
        extra["closeOnTrigger"] = "true"
    return extra
