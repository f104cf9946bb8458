"""A browser's socket against a server that listens, and a node behind it: frames out, commands in."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import socketio.exceptions
import websocket

from tests.ui_fake_node import XRP, FakeNode, Market
from tests.ui_server import VIEWER_TOKEN, Server, Tab, command, listening, log_in, upgrade, wait_for
from ui import protocol as p
from ui.attached.node import NodeSocket
from ui.protocol import VERSION
from ui.server import frames
from ui.server.commands import CommandResult
from ui.server.hub import Hub
from ui.server.subscriber import Subscriber


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FakeNode]:
    """Give a node that has a past."""
    with FakeNode(tmp_path / "paper") as node:
        Market(node).history(30)
        yield node


@pytest.fixture
def server(node: FakeNode) -> Iterator[Server]:
    """Give a server that hears the node and sends it commands."""
    hub = Hub(max_clients=3)
    subscriber = Subscriber(hub, node.folder / "telemetry.sock")
    subscriber.start()
    try:
        with listening(hub, NodeSocket(node.folder.parent, "paper"), max_clients=3) as server:
            wait_for(lambda: hub.feed.is_synced)
            yield server
    finally:
        subscriber.stop()


@pytest.fixture
def tab(server: Server) -> Iterator[Tab]:
    """Give a tab of an operator that has its snapshot."""
    tab = Tab(server).connect(ins=XRP)
    wait_for(lambda: tab.frames)
    yield tab
    tab.close()


def folders_open(folder: Path) -> int:
    """Return how often this process has a folder open."""
    return sum(Path(one).exists() and Path(one).samefile(folder) for one in Path("/proc/self/fd").iterdir())


def lines(tab: Tab) -> list[str]:
    """Return the lines of the log that a tab was told."""
    found: list[str] = []
    for frame in list(tab.frames):
        if frame["t"] == "snap":
            found = [one["text"] for one in frame["S"]["log"]]
        else:
            found += [one["text"] for _, kind, one in frame["e"] if kind == "log"]
    return found


def is_cut(wire: websocket.WebSocket) -> bool:
    """Tell whether a connection ends within its timeout, after what was on its way."""
    try:
        while wire.recv():
            pass
    except websocket.WebSocketTimeoutException:
        return False
    except (websocket.WebSocketConnectionClosedException, ConnectionError):
        pass
    return True


def say(node: FakeNode, text: str) -> None:
    """Let the node say a line."""
    node.publish("log", p.LogLine(ts=0, level="INFO", src="test", text=text))


class TestFrames:
    """What comes out."""

    def test_a_newcomer_gets_a_snapshot_and_the_rest_in_order(self, node: FakeNode, tab: Tab) -> None:
        """With the place where its history is."""
        first = tab.frames[0]
        assert (first["t"], first["role"], first["ins"]) == ("snap", "operator", XRP)
        assert (first["hist"]["from"], first["hist"]["to"]) == (0, 29)
        assert first["S"]["st"]["mode"] == "paper"
        for number in range(20):
            say(node, str(number))
        wait_for(lambda: lines(tab) == [str(number) for number in range(20)])
        deltas = [frame for frame in tab.frames[1:] if frame["t"] == "d"]
        assert [one["from"] for one in deltas] == [one["seq"] for one in tab.frames[: len(deltas)]]

    def test_a_lost_message_costs_a_snapshot_and_nothing_else(self, node: FakeNode, tab: Tab) -> None:
        """What was said before, during and after stands there once."""
        say(node, "before")
        wait_for(lambda: lines(tab) == ["before"])
        node.skip()
        say(node, "behind the gap")
        wait_for(lambda: lines(tab) == ["before", "behind the gap"])
        say(node, "after")
        wait_for(lambda: lines(tab) == ["before", "behind the gap", "after"])
        assert [one["t"] for one in tab.frames].count("snap") == 2

    @pytest.mark.parametrize("what", ["explained", "taken", "hub"])
    def test_no_error_ends_the_hearing_of_the_node(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        """Neither one of the model's reasons, nor of the recorder, nor of the feed itself."""
        failed: list[str] = []

        def fail(*_: Any) -> Any:
            failed.append(what)
            raise KeyError(what)

        monkeypatch.setattr("ui.server.subscriber.RETRY_SECS", 0.1)
        hub = Hub()
        take = hub.take
        if what == "hub":
            monkeypatch.setattr(hub, "take", lambda batch: take(batch) if failed else fail())
        parts = {} if what == "hub" else {what: fail}
        with FakeNode(tmp_path / "paper") as node:
            subscriber = Subscriber(hub, node.folder / "telemetry.sock", **parts)
            subscriber.start()
            try:
                wait_for(lambda: failed)
                wait_for(lambda: hub.feed.is_synced)
                before = hub.messages
                Market(node).history(3)
                wait_for(lambda: hub.messages > before)
            finally:
                subscriber.stop()

    def test_no_folder_of_a_long_address_stays_open(self, tmp_path: Path) -> None:
        """Every gap is a subscription anew: files would run out after thousands of them."""
        hub = Hub()
        with FakeNode(tmp_path / ("x" * 100) / "paper") as node:
            before = folders_open(node.folder)
            subscriber = Subscriber(hub, node.folder / "telemetry.sock")
            subscriber.start()
            try:
                for gap in range(1, 5):
                    wait_for(lambda: hub.feed.is_synced)
                    node.skip()
                    say(node, "behind the gap")
                    wait_for(lambda gap=gap: subscriber.subscriptions > gap)  # type: ignore[misc]
                assert folders_open(node.folder) == before + 1
            finally:
                subscriber.stop()
            assert folders_open(node.folder) == before

    def test_a_node_that_starts_anew_is_another_epoch(self, node: FakeNode, tab: Tab) -> None:
        """And a snapshot, without anybody doing anything."""
        epoch = tab.frames[-1]["epoch"]
        node.close()
        with FakeNode(node.folder) as again:
            wait_for(lambda: tab.frames[-1]["epoch"] == again.epoch)
            say(again, "hello")
            wait_for(lambda: lines(tab) == ["hello"])
        assert epoch != again.epoch

    def test_a_node_that_is_silent_grows_old(self, node: FakeNode, tab: Tab) -> None:
        """Frames come all the same, and say how old it is."""
        node.close()
        wait_for(lambda: tab.frames[-1]["age_ms"] > 1_000)

    def test_an_audit_that_is_not_written_is_told_everybody(self, server: Server, tab: Tab) -> None:
        """As long as it is so; commands are executed all the same, a kill above all."""
        assert "warn" not in tab.frames[0]
        server.audit.refused = "no space left"
        wait_for(lambda: tab.frames[-1].get("warn") == "no space left")
        late = Tab(server).connect()
        wait_for(lambda: late.frames)
        assert late.frames[0]["warn"] == "no space left"
        assert late.call("cmd", command("kill", word="KILL"))["outcome"] == "done"
        late.close()
        server.audit.refused = None
        wait_for(lambda: "warn" not in tab.frames[-1])

    def test_who_acknowledges_nothing_is_thrown_out_and_others_are_not(
        self, server: Server, tab: Tab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The audit says why."""
        monkeypatch.setattr(frames, "STUCK_SECS", 1.5)
        cookie, csrf = log_in(server.address)
        address = server.address.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
        wire = websocket.create_connection(address, cookie=cookie, origin=server.address, timeout=10)
        wire.send(f'40{{"csrf": "{csrf}", "proto": {VERSION}}}')
        wait_for(lambda: server.made.services.hub.clients == 2)
        wait_for(lambda: server.made.services.hub.clients == 1)
        assert is_cut(wire)
        assert any(note[2:] == ("disconnect", "done", "no acknowledgement") for note in server.audit.notes)
        before = len(tab.frames)
        wait_for(lambda: len(tab.frames) > before)

    def test_a_tab_chooses_its_instrument(self, node: FakeNode, tab: Tab) -> None:
        """One that the node has."""
        other = node.instruments[1]
        assert tab.call("view", {"ins": other}) == {"ok": True}
        wait_for(lambda: tab.frames[-1].get("ins") == other or any(f.get("ins") == other for f in tab.frames))
        assert tab.call("view", {"ins": "NONE.SUCH"}) == {"ok": False}
        assert tab.call("view", ["nonsense"]) == {"ok": False}

    @pytest.mark.parametrize("event", ["resync", "nonsense", "message"])
    def test_who_sends_events_without_end_is_thrown_out(self, server: Server, tab: Tab, event: str) -> None:
        """Before the server is busy with it, also with events that nobody knows."""
        for _ in range(250):
            if tab.io.connected:
                with contextlib.suppress(socketio.exceptions.SocketIOError):
                    tab.io.emit(event)
        wait_for(lambda: not tab.io.connected)
        assert any(note[2:] == ("disconnect", "done", "too many events") for note in server.audit.notes)


class TestWhoMayConnect:
    """Who is let in."""

    def test_a_socket_without_login_origin_or_name_never_opens(self, server: Server) -> None:
        """Each alone is enough to refuse it."""
        cookie, _ = log_in(server.address)
        good = {"Cookie": cookie, "Origin": server.address}
        assert upgrade(server.address, **good) == 101
        assert upgrade(server.address, Origin=server.address) == 401
        assert upgrade(server.address, Cookie=cookie) == 403
        assert upgrade(server.address, Cookie=cookie, Origin="http://evil.example") == 403
        evil = {"Host": "evil.example", "Origin": "http://evil.example"}
        assert upgrade(server.address, Cookie=cookie, **evil) == 421
        assert upgrade(server.address, Cookie=cookie + "x", Origin=server.address) == 401

    @pytest.mark.parametrize(
        ("auth", "reason"),
        [
            ({"csrf": "wrong"}, "auth"),
            ({"csrf": None}, "auth"),
            ({"proto": VERSION + 1}, "proto"),
        ],
    )
    def test_a_connect_is_refused_with_its_reason(
        self, server: Server, auth: dict[str, Any], reason: str
    ) -> None:
        """And written down."""
        tab = Tab(server)
        with pytest.raises(socketio.exceptions.ConnectionError):
            tab.connect(**auth)
        assert tab.refusal["message"] == reason
        assert server.audit.notes[-1] == ("operator", "socket 127.0.0.1", "connect", "refused", reason)

    def test_one_more_than_there_are_places_is_refused(self, server: Server) -> None:
        """Until somebody leaves."""
        tabs = [Tab(server).connect() for _ in range(3)]
        late = Tab(server)
        with pytest.raises(socketio.exceptions.ConnectionError):
            late.connect()
        assert late.refusal["message"] == "full"
        tabs[0].close()
        wait_for(lambda: server.made.services.hub.clients == 2)
        tabs[0] = Tab(server).connect()
        for tab in tabs:
            tab.close()

    def test_who_logs_out_is_disconnected(self, server: Server) -> None:
        """In every tab."""
        tab = Tab(server).connect()
        wait_for(lambda: tab.frames)
        login = next(iter(server.made.sockets._logins.values()))
        server.made.services.sessions.end(login)
        wait_for(lambda: not tab.io.connected)


class TestCommands:
    """What goes in."""

    def test_a_command_is_executed_by_the_node_and_answered(
        self, node: FakeNode, server: Server, tab: Tab
    ) -> None:
        """The outcome comes back, the state in a frame, and both sides write it down."""
        answer = tab.call("cmd", command("pause"))
        assert (answer["id"], answer["outcome"], answer["why"]) == ("c1", "done", "pause done")
        wait_for(lambda: any(one[2].get("paused") == ["*"] for f in tab.frames for one in f.get("e", [])))
        assert [one.outcome for one in node.journal.records] == ["received", "done"]
        assert node.journal.records[0].actor == "operator@127.0.0.1"
        assert server.audit.notes[-1] == (
            "operator@127.0.0.1",
            "socket 127.0.0.1",
            "pause",
            "done",
            "pause done",
        )

    def test_the_same_command_again_is_executed_once(self, node: FakeNode, tab: Tab) -> None:
        """A browser that heard nothing may ask again."""
        asked = command("cancel-all")
        assert [tab.call("cmd", asked)["outcome"] for _ in range(3)] == ["done"] * 3
        assert len(node.executed) == 1

    def test_a_viewer_may_not(self, node: FakeNode, server: Server) -> None:
        """Also not by the socket."""
        tab = Tab(server, VIEWER_TOKEN).connect()
        wait_for(lambda: tab.frames)
        assert tab.frames[0]["role"] == "viewer"
        answer = tab.call("cmd", command("kill", word="KILL"))
        assert (answer["outcome"], answer["field"]) == ("refused", "role")
        assert node.executed == []
        tab.close()

    def test_a_viewer_is_answered_without_paths(
        self, server: Server, tab: Tab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a command found may name places: the folder of a halt, words of a person."""
        viewer = Tab(server, VIEWER_TOKEN).connect()
        result = CommandResult(
            id="c1", outcome="done", why="see /srv/anna/halt.txt", detail={"in": "/srv/anna/bot"}
        )
        monkeypatch.setattr(server.made.services.desk, "run", lambda *_: result)
        assert tab.call("cmd", command("status"))["why"] == "see /srv/anna/halt.txt"
        answer = viewer.call("cmd", command("status"))
        assert (answer["why"], answer["detail"]) == ("see halt.txt", {"in": "bot"})
        viewer.close()

    @pytest.mark.parametrize("asked", [None, [], "kill", {"id": 1}, {**command("kill"), "word": ""}])
    def test_nonsense_and_unconfirmed_ones_are_refused(self, node: FakeNode, tab: Tab, asked: Any) -> None:
        """With a reason."""
        answer = tab.call("cmd", asked)
        assert answer["outcome"] == "refused"
        assert answer["why"]
        assert node.executed == []

    def test_a_node_that_is_gone_is_a_failure_in_words(self, node: FakeNode, tab: Tab) -> None:
        """Not an endless wait."""
        node.close()
        answer = tab.call("cmd", command("close", args={"instrument": XRP}))
        assert answer["outcome"] == "failed"
        assert "no node listens" in answer["why"]

    def test_operators_alone_steer_a_replay(self) -> None:
        """Everybody who watches sees the same place."""
        asked: list[Any] = []
        with listening(replay=asked.append) as server:
            viewer, operator = Tab(server, VIEWER_TOKEN).connect(), Tab(server).connect()
            assert viewer.call("replay", {"speed": 5})["ok"] is False
            assert operator.call("replay", {"speed": 2}) == {"ok": True}
            viewer.close()
            operator.close()
        assert asked == [{"speed": 2}]

    def test_who_logged_out_steers_no_replay(self) -> None:
        """Not in the half second until the tab is disconnected, either."""
        asked: list[Any] = []
        with listening(replay=asked.append) as server:
            tab = Tab(server).connect()
            wait_for(lambda: tab.frames)
            server.made.services.sessions.end(next(iter(server.made.sockets._logins.values())))
            tab.io.emit("replay", {"speed": 2})
            wait_for(lambda: not tab.io.connected)
        assert asked == []

    def test_without_a_recording_nothing_is_steered(self, tab: Tab) -> None:
        """Said so."""
        assert tab.call("replay", {"speed": 2})["ok"] is False
