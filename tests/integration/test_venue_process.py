"""The local exchange as a process: one command, one line of URLs, a tape that plays."""

from pathlib import Path

import pytest

from tests.venue_fixtures import StartVenue
from tests.venue_simulator.process import VenueProcess


def test_tape_of_recorded_trades_plays(start_venue: StartVenue, shared_data: Path) -> None:
    """The tape waits, starts on command, and the venue's records count what has been published."""
    path = shared_data / "trades/binance-spot_XRPUSDT_2026-03-21.parquet"
    venue: VenueProcess = start_venue(
        "--tape", str(path), "--speed", "100", "--history-secs", "600", "--wait"
    )
    before = venue.state()["markets"]["XRPUSDT"]
    assert before["trades"] > 0
    assert venue.tape("state") | {"running": False, "trades_sent": 0, "speed": 100.0} == venue.tape("state")
    assert venue.tape("start")["running"]
    while not venue.tape("state")["trades_sent"]:
        pass
    state = venue.tape("pause")
    after = venue.state()["markets"]["XRPUSDT"]["trades"]
    assert after - before["trades"] == state["trades_sent"]


def test_simulator_that_cannot_start_says_so(start_venue: StartVenue) -> None:
    """A mistake in the arguments ends the test instead of hanging it."""
    with pytest.raises(RuntimeError, match="the simulator ended with 1"):
        start_venue("--venues", "kraken", "--market", "BTCUSDT:1:1:1")
