"""What a venue refuses before matching: sizes off the step, too little money, prices too far away.

Nautilus' simulator checks the number of decimals alone. The limits come from the instrument; the percent
price filter of Binance from the payload that its adapter keeps in ``instrument.info``.
"""

from decimal import Decimal
from typing import Final

from nautilus_trader.model.enums import OrderType
from nautilus_trader.model.instruments import CurrencyPair, Instrument
from nautilus_trader.model.orders import Order

from strategies.venue_filters import market_most, percent_band

PERCENT: Final = Decimal(100)
AT_MARKET: Final = frozenset({OrderType.MARKET, OrderType.STOP_MARKET})


def refusal(
    instrument: Instrument, order: Order, last_price: Decimal | None, band_pct: float | None = None
) -> str | None:
    """Return why the venue of an instrument refuses an order, None when it takes it.

    Parameters
    ----------
    instrument, order
        As the venue gets them.
    last_price
        Of the newest print, quote currency; None: nothing traded yet, price and notional of market orders
        are not checked.
    band_pct
        Largest distance of a limit price from the last one in percent where the instrument says nothing.
    """
    qty = order.quantity.as_decimal()
    return (
        _refused_size(instrument, qty)
        or _refused_at_market(instrument, order, qty)
        or _refused_price(instrument, order)
        or _refused_notional(instrument, order, qty, last_price)
        or _refused_distance(instrument, order, last_price, band_pct)
    )


def _refused_size(instrument: Instrument, qty: Decimal) -> str | None:
    step = instrument.size_increment.as_decimal()
    if qty % step:
        return f"LOT_SIZE: quantity {qty} is no multiple of {step}"
    if instrument.min_quantity is not None and qty < instrument.min_quantity.as_decimal():
        return f"LOT_SIZE: quantity {qty} is below {instrument.min_quantity}"
    if instrument.max_quantity is not None and qty > instrument.max_quantity.as_decimal():
        return f"LOT_SIZE: quantity {qty} is above {instrument.max_quantity}"
    return None


def _refused_at_market(instrument: Instrument, order: Order, qty: Decimal) -> str | None:
    most = market_most(instrument.info) if order.order_type in AT_MARKET else None
    if most is not None and qty > most:
        return f"MARKET_LOT_SIZE: quantity {qty} is above {most}"
    return None


def _refused_price(instrument: Instrument, order: Order) -> str | None:
    step = instrument.price_increment.as_decimal()
    for name in ("price", "trigger_price"):
        price = getattr(order, name, None)
        if price is not None and price.as_decimal() % step:
            return f"PRICE_FILTER: {name} {price} is no multiple of {step}"
    return None


def _refused_notional(
    instrument: Instrument, order: Order, qty: Decimal, last_price: Decimal | None
) -> str | None:
    if instrument.min_notional is None or (order.is_reduce_only and not isinstance(instrument, CurrencyPair)):
        return None  # contracts let a position be closed whatever is left of it
    price = _own_price(order) or last_price
    least = instrument.min_notional.as_decimal()
    if price is not None and qty * price < least:
        return f"MIN_NOTIONAL: {qty} at {price} is worth less than {least}"
    return None


def _refused_distance(
    instrument: Instrument, order: Order, last_price: Decimal | None, band_pct: float | None
) -> str | None:
    price = order.price.as_decimal() if order.has_price else None
    if price is None or last_price is None:
        return None
    # The venue multiplies an average or the mark price; the simulated one has the last.
    band = percent_band(instrument.info, order.side) or _own_band(band_pct)
    if band is None or band[0] * last_price <= price <= band[1] * last_price:
        return None
    low, high = band[0] * last_price, band[1] * last_price
    return f"PERCENT_PRICE: {price} is not between {low:f} and {high:f} around the last price {last_price}"


def _own_price(order: Order) -> Decimal | None:
    for name in ("price", "trigger_price"):
        price = getattr(order, name, None)
        if price is not None:
            return Decimal(price.as_decimal())
    return None


def _own_band(band_pct: float | None) -> tuple[Decimal, Decimal] | None:
    if band_pct is None:
        return None
    share = Decimal(str(band_pct)) / PERCENT
    return 1 - share, 1 + share
