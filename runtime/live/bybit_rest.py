"""Signed requests to Bybit about orders, for what Nautilus' client has no field for; one warm connection.

Three outcomes are kept apart: done, refused (nothing was done), and unknown (the request may have arrived).
Requests are stamped by the venue's clock where ours is certainly wrong, and none leaves during a ban.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from runtime.download.budget import HostBudget, reset_secs
from runtime.errors import VenueError
from runtime.live.freshness import MS, ClockOffset, clock_offset
from runtime.live.signed import BYBIT_OK, RECV_WINDOW_MS, SERVER_ERROR, signature

TIMEOUT_SECS: Final = 5.0
# Orders of a stop must not wait for a handshake: the look for missed fills keeps the connection in use.
KEEPALIVE_SECS: Final = 60.0
# "Error Codes" of the vendor: 10000 server timeout, 10016 internal server error, 10019 service restarting.
UNKNOWN_CODES: Final = frozenset({10000, 10016, 10019})
# "invalid request, please check your server timestamp or recv_window param"; nothing was done.
WRONG_STAMP: Final = 10002
TOO_MANY_VISITS: Final = 10006
FORBIDDEN: Final = 403
# "403, access too frequent": the vendor asks to end all sessions for at least ten minutes.
BAN_SECS: Final = 600.0
# The venue's limits are over five seconds at most.
LONGEST_WAIT_SECS: Final = 5.0
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


class UnreachableError(RefusedError):
    """The request never left: there was no connection."""


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
        self._offset_of: Callable[[], ClockOffset | None] = lambda: None
        # What a refused stamp taught us, and what was known then: a newer measurement replaces it.
        self._learned: tuple[ClockOffset, ClockOffset | None] | None = None
        self.budget = HostBudget(time.monotonic)
        limits = httpx.Limits(keepalive_expiry=KEEPALIVE_SECS)
        self._client = httpx.AsyncClient(
            transport=transport, timeout=TIMEOUT_SECS, limits=limits, proxy=proxy, trust_env=False
        )

    def follow_clock(self, offset_of: Callable[[], ClockOffset | None]) -> None:
        """Stamp requests by the venue's clock where ours is certainly wrong.

        Parameters
        ----------
        offset_of
            Gives the offset as last measured, None before.
        """
        self._offset_of = offset_of

    def share(self, budget: HostBudget) -> None:
        """Share what is known of the host's limits with all that ask it."""
        self.budget = budget

    @property
    def shift_ms(self) -> int:
        """Return what is added to our clock, ms; 0 where it is right enough."""
        measured = self._offset_of()
        if self._learned is not None and self._learned[1] is not measured:
            self._learned = None
        offset = measured if self._learned is None else self._learned[0]
        return 0 if offset is None else offset.shift_ms

    async def learn_clock(self) -> None:
        """Ask for the venue's time now; without an answer everything stays as it was."""
        sent_ms = self._now_ms()
        try:
            answer = (await self._client.get(f"{self._address}/v5/market/time")).json()
            venue_ns = int(answer["result"]["timeNano"])
        except (httpx.HTTPError, ValueError, KeyError):
            return
        offset = clock_offset(sent_ms * MS, venue_ns, self._now_ms() * MS)
        self._learned = offset, self._offset_of()

    async def close(self) -> None:
        """Give the connection back."""
        await self._client.aclose()

    async def get(self, path: str, params: Mapping[str, str]) -> Any:
        """Ask; return ``result``. Raises as :meth:`post`; what the limit allows is left to orders."""
        await asyncio.sleep(min(self.budget.wait_secs(1), LONGEST_WAIT_SECS))
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
        try:
            return await self._send_once(method, target, payload, content)
        except RefusedError as error:
            if error.code != WRONG_STAMP:
                raise
        await self.learn_clock()
        return await self._send_once(method, target, payload, content)

    async def _send_once(self, method: str, target: str, payload: str, content: str | None) -> Any:
        if self.budget.ban_secs:
            raise RefusedError(0, f"not sent: the host asks for silence, {self.budget.ban_secs:.0f} s left")
        stamp = str(self._now_ms() + self.shift_ms)
        headers = {
            "X-BAPI-API-KEY": self._key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": str(RECV_WINDOW_MS),
            "X-BAPI-SIGN": signature(self._secret, f"{stamp}{self._key}{RECV_WINDOW_MS}{payload}"),
            "Content-Type": "application/json",
        }
        where = f"{self._address}{target.partition('?')[0]}"
        self.budget.sent(1)
        answered: Mapping[str, str] | None = None
        try:
            response = await self._client.request(
                method, f"{self._address}{target}", headers=headers, content=content
            )
            answered = response.headers
            answer = response.json()
        except _NEVER_SENT as error:
            raise UnreachableError(0, f"{where} cannot be reached: {type(error).__name__}") from error
        except (httpx.HTTPError, ValueError) as error:
            raise UnknownOutcomeError(f"{where} gave no answer: {type(error).__name__}") from error
        finally:
            self.budget.answered(1, answered)
        if response.status_code == FORBIDDEN:
            self.budget.ban(BAN_SECS, FORBIDDEN)
        code = answer.get("retCode", response.status_code)
        if code == TOO_MANY_VISITS:
            self.budget.block(reset_secs(response.headers))
        if code == BYBIT_OK:
            return answer["result"]
        if response.status_code >= SERVER_ERROR or code in UNKNOWN_CODES:
            raise UnknownOutcomeError(f"{where}: {answer.get('retMsg')} ({code})")
        raise RefusedError(code, f"Order rejected: {answer.get('retMsg', 'no reason')}")


__all__ = ["BybitRest", "RefusedError", "UnknownOutcomeError", "UnreachableError"]
