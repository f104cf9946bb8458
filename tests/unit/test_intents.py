"""An entry waits for the disk, the node does not; an exit waits for nothing."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.live import intents
from runtime.live.intents import EntryBarrier, IntentSync
from runtime.live.state import StateFile, StateKeeper
from tests.unit.test_state_file import NAMES, setup_named


class Client:
    """An execution client that notes what reaches the venue."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.denied: list[tuple[str, str]] = []
        self._clock = SimpleNamespace(timestamp_ns=lambda: 7)

    async def _submit_order(self, command: Any) -> None:
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
        self.intents = IntentSync(self.disk.sync, asyncio.get_running_loop())
        EntryBarrier(self.client, self.intents, lambda _command, error: self.failures.append(str(error)))

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
            node.intents.close()

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
        order = SimpleNamespace(client_order_id="entry", tags=["ENTRY"])
        asyncio.Task(
            node.client._submit_order(SimpleNamespace(order=order)),
            loop=asyncio.get_running_loop(),
            eager_start=True,
        )
        assert node.client.sent == ["submit entry"]

    run(story)


def test_a_cancel_never_overtakes_its_order() -> None:
    """The venue would not know the order, and take it afterwards."""

    async def story(node: Node) -> None:
        node.intents.begin()
        both = node.submit("entry", "ENTRY"), node.cancel("entry")
        other = node.cancel("another")
        await other
        await asyncio.sleep(0.01)
        assert node.client.sent == ["cancel another"]
        node.disk.may_end.set()
        await asyncio.gather(*both)
        assert node.client.sent == ["cancel another", "submit entry", "cancel entry"]

    run(story)


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
