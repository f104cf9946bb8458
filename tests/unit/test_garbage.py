"""A node's loop looks for garbage between the things that it handles."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from runtime.live.garbage import THRESHOLDS, collect_due, look_between


class Ring:
    """Refers to itself: only the collector frees it."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Put the collector's settings back."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.enable()
    gc.unfreeze()


def test_each_generation_is_looked_at_as_often_as_it_should_be() -> None:
    """Young ones every time, the middle-aged after five of these: as the interpreter counts."""
    gc.disable()
    gc.collect()
    found = []
    for _ in range(8):
        kept: list[list[int]] = [[] for _ in range(2 * THRESHOLDS[0])]
        found.append(collect_due())
        assert collect_due() == -1
        del kept
    assert found == [0, 0, 0, 0, 0, 0, 1, 0]


def test_what_is_made_at_once_is_not_looked_at_before_the_loop_comes_round() -> None:
    """Three thousand objects within one handling: their garbage is gone a moment later."""

    async def story() -> tuple[bool, bool]:
        look_between(asyncio.get_running_loop())
        ring = weakref.ref(Ring())
        kept: list[list[int]] = [[] for _ in range(3 * THRESHOLDS[0])]
        before = ring() is not None
        for _ in range(100):
            await asyncio.sleep(0.01)
            if ring() is None:
                break
        del kept
        return before, ring() is not None

    assert asyncio.run(story()) == (True, False)
