"""How much to buy or sell: the stop distance decides, the account limits."""

from decimal import Decimal

from strategies.trade_manager.increments import floor_to


def quantity_for_risk(
    *,
    equity: Decimal,
    risk_pct: float,
    entry_price: Decimal,
    stop_price: Decimal,
    max_notional: Decimal,
    lot_size: Decimal,
) -> Decimal:
    """Return the quantity whose loss at the stop is the given share of the equity, rounded down.

    Parameters
    ----------
    equity
        Account value, quote currency.
    risk_pct
        Share of the equity that may be lost at the stop, before fees, percent.
    entry_price, stop_price
        Quote currency; they must differ.
    max_notional
        Most that quantity times entry price may be, quote currency.
    lot_size
        Quantity increment.

    Returns
    -------
    Decimal
        Base currency, a multiple of ``lot_size``, 0 when the account is too small.

    Raises
    ------
    ValueError
        When the stop is at the entry.

    Examples
    --------
    >>> from decimal import Decimal as D
    >>> quantity_for_risk(equity=D(10000), risk_pct=1, entry_price=D(100), stop_price=D(98),
    ...                   max_notional=D(10000), lot_size=D("0.1"))
    Decimal('50.0')
    """
    distance = abs(entry_price - stop_price)
    if distance == 0:
        raise ValueError(f"the stop ({stop_price}) is at the entry: no size has a finite risk")
    by_risk = equity * Decimal(str(risk_pct)) / 100 / distance
    by_notional = max_notional / entry_price
    return max(floor_to(min(by_risk, by_notional), lot_size), Decimal(0))
