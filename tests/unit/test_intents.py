"""An entry waits for the disk, the node does not; an exit waits for nothing."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.events import OrderDenied
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId, StrategyId, TraderId, Venue

from runtime.download.http import Http
from runtime.live import intents, recovery
from runtime.live.intents import EntryBarrier, IntentSync
from runtime.live.recorded_answers import Questions, RecordedLimits
from runtime.live.settings import LiveVenue
from runtime.live.state import StateFile, StateKeeper
from runtime.settings import DownloadSettings
from strategies.entry_limits import EntryLimits, LimitRules
from strategies.setup_desk import SetupDesk
from strategies.trade_manager.orders import Leg
from strategies.trade_manager.skips import SkipReason
from tests.live_fakes import free_room
from tests.unit.test_protection_of_setups import Desk
from tests.unit.test_state_file import NAMES, setup_named


class Client:
    """An execution client that notes what reaches the venue."""

    def __init__(self) -> None:
        self.turns = 1  # of the loop before a submission's request, as adapters may take
        self.sent: list[str] = []
        self.denied: list[tuple[str, str]] = []
        self._clock = SimpleNamespace(timestamp_ns=lambda: 7)
        self.venue = Venue("BINANCE")

    async def _submit_order(self, command: Any) -> None:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        self.sent.append(f"submit {command.order.client_order_id}")

    async def _cancel_order(self, command: Any) -> None:
        self.sent.append(f"cancel {command.client_order_id}")

    def generate_order_denied(self, **words: Any) -> None:
        """Note it."""
        self.denied.append((words["client_order_id"], words["reason"]))


class Disk:
    """A disk that is as slow as a test wants."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.error: OSError | None = None
        self.threads: set[str] = set()

    def sync(self) -> None:
        """Take as long as that."""
        self.threads.add(threading.current_thread().name)
        self.may_end.wait(10)
        if self.error is not None:
            raise self.error


class Node:
    """A client behind its barrier."""

    def __init__(self) -> None:
        self.client, self.disk = Client(), Disk()
        self.failures: list[str] = []
        self.unwanted: set[str] = set()
        self.intents = IntentSync(self.disk.sync, asyncio.get_running_loop())
        EntryBarrier(
            self.client,
            self.intents,
            lambda name: name not in self.unwanted,
            lambda _command, error: self.failures.append(str(error)),
            free_room(),
        )

    def submit(self, name: str, leg: str) -> asyncio.Task[None]:
        """Submit an order."""
        order = SimpleNamespace(client_order_id=name, tags=[leg], strategy_id="S", instrument_id="I")
        return asyncio.create_task(self.client._submit_order(SimpleNamespace(order=order)))

    def cancel(self, name: str) -> asyncio.Task[None]:
        """Take one back."""
        return asyncio.create_task(self.client._cancel_order(SimpleNamespace(client_order_id=name)))


def run(story: Callable[[Node], Awaitable[None]]) -> None:
    """Run a coroutine with a client."""

    async def whole() -> None:
        node = Node()
        try:
            await story(node)
        finally:
            node.disk.may_end.set()

    asyncio.run(whole())


def test_an_entry_leaves_when_its_intent_is_on_the_disk() -> None:
    """The node's thread goes on meanwhile, and an exit passes."""

    async def story(node: Node) -> None:
        node.intents.begin()
        entry = node.submit("entry", "ENTRY")
        stop = node.submit("stop", "STOP")
        await stop
        await asyncio.sleep(0.02)
        assert node.client.sent == ["submit stop"]
        node.disk.may_end.set()
        await entry
        assert node.client.sent == ["submit stop", "submit entry"]
        assert threading.current_thread().name not in node.disk.threads

    run(story)


def test_an_entry_whose_intent_is_on_the_disk_waits_for_nothing() -> None:
    """Not for one turn of the loop."""

    async def story(node: Node) -> None:
        node.disk.may_end.set()
        node.intents.begin()
        assert node.intents.newest is not None
        await node.intents.newest
        node.client.turns = 0
        order = SimpleNamespace(client_order_id="entry", tags=["ENTRY"])
        asyncio.Task(
            node.client._submit_order(SimpleNamespace(order=order)),
            loop=asyncio.get_running_loop(),
            eager_start=True,
        )
        assert node.client.sent == ["submit entry"]

    run(story)


def test_an_entry_that_is_cancelled_while_it_waits_never_leaves() -> None:
    """Nor does its cancel, however often it is asked for; that of another order does at once."""

    async def story(node: Node) -> None:
        node.intents.begin()
        entry, other = node.submit("entry", "ENTRY"), node.cancel("another")
        await asyncio.gather(node.cancel("entry"), other, node.cancel("entry"))
        assert (node.client.sent, node.client.denied) == (["cancel another"], [])
        node.disk.may_end.set()
        await entry
        assert node.client.sent == ["cancel another"]
        assert (node.client.denied, node.failures) == ([("entry", "withdrawn")], [])
        await node.cancel("entry")  # it waits no more
        assert node.client.sent == ["cancel another", "cancel entry"]

    run(story)


def test_an_entry_whose_task_ends_while_it_waits_is_forgotten() -> None:
    """The node ends: it never leaves, and who takes its order back later asks the venue."""

    async def story(node: Node) -> None:
        node.intents.begin()
        entry = node.submit("entry", "ENTRY")
        await asyncio.sleep(0)
        entry.cancel()
        await asyncio.gather(entry, return_exceptions=True)
        assert entry.cancelled()
        await node.cancel("entry")
        assert (node.client.sent, node.client.denied) == (["cancel entry"], [])

    run(story)


def test_an_entry_that_nobody_wants_any_more_is_denied() -> None:
    """Asked when it would leave, not when it came; also where nothing had to be synced. Exits leave."""

    async def story(node: Node) -> None:
        node.unwanted = {"early", "stop"}
        await node.submit("early", "ENTRY")
        node.intents.begin()
        both = node.submit("entry", "ENTRY"), node.submit("next", "ENTRY")
        await node.submit("stop", "STOP")
        node.unwanted.add("entry")
        node.disk.may_end.set()
        await asyncio.gather(*both)
        assert node.client.sent == ["submit stop", "submit next"]
        assert node.client.denied == [("early", "withdrawn"), ("entry", "withdrawn")]
        assert node.failures == []

    run(story)


def entering() -> tuple[Any, Desk]:
    """Return a desk whose entry is on its way, and its setup with the venue it talks to."""
    venue = Desk()
    venue.take(venue.setup.submit(0))
    own = SimpleNamespace(
        closed_to_entries=None,
        entry_limits=EntryLimits(LimitRules()),
        setup=venue.setup,
        _by_order={venue.id_of(Leg.ENTRY): venue.setup},
        _affords=lambda _plan: True,
        last_price=lambda: None,
    )
    return own, venue


@pytest.mark.parametrize(("happens", "is_wanted"), [
    (lambda _own, _setup: None, True),
    (lambda own, _setup: setattr(own, "closed_to_entries", SkipReason.HALTED), False),
    (lambda own, _setup: setattr(own, "closed_to_entries", SkipReason.HELD), False),
    (lambda own, _setup: own.entry_limits.close("killed"), False),
    (lambda _own, setup: setup.cancel_entry("manual", 1), False),
    (lambda _own, setup: setup.close("manual", 1), False),
    (lambda _own, setup: setup.reprice(setup.plan, 1), False),
])  # fmt: skip
def test_a_desk_wants_an_entry_while_nothing_speaks_against_it(
    happens: Callable[[Any, Any], Any], is_wanted: bool
) -> None:
    """Of an order that is not its own it knows nothing."""
    own, venue = entering()
    happens(own, venue.setup)
    assert SetupDesk.wants_entry(own, venue.id_of(Leg.ENTRY)) is is_wanted
    assert SetupDesk.wants_entry(own, "another")


def test_a_live_node_asks_the_desk_of_an_entry(tmp_path: Path) -> None:
    """The barrier is wired to the desks of all strategies, through whatever records their limits.

    And to what the venue's host is known to have counted.
    """

    async def story() -> None:
        (own, venue), (other, _) = entering(), entering()
        other._by_order = {}
        own.entry_limits = RecordedLimits(own.entry_limits, Questions("d"), lambda *_words: None)
        for desk in (own, other):
            desk.wants_entry = partial(SetupDesk.wants_entry, desk)
        client, file = Client(), StateFile(tmp_path / "state.sqlite")
        account = LiveVenue(venue="binance", market="usdm")
        kernel: Any = SimpleNamespace(
            clock=client._clock, msgbus=SimpleNamespace(publish=lambda **_words: None)
        )
        http = Http(DownloadSettings())
        context: Any = SimpleNamespace(
            mode="live",
            loop=asyncio.get_running_loop(),
            node=SimpleNamespace(kernel=kernel),
            settings=SimpleNamespace(live=SimpleNamespace(venues=[account])),
            rest=SimpleNamespace(http=http),
            strategies=lambda: [SimpleNamespace(desks=(other,)), SimpleNamespace(desks=(own,))],
        )
        recovery._entries_wait(context, file, [client])
        name = ClientOrderId(venue.id_of(Leg.ENTRY))
        order = SimpleNamespace(client_order_id=name, tags=["ENTRY"], strategy_id="S", instrument_id="I")
        submit: Any = client._submit_order
        await submit(SimpleNamespace(order=order))
        limits: Any = own.entry_limits
        limits._limits.close("killed")
        await submit(SimpleNamespace(order=order))
        assert client.sent == [f"submit {name}"]
        assert client.denied == [(name, "withdrawn")]
        limits._limits.reopen(0)
        budget = http.budget("https://fapi.binance.com/fapi/v1")
        for _ in range(200):
            budget.order_sent()
        await submit(SimpleNamespace(order=order))
        assert client.denied[1:] == [(name, "rate_limit")]
        file.close()
        await http.__aexit__(None, None, None)

    asyncio.run(story())


def withdrawn(client_id: str) -> OrderDenied:
    """Return what the barrier tells of an entry that nobody wants."""
    ids = TraderId("T-1"), StrategyId("S-1"), InstrumentId.from_str("XYZUSDT.BINANCE")
    return OrderDenied(*ids, ClientOrderId(client_id), intents.WITHDRAWN, UUID4(), 2)


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_a_withdrawn_entry_ends_its_setup_with_a_reason_and_without_a_halt(is_cancelled: bool) -> None:
    """Whether the setup took it back itself or the limits were closed over it."""
    own, venue = entering()
    if is_cancelled:
        venue.take(venue.setup.cancel_entry("halted", 1))
    venue.take(SetupDesk._report(own, venue.setup, withdrawn(venue.id_of(Leg.ENTRY))))
    assert venue.setup.is_closed
    assert (len(venue.finished), venue.trades, venue.halts, len(venue.requests)) == (1, [], [], 1)
    assert [one.reason for one in venue.notes if one.kind == "entry_rejected"] == ["withdrawn"]


@pytest.mark.parametrize("is_affordable", [True, False])
def test_what_replaces_a_withdrawn_entry_is_sent_if_it_can_still_be_paid(is_affordable: bool) -> None:
    """As after the venue's confirmation that an entry is gone."""
    own, venue = entering()
    own._affords = lambda _plan: is_affordable
    venue.take(venue.setup.reprice(replace(venue.setup.plan, entry_price=Decimal(102)), 1))
    venue.take(SetupDesk._report(own, venue.setup, withdrawn(venue.id_of(Leg.ENTRY))))
    assert [one.order.price for one in venue.submits[1:]] == ([Decimal(102)] if is_affordable else [])
    assert venue.setup.is_closed is not is_affordable


def test_an_entry_that_is_not_on_the_disk_is_denied() -> None:
    """And whoever minds the node is told; what comes later is tried again."""

    async def story(node: Node) -> None:
        node.disk.error = OSError("no space left")
        node.disk.may_end.set()
        node.intents.begin()
        await node.submit("entry", "ENTRY")
        assert (node.client.sent, node.client.denied) == ([], [("entry", "not_stored")])
        assert node.failures == ["no space left"]
        node.disk.error = None
        node.intents.begin()
        await node.submit("next", "ENTRY")
        assert node.client.sent == ["submit next"]

    run(story)


def test_an_entry_that_a_slow_disk_keeps_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its market is over; nobody halts for it, and its cancellation has nothing to take back."""
    monkeypatch.setattr(intents, "LONGEST_SECS", 0.02)

    async def story(node: Node) -> None:
        node.intents.begin()
        await asyncio.gather(node.submit("entry", "ENTRY"), node.cancel("entry"))
        assert (node.client.sent, node.client.denied) == ([], [("entry", "not_stored")])
        assert node.failures == []

    run(story)


def test_the_keeper_writes_and_has_the_disk_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has the setup when `keep` returns; exits and what follows ask for no sync."""
    synced: list[int] = []
    monkeypatch.setattr("runtime.live.state.os.fsync", synced.append)
    file = StateFile(tmp_path / "state.sqlite")
    keeper = StateKeeper(file, begin_sync=file.sync)
    desk: Any = SimpleNamespace(memory=dict)
    setup = setup_named("one")
    assert keeper.keep(desk, setup, is_intent=True)
    assert [one.identity.setup_id for one in file.setups(*NAMES)] == ["one"]
    assert len(synced) == 1
    keeper.keep(desk, setup, is_intent=False)
    setup.ledger.entry_qty = Decimal(1)
    keeper.keep(desk, setup, is_intent=True)
    assert len(synced) == 1


def test_a_disk_that_refuses_to_sync_is_an_error(tmp_path: Path) -> None:
    """As where its log was taken away."""
    file = StateFile(tmp_path / "state.sqlite")
    file.sync()
    (tmp_path / "state.sqlite-wal").unlink()
    with pytest.raises(OSError, match="state"):
        file.sync()
