"""Messages of a node to whoever listens, over one socket that never blocks.

ZeroMQ's XPUB drops what a slow listener does not take and tells who subscribes; a newcomer is answered with a
snapshot. No listener can hold the node up, and none is waited for: the history of buckets and bars goes
before the snapshot, some in each turn of the loop, and snapshots are seldom (docs/how-to/terminal.md).
"""

import contextlib
import os
import secrets
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import zmq

from ui.endpoint import zmq_address
from ui.protocol import PAST, SNAP, Past
from ui.terminal_state import TerminalState

# Messages that wait for a listener; what is beyond is dropped for it, and it asks for a snapshot.
WAITING: Final = 2_000
OWNER_ONLY: Final = 0o077
# Buckets and bars in one turn of the loop: a millisecond's worth. Trades come between.
SLICE: Final = 250
# Between two answers; who asks in between waits.
ANSWER_SECS: Final = 2.0
HISTORY: Final = frozenset({"bkt", "bar"})


class TelemetryPublisher:
    """Numbers messages, sends them, and keeps what a newcomer must be told.

    Everything happens in the caller's thread.

    Parameters
    ----------
    path
        Of the socket; its folder exists. A file that an ended node left there is replaced.
    call_soon
        Runs a function with the next turn of the caller's loop; without it history goes on with the next
        `answer_newcomers`.
    """

    def __init__(self, path: Path, call_soon: Callable[[Callable[[], None]], object] | None = None) -> None:
        self.epoch = secrets.token_hex(8)
        self.seq = 0
        self.dropped = 0
        self.is_watched = False
        """Whether anybody had subscribed when newcomers were last answered."""
        self.state = TerminalState(zones_of_all=True)
        self._call_soon = call_soon
        self._answer: _Answer | None = None
        self._is_asked = False
        self._answered_s = -ANSWER_SECS
        self._encoder = msgspec.msgpack.Encoder()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, WAITING)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # every subscription is a question for a snapshot
        self._path = path
        path.unlink(missing_ok=True)
        before = os.umask(OWNER_ONLY)
        try:
            self._socket.bind(zmq_address(path))
        finally:
            os.umask(before)

    def publish(self, kind: str, payload: Any, ts_ns: int) -> None:
        """Send a message and remember it.

        Parameters
        ----------
        kind
            See `ui.protocol.KINDS`.
        payload
            The struct of that kind.
        ts_ns
            UNIX nanoseconds.
        """
        self.state.apply(kind, payload)
        if self._answer is not None and kind in HISTORY:
            self._answer.later(kind, payload)
        self._send(kind, payload, ts_ns)

    def answer_newcomers(self, ts_ns: int) -> bool:
        """Answer those who have subscribed with history and a snapshot; True when that one was sent.

        Parameters
        ----------
        ts_ns
            UNIX nanoseconds.
        """
        with contextlib.suppress(zmq.Again):
            while True:
                # Of subscriptions every one is told, of their ends the last one.
                self.is_watched = self._socket.recv(zmq.NOBLOCK)[:1] == b"\x01"
                self._is_asked |= self.is_watched
        if self._answer is not None:
            return self._call_soon is None and self._go_on()
        if not self._is_asked or time.monotonic() - self._answered_s < ANSWER_SECS:
            return False
        self._is_asked = False
        self._answer = _Answer(self.state, ts_ns)
        return self._go_on()

    def _go_on(self) -> bool:
        """Send some more history; after the last of it the snapshot. True when that was sent."""
        answer = self._answer
        if answer is None or self._socket.closed:
            return False
        if (past := answer.next()) is not None:
            self._transmit(self.seq, PAST, past, answer.ts_ns)
        if answer.is_done:
            self._answer = None
            self._answered_s = time.monotonic()
            snapshot = self.state.snapshot(with_buckets=False)
            snapshot.past = answer.parts
            self._send(SNAP, snapshot, answer.ts_ns)
            return True
        if self._call_soon is not None:
            self._call_soon(self._turn)
        return False

    def _turn(self) -> None:
        """Go on in a turn of its own, where an error would reach the loop."""
        try:
            self._go_on()
        except Exception:  # who asked asks again after a while
            self._answer = None
            self.dropped += 1

    def close(self) -> None:
        """Send nothing more."""
        self._socket.close()
        self._context.term()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, kind: str, payload: Any, ts_ns: int) -> None:
        self.seq += 1
        self._transmit(self.seq, kind, payload, ts_ns)

    def _transmit(self, seq: int, kind: str, payload: Any, ts_ns: int) -> None:
        if not self.is_watched:
            return  # whoever comes is answered with a snapshot first
        try:
            message = self._encoder.encode((self.epoch, seq, ts_ns, kind, payload))
            self._socket.send(message, zmq.NOBLOCK, copy=True)
        except zmq.ZMQError:  # XPUB drops by itself; whatever else is wrong must not reach the node
            self.dropped += 1


class _Answer:
    """History as it was when somebody asked, and what has closed since."""

    def __init__(self, state: TerminalState, ts_ns: int) -> None:
        self.ts_ns, self.parts = ts_ns, 0
        self._rings = deque((kind, ring) for kind, ring in state.history() if ring)
        self._untouched = {_key(ring[0]) for _, ring in self._rings}
        self._begun: deque[Any] | None = None

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return not self._rings

    def later(self, kind: str, payload: Any) -> None:
        """Take what has closed meanwhile: it goes last, unless its ring is still to come."""
        if self._rings and _key(payload) not in self._untouched:
            self._rings.append((kind, deque((payload,))))

    def next(self) -> Past | None:
        """Return the next `SLICE`, None where nothing is left."""
        if not self._rings:
            return None
        past, left = Past(part=self.parts, bkt=[], bar=[]), SLICE
        while self._rings and left:
            kind, ring = self._rings[0]
            if self._begun is None:
                self._begun = ring.copy()  # one that moves on while it is walked would lose some
                self._untouched.discard(_key(ring[0]))
            taken = [self._begun.popleft() for _ in range(min(left, len(self._begun)))]
            (past.bkt if kind == "bkt" else past.bar).extend(taken)
            left -= len(taken)
            if not self._begun:
                self._begun = None
                self._rings.popleft()
        self.parts += 1
        return past


def _key(payload: Any) -> tuple[str, str]:
    return payload.ins, getattr(payload, "tf", "")


__all__ = ["TelemetryPublisher"]
