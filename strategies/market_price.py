"""The last known price of an instrument: of a trade, without trades of a closed bar."""

from typing import Any

from nautilus_trader.model.enums import AggregationSource, PriceType


def last_known_price(cache: Any, instrument_id: Any) -> Any:
    """Return the price of the last trade, without trades the close of the newest external bar.

    Parameters
    ----------
    cache
        Of Nautilus.
    instrument_id
        Of Nautilus.

    Returns
    -------
    Price or None
        Nautilus' price; None before the first trade or bar.
    """
    known = last_known(cache, instrument_id)
    return None if known is None else known[0]


def last_known(cache: Any, instrument_id: Any) -> tuple[Any, int] | None:
    """Return what :func:`last_known_price` does with the time of that price, UNIX nanoseconds."""
    trade = cache.trade_tick(instrument_id)
    if trade is not None:
        return trade.price, trade.ts_event
    types = cache.bar_types(
        instrument_id=instrument_id,
        price_type=PriceType.LAST,
        aggregation_source=AggregationSource.EXTERNAL,
    )
    bars = [cache.bar(one) for one in types]
    if not bars:
        return None
    newest = max(bars, key=lambda one: one.ts_event)
    return newest.close, newest.ts_event
