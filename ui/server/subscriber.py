"""Hears a node: a zmq subscription on a thread of its own, renewed after every gap.

The node answers a new subscription with a snapshot; whoever misses a message closes its socket and
subscribes anew. A node that is away is waited for, as long as it takes.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import zmq

from ui.endpoint import reachable
from ui.protocol import Message, ProtocolError, decode
from ui.server.hub import Hub

log = logging.getLogger("smcbot.terminal")

POLL_MS: Final = 200
BATCH: Final = 500
HIGH_WATER: Final = 5_000
# No snapshot within this time of a subscription that messages arrive on: it got lost, ask anew.
# The node answers every other second, with history a little at a time.
SNAPSHOT_SECS: Final = 10.0
# Between two subscriptions after an error that nobody foresaw.
RETRY_SECS: Final = 1.0
STOP_SECS: Final = 2.0
MAX_MESSAGE_BYTES: Final = 64 << 20


class Subscriber:
    """Feeds a hub from a node's socket until it is stopped.

    Parameters
    ----------
    hub
        Takes the messages.
    path
        Of the node's telemetry socket; it need not exist yet.
    explained
        Returns a message with the reasons of the model's decisions in it.
    taken
        Told of messages after the hub.
    """

    def __init__(
        self,
        hub: Hub,
        path: Path,
        explained: Callable[[Message], Message] = lambda message: message,
        taken: Callable[[list[Message]], object] = lambda _messages: None,
    ) -> None:
        self._hub, self._path, self._explained, self._taken = hub, path, explained, taken
        self._context: zmq.Context[Any] = zmq.Context()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self.subscriptions = self.broken = self.failures = 0

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._stop.set()
        with contextlib.suppress(RuntimeError):
            self._thread.join(STOP_SECS)
        self._context.destroy(linger=0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                # A folder that a long address keeps open is closed with its socket: renewals are without end.
                with reachable(self._path) as address, self._socket(address) as socket:
                    self._listen(socket)
            except (zmq.ZMQError, OSError) as error:
                if self._stop.wait(POLL_MS / 1e3):
                    return
                log.debug("%s: %s", self._path, error)
            except Exception:  # whatever it is, the terminal must go on hearing the node
                log.exception("%s: hearing the node failed, subscribing anew", self._path)
                if self._stop.wait(RETRY_SECS):
                    return

    def _socket(self, address: str) -> "zmq.Socket[Any]":
        socket: zmq.Socket[Any] = self._context.socket(zmq.SUB)
        socket.setsockopt(zmq.RCVHWM, HIGH_WATER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 100)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(address)
        self.subscriptions += 1
        return socket

    def _listen(self, socket: "zmq.Socket[Any]") -> None:
        """Take messages until one is missing."""
        self._hub.lose()
        waiting_since_s: float | None = None
        while not self._stop.is_set():
            if not socket.poll(POLL_MS):
                continue
            now_s = time.monotonic()
            batch = self._batch(socket)
            if not self._hub.take(batch):
                log.warning("%s: messages of the node were lost, asking for a snapshot", self._path)
                return
            try:
                self._taken(batch)
            except Exception:  # what listens on must not take the terminal away from people
                self._note_failure("what was heard could not be passed on")
            if self._hub.feed.is_synced:
                waiting_since_s = None
            elif waiting_since_s is None:
                waiting_since_s = now_s
            elif now_s - waiting_since_s >= SNAPSHOT_SECS:
                return

    def _batch(self, socket: "zmq.Socket[Any]") -> list[Message]:
        messages: list[Message] = []
        for _ in range(BATCH):
            try:
                frame = socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            try:
                message = decode(frame)
            except ProtocolError as error:
                # Its number is missing then, and a snapshot follows: what came before stays right.
                self.broken += 1
                if self.broken in (1, 10, 100) or self.broken % 1_000 == 0:
                    log.warning("%s: %s (%d so far)", self._path, error, self.broken)
                continue
            try:
                message = self._explained(message)
            except Exception:  # a decision without its reasons is better than none
                self._note_failure("a decision is shown without its reasons")
            messages.append(message)
        return messages

    def _note_failure(self, what: str) -> None:
        self.failures += 1
        if self.failures in (1, 10, 100) or self.failures % 1_000 == 0:
            log.exception("%s: %s (%d so far)", self._path, what, self.failures)
