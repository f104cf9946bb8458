"""Actors that hold entries: what they say of holds, and of work that fails."""

import asyncio
from typing import Any

from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.model.identifiers import TraderId
from nautilus_trader.portfolio.portfolio import Portfolio

from runtime.live.holding_actor import HoldingActor
from runtime.notify.actor import EVENTS_TOPIC
from runtime.notify.events import Severity
from strategies.entry_halt import HoldBook, HoldEntries

XRP = "XRPUSDT.BINANCE"


def make_actor() -> tuple[HoldingActor, MessageBus]:
    """Return a started actor and its bus."""
    clock = TestClock()
    bus = MessageBus(TraderId("T-001"), clock)
    cache = Cache()
    actor = HoldingActor()
    actor.register_base(Portfolio(bus, cache, clock), bus, cache, clock)
    actor.start()
    return actor, bus


def test_holds_begin_and_end_in_the_book_that_strategies_ask() -> None:
    """What the actor says is what the entries' book hears, each source for itself."""
    actor, bus = make_actor()
    book = HoldBook(bus)
    actor.hold("stale", "nothing new", XRP)
    actor.hold("clock", "off by 2 s", XRP)
    actor.release("stale", XRP)
    standing: list[HoldEntries] = []
    book.tell(standing.append)
    assert [(one.source, one.reason, one.instrument_id) for one in standing] == [("clock", "off by 2 s", XRP)]
    actor.release("clock", XRP)
    standing.clear()
    book.tell(standing.append)
    assert standing == []


def test_work_that_fails_is_told_as_critical() -> None:
    """A task that ends by an error would otherwise hold entries for ever without a word."""
    actor, bus = make_actor()
    told: list[Any] = []
    bus.subscribe(topic=EVENTS_TOPIC, handler=told.append)

    async def fail() -> None:
        raise KeyError("XRPUSDT")

    async def main() -> None:
        actor.begin(fail())
        await asyncio.sleep(0.01)

    asyncio.run(main())
    (event,) = told
    assert event.severity is Severity.CRITICAL
    assert "KeyError" in event.text
    assert "XRPUSDT" in event.text


def test_work_that_is_cancelled_is_not_told() -> None:
    """A stop of the node is no failure."""
    actor, bus = make_actor()
    told: list[Any] = []
    bus.subscribe(topic=EVENTS_TOPIC, handler=told.append)

    async def main() -> None:
        actor.begin(asyncio.sleep(60))
        await asyncio.sleep(0)
        actor.cancel_tasks()
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert told == []
