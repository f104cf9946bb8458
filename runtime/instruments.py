"""From symbol, venue and market to the Nautilus instrument: increments, precisions, minimums, fees.

Fees are the venues' public base tier; a backtest may override them. Limits that a venue changes per
symbol and week (maximum quantities, leverage brackets) are left open.
"""

import math
import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final, Literal

from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CryptoPerpetual, CurrencyPair, Instrument
from nautilus_trader.model.objects import Currency, Money, Price, Quantity

from runtime.errors import ConfigurationError

type VenueName = Literal["binance", "bybit"]
type Market = Literal["spot", "usdm", "linear"]

VENUES: Final = ("binance", "bybit")
MARKETS: Final = ("spot", "usdm", "linear")
# Longest first: FDUSD must win over USD. A symbol is base + quote without a separator at both venues.
QUOTES: Final = (
    "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "DAI", "EUR", "TRY", "BRL", "JPY", "BTC", "ETH", "BNB", "USD",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MarketTerms:
    """What a venue's market adds to a symbol: id suffix, fees (fractions of the value), minimum order."""

    id_suffix: str
    maker_fee: Decimal
    taker_fee: Decimal
    min_notional: Decimal
    is_perpetual: bool
    # Decimals of every price and size on the wire, whatever the increment: live ticks have them too.
    wire_decimals: int = 0


TERMS: Final[dict[tuple[str, str], MarketTerms]] = {
    ("binance", "spot"): MarketTerms(
        "", Decimal("0.001"), Decimal("0.001"), Decimal(5), is_perpetual=False, wire_decimals=8
    ),
    ("binance", "usdm"): MarketTerms(
        "-PERP", Decimal("0.0002"), Decimal("0.0005"), Decimal(5), is_perpetual=True
    ),
    ("bybit", "spot"): MarketTerms(
        "-SPOT", Decimal("0.001"), Decimal("0.001"), Decimal(5), is_perpetual=False
    ),
    ("bybit", "linear"): MarketTerms(
        "-LINEAR", Decimal("0.0002"), Decimal("0.00055"), Decimal(5), is_perpetual=True
    ),
}


@dataclass(frozen=True, slots=True)
class PublishedTerms:
    """What a venue publishes of one symbol; None where it has no such limit.

    `source` says where that was read, ``exchange-info`` or ``offline fallback``; the instrument keeps it in
    its `info`. `currencies` are base and quote as the venue names them.
    """

    source: str
    currencies: tuple[str, str]
    min_qty: Decimal | None = None
    min_notional: Decimal | None = None


def market_terms(venue: str, market: str) -> MarketTerms:
    """Return the terms of a market.

    Raises
    ------
    ConfigurationError
        When the venue has no such market.
    """
    terms = TERMS.get((venue, market))
    if terms is None:
        markets = " or ".join(known for name, known in TERMS if name == venue)
        raise ConfigurationError(f"--market {market}: {venue} has no such market, use {markets or 'spot'}")
    return terms


def instrument_id_text(venue: str, market: str, symbol: str) -> str:
    """Return Nautilus' own id of a symbol.

    Examples
    --------
    >>> instrument_id_text("binance", "usdm", "BTCUSDT")
    'BTCUSDT-PERP.BINANCE'
    """
    return f"{symbol}{market_terms(venue, market).id_suffix}.{venue.upper()}"


def split_symbol(symbol: str) -> tuple[str, str]:
    """Split a venue's symbol into base and quote currency.

    Raises
    ------
    ConfigurationError
        When it is no symbol, or ends in no quote currency that we know.

    Examples
    --------
    >>> split_symbol("XRPUSDT")
    ('XRP', 'USDT')
    """
    quote = next((quote for quote in QUOTES if symbol.endswith(quote) and symbol != quote), None)
    if quote is None or not re.fullmatch(r"[A-Z0-9]{3,20}", symbol):
        raise ConfigurationError(f"--symbol {symbol}: expected base and quote in capitals, such as XRPUSDT")
    return symbol.removesuffix(quote), quote


def decimals_of(increment: Decimal) -> int:
    """Return the number of decimals of an increment: 4 for 0.0001, 0 for 1 or 10."""
    exponent = increment.normalize().as_tuple().exponent
    assert isinstance(exponent, int)  # NaN and infinities never get here
    return max(0, -exponent)


def written_decimals(increment: Decimal) -> int:
    """Return the decimals of an increment as it is written: 8 for 0.01000000, 0 for 1 or 1E+1."""
    exponent = increment.as_tuple().exponent
    assert isinstance(exponent, int)  # NaN and infinities never get here
    return max(0, -exponent)


def increment_text(increment: Price | Quantity | Decimal) -> str:
    """Return an increment without padding zeros, as a user would type it: ``0.0001``, ``1``, ``10``."""
    return f"{Decimal(str(increment)).normalize():f}"


def _lots_above(qty: Decimal, lot_size: Decimal) -> Decimal:
    return (qty / lot_size).to_integral_value(ROUND_CEILING) * lot_size


def make_instrument(
    venue: str,
    market: str,
    symbol: str,
    tick_size: Decimal,
    lot_size: Decimal,
    published: PublishedTerms | None = None,
) -> Instrument:
    """Build the instrument.

    Parameters
    ----------
    venue, market
        One of the pairs of `TERMS`.
    symbol
        The venue's own symbol in capitals, such as XRPUSDT.
    tick_size, lot_size
        Price increment (quote currency) and size increment (base currency), > 0.
    published
        What the venue says of the symbol; the increments then carry the precision in their zeros.

    Returns
    -------
    CurrencyPair or CryptoPerpetual
        Its ``ts_init`` is 0: the definition holds for the whole recording.

    Raises
    ------
    ConfigurationError
        On an unknown market or symbol.
    """
    terms = market_terms(venue, market)
    base, quote = published.currencies if published else split_symbol(symbol)
    decimals = written_decimals if published else decimals_of
    price_decimals = max(decimals(tick_size), terms.wire_decimals)
    size_decimals = max(decimals(lot_size), terms.wire_decimals)
    quote_currency = Currency.from_str(quote)
    min_qty = published.min_qty if published and published.min_qty else lot_size
    min_notional = published.min_notional if published and published.min_notional else terms.min_notional
    common = {
        "instrument_id": InstrumentId(Symbol(symbol + terms.id_suffix), Venue(venue.upper())),
        "raw_symbol": Symbol(symbol),
        "base_currency": Currency.from_str(base),
        "quote_currency": quote_currency,
        "price_precision": price_decimals,
        "size_precision": size_decimals,
        "price_increment": Price(tick_size, precision=price_decimals),
        "size_increment": Quantity(lot_size, precision=size_decimals),
        # Some venues ask for less than one lot, or for no whole number of lots.
        "min_quantity": Quantity(_lots_above(min_qty, lot_size), precision=size_decimals),
        "min_notional": Money(min_notional, quote_currency),
        "maker_fee": terms.maker_fee,
        "taker_fee": terms.taker_fee,
        "ts_event": 0,
        "ts_init": 0,
        "info": {"source": published.source} if published else None,
    }
    if not terms.is_perpetual:
        return CurrencyPair(**common)
    return CryptoPerpetual(
        **common,
        settlement_currency=quote_currency,
        is_inverse=False,
        # The venues' brackets start at 20x or more for every listed contract.
        margin_init=Decimal("0.05"),
        margin_maint=Decimal("0.025"),
    )


def common_step(left: Decimal, right: Decimal) -> Decimal:
    """Return the largest increment of which both are multiples.

    Examples
    --------
    >>> common_step(Decimal("0.25"), Decimal("0.1")), common_step(Decimal(1), Decimal("0.1"))
    (Decimal('0.05'), Decimal('0.1'))
    """
    decimals = max(decimals_of(left), decimals_of(right))
    units = math.gcd(int(left.scaleb(decimals)), int(right.scaleb(decimals)))
    return Decimal(units).scaleb(-decimals)


def with_increments(instrument: Instrument, tick_size: Decimal, lot_size: Decimal) -> Instrument:
    """Return the instrument with finer increments; a venue's own remain in its `info`.

    Parameters
    ----------
    instrument
        Such as the venue defines it today.
    tick_size, lot_size
        Of which its own increments are multiples.

    Returns
    -------
    CurrencyPair or CryptoPerpetual
        `info` then has ``venue_price_increment`` and ``venue_size_increment``, texts, if it names a source.
    """
    price_decimals = max(decimals_of(tick_size), instrument.price_precision)
    size_decimals = max(decimals_of(lot_size), instrument.size_precision)
    values = type(instrument).to_dict(instrument)
    values |= {
        "price_precision": price_decimals,
        "size_precision": size_decimals,
        "price_increment": f"{tick_size:.{price_decimals}f}",
        "size_increment": f"{lot_size:.{size_decimals}f}",
        "min_quantity": f"{Decimal(values['min_quantity']):.{size_decimals}f}",
    }
    if values["info"]:
        present = {
            "venue_price_increment": increment_text(instrument.price_increment),
            "venue_size_increment": increment_text(instrument.size_increment),
        }
        values["info"] = present | values["info"]
    refined: Instrument = type(instrument).from_dict(values)
    return refined
