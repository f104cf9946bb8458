"""Signed questions to the venues that change nothing: what a key may do, and what the account is worth.

Asked before a live start, so without Nautilus' adapters: the answer decides whether they may have the key.
"""

import hashlib
import hmac
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from nautilus_trader.adapters.binance.common.credentials import (
    extract_ed25519_private_key,
    is_ed25519_private_key,
)
from nautilus_trader.core.nautilus_pyo3 import ed25519_signature

from runtime.download.budget import HostBudget
from runtime.errors import ConfigurationError, VenueError
from runtime.live.keys import Keys

RECV_WINDOW_MS: Final = 5_000
TIMEOUT_SECS: Final = 15.0
OK: Final = 200
NOT_FOUND: Final = 404
SERVER_ERROR: Final = 500
BYBIT_OK: Final = 0
# Unknown here; Binance's own count comes back with every answer.
WEIGHT: Final = 1
# "Timestamp outside of the receive window": also of a machine so busy that a request leaves late.
TOO_LATE: Final = frozenset({-1021, 10002})
ATTEMPTS: Final = 3


class NotToldError(VenueError):
    """The venue has no such question: testnets and local exchanges."""


class _TooLateError(VenueError):
    """The venue finds the request's timestamp too old, or ahead of its clock."""


class SignedRest:
    """Sends signed GET requests.

    Parameters
    ----------
    address
        REST interface of the venue.
    keys
        Of the account.
    budget
        What all that ask this host know of its limits and bans; None where nobody else asks it.
    transport
        Replaces the network in tests.
    now_ms
        Our clock, UNIX milliseconds.
    """

    def __init__(
        self,
        address: str,
        keys: Keys,
        *,
        budget: HostBudget | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._address, self._keys, self._transport, self._now_ms = address, keys, transport, now_ms
        self._budget = HostBudget(time.monotonic) if budget is None else budget

    async def binance(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """Ask Binance.

        Raises
        ------
        ConfigurationError
            When the venue refuses the key.
        VenueError
            When it cannot be reached or fails, or wants no request now (429, 418): then none is sent.

        References
        ----------
        Binance, "Request Security": the signature covers the query string; HMAC-SHA256 in hex, Ed25519 in
        base64.
        """

        async def ask() -> Any:
            terms = {**(params or {}), "recvWindow": str(RECV_WINDOW_MS), "timestamp": str(self._now_ms())}
            query = urlencode(terms)
            signed = f"{query}&{urlencode({'signature': signature(self._keys.secret, query)})}"
            return await self._get(f"{path}?{signed}", {"X-MBX-APIKEY": self._keys.key}, path)

        return await _in_time(ask)

    async def bybit(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """Ask Bybit, version 5; return ``result``. Raises as :meth:`binance`.

        References
        ----------
        Bybit, "Integration Guidance": the signature covers timestamp, key, receive window and query.
        """
        query = urlencode(params or {})

        async def ask() -> Any:
            stamp = str(self._now_ms())
            text = f"{stamp}{self._keys.key}{RECV_WINDOW_MS}{query}"
            headers = {
                "X-BAPI-API-KEY": self._keys.key,
                "X-BAPI-TIMESTAMP": stamp,
                "X-BAPI-RECV-WINDOW": str(RECV_WINDOW_MS),
                "X-BAPI-SIGN": signature(self._keys.secret, text),
            }
            return await self._get(f"{path}?{query}" if query else path, headers, path)

        answer = await _in_time(ask)
        if answer.get("retCode") != BYBIT_OK:
            raise ConfigurationError(
                f"{self._address}{path} refuses the key: {answer.get('retMsg')} ({answer.get('retCode')}); "
                "check key, secret, allowed addresses and environment"
            )
        return answer["result"]

    async def _get(self, path: str, headers: Mapping[str, str], shown: str) -> Any:
        where, budget = f"{self._address}{shown}", self._budget
        if budget.silence_secs > 0:
            raise VenueError(
                f"{where}: not asked, the host asks for silence, {budget.silence_secs:.0f} s left"
            )
        budget.sent(WEIGHT)
        answered: Mapping[str, str] | None = None
        try:
            async with httpx.AsyncClient(
                transport=self._transport, verify=certificates(), timeout=TIMEOUT_SECS
            ) as client:
                response = await client.get(f"{self._address}{path}", headers=dict(headers))
            answered = response.headers
            answer = response.json()
        except httpx.HTTPError as error:
            raise VenueError(f"{where} cannot be reached: {type(error).__name__}") from error
        except ValueError as error:
            if response.status_code == NOT_FOUND:
                raise NotToldError(f"{where}: there is no such question here") from error
            raise VenueError(f"{where}: the answer is no JSON (status {response.status_code})") from error
        finally:
            budget.answered(WEIGHT, answered)
        silence_secs = budget.heed(response.status_code, response.headers)
        if silence_secs > 0:
            raise VenueError(f"{where}: status {response.status_code}, ask again in {silence_secs:.0f} s")
        if response.status_code == NOT_FOUND:
            raise NotToldError(f"{where}: there is no such question here")
        if response.status_code >= SERVER_ERROR:
            raise VenueError(f"{where} fails with status {response.status_code}: try again later")
        _refuse_late(where, answer)
        if response.status_code != OK:
            words = (
                f"{answer.get('msg') or answer.get('retMsg')} ({answer.get('code', answer.get('retCode'))})"
            )
            raise ConfigurationError(
                f"{where} refuses the key: {words}; check key, secret, allowed addresses and environment"
            )
        return answer


@cache
def certificates() -> ssl.SSLContext:
    """Return whom we believe, read once: it takes 25 to 60 ms, and the node is deaf meanwhile."""
    return httpx.create_ssl_context()


def _refuse_late(where: str, answer: Any) -> None:
    """Raise where a venue says that the question was stamped too long ago: the key is as good as before."""
    code = (answer.get("code") or answer.get("retCode")) if isinstance(answer, dict) else None
    if code in TOO_LATE:
        raise _TooLateError(
            f"{where}: the question came more than {RECV_WINDOW_MS / 1000:g} s after it was signed ({code}): "
            "the clock is off, or machine or network are too slow; synchronise it (NTP) and try again"
        )


async def _in_time(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask with a new timestamp where the venue found the one before out of its window."""
    for _attempt in range(ATTEMPTS - 1):
        try:
            return await ask()
        except _TooLateError:
            continue
    return await ask()


def signature(secret: str, text: str) -> str:
    """Return the signature of a text: Ed25519 where the secret is such a key, else HMAC-SHA256.

    Examples
    --------
    >>> signature("secret", "timestamp=1")[:16]
    'c402d7b980cc9eab'
    """
    if is_ed25519_private_key(secret):
        return str(ed25519_signature(extract_ed25519_private_key(secret), text))
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
