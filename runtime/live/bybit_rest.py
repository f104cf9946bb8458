"""Signed requests to Bybit about orders, for what Nautilus' client has no field for; one warm connection.

Three outcomes are kept apart: done, refused (nothing was done), and unknown (the request may have arrived).
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from runtime.errors import VenueError
from runtime.live.signed import BYBIT_OK, RECV_WINDOW_MS, SERVER_ERROR, signature

TIMEOUT_SECS: Final = 5.0
# Orders of a stop must not wait for a handshake: the look for missed fills keeps the connection in use.
KEEPALIVE_SECS: Final = 60.0
# "Error Codes" of the vendor: 10000 server timeout, 10016 internal server error, 10019 service restarting.
UNKNOWN_CODES: Final = frozenset({10000, 10016, 10019})
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class RefusedError(VenueError):
    """The venue did not do it, or the request never left.

    Parameters
    ----------
    code
        ``retCode`` of the venue, 0 where the request never left.
    text
        In the venue's words.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} ({code})" if code else text)
        self.code = code


class UnknownOutcomeError(VenueError):
    """Nobody knows whether the venue did it."""


class BybitRest:
    """Sends signed requests.

    Parameters
    ----------
    address
        REST interface.
    key, secret
        Of the account.
    proxy
        Address of a proxy, None without.
    transport
        Replaces the network in tests.
    now_ms
        Our clock, UNIX milliseconds.
    """

    def __init__(
        self,
        address: str,
        key: str,
        secret: str,
        *,
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._address, self._key, self._secret, self._now_ms = address, key, secret, now_ms
        limits = httpx.Limits(keepalive_expiry=KEEPALIVE_SECS)
        self._client = httpx.AsyncClient(
            transport=transport, timeout=TIMEOUT_SECS, limits=limits, proxy=proxy, trust_env=False
        )

    async def close(self) -> None:
        """Give the connection back."""
        await self._client.aclose()

    async def get(self, path: str, params: Mapping[str, str]) -> Any:
        """Ask; return ``result``. Raises as :meth:`post`."""
        query = urlencode(params)
        return await self._send("GET", f"{path}?{query}", query, None)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Order; return ``result``.

        Raises
        ------
        RefusedError
            Nothing was done.
        UnknownOutcomeError
            It may have been done.

        References
        ----------
        Bybit, "Integration Guidance": the signature covers timestamp, key, receive window and payload.
        """
        text = json.dumps(body)
        return await self._send("POST", path, text, text)

    async def _send(self, method: str, target: str, payload: str, content: str | None) -> Any:
        stamp = str(self._now_ms())
        headers = {
            "X-BAPI-API-KEY": self._key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": str(RECV_WINDOW_MS),
            "X-BAPI-SIGN": signature(self._secret, f"{stamp}{self._key}{RECV_WINDOW_MS}{payload}"),
            "Content-Type": "application/json",
        }
        where = f"{self._address}{target.partition('?')[0]}"
        try:
            response = await self._client.request(
                method, f"{self._address}{target}", headers=headers, content=content
            )
            answer = response.json()
        except _NEVER_SENT as error:
            raise RefusedError(0, f"{where} cannot be reached: {type(error).__name__}") from error
        except (httpx.HTTPError, ValueError) as error:
            raise UnknownOutcomeError(f"{where} gave no answer: {type(error).__name__}") from error
        code = answer.get("retCode", response.status_code)
        if code == BYBIT_OK:
            return answer["result"]
        if response.status_code >= SERVER_ERROR or code in UNKNOWN_CODES:
            raise UnknownOutcomeError(f"{where}: {answer.get('retMsg')} ({code})")
        raise RefusedError(code, f"Order rejected: {answer.get('retMsg', 'no reason')}")


__all__ = ["BybitRest", "RefusedError", "UnknownOutcomeError"]
