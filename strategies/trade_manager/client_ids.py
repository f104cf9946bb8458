"""Deterministic client order ids: one id is one intent, so sending it twice cannot trade twice."""

import zlib
from dataclasses import dataclass
from typing import Final

MAX_LENGTH: Final = 36  # Binance newClientOrderId and Bybit orderLinkId
SYMBOL_LENGTH: Final = 12
LEGS: Final = "ESTX"  # values of `orders.Leg`
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number: int) -> str:
    """Return a non-negative integer in base 36.

    Examples
    --------
    >>> base36(1_773_792_000_000)
    'mmv9yio0'
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
    'Lmmv9yio014'
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
    text = f"{tag}-{short_symbol(symbol)}-{setup}-{leg}{base36(attempt)}"
    if len(text) > MAX_LENGTH:
        raise ValueError(f"client order id {text!r} has {len(text)} characters, venues take {MAX_LENGTH}")
    return text


def short_symbol(symbol: str) -> str:
    """Return a symbol as it stands in client order ids: a long one is cut and gets a checksum."""
    if len(symbol) <= SYMBOL_LENGTH:
        return symbol
    return symbol[: SYMBOL_LENGTH - 2] + f"{base36(zlib.crc32(symbol.encode()) % 1296):0>2}"


@dataclass(frozen=True, slots=True)
class OrderName:
    """The parts of a client order id of ours.

    Parameters
    ----------
    setup_id, leg, attempt
        As in :func:`client_order_id`.
    """

    setup_id: str
    leg: str
    attempt: int


def parsed(tag: str, symbol: str, client_id: str) -> OrderName | None:
    """Return the parts of a client order id, None when it is not one of this strategy and symbol.

    Parameters
    ----------
    tag, symbol
        As in :func:`client_order_id`.
    client_id
        Of any order.

    Examples
    --------
    >>> parsed("OTE", "XRPUSDT", "OTE-XRPUSDT-Lmmv7y0w014-E1")
    OrderName(setup_id='Lmmv7y0w014', leg='E', attempt=1)
    >>> parsed("OTE", "XRPUSDT", "web_8b3f0d") is None
    True
    """
    start = f"{tag}-{short_symbol(symbol)}-"
    setup, _, last = client_id.removeprefix(start).partition("-")
    is_ours = client_id.startswith(start) and setup and len(last) > 1 and last.isalnum()
    if not is_ours or last[0] not in "ESTX" or not last.isascii():
        return None
    try:
        return OrderName(setup, last[0], int(last[1:], 36))
    except ValueError:
        return None


def setup_and_leg(client_order_id: str) -> tuple[str, str]:
    """Return the setup id and leg that our client order ids carry, empty texts for other orders.

    Examples
    --------
    >>> setup_and_leg("OTE-XRPUSDT-Lmmv7y0w014-E1")
    ('Lmmv7y0w014', 'E')
    >>> setup_and_leg("OTE-XRPUSDT-Lmmv7y0w014-S1c")
    ('Lmmv7y0w014', 'S')
    >>> setup_and_leg("web_7f3a"), setup_and_leg("44af44b2-fb52-4f9a-af9b-927cd043f04e")
    (('', ''), ('', ''))
    """
    parts = client_order_id.split("-")
    leg, attempt = parts[-1][:1], parts[-1][1:]
    # Upper case: a random id of Nautilus has no such letter.
    is_ours = len(parts) >= 4 and leg in LEGS and attempt.isalnum()
    return (parts[-2], leg) if is_ours else ("", "")
