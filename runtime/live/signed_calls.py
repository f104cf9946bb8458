"""Signed requests that change something at a venue without being an order: countdowns that cancel.

Each is sent once, within the budget of its host: a request that might have worked is repeated by the next
heartbeat, not here.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from runtime.download.budget import HostBudget
from runtime.errors import VenueError
from runtime.live.keys import Keys
from runtime.live.signed import BYBIT_OK, OK, RECV_WINDOW_MS, signature

TIMEOUT_SECS: Final = 10.0
# Of a venue's limit, for what is no order: the adapter's orders need the rest.
SHARE: Final = 0.25


class SignedCalls:
    """Sends signed requests to one venue.

    Parameters
    ----------
    address
        REST interface.
    keys
        Of the account.
    per_window, window_secs
        The venue's limit: weight within so many seconds; a quarter of it is used.
    host
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
        per_window: int,
        window_secs: float = 60.0,
        host: HostBudget | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address, self._keys, self._now_ms = address, keys, now_ms
        self._budget = HostBudget(clock, SHARE)
        self._budget.allow(per_window, window_secs)
        self._host = HostBudget(clock) if host is None else host
        self._client = httpx.AsyncClient(transport=transport, timeout=TIMEOUT_SECS)

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def binance(self, path: str, params: Mapping[str, str], weight: int) -> Any:
        """Post to Binance; the parameters are signed in the query.

        Raises
        ------
        VenueError
            When it refuses, cannot be reached, or has no budget left for this now.
        """
        query = urlencode({**params, "recvWindow": str(RECV_WINDOW_MS), "timestamp": str(self._now_ms())})
        signed = f"{query}&{urlencode({'signature': signature(self._keys.secret, query)})}"
        request = self._client.build_request(
            "POST", f"{self._address}{path}?{signed}", headers={"X-MBX-APIKEY": self._keys.key}
        )
        return await self._send(request, path, weight)

    async def bybit(self, method: str, path: str, params: Mapping[str, Any]) -> Any:
        """Ask or post to Bybit, version 5; return ``result``. Raises as :meth:`binance`."""
        is_get = method == "GET"
        text = urlencode(params) if is_get else json.dumps(params)
        stamp = str(self._now_ms())
        headers = {
            "X-BAPI-API-KEY": self._keys.key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": str(RECV_WINDOW_MS),
            "X-BAPI-SIGN": signature(self._keys.secret, f"{stamp}{self._keys.key}{RECV_WINDOW_MS}{text}"),
            "Content-Type": "application/json",
        }
        url = f"{self._address}{path}" + (f"?{text}" if is_get and text else "")
        request = self._client.build_request(method, url, headers=headers, content=None if is_get else text)
        answer = await self._send(request, path, 1)
        if answer.get("retCode") != BYBIT_OK:
            raise VenueError(f"{self._address}{path}: {answer.get('retMsg')} ({answer.get('retCode')})")
        return answer["result"]

    async def _send(self, request: httpx.Request, path: str, weight: int) -> Any:
        where, budget, host = f"{self._address}{path}", self._budget, self._host
        left_secs = host.silence_secs or budget.wait_secs(weight)
        if left_secs > 0:
            raise VenueError(f"{where}: not sent, no budget for {left_secs:.0f} s")
        budget.sent(weight)
        host.sent(weight)
        headers: Mapping[str, str] | None = None
        try:
            response = await self._client.send(request)
            headers = response.headers
            answer = response.json()
        except httpx.HTTPError as error:
            raise VenueError(f"{where} cannot be reached: {type(error).__name__}") from error
        except ValueError:
            answer = {}
        finally:
            budget.answered(weight, headers)
            host.answered(weight, headers)
        host.heed(response.status_code, response.headers)
        if response.status_code != OK:
            words = f"{answer.get('msg', 'no reason')} ({answer.get('code', response.status_code)})"
            raise VenueError(f"{where} refuses: {words}")
        return answer


__all__ = ["SignedCalls"]
