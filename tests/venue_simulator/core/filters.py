"""The rules that an order must pass before it reaches the book: grids, bounds, notional, price band."""

from decimal import Decimal

from tests.venue_simulator.core.order import OrderRequest
from tests.venue_simulator.core.terms import CONDITIONAL, PRICED, Market, VenueRefusal


def check(market: Market, request: OrderRequest, reference: Decimal | None) -> None:
    """Refuse a request that breaks one of the market's filters.

    Parameters
    ----------
    market
        The market as it is now.
    request
        What a client asks for.
    reference
        The last price (or whatever the venue weighs with), None before the first trade: then the price band
        and the notional of MARKET orders cannot be judged and pass.

    Raises
    ------
    VenueRefusal
        The first broken filter, in the order price, lot, notional, price band.
    """
    if market.status != "TRADING":
        raise VenueRefusal("not_trading", f"{market.symbol} is {market.status}")
    needs_price = request.type in PRICED
    if needs_price != (request.price is not None):
        raise VenueRefusal("bad_parameter", f"price of a {request.type} order")
    if (request.type in CONDITIONAL) != (request.stop_price is not None):
        raise VenueRefusal("bad_parameter", f"stop price of a {request.type} order")
    for price in (request.price, request.stop_price, request.take_profit, request.stop_loss):
        if price is not None:
            check_price(market, price)
    if request.quote_qty is not None:
        check_notional(market, request.quote_qty)
        return
    if not request.close_position:
        is_market = request.type not in PRICED
        check_qty(market, request.qty, is_market=is_market)
        judged = request.price or request.stop_price or reference
        if judged is not None and not request.reduce_only:
            check_notional(market, judged * request.qty)
    if request.price is not None and reference is not None:
        check_band(market, request.price, reference)


def check_price(market: Market, price: Decimal) -> None:
    """Refuse a price that is not positive or off the grid."""
    if price <= 0 or price % market.tick:
        raise VenueRefusal("filter_price", f"{price} at a tick of {market.tick}")


def check_qty(market: Market, qty: Decimal, *, is_market: bool) -> None:
    """Refuse a quantity outside its bounds or off the grid."""
    most = market.market_max_qty if is_market and market.market_max_qty is not None else market.max_qty
    if qty > most:
        raise VenueRefusal("filter_most", f"{qty} above {most}{' at market' if is_market else ''}")
    if qty < market.min_qty or qty % market.lot:
        raise VenueRefusal("filter_lot", f"{qty} outside {market.min_qty}..{most} by {market.lot}")


def check_notional(market: Market, notional: Decimal) -> None:
    """Refuse an amount that is too small or too large."""
    if notional < market.min_notional:
        raise VenueRefusal("filter_notional", f"{notional} below {market.min_notional}")
    if market.max_notional is not None and notional > market.max_notional:
        raise VenueRefusal("filter_notional", f"{notional} above {market.max_notional}")


def check_band(market: Market, price: Decimal, reference: Decimal) -> None:
    """Refuse a limit price too far from the reference."""
    if market.percent_up is not None and price > reference * market.percent_up:
        raise VenueRefusal("percent_price", f"{price} above {market.percent_up} x {reference}")
    if market.percent_down is not None and price < reference * market.percent_down:
        raise VenueRefusal("percent_price", f"{price} below {market.percent_down} x {reference}")
