"""The node's socket: every listener gets what happens, newcomers a snapshot first, and nobody holds it up."""

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from ui.endpoint import TELEMETRY_FILE, zmq_address
from ui.protocol import Bar, Bucket, Heartbeat, Hold, Message, NodeState, Past, Snapshot, decode
from ui.server.feed import Feed
from ui.telemetry.publisher import SLICE, WAITING, TelemetryPublisher

PATIENCE_MS = 5_000


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[TelemetryPublisher]:
    """Return one that listens in a folder of its own."""
    with TelemetryPublisher(tmp_path / TELEMETRY_FILE) as one:
        yield one


class Listener:
    """A terminal's end."""

    def __init__(self, folder: Path) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.SUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, PATIENCE_MS)
        self.socket.connect(zmq_address(folder / TELEMETRY_FILE))
        self.socket.subscribe(b"")

    def take(self) -> Any:
        """Return the next message."""
        return msgspec.msgpack.decode(self.socket.recv())

    def close(self) -> None:
        """Go away."""
        self.socket.close()
        self.context.term()


def answer(publisher: TelemetryPublisher) -> None:
    """Wait until a newcomer is heard of, and answer it."""
    deadline = time.monotonic() + PATIENCE_MS / 1e3
    while not publisher.answer_newcomers(1):
        assert time.monotonic() < deadline, "nobody subscribed"
        time.sleep(0.005)


def test_it_knows_whether_anybody_listens(publisher: TelemetryPublisher, tmp_path: Path) -> None:
    """What is only for those who watch is not made for nobody; numbers go on all the same."""
    publisher.publish("hb", Heartbeat(loop_lag_ms=1.0), 1)
    assert (publisher.is_watched, publisher.seq) == (False, 1)
    first, second = Listener(tmp_path), Listener(tmp_path)
    answer(publisher)
    answer_until(publisher, is_watched=True)
    first.close()
    publisher.answer_newcomers(1)
    assert publisher.is_watched
    second.close()
    answer_until(publisher, is_watched=False)


def answer_until(publisher: TelemetryPublisher, *, is_watched: bool) -> None:
    """Wait until it knows."""
    deadline = time.monotonic() + PATIENCE_MS / 1e3
    while publisher.is_watched != is_watched:
        assert time.monotonic() < deadline
        publisher.answer_newcomers(1)
        time.sleep(0.005)


def test_a_newcomer_gets_a_snapshot_and_then_what_happens(
    publisher: TelemetryPublisher, tmp_path: Path
) -> None:
    """The snapshot's number is that of the stream: what follows has the next one."""
    publisher.publish("st", NodeState(mode="paper", session="S1", holds=[Hold(source="a", reason="b")]), 1)
    listener = Listener(tmp_path)
    answer(publisher)
    epoch, seq, _, kind, payload = listener.take()
    assert (epoch, seq, kind) == (publisher.epoch, 2, "snap")
    assert payload["st"]["holds"] == [{"source": "a", "reason": "b", "ins": ""}]
    publisher.publish("hb", Heartbeat(loop_lag_ms=1.0), 3)
    assert listener.take()[1:4] == [3, 3, "hb"]
    listener.close()


def test_a_second_newcomer_is_answered_too(publisher: TelemetryPublisher, tmp_path: Path) -> None:
    """Both see the second snapshot: it costs the first one nothing and keeps its numbers whole."""
    first = Listener(tmp_path)
    answer(publisher)
    second = Listener(tmp_path)
    answer(publisher)
    assert [first.take()[1], first.take()[1], second.take()[1]] == [1, 2, 2]
    first.close()
    second.close()


def test_a_listener_that_reads_nothing_holds_nobody_up(publisher: TelemetryPublisher, tmp_path: Path) -> None:
    """What it does not take is dropped for it alone, and it sees that from the numbers."""
    stuck, well = Listener(tmp_path), Listener(tmp_path)
    answer(publisher)
    time.sleep(0.05)
    answered = publisher.seq
    beat = Heartbeat(loop_lag_ms=1.0)
    seen = 0
    for number in range(5 * WAITING):
        publisher.publish("hb", beat, number)
        if number % 100 == 99:
            while seen < publisher.seq - answered:
                seen += well.take()[3] == "hb"
    assert publisher.dropped == 0
    assert seen == 5 * WAITING
    stuck.socket.setsockopt(zmq.RCVTIMEO, 200)
    numbers = []
    while True:
        try:
            numbers.append(stuck.take()[1])
        except zmq.Again:
            break
    assert len(numbers) < 5 * WAITING
    stuck.close()
    well.close()


def bucket(ins: str, number: int) -> Bucket:
    """Return a closed bucket."""
    times = {"i": number, "t0": number, "t1": number}
    prices = {"o": 1.0, "h": 1.0, "l": 1.0, "c": 1.0, "v": 1.0, "bv": 1.0, "sv": 0.0}
    return msgspec.convert({"ins": ins, "n": 1, "imb": 0.0, "dir": 1, **times, **prices}, Bucket)


def bar(ins: str, number: int) -> Bar:
    """Return a closed bar."""
    prices = {"o": 1.0, "h": 1.0, "l": 1.0, "c": 1.0, "v": 1.0}
    return msgspec.convert({"ins": ins, "tf": "15m", "t": number, **prices}, Bar)


def test_history_goes_in_slices_and_what_closes_meanwhile_is_neither_lost_nor_told_twice(
    tmp_path: Path,
) -> None:
    """No turn of the node's loop takes more than `SLICE` of it; the server has then what the node has."""
    turns: list[Callable[[], None]] = []
    with TelemetryPublisher(tmp_path / TELEMETRY_FILE, turns.append) as publisher:
        for number in range(2 * SLICE + 10):
            for ins in ("A", "B"):
                publisher.publish("bkt", bucket(ins, number), 1)
            publisher.publish("bar", bar("C", number), 1)
        listener, feed = Listener(tmp_path), Feed()
        deadline = time.monotonic() + PATIENCE_MS / 1e3
        while not turns:
            assert time.monotonic() < deadline
            publisher.answer_newcomers(1)
        late = 2 * SLICE + 10
        while (
            turns
        ):  # a bucket closes in every turn: of a ring that went, of one that is on its way, of a new one
            turn = turns.pop()
            for ins in ("A", "B", "D"):
                publisher.publish("bkt", bucket(ins, late), 2)
            late += 1
            before = publisher.seq
            assert not publisher.answer_newcomers(2)
            turn()
            assert publisher.seq - before <= 1
        publisher.publish("hb", Heartbeat(loop_lag_ms=1.0), 3)
        kinds = []
        while not feed.is_synced or kinds[-1] != "hb":
            message = decode(listener.socket.recv())
            kinds.append(message.kind)
            if message.kind == "past":
                assert 0 < len(message.payload.bkt) + len(message.payload.bar) <= SLICE
            assert feed.take(message, 0.0) != "gap"
        assert feed.seq == publisher.seq
        assert feed.state.snapshot() == publisher.state.snapshot()
        assert kinds.count("past") > 3 * 2
        listener.close()


def test_who_missed_some_of_the_history_waits_for_the_next_answer() -> None:
    """One that came while another was answered; it must not believe that there was nothing before."""
    feed = Feed()
    snapshot = Snapshot(past=2)
    first, second = Past(part=0, bkt=[bucket("A", 0)]), Past(part=1, bkt=[bucket("A", 1)])
    assert feed.take(Message("e", 1, 1, "past", second), 0.0) == "waiting"
    assert feed.take(Message("e", 2, 1, "snap", snapshot), 0.0) == "waiting"
    assert not feed.is_synced
    for past in (first, second):
        feed.take(Message("e", 2, 1, "past", past), 0.0)
    assert feed.take(Message("e", 3, 1, "snap", snapshot), 0.0) == "taken"
    assert feed.state.span("A") == (0, 1)
    assert feed.take(Message("e", 3, 1, "past", first), 0.0) == "taken"
    assert feed.take(Message("e", 4, 1, "hb", Heartbeat(loop_lag_ms=1.0)), 0.0) == "taken"
    assert feed.state.span("A") == (0, 1)


def test_the_socket_is_the_owners_alone_and_goes_with_the_node(tmp_path: Path) -> None:
    """Its permissions are the only lock of this hop."""
    path = tmp_path / TELEMETRY_FILE
    path.write_text("left behind by a node that was killed")
    with TelemetryPublisher(path):
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077
        assert path.stat().st_uid == os.getuid()
    assert not path.exists()


def test_a_long_path_is_no_trouble(tmp_path: Path) -> None:
    """Sockets have names of at most 107 bytes, folders of users have more."""
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    with TelemetryPublisher(folder / TELEMETRY_FILE) as publisher:
        listener = Listener(folder)
        answer(publisher)
        assert listener.take()[3] == "snap"
        listener.close()
