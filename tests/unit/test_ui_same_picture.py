"""A moment looks the same however one came to it: watched from before, reloaded, or sought in a recording."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.test_ui_frames import ADA, XRP, Browser, Node, line, order, started, tick, zone
from ui import protocol as p
from ui import recording
from ui.recording import Recording, RecordingWriter
from ui.terminal_state import MAX_KEPT, MAX_ZONES, TerminalState

SECOND = 1_000_000_000


def decision(setup: str, i: int, ins: str = XRP) -> p.ModelDecision:
    """Return what a model said of a setup at a bucket."""
    return p.ModelDecision(ins=ins, ts=i * 10, i=i, setup=setup, p=i / 10_000, thr=0.3, verdict="keep")


def happenings() -> Iterator[tuple[str, Any]]:
    """Walk a busy instrument beside a quiet one, with more of all than is kept."""
    for n in range(2_400):
        yield "zone", zone(f"a{n}", ins=ADA)
        if n > 40:
            yield "zone", zone(f"a{n - 40}", "expired", ADA)
        if n % 6 == 0:
            yield "zone", zone(f"x{n}", "filled")
        yield "mdl", decision(f"S{n // 9}", n)
        yield "ord", order(f"o{n}", "FILLED" if n % 50 else "ACCEPTED")
        yield "log", line(str(n))


def seen(state: TerminalState, ins: str) -> Any:
    """Return what a chart of an instrument and its tables are made of."""
    return msgspec.to_builtins(state.snapshot(ins, with_buckets=False))


@pytest.mark.parametrize("ins", [XRP, ADA])
@pytest.mark.parametrize("per_frame", [1, 700])
def test_who_watched_sees_what_who_reloads_sees(ins: str, per_frame: int) -> None:
    """At whatever speed: a frame may hold one message or many."""
    node, feed = started()
    watched, waiting, now_s = Browser(ins), 0, 0.0
    tick(feed, watched, now_s)
    for kind, payload in happenings():
        feed.take(node.say(kind, payload), now_s)
        waiting += 1
        if waiting == per_frame:
            waiting, now_s = 0, now_s + 0.04
            tick(feed, watched, now_s)
    tick(feed, watched, now_s + 1)
    reloaded = Browser(ins)
    tick(feed, reloaded, now_s + 1)
    assert watched.window.snaps == 1, "it followed, and was never told all anew"
    assert seen(watched.state, ins) == seen(reloaded.state, ins)


def test_each_answer_about_a_setup_is_a_dot_of_its_own() -> None:
    """An entry that rests is asked about at each bucket; reasons that come later replace their answer."""
    state = TerminalState()
    for i in range(4):
        state.apply("mdl", decision("S1", i))
    explained = msgspec.structs.replace(decision("S1", 2), why=[("vpin", 0.4)])
    state.apply("mdl", explained)
    assert [one.i for one in state.snapshot().mdl] == [0, 1, 3, 2]
    assert state.snapshot().mdl[-1] == explained


def test_a_busy_instrument_pushes_no_zone_of_another_out() -> None:
    """Neither in a server's memory nor without end; a node keeps fewer, for it packs them at once."""
    server, node = TerminalState(), TerminalState(zones_of_all=True)
    for state in (server, node):
        state.apply("zone", zone("quiet", "expired"))
        for n in range(3 * MAX_ZONES):
            state.apply("zone", zone(f"a{n}", "expired", ADA))
    assert [len(server.snapshot(ins).zone) for ins in (XRP, ADA)] == [1, MAX_ZONES]
    assert len(node.snapshot().zone) == MAX_ZONES


def test_a_moment_that_is_sought_is_the_one_that_was_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over blocks that begin with a snapshot of before."""
    monkeypatch.setattr(recording, "BLOCK_BYTES", 50_000)
    node, state = Node(), TerminalState()
    writer, played = RecordingWriter(tmp_path / "r", state), TerminalState()
    wanted: dict[int, Any] = {}
    for n, (kind, payload) in enumerate(happenings()):
        message = node.say(kind, payload)._replace(ts_ns=n * SECOND)
        state.apply(message.kind, message.payload)
        writer.write(message)
        played.apply(message.kind, message.payload)
        if n in (700, 9_000):
            wanted[n] = seen(played, XRP)
    writer.close()
    found = Recording(tmp_path / "r")
    assert len(found.blocks) > 2
    assert len(wanted[9_000]["mdl"]) == MAX_KEPT
    for n, picture in wanted.items():
        assert seen(found.state_at(n * SECOND)[0], XRP) == picture
