"""The one HTTP client of a command: every request shares its connections, retries and per-host budgets.

What passes by itself (5xx, reset, timeout, truncated answer, 429) is tried again with growing pauses; the
rest becomes a :class:`VenueError` of one line that names the address, the last cause and the attempts.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from runtime.download.budget import BANNED, TOO_MANY, HostBudget, retry_after_secs
from runtime.errors import VenueError
from runtime.settings import DownloadSettings

OK: Final = 200
PARTIAL: Final = 206
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
RANGE_BEYOND_END: Final = 416
OTHER_LOCATION: Final = 451
SERVER_ERROR: Final = 500
JITTER: Final = 0.5
SHOWN_BODY: Final = 200
USER_AGENT: Final = "smcbot (market data download)"


class NotFound(VenueError):  # noqa: N818 - an absent daily file is an answer, not a fault
    """The host has no such file (404)."""


class Refused(VenueError):  # noqa: N818
    """The host understood and refuses: `status` and `body` say why. Trying again does not help."""

    def __init__(self, message: str, status: int, body: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class Interrupted(VenueError):  # noqa: N818
    """A streamed body broke off: go on from the last byte with `offset`."""


class Passing(Exception):  # noqa: N818
    """Raised by a call to say that it failed in a way that may pass: it is tried again."""

    def __init__(self, cause: str, wait_secs: float | None = None) -> None:
        super().__init__(cause)
        self.wait_secs = wait_secs


@dataclass(frozen=True, slots=True)
class Answer[T]:
    """What a call brought: status, headers (names in lower case) and its value, or the body's text."""

    status: int
    headers: Mapping[str, str]
    value: T | None
    text: str = ""


class Http:
    """An asynchronous context manager around one ``httpx.AsyncClient``; one per command.

    Parameters
    ----------
    settings
        Connections, retries, pauses.
    sleep, clock
        Replaced by tests.

    Examples
    --------
    >>> async def server_time(settings: DownloadSettings) -> int:
    ...     async with Http(settings) as http:
    ...         return (await http.get_json("https://api.binance.com/api/v3/time"))["serverTime"]
    """

    def __init__(
        self,
        settings: DownloadSettings,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._sleep = sleep
        self._clock = clock
        self._budgets: dict[str, HostBudget] = {}
        self._places = asyncio.Semaphore(settings.connections)
        self._random = random.Random()  # noqa: S311 - jitter is no secret
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(settings.timeout_secs),
            limits=httpx.Limits(max_connections=settings.connections),
            headers={"User-Agent": USER_AGENT},
            follow_redirects=True,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    def allow(self, address: str, per_window: int, window_secs: float = 60.0) -> None:
        """Tell the limit of a host: weight per window of so many seconds."""
        self.budget(address).allow(per_window, window_secs)

    def budget(self, address: str) -> HostBudget:
        """Return the budget of the host of an address; made at its first use."""
        host = urlsplit(address).netloc
        if host not in self._budgets:
            self._budgets[host] = HostBudget(self._clock, self._settings.budget_ratio)
        return self._budgets[host]

    # --- requests ------------------------------------------------------------------------------------
    async def get_json(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        *,
        weight: int = 1,
        is_reserved: bool = False,
    ) -> Any:
        """Get a JSON document; a reserved request may use what the share of the limit leaves.

        Raises
        ------
        NotFound
            On 404.
        Refused
            On any other 4xx that does not pass.
        VenueError
            When the host is unreachable, keeps failing, or has banned this address.
        """

        async def call() -> Answer[Any]:
            response = await self._get(url, params)
            try:
                value = json.loads(response.content) if response.status_code == OK else None
            except ValueError:
                raise Passing("the answer is no JSON (truncated?)") from None
            return Answer(response.status_code, response.headers, value, _excerpt(response))

        return await self._call(url, call, weight, hold_place=True, is_reserved=is_reserved)

    async def get_text(self, url: str, params: Mapping[str, str | int] | None = None) -> str:
        """Get a text document; raises as :meth:`get_json`."""

        async def call() -> Answer[str]:
            response = await self._get(url, params)
            text = response.text if response.status_code == OK else None
            return Answer(response.status_code, response.headers, text, _excerpt(response))

        return await self.call(url, call)

    async def get_bytes(self, url: str) -> bytes:
        """Get a small file whole; raises as :meth:`get_json`."""

        async def call() -> Answer[bytes]:
            response = await self._get(url, None)
            content = response.content if response.status_code == OK else None
            return Answer(response.status_code, response.headers, content, _excerpt(response))

        return await self.call(url, call)

    @asynccontextmanager
    async def stream(self, url: str, *, offset: int = 0) -> AsyncIterator[httpx.Response]:
        """Open a file for reading its bytes, from `offset` on.

        Yields
        ------
        httpx.Response
            Status 206 from `offset`, 200 from the beginning (the host knows no ranges), or 416 when the file
            ends at or before `offset`. Read it with ``aiter_raw``.

        Raises
        ------
        Interrupted
            When the body breaks off: open it again from where it ended.
        VenueError
            As :meth:`get_json`; opening is retried, reading is not.
        """
        # Offsets count the bytes of the file, so the host must not compress it.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})

        async def call() -> Answer[httpx.Response]:
            request = self._client.build_request("GET", url, headers=headers)
            response = await self._sent(self._client.send(request, stream=True))
            is_open = response.status_code in (OK, PARTIAL, RANGE_BEYOND_END)
            text = ""
            if not is_open:
                try:
                    await response.aread()
                except httpx.HTTPError as error:
                    raise Passing(_cause(error)) from error
                finally:
                    await response.aclose()
                text = _excerpt(response)
            return Answer(
                OK if is_open else response.status_code, response.headers, response if is_open else None, text
            )

        async with self._places:
            response = await self._call(url, call, 1, hold_place=False)
            try:
                yield response
            except httpx.HTTPError as error:
                raise Interrupted(f"{url}: {_cause(error)} while reading") from error
            finally:
                await response.aclose()

    async def call[T](
        self, url: str, call: Callable[[], Awaitable[Answer[T]]], *, weight: int = 1, what: str = ""
    ) -> T:
        """Make a request by any means within the budget of its host, again while its failure may pass.

        Parameters
        ----------
        url
            For the budget and for messages.
        call
            Makes the request once; raises :class:`Passing` where no answer came.
        weight
            What the host counts it as.
        what
            Names the request in messages; the default is the address.

        Raises
        ------
        VenueError
            As :meth:`get_json`.
        """
        return await self._call(url, call, weight, hold_place=True, what=what)

    async def pause(self, attempt: int) -> None:
        """Wait before the attempt after number `attempt` (from 0), longer each time."""
        await self._sleep(self._backoff_secs(attempt))

    # --- the life of one request ---------------------------------------------------------------------
    async def _call[T](
        self,
        url: str,
        call: Callable[[], Awaitable[Answer[T]]],
        weight: int,
        *,
        hold_place: bool,
        what: str = "",
        is_reserved: bool = False,
    ) -> T:
        cause, what = "", what or url
        for attempt in range(self._settings.retries + 1):
            places = self._places if hold_place else nullcontext()
            outcome = await self._attempt(url, call, weight, what, attempt, places, is_reserved=is_reserved)
            if not isinstance(outcome, Passing):
                return outcome
            cause = str(outcome)
            if attempt < self._settings.retries:
                wait_secs = self._backoff_secs(attempt) if outcome.wait_secs is None else outcome.wait_secs
                if wait_secs > 0:
                    await self._sleep(wait_secs)
        attempts = self._settings.retries + 1
        raise VenueError(f"{what}: {cause}; gave up after {attempts} attempt{'s' * (attempts > 1)}")

    async def _attempt[T](
        self,
        url: str,
        call: Callable[[], Awaitable[Answer[T]]],
        weight: int,
        what: str,
        attempt: int,
        places: AbstractAsyncContextManager[None],
        *,
        is_reserved: bool,
    ) -> T | Passing:
        """Return the value, or why to try again; raise what does not pass."""
        while True:
            # Without a place: a host that makes us wait must not keep the others waiting.
            await self._await_turn(url, weight, is_reserved=is_reserved)
            async with places:
                if self.budget(url).wait_secs(weight, is_reserved=is_reserved) <= 0:
                    self._refuse_if_banned(url)
                    return await self._once(url, call, weight, what, attempt)

    async def _once[T](
        self, url: str, call: Callable[[], Awaitable[Answer[T]]], weight: int, what: str, attempt: int
    ) -> T | Passing:
        budget = self.budget(url)
        budget.sent(weight)
        headers: Mapping[str, str] | None = None
        try:
            answer = await call()
            headers = answer.headers
        except Passing as passing:
            return passing
        finally:
            budget.answered(weight, headers)
        if answer.status == OK and answer.value is not None:
            return answer.value
        return self._judged(url, what, answer, attempt)

    def _judged(self, url: str, what: str, answer: Answer[Any], attempt: int) -> Passing:
        budget = self.budget(url)
        status, asked_secs = answer.status, retry_after_secs(answer.headers)
        said = f": {answer.text}" if answer.text else ""
        if status == TOO_MANY:
            # All workers wait, not only this one, and a node's adapter: their requests would earn the ban.
            budget.limit(self._backoff_secs(attempt) if asked_secs is None else asked_secs)
            return Passing("429, too many requests", 0.0)
        if status == BANNED:
            budget.heed(status, answer.headers)
            self._refuse_if_banned(url)
        if status >= SERVER_ERROR:
            return Passing(f"server error {status}")
        if status == NOT_FOUND:
            raise NotFound(f"{what}: no such file at the host (404)")
        if status in (FORBIDDEN, OTHER_LOCATION):
            raise Refused(
                f"{what}: the host refuses this address or location ({status}){said}; "
                "wait, or set another address under `hosts`",
                status,
                answer.text,
            )
        raise Refused(f"{what}: refused with status {status}{said}", status, answer.text)

    async def _await_turn(self, url: str, weight: int, *, is_reserved: bool) -> None:
        """Wait until the host's budget allows the request; a wait that is too long ends the command."""
        budget = self.budget(url)
        while True:
            self._refuse_if_banned(url)
            wait_secs = budget.wait_secs(weight, is_reserved=is_reserved)
            if wait_secs <= 0:
                return
            if wait_secs > self._settings.max_wait_secs:
                raise VenueError(
                    f"{urlsplit(url).netloc}: asks to wait {wait_secs:.0f} s, download.max_wait_secs is "
                    f"{self._settings.max_wait_secs:g}; run the command again then, it continues"
                )
            await self._sleep(wait_secs)

    def _refuse_if_banned(self, url: str) -> None:
        budget = self.budget(url)
        if budget.ban_secs > 0:
            until = (datetime.now(UTC) + timedelta(seconds=budget.ban_secs)).strftime("%Y-%m-%dT%H:%M:%SZ")
            raise VenueError(
                f"{urlsplit(url).netloc}: has banned this address ({budget.ban_status}) until {until}; "
                "send it nothing until then, and use a lower download.budget_ratio"
            )

    def _backoff_secs(self, attempt: int) -> float:
        secs: float = min(self._settings.backoff_secs * 2.0**attempt, self._settings.backoff_max_secs)
        return secs * (1 + JITTER * self._random.random())

    async def _get(self, url: str, params: Mapping[str, str | int] | None) -> httpx.Response:
        return await self._sent(self._client.get(url, params=None if params is None else dict(params)))

    @staticmethod
    async def _sent(request: Awaitable[httpx.Response]) -> httpx.Response:
        try:
            return await request
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise VenueError(f"{error.request.url}: {_cause(error)}") from error
        except httpx.HTTPError as error:
            raise Passing(_cause(error)) from error


def _cause(error: Exception) -> str:
    """Say in words what broke: httpx' own texts are empty for timeouts."""
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, httpx.TimeoutException):
        return "no byte in time (timeout)"
    if isinstance(error, httpx.ConnectError):
        return f"no connection ({error})"
    if isinstance(error, httpx.RemoteProtocolError):
        return f"truncated answer ({error})"
    if isinstance(error, httpx.ReadError | httpx.WriteError | httpx.CloseError):
        return "connection reset"
    return str(error) or type(error).__name__


def _excerpt(response: httpx.Response) -> str:
    if response.status_code == OK:
        return ""
    return " ".join(response.text.split())[:SHOWN_BODY]
