"""The terminal's server under load: many browsers, one that reads nothing, and memory over time.

| what | goal |
|---|---|
| an event of the node until a browser has it, p99 over all browsers and events | at most 80 ms |
| one browser that is stopped: until it is disconnected | at most 10 s |
| memory of the server, last against first tenth of the time after the rings are full | flat |

A node process tells 1,000 events a second: developing buckets of two instruments, orders, positions, closed
buckets and lines of the log. It is held on the first core; the server (`python -m ui serve`) is on the last
one, with the browsers: sockets of this process that take frames and acknowledge them as the pages do. Latency
is that of log lines, which are never conflated, from the line's time in the node to the parsed frame: whole
milliseconds of one clock. A regression means that frames are made per browser again, or that a slow one
holds up the others.

    python benchmarks/bench_terminal_load.py [--clients 50] [--rate 1000] [--secs 60] [--json]
"""

import argparse
import asyncio
import base64
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.ui_fake_node import ADA, XRP, FakeNode, Market, now_ms  # noqa: E402
from tests.ui_server import OPERATOR_TOKEN, environment, log_in  # noqa: E402
from ui import protocol as p  # noqa: E402

GOALS: Final = {"p99_ms": 80.0, "dropped_after_secs": 10.0}
TOLD_SECS: Final = 0.01
HISTORY: Final = 20_000
# Of a hundred events: the rest is developing buckets.
LINES, ORDERS, POSITIONS, BUCKETS = 10, 20, 10, 2
SAMPLE_SECS: Final = 2.0
STOP_AFTER: Final = 0.3
TEXT_OPCODE, PING_OPCODE = 1, 9


# -- the node ------------------------------------------------------------------------------------------------


def be_node(folder: Path, rate: float) -> None:
    """Tell so many events a second until a signal."""
    with FakeNode(folder / "paper") as node:
        market = Market(node)
        market.history(HISTORY)
        market.second()
        print("ready", flush=True)
        begun_s, told = time.monotonic(), 0
        while True:
            for _ in range(int((time.monotonic() - begun_s) * rate) - told):
                tell(node, market, told)
                told += 1
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
        self._say(f"40{json.dumps({'csrf': self._csrf, 'proto': 1})}")

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


# -- measuring -----------------------------------------------------------------------------------------------


@contextmanager
def processes(folder: Path, rate: float, cores: tuple[int, int]) -> Iterator[tuple[int, str]]:
    """Run node and server; yields the server's process id and address."""
    config = folder / "config.yaml"
    config.write_text(
        json.dumps({"live": {"folder": str(folder)}, "journal": {"url": f"sqlite:///{folder}/j.sqlite"}})
    )
    variables = {**os.environ, **environment(), "PYTHONPATH": str(ROOT)}
    words = [__file__, "--as-node", str(folder), "--rate", str(rate)]
    node = subprocess.Popen(pinned(cores[0], *words), stdout=subprocess.PIPE, env=variables, cwd=folder)
    assert node.stdout is not None
    node.stdout.readline()
    words = ["-m", "ui", "serve", "--mode", "paper", "--port", "0", "--config", str(config)]
    server = subprocess.Popen(
        pinned(cores[1], *words), stderr=subprocess.PIPE, text=True, env=variables, cwd=folder
    )
    assert server.stderr is not None
    try:
        said = ""
        while "terminal at " not in said:
            said = server.stderr.readline()
            if not said:
                raise RuntimeError("the server did not start")
        yield server.pid, said.split("terminal at ")[1].strip()
    finally:
        for one in (server, node):
            one.send_signal(signal.SIGTERM)
            one.wait(20)


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


async def measure(address: str, pid: int, clients: int, secs: float) -> dict[str, Any]:
    """Connect browsers, stop one of them in between, and return the figures."""
    cookie, csrf = log_in(address, OPERATOR_TOKEN)
    browsers = [Browser(address, cookie, csrf) for _ in range(clients)]
    for one in browsers:
        await one.connect()
    hanging, others = browsers[0], browsers[1:]
    readers = [asyncio.create_task(one.read()) for one in browsers]
    await asyncio.sleep(3)  # snapshots
    for one in browsers:
        one.late_ms.clear()
    begun_s, begun_cpu_s = time.monotonic(), cpu_secs(pid)
    memory: list[float] = []
    hung_s = dropped_s = 0.0
    has_hung_up: Callable[[], bool] = bool
    while (now_s := time.monotonic()) - begun_s < secs:
        if not hung_s and now_s - begun_s >= secs * STOP_AFTER:
            hung_s, has_hung_up = now_s, hanging.hang()
        if hung_s and not dropped_s and has_hung_up():
            dropped_s = now_s
        if len(memory) * SAMPLE_SECS <= now_s - begun_s:
            memory.append(rss_mb(pid))
        await asyncio.sleep(0.05)
    for one in browsers:
        one.close()
    for task in readers:
        task.cancel()
    late = np.array([ms for one in others for ms in one.late_ms])
    tenth = max(1, len(memory) // 10)
    return {
        "clients": clients,
        "secs": secs,
        "lines": len(late),
        "lines_per_client_per_s": len(late) / len(others) / secs,
        "p50_ms": float(np.median(late)),
        "p99_ms": float(np.percentile(late, 99)),
        "max_ms": float(late.max()),
        "frames_per_client_per_s": sum(one.frames for one in others) / len(others) / secs,
        "snapshots_more_than_one": sum(one.snapshots - 1 for one in others),
        "others_lost": sum(one.is_lost for one in others),
        "dropped_after_secs": dropped_s - hung_s if dropped_s else None,
        "server_cpu_share": (cpu_secs(pid) - begun_cpu_s) / secs,
        "rss_mb": [round(float(np.mean(part)), 1) for part in (memory[:tenth], memory[-tenth:])],
        "rss_mb_max": round(max(memory), 1),
        "load": os.getloadavg()[0],
    }


def main() -> int:
    """Measure and print; return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rate", type=float, default=1_000.0, help="events a second")
    parser.add_argument("--secs", type=float, default=60.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--as-node", type=Path, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.as_node is not None:
        be_node(wanted.as_node, wanted.rate)
    cores = sorted(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory() as folder,
        processes(Path(folder), wanted.rate, (cores[0], cores[-1])) as (pid, address),
    ):
        os.sched_setaffinity(0, {cores[-1]})
        figures = asyncio.run(measure(address, pid, wanted.clients, wanted.secs))
    missed = 0
    for name, most in GOALS.items():
        value = figures[name]
        is_met = value is not None and value <= most
        missed += not is_met
        print(f"{name:22} {value}  at most {most:g}{'' if is_met else '  MISSED'}", file=sys.stderr)
    print(json.dumps(figures) if wanted.json else json.dumps(figures, indent=2))
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
