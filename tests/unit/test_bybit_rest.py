"""Signed requests to Bybit by a clock that may be wrong, within limits and silent during a ban."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from runtime.live.bybit_rest import (
    BAN_SECS,
    BybitRest,
    RefusedError,
    UnknownOutcomeError,
    UnreachableError,
)
from runtime.live.freshness import NANOS, ClockOffset

OUR_MS = 1_700_000_000_000
WINDOW_MS, AHEAD_MS = 5_000, 1_000


class Bybit:
    """What answers: it refuses stamps that are off, and what it is told to.

    Parameters
    ----------
    skew_ms
        Its clock minus ours.
    """

    def __init__(self, skew_ms: int = 0) -> None:
        self.skew_ms = skew_ms
        self.asked: list[httpx.Request] = []
        self.answers: list[httpx.Response] = []
        self.times_told = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        now_ms = OUR_MS + self.skew_ms
        if request.url.path == "/v5/market/time":
            self.times_told += 1
            return httpx.Response(200, json={"retCode": 0, "result": {"timeNano": str(now_ms * 1_000_000)}})
        self.asked.append(request)
        if self.answers:
            return self.answers.pop(0)
        stamp_ms = int(request.headers["X-BAPI-TIMESTAMP"])
        if not now_ms - WINDOW_MS <= stamp_ms < now_ms + AHEAD_MS:
            return httpx.Response(
                200, json={"retCode": 10002, "retMsg": "invalid request, please check your server timestamp"}
            )
        return httpx.Response(200, json={"retCode": 0, "result": {"orderId": "1"}})

    def rest(self) -> BybitRest:
        """Return a client of it."""
        transport = httpx.MockTransport(self)
        return BybitRest("http://venue", "key", "secret", transport=transport, now_ms=lambda: OUR_MS)


def offset(secs: float) -> ClockOffset:
    """Return a venue's clock that is so far ahead of ours, measured to 10 ms."""
    return ClockOffset(round(secs * NANOS), 10_000_000)


@pytest.mark.parametrize("skew_ms", [-2_000, 7_000])
def test_an_order_is_stamped_by_the_venues_clock_where_ours_is_wrong(skew_ms: int) -> None:
    """As measured before: the first attempt is taken."""
    venue = Bybit(skew_ms)
    rest = venue.rest()
    rest.follow_clock(lambda: offset(skew_ms / 1000))
    asyncio.run(rest.post("/v5/order/create", {"qty": "1"}))
    (request,) = venue.asked
    assert int(request.headers["X-BAPI-TIMESTAMP"]) == OUR_MS + skew_ms
    assert json.loads(request.content) == {"qty": "1"}
    assert venue.times_told == 0


def test_a_step_that_nobody_has_measured_yet_is_learned_from_the_refusal() -> None:
    """A refused stamp did nothing: the time is asked for, and the order is sent once more."""
    venue = Bybit(-2_000)
    rest = venue.rest()
    asyncio.run(rest.post("/v5/order/create", {"qty": "1"}))
    stamps = [int(one.headers["X-BAPI-TIMESTAMP"]) for one in venue.asked]
    assert stamps == [OUR_MS, OUR_MS - 2_000]
    asyncio.run(rest.get("/v5/order/realtime", {}))
    assert len(venue.asked) == 3
    assert venue.times_told == 1


def test_a_clock_that_is_right_enough_is_left_alone() -> None:
    """The venue takes what is half a second ahead; a newer measurement replaces what a refusal taught."""
    venue = Bybit(-2_000)
    rest = venue.rest()
    measured: list[ClockOffset] = []
    rest.follow_clock(lambda: measured[-1] if measured else None)
    asyncio.run(rest.post("/v5/order/create", {}))
    assert rest.shift_ms == -2_000
    measured.append(offset(-0.4))
    assert rest.shift_ms == 0


def test_a_stamp_that_is_refused_for_ever_is_a_refusal() -> None:
    """No loop of refused stamps: the venue says no twice, and that is it."""
    venue = Bybit()
    refused = {"retCode": 10002, "retMsg": "no"}
    venue.answers = [httpx.Response(200, json=refused) for _ in range(5)]
    with pytest.raises(RefusedError, match="10002"):
        asyncio.run(venue.rest().post("/v5/order/create", {}))
    assert len(venue.asked) == 2


def test_nothing_leaves_while_the_address_is_banned() -> None:
    """403: the vendor wants ten minutes of silence; what is not sent was refused, its outcome is certain."""
    venue = Bybit()
    rest = venue.rest()
    venue.answers = [httpx.Response(403, json={"ret_msg": "access too frequent"})]
    with pytest.raises(RefusedError):
        asyncio.run(rest.get("/v5/execution/list", {}))
    assert BAN_SECS - 5 < rest.budget.ban_secs <= BAN_SECS
    for call in (rest.get("/v5/execution/list", {}), rest.post("/v5/order/create", {})):
        with pytest.raises(RefusedError, match="not sent"):
            asyncio.run(call)
    assert len(venue.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(503, json={"retCode": 10016, "retMsg": "Internal error"}),
        httpx.Response(200, json={"retCode": 10000, "retMsg": "Server Timeout"}),
        httpx.Response(502, text="<html>"),
    ],
)
def test_an_error_of_the_server_says_nothing_about_the_order(answer: Any) -> None:
    """It may have been taken: never sent again here."""
    venue = Bybit()
    venue.answers = [answer]
    with pytest.raises(UnknownOutcomeError):
        asyncio.run(venue.rest().post("/v5/order/create", {}))
    assert len(venue.asked) == 1


def test_what_finds_no_connection_never_left() -> None:
    """It may be sent again without a thought; a connection that broke in the middle leaves it open."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    def break_off(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("reset", request=request)

    for answer, error in ((refuse, UnreachableError), (break_off, UnknownOutcomeError)):
        rest = BybitRest("http://venue", "key", "secret", transport=httpx.MockTransport(answer))
        with pytest.raises(error):
            asyncio.run(rest.post("/v5/order/create", {}))
