"""The terminal as a process: starts, answers, audits to the spool, ends; a replay plays."""

import contextlib
import errno
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from runtime.journal.records import AccessRecord, CommandRecord, SessionEnd
from runtime.journal.segments import JOURNAL, LaneReader
from runtime.live.terminal_process import kept_terminal
from runtime.own_modules import module_command
from tests.ui_server import OPERATOR_TOKEN, SECRET, command, environment, make_server, wait_for
from ui import protocol as p
from ui.attached.audit import JournalAudit
from ui.recording import RECORDING_FILE, RecordingWriter
from ui.serve_command import TakenError, free_folder, owned
from ui.server.addresses import LOOPBACK
from ui.server.listening import Listener
from ui.server.ports import Order
from ui.terminal_state import TerminalState

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def process(
    folder: Path, *words: str, **variables: str
) -> Iterator[tuple[str, Path, "subprocess.Popen[bytes]"]]:
    """Run `python -m ui` until the block ends; give its address, and the file of its words."""
    said = folder / "words.txt"
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    with said.open("wb") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "ui", *words, "--port", "0"], cwd=folder, env=variables, stderr=file
        )
    try:
        wait_for(lambda: "terminal at " in said.read_text() or child.poll() is not None, 60)
        assert child.poll() is None, said.read_text()
        yield said.read_text().split("terminal at ")[1].split()[0], said, child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()


def records(folder: Path) -> list[object]:
    """Return the records of the only session in a spool."""
    (session,) = folder.iterdir()
    return [frame.record() for frame in LaneReader(session, JOURNAL).read(is_over=False).frames]


def test_it_starts_without_a_node_lets_in_by_the_token_kept_and_ends_by_a_signal(tmp_path: Path) -> None:
    """Who came is in the spool, and the session has its end."""
    with process(tmp_path, "serve") as (address, said, child):
        assert address.startswith("http://127.0.0.1:")
        wait_for(lambda: "log in with what " in said.read_text())
        kept = Path(said.read_text().split("log in with what ")[1].split(" holds, ")[0])
        token = kept.read_text().strip()
        assert token
        assert token not in said.read_text()  # not a terminal: perhaps the log of a service
        assert kept.stat().st_mode & 0o777 == 0o600
        client = httpx.Client(base_url=address)
        assert client.get("/health").json()["status"] == "ok"
        assert client.get("/api/v1/session").status_code == 401
        assert client.get("/").headers["location"] == "/login"
        assert client.post("/login", json={"password": token}).status_code == 200
        csrf = client.get("/api/v1/session").json()["csrf"]
        detailed = client.get("/api/v1/health/detailed").json()
        assert (detailed["status"], detailed["node"]["link"]) == ("degraded", "away")
        answer = client.post("/api/v1/commands", json=command(), headers={"X-CSRF-Token": csrf})
        assert (answer.status_code, answer.json()["outcome"]) == (424, "failed")
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    found = records(tmp_path / "var" / "spool")
    assert [(one.action, one.outcome) for one in found if isinstance(one, AccessRecord)] == [
        ("login", "done")
    ]
    assert [one.outcome for one in found if isinstance(one, CommandRecord)] == ["received", "failed"]
    assert isinstance(found[-1], SessionEnd)


@pytest.mark.slow
def test_a_replay_plays_and_has_no_node(tmp_path: Path) -> None:
    """Commands are refused; its mode is not to be mistaken."""
    folder = tmp_path / "var" / "runs" / "r1"
    folder.mkdir(parents=True)
    state = TerminalState()
    writer = RecordingWriter(folder / RECORDING_FILE, state, {"run": "r1"})
    for number in range(50):
        line = p.LogLine(ts=number, level="INFO", src="", text=str(number))
        state.apply("log", line)
        writer.write(p.Message("e", number + 1, (1_000 + number) * 1_000_000_000, "log", line))
    writer.close()
    with process(tmp_path, "replay", "last", "--speed", "1000", **environment()) as (address, _, _child):
        client = httpx.Client(base_url=address)
        client.post("/login", json={"password": OPERATOR_TOKEN})
        session = client.get("/api/v1/session").json()
        assert session["mode"] == "replay"
        wait_for(lambda: self_state(client)["replay"]["at"] == 1_049_000)
        answer = client.post(
            "/api/v1/commands", json=command("pause"), headers={"X-CSRF-Token": session["csrf"]}
        )
        assert answer.json()["why"] == "a replay has no node"


def self_state(client: httpx.Client) -> dict[str, dict[str, int]]:
    """Return what the node says of itself."""
    state: dict[str, dict[str, int]] = client.get("/api/v1/health/detailed").json()["node"]["state"]
    return state


def test_two_terminals_have_no_folder_in_common(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They would start one job twice, and take each other's token; a second replay takes the next folder."""
    folder = tmp_path / "replay"
    with free_folder(folder) as first, free_folder(folder) as second:  # each keeps what it has chosen
        assert (first, second) == (folder, tmp_path / "replay-2")
        with pytest.raises(TakenError, match="another terminal has it"), owned(folder):
            pass
        with free_folder(folder) as third:
            assert third == tmp_path / "replay-3"
    with free_folder(folder) as again:
        assert again == folder
    assert capsys.readouterr().err == ""
    holder = ExitStack()
    other = threading.Timer(0.3, holder.close)
    holder.enter_context(owned(tmp_path / "paper"))
    other.start()
    with owned(tmp_path / "paper", 10.0):  # of a node that was killed: it ends soon
        other.join()
    assert "waits up to 10 s" in capsys.readouterr().err


@pytest.mark.slow
def test_the_terminal_of_a_killed_node_may_take_its_time_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its audit waits for a database that does not answer: the next one is started until it is free."""
    monkeypatch.chdir(tmp_path)
    folder, token = tmp_path / "terminal", tmp_path / "terminal" / "token"
    command = [*module_command("ui"), "serve", "--port", "0", "--folder", str(folder)]
    old = ExitStack()
    old.enter_context(owned(folder))
    with old, kept_terminal(command):
        wait_for(lambda: "started again in" in caplog.text, 60)
        assert not token.exists()
        old.close()
        wait_for(token.exists, 60)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["replay", "nonsense"], "no such run"),
        (["replay", "last"], "no run has a recording"),
        (["serve", "--tls-cert", "x.pem"], "--tls-cert"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, words: list[str], says: str) -> None:
    """Exit 2."""
    done = subprocess.run(
        [sys.executable, "-m", "ui", *words], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_server_knows_neither_nautilus_nor_numpy() -> None:
    """It starts in the time that Flask takes."""
    code = (
        "import sys, ui.server.app, ui.server.subscriber, ui.serve_command, ui.attached.node; "
        "print(sorted({'nautilus_trader', 'numpy', 'pandas', 'numba', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries have no arenas")
def test_threads_of_the_server_share_what_they_allocate_from(tmp_path: Path) -> None:
    """Else each browser's thread would keep the most that it ever needed."""
    code = """
import ctypes, sys, threading
from ui.server.memory import limit_arenas
if sys.argv[1] == "limited":
    limit_arenas()
barrier, kept = threading.Barrier(12), []
def hold():
    kept.append([bytearray(20_000) for _ in range(20)])
    barrier.wait()
threads = [threading.Thread(target=hold) for _ in range(12)]
for one in threads: one.start()
for one in threads: one.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, ctypes.c_void_p(file))
libc.fclose(ctypes.c_void_p(file))
"""
    arenas = {}
    for name in ("limited", "usual"):
        said = tmp_path / name
        subprocess.run([sys.executable, "-c", code, name, str(said)], cwd=ROOT, check=True)
        arenas[name] = said.read_text().count("<heap nr=")
    assert arenas["limited"] <= 2 < arenas["usual"]


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries are left alone")
def test_holes_between_what_stays_are_given_back() -> None:
    """Blocks of 20 kB, every other one of which is gone: the system has them after the next turn."""
    code = """
from pathlib import Path
from ui.server import memory
memory.limit_arenas()
trimmer = memory.Trimmer()
kept = [bytearray(20_000) for _ in range(4_000)]
del kept[::2]
def pages(): return int(Path("/proc/self/statm").read_text().split()[1])
before = pages()
assert not trimmer.tick() and pages() == before
trimmer._next_s = 0.0
assert trimmer.tick()
print((before - pages()) * 4096)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert int(done.stdout) > 20_000_000, done.stderr


def test_the_audit_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    """As records of the journal, with who, from where, what and its outcome."""
    audit = JournalAudit(tmp_path, "terminal-1", "paper")
    audit.access("anna", "rest 10.0.0.1", "login", "done")
    order = Order("c1", "anna@10.0.0.1", "pause", {"instrument": "X.Y"}, "n" * 16, 1)
    audit.command(order, "rest 10.0.0.1", "received")
    _, login, received = records(tmp_path)  # nothing was closed
    assert isinstance(login, AccessRecord)
    assert (login.actor, login.origin, login.action, login.outcome) == (
        "anna",
        "rest 10.0.0.1",
        "login",
        "done",
    )
    assert isinstance(received, CommandRecord)
    assert (received.command_id, received.args, received.nonce) == ("c1", {"instrument": "X.Y"}, "n" * 16)
    assert [one["action"] for one in audit.recent(5)] == ["pause", "login"]
    audit.close()


def test_an_audit_that_the_disk_refuses_says_so_and_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, and the health tells it meanwhile."""
    audit = JournalAudit(tmp_path, "terminal-1", "paper")
    server = make_server()
    monkeypatch.setattr(server.audit, "trouble", audit.trouble)
    server.made.services.hub.trouble = audit.trouble

    def told() -> str | None:
        answer = server.client().get("/api/v1/health/detailed", headers={"X-Shared-Secret": SECRET}).json
        trouble: str | None = answer["audit"]["trouble"]
        return trouble

    assert told() is None
    write = os.write

    def refuse(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)
    audit.access("anna", "rest 10.0.0.1", "login", "done")
    assert "no space left" in str(told())
    monkeypatch.setattr(os, "write", write)
    audit.look_again()
    assert told() is None
    assert [one.action for one in records(tmp_path) if isinstance(one, AccessRecord)] == ["login"]
    audit.close()


def is_answered(address: str) -> bool:
    """Tell whether a server takes a connection and answers."""
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(address, timeout=10).status_code == 200
    return False


def test_a_flood_of_connections_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds some without a word gets no more threads; when they are gone, there is room again."""
    monkeypatch.setattr("ui.server.listening.MAX_CONNECTIONS", 3)
    listener = Listener("127.0.0.1", 0)
    listener.start(make_server(port=listener.port).made.app)
    address = f"http://127.0.0.1:{listener.port}/health"
    try:
        silent = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(3)]
        with pytest.raises(httpx.TransportError):
            httpx.get(address, timeout=10)
        for wire in silent:
            wire.close()
        wait_for(lambda: is_answered(address))
    finally:
        listener.stop()


@pytest.mark.parametrize("is_proxy", [False, True])
def test_connections_of_an_address_that_say_nothing_are_few(
    monkeypatch: pytest.MonkeyPatch, is_proxy: bool
) -> None:
    """They leave room for others, and their address gets in again when they end. A proxy may have more."""
    monkeypatch.setattr("ui.server.listening.MAX_SILENT", 3)
    listener = Listener("127.0.0.1", 0, proxies=LOOPBACK if is_proxy else ())
    listener.start(make_server(port=listener.port).made.app)
    address = f"http://127.0.0.1:{listener.port}/health"
    try:
        silent = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(4)]
        silent[3].settimeout(0.5 if is_proxy else 3)  # less than it would be waited for
        with pytest.raises(TimeoutError) if is_proxy else contextlib.nullcontext():
            assert silent[3].recv(1) == b""  # hung up
        for wire in silent:
            wire.close()
        wait_for(lambda: is_answered(address))
    finally:
        listener.stop()


def test_with_a_certificate_it_speaks_tls_only(tmp_path: Path) -> None:
    """And its cookies are for TLS."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", *words.split(), *files, *names], check=True, capture_output=True)
    listener = Listener("127.0.0.1", 0, (tmp_path / "cert.pem", tmp_path / "key.pem"))
    server = make_server(port=listener.port, is_encrypted=True)
    listener.start(server.made.app)
    try:
        silent = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(5)]
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        address = f"127.0.0.1:{listener.port}"
        answer = httpx.post(f"https://{address}/login", json={"password": OPERATOR_TOKEN}, verify=context)
        assert answer.status_code == 200
        assert "Secure" in answer.headers["set-cookie"]
        for wire in silent:  # they said nothing, and held nobody up
            wire.close()
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://{address}/health", timeout=5)
    finally:
        listener.stop()
