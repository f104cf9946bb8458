"""Everybody who watches: messages of the node in, frames to browsers out, 25 times a second."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from ui.protocol import Message, NodeState
from ui.server.feed import Feed
from ui.server.frames import FRAME_HZ, Frame, FrameMaker, Window

log = logging.getLogger("smcbot.terminal")

STOP_SECS: Final = 2.0
MAX_PER_PERSON: Final = 10


def places_of_viewers(max_clients: int) -> int:
    """Return how many browsers of viewers are served where there are so many places.

    Examples
    --------
    >>> places_of_viewers(50), places_of_viewers(3)
    (45, 3)
    """
    return max_clients - max_clients // 10


class Transport(Protocol):
    """Carries frames to browsers; neither call waits for one."""

    def send(self, client: str, frame: Frame, acknowledged: Callable[[], None]) -> None:
        """Send a frame; `acknowledged` is called when the browser says that it has it."""

    def dismiss(self, client: str, reason: str) -> None:
        """Disconnect a browser."""


class Hub:
    """Owns the feed and the browsers' windows.

    Parameters
    ----------
    feed
        Of the node.
    max_clients
        Browsers served at once; a tenth of the places is kept for operators.
    max_per_person
        Of one name.
    clock_s, clock_ns
        Monotonic seconds, and the wall clock in UNIX nanoseconds.
    """

    def __init__(
        self,
        feed: Feed | None = None,
        max_clients: int = 50,
        max_per_person: int = MAX_PER_PERSON,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.feed = feed or Feed()
        self.max_clients, self.max_per_person = max_clients, max_per_person
        # Held for every look at the feed or a window; never while something is sent.
        self.lock = threading.RLock()
        self.messages = self.frames = self.dismissed = 0
        # Returns what is wrong with the server itself, for everybody who watches.
        self.trouble: Callable[[], str | None] = lambda: None
        self._maker = FrameMaker(self.feed)
        self._windows: dict[str, Window] = {}
        self._clock_s, self._clock_ns = clock_s, clock_ns

    def take(self, messages: Iterable[Message]) -> bool:
        """Take messages of the node; return False on a gap: the node must send a snapshot."""
        now_s = self._clock_s()
        with self.lock:
            for message in messages:
                self.messages += 1
                if self.feed.take(message, now_s) == "gap":
                    return False
        return True

    def lose(self) -> None:
        """Note that the connection to the node begins anew."""
        with self.lock:
            self.feed.lose()

    # -- browsers -----------------------------------------------------------------------------------------

    def admit(self, client: str, window: Window) -> bool:
        """Serve a browser from now on; return False where there is no place.

        Whoever watches must not keep out who acts, and nobody's forgotten tabs all others.
        """
        with self.lock:
            others = self._windows.values()
            is_full = len(others) >= self.max_clients or (
                window.role != "operator"
                and sum(one.role != "operator" for one in others) >= places_of_viewers(self.max_clients)
            )
            if is_full or sum(one.name == window.name for one in others) >= self.max_per_person:
                return False
            self._windows[client] = window
            return True

    def leave(self, client: str) -> None:
        """Serve a browser no more."""
        with self.lock:
            self._windows.pop(client, None)

    def resync(self, client: str) -> None:
        """Send a browser a snapshot."""
        with self.lock:
            if (window := self._windows.get(client)) is not None:
                window.resync()

    def look_at(self, client: str, ins: str) -> bool:
        """Show a browser an instrument; return False if the node has none of that name."""
        with self.lock:
            window = self._windows.get(client)
            if window is None or ins not in self.feed.state.instruments():
                return False
            window.look_at(ins)
            return True

    @property
    def clients(self) -> int:
        """Browsers served now."""
        return len(self._windows)

    def age_ms(self) -> float | None:
        """Return how old the newest message of the node is, None before the first."""
        with self.lock:
            return self.feed.age_ms(self._clock_s(), self._clock_ns())

    def node(self) -> NodeState | None:
        """Return what the node said last of itself, None before it said anything."""
        with self.lock:
            found: NodeState | None = self.feed.state.node
            return found

    # -- frames -------------------------------------------------------------------------------------------

    def tick(self, transport: Transport) -> None:
        """Send every browser what is due, and dismiss those that answer nothing."""
        now_s = self._clock_s()
        due: list[tuple[str, int, Frame]] = []
        stuck: list[str] = []
        with self.lock:
            self._maker.begin(now_s, self._clock_ns(), self.trouble())
            for client, window in self._windows.items():
                if window.is_stuck(now_s):
                    stuck.append(client)
                elif (made := window.next(self._maker, now_s)) is not None:
                    due.append((client, *made))
            for client in stuck:
                del self._windows[client]
            self.frames += len(due)
            self.dismissed += len(stuck)
        for client, number, frame in due:
            try:
                transport.send(client, frame, self._acknowledger(client, number))
            except Exception:  # one that cannot be reached must not hold up the others
                log.exception("a frame could not be sent")
                self.leave(client)
        for client in stuck:
            transport.dismiss(client, "no acknowledgement")

    def _acknowledger(self, client: str, number: int) -> Callable[..., None]:
        def acknowledged(*_: Any) -> None:
            with self.lock:
                if (window := self._windows.get(client)) is not None:
                    window.acknowledge(number)

        return acknowledged


class FrameThread:
    """Ticks a hub `FRAME_HZ` times a second until it is stopped.

    Parameters
    ----------
    hub, transport
        What ticks, and what carries its frames.
    """

    def __init__(self, hub: Hub, transport: Transport) -> None:
        self._hub, self._transport = hub, transport
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="frames", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        with contextlib.suppress(RuntimeError):
            self._thread.join(STOP_SECS)

    def _run(self) -> None:
        period_s = 1 / FRAME_HZ
        next_s = time.monotonic()
        while not self._stop.wait(max(0.0, next_s - time.monotonic())):
            # What was missed is not made up for: the next frame holds it.
            next_s = max(next_s + period_s, time.monotonic())
            try:
                self._hub.tick(self._transport)
            except Exception:  # one bad frame must not end all of them
                log.exception("a tick of the frames failed")
