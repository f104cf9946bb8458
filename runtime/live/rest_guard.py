"""Keeps the adapters' REST clients within what a host allows, and silent while it has banned us.

Nautilus paces requests by their number, does not know what the venue counted, and sends on during a ban,
which makes the ban longer. Here every request of a Binance client passes a gate that shares its knowledge
with our own public client of the same host (`runtime.download.budget.HostBudget`):

* after 418 or 429, whoever met it, nothing at all is sent until the time of ``Retry-After``; who asked gets
  the venue's own refusal, which is true: the request was not executed;
* above the share of the limit that `download.budget_ratio` names, questions wait for the next minute. Orders
  and cancellations do not: the rest is reserved for them, the last of it for what is no entry
  (`runtime.live.entry_room`).
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import nautilus_trader.adapters.binance.http.client as binance_http
from nautilus_trader.adapters.binance.http.error import BinanceClientError
from nautilus_trader.core.nautilus_pyo3 import HttpMethod

from runtime.download.budget import USED_WEIGHT, HostBudget
from runtime.download.order_window import ORDER_COUNTS
from runtime.live.exchanged_class import exchanged
from runtime.live.freshness import ClockOffset

TOO_MANY_CODE: Final = -1003
# Unknown here; the venue's own count comes back with every answer.
WEIGHT: Final = 1
SIGNATURE: Final = "signature="
LONGEST_WAIT_SECS: Final = 60.0
# A signed question is stamped already: it is refused (-1021) when it comes five seconds later.
LONGEST_SIGNED_WAIT_SECS: Final = 2.0

# What an answer says about limits; a client returns the headers alone that it was made for.
LIMIT_HEADERS: Final = ("Retry-After", "Date", USED_WEIGHT, *ORDER_COUNTS.values())

type Sleep = Callable[[float], Any]


class GuardedClient:
    """Stands in the place of the low-level client of a Binance adapter.

    Parameters
    ----------
    inner
        Nautilus' own, with ``await request(method, url=..., headers=..., body=..., keys=...)``.
    budget
        Of the host, shared with all that ask it.
    warn
        Told once of each ban.
    sleep
        Waits for seconds.
    """

    def __init__(
        self, inner: Any, budget: HostBudget, warn: Callable[[str], Any], sleep: Sleep = asyncio.sleep
    ) -> None:
        self._inner, self._budget, self._warn, self._sleep = inner, budget, warn, sleep
        self.not_sent = 0

    async def request(self, method: Any, url: str, **options: Any) -> Any:
        """Send a request when the host allows it.

        Raises
        ------
        BinanceClientError
            While the host asks for silence: nothing was sent.
        """
        self._refuse_if_silenced()
        if method == HttpMethod.GET:
            longest_secs = LONGEST_SIGNED_WAIT_SECS if SIGNATURE in url else LONGEST_WAIT_SECS
            wait_secs = min(self._budget.wait_secs(WEIGHT), longest_secs)
            if wait_secs > 0:
                await self._sleep(wait_secs)
                self._refuse_if_silenced()
        self._budget.sent(WEIGHT)
        headers: Mapping[str, str] | None = None
        try:
            response = await self._inner.request(method, url=url, **options)
            headers = {name.lower(): value for name, value in dict(response.headers).items()}
        finally:
            self._budget.answered(WEIGHT, headers)
        silence_secs = self._budget.heed(response.status, headers)
        if silence_secs > 0:
            self._warn(
                f"{url.partition('?')[0]}: status {response.status}, nothing is sent for {silence_secs:g} s"
            )
        return response

    def _refuse_if_silenced(self) -> None:
        left_secs = self._budget.silence_secs
        if left_secs > 0:
            self.not_sent += 1
            words = f"not sent: the host asks for silence, {left_secs:.0f} s left"
            message = {"code": TOO_MANY_CODE, "msg": words}
            status = self._budget.silence_status
            raise BinanceClientError(status, message, {})  # type: ignore[no-untyped-call]


@contextmanager
def telling_limits() -> Iterator[None]:
    """Let the Binance adapters' clients that are made in the block return the headers about limits.

    As the adapter makes them they return no header at all: who has met a 429 could not know for how long.
    """
    original = vars(binance_http)["HttpClient"]
    with exchanged(binance_http, original, partial(original, header_keys=list(LIMIT_HEADERS))):
        yield


def guard_client(client: Any, budget_of: Callable[[str], HostBudget], warn: Callable[[str], Any]) -> None:
    """Put the gate into a client of an adapter; Bybit's has its own (`runtime.live.bybit_execution`).

    Parameters
    ----------
    client
        Data or execution client of an adapter.
    budget_of
        Gives the budget of the host of an address.
    warn
        See `GuardedClient`.
    """
    if hasattr(client, "share_budget"):
        client.share_budget(budget_of)
        return
    http: Any = getattr(client, "_http_client", None)
    inner = getattr(http, "_client", None)
    # One may serve several clients; what stands in front of Bybit's has another interface.
    if not hasattr(inner, "request") or isinstance(inner, GuardedClient):
        return
    http._client = GuardedClient(inner, budget_of(http.base_url), warn)  # noqa: SLF001 - there is no other place


def follow_clock(client: Any, offset_of: Callable[[], ClockOffset | None]) -> None:
    """Let an adapter stamp signed requests by the venue's clock where ours is certainly wrong.

    The venue refuses what is stamped a second ahead of its clock (-1021), a cancellation like anything else:
    a clock that stepped would leave orders there that nobody can take back. Bybit likewise (10002).

    Parameters
    ----------
    client
        As in `guard_client`.
    offset_of
        Gives the offset as last measured, None before.
    """
    if hasattr(client, "follow_clock"):
        client.follow_clock(offset_of)
        return
    http = getattr(client, "_http_client", None)
    prepare = getattr(http, "_prepare_params", None)
    if http is None or prepare is None or "_prepare_params" in http.__dict__:
        return

    # Endpoints keep `sign_request` from when they were made; what it signs and sends is the dict that it has
    # prepared here.
    def prepare_by_their_clock(params: dict[str, Any]) -> Any:
        offset = offset_of()
        if "timestamp" in params and offset is not None:
            params["timestamp"] = str(int(params["timestamp"]) + offset.shift_ms)
        return prepare(params)

    http._prepare_params = prepare_by_their_clock  # noqa: SLF001 - nothing public lies between


__all__ = ["GuardedClient", "follow_clock", "guard_client", "telling_limits"]
