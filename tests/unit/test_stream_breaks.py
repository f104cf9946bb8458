"""Breaks of connections that mend themselves: found by asking, told twice."""

import threading

from runtime.live.stream_breaks import BreakWatch


class Client:
    """A connection that can be cut."""

    def __init__(self, *, is_connected: bool = True) -> None:
        self.is_connected = is_connected

    def is_active(self) -> bool:
        """Tell whether it is connected."""
        return self.is_connected


def test_a_break_is_told_when_it_is_found_and_when_it_is_mended() -> None:
    """Once each, by name; another connection stays out of it."""
    told: list[tuple[str, bool]] = []
    linear, spot = Client(), Client()
    watch = BreakWatch({"LINEAR": linear, "SPOT": spot}, lambda name, is_back: told.append((name, is_back)))
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
    watch = BreakWatch({"BYBIT": client}, lambda name, _is_back: told.append(name))
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

    watch = BreakWatch({"BYBIT": Asked()}, lambda _name, _is_back: found.set())
    watch.begin()
    assert asked.wait(10)
    client.is_connected = False
    assert found.wait(10)
    watch.end()
    assert not any(one.name == "stream-breaks" for one in threading.enumerate())
