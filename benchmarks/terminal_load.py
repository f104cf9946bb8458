"""A load for the terminal's server: a node that tells many events, and browsers that take them.

Part of `bench_terminal_load.py`; ``python -m benchmarks.terminal_load FOLDER RATE`` is the node.
"""

import asyncio
import base64
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import msgspec

from tests.ui_fake_node import ADA, XRP, FakeNode, Market, now_ms
from tests.ui_server import environment, log_in
from ui import protocol as p
from ui.server.accounts import new_entry
from ui.server.hub import MAX_PER_PERSON

ROOT: Final = Path(__file__).resolve().parents[1]
TOLD_SECS: Final = 0.01
MOST_AT_ONCE: Final = 200
HISTORY: Final = 20_000
# Of a hundred events: the rest is developing buckets.
LINES, ORDERS, POSITIONS, BUCKETS = 10, 20, 10, 2
TEXT_OPCODE, PING_OPCODE = 1, 9
# As many people as may log in within a minute, with ten browsers each.
PEOPLE: Final = tuple(f"person{number}" for number in range(5))
PASSWORD: Final = "password of the benchmark"
START_SECS: Final = 60.0


# -- the node ------------------------------------------------------------------------------------------------


def be_node(folder: Path, rate: float) -> None:
    """Tell so many events a second until a signal.

    It keeps as many buckets as the server does, so that the server's rings are full from the start: what
    grows then grows for another reason.
    """
    with FakeNode(folder / "paper", max_buckets=HISTORY) as node:
        market = Market(node)
        market.history(HISTORY)
        market.second()
        print("ready", flush=True)
        begun_s, told, left_out = time.monotonic(), 0, 0
        while True:
            due = int((time.monotonic() - begun_s) * rate) - told - left_out
            for _ in range(min(due, MOST_AT_ONCE)):
                tell(node, market, told)
                told += 1
            # A machine that stood still for seconds: no node tells of them in one burst.
            left_out += max(0, due - MOST_AT_ONCE)
            time.sleep(TOLD_SECS)


def tell(node: FakeNode, market: Market, number: int) -> None:
    """Tell one event; of a hundred, so many of each kind."""
    place, now = number % 100, now_ms()
    ins = XRP if number % 2 else ADA
    if place < LINES:
        node.publish("log", p.LogLine(ts=now, level="INFO", src="load", text="a line"))
    elif place < LINES + ORDERS:
        node.publish("ord", p.OrderView(
            coid=f"O-{number % 500}", ins=ins, setup="S", role="entry", side="buy", type="LIMIT", tif="GTC",
            qty="100.0", filled="0", status="ACCEPTED", ts=now, px="2.0000",
        ))  # fmt: skip
    elif place < LINES + ORDERS + POSITIONS:
        node.publish("pos", p.PositionView(
            ins=ins, setup="S", side="long", qty="100.0", avg="2.0000", rpnl="0", upnl=str(number), since=now
        ))  # fmt: skip
    elif place < LINES + ORDERS + POSITIONS + BUCKETS:
        node.publish("bkt", market.bucket(ins, now - 100, now))
    else:
        market.develop()


# -- browsers ------------------------------------------------------------------------------------------------


class Browser:
    """A page's socket: takes frames, acknowledges them, and notes how old their lines are.

    Parameters
    ----------
    address, cookie, csrf
        Of the server and the login.
    """

    def __init__(self, address: str, cookie: str, csrf: str) -> None:
        self._host, self._port = address.removeprefix("http://").split(":")
        self._cookie, self._csrf = cookie, csrf
        self.late_ms: list[int] = []
        self.frames = self.snapshots = 0
        self.is_lost = False
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def connect(self) -> None:
        """Open the socket and say who one is."""
        self._reader, self._writer = await asyncio.open_connection(self._host, int(self._port), limit=1 << 26)
        origin = f"{self._host}:{self._port}"
        head = {
            "Host": origin,
            "Origin": f"http://{origin}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
            "Cookie": self._cookie,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        self._writer.write(f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n{lines}\r\n".encode())
        answer = await self._reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in answer[:20]:
            raise RuntimeError(f"refused: {answer[:60]!r}")
        self._say(f"40{json.dumps({'csrf': self._csrf, 'proto': p.VERSION})}")

    async def read(self) -> None:
        """Read until the socket ends."""
        try:
            while True:
                self._take(*await self._message())
        except (asyncio.IncompleteReadError, ConnectionError):
            self.is_lost = True

    def hang(self) -> Callable[[], bool]:
        """Read nothing more; return what tells whether the server has hung up."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]
        wire = self._writer.get_extra_info("socket")
        poll = select.poll()
        poll.register(wire.fileno(), select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        return lambda: bool(poll.poll(0))

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    async def _message(self) -> tuple[int, bytes]:
        first, second = await self._reader.readexactly(2)
        length = second & 127
        if length > 125:
            length = int.from_bytes(await self._reader.readexactly(2 if length == 126 else 8))
        return first & 15, await self._reader.readexactly(length)

    def _take(self, opcode: int, body: bytes) -> None:
        if opcode == PING_OPCODE or body == b"2":
            self._say("3")
        if opcode != TEXT_OPCODE or not body.startswith(b"42"):
            return
        at = body.index(b"[")
        _, frame = msgspec.json.decode(body[at:])
        self._say(f"43{body[2:at].decode()}[]")
        self.frames += 1
        if frame["t"] == "snap":
            self.snapshots += 1
            return
        now = now_ms()
        self.late_ms += [now - one["ts"] for _, kind, one in frame["e"] if kind == "log"]

    def _say(self, text: str) -> None:
        body, mask = text.encode(), secrets.token_bytes(4)
        size = bytes([0x80 | len(body)]) if len(body) < 126 else bytes([0xFE]) + len(body).to_bytes(2)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))
        self._writer.write(b"\x81" + size + mask + masked)


class Crowd:
    """Browsers of several people, all of them reading; an asynchronous context manager.

    Parameters
    ----------
    address
        Of the server, started with `crowd_environment`.
    count
        Of browsers.
    """

    def __init__(self, address: str, count: int) -> None:
        self._address, self._count = address, count
        self.browsers: list[Browser] = []
        self._readers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        people = -(-self._count // MAX_PER_PERSON)
        logins = [log_in(self._address, PASSWORD, name) for name in PEOPLE[:people]]
        for number in range(self._count):
            browser = Browser(self._address, *logins[number % people])
            await browser.connect()
            self.browsers.append(browser)
            self._readers.append(asyncio.create_task(browser.read()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for one in self.browsers:
            one.close()
        for task in self._readers:
            task.cancel()


def crowd_environment() -> dict[str, str]:
    """Return the variables of a server that lets the people of a crowd in; hashing takes a second."""
    people = " ".join(new_entry(name, "operator", PASSWORD) for name in PEOPLE)
    return {**os.environ, **environment(), "SMCBOT_TERMINAL_USERS": people, "PYTHONPATH": str(ROOT)}


# -- processes -----------------------------------------------------------------------------------------------


@contextmanager
def told_by_node(folder: Path, rate: float, core: int) -> Iterator[Path]:
    """Run the node on a core; yields the settings of a server for it."""
    config = folder / "config.yaml"
    config.write_text(
        json.dumps({"live": {"folder": str(folder)}, "journal": {"url": f"sqlite:///{folder}/j.sqlite"}})
    )
    command = pinned(core, "-m", "benchmarks.terminal_load", str(folder), str(rate))
    node = subprocess.Popen(command, stdout=subprocess.PIPE, env=crowd_environment(), cwd=ROOT)
    assert node.stdout is not None
    try:
        node.stdout.readline()
        yield config
    finally:
        end(node)


@contextmanager
def served(config: Path, core: int, mode: str = "paper") -> Iterator[tuple[int, str]]:
    """Run the server of a node on a core; yields its process id and address."""
    command = pinned(core, "-m", "ui", "serve", "--mode", mode, "--port", "0", "--config", str(config))
    words = config.parent / "server.txt"
    with words.open("wb") as stream:
        server = subprocess.Popen(command, stderr=stream, env=crowd_environment(), cwd=config.parent)
    try:
        until_s = time.monotonic() + START_SECS
        while "terminal at " not in (said := words.read_text()):
            if server.poll() is not None or time.monotonic() > until_s:
                raise RuntimeError(f"the server did not start: {said}")
            time.sleep(0.05)
        yield server.pid, said.split("terminal at ")[1].split()[0]
    finally:
        end(server)


@contextmanager
def processes(folder: Path, rate: float, cores: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Run node and server, each on a core; yields the server's process id and address."""
    with told_by_node(folder, rate, cores[0]) as config, served(config, cores[-1]) as found:
        yield found


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process in order."""
    process.send_signal(signal.SIGTERM)
    process.wait(20)


def pinned(core: int, *words: str) -> list[str]:
    """Return a command that runs Python on one core."""
    return ["taskset", "-c", str(core), sys.executable, *words]


def rss_mb(pid: int) -> float:
    """Return the memory that a process has now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_secs(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    be_node(Path(sys.argv[1]), float(sys.argv[2]))
