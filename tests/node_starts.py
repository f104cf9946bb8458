"""At most 15 nodes start in the quick tests of the whole project: a pytest plugin that counts and refuses.

A test that starts a node, in this process or another, says how often: ``@pytest.mark.node_starts(2)``. Tests
marked ``slow`` or ``fault`` start as many as they like; one that is ``quick`` as well counts as one.
"""

import functools
import sys
from typing import Any, Final

import pytest

LIMIT: Final = 15
FREE: Final = ("slow", "fault")
NODE_MODULE: Final = "nautilus_trader.live.node"
CURRENT: list[pytest.Item] = []


def starts_of(item: pytest.Item) -> int:
    """Return how many nodes a test says that it starts; 0 where nobody counts them."""
    is_quick = item.get_closest_marker("quick") is not None
    if not is_quick and any(item.get_closest_marker(name) for name in FREE):
        return 0
    marker = item.get_closest_marker("node_starts")
    return int(is_quick) if marker is None else int(marker.args[0])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse a collection whose quick tests start more nodes than the limit."""
    total = sum(starts_of(item) for item in session.items)
    if total > LIMIT:
        names = ", ".join(f"{item.nodeid} {starts_of(item)}" for item in session.items if starts_of(item))
        raise pytest.UsageError(
            f"quick tests start {total} nodes, more than {LIMIT}: mark some slow: {names}"
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Any:
    """Know which test runs, its fixtures included."""
    _watch_nodes()
    CURRENT[:] = [item]
    try:
        return (yield)
    finally:
        CURRENT.clear()


def _watch_nodes() -> None:
    """Let every node that is made in this process ask whether its test said so."""
    module = sys.modules.get(NODE_MODULE)
    if module is None or hasattr(module.TradingNode.__init__, "__wrapped__"):
        return
    make = module.TradingNode.__init__

    @functools.wraps(make)
    def make_if_told(self: Any, *arguments: Any, **options: Any) -> None:
        for item in CURRENT:
            is_told = any(item.get_closest_marker(name) for name in (*FREE, "node_starts"))
            assert is_told, f"{item.nodeid} starts a node: mark it node_starts(N), slow or fault"
        make(self, *arguments, **options)

    module.TradingNode.__init__ = make_if_told
