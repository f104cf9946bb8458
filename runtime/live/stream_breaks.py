"""Tells when a stream's connection broke, where its adapter mends it without a word: Bybit's market data.

The adapter connects again and tells nobody, and its trades have no numbers, so nobody could know what was
missed. But the client can be asked whether it is connected, and it is not for at least 200 ms around every
break (measured with Nautilus 1.231: its controller waits 100 ms twice). So it is asked more often than that,
by a thread of its own: the node's loop may be late by more.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig

from runtime.live.context import LiveContext

STREAM_BREAK_TOPIC: Final = "stream_break"
LOOK_SECS: Final = 0.04
JOIN_SECS: Final = 1.0


@dataclass(frozen=True, slots=True)
class StreamBreak:
    """A venue's market data broke, or are back.

    Parameters
    ----------
    venue
        Name in instrument ids.
    is_back
        Whether the connection is there again: what comes from now on is of the new one.
    """

    venue: str
    is_back: bool


class Connected(Protocol):
    """A client of a stream."""

    def is_active(self) -> bool:
        """Tell whether it is connected now."""
        ...


class BreakWatch:
    """Asks clients whether they are connected.

    Parameters
    ----------
    clients
        By the name that is told.
    tell
        Called with the name when a connection is found broken and, with True, when it is back; from the
        thread of `begin`.
    fail
        Called with the name and the error when a client cannot be asked, once until it can be again; from
        the same thread. It is asked on.

    Examples
    --------
    >>> class Client:
    ...     active = True
    ...     def is_active(self) -> bool:
    ...         return self.active
    >>> client = Client()
    >>> watch = BreakWatch({"BYBIT": client}, print, print)
    >>> watch.look(); client.active = False; watch.look(); watch.look(); client.active = True; watch.look()
    BYBIT False
    BYBIT True
    """

    def __init__(
        self,
        clients: Mapping[str, Connected],
        tell: Callable[[str, bool], Any],
        fail: Callable[[str, Exception], Any],
    ) -> None:
        self._clients = dict(clients)
        self._tell, self._fail = tell, fail
        self._failed: set[str] = set()
        self._broken: set[str] = set()
        self._seen: set[str] = set()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Ask from now on."""
        self._thread = threading.Thread(target=self._run, name="stream-breaks", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Ask no more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(JOIN_SECS)

    def look(self) -> None:
        """Ask each client once; one that was never connected has nothing to break."""
        for name, client in self._clients.items():
            try:
                self._ask(name, client)
                self._failed.discard(name)
            except Exception as error:  # whatever it is: a thread that ends would see no break any more
                if name not in self._failed:
                    self._failed.add(name)
                    self._fail(name, error)

    def _ask(self, name: str, client: Connected) -> None:
        if client.is_active():
            self._seen.add(name)
            if name in self._broken:
                self._broken.discard(name)
                self._tell(name, True)
        elif name in self._seen and name not in self._broken:
            self._broken.add(name)
            self._tell(name, False)

    def _run(self) -> None:
        while not self._over.wait(LOOK_SECS):
            self.look()


class StreamBreaksActor(Actor):
    """Publishes `StreamBreak` in the node's thread, and counts.

    Parameters
    ----------
    clients
        By venue name as in instrument ids.
    call_soon
        Runs a function in the thread of the node.
    reconnects
        Stream -> times it was connected again.
    """

    def __init__(
        self,
        clients: Mapping[str, Connected],
        *,
        call_soon: Callable[[Callable[[], Any]], Any],
        reconnects: dict[str, float],
    ) -> None:
        super().__init__(ActorConfig())
        self._reconnects = reconnects
        self._watch = BreakWatch(
            clients,
            lambda name, is_back: call_soon(lambda: self.take(name, is_back)),
            lambda name, error: call_soon(lambda: self.say_failed(name, error)),
        )

    def on_start(self) -> None:
        """Ask from now on."""
        self._watch.begin()

    def on_stop(self) -> None:
        """Ask no more."""
        self._watch.end()

    def take(self, venue: str, is_back: bool) -> None:
        """Tell of a break, and of its end."""
        if not self.is_running:
            return
        if is_back:
            self._reconnects[venue] = self._reconnects.get(venue, 0) + 1
        self.log.warning(f"{venue}: market data are {'connected again' if is_back else 'disconnected'}")
        self.msgbus.publish(topic=STREAM_BREAK_TOPIC, msg=StreamBreak(venue, is_back))

    def say_failed(self, venue: str, error: Exception) -> None:
        """Write into the log that a connection cannot be asked: until it can be, its breaks go unseen."""
        self.log.error(f"{venue}: whether market data are connected cannot be asked: {error!r}")


def make_stream_breaks(context: LiveContext) -> StreamBreaksActor | None:
    """Return the watch over the connections of a node's market data; None where every adapter's ids tell.

    Those of Binance number their trades: a jump shows what a break lost.
    """
    engine = context.node.kernel.data_engine
    clients = {
        f"{one.venue}": stream
        for one in engine._clients.values()  # noqa: SLF001 - no public list
        for stream in getattr(one, "_ws_clients", {}).values()
        if hasattr(stream, "is_active")
    }
    if not clients:
        return None
    return StreamBreaksActor(clients, call_soon=context.call_soon, reconnects=context.reconnects)


__all__ = [
    "STREAM_BREAK_TOPIC",
    "BreakWatch",
    "StreamBreak",
    "StreamBreaksActor",
    "make_stream_breaks",
]
