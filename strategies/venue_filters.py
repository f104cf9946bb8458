"""What a venue would refuse of a trade's exits, known before the entry is sent."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import OrderSide

from strategies.protection import VenueCapabilities
from strategies.trade_manager.orders import OrderKind
from strategies.trade_manager.plan import EntryPlan, Market
from strategies.trade_manager.stops import stop_limit


def percent_band(info: Mapping[str, Any] | None, side: OrderSide) -> tuple[Decimal, Decimal] | None:
    """Return the smallest and largest multiple of the market's price that Binance takes as a limit.

    Parameters
    ----------
    info
        Of the instrument: the payload that the adapter keeps.
    side
        Of the order.

    Returns
    -------
    tuple or None
        None where the instrument says nothing of it (Bybit, backtests).

    References
    ----------
    PERCENT_PRICE and PERCENT_PRICE_BY_SIDE of Binance's exchangeInfo, both markets.
    """
    filters = (info or {}).get("filters")
    for entry in filters if isinstance(filters, list) else ():
        kind = entry.get("filterType")
        if kind == "PERCENT_PRICE":
            return Decimal(str(entry["multiplierDown"])), Decimal(str(entry["multiplierUp"]))
        if kind == "PERCENT_PRICE_BY_SIDE":
            name = "bid" if side == OrderSide.BUY else "ask"
            return Decimal(str(entry[f"{name}MultiplierDown"])), Decimal(str(entry[f"{name}MultiplierUp"]))
    return None


def market_most(info: Mapping[str, Any] | None) -> Decimal | None:
    """Return the largest quantity of an order at market, None where the payload names none.

    Source: Binance, "Filters", ``MARKET_LOT_SIZE``, on spot and futures; 0 stands for no limit.

    Examples
    --------
    >>> market_most({"filters": [{"filterType": "MARKET_LOT_SIZE", "maxQty": "120"}]})
    Decimal('120')
    """
    for one in (info or {}).get("filters") or ():
        if one.get("filterType") == "MARKET_LOT_SIZE":
            most = Decimal(str(one.get("maxQty") or 0))
            return most if most > 0 else None
    return None


def refused_exit(
    plan: EntryPlan,
    market: Market,
    venue: VenueCapabilities,
    info: Mapping[str, Any] | None,
    stop_limit_offset_pct: float,
) -> str | None:
    """Return why the venue would refuse an exit right after the entry filled, None when it would not.

    The market is at the entry's price then. A stop at market has no limit that could be too far away; a
    target that is watched is sent when price is there.

    Parameters
    ----------
    plan
        The intended trade.
    market, venue, info
        The instrument, what its venue allows, and the payload that tells its filters.
    stop_limit_offset_pct
        See `ExitRules`.

    Examples
    --------
    >>> from strategies.protection import VENUES
    >>> D = Decimal
    >>> plan = EntryPlan(1, D(100), D(99), D(106), D(1), 1, 99.0, 106.0)
    >>> market = Market(D("0.1"), D("0.1"), D("0.1"), D(5), D(0), D(0), True, True, False)
    >>> band = {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDown": "0.95"}
    >>> refused_exit(plan, market, VENUES["BINANCE", "margin"], {"filters": [band]}, 0.2)
    'target 106 is not between 95.00 and 105.00'
    """
    most = market_most(info)
    if most is not None and plan.qty > most:
        # Stops at market and the exit of last resort would be refused, again and again.
        return f"quantity {plan.qty:f} is more than one order at market may have, {most:f}"
    way_out = OrderSide.SELL if plan.direction > 0 else OrderSide.BUY
    band = percent_band(info, way_out)
    if band is None:
        return None
    low, high = band[0] * plan.entry_price, band[1] * plan.entry_price
    limits: dict[str, Decimal] = {}
    if venue.stop_kind is OrderKind.STOP_LIMIT:
        limits["stop"] = stop_limit(plan.direction, plan.stop_price, stop_limit_offset_pct, market.tick_size)
    if venue.target_rests:
        limits["target"] = plan.target_price
    for name, price in limits.items():
        if not low <= price <= high:
            return f"{name} {price} is not between {low:f} and {high:f}"
    return None


__all__ = ["market_most", "percent_band", "refused_exit"]
