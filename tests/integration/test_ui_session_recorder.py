"""What a terminal writes down of a running node can be played again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui_fake_node import XRP, FakeNode, Market
from tests.ui_server import wait_for
from ui.attached.session_recorder import SessionRecorder
from ui.recording import RECORDING_FILE, Recording
from ui.server.hub import Hub
from ui.server.subscriber import Subscriber
from ui.terminal_state import TerminalState

EVERYTHING = 1 << 30


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FakeNode]:
    """Give a node."""
    with FakeNode(tmp_path / "node") as node:
        yield node


def numbers(state: TerminalState) -> list[int]:
    """Return the numbers of all buckets of an instrument."""
    return [one.i for one in state.buckets(XRP, 0, EVERYTHING, EVERYTHING)]


def follow(node: FakeNode, folder: Path) -> tuple[Hub, Subscriber, SessionRecorder]:
    """Follow a node and write down what it says."""
    hub = Hub()
    recorder = SessionRecorder(hub, folder)
    subscriber = Subscriber(hub, node.folder / "telemetry.sock", taken=recorder.take)
    subscriber.start()
    wait_for(lambda: hub.feed.is_synced)
    return hub, subscriber, recorder


def play(node: FakeNode, market: Market, hub: Hub, turns: int) -> None:
    """Let the market go on, and wait until the hub knows all of it."""
    for _ in range(turns):
        market.develop()
    wait_for(lambda: hub.feed.is_synced and numbers(hub.feed.state) == numbers(node.state))


def test_a_recording_knows_what_the_node_said_also_over_a_gap(node: FakeNode, tmp_path: Path) -> None:
    """Orders, signals and every bucket; what passes by is left out."""
    market = Market(node)
    market.history(50)
    hub, subscriber, recorder = follow(node, tmp_path / "recordings")
    play(node, market, hub, 300)
    node.skip(3)
    play(node, market, hub, 300)
    wait_for(lambda: hub.feed.gaps == 1)
    play(node, market, hub, 300)
    market.event(XRP)
    wait_for(lambda: hub.feed.state.snapshot().ord == node.state.snapshot().ord)
    subscriber.stop()
    recorder.close()
    recording = Recording(tmp_path / "recordings" / "fake" / RECORDING_FILE)
    state, _, _ = recording.state_at(recording.last_ns)
    assert numbers(state) == numbers(node.state)
    told, known = node.state.snapshot(), state.snapshot()
    assert known.ord == told.ord
    assert known.sig[-1] == told.sig[-1]
    kinds = {kind for one in range(len(recording.blocks)) for _, _, kind, _ in recording.frames(one)}
    assert kinds.isdisjoint({"dev", "hb", "lat"})


def test_another_server_of_the_session_writes_a_file_of_its_own(node: FakeNode, tmp_path: Path) -> None:
    """What the first one wrote stays."""
    market = Market(node)
    market.history(5)
    for _ in range(2):
        hub, subscriber, recorder = follow(node, tmp_path)
        play(node, market, hub, 50)
        subscriber.stop()
        recorder.close()
    assert sorted(one.name for one in (tmp_path / "fake").iterdir()) == ["telemetry-2.rec", RECORDING_FILE]
