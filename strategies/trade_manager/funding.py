"""Funding of a perpetual as a strategy hears of it, whoever settles it: a simulated venue or a real one."""

from decimal import Decimal

import msgspec


class FundingPayment(msgspec.Struct, frozen=True, kw_only=True):
    """What one open position paid or received at a funding time.

    Parameters
    ----------
    ts_ns
        The funding time, UNIX nanoseconds.
    instrument_id, strategy_id
        Nautilus ids: of the perpetual, and of the strategy whose position it is.
    rate
        Share of the notional; longs pay shorts when it is positive. None where the venue does not say.
    price
        Price at which the position was valued, quote currency; None where the venue does not say.
    signed_qty
        The position, base currency, short negative.
    amount
        What came into the account, quote currency, rounded to its precision: negative was paid.
    """

    ts_ns: int
    instrument_id: str
    strategy_id: str
    rate: Decimal | None
    price: Decimal | None
    signed_qty: Decimal
    amount: Decimal


def funding_topic(instrument_id: str) -> str:
    """Return the message bus topic on which payments of an instrument are published.

    Examples
    --------
    >>> funding_topic("BTCUSDT-PERP.BINANCE")
    'funding.BTCUSDT-PERP.BINANCE'
    """
    return f"funding.{instrument_id}"


def funding_amount(signed_qty: Decimal, price: Decimal, rate: Decimal, decimals: int) -> Decimal:
    """Return what a position of a linear perpetual receives at a funding time, negative when it pays.

    Parameters
    ----------
    signed_qty
        Base currency, short negative.
    price
        Quote currency.
    rate
        Share of the notional.
    decimals
        Of the quote currency; the amount is rounded to them, half to even, as fees are.

    Examples
    --------
    >>> funding_amount(Decimal(100), Decimal("1.5"), Decimal("0.0001"), 8)
    Decimal('-0.01500000')
    >>> funding_amount(Decimal(-100), Decimal("1.5"), Decimal("0.0001"), 8)
    Decimal('0.01500000')
    """
    amount = (-signed_qty * price * rate).quantize(Decimal(1).scaleb(-decimals))
    return amount or abs(amount)  # no minus before a zero
