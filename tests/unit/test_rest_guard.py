"""The gate in front of an adapter's REST client: silence during a ban, and room for orders."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from nautilus_trader.adapters.binance.common.enums import BinanceAccountType
from nautilus_trader.adapters.binance.futures.http.account import BinanceFuturesAccountHttpAPI
from nautilus_trader.adapters.binance.http.client import BinanceHttpClient
from nautilus_trader.adapters.binance.http.error import BinanceClientError
from nautilus_trader.common.component import LiveClock
from nautilus_trader.core.nautilus_pyo3 import HttpMethod

from runtime.download.budget import HostBudget
from runtime.download.http import Http
from runtime.errors import VenueError
from runtime.live.freshness import ClockOffset
from runtime.live.rest_guard import GuardedClient, follow_clock, guard_client, telling_limits
from runtime.settings import DownloadSettings
from tests.local_server import LocalServer, local_server


@pytest.fixture
def local_http() -> Iterator[tuple[LocalServer, Http]]:
    """Give a host of a script and our public client, which tries nothing twice."""
    with local_server(lambda _path, _query: (200, {}, b"{}")) as server:
        yield server, Http(DownloadSettings(retries=0))


URL = "https://venue.example/fapi/v1/order"


class Host:
    """Answers with a status and headers, and keeps what reached it."""

    def __init__(self) -> None:
        self.status, self.headers = 200, {"X-Mbx-Used-Weight-1m": "10"}
        self.seen: list[Any] = []

    async def request(self, method: Any, url: str, **_options: Any) -> Any:
        """Answer one request."""
        self.seen.append(method)
        assert url.startswith(URL)
        return SimpleNamespace(status=self.status, headers=self.headers, body=b"{}")


class Clock:
    """Time that a test moves, and that sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, secs: float) -> None:
        """Let time pass."""
        self.now_s += secs


def guarded() -> tuple[GuardedClient, Host, Clock, list[str]]:
    """Return a gate with a limit of 100 per minute, of which questions may use 80."""
    host, clock = Host(), Clock()
    said: list[str] = []
    budget = HostBudget(clock, 0.8)
    budget.allow(100)
    return GuardedClient(host, budget, said.append, clock.sleep), host, clock, said


@pytest.mark.parametrize("status", [418, 429])
def test_nothing_is_sent_before_the_time_that_the_host_named(status: int) -> None:
    """F10: the refusal passes on; then nothing reaches the host until Retry-After is over, cancels too."""
    client, host, clock, said = guarded()
    host.status, host.headers = status, {"Retry-After": "30"}

    async def run() -> None:
        assert (await client.request(HttpMethod.GET, URL)).status == status
        for method in (HttpMethod.GET, HttpMethod.POST, HttpMethod.DELETE):
            with pytest.raises(BinanceClientError, match="not sent") as refused:
                await client.request(method, URL)
            assert refused.value.status == status
        clock.now_s += 30.1
        host.status, host.headers = 200, {}
        assert (await client.request(HttpMethod.DELETE, URL)).status == 200

    asyncio.run(run())
    assert len(host.seen) == 2
    assert client.not_sent == 3
    assert len(said) == 1


@pytest.mark.parametrize("status", [418, 429])
def test_what_our_own_questions_meet_keeps_the_adapter_silent(
    status: int, local_http: tuple[LocalServer, Http]
) -> None:
    """F10: our look at the clock met the limit; neither a cancellation nor a look of the adapter follows."""
    server, http = local_http
    server.script.append((status, {"Retry-After": "30"}, b""))
    host, said = Host(), list[str]()
    client = GuardedClient(host, http.budget(server.address), said.append)

    async def run() -> None:
        with pytest.raises(VenueError):
            await http.get_json(f"{server.address}/time")
        for method in (HttpMethod.GET, HttpMethod.POST, HttpMethod.DELETE):
            with pytest.raises(BinanceClientError, match="not sent") as refused:
                await client.request(method, URL)
            assert refused.value.status == status

    asyncio.run(run())
    assert host.seen == []
    assert client.not_sent == 3


@pytest.mark.parametrize("status", [418, 429])
def test_what_the_adapter_meets_keeps_our_own_questions_back(status: int) -> None:
    """F10: a question may wait for the end of a limit, so that it goes on by itself; a ban it does not."""
    client, host, clock, _said = guarded()
    host.status, host.headers = status, {"Retry-After": "30"}
    budget = client._budget
    asyncio.run(client.request(HttpMethod.DELETE, URL))
    assert budget.silence_secs == 30.0
    assert (budget.ban_secs, budget.wait_secs(1)) == ((30.0, 0.0) if status == 418 else (0.0, 30.0))
    clock.now_s += 30.0
    assert budget.silence_secs == budget.wait_secs(1) == 0.0


def test_the_last_of_the_budget_is_for_orders_and_cancels() -> None:
    """Above the share a question waits for the next minute; what changes orders goes at once."""
    client, host, clock, _said = guarded()

    async def run() -> list[float]:
        times = []
        host.headers = {"x-mbx-used-weight-1m": "80"}
        await client.request(HttpMethod.GET, URL)
        for method in (HttpMethod.DELETE, HttpMethod.POST, HttpMethod.GET):
            await client.request(method, URL)
            times.append(clock.now_s - 1000.0)
        return times

    cancelled, placed, asked = asyncio.run(run())
    assert cancelled == placed == 0.0
    assert asked > 0.0


@pytest.mark.parametrize(("query", "longest_secs"), [("?limit=5", 60.0), ("?timestamp=1&signature=ab", 2.0)])
def test_a_signed_question_does_not_wait_until_it_is_too_old(query: str, longest_secs: float) -> None:
    """Where the budget is spent: the venue refuses what was stamped more than five seconds ago."""
    client, host, clock, _ = guarded()

    host.headers = {"x-mbx-used-weight-1m": "80"}

    async def run() -> None:
        await client.request(HttpMethod.GET, URL)
        await client.request(HttpMethod.GET, URL + query)

    asyncio.run(run())
    assert 0 < clock.now_s - 1000.0 <= longest_secs
    assert host.seen[-1] == HttpMethod.GET


def test_a_client_is_guarded_once_and_others_are_left_alone() -> None:
    """Data and execution client of one account share their REST client; Bybit's has no Python side."""
    budget = HostBudget(Clock())
    http = SimpleNamespace(base_url="https://venue.example", _client=Host())
    data, execution = SimpleNamespace(_http_client=http), SimpleNamespace(_http_client=http)
    in_rust = SimpleNamespace(_client=object())  # our Bybit client counts what fails in front of it
    for one in (
        data,
        execution,
        SimpleNamespace(_http_client=in_rust),
        SimpleNamespace(_http_client=object()),
    ):
        guard_client(one, lambda _address: budget, print)
    assert not isinstance(in_rust._client, GuardedClient)
    assert isinstance(http._client, GuardedClient)
    assert isinstance(http._client._inner, Host)


def test_requests_are_stamped_by_the_venues_clock_where_ours_stepped() -> None:
    """F11: two seconds ahead would be refused (-1021), a cancellation too; small offsets change nothing."""
    sent: list[dict[str, str]] = []

    class Wire:
        async def request(self, _method: Any, url: str, **_options: Any) -> Any:
            sent.append(dict(parse_qsl(urlsplit(url).query)))
            return SimpleNamespace(status=200, body=b"[]", headers={})

    http = BinanceHttpClient(LiveClock(), "key", "secret", "https://venue.example")
    http._client = cast("Any", Wire())
    # The adapter's endpoints are there before the node knows the offset.
    account = BinanceFuturesAccountHttpAPI(http, LiveClock(), BinanceAccountType.USDT_FUTURES)
    client = SimpleNamespace(_http_client=http)
    offsets = [None, ClockOffset(-2_000_000_000, 5_000_000), ClockOffset(-300_000_000, 5_000_000)]
    asked = iter(offsets)
    follow_clock(client, lambda: next(asked))
    follow_clock(client, lambda: None)  # the second client of the account changes nothing

    async def run() -> list[float]:
        early_ms = []
        for _ in offsets:
            before_ms = LiveClock().timestamp_ms()
            await account.query_open_orders("BTCUSDT")
            early_ms.append(before_ms - int(sent[-1]["timestamp"]))
        return early_ms

    unknown, stepped, small = asyncio.run(run())
    assert stepped - unknown > 1_000
    assert abs(small - unknown) < 1_000
    # The signature is that of what was sent.
    for query in sent:
        signature = query.pop("signature")
        assert signature == http._get_sign(urlencode(query))


def test_a_client_of_another_interface_is_left_alone() -> None:
    """What the node puts in front of Bybit's client keeps it where Binance's adapter keeps its own."""
    inner = SimpleNamespace(cache_instrument=lambda _one: None)
    client = SimpleNamespace(_http_client=SimpleNamespace(_client=inner))
    guard_client(client, lambda _url: HostBudget(Clock(), 0.8), lambda _text: None)
    assert client._http_client._client is inner


def test_clients_that_a_node_makes_return_what_the_host_says_about_limits() -> None:
    """As the adapter makes them they drop every header, and each pause would be the longest."""
    headers = {"Retry-After": "12", "X-MBX-USED-WEIGHT-1M": "77", "X-MBX-ORDER-COUNT-10S": "3", "Server": "x"}

    async def headers_of(address: str) -> dict[str, str]:
        client = BinanceHttpClient(LiveClock(), "", "", address)
        return dict((await client._client.request(HttpMethod.GET, url=address)).headers)

    with local_server(lambda _path, _query: (429, headers, b"{}")) as server:
        with telling_limits():
            told = asyncio.run(headers_of(server.address))
        untold = asyncio.run(headers_of(server.address))
    found = {name.lower(): value for name, value in told.items()}
    assert found.pop("date")  # when their minute is over
    assert found == {"retry-after": "12", "x-mbx-used-weight-1m": "77", "x-mbx-order-count-10s": "3"}
    assert untold == {}
