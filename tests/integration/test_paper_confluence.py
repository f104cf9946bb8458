"""Confluence on paper, a few coins for some minutes: journal, recording, replay and backtest decide alike."""

from pathlib import Path

import pytest

from tests.paper_confluence import DAY_SECS, HISTORY_DAYS, PRINTS, VENUE, PaperRun, verdict
from tests.venue_simulator.process import VenueProcess

COINS = ("BTCUSDT", "ETHUSDT", "LINKUSDT", "XRPUSDT", "SOLUSDT", "DOGEUSDT")
SPEED = 5


@pytest.mark.slow
def test_a_paper_session_decides_as_its_replay_and_as_a_backtest_of_its_bars(
    shared_data: Path, tmp_path: Path
) -> None:
    """Everything is put on record and a score of 10 is enough, so that a few bars have many signals."""
    tapes = [shared_data / "klines_5m" / f"{coin}.parquet" for coin in COINS]
    found = [one for one in tapes if one.exists()]
    arguments = [word for one in found for word in ("--tape", str(one))]
    span = ("--first", "2023-02-11T14:00", "--end", "2023-03-11T18:00")
    pace = ("--history-secs", str(HISTORY_DAYS * DAY_SECS), "--speed", str(SPEED), "--prints", str(PRINTS))
    names = [f"{one.stem}-PERP.BINANCE" for one in found]
    parameters = {"min_confidence": 10, "record_from": 5}
    with VenueProcess("--venues", VENUE, *arguments, *span, *pace) as venue:
        run = PaperRun(venue, tmp_path, names, parameters, SPEED)
        run.start()
        try:
            run.wait_until_warm(300)
            run.trade(200)
            assert run.stop() == 0
        finally:
            run.kill()
    assert verdict(run), run.measured
    assert run.measured["history"]["signals_live"] > 3
    assert run.measured["decisions"]["entry_filled"] > 0
    assert run.measured["weight"]["refused"] == 0
