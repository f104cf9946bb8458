"""Deterministic client order ids: one id is one intent, so sending it twice cannot trade twice."""

import zlib
from typing import Final

MAX_LENGTH: Final = 36  # Binance newClientOrderId and Bybit orderLinkId
SYMBOL_LENGTH: Final = 12
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number: int) -> str:
    """Return a non-negative integer in base 36.

    Examples
    --------
    >>> base36(1_773_792_000_000)
    'mmv7y0w0'
    """
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits


def setup_id(direction: int, known_ts_ns: int, zone_id: int) -> str:
    """Name a setup by side, the millisecond its zone was known, and the zone's number modulo 1296.

    Time makes it unique over restarts, the zone's number within one millisecond.

    Examples
    --------
    >>> setup_id(1, 1_773_792_000_000_000_000, 40)
    'Lmmv7y0w014'
    """
    side = "L" if direction > 0 else "S"
    return f"{side}{base36(known_ts_ns // 1_000_000)}{base36(zone_id % 1296):0>2}"


def client_order_id(tag: str, symbol: str, setup: str, leg: str, attempt: int) -> str:
    """Return the id of one order: strategy, symbol, setup, leg and attempt, at most 36 characters.

    Parameters
    ----------
    tag
        Short name of the strategy, at most 4 characters.
    symbol
        Of the instrument; a long one is cut and gets a checksum.
    setup
        From :func:`setup_id`.
    leg
        One letter.
    attempt
        1, 2, ... within the leg.

    Raises
    ------
    ValueError
        When the result would be longer than venues accept.

    Examples
    --------
    >>> client_order_id("OTE", "XRPUSDT", "Lmmv7y0w014", "E", 1)
    'OTE-XRPUSDT-Lmmv7y0w014-E1'
    """
    name = symbol
    if len(symbol) > SYMBOL_LENGTH:
        name = symbol[: SYMBOL_LENGTH - 2] + f"{base36(zlib.crc32(symbol.encode()) % 1296):0>2}"
    text = f"{tag}-{name}-{setup}-{leg}{base36(attempt)}"
    if len(text) > MAX_LENGTH:
        raise ValueError(f"client order id {text!r} has {len(text)} characters, venues take {MAX_LENGTH}")
    return text
