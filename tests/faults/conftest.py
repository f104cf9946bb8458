"""What the tests of the matrix share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness import FaultVenue, LiveNode, running_venue

type Started = tuple[FaultVenue, LiveNode]
type StartPair = Callable[..., Started]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[StartPair]:
    """Give a function that makes a venue of a kind and a node for it; both end with the test.

    ``pair("binance_usdm")``; further arguments are those of `LiveNode`, ``arguments`` of the local exchange.
    The node has not been started.
    """
    with ExitStack() as running:

        def make(name: str, *, arguments: tuple[str, ...] = (), **options: Any) -> Started:
            venue = running.enter_context(running_venue(name, *arguments))
            return venue, running.enter_context(LiveNode(venue, tmp_path, **options))

        yield make
