"""A node on the local exchange with its terminal beside it, and a Chromium in front of both."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from playwright.sync_api import Browser, Page, expect

from tests.faults.harness import ROOT, START_SECS, WAIT_SECS, FaultVenue, LiveNode, wait
from tests.paper_demo import write_settings
from tests.ui_server import OPERATOR_TOKEN, environment

PATIENCE_MS: Final = 20_000
LOOPBACK: Final = "127.0.0.1"
# Cookies of those who logged in, by address and token.
LOGINS: Final[dict[tuple[str, str], Any]] = {}


def free_port() -> int:
    """Return a port of loopback that nobody has now."""
    with socket.socket() as one:
        one.bind((LOOPBACK, 0))
        return int(one.getsockname()[1])


class NodeWithTerminal(LiveNode):
    """`live_node.py --terminal-port N` with two tokens: an operator's and a viewer's.

    Parameters
    ----------
    venue, folder, options
        As `LiveNode` takes them.
    """

    def __init__(self, venue: FaultVenue, folder: Path, **options: Any) -> None:
        port = free_port()
        self.address = f"http://{LOOPBACK}:{port}"
        super().__init__(
            venue, folder, words=("--terminal-port", str(port)), environment=environment(), **options
        )

    def wait_served(self, times: int = 1) -> None:
        """Wait until the terminal serves, for the first time or again; it starts in its own time."""
        said = f"terminal at {self.address}"
        self.wait("the terminal serves", lambda: self.words.count(said) >= times, START_SECS)

    def terminal_pid(self) -> int:
        """Return the process of the terminal of now."""
        for status in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = status.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"serve" in words and str(self.process_id).encode() in words:
                return int(status.parent.name)
        raise AssertionError("no terminal runs")


class PaperNode:
    """A paper node with its terminal as a process of its own; a context manager.

    Parameters
    ----------
    settings
        Of the node.
    folder
        For its settings and words.
    """

    def __init__(self, settings: dict[str, Any], folder: Path) -> None:
        port = free_port()
        self.address = f"http://{LOOPBACK}:{port}"
        file = write_settings(settings, folder / "config.yaml")
        self._words = folder / "stderr.txt"
        command = [sys.executable, str(ROOT / "live_node.py"), "--mode", "paper", "--config", str(file)]
        self._command = [*command, "--terminal-port", str(port)]

    def __enter__(self) -> Self:
        variables = {name: value for name, value in os.environ.items() if name != "SMCBOT_JOURNAL_URL"}
        variables |= {**environment(), "PYTHONPATH": str(ROOT)}
        with self._words.open("wb") as stream:
            self._process = subprocess.Popen(self._command, env=variables, stderr=stream)
        wait("node and terminal are there", self._is_there, START_SECS)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(WAIT_SECS)
        finally:
            self._process.kill()

    def _is_there(self) -> bool:
        words = self._words.read_text()
        assert self._process.poll() is None, words
        return f"terminal at {self.address}" in words and " trades " in words


class Tab:
    """A page that is logged in, with what it said and what was sent to it.

    Parameters
    ----------
    page
        Of Chromium.
    address
        Of the terminal.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self.frames: list[dict[str, Any]] = []
        page.on("console", lambda one: self.errors.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda one: self.errors.append(str(one)))
        page.on("request", lambda one: None if address in _http(one.url) else self.strangers.append(one.url))
        page.on("websocket", lambda one: one.on("framereceived", self._take))

    def _take(self, payload: Any) -> None:
        """Keep a frame of the terminal: Socket.IO's ``42<id>["f", {...}]``."""
        text = payload if isinstance(payload, str) else payload.decode()
        if text.startswith("42") and '["f",' in text[:20]:
            self.frames.append(json.loads(text[text.index("[") :])[1])

    def log_in(self, token: str) -> None:
        """Log in and wait for the node's data."""
        self.page.goto(f"{self.address}/login")
        self.page.locator("input[name=password]").fill(token)
        self.page.locator("button").click()
        self.wait_fresh()

    def wait_fresh(self) -> None:
        """Wait until the header says that the data are live."""
        expect(self.page.locator(".badge")).to_have_attribute("data-freshness", "live", timeout=PATIENCE_MS)

    def act(self, action: str, confirm: str = "", word: str = "") -> None:
        """Click a button of the header, and confirm it, with a word where one is asked."""
        self.page.locator(f"[data-action={action}]").click()
        if word:
            self.page.locator("dialog input").fill(word)
        if confirm:
            self.page.locator("dialog button", has_text=confirm).click()

    def kinds(self) -> set[str]:
        """Return the kinds of messages that came."""
        told = {kind for frame in self.frames if frame["t"] == "d" for _, kind, _ in frame["e"]}
        snaps = [frame["S"] for frame in self.frames if frame["t"] == "snap"]
        return told | {kind for known in snaps for kind, value in known.items() if value}

    def bucket_numbers(self, ins: str) -> list[int]:
        """Return the numbers of an instrument's closed buckets that were told after snapshots, in order."""
        return [
            payload["i"]
            for frame in self.frames
            if frame["t"] == "d"
            for _, kind, payload in frame["e"]
            if kind == "bkt" and payload["ins"] == ins
        ]

    def are_whole(self) -> bool:
        """Tell whether no number is missing between a snapshot and the frames that follow it."""
        seq = None
        for frame in self.frames:
            if frame["t"] == "d" and frame["from"] != seq:
                return False
            seq = frame["seq"]
        return seq is not None


def _http(url: str) -> str:
    return url.replace("ws://", "http://", 1)


@contextmanager
def opened(browser: Browser, address: str, token: str = OPERATOR_TOKEN) -> Iterator[Tab]:
    """Give a tab of a context of its own that is logged in.

    The login is that of the first time: the terminal takes five a minute.
    """
    known = LOGINS.get((address, token))
    context = browser.new_context(viewport={"width": 1440, "height": 900}, storage_state=known)
    try:
        tab = Tab(context.new_page(), address)
        if known is None:
            tab.log_in(token)
            LOGINS[address, token] = context.storage_state()
        else:
            tab.page.goto(address)
            tab.wait_fresh()
        yield tab
    finally:
        context.close()


def until(page: Page, what: str, found: Callable[[], Any], secs: float = PATIENCE_MS / 1e3) -> Any:
    """Wait until something is found, while the page goes on."""
    end = time.monotonic() + secs
    while not (result := found()):
        assert time.monotonic() < end, f"never within {secs:g} s: {what}"
        page.wait_for_timeout(50)
    return result
