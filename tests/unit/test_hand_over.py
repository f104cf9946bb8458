"""What a live node's engines are given is done while the caller waits, one thing after the other."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.common.providers import InstrumentProvider
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import CancelOrder
from nautilus_trader.live.data_engine import LiveDataEngine
from nautilus_trader.live.execution_client import LiveExecutionClient
from nautilus_trader.live.execution_engine import LiveExecutionEngine
from nautilus_trader.live.risk_engine import LiveRiskEngine
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import (
    ClientId,
    ClientOrderId,
    InstrumentId,
    StrategyId,
    TraderId,
    Venue,
)
from nautilus_trader.portfolio.portfolio import Portfolio
from nautilus_trader.test_kit.stubs.data import TestDataStubs
from nautilus_trader.test_kit.stubs.events import TestEventStubs
from nautilus_trader.test_kit.stubs.execution import TestExecStubs

from runtime.journal.actor import JournalActor, JournalActorConfig
from runtime.journal.records import CommandRecord
from runtime.live.hand_over import COMMANDS, DATA, EVENTS, RISK, HandOver, start_eagerly
from runtime.live.intents import EntryBarrier, IntentSync
from runtime.live.late_hearing import LateHearing
from runtime.notify.actor import NotifyActor, NotifyActorConfig
from strategies.entry_halt import HALT_TOPIC, HaltEntries
from strategies.trade_manager.record import Decision
from tests.live_fakes import free_room
from ui.bridge import TelemetryActor
from ui.telemetry.sources import TelemetrySources

TRADES = "data.trades.SIM.AUD/USD"


class Node:
    """The engines of a node, and what they were given."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        clock, cache = LiveClock(), Cache()
        self.bus = MessageBus(trader_id=TraderId("TESTER-001"), clock=clock)
        self.cache = cache
        self.portfolio = portfolio = Portfolio(msgbus=self.bus, cache=cache, clock=clock)
        common = {"loop": loop, "msgbus": self.bus, "cache": cache, "clock": clock}
        self.data_engine: Any = LiveDataEngine(**common)
        self.risk_engine: Any = LiveRiskEngine(portfolio=portfolio, **common)
        self.risk_engine._execute_command = lambda command: self.handled.append(f"new {command}")
        self.exec_engine = self._heard(LiveExecutionEngine(**common))
        self.handled: list[str] = []
        self.while_handled: Callable[[str], None] = lambda _event: None
        self.late = LateHearing()
        self.hand_over = HandOver(SimpleNamespace(**vars(self), msgbus=self.bus), loop, self.late)

    def _heard(self, engine: Any) -> Any:
        engine._execute_command = lambda command: self.handled.append(f"sent {command}")
        engine._record_local_activity = lambda _event: None
        engine._handle_event_with_tracking = self._handle
        return engine

    def _handle(self, event: Any) -> None:
        self.handled.append(f"begin {event}")
        self.while_handled(event)
        self.handled.append(f"end {event}")

    def hear(self, who: str, what: str) -> None:
        """Note that somebody heard of something."""
        self.handled.append(f"{who}: {what}")

    def start(self) -> None:
        """Start the engines whose queues are looked at."""
        self.data_engine.start()
        self.risk_engine.start()
        self.exec_engine.start()

    def stop(self) -> None:
        """Stop them."""
        self.data_engine.stop()
        self.risk_engine.stop()
        self.exec_engine.stop()


def run(story: Callable[[Node], Any]) -> None:
    """Run a coroutine with a node."""

    async def whole() -> None:
        node = Node(asyncio.get_running_loop())
        await story(node)
        if node.data_engine.is_running:
            node.stop()
            await asyncio.sleep(0.01)

    asyncio.run(whole())


def test_a_trade_is_with_its_listeners_when_the_adapter_has_handed_it_in() -> None:
    """No turn of the loop lies between."""

    async def story(node: Node) -> None:
        heard: list[TradeTick] = []
        node.bus.subscribe(topic=TRADES, handler=heard.append)
        node.start()
        trade = TestDataStubs.trade_tick()
        node.bus.send(endpoint=DATA, msg=trade)
        assert heard == [trade]
        assert node.data_engine.data_count == 1

    run(story)


def test_what_comes_before_the_start_waits_for_it() -> None:
    """Nautilus' own queue keeps it."""

    async def story(node: Node) -> None:
        heard: list[TradeTick] = []
        node.bus.subscribe(topic=TRADES, handler=heard.append)
        node.bus.send(endpoint=DATA, msg=TestDataStubs.trade_tick())
        assert heard == []
        node.start()
        await asyncio.sleep(0.01)
        assert len(heard) == 1

    run(story)


def test_another_thread_never_reaches_a_strategy() -> None:
    """Timers of a live clock run on a thread of their own."""

    async def story(node: Node) -> None:
        threads: list[int] = []
        node.bus.subscribe(topic=TRADES, handler=lambda _trade: threads.append(threading.get_ident()))
        node.start()
        await asyncio.to_thread(node.bus.send, endpoint=DATA, msg=TestDataStubs.trade_tick())
        await asyncio.sleep(0.01)
        assert threads == [threading.get_ident()]

    run(story)


def test_an_event_that_another_one_causes_is_handled_after_it() -> None:
    """A strategy hears of one thing after the other; in the order in which they came."""

    async def story(node: Node) -> None:
        node.start()

        def submit(event: str) -> None:
            if event == "filled":
                node.bus.send(endpoint=EVENTS, msg="submitted")
                node.bus.send(endpoint=EVENTS, msg="denied")

        node.while_handled = submit
        node.bus.send(endpoint=EVENTS, msg="filled")
        both = [f"{when} {name}" for name in ("filled", "submitted", "denied") for when in ("begin", "end")]
        assert node.handled == both

    run(story)


def test_an_event_within_a_trade_is_handled_after_the_trade() -> None:
    """A simulated venue fills while the trade is still on its way to strategies."""

    async def story(node: Node) -> None:
        node.start()
        node.bus.subscribe(
            topic=TRADES, handler=lambda _trade: node.bus.send(endpoint=EVENTS, msg="filled"), priority=10
        )
        node.bus.subscribe(topic=TRADES, handler=lambda _trade: node.handled.append("trade"))
        node.bus.send(endpoint=DATA, msg=TestDataStubs.trade_tick())
        node.handled.append("returned")
        await asyncio.sleep(0)
        assert node.handled == ["trade", "returned", "begin filled", "end filled"]

    run(story)


@pytest.mark.parametrize(("endpoint", "refuses", "expected"), [
    (COMMANDS, False, ["sent order", "heard cancel_asked", "heard pending", "trade ends", "heard ended"]),
    (COMMANDS, True, ["sent order", "heard cancel_asked", "heard pending", "trade ends", "heard ended"]),
    (RISK, True, ["heard cancel_asked", "heard pending", "new order", "trade ends", "heard ended"]),
    (RISK, False, ["new order", "trade ends", "heard cancel_asked", "heard pending", "heard ended"]),
])  # fmt: skip
def test_who_writes_down_hears_after_a_cancel_and_the_journal_before_a_new_order(
    endpoint: str, refuses: bool, expected: list[str]
) -> None:
    """In the order of what happened, and never later than the end of the trade that caused it."""

    async def story(node: Node) -> None:
        actor = SimpleNamespace(
            hear=lambda what: node.handled.append(f"heard {what}"), HEARD_LATE=("hear",), REFUSES=refuses
        )
        node.late.attach([actor])
        node.bus.subscribe(topic="decisions.*", handler=actor.hear)
        node.start()

        def on_trade(_trade: TradeTick) -> None:
            node.bus.publish(topic="decisions.X", msg="cancel_asked")
            node.bus.publish(topic="decisions.X", msg="pending")
            node.bus.send(endpoint=endpoint, msg="order")
            node.bus.publish(topic="decisions.X", msg="ended")
            node.handled.append("trade ends")

        node.bus.subscribe(topic=TRADES, handler=on_trade)
        node.bus.send(endpoint=DATA, msg=TestDataStubs.trade_tick())
        assert node.handled == expected

    run(story)


class Broken:
    """A notifier and a sink with a bug in every way in."""

    def __init__(self) -> None:
        self.calls = 0

    def fail(self, *_: object) -> None:
        """Be called, and fail."""
        self.calls += 1
        raise KeyError("a bug")

    post = tell = publish = fail


def started(node: Node, actor: Any) -> Any:
    """Return an actor that hears late and has started."""
    node.late.attach([actor])
    actor.register_base(node.portfolio, node.bus, node.cache, LiveClock())
    actor.on_start()
    return actor


def halted() -> Decision:
    """Return a decision that is told to people and to terminals."""
    return Decision(
        strategy_id="S-1",
        instrument_id="AUD/USD.SIM",
        zone_id=1,
        ts_ns=1,
        kind="halted",
        reason="a bug",
    )


def test_a_bug_of_who_tells_people_or_terminals_costs_neither_the_order_nor_the_node() -> None:
    """The real actors raise within a trade; the order leaves, and no engine hears of their errors."""

    async def story(node: Node) -> None:
        told: list[str] = []
        for engine in (node.data_engine, node.risk_engine, node.exec_engine):
            engine._handle_queue_exception = lambda error, what: told.append(f"{what} {error!r}")
        broken = Broken()
        actor = started(node, NotifyActor(NotifyActorConfig(poll_secs=0, tells_start=False), broken))  # type: ignore[arg-type]
        actor._translator = SimpleNamespace(decision=broken.fail)
        sources = TelemetrySources(mode="paper", session="S", strategies=tuple, equity=lambda: None)
        started(node, TelemetryActor(sources, broken))
        broken.calls = 0
        node.start()

        def on_trade(_trade: TradeTick) -> None:
            node.bus.publish(topic="decisions.S-1", msg=halted())
            node.bus.send(endpoint=RISK, msg="protective stop")

        node.bus.subscribe(topic=TRADES, handler=on_trade)
        node.bus.send(endpoint=DATA, msg=TestDataStubs.trade_tick())
        assert broken.calls == 2
        assert told == []
        assert node.handled == ["new protective stop"]

    run(story)


ORDER = TestExecStubs.limit_order()
COMMAND = CommandRecord(ts_ns=1, command_id="c", actor="a", origin="test", action="status")


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("decisions.S-1", halted()),
        ("trades.S-1", halted()),
        ("events.order.S-1", TestEventStubs.order_submitted(ORDER)),
        ("commands.x", COMMAND),
        ("shadows.x", halted()),
    ],
)
def test_a_bug_of_the_journal_halts_entries_and_keeps_no_exit_back(topic: str, message: Any) -> None:
    """The real actor raises within a trade: people are told why, the stop leaves, no engine hears of it."""

    async def story(node: Node) -> None:
        told: list[str] = []
        halts: list[HaltEntries] = []
        for engine in (node.data_engine, node.risk_engine, node.exec_engine):
            engine._handle_queue_exception = lambda error, what: told.append(f"{what} {error!r}")
        broken = Broken()
        sink = SimpleNamespace(append=broken.fail, refusal=lambda: None, trouble=lambda: None)
        started(node, JournalActor(JournalActorConfig(), sink))
        node.bus.subscribe(topic=HALT_TOPIC, handler=halts.append)
        node.start()

        def on_trade(_trade: TradeTick) -> None:
            for _ in range(2):
                node.bus.publish(topic=topic, msg=message)
                node.bus.send(endpoint=RISK, msg="protective stop")

        node.bus.subscribe(topic=TRADES, handler=on_trade)
        node.bus.send(endpoint=DATA, msg=TestDataStubs.trade_tick())
        assert node.handled == ["new protective stop"] * 2
        assert told == []
        assert [one.source for one in halts] == ["journal"]
        assert "the journal could not write down" in halts[0].reason

    run(story)


def test_a_listener_without_a_guard_of_its_own_is_guarded_and_the_journal_is_not() -> None:
    """What the journal refuses does not begin: the engine hears of it, and the order stays."""

    async def story(node: Node) -> None:
        told: list[str] = []
        node.risk_engine._handle_queue_exception = lambda error, _what: told.append(repr(error))
        bad = Broken()
        for actor in (
            SimpleNamespace(on_order=bad.fail, HEARD_LATE=("on_order",)),
            SimpleNamespace(on_decision=bad.fail, HEARD_LATE=("on_decision",), REFUSES=JournalActor.REFUSES),
        ):
            node.late.attach([actor])
            for name in actor.HEARD_LATE:
                node.bus.subscribe(topic=name, handler=getattr(actor, name))
        node.start()

        def on_trade(_trade: TradeTick) -> None:
            for topic in ("on_order", "on_decision"):
                node.bus.publish(topic=topic, msg="what happened")
                node.bus.send(endpoint=RISK, msg=topic)

        node.bus.subscribe(topic=TRADES, handler=on_trade)
        node.bus.send(endpoint=DATA, msg=TestDataStubs.trade_tick())
        assert node.handled == ["new on_order"]
        assert told == ["KeyError('a bug')"]

    run(story)


def test_what_no_trade_causes_is_heard_at_once() -> None:
    """A timer's decisions, for instance."""

    async def story(node: Node) -> None:
        node.bus.subscribe(topic="decisions.*", handler=node.late.later(node.handled.append))
        node.start()
        node.bus.publish(topic="decisions.X", msg="closed by hand")
        node.handled.append("acted")
        assert node.handled == ["closed by hand", "acted"]

    run(story)


def test_a_fill_is_journaled_at_once_and_told_to_others_when_its_stop_has_left() -> None:
    """One after the other: the journal, the stop, metrics and people, the rest of the event."""

    async def story(node: Node) -> None:
        for who, refuses in (("journal", True), ("people", False)):
            hear = partial(Node.hear, node, who)
            node.bus.subscribe(topic="decisions.*", handler=node.late.later(hear, refuses=refuses))
        node.risk_engine._execute_command = lambda command: node.bus.send(endpoint=COMMANDS, msg=command)
        HandOver(SimpleNamespace(**vars(node), msgbus=node.bus), asyncio.get_running_loop(), node.late)
        node.start()

        def protect(_event: str) -> None:
            node.bus.publish(topic="decisions.X", msg="filled")
            node.bus.send(endpoint=RISK, msg="stop")
            node.bus.publish(topic="decisions.X", msg="protected")

        node.while_handled = protect
        node.bus.send(endpoint=EVENTS, msg="fill")
        assert node.handled == [
            "begin fill",
            "journal: filled",
            "sent stop",
            "people: filled",
            "journal: protected",
            "end fill",
            "people: protected",
        ]

    run(story)


def test_a_bug_in_an_event_keeps_nobody_waiting() -> None:
    """Listeners hear what it told before, and the events behind it are handled."""

    async def story(node: Node) -> None:
        told: list[str] = []
        node.exec_engine._handle_queue_exception = lambda error, _what: told.append(str(error))
        node.bus.subscribe(topic="decisions.*", handler=node.late.later(node.handled.append))
        node.start()

        def fail(event: str) -> None:
            node.bus.publish(topic="decisions.X", msg=f"decided by {event}")
            if event == "first":
                node.bus.send(endpoint=EVENTS, msg="second")
                raise RuntimeError("a bug")

        node.while_handled = fail
        node.bus.send(endpoint=EVENTS, msg="first")
        assert node.handled == [
            "begin first", "decided by first", "begin second", "end second", "decided by second"
        ]  # fmt: skip
        assert told == ["a bug"]

    run(story)


def test_a_strategy_that_fails_takes_nothing_from_those_who_write_down() -> None:
    """They hear what it decided before; the node ends as it would without them."""

    async def story(node: Node) -> None:
        told: list[str] = []
        node.data_engine._handle_queue_exception = lambda error, _what: told.append(str(error))
        node.bus.subscribe(topic="decisions.*", handler=node.late.later(node.handled.append))
        node.start()

        def on_trade(_trade: TradeTick) -> None:
            node.bus.publish(topic="decisions.X", msg="decided")
            raise RuntimeError("a bug")

        node.bus.subscribe(topic=TRADES, handler=on_trade)
        node.bus.send(endpoint=DATA, msg=TestDataStubs.trade_tick())
        assert node.handled == ["decided"]
        assert told == ["a bug"]

    run(story)


def test_an_error_of_a_handler_stops_the_node_as_the_queue_would() -> None:
    """And what comes next is handled all the same until then."""

    async def story(node: Node) -> None:
        told: list[tuple[str, str]] = []
        node.exec_engine._handle_queue_exception = lambda error, what: told.append((str(error), what))

        def fail(event: str) -> None:
            if event == "bad":
                raise RuntimeError("a bug")

        node.while_handled = fail
        node.start()
        node.bus.send(endpoint=EVENTS, msg="bad")
        node.bus.send(endpoint=EVENTS, msg="good")
        assert told == [("a bug", "event")]
        assert node.handled == ["begin bad", "begin good", "end good"]

    run(story)


@pytest.mark.parametrize(("owner", "names"), [
    (LiveDataEngine, ("_handle_data", "_handle_queue_exception", "process")),
    (LiveRiskEngine, ("_execute_command", "_handle_queue_exception", "execute")),
    (LiveExecutionEngine, (
        "_execute_command",
        "_handle_event_with_tracking",
        "_handle_queue_exception",
        "_record_local_activity",
        "execute",
        "process",
    )),
    (LiveExecutionClient, (
        "_cancel_order",
        "_on_task_completed",
        "_submit_order",
        "create_task",
        "generate_order_denied",
        "submit_order",
    )),
])  # fmt: skip
def test_nautilus_has_the_names_that_are_replaced_and_called(owner: type, names: tuple[str, ...]) -> None:
    """Private ones among them; the fakes of these tests, and those of intents, have them in any case."""
    assert [name for name in names if not callable(getattr(owner, name, None))] == []


def test_a_client_of_nautilus_has_what_tasks_and_denials_need() -> None:
    """Its tasks in a set, its clock, and words of the same names for what is called with words."""

    async def story() -> None:
        loop, clock, cache = asyncio.get_running_loop(), LiveClock(), Cache()
        client = LiveExecutionClient(
            loop=loop,
            client_id=ClientId("SIM"),
            venue=Venue("SIM"),
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            base_currency=None,
            instrument_provider=InstrumentProvider(),
            msgbus=MessageBus(trader_id=TraderId("TESTER-001"), clock=clock),
            cache=cache,
            clock=clock,
        )
        cancelled: list[Any] = []

        async def cancel(command: Any) -> None:
            cancelled.append(command)

        client._cancel_order = cancel
        start_eagerly(client, loop)
        intents, room = IntentSync(lambda: None, loop), free_room()
        EntryBarrier(client, intents, lambda _name: True, lambda *_words: None, room)
        ids = TraderId("T-1"), StrategyId("S-1"), InstrumentId.from_str("XYZUSDT.SIM"), ClientOrderId("O-1")
        command = CancelOrder(*ids, None, UUID4(), 0)
        client.cancel_order(command)
        assert cancelled == [command]  # by way of the barrier, within the call
        assert [one.done() for one in client._tasks] == [True]
        assert client._clock is clock
        denied: list[Any] = []
        client._msgbus.register(endpoint=EVENTS, handler=denied.append)
        order = SimpleNamespace(
            client_order_id=ids[3], tags=["ENTRY"], strategy_id=ids[1], instrument_id=ids[2]
        )
        EntryBarrier(client, intents, lambda _name: False, lambda *_words: None, room)
        await client._submit_order(SimpleNamespace(order=order))
        assert [(one.client_order_id, one.reason) for one in denied] == [(ids[3], "withdrawn")]

    asyncio.run(story())


class Client:
    """As much of an execution client as makes tasks."""

    def __init__(self) -> None:
        self._tasks: set[Any] = set()
        self.completed: list[Any] = []
        self.made: list[str | None] = []

    def submit_order(self) -> None:
        """Tell an execution client from others."""

    def create_task(self, coro: Any, log_msg: str | None = None, *_rest: Any, **_options: Any) -> None:
        """Make a task as Nautilus does."""
        self.made.append(log_msg)
        coro.close()

    def _on_task_completed(self, actions: Any, _text: Any, _color: Any, task: Any) -> None:
        self.completed.append((actions, task.exception()))


def test_a_request_is_made_while_the_command_is_carried_out() -> None:
    """Up to the point at which the venue has to answer."""

    async def story() -> None:
        client, answer, sent = Client(), asyncio.get_running_loop().create_future(), []
        start_eagerly(client, asyncio.get_running_loop())

        async def cancel() -> None:
            sent.append("request")
            await answer
            raise ValueError("refused")

        client.create_task(cancel(), log_msg="cancel_order: X")
        assert sent == ["request"]
        assert client.completed == []
        answer.set_result(None)
        await asyncio.sleep(0.01)
        ((actions, error),) = client.completed
        assert actions is None
        assert str(error) == "refused"
        client.create_task(cancel())
        assert client.made == [None]  # connecting is left to Nautilus

    asyncio.run(story())


def test_a_data_client_is_left_alone() -> None:
    """Its subscriptions may wait for the next turn."""
    client = SimpleNamespace(create_task=len)
    start_eagerly(client, None)  # type: ignore[arg-type]
    assert client.create_task is len


def test_who_stands_in_front_of_an_endpoint_hands_on_to_the_same_way() -> None:
    """The gate for unknown orders takes the endpoint away from the engine's own method."""

    async def story(node: Node) -> None:
        node.start()
        process = node.exec_engine.process
        node.bus.deregister(endpoint=EVENTS, handler=process)
        node.bus.register(endpoint=EVENTS, handler=lambda event: process(f"passed {event}"))
        node.bus.send(endpoint=EVENTS, msg="filled")
        assert node.handled == ["begin passed filled", "end passed filled"]

    run(story)
