"""Bybit's signatures: HMAC-SHA256 of REST requests and of the websocket login, with their time windows.

Where it comes from: Bybit v5 "Integration Guidance" (string to sign, time rule), "Connect" (login of the
private streams), "Websocket Trade Guideline" (login and order headers), "Error Codes".
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from tests.venue_simulator.bybit_codes import BybitError

DEFAULT_WINDOW_MS: Final = 5_000
# How far a timestamp may be ahead of the exchange's clock; how far behind, the request says itself.
AHEAD_MS: Final = 1_000


def sign(secret: str, text: str) -> str:
    """Return the lowercase hexadecimal HMAC-SHA256 of a text."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def rest_text(timestamp: str, key: str, window: str, payload: str) -> str:
    """Return what a REST request signs; `payload` is the raw query string or the raw JSON body."""
    return f"{timestamp}{key}{window}{payload}"


def login_text(expires_ms: int) -> str:
    """Return what a websocket login signs."""
    return f"GET/realtime{expires_ms}"


def check_time(timestamp: str, window: str, now_ms: int) -> None:
    """Refuse a request outside its window.

    Raises
    ------
    BybitError
        10002, with the three numbers that Bybit repeats.
    """
    try:
        sent_ms, window_ms = int(timestamp), int(window or DEFAULT_WINDOW_MS)
    except ValueError:
        raise BybitError(10001, "invalid timestamp or recv_window") from None
    if not now_ms - window_ms <= sent_ms < now_ms + AHEAD_MS:
        raise BybitError(
            10002,
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{sent_ms}],server_timestamp[{now_ms}],recv_window[{window_ms}]",
        )


def check_rest(headers: Mapping[str, str], payload: str, secrets: Mapping[str, str], now_ms: int) -> str:
    """Check a signed REST request and return its key.

    Parameters
    ----------
    headers
        The request's headers (case-insensitive mapping).
    payload
        Raw query string of a GET, raw body of a POST.
    secrets
        The secret of every key that the exchange knows.
    now_ms
        The exchange's time.

    Raises
    ------
    BybitError
        10003 unknown key, 10002 outside the time window, 10004 wrong signature.
    """
    key = headers.get("X-BAPI-API-KEY", "")
    secret = secrets.get(key)
    if secret is None:
        raise BybitError(10003, "API key is invalid.")
    timestamp = headers.get("X-BAPI-TIMESTAMP", "")
    window = headers.get("X-BAPI-RECV-WINDOW", "")
    check_time(timestamp, window, now_ms)
    text = rest_text(timestamp, key, window, payload)
    if not hmac.compare_digest(sign(secret, text), headers.get("X-BAPI-SIGN", "")):
        raise BybitError(10004, f"error sign! origin_string[{text}]")
    return key


def check_login(args: object, secrets: Mapping[str, str], now_ms: int) -> str:
    """Check the `args` of a websocket's ``auth`` and return the key.

    Raises
    ------
    BybitError
        10001 malformed, 10003 unknown key, 10004 expired or wrongly signed.
    """
    if not isinstance(args, list) or len(args) < 3:
        raise BybitError(10001, "Params Error")
    key, expires, signature = str(args[0]), args[1], str(args[2])
    secret = secrets.get(key)
    if secret is None:
        raise BybitError(10003, "Invalid apikey")
    if not isinstance(expires, int) or expires <= now_ms:
        raise BybitError(10004, "Invalid sign: expired")
    if not hmac.compare_digest(sign(secret, login_text(expires)), signature):
        raise BybitError(10004, "Invalid sign")
    return key
