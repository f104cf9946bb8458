"""What follows from an order is written a moment later, all of it together; what precedes one, at once."""

from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from runtime.live.state import WAIT_SECS, StateKeeper


class File:
    """Notes what is written instead of a `StateFile`."""

    def __init__(self) -> None:
        self.written: list[tuple[str, bool]] = []

    def put_setup(self, setup: Any, *, is_intent: bool, memory: Any) -> None:
        """Note it."""
        del memory
        self.written.append((setup.identity.setup_id, is_intent))


def setup_of(name: str, filled: str = "0") -> Any:
    """Return what the keeper looks at."""
    identity = SimpleNamespace(strategy_id="S", instrument_id="I", setup_id=name)
    return SimpleNamespace(identity=identity, ledger=SimpleNamespace(entry_qty=Decimal(filled)))


def make() -> tuple[StateKeeper, File, list[tuple[float, Callable[[], None]]]]:
    """Return a keeper, its file, and what it wants to have called later."""
    file = File()
    later: list[tuple[float, Callable[[], None]]] = []
    return StateKeeper(file, lambda secs, call: later.append((secs, call))), file, later  # type: ignore[arg-type]


DESK: Any = SimpleNamespace(memory=lambda: None)


def test_changes_within_a_moment_are_one_write_of_each_setup() -> None:
    """Nothing is written while the trade is handled."""
    keeper, file, later = make()
    first, second = setup_of("one"), setup_of("two")
    for setup in (first, second, first, first):
        assert keeper.keep(DESK, setup, is_intent=False)
    assert file.written == []
    ((secs, call),) = later
    assert secs == WAIT_SECS
    call()
    assert file.written == [("one", False), ("two", False)]
    keeper.keep(DESK, first, is_intent=False)
    assert len(later) == 2


def test_an_entry_is_on_the_disk_and_an_exit_written_before_it_leaves() -> None:
    """An exit of a position does not wait for the disk."""
    keeper, file, later = make()
    keeper.keep(DESK, setup_of("flat"), is_intent=True)
    keeper.keep(DESK, setup_of("held", "0.4"), is_intent=True)
    assert file.written == [("flat", True), ("held", False)]
    assert later == []


def test_the_end_of_a_node_waits_for_nothing() -> None:
    """What waits is written, once."""
    keeper, file, later = make()
    keeper.keep(DESK, setup_of("one"), is_intent=False)
    keeper.flush()
    later[0][1]()
    assert file.written == [("one", False)]
