"""F20 at the terminal: it is flooded from both sides, and the node goes on trading as before.

The node tells its terminal up to 10,000 events a second (`tests.flooded_node`: its own publisher, its own
thread), 200 sockets are tried, half of them with a login, one browser with a login reads nothing and another
one reads everything. The flood has the same cores as node and exchange, so how much later cancellations are
sent is printed with the rate (``-s`` shows it) and judged by a generous fuse alone; that each is sent, once,
is judged.
"""

import base64
import concurrent.futures
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.browser.live import NodeWithTerminal
from tests.faults.books import books_agree
from tests.faults.harness import ROOT, running_venue, wait
from tests.faults.test_commands import cancel_once, wait_journaled
from tests.flooded_node import FILE_VARIABLE, RATE
from tests.ui_server import SECRET, Server, Tab, command, upgrade
from ui.protocol import VERSION

pytestmark = pytest.mark.slow

ROUNDS: Final = 8
ATTEMPTS: Final = 200
AT_ONCE: Final = 20
# What a terminal gives one who reads nothing, and then as much for a machine that is busy.
DROPPED_SECS: Final = 30.0
# How much later a cancellation may be sent than without a flood, by medians: 1.1 to 1.4 were seen.
MOST_LATER: Final = 3.0
# A flood that is less is none; a loaded machine does not reach the whole rate.
LEAST_SHARE: Final = 0.5


class FloodedNode(NodeWithTerminal):
    """A live node with its terminal that tells far more than happens while `flooding` runs."""

    def __init__(self, venue: Any, folder: Path) -> None:
        self.flood_file = folder / "flood"
        super().__init__(venue, folder)

    def launch(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the process and wait for nothing."""
        self.starts += 1
        shared = {name: value for name, value in os.environ.items() if name != "SMCBOT_JOURNAL_URL"}
        shared |= self.venue.kind.environment() | self._environment | dict(environment or {})
        shared[FILE_VARIABLE] = str(self.flood_file)
        command = [sys.executable, "-m", "tests.flooded_node", "run", "--mode", "live"]
        command += ["--config", str(self.file), *self._words, "--live-approved", self.config_sha256()]
        with (self.folder / f"stderr{self.starts}.txt").open("wb") as stream:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=shared, stdout=subprocess.DEVNULL, stderr=stream
            )

    @contextmanager
    def flooding(self) -> Iterator[None]:
        """Let the node tell `RATE` events a second meanwhile."""
        self.flood_file.touch()
        try:
            yield
        finally:
            self.flood_file.unlink()

    def told_per_second(self) -> int:
        """Return what it told of the last flood, events a second."""
        file = self.flood_file.with_suffix(".rate")
        return int(self.wait("the node says what it told", lambda: file.exists() and file.read_text()))


class SilentBrowser:
    """A browser's socket that says who it is and reads nothing.

    Parameters
    ----------
    address, cookie, csrf
        Of the terminal and the login.
    """

    def __init__(self, address: str, cookie: str, csrf: str) -> None:
        host, port = address.removeprefix("http://").split(":")
        self._wire = socket.socket()
        self._wire.connect((host, int(port)))
        head = {
            "Host": f"{host}:{port}",
            "Origin": address,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
            "Cookie": cookie,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        self._wire.sendall(f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n{lines}\r\n".encode())
        assert b" 101 " in self._wire.recv(64)
        said, mask = f"40{json.dumps({'csrf': csrf, 'proto': VERSION})}".encode(), secrets.token_bytes(4)
        assert len(said) < 126
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(said))
        self._wire.sendall(bytes([0x81, 0x80 | len(said)]) + mask + masked)

    def close(self) -> None:
        """Hang up."""
        self._wire.close()


def knock(tab: Tab, address: str, number: int) -> int:
    """Try to open a socket, every second time with a login; return the status."""
    cookie = {"Cookie": tab.cookie} if number % 2 else {}
    return upgrade(address, Origin=address, **cookie)


def command_by_program(address: str, action: str, number: int) -> tuple[dict[str, Any], float]:
    """Send a command with the shared secret; return the answer and how long it took, ms."""
    begun_s = time.perf_counter()
    answer = httpx.post(
        f"{address}/api/v1/commands",
        json=command(action, number),
        headers={"X-Shared-Secret": SECRET},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found, (time.perf_counter() - begun_s) * 1e3


def figures(address: str) -> dict[str, float]:
    """Return the terminal's own figures by name."""
    answer = httpx.get(f"{address}/api/v1/metrics", headers={"X-Shared-Secret": SECRET}, timeout=30)
    rows = (one.split() for one in answer.text.splitlines() if not one.startswith("#"))
    return {name.removeprefix("smcbot_terminal_"): float(value) for name, value in rows}


def dropped_after(address: str) -> float:
    """Wait until the terminal has disconnected somebody; return how long that took, seconds."""
    begun_s = time.monotonic()
    wait("who reads nothing is out", lambda: figures(address)["dismissed_total"], DROPPED_SECS)
    return time.monotonic() - begun_s


def test_F20_a_flood_of_the_terminal_leaves_trading_alone(tmp_path: Path) -> None:
    """Every cancellation is sent, commands are executed, the silent one is thrown out, the books agree."""
    with running_venue("binance_usdm") as venue, FloodedNode(venue, tmp_path) as node:
        node.start()
        node.wait_served()
        tab = Tab(Server(None, None, None, node.address)).connect()  # type: ignore[arg-type]
        calm = [cancel_once(venue, node) for _ in range(ROUNDS)]
        with node.flooding(), concurrent.futures.ThreadPoolExecutor(AT_ONCE + 1) as pool:
            begun_s, seen, before = time.monotonic(), len(tab.frames), figures(node.address)
            silent = SilentBrowser(node.address, tab.cookie, tab.csrf)
            dropped = pool.submit(dropped_after, node.address)
            attempts = [pool.submit(knock, tab, node.address, one) for one in range(ATTEMPTS)]
            flooded = [cancel_once(venue, node) for _ in range(ROUNDS // 2)]
            paused, pause_ms = command_by_program(node.address, "pause", 1)
            node.wait("it is paused", lambda: node.desk()["held"])
            resumed, resume_ms = command_by_program(node.address, "resume", 2)
            node.wait("it trades again", lambda: not node.desk()["held"])
            flooded += [cancel_once(venue, node) for _ in range(ROUNDS // 2)]
            statuses = Counter(one.result() for one in attempts)
            dropped_secs = dropped.result()
            frames, secs, after = len(tab.frames) - seen, time.monotonic() - begun_s, figures(node.address)
        later = statistics.median(flooded) / statistics.median(calm)
        told = node.told_per_second()
        is_served = tab.io.connected
        tab.close()
        silent.close()
        wait_journaled(venue, node)
        books = books_agree(node, venue)
        desk = node.desk()
        print(json.dumps({
            "told_per_second": told,
            "taken_per_second": round((after["messages_total"] - before["messages_total"]) / secs),
            "gaps": after["gaps_total"] - before["gaps_total"],
            "flooded_secs": round(secs, 1),
            "calm_ms": [round(statistics.median(calm), 1), round(max(calm), 1)],
            "flooded_ms": [round(statistics.median(flooded), 1), round(max(flooded), 1)],
            "ratio_of_medians": round(later, 2),
            "pause_ms": round(pause_ms, 1), "resume_ms": round(resume_ms, 1),
            "attempts": dict(statuses), "silent_dropped_after_secs": round(dropped_secs, 1),
            "frames_of_the_other_per_second": round(frames / secs, 1), **books,
        }))  # fmt: skip
        assert told >= RATE * LEAST_SHARE
        assert later <= MOST_LATER
        assert [paused["outcome"], resumed["outcome"]] == ["done", "done"]
        # Nobody without a login gets a socket, and a flood of those breaks nothing.
        assert statuses == {101: ATTEMPTS // 2, 401: ATTEMPTS // 2}
        assert (is_served, after["dismissed_total"]) == (True, 1)
        assert frames > secs
        assert books["orders"] >= 2 * ROUNDS
        assert not desk["halted"]
        assert node.stop() == 0
