"""What Binance's spot and futures interfaces have in common: signatures, errors, decimals, intervals.

Sources: "Request security" of rest-api.md and errors.md in binance/binance-spot-api-docs; the futures pages
"General Info" and "Error Codes" of the vendor's developer site say the same.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from tests.venue_simulator.core import Account, Market
from tests.venue_simulator.protocol import RequestError

type Params = Mapping[str, str]

DEFAULT_WINDOW_MS: Final = 5_000
MOST_WINDOW_MS: Final = 60_000
MOST_AHEAD_MS: Final = 1_000
INTERVALS_MS: Final = {
    "1s": 1_000,
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
    "3d": 259_200_000,
}
_UNIT: Final = 10**8


def reply(content: object, status: int = 200) -> web.Response:
    """Answer with JSON."""
    return web.Response(
        text=json.dumps(content, separators=(",", ":")), status=status, content_type="application/json"
    )


def error(status: int, code: int, text: str) -> web.Response:
    """Answer with an error in Binance's form."""
    return reply({"code": code, "msg": text}, status)


def refuse(code: int, text: str, status: int = 400) -> RequestError:
    """Return the exception that answers with this error."""
    return RequestError(error(status, code, text))


def text8(value: Decimal) -> str:
    """Write a decimal with the eight places of Binance's strings."""
    return f"{value:.8f}"


def scaled8(step: Decimal) -> int:
    """Return a tick or lot as a whole number of 1e-8."""
    return int(step * _UNIT)


def text8_of(units: int) -> str:
    """Write a whole number of 1e-8 with eight places: the fast way for streams."""
    return f"{units // _UNIT}.{units % _UNIT:08d}"


def sign(secret: str, payload: str) -> str:
    """Return the HMAC-SHA256 of a payload, hexadecimal."""
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


async def params_of(request: web.Request) -> dict[str, str]:
    """Return the parameters of query string and form body; the query string wins."""
    body = await request.text() if request.can_read_body else ""
    return dict(parse_qsl(body)) | dict(request.query)


async def signed_params(
    request: web.Request, accounts: Iterable[Account], now_ms: int
) -> tuple[Account, dict[str, str]]:
    """Check key, time and signature of a SIGNED request; return its account and its parameters.

    The signed text is the query string and the body, without the signature itself, as they were sent.

    Raises
    ------
    RequestError
        -2014, -2015, -1102, -1021 or -1022.
    """
    account = account_of(request, accounts)
    body = await request.text() if request.can_read_body else ""
    params = await params_of(request)
    payload = _unsigned(request.rel_url.raw_query_string) + _unsigned(body)  # as sent, percent encoded
    if not params.get("signature"):
        raise missing("signature")
    if not hmac.compare_digest(sign(account.api_secret, payload), params["signature"].lower()):
        raise refuse(-1022, "Signature for this request is not valid.")
    check_time(params, now_ms)
    return account, params


def account_of(request: web.Request, accounts: Iterable[Account]) -> Account:
    """Return the account of the request's key."""
    key = request.headers.get("X-MBX-APIKEY", "")
    if not key:
        raise refuse(-2014, "API-key format invalid.", 401)
    for account in accounts:
        if hmac.compare_digest(account.api_key, key):
            return account
    raise refuse(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def check_time(params: Params, now_ms: int) -> None:
    """Refuse a timestamp outside the window ("Timing security")."""
    if not params.get("timestamp", "").isdigit():
        raise missing("timestamp")
    timestamp = int(params["timestamp"])
    window_ms = float(params.get("recvWindow", DEFAULT_WINDOW_MS))
    if window_ms > MOST_WINDOW_MS:
        raise refuse(-1131, "recvWindow must be less than 60000")
    if timestamp >= now_ms + MOST_AHEAD_MS:
        raise refuse(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - timestamp > window_ms:
        raise refuse(-1021, "Timestamp for this request is outside of the recvWindow.")


def missing(name: str) -> RequestError:
    """Return the exception of a mandatory parameter that is not there."""
    return refuse(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def need(params: Params, name: str) -> str:
    """Return a mandatory parameter."""
    if not params.get(name):
        raise missing(name)
    return params[name]


def whole(params: Params, name: str, default: int | None = None) -> int | None:
    """Return an optional whole number."""
    if not params.get(name):
        return default
    try:
        return int(params[name])
    except ValueError:
        raise missing(name) from None


def decimal(params: Params, name: str) -> Decimal | None:
    """Return an optional decimal, refusing what is none, or has more places than the asset."""
    if not params.get(name):
        return None
    try:
        value = Decimal(params[name])
    except ArithmeticError:
        raise refuse(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^([0-9]"
                            "{1,20})(\\.[0-9]{1,20})?$'.") from None  # fmt: skip
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -8 and value != round(value, 8):
        raise refuse(-1111, f"Parameter '{name}' has too much precision.")
    return value


def market_of(params: Params, markets: Mapping[str, Market]) -> Market:
    """Return the market of parameter `symbol`."""
    market = markets.get(need(params, "symbol"))
    if market is None:
        raise refuse(-1121, "Invalid symbol.")
    return market


def interval_ms_of(params: Params) -> int:
    """Return the length of parameter `interval`."""
    interval = need(params, "interval")
    if interval not in INTERVALS_MS:
        raise refuse(-1120, "Invalid interval.")
    return INTERVALS_MS[interval]


def price_texts(market: Market) -> tuple[Callable[[int], str], Callable[[int], str]]:
    """Return the writers of a market's ticks and lots as eight-place strings."""
    tick, lot = scaled8(market.tick), scaled8(market.lot)
    return (lambda ticks: text8_of(ticks * tick)), (lambda lots: text8_of(lots * lot))


def _unsigned(query: str) -> str:
    return "&".join(part for part in query.split("&") if not part.startswith("signature="))
