"""The dead man's switch against a venue that counts down by itself."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.download.budget import HostBudget
from runtime.errors import VenueError
from runtime.live.dead_man import (
    COUNTDOWN_PATH,
    DCP_PATH,
    DCP_QUERY_PATH,
    CountdownPlan,
    UsdmCountdown,
    arm_bybit,
)
from runtime.live.dead_man_actor import their_ms
from runtime.live.dead_man_settings import DeadManSettings
from runtime.live.freshness import NANOS, ClockOffset
from runtime.live.keys import Keys
from runtime.live.signed_calls import SignedCalls

ON = DeadManSettings(binance_usdm=True, bybit=True, window_secs=120, heartbeat_secs=30)
KEYS = Keys(key="test-key", secret="test-secret")
XRP, ADA = "XRPUSDT", "ADAUSDT"


class CountingVenue:
    """Answers countdowns as Binance documents them, checks signatures, and cancels when time is up."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.until_s: dict[str, float] = {}
        self.requests: list[tuple[str, int]] = []
        self.is_away = False
        self.ban_secs = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Take a request."""
        if self.is_away:
            raise httpx.ConnectError("away")
        if self.ban_secs:
            return httpx.Response(418, headers={"Retry-After": str(self.ban_secs)}, json={"code": -1003})
        query = urlsplit(str(request.url)).query
        signed, _, got = query.rpartition("&signature=")
        assert got == hmac.new(b"test-secret", signed.encode(), hashlib.sha256).hexdigest()
        assert request.headers["X-MBX-APIKEY"] == "test-key"
        assert (request.method, request.url.path) == ("POST", COUNTDOWN_PATH)
        plain = dict(parse_qsl(query))
        window_ms = int(plain["countdownTime"])
        self.requests.append((plain["symbol"], window_ms))
        if window_ms:
            self.until_s[plain["symbol"]] = self.now_s + window_ms / 1000
        else:
            self.until_s.pop(plain["symbol"], None)
        return httpx.Response(200, json={"symbol": plain["symbol"], "countdownTime": str(window_ms)})

    def cancelled(self) -> set[str]:
        """Return the symbols whose orders the venue has cancelled by now."""
        return {symbol for symbol, until_s in self.until_s.items() if until_s <= self.now_s}


def calls_to(handler: Callable[[httpx.Request], httpx.Response], **facts: Any) -> SignedCalls:
    """Return signed calls to a venue in this process."""
    return SignedCalls(
        "https://venue.test",
        KEYS,
        transport=httpx.MockTransport(handler),
        now_ms=lambda: 1_773_792_000_000,
        **({"per_window": 2_400} | facts),
    )


def beats(venue: CountingVenue, *steps: tuple[float, set[str], set[str]], dead: Any = ON) -> list[str]:
    """Beat at these times with these resting and held symbols; return the warnings."""
    warnings: list[str] = []

    async def main() -> None:
        calls = calls_to(venue, clock=lambda: venue.now_s)
        countdown = UsdmCountdown(dead, calls, warnings.append)
        for now_s, resting, held in steps:
            venue.now_s = now_s
            await countdown.beat(lambda: venue.now_s, resting, held)
        await calls.close()

    asyncio.run(main())
    return warnings


def test_only_symbols_with_a_resting_entry_are_counted_down() -> None:
    """Armed with the entry, repeated every 30 s, stopped when it is gone."""
    venue = CountingVenue()
    beats(
        venue,
        (0, {XRP}, set()),
        (1, {XRP}, set()),
        (31, {XRP, ADA}, set()),
        (32, {ADA}, set()),
        (33, set(), set()),
        (99, set(), set()),
    )
    assert venue.requests == [(XRP, 120_000), (ADA, 120_000), (XRP, 120_000), (XRP, 0), (ADA, 0)]
    assert venue.cancelled() == set()


def test_a_dead_node_loses_its_entries() -> None:
    """No more beats: the venue cancels after the window, and not before."""
    venue = CountingVenue()
    beats(venue, (0, {XRP}, set()), (30, {XRP}, set()))
    venue.now_s = 149.0
    assert venue.cancelled() == set()
    venue.now_s = 150.0
    assert venue.cancelled() == {XRP}


def test_a_position_stops_the_countdown_of_its_symbol() -> None:
    """Its target is a plain order, and its stop is not known to survive: neither may be taken."""
    venue = CountingVenue()
    beats(venue, (0, {XRP}, set()), (5, {XRP}, {XRP}), (40, {XRP}, {XRP}))
    assert venue.requests == [(XRP, 120_000), (XRP, 0)]
    verified = DeadManSettings(binance_usdm=True, stop_survives=True)
    venue = CountingVenue()
    beats(venue, (0, {XRP}, set()), (5, {XRP}, {XRP}), dead=verified)
    assert venue.requests == [(XRP, 120_000)]


def test_a_stop_that_failed_is_sent_again() -> None:
    """The venue may be counting although its answer was lost: stopped as soon as it answers."""
    venue = CountingVenue()
    warnings: list[str] = []

    async def main() -> None:
        calls = calls_to(venue, clock=lambda: venue.now_s)
        countdown = UsdmCountdown(ON, calls, warnings.append)
        await countdown.beat(lambda: venue.now_s, {XRP}, ())
        venue.is_away = True
        await countdown.stop(lambda: venue.now_s)
        assert countdown.plan.armed == (XRP,)
        venue.is_away = False
        await countdown.stop(lambda: venue.now_s)
        assert countdown.plan.armed == ()
        await calls.close()

    asyncio.run(main())
    assert venue.until_s == {}
    assert len(warnings) == 1


def test_nothing_is_sent_during_a_ban() -> None:
    """F10: after 418 with Retry-After the next requests stay here until it is over."""
    venue = CountingVenue()
    asked: list[float] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(venue.now_s)
        return venue(request)

    async def main() -> None:
        calls = calls_to(handler, clock=lambda: venue.now_s)
        venue.ban_secs = 60
        with pytest.raises(VenueError, match="refuses"):
            await calls.binance(COUNTDOWN_PATH, {"symbol": XRP, "countdownTime": "1000"}, 10)
        venue.ban_secs = 0
        venue.now_s = 59.0
        with pytest.raises(VenueError, match="not sent"):
            await calls.binance(COUNTDOWN_PATH, {"symbol": XRP, "countdownTime": "1000"}, 10)
        venue.now_s = 61.0
        await calls.binance(COUNTDOWN_PATH, {"symbol": XRP, "countdownTime": "1000"}, 10)
        await calls.close()

    asyncio.run(main())
    assert asked == [0.0, 61.0]


def test_a_countdown_and_the_others_of_the_host_know_the_same_of_it() -> None:
    """F10: what one of them meets keeps all of them silent."""
    venue = CountingVenue()
    host = HostBudget(lambda: venue.now_s)

    async def main() -> None:
        calls = calls_to(venue, clock=lambda: venue.now_s, host=host)
        host.limit(30)
        with pytest.raises(VenueError, match="not sent"):
            await calls.binance(COUNTDOWN_PATH, {"symbol": XRP, "countdownTime": "1000"}, 10)
        venue.now_s, venue.ban_secs = 30.0, 60
        with pytest.raises(VenueError, match="refuses"):
            await calls.binance(COUNTDOWN_PATH, {"symbol": XRP, "countdownTime": "1000"}, 10)
        await calls.close()

    asyncio.run(main())
    assert venue.requests == []
    assert (host.silence_secs, host.silence_status) == (60.0, 418)


def test_a_quarter_of_the_limit_is_used() -> None:
    """60 symbols at weight 10 fill 600 of 2,400 per minute: the next ones wait for their beat."""
    venue = CountingVenue()
    symbols = {f"C{number:03}USDT" for number in range(70)}
    warnings = beats(venue, (0, symbols, set()))
    assert len(venue.requests) == 60
    assert len(warnings) == 10


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 40), st.booleans(), st.booleans(), st.booleans()), max_size=40))
def test_whatever_happens_no_exit_is_taken(steps: list[tuple[float, bool, bool, bool]]) -> None:
    """With a position, or without an entry, every countdown that may be running is asked to stop.

    Entries come and go, fills come, answers get lost.
    """
    plan, now_s = CountdownPlan(ON), 0.0
    counting: set[str] = set()
    for wait_secs, rests, holds, answers in steps:
        now_s += wait_secs
        resting, held = ({XRP} if rests else set()), ({XRP} if holds else set())
        due = plan.due(now_s, resting, held)
        asked = {one.symbol: one.window_ms for one in due}
        if holds or not rests:
            assert counting <= set(asked)
            assert all(window_ms == 0 for window_ms in asked.values())
        for one in due:
            plan.sent(one)
            if one.window_ms:
                counting.add(one.symbol)  # also where the answer is lost
            elif answers:
                counting.discard(one.symbol)
            if answers:
                plan.answered(one, now_s)


def test_two_lost_beats_must_not_cancel() -> None:
    """The window holds three of them at least."""
    with pytest.raises(ValueError, match="heartbeat_secs"):
        DeadManSettings(window_secs=60, heartbeat_secs=30)


# -- Bybit ---------------------------------------------------------------------------------------------------

DCP = {
    "switched on": ([{"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "10"}], "armed", 1),
    "switched off": (
        [{"product": "DERIVATIVES", "dcpStatus": "OFF", "timeWindow": "10"}],
        "not available",
        0,
    ),
    "for spot alone": ([{"product": "SPOT", "dcpStatus": "ON", "timeWindow": "10"}], "not available", 0),
    "nothing known": ([], "not available", 0),
}


@pytest.mark.parametrize("case", DCP)
def test_bybit_is_asked_before_it_is_armed(case: str) -> None:
    """What the account does not have is said, not assumed."""
    infos, expected, posts = DCP[case]
    posted: list[Any] = []

    def handler(request: httpx.Request) -> httpx.Response:
        stamp = request.headers["X-BAPI-TIMESTAMP"]
        body = request.content.decode() or urlsplit(str(request.url)).query
        text = f"{stamp}test-key{request.headers['X-BAPI-RECV-WINDOW']}{body}"
        assert (
            request.headers["X-BAPI-SIGN"]
            == hmac.new(b"test-secret", text.encode(), hashlib.sha256).hexdigest()
        )
        if request.url.path == DCP_QUERY_PATH:
            return httpx.Response(200, json={"retCode": 0, "retMsg": "OK", "result": {"dcpInfos": infos}})
        assert request.url.path == DCP_PATH
        posted.append(json.loads(request.content))
        return httpx.Response(200, json={"retCode": 0, "retMsg": "OK", "result": {}})

    state, words = asyncio.run(arm_bybit(calls_to(handler), "linear", ON))
    assert (state, len(posted)) == (expected, posts)
    assert posted in ([], [{"product": "DERIVATIVES", "timeWindow": 120}])
    assert words


def test_bybit_refusing_is_a_word_and_no_crash() -> None:
    """An account without the right to ask: the state says failed."""
    refused = httpx.Response(200, json={"retCode": 10005, "retMsg": "Permission denied", "result": {}})
    state, words = asyncio.run(arm_bybit(calls_to(lambda _request: refused), "spot", ON))
    assert (state, "Permission denied" in words) == ("failed", True)
    assert asyncio.run(arm_bybit(calls_to(lambda _request: refused), "spot", DeadManSettings()))[0] == "off"


def test_a_countdown_is_stamped_by_the_venues_clock_where_ours_is_wrong() -> None:
    """Two seconds off would be refused each time, and nobody would be alive for the venue."""
    offsets = {"BINANCE": ClockOffset(-2 * NANOS, 1_000_000), "BYBIT": ClockOffset(NANOS // 10, 0)}
    now_ms = time.time_ns() // 1_000_000
    assert -2_000 <= their_ms(offsets, "BINANCE") - now_ms < -1_000
    assert 0 <= their_ms(offsets, "BYBIT") - now_ms < 1_000
    assert 0 <= their_ms(offsets, "UNKNOWN") - now_ms < 1_000
