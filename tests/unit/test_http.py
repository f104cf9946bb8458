"""The HTTP client against a real server on loopback: what it retries, what it refuses, how it waits."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from runtime.download.budget import HostBudget, reset_secs, retry_after_secs
from runtime.download.http import Http, Interrupted, NotFound, Refused
from runtime.errors import VenueError
from runtime.settings import DownloadSettings
from tests.local_server import Fault, LocalServer, Reply, local_server

FINE: Reply = (200, {}, b'{"price": "1.25"}')


class FakeClock:
    """Time that passes only by sleeping; remembers each sleep."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, secs: float) -> None:
        self.sleeps.append(secs)
        self.now += secs
        await asyncio.sleep(0)


@pytest.fixture
def server() -> Iterator[LocalServer]:
    """Run a server that answers everything with a small JSON object."""
    with local_server(lambda _path, _query: FINE) as local:
        yield local


def run[T](
    use: Callable[[Http], Awaitable[T]], clock: FakeClock | None = None, **settings: float
) -> tuple[T, FakeClock]:
    """Use a client with fake time and few, known pauses; return the result and the clock."""
    clock = clock or FakeClock()
    chosen = {"retries": 3, "timeout_secs": 5.0, "budget_ratio": 1.0} | settings

    async def main() -> T:
        async with Http(DownloadSettings(**chosen), sleep=clock.sleep, clock=clock) as http:  # type: ignore[arg-type]
            return await use(http)

    return asyncio.run(main()), clock


PASSING: dict[str, tuple[Reply | Fault, str]] = {
    "server error": ((500, {}, b"oops"), "server error 500"),
    "bad gateway": ((502, {}, b""), "server error 502"),
    "connection reset": (Fault("reset"), "connection reset|truncated answer"),
    "truncated body": (Fault("truncate"), "truncated answer"),
    "no JSON": ((200, {}, b'{"price": "1.'), "no JSON"),
    "no byte in time": (Fault("slow"), "timeout"),
    "429 without Retry-After": ((429, {}, b""), "429"),
}


@pytest.mark.parametrize(("fault", "cause"), PASSING.values(), ids=PASSING.keys())
def test_what_passes_is_tried_again(server: LocalServer, fault: Reply | Fault, cause: str) -> None:
    """Each passing fault costs one pause, and the answer is the right one."""
    server.script.extend([fault, fault])
    answer, clock = run(lambda http: http.get_json(f"{server.address}/x"), timeout_secs=0.3)
    assert answer == {"price": "1.25"}
    assert len(server.requests) == 3
    assert [0.5 <= clock.sleeps[0] <= 0.75, 1.0 <= clock.sleeps[1] <= 1.5] == [True, True]


@pytest.mark.parametrize(("fault", "cause"), PASSING.values(), ids=PASSING.keys())
def test_what_does_not_pass_ends_in_a_clear_error(
    server: LocalServer, fault: Reply | Fault, cause: str
) -> None:
    """The error names the address, the last cause and the attempts."""
    server.script.extend([fault] * 2)
    with pytest.raises(VenueError, match=rf"/x\S*: .*({cause}).*; gave up after 2 attempts"):
        run(lambda http: http.get_json(f"{server.address}/x"), retries=1, timeout_secs=0.2)
    assert len(server.requests) == 2


def test_pauses_grow_up_to_their_limit(server: LocalServer) -> None:
    """Backoff doubles, is capped, and never has less than its base or more than half again."""
    server.script.extend([(500, {}, b"")] * 6)
    _, clock = run(
        lambda http: http.get_json(server.address), retries=6, backoff_secs=1.0, backoff_max_secs=8.0
    )
    for slept, base in zip(clock.sleeps, [1, 2, 4, 8, 8, 8], strict=True):
        assert base <= slept <= 1.5 * base


def test_nobody_listens_is_said() -> None:
    """A refused connection is retried, then named."""
    with local_server(lambda _path, _query: FINE) as server:
        address = server.address
    with pytest.raises(VenueError, match=r"no connection .*; gave up after 2 attempts"):
        run(lambda http: http.get_json(address), retries=1)


def test_missing_file_is_its_own_error(server: LocalServer) -> None:
    """404 is an answer: not retried, and callers can tell it apart."""
    server.script.append((404, {}, b"<Error/>"))
    with pytest.raises(NotFound, match="/absent"):
        run(lambda http: http.get_text(f"{server.address}/absent"))
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 403, 451])
def test_refusal_carries_what_the_host_said(server: LocalServer, status: int) -> None:
    """A 4xx is not retried; its code and body reach the caller."""
    server.script.append((status, {}, b'{"code":-1121,"msg":"Invalid symbol."}'))
    with pytest.raises(Refused, match="Invalid symbol") as caught:
        run(lambda http: http.get_json(server.address))
    assert (caught.value.status, '"code":-1121' in caught.value.body) == (status, True)
    assert len(server.requests) == 1


def test_retry_after_holds_all_requests_to_that_host(server: LocalServer) -> None:
    """After a 429 nobody sends before Retry-After is over, whoever got it."""
    server.script.append((429, {"Retry-After": "7"}, b""))
    times: list[float] = []

    async def use(http: Http) -> None:
        await http.get_json(server.address)
        times.append(clock.now)
        await http.get_json(server.address)

    clock = FakeClock()
    run(use, clock)
    assert times == [1007.0]
    assert sum(clock.sleeps) == 7.0

    server.script.append((429, {"Retry-After": "7"}, b""))
    clock = FakeClock()

    async def blocked_by_another(http: Http) -> float:
        with pytest.raises(VenueError):
            await http.get_json(server.address)
        await http.get_json(server.address)
        return clock.now

    assert run(blocked_by_another, clock, retries=0)[0] == 1007.0


def test_429_without_retry_after_holds_all_requests_too(server: LocalServer) -> None:
    """One worker's 429 pauses the host for everybody: the others would earn the ban."""
    server.script.append((429, {}, b""))
    clock = FakeClock()

    async def use(http: Http) -> list[float]:
        with pytest.raises(VenueError, match="429"):
            await http.get_json(server.address)
        held = [http.budget(server.address).wait_secs(1)]
        await http.get_json(server.address)
        return [*held, clock.now - 1000.0]

    (held, passed), _ = run(use, clock, retries=0, backoff_secs=4.0)
    assert 4.0 <= held <= 6.0
    assert passed == pytest.approx(held)


def test_a_wait_that_is_too_long_ends_the_command(server: LocalServer) -> None:
    """An hour of Retry-After is reported, not slept."""
    server.script.append((429, {"Retry-After": "3600"}, b""))
    with pytest.raises(VenueError, match="asks to wait 3600 s"):
        run(lambda http: http.get_json(server.address))
    assert len(server.requests) == 1


def test_a_ban_stops_everything_to_that_host_at_once(server: LocalServer) -> None:
    """After 418 not one request more goes out, and the error says until when."""
    server.script.append((418, {"Retry-After": "300"}, b"banned"))

    async def use(http: Http) -> list[BaseException | None]:
        return [await _error_of(http.get_json(server.address)) for _ in range(3)]

    errors, clock = run(use)
    assert all(
        isinstance(error, VenueError) and "has banned this address (418) until 2" in str(error)
        for error in errors
    )
    assert len(server.requests) == 1
    assert clock.sleeps == []


def test_a_ban_reaches_requests_that_were_waiting(server: LocalServer) -> None:
    """A request that waits for its turn when the ban comes is never sent."""
    server.script.append((418, {"Retry-After": "300"}, b""))

    async def use(http: Http) -> list[BaseException | None]:
        requests = [asyncio.ensure_future(_error_of(http.get_json(server.address))) for _ in range(5)]
        return list(await asyncio.gather(*requests))

    errors, _ = run(use, connections=1)
    assert all(isinstance(error, VenueError) for error in errors)
    assert len(server.requests) == 1


async def _error_of(request: Awaitable[object]) -> BaseException | None:
    try:
        await request
    except VenueError as error:
        return error
    return None


def test_used_weight_of_the_host_is_obeyed(server: LocalServer) -> None:
    """Near the limit the next request waits for the host's next minute, told by its Date."""
    header = {"X-MBX-USED-WEIGHT-1M": "90", "Date": "Wed, 18 Mar 2026 10:00:48 GMT"}
    server.script.append((200, header, b"{}"))

    async def use(http: Http) -> None:
        http.allow(server.address, 100)
        await http.get_json(server.address, weight=2)
        await http.get_json(server.address, weight=20)

    _, clock = run(use)
    assert clock.sleeps == [12.0]


@pytest.mark.parametrize(
    ("date", "waited"),
    [("Thu, 01 Jan 1970 00:00:48 GMT", 12.0), ("Fri, 31 Dec 9999 23:59:48 GMT", 12.0), ("yesterday", 60.0)],
)
def test_wrong_clock_of_the_host_costs_at_most_a_minute(
    server: LocalServer, date: str, waited: float
) -> None:
    """Only the seconds of its Date are used; without a readable one a whole window is waited."""
    server.script.append((200, {"X-MBX-USED-WEIGHT-1M": "90", "Date": date}, b"{}"))

    async def use(http: Http) -> None:
        http.allow(server.address, 100)
        await http.get_json(server.address, weight=2)
        await http.get_json(server.address, weight=20)

    _, clock = run(use)
    assert clock.sleeps == [waited]


def test_parallel_requests_share_the_budget(server: LocalServer) -> None:
    """Where the host reports nothing our own requests count: 10 of weight 5 take three windows of 20."""

    async def use(http: Http) -> None:
        http.allow(server.address, 20, 5.0)
        await asyncio.gather(*(http.get_json(server.address, weight=5) for _ in range(10)))

    _, clock = run(use)
    assert len(server.requests) == 10
    assert clock.now == pytest.approx(1010.0)


def test_stream_goes_on_from_an_offset(server: LocalServer) -> None:
    """The Range header asks for the rest, and 206, 200 and 416 are left to the caller."""
    server.script.extend(
        [(206, {}, b"cd"), (200, {}, b"abcd"), (416, {}, b""), (503, {}, b""), (200, {}, b"ab")]
    )

    async def read(http: Http, offset: int) -> tuple[int, bytes]:
        async with http.stream(f"{server.address}/f.zip", offset=offset) as response:
            return response.status_code, b"".join([part async for part in response.aiter_raw()])

    async def use(http: Http) -> list[tuple[int, bytes]]:
        return [await read(http, offset) for offset in (2, 2, 4, 0)]

    assert run(use)[0] == [(206, b"cd"), (200, b"abcd"), (416, b""), (200, b"ab")]
    assert server.ranges == ["bytes=2-", "bytes=2-", "bytes=4-", None, None]


def test_stream_that_breaks_off_says_so(server: LocalServer) -> None:
    """A truncated body is Interrupted, so that the caller can go on from its last byte."""
    server.script.append(Fault("truncate"))

    got = bytearray()

    async def use(http: Http) -> None:
        async with http.stream(f"{server.address}/f.zip") as response:
            async for part in response.aiter_raw():
                got.extend(part)

    with pytest.raises(Interrupted, match="truncated answer"):
        run(use)
    assert got == FINE[2][: len(FINE[2]) // 2]


def test_stream_gives_its_place_back(server: LocalServer) -> None:
    """With one connection, requests and streams follow each other without waiting for ever."""
    server.script.extend([FINE, (404, {}, b""), FINE] * 3)

    async def opened(http: Http) -> int:
        async with http.stream(server.address) as response:
            return response.status_code

    async def use(http: Http) -> None:
        for _ in range(3):
            assert await opened(http) == 200
            assert isinstance(await _error_of(opened(http)), NotFound)
            await http.get_json(server.address)

    run(use, connections=1)
    assert len(server.requests) == 9


RETRY_AFTER: dict[str, tuple[dict[str, str], float | None]] = {
    "seconds": ({"retry-after": "12"}, 12.0),
    "a date, against the host's own clock": (
        {"retry-after": "Wed, 18 Mar 2026 10:02:00 GMT", "date": "Wed, 18 Mar 2026 10:01:30 GMT"},
        30.0,
    ),
    "a date in the past": (
        {"retry-after": "Wed, 18 Mar 2026 10:00:00 GMT", "date": "Wed, 18 Mar 2026 10:01:30 GMT"},
        0.0,
    ),
    "a date without a clock to read it by": ({"retry-after": "Wed, 18 Mar 2026 10:02:00 GMT"}, None),
    "absent": ({}, None),
    "nonsense": ({"retry-after": "soon"}, None),
    "not finite": ({"retry-after": "inf"}, None),
}


@pytest.mark.parametrize(("headers", "secs"), RETRY_AFTER.values(), ids=RETRY_AFTER.keys())
def test_retry_after_in_its_forms(headers: dict[str, str], secs: float | None) -> None:
    """Retry-After is seconds or a date; whatever else it holds is ignored."""
    assert retry_after_secs(headers) == secs


def test_bybit_reset_is_read_by_the_hosts_clock() -> None:
    """The reset is a server time: a local clock that is wrong by years changes nothing."""
    date = {"date": "Thu, 01 Jan 1970 00:00:10 GMT"}
    assert reset_secs({**date, "x-bapi-limit-reset-timestamp": "11500"}) == 1.5
    assert reset_secs({**date, "x-bapi-limit-reset-timestamp": "9000"}) == 0.0
    assert reset_secs({**date, "x-bapi-limit-reset-timestamp": "1900000000000"}) == 5.0
    assert reset_secs({}) == 1.0


def test_bybit_without_requests_left_waits() -> None:
    """Limit-Status 0 blocks until the reset."""
    clock = FakeClock()
    budget = HostBudget(clock)
    budget.sent(1)
    budget.answered(
        1,
        {
            "date": "Thu, 01 Jan 1970 00:00:10 GMT",
            "x-bapi-limit-status": "0",
            "x-bapi-limit-reset-timestamp": "12000",
        },
    )
    assert budget.wait_secs(1) == 2.0


def test_answers_that_overtake_each_other_do_not_lower_the_count() -> None:
    """Within one minute the highest used weight counts; the next minute begins anew."""
    clock = FakeClock()
    budget = HostBudget(clock)
    budget.allow(100)
    for used, date in ((90, "10:00:05"), (80, "10:00:06")):
        budget.sent(1)
        budget.answered(1, {"x-mbx-used-weight-1m": str(used), "date": f"Wed, 18 Mar 2026 {date} GMT"})
    assert budget.wait_secs(15) == 54.0
    budget.sent(1)
    budget.answered(1, {"x-mbx-used-weight-1m": "3", "date": "Wed, 18 Mar 2026 10:01:00 GMT"})
    assert budget.wait_secs(15) == 0.0


def test_heavy_request_goes_alone_rather_than_never() -> None:
    """A request heavier than the whole share is sent once nothing else was."""
    clock = FakeClock()
    budget = HostBudget(clock, ratio=0.5)
    budget.allow(100)
    assert budget.wait_secs(80) == 0.0
    budget.sent(80)
    assert budget.wait_secs(80) == 60.0


def test_a_share_and_what_it_leaves() -> None:
    """Half of the limit by itself, more for a while where that is wanted; the reserved rest is all of it."""
    budget = HostBudget(lambda: 10.0, 0.5)
    budget.allow(100)
    assert budget.wait_secs(50) == 0.0
    budget.sent(50)
    assert (budget.wait_secs(1) > 0, budget.wait_secs(1, is_reserved=True)) == (True, 0.0)
    with budget.share(0.8), budget.share(0.3):
        assert budget.wait_secs(30) == 0.0
        assert budget.wait_secs(31) > 0
    assert budget.wait_secs(1) > 0
    budget.sent(50)
    assert budget.wait_secs(1, is_reserved=True) > 0
