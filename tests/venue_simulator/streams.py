"""Websocket connections: many pre-encoded frames per write, with latency and the faults of streams.

Frames are made here and go straight to the transport, many in one write: 20,000 trades per second would
otherwise cost 20,000 coroutine calls. Servers do not mask, so a frame is its header and the text.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

from aiohttp import WSMsgType, web

from tests.venue_simulator.faults import Faults

MOST_UNREAD_BYTES: Final = 64 * 1024 * 1024  # a reader that is so far behind is cut off, as venues do

SOON_SECS: Final = 0.0005  # what is due within it goes with what is due now


def frame(text: str | bytes) -> bytes:
    """Encode one unmasked text frame (RFC 6455, section 5.2)."""
    payload = text.encode() if isinstance(text, str) else text
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2) + payload
    return b"\x81\x7f" + size.to_bytes(8) + payload


class Connection:
    """One open websocket.

    Parameters
    ----------
    name
        What it is, for `/ctl/state`: "market", "user", "trade".
    socket, transport
        The accepted websocket and what is under it.
    faults
        The venue's troubles.
    latency_secs
        From `send` to the write.
    on_written
        Called with each private message when it is written.
    """

    def __init__(
        self,
        name: str,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        faults: Faults,
        latency_secs: Callable[[], float],
        on_written: Callable[[str], object] = lambda _text: None,
    ) -> None:
        self.name = name
        self.topics: set[str] = set()  # what it subscribed, for the protocol
        self.state: dict[str, Any] = {}  # whatever the protocol must remember (account, listenKey, ...)
        self.frames_sent = 0
        self._socket = socket
        self._transport = transport
        self._faults = faults
        self._latency_secs = latency_secs
        self._loop = asyncio.get_running_loop()
        self._on_written = on_written
        self._queue: deque[tuple[float, bytes]] = deque()
        self._private: deque[tuple[float, str]] = deque()  # of the queue
        self._held: list[bytes] = []  # waits for the next message ("reorder")
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether anything sent can still arrive."""
        return not self._socket.closed and not self._transport.is_closing()

    def send(self, kind: str, text: str | bytes) -> None:
        """Queue one text message; `kind` is what stream faults go by."""
        if kind.startswith("private"):
            self._private.append((self._due(), text if isinstance(text, str) else text.decode()))
        self.send_frames(kind, (frame(text),))

    def send_frames(self, kind: str, frames: Iterable[bytes]) -> None:
        """Queue encoded messages of one kind; faults meet each of them."""
        due = self._due()
        if self._faults.stream_faults or self._held:
            frames = [out for one in frames for out in self._through_faults(kind, one)]
        for one in frames:
            self._queue.append((due, one))
        if self._queue and self._timer is None:
            self._timer = self._loop.call_at(self._queue[0][0], self._flush)

    def _due(self) -> float:
        return self._loop.time() + self._latency_secs() + self._faults.delay_secs

    def abort(self) -> None:
        """Drop the connection without a word, as a broken network does."""
        self._queue.clear()
        self._transport.abort()

    async def close(self, code: int = 1000, text: str = "") -> None:
        """Close it properly."""
        await self._socket.close(code=code, message=text.encode())

    async def texts(self) -> AsyncIterator[str]:
        """Yield the client's text messages until it goes."""
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                yield message.data

    def _through_faults(self, kind: str, one: bytes) -> list[bytes]:
        fault = self._faults.take_stream_fault(kind)
        held, self._held = self._held, []
        match fault.action if fault else None:
            case "drop":
                return held
            case "duplicate":
                return [one, one, *held]
            case "reorder":
                self._held = [*held, one]
                return []
            case "delay":
                assert fault is not None
                self._loop.call_later(fault.secs, self._send_late, one)
                return held
            case _:
                return [one, *held]

    def _send_late(self, one: bytes) -> None:
        self._queue.append((self._loop.time(), one))
        if self._timer is None:
            self._timer = self._loop.call_soon(self._flush)  # type: ignore[assignment]  # a Handle will do

    def _flush(self) -> None:
        self._timer = None
        if not self.is_open:
            self._queue.clear()
            return
        now = self._loop.time()
        frozen = self._faults.frozen_secs
        if frozen:
            self._timer = self._loop.call_later(frozen, self._flush)
            return
        ready = []
        while self._queue and self._queue[0][0] <= now + SOON_SECS:
            ready.append(self._queue.popleft()[1])
        if ready:
            self._transport.write(b"".join(ready))
            self.frames_sent += len(ready)
            if self._transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
                self.abort()
        while self._private and self._private[0][0] <= now + SOON_SECS:
            self._on_written(self._private.popleft()[1])
        if self._queue:
            self._timer = self._loop.call_at(self._queue[0][0], self._flush)
