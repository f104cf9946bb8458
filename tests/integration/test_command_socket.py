"""The command socket, end to end: a server in its thread, a node in another, clients of every temper."""

import asyncio
import contextlib
import io
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.model.identifiers import TraderId
from nautilus_trader.test_kit.stubs.component import TestComponentStubs

from runtime.cli import CommandParser, run_main
from runtime.errors import ConfigurationError
from runtime.journal.records import CommandRecord
from runtime.live import ctl
from runtime.live.command_actions import NodeActions
from runtime.live.command_actor import CommandActor
from runtime.live.command_runner import CommandRunner
from runtime.live.command_server import MAX_MISTAKES, CommandServer
from runtime.live.command_socket import connect, short_address
from runtime.live.commands import MAX_LINE_BYTES, Answer, Command, CommandBook, new_command
from runtime.live.kill_switch import KillSwitch
from strategies.entry_halt import HALT_TOPIC, REARM_TOPIC, HaltEntries
from tests.live_fakes import FakeBus, FakeDesk, FakeNodeThread

XRP = "XRPUSDT.BINANCE"
SECS = 10.0


class Served:
    """A running server on fake desks."""

    def __init__(self, folder: Path, may_connect: Callable[[int], bool] | None = None) -> None:
        self.desk = FakeDesk(XRP, entering=1, position=2)
        self.records: list[CommandRecord] = []
        self.node = FakeNodeThread()
        self.path = folder / "paper" / "ctl.sock"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        strategy = SimpleNamespace(id="OTE-000", desks=(self.desk,))
        actions = NodeActions(
            lambda: [strategy], FakeBus([self.desk]).publish, time.time_ns, KillSwitch(self.path.parent)
        )
        journal = SimpleNamespace(append=self.records.append)

        def make_runner() -> CommandRunner:
            return CommandRunner(CommandBook(), None, journal, actions, self.node.call_soon)

        more = {} if may_connect is None else {"may_connect": may_connect}
        self.server = CommandServer(self.path, make_runner, **more)
        self.server.start()

    def stop(self) -> None:
        """Stop the server and the node."""
        self.server.stop()
        self.node.stop()

    def send(self, action: str, **args: Any) -> Answer:
        """Send one command as the command line does."""
        return ctl.send_command(self.path, command(action, **args), SECS)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Give a running server in a folder whose path is longer than the system's addresses."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    one = Served(folder)
    yield one
    one.stop()


def command(action: str, **args: Any) -> Command:
    """Return a new command of anna."""
    return new_command(action, "anna", args, now_ns=time.time_ns())


def talk(path: Path, data: bytes) -> list[Answer]:
    """Send bytes, say that this was all, and return the answers."""
    with connect(path, SECS) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        lines = sock.makefile("rb").readlines()
    return [msgspec.json.decode(line, type=Answer) for line in lines]


def test_a_command_is_executed_in_the_nodes_thread(served: Served) -> None:
    """And its answer says what was done; the journal has it twice, received and done."""
    answer = served.send("cancel-all", reason="lunch")
    assert (answer.outcome, answer.detail["entries_cancelled"]) == ("done", [XRP])
    assert served.desk.threads == {"node"}
    assert [record.outcome for record in served.records] == ["received", "done"]
    assert f"pid {os.getpid()}" in served.records[0].origin


def test_the_socket_is_its_owners_alone(served: Served) -> None:
    """Rights 0600; a second node in the same folder refuses to start."""
    assert stat.S_IMODE(served.path.stat().st_mode) == 0o600
    with pytest.raises(ConfigurationError, match="another node"):
        CommandServer(served.path, lambda: pytest.fail("made")).start()


def test_what_a_dead_node_left_is_replaced(tmp_path: Path) -> None:
    """A socket file without a listener, as of a killed node, is no reason not to start."""
    (tmp_path / "paper").mkdir()
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short_address(tmp_path / "paper" / "ctl.sock") as address:
        left.bind(address)
    left.close()
    served = Served(tmp_path)
    try:
        assert served.send("status").outcome == "done"
    finally:
        served.stop()


def test_another_user_is_refused_and_audited(tmp_path: Path) -> None:
    """The rights of the file are one fence, who is connected the other."""
    served = Served(tmp_path, may_connect=lambda _uid: False)
    try:
        (answer,) = talk(served.path, msgspec.json.encode(command("kill")) + b"\n")
    finally:
        served.stop()
    assert answer.outcome == "refused"
    assert [record.outcome for record in served.records] == ["refused"]
    assert not served.desk.is_halted


def test_many_clients_at_once_get_their_own_answers(served: Served) -> None:
    """Twenty threads with ten commands each, pipelined: every id is answered on its own connection."""
    wrong: list[Any] = []

    def client() -> None:
        mine = [command("cancel-all") for _ in range(10)]
        answers = talk(served.path, b"".join(msgspec.json.encode(one) + b"\n" for one in mine))
        if sorted(answer.id for answer in answers) != sorted(one.id for one in mine):
            wrong.append(answers)

    threads = [threading.Thread(target=client) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECS)
    assert wrong == []
    assert served.desk.venue_calls == ["cancel"]


def test_a_client_that_never_reads_delays_nobody(served: Served) -> None:
    """It floods and reads nothing; the next one is answered."""
    with connect(served.path, SECS) as deaf:
        deaf.setblocking(False)
        flood = b"".join(msgspec.json.encode(command("status")) + b"\n" for _ in range(300))
        for _ in range(20):
            try:
                deaf.send(flood)
            except BlockingIOError:
                break
        assert served.send("cancel-all").outcome == "done"


def test_an_endless_line_is_cut_off(served: Served) -> None:
    """Refused without being kept in memory, and audited."""
    with connect(served.path, SECS) as sock, contextlib.suppress(OSError):  # cut off while still talking
        sock.sendall(b"x" * (MAX_LINE_BYTES * 4))
    deadline_s = time.monotonic() + SECS
    while not served.records and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert [record.outcome for record in served.records] == ["refused"]


def test_who_guesses_is_cut_off(served: Served) -> None:
    """After so many refused lines the connection ends; each was audited, none executed."""
    answers: list[bytes] = []
    with connect(served.path, SECS) as sock:
        stream = sock.makefile("rwb")
        try:
            for _ in range(MAX_MISTAKES * 3):
                stream.write(b'{"id": "x"}\n')
                stream.flush()
                line = stream.readline()
                if not line:
                    break
                answers.append(line)
        except OSError:
            pass
    assert MAX_MISTAKES - 1 <= len(answers) <= MAX_MISTAKES
    assert len(served.records) >= MAX_MISTAKES - 1
    assert served.desk.venue_calls == []


# -- the command line ----------------------------------------------------------------------------------------


@pytest.fixture
def run_ctl(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Give a function that runs ``live_node.py ctl`` against the server: exit code, stdout, stderr."""
    folder = served.path.parent.parent
    monkeypatch.setattr(ctl, "_folder", lambda _arguments: folder)

    def run(*argv: str) -> tuple[int, str, str]:
        parser = CommandParser(prog="live_node.py")
        ctl.add(parser.add_subparsers(required=True))
        code = run_main(parser, ["ctl", *argv])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_json_is_one_object(run_ctl: Callable[..., tuple[int, str, str]]) -> None:
    """Done: exit code 0, nothing on stderr."""
    code, out, err = run_ctl("status", "--json")
    answer = msgspec.json.decode(out)
    assert (code, err, answer["outcome"]) == (0, "", "done")
    assert answer["detail"]["desks"][0]["instrument"] == XRP


def test_exit_codes_tell_failed_from_misused(run_ctl: Callable[..., tuple[int, str, str]]) -> None:
    """1: refused by the node, or no node; 2: the command makes no sense."""
    assert run_ctl("close", "--instrument", "NONE.BINANCE")[0] == 1
    code, _, err = run_ctl("status", "--mode", "live")
    assert (code, "no node listens" in err) == (1, True)
    assert run_ctl("close")[0] == 2
    assert run_ctl("close", "--instrument", "XRP")[0] == 2
    assert run_ctl("sell")[0] == 2


def test_a_node_of_the_other_mode_is_pointed_out(served: Served) -> None:
    """Who forgets `--mode` is told; nothing goes to the node that was not meant."""
    live = served.path.parent.parent / "live" / "ctl.sock"
    with pytest.raises(ctl.NodeUnreachable, match="a paper node does: say --mode paper"):
        ctl.send_command(live, command("flatten"), SECS)
    assert (served.records, served.desk.venue_calls) == ([], [])
    served.server.stop()
    with pytest.raises(ctl.NodeUnreachable, match="start it, or name its settings with --config"):
        ctl.send_command(live, command("flatten"), SECS)


def test_a_live_flatten_wants_a_word(
    run_ctl: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed by a person, or --yes in a script; nothing is sent without."""
    code, _, err = run_ctl("flatten", "--mode", "live")
    assert (code, "--yes" in err) == (2, True)
    terminal = io.StringIO("no\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    assert run_ctl("kill", "--mode", "live")[0] == 2
    assert run_ctl("kill", "--mode", "live", "--yes")[0] == 1  # sent: no live node listens here


def test_the_operator_is_named(served: Served, run_ctl: Callable[..., tuple[int, str, str]]) -> None:
    """The journal has the user of the system."""
    run_ctl("pause", "--reason", "lunch")
    assert {record.actor for record in served.records} == {ctl.operator_name()}
    assert served.records[0].args["reason"] == "lunch"


# -- signals and the kill file in a node ---------------------------------------------------------------------


def test_signal_and_file_are_commands_too(tmp_path: Path) -> None:
    """A running loop: SIGUSR1 halts, rearm ends it, the file halts again with flatten, and survives."""
    records: list[CommandRecord] = []
    journal = SimpleNamespace(append=records.append)
    gate: list[str] = []

    async def session(
        do: Callable[[CommandActor, FakeDesk], Any], until: Callable[[FakeDesk], bool]
    ) -> FakeDesk:
        loop = asyncio.get_running_loop()
        desk = FakeDesk(XRP, entering=1, position=2)
        strategy = SimpleNamespace(id="OTE-000", desks=(desk,))
        clock = LiveClock()
        bus = MessageBus(trader_id=TraderId("T-001"), clock=clock)
        fake = FakeBus([desk])
        for topic in (HALT_TOPIC, REARM_TOPIC):
            bus.subscribe(topic=topic, handler=lambda message, topic=topic: fake.publish(topic, message))
        actor = CommandActor(
            tmp_path, journal, lambda: [strategy], loop.call_soon_threadsafe, loop, on_kill=gate.append
        )
        actor.register_base(
            portfolio=TestComponentStubs.portfolio(),
            msgbus=bus,
            cache=TestComponentStubs.cache(),
            clock=clock,
        )
        actor.start()
        do(actor, desk)
        for _ in range(500):
            await asyncio.sleep(0.01)
            if until(desk):
                break
        actor.stop()
        return desk

    first = asyncio.run(
        session(lambda *_: os.kill(os.getpid(), signal.SIGUSR1), lambda desk: bool(desk.is_halted))
    )
    assert first.venue_calls == ["cancel"]
    assert records[0].origin == "signal SIGUSR1"
    assert records[0].outcome == "received"
    assert KillSwitch(tmp_path).is_on

    # The next session finds the file: halted without anybody saying so, the gate closed before any strategy.
    gate.clear()
    second = asyncio.run(session(lambda *_: None, lambda desk: bool(desk.is_halted)))
    assert second.is_halted
    assert second.setup.position_qty == 2
    assert gate
    assert any("KILL" in record.origin for record in records)

    assert KillSwitch(tmp_path).clear()
    write = lambda *_: KillSwitch(tmp_path).path.write_text("flatten")  # noqa: E731
    third = asyncio.run(session(write, lambda desk: bool(desk.setup.is_closed)))
    assert third.venue_calls == ["cancel", "exit"]

    # A person who has only halted asks for more: the file is read on.
    assert KillSwitch(tmp_path).clear()

    def flatten_once_halted(desk: FakeDesk) -> bool:
        if desk.is_halted and not desk.setup.is_closed and "exit" not in desk.venue_calls:
            KillSwitch(tmp_path).path.write_text("flatten")
        return desk.setup.is_closed

    fourth = asyncio.run(session(lambda *_: KillSwitch(tmp_path).path.touch(), flatten_once_halted))
    assert fourth.venue_calls == ["cancel", "exit"]

    # What a part of the node halted is halted after a restart, too: a supervisor is no person.
    assert KillSwitch(tmp_path).clear()
    told = HaltEntries(ts_ns=1, source="watchdog", reason="2.3 s without a stop", remedy="look, then rearm")
    asyncio.run(
        session(
            lambda actor, _: actor.msgbus.publish(topic=HALT_TOPIC, msg=told),
            lambda desk: bool(desk.is_halted),
        )
    )
    order = KillSwitch(tmp_path).read()
    assert order is not None
    assert (order.who, "2.3 s" in order.reason, order.flatten) == ("watchdog", True, False)
    fifth = asyncio.run(session(lambda *_: None, lambda desk: bool(desk.is_halted)))
    assert fifth.is_halted
