"""Messages of a node to whoever listens, over one socket that never blocks.

ZeroMQ's XPUB drops what a slow listener does not take and tells who subscribes; a newcomer is answered with a
snapshot. No listener can hold the node up, and none is waited for (docs/terminal.md).
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import zmq

from ui.endpoint import zmq_address
from ui.protocol import SNAP
from ui.terminal_state import TerminalState

# Messages that wait for a listener; what is beyond is dropped for it, and it asks for a snapshot.
WAITING: Final = 2_000
OWNER_ONLY: Final = 0o077


class TelemetryPublisher:
    """Numbers messages, sends them, and keeps what a newcomer must be told.

    Everything happens in the caller's thread.

    Parameters
    ----------
    path
        Of the socket; its folder exists. A file that an ended node left there is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.epoch = secrets.token_hex(8)
        self.seq = 0
        self.dropped = 0
        self.is_watched = False
        """Whether anybody had subscribed when newcomers were last answered."""
        self.state = TerminalState()
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
        self._send(kind, payload, ts_ns)

    def answer_newcomers(self, ts_ns: int) -> bool:
        """Send a snapshot when somebody has subscribed since the last call; True if so."""
        is_asked = False
        with contextlib.suppress(zmq.Again):
            while True:
                # Of subscriptions every one is told, of their ends the last one.
                self.is_watched = self._socket.recv(zmq.NOBLOCK)[:1] == b"\x01"
                is_asked |= self.is_watched
        if is_asked:
            self._send(SNAP, self.state.snapshot(), ts_ns)
        return is_asked

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
        if not self.is_watched:
            return  # whoever comes is answered with a snapshot first
        try:
            message = self._encoder.encode((self.epoch, self.seq, ts_ns, kind, payload))
            self._socket.send(message, zmq.NOBLOCK, copy=True)
        except zmq.ZMQError:  # XPUB drops by itself; whatever else is wrong must not reach the node
            self.dropped += 1


__all__ = ["TelemetryPublisher"]
