"""Breaks of connections that mend themselves: found by asking, told twice."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from runtime.live.stream_breaks import BreakWatch, StreamBreaksActor


class Client:
    """A connection that can be cut."""

    def __init__(self, *, is_connected: bool = True) -> None:
        self.is_connected = is_connected

    def is_active(self) -> bool:
        """Tell whether it is connected."""
        return self.is_connected


def never(name: str, error: Exception) -> None:
    """Fail: no client of the test refuses to be asked."""
    raise AssertionError(name) from error


def test_a_break_is_told_when_it_is_found_and_when_it_is_mended() -> None:
    """Once each, by name; another connection stays out of it."""
    told: list[tuple[str, bool]] = []
    linear, spot = Client(), Client()
    watch = BreakWatch(
        {"LINEAR": linear, "SPOT": spot}, lambda name, is_back: told.append((name, is_back)), never
    )
    watch.look()
    linear.is_connected = False
    watch.look()
    watch.look()
    assert told == [("LINEAR", False)]
    linear.is_connected = True
    watch.look()
    assert told == [("LINEAR", False), ("LINEAR", True)]


def test_what_was_never_connected_does_not_break() -> None:
    """The node is starting."""
    told: list[str] = []
    client = Client(is_connected=False)
    watch = BreakWatch({"BYBIT": client}, lambda name, _is_back: told.append(name), never)
    watch.look()
    client.is_connected = True
    watch.look()
    assert told == []


def test_the_thread_looks_by_itself_and_ends() -> None:
    """What it finds is told from its own thread."""
    found = threading.Event()
    client = Client()
    asked = threading.Event()

    class Asked(Client):
        def is_active(self) -> bool:
            asked.set()
            return client.is_connected

    watch = BreakWatch({"BYBIT": Asked()}, lambda _name, _is_back: found.set(), never)
    watch.begin()
    assert asked.wait(10)
    client.is_connected = False
    assert found.wait(10)
    watch.end()
    assert not any(one.name == "stream-breaks" for one in threading.enumerate())


def test_a_client_that_cannot_be_asked_ends_neither_the_watch_nor_the_others() -> None:
    """It is told once until it can be asked again, and its breaks are found from then on."""
    told: list[tuple[str, bool]] = []
    failures: list[tuple[str, str]] = []
    is_damaged = True

    class Damaged(Client):
        def is_active(self) -> bool:
            if is_damaged:
                raise RuntimeError("no handle")
            return self.is_connected

    damaged, sound, looked = Damaged(), Client(), threading.Semaphore(0)

    class Last(Client):
        def is_active(self) -> bool:
            looked.release()
            return True

    watch = BreakWatch(
        {"DAMAGED": damaged, "SOUND": sound, "LAST": Last()},
        lambda name, is_back: told.append((name, is_back)),
        lambda name, error: failures.append((name, str(error))),
    )

    def wait() -> None:
        """Wait for a look that began after this."""
        assert looked.acquire(timeout=10)
        while looked.acquire(blocking=False):
            pass
        assert looked.acquire(timeout=10)
        assert looked.acquire(timeout=10)

    watch.begin()
    wait()
    sound.is_connected = False
    wait()
    assert (told, failures) == ([("SOUND", False)], [("DAMAGED", "no handle")])
    is_damaged = False
    wait()
    damaged.is_connected = False
    wait()
    is_damaged = True
    wait()
    assert told[1:] == [("DAMAGED", False)]
    assert failures == [("DAMAGED", "no handle")] * 2
    watch.end()


def test_what_fails_in_the_watch_is_told_in_the_log_of_the_node() -> None:
    """Handed over to the thread of the node, like a break."""
    due: list[Callable[[], Any]] = []
    lines: list[str] = []

    class Damaged(Client):
        def is_active(self) -> bool:
            raise RuntimeError("no handle")

    actor = StreamBreaksActor({"BYBIT": Damaged()}, call_soon=due.append, reconnects={})
    actor._watch.look()
    own: Any = SimpleNamespace(log=SimpleNamespace(error=lines.append))
    assert len(due) == 1
    StreamBreaksActor.say_failed(own, "BYBIT", RuntimeError("no handle"))
    assert lines == ["BYBIT: whether market data are connected cannot be asked: RuntimeError('no handle')"]
