"""The local exchange's control interface: faults by name, trades and orders by hand, its own records."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from tests.venue_simulator.__main__ import parse, serve
from tests.venue_simulator.app import make_app
from tests.venue_simulator.control import FAULTS, Control
from tests.venue_simulator.core import ManualClock
from tests.venue_simulator.limits import Limiter, Window
from tests.venue_simulator.protocol import SymbolTerms
from tests.venue_simulator.streams import frame
from tests.venue_simulator.venue import Venue
from tests.venue_simulator.venues import make_venue

TERMS = SymbolTerms(
    "BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.00001"), Decimal(60_000), Decimal(0)
)
type Post = Callable[..., Awaitable[tuple[int, Any]]]


def control(scenario: Callable[[Post, Venue], Awaitable[None]]) -> None:
    """Run a scenario against the control interface of a Binance spot venue."""

    async def run() -> None:
        venue = make_venue("binance_spot", [TERMS], 0.0)
        app = make_app([venue])
        Control({"binance_spot": venue}, None).add_to(app)
        async with TestServer(app) as server, aiohttp.ClientSession() as session:

            async def post(path: str, **body: Any) -> tuple[int, Any]:
                content = {"venue": "binance_spot"} | body
                async with session.post(server.make_url(f"/ctl/{path}"), json=content) as response:
                    return response.status, await response.json()

            await scenario(post, venue)

    asyncio.run(run())


def test_trade_by_hand_tells_what_it_filled() -> None:
    """A print of chosen size makes the partial fill that a test wants."""

    async def scenario(post: Post, venue: Venue) -> None:
        await post("trade", market="BTCUSDT", side="BUY", qty="1", price="60000")
        order = {"market": "BTCUSDT", "side": "BUY", "type": "LIMIT", "qty": "0.1", "price": "59000"}
        status, placed = await post("order", **order)
        assert (status, placed["status"]) == (200, "NEW")
        _, answer = await post("trade", market="BTCUSDT", side="SELL", qty="0.04", price="59000")
        assert [(fill["qty"], fill["fee"]) for fill in answer["fills"]] == [("0.04000", "0.00004000")]
        _, gone = await post("cancel", order_id=placed["order_id"])
        assert (gone["status"], gone["filled_qty"]) == ("CANCELED", "0.04000")
        assert venue.exchange.accounts["main"].balance("BTC").free == Decimal("0.03996")

    control(scenario)


def test_refusals_and_mistakes_are_answered() -> None:
    """What cannot be done comes back as 400 with one line that says why."""
    mistakes: list[tuple[str, dict[str, Any], str]] = [
        ("fault", {"kind": "meteor"}, "fault 'meteor': one of adl, ban,"),
        ("fault", {"venue": "kraken", "kind": "cut"}, "venue 'kraken': one of"),
        ("trade", {"market": "BTCUSDT", "side": "BUY", "qty": "1", "price": "0.001"}, "no multiple of 0.01"),
        ("cancel", {"order_id": 5}, "unknown_order"),
        ("tape", {"action": "start"}, "there is no tape"),
        ("order", {"market": "BTCUSDT", "side": "BUY", "type": "LIMIT", "qty": "x", "price": "1"}, "Invalid"),
    ]

    async def scenario(post: Post, _venue: Venue) -> None:
        for path, body, words in mistakes:
            status, answer = await post(path, **body)
            assert status == 400
            assert words in answer["error"]

    control(scenario)


def test_faults_reach_their_place() -> None:
    """Each kind changes what it names, and clear ends those that last."""

    async def scenario(post: Post, venue: Venue) -> None:
        async def fault(name: str, /, **args: Any) -> None:
            assert (await post("fault", kind=name, args=args))[0] == 200

        await fault("latency", ms=7)
        await fault("skew", secs=-2)
        await fault("delay", secs=0.5)
        await fault("drop", kind="private.*", count=2)
        await fault("error", endpoint="GET *", status=502)
        await fault("freeze", secs=60)
        await fault("instrument", market="BTCUSDT", tick="0.1", status="BREAK")
        await fault("ban", secs=30)
        faults, market = venue.faults, venue.exchange.markets["BTCUSDT"]
        assert (venue.latency_secs, venue.clock.skew_ns, faults.delay_secs) == (0.007, -2_000_000_000, 0.5)
        assert [(one.action, one.kind, one.count) for one in faults.stream_faults] == [
            ("drop", "private.*", 2)
        ]
        assert [(one.status, one.when) for one in faults.endpoint_faults] == [(502, "before")]
        assert 0 < faults.frozen_secs <= 60
        assert (market.tick, market.status) == (Decimal("0.1"), "BREAK")
        assert venue.limiter.refusal({}) == (418, 30)
        await fault("clear")
        assert (faults.delay_secs, faults.frozen_secs, faults.stream_faults, faults.endpoint_faults) == (
            0,
            0,
            [],
            [],
        )

    control(scenario)
    assert {"cut", "disconnect", "liquidation", "adl", "listen_key_expiry", "rate_limit"} <= FAULTS.keys()


def test_account_and_deposit() -> None:
    """Keys, permissions and money can be changed; a second account has its own."""

    async def scenario(post: Post, venue: Venue) -> None:
        await post("account", name="other", api_key="k", api_secret="s", balances={"USDT": "5"})
        await post("account", can_withdraw=True)
        await post("balance", asset="USDT", amount="-1000")
        accounts = venue.exchange.accounts
        assert (accounts["other"].api_key, accounts["other"].balance("USDT").free) == ("k", 5)
        assert (accounts["main"].can_withdraw, accounts["main"].balance("USDT").free) == (True, 99_000)

    control(scenario)


@pytest.mark.parametrize(
    ("size", "head"), [(5, "8105"), (125, "817d"), (126, "817e007e"), (70_000, "817f0000000000011170")]
)
def test_frame_is_a_text_frame_of_rfc_6455(size: int, head: str) -> None:
    """Final text frame, unmasked, with a length of one, three or nine bytes."""
    text = "x" * size
    assert frame(text) == bytes.fromhex(head) + text.encode()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to trade: give --tape or --market"),
        (["--tape", "nowhere"], "neither `sample`, nor"),
        (["--market", "BTCUSDT:1:1:1", "--venues", "kraken"], "venue kraken: one of binance_spot"),
        (["--market", "BTCXXX:1:1:1"], "its quote currency is none of"),
    ],
)
def test_wrong_command_line_ends_with_one_line(arguments: list[str], words: str) -> None:
    """What is missing or unknown is said before anything listens."""
    with pytest.raises(SystemExit, match=words):
        asyncio.run(serve(parse(["--port", "0", *arguments])))


def test_window_counts_calendar_intervals() -> None:
    """The count starts anew with the interval, not with the first request."""
    second = 1_000_000_000
    window = Window(2, 60)
    assert [window.spend(1, at * second) for at in (58, 59, 59)] == [True, True, False]
    assert window.secs_left(59 * second) == 1
    assert window.spend(1, 60 * second)
    assert window.used == 1


def test_limiter_warns_then_bans() -> None:
    """Patience ends after so many refusals in a row; a ban ends by itself."""
    clock = ManualClock(0)
    limiter = Limiter(clock, {"w": Window(1, 60)}, patience=2, ban_secs=120)
    answers = [limiter.refusal({"w": 1}) for _ in range(5)]
    assert answers == [None, (429, 60), (429, 60), (418, 120), (418, 120)]
    assert limiter.requests_while_banned == 1
    clock.time_ns = 120_000_000_000
    assert limiter.refusal({"w": 1}) is None
