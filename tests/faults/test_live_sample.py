"""The OTE strategy, live on the sample tape: killed in a position, it goes on with it; all books agree."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.faults.books import books_agree
from tests.faults.harness import FaultVenue, LiveNode
from tests.faults.kinds import KINDS
from tests.venue_simulator.process import VenueProcess

SPEED = "30"
CALM_SECS = 0.5


class TapeVenue(FaultVenue):
    """The local exchange on the sample tape, which waits for its start."""

    def __init__(self, name: str) -> None:
        super().__init__(KINDS[name])
        self._arguments = ("--venues", KINDS[name].simulator, "--tape", "sample", "--speed", SPEED, "--wait")

    def __enter__(self) -> Self:
        VenueProcess.__enter__(self)
        return self


@pytest.fixture
def venue() -> Iterator[TapeVenue]:
    """Run it as Binance USD-M."""
    with TapeVenue("binance_usdm") as running:
        yield running


class Calm:
    """Tells whether a position has been at rest for a while: what is on its way dies with the node, too."""

    def __init__(self, venue: TapeVenue) -> None:
        self._venue = venue
        self._since_s = math.inf

    def __call__(self) -> bool:
        """Look: stop and target as large as the position, and no rest of an entry works."""
        held = abs(self._venue.held_qty())
        is_whole = held and self._venue.legs() == ["S", "T"]
        is_whole = is_whole and all(self._venue.is_resting(leg, held) for leg in "ST")
        now_s = time.monotonic()
        self._since_s = min(self._since_s, now_s) if is_whole else math.inf
        return now_s - self._since_s >= CALM_SECS


@pytest.mark.fault
def test_the_ote_strategy_trades_the_sample_tape_live(venue: TapeVenue, tmp_path: Path) -> None:
    """It enters, protects, and leaves; after a SIGKILL the next start takes the position up, and ends it."""
    with LiveNode(venue, tmp_path, strategy={"strategy": "ote"}) as node:
        node.launch()
        node.wait("the node hears the market", lambda: venue.records()["connections"], 120)
        venue.tape("start")
        node.wait("a first trade is over", lambda: node.rows("SELECT 1 FROM trades"), 120)
        # The crash tests have the moments before; the time of a restart would count here.
        node.wait("a position is whole and protected", Calm(venue), 120)
        node.kill()
        node.start()
        restored = node.wait("the setup was taken up", lambda: node.decisions("restored"))
        setup = restored[0]["setup_id"]
        query = "SELECT 1 FROM trades WHERE setup_id = ?"
        node.wait("it ends", lambda: node.rows(query, setup), 240)
        # What the venue does while no node runs is the next start's to book.
        venue.tape("pause")
        assert node.stop() == 0
        measured = books_agree(node, venue)
        assert measured["trades"] >= 2
