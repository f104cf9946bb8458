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
    trade = cache.trade_tick(instrument_id)
    if trade is not None:
        return trade.price
    types = cache.bar_types(
        instrument_id=instrument_id,
        price_type=PriceType.LAST,
        aggregation_source=AggregationSource.EXTERNAL,
    )
    bars = [cache.bar(one) for one in types]
    return max(bars, key=lambda one: one.ts_event).close if bars else None


__all__ = ["last_known_price"]
