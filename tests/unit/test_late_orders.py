"""An order that was given up and arrives all the same is withdrawn, and what it traded is looked at."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.enums import OrderSide, OrderStatus
from nautilus_trader.model.identifiers import ClientOrderId, StrategyId, TraderId
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.portfolio.portfolio import Portfolio
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.test_kit.stubs.events import TestEventStubs

from runtime.live.doubts import Doubt
from runtime.live.late_orders import LOOK_SECS, NANOS, LateOrders
from runtime.live.order_lookup import Answer, Lookup
from runtime.live.protection_settings import ProtectionSettings
from runtime.live.unknown_orders import ARRIVES_SECS, UnknownOrdersActor
from strategies.entry_halt import HOLD_TOPIC, HoldEntries
from strategies.protection import NEVER_ARRIVED

COIN = TestInstrumentProvider.btcusdt_perp_binance()
ENTRY = "OTE-BTCUSDT-PERP-Lmmv7y0w014-E1"


class World:
    """An actor in front of an engine that notes, and a venue that answers what the test says."""

    def __init__(self) -> None:
        self.clock, self.cache, self.bus = TestClock(), Cache(), None
        self.processed: list[Any] = []
        self.withdrawn: list[str] = []
        self.holds: list[HoldEntries] = []
        self.compared = 0
        self.tried_ns = 0
        self.answer = Lookup(Answer.ABSENT)
        bus = MessageBus(trader_id=TraderId("TESTER-000"), clock=self.clock)
        bus.subscribe(topic=HOLD_TOPIC, handler=self.holds.append)
        self.actor = UnknownOrdersActor(
            ProtectionSettings(),
            process=self.processed.append,
            lookup=self._lookup,
            reconcile_report=self.processed.append,
            withdraw=self._withdraw,
            reconcile=self._reconcile,
            call_soon=lambda run: run(),
            last_try_ns=lambda _instrument_id, _client_id: self.tried_ns,
        )
        portfolio = Portfolio(msgbus=bus, cache=self.cache, clock=self.clock)
        self.actor.register_base(portfolio=portfolio, msgbus=bus, cache=self.cache, clock=self.clock)

    async def _lookup(self, _instrument_id: Any, _client_id: str) -> Lookup:
        return self.answer

    async def _withdraw(self, _instrument_id: Any, client_id: str) -> None:
        self.withdrawn.append(client_id)

    async def _reconcile(self) -> bool:
        self.compared += 1
        return True

    def after(self, secs: float) -> None:
        """Let time pass and look."""
        self.clock.set_time(self.clock.timestamp_ns() + round(secs * NANOS))
        asyncio.run(self.actor.look())

    def submit(self) -> Any:
        """Send an entry that nobody answers."""
        factory = SimpleNamespace(trader=TraderId("TESTER-000"), strategy=StrategyId("OTE-000"))
        from nautilus_trader.model.enums import TimeInForce
        from nautilus_trader.model.orders import LimitOrder

        order = LimitOrder(
            trader_id=factory.trader,
            strategy_id=factory.strategy,
            instrument_id=COIN.id,
            client_order_id=ClientOrderId(ENTRY),
            order_side=OrderSide.BUY,
            quantity=Quantity.from_str("0.100"),
            price=Price.from_str("49000.0"),
            init_id=UUID4(),
            ts_init=self.clock.timestamp_ns(),
            time_in_force=TimeInForce.GTC,
        )
        self.cache.add_order(order)
        order.apply(TestEventStubs.order_submitted(order, ts_event=self.clock.timestamp_ns()))
        self.cache.update_order(order)
        return order


@pytest.fixture
def given_up() -> tuple[World, Any]:
    """Give a world in which an entry was just called never arrived."""
    world = World()
    order = world.submit()
    for secs in (ARRIVES_SECS, 1.0, 1.0):
        world.after(secs)
    (rejected,) = world.processed
    assert rejected.reason == NEVER_ARRIVED
    order.apply(rejected)
    world.cache.update_order(order)
    assert order.status == OrderStatus.REJECTED
    world.processed.clear()
    return world, order


def found(*, is_open: bool, filled: str = "0") -> Lookup:
    """Return a venue's answer about the order."""
    report = SimpleNamespace(is_open=is_open, filled_qty=Quantity.from_str(filled))
    return Lookup(Answer.FOUND, report)


def test_an_order_may_arrive_for_ten_seconds_after_its_last_try() -> None:
    """One that found no connection is tried again: its birth says nothing about when it comes."""
    world = World()
    world.submit()
    for _try in range(6):
        world.after(ARRIVES_SECS / 2)
        world.tried_ns = world.clock.timestamp_ns()
    world.after(ARRIVES_SECS - 1.0)
    assert world.processed == []
    world.after(1.0)
    (rejected,) = world.processed
    assert rejected.reason == NEVER_ARRIVED


def test_one_that_arrives_late_is_withdrawn_until_it_is_gone(given_up: tuple[World, Any]) -> None:
    """To Nautilus it has ended, so it is cancelled at the venue itself, again if need be."""
    world, _order = given_up
    world.after(LOOK_SECS[0])
    assert world.withdrawn == []
    world.answer = found(is_open=True)
    world.after(LOOK_SECS[1])
    assert world.withdrawn == [ENTRY]
    world.after(LOOK_SECS[0])
    assert world.withdrawn == [ENTRY, ENTRY]
    world.answer = found(is_open=False)
    world.after(LOOK_SECS[0])
    assert len(world.actor.late) == 0
    assert world.holds == []


def test_what_it_traded_is_compared_and_held(given_up: tuple[World, Any]) -> None:
    """Its position is nobody's: books are compared, then the recovery looks at it because of the hold."""
    world, _order = given_up
    world.answer = found(is_open=False, filled="0.100")
    world.after(LOOK_SECS[0])
    assert world.compared == 1
    assert [(one.source, one.instrument_id) for one in world.holds] == [("external", COIN.id.value)]


def test_a_word_of_the_stream_makes_it_look_at_once(given_up: tuple[World, Any]) -> None:
    """The engine would refuse the event of a rejected order; it does not get it."""
    world, order = given_up
    world.answer = found(is_open=True)

    async def accept() -> None:
        world.actor.take(TestEventStubs.order_accepted(order))
        await asyncio.sleep(0)
        assert world.actor._task is not None
        await world.actor._task

    asyncio.run(accept())
    assert world.withdrawn == [ENTRY]
    assert world.processed == []


def test_one_that_never_turns_up_is_forgotten() -> None:
    """After five minutes nobody asks any more."""
    late, now_ns = LateOrders(), 0
    late.add(ENTRY, COIN.id, now_ns)
    for secs in LOOK_SECS:
        now_ns += round(secs * NANOS)
        assert late.due(now_ns) == [(ENTRY, COIN.id)]
        late.look_again(ENTRY, now_ns, is_there=False)
    assert len(late) == 0
    assert 240 < sum(LOOK_SECS) < 360


def test_a_client_in_doubt_is_believed_at_once() -> None:
    """It does not call the order refused: the order is asked about now, and not after seconds of silence."""
    world = World()
    order = world.submit()
    doubt = Doubt(COIN.id.value, ENTRY, "gave no answer", world.clock.timestamp_ns())

    async def hear() -> None:
        world.actor.take_doubt(doubt)
        world.actor.take_doubt(doubt)  # said once, asked once
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(hear())
    question = world.actor.questions[ENTRY]
    assert (question.asked, question.absent) == (1, 1)
    assert world.actor.counters["unknown"] == 1
    assert world.processed == []
    assert order.status == OrderStatus.SUBMITTED
