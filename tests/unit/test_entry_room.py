"""Entries end below a venue's limits, and exits never: what is counted, and what is left."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.model.identifiers import Venue

from runtime.download.binance_rest import BinanceRest
from runtime.download.budget import HostBudget
from runtime.download.http import Http
from runtime.download.order_window import OrderWindow
from runtime.live.entry_room import EntryRoom, RecentOrders, entry_room
from runtime.live.intents import EntryBarrier, IntentSync
from runtime.live.settings import LiveVenue
from runtime.settings import DownloadSettings, HostSettings
from tests.local_server import local_server
from tests.unit.test_intents import Client
from tests.unit.test_rest_guard import Clock

# A moment at which an interval of ten seconds and a minute begin, and how a host writes it.
DATE: int = 1_699_999_980
USED, ORDERS_10S, ORDERS_1M = "x-mbx-used-weight-1m", "x-mbx-order-count-10s", "x-mbx-order-count-1m"


def date(secs: int) -> str:
    """Return the host's date so many seconds after the moment."""
    minutes, secs = divmod(secs, 60)
    return f"Tue, 14 Nov 2023 22:{13 + minutes:02d}:{secs:02d} GMT"


def told(budget: HostBudget, secs: int, **counts: int) -> None:
    """Let a host answer at a date; names of counts with underscores."""
    headers = {f"x-mbx-{name.replace('_', '-')}": str(value) for name, value in counts.items()}
    budget.sent(1)
    budget.answered(1, {USED: "0", "date": date(secs), **headers})


def budget_of(clock: Clock) -> HostBudget:
    """Return a budget of 100 weight a minute, 10 orders in ten seconds and 30 in a minute."""
    budget = HostBudget(clock, 0.5)
    budget.allow(100)
    budget.allow_orders(10, 10.0)
    budget.allow_orders(30, 60.0)
    return budget


# -- the budget's question -----------------------------------------------------------------------------------


def test_a_host_without_limits_is_never_crowded() -> None:
    """As one that nobody has told the limits of."""
    budget = HostBudget(Clock())
    budget.sent(10_000)
    budget.order_sent()
    assert budget.crowded(0.8, 0.5) == ""


@pytest.mark.parametrize(("used", "in_flight", "is_crowded"), [(78, 1, False), (79, 1, True), (95, 0, True)])
def test_weight_is_what_the_venue_counted_and_what_is_on_its_way(
    used: int, in_flight: int, is_crowded: bool
) -> None:
    """Beyond its share; questions wait much earlier."""
    budget = budget_of(Clock())
    told(budget, 0, used_weight_1m=used)
    budget.sent(in_flight)
    assert bool(budget.crowded(0.8, 0.5)) is is_crowded
    assert budget.wait_secs(1) > 0
    assert budget.wait_secs(1, is_reserved=True) == 0 or used + in_flight >= 100


def test_weight_is_forgotten_when_the_venue_counts_anew() -> None:
    """By its clock: the answer came 45 seconds into its minute."""
    clock = Clock()
    budget = budget_of(clock)
    told(budget, 45, used_weight_1m=99)
    clock.now_s += 14.9
    assert budget.crowded(0.8, 0.5) == "weight 99 of 100 in 60 s"
    clock.now_s += 0.2
    assert budget.crowded(0.8, 0.5) == ""


def test_orders_are_counted_when_they_leave() -> None:
    """No answer has come yet; the interval ends by itself."""
    clock = Clock()
    budget = budget_of(clock)
    for _ in range(5):
        assert budget.crowded(0.8, 0.5) == ""
        budget.order_sent()
    assert budget.crowded(0.8, 0.5) == "5 of 10 orders in 10 s"
    clock.now_s += 10
    assert budget.crowded(0.8, 0.5) == ""


def test_orders_of_others_count_when_the_venue_tells() -> None:
    """Those of another program on the account, or of this one before it was started again."""
    clock = Clock()
    budget = budget_of(clock)
    told(budget, 3, order_count_10s=4, order_count_1m=15)
    assert budget.crowded(0.8, 0.5) == "15 of 30 orders in 60 s"
    clock.now_s += 57
    assert budget.crowded(0.8, 0.5) == ""


def test_a_limit_of_orders_may_change() -> None:
    """The count goes on."""
    budget = budget_of(Clock())
    budget.order_sent()
    budget.allow_orders(2, 10.0)
    assert budget.crowded(0.8, 0.5) == "1 of 2 orders in 10 s"


# -- intervals -----------------------------------------------------------------------------------------------


def test_what_is_on_its_way_is_not_forgotten_for_an_answer() -> None:
    """Three have left; the answer to the first knows of one."""
    window = OrderWindow(10, 10.0)
    for _ in range(3):
        window.sent(0.0)
    for answered in (1, 2):
        window.told(answered, DATE, 0.1)
        assert window.used(0.1) == 3
    window.told(1, DATE + 10, 5.0)
    assert window.used(5.0) == 1


def test_an_answer_of_the_interval_before_is_not_believed() -> None:
    """It was overtaken."""
    window = OrderWindow(10, 10.0)
    window.told(1, DATE + 10, 0.0)
    window.told(9, DATE + 9, 0.0)
    assert window.used(0.0) == 1
    window.told(2, DATE + 20, 10.0)
    assert (window.used(10.0), window.used(19.9), window.used(20.0)) == (2, 2, 0)


def test_recent_orders_are_those_of_any_second() -> None:
    """Not of one that begins by the clock."""
    recent = RecentOrders(2, 1.0)
    recent.sent(0.9)
    assert not recent.are_many(0.95)
    recent.sent(1.1)
    assert [recent.are_many(at_s) for at_s in (1.1, 1.89, 1.91)] == [True, True, False]


# -- room ----------------------------------------------------------------------------------------------------


def test_an_episode_is_told_once() -> None:
    """However many entries it denies; the next one after an entry could leave is told again."""
    clock = Clock()
    said: list[str] = []
    room = EntryRoom(budget_of(clock), said.append, clock)
    assert room.takes_entry()
    for _ in range(5):
        room.order_sent()
    assert [room.takes_entry() for _ in range(3)] == [False] * 3
    assert (room.denied, len(said)) == (3, 1)
    assert "5 of 10 orders in 10 s" in said[0]
    clock.now_s += 10
    assert room.takes_entry()
    for _ in range(5):
        room.order_sent()
    assert not room.takes_entry()
    assert len(said) == 2


def test_entries_are_denied_and_exits_leave() -> None:
    """In the barrier: by the time the limits are near nothing but entries is refused, cancels neither."""

    async def story() -> None:
        client, clock = Client(), Clock()
        loop = asyncio.get_running_loop()
        room = EntryRoom(budget_of(clock), lambda _text: None, clock)
        EntryBarrier(client, IntentSync(lambda: None, loop), lambda _name: True, print, room)

        async def submit(name: str, leg: str) -> None:
            order = SimpleNamespace(client_order_id=name, tags=[leg], strategy_id="S", instrument_id="I")
            await client._submit_order(SimpleNamespace(order=order))

        for number in range(3):
            await submit(f"e{number}", "ENTRY")
            await submit(f"s{number}", "STOP")
        assert client.denied == []  # four orders had left before the last entry
        await submit("e3", "ENTRY")
        for number in range(20):
            await submit(f"t{number}", "TARGET")
        await client._cancel_order(SimpleNamespace(client_order_id="e0"))
        assert client.denied == [("e3", "rate_limit")]
        assert len(client.sent) == 6 + 20 + 1
        clock.now_s += 60
        await submit("e4", "ENTRY")
        assert client.sent[-1] == "submit e4"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("venue", "market", "orders"),
    [
        ("binance", "usdm", 150),
        ("binance", "spot", 50),
        ("bybit", "linear", 5),
        ("bybit", "spot", 10),
    ],
)
def test_a_node_asks_the_limits_of_each_account(venue: Any, market: Any, orders: int) -> None:
    """The documented ones, at the host that the adapter asks; half of them is for entries."""
    account = LiveVenue(venue=venue, market=market)
    http = Http(DownloadSettings())
    heard: list[Any] = []
    context: Any = SimpleNamespace(
        settings=SimpleNamespace(live=SimpleNamespace(venues=[account])),
        rest=SimpleNamespace(http=http),
        node=SimpleNamespace(
            kernel=SimpleNamespace(
                clock=SimpleNamespace(timestamp_ns=lambda: 7),
                msgbus=SimpleNamespace(publish=lambda topic, msg: heard.append(msg)),
            )
        ),
    )
    room = entry_room(context, SimpleNamespace(venue=Venue(account.venue_name)))
    for _ in range(orders):
        assert room.takes_entry()
        room.order_sent()
    assert [room.takes_entry() for _ in range(2)] == [False, False]
    assert [one.kind for one in heard] == ["order_refused"]
    asyncio.run(http.__aexit__(None, None, None))


def test_limits_are_those_that_the_venue_tells() -> None:
    """Instead of the documented ones, once somebody has asked."""
    limits = (
        b'{"rateLimits": ['
        b'{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 50},'
        b'{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 2},'
        b'{"rateLimitType": "ORDERS", "interval": "CENTURY", "intervalNum": 1, "limit": 1}],'
        b'"symbols": []}'
    )

    async def ask(address: str) -> str:
        async with Http(DownloadSettings()) as http:
            rest = BinanceRest(http, HostSettings(binance_usdm=address), "usdm")
            rest.budget.order_sent()
            assert rest.budget.crowded(0.8, 0.5) == ""
            await rest.symbols()
            return rest.budget.crowded(0.8, 0.5)

    with local_server(lambda _path, _query: (200, {}, limits)) as server:
        assert asyncio.run(ask(server.address)) == "1 of 2 orders in 10 s"
