"""A whole node as a process against the local exchange: starts, trades on paper, stops in order, journals."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.fake_binance import FakeBinance
from tests.local_server import local_server
from tests.paper_demo import demo_settings, write_settings
from tests.venue_simulator.process import VenueProcess

ROOT = Path(__file__).resolve().parents[2]
START_SECS = 240.0  # the kernels may have to be compiled first, on a machine that does much else
TRADE_SECS = 120.0


def start_node(file: Path, errors: Path) -> subprocess.Popen[bytes]:
    """Start `live_node.py --mode paper` as a user would."""
    environment = {name: value for name, value in os.environ.items() if name != "SMCBOT_JOURNAL_URL"}
    with errors.open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, "live_node.py", "--mode", "paper", "--config", str(file)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=stream,
        )


def wait_for(found: Callable[[], bool], longest_secs: float, node: subprocess.Popen[bytes]) -> bool:
    """Wait until something is so; False when the time is over or the node ended."""
    by = time.monotonic() + longest_secs
    while time.monotonic() < by and node.poll() is None:
        if found():
            return True
        time.sleep(0.2)
    return False


def rows(journal: Path, query: str) -> list[Any]:
    """Ask the journal, which may not be there yet."""
    if not journal.exists():
        return []
    connection = sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True, timeout=5)
    try:
        return connection.execute(query).fetchall()
    except sqlite3.OperationalError:  # its schema is being made
        return []
    finally:
        connection.close()


def run_until(file: Path, errors: Path, found: Callable[[], bool], begin: Callable[[], object]) -> int:
    """Run a node until something is found, end it by SIGTERM, and return its exit code."""
    node = start_node(file, errors)
    try:
        assert wait_for(lambda: "trades 1 instruments" in errors.read_text(), START_SECS, node), (
            errors.read_text()
        )
        begin()
        assert wait_for(found, TRADE_SECS, node), errors.read_text()
        node.send_signal(signal.SIGTERM)
        return node.wait(60)
    finally:
        node.kill()
        node.wait()


# Of the sample: until the first entry rests. What comes then is printed by the test, at its pace.
TAPE = ("--tape", "sample", "--end", "2026-01-05T00:08:52", "--speed", "1", "--wait")
FAST = 300.0
LAST_PRICE = "60900"


def warm_sessions(journal: Path) -> int:
    """Return how many sessions have ended their warm-up."""
    query = "SELECT count(DISTINCT session_id) FROM decisions WHERE kind = 'released' AND reason = 'warmup'"
    return sum(count for (count,) in rows(journal, query))


def trade_through(venue: VenueProcess, journal: Path) -> bool:
    """Print what fills the resting entry, or once it is protected its target; True when the trade closed."""
    if rows(journal, "SELECT 1 FROM trades"):
        return True
    found = rows(
        journal,
        "SELECT kind, price, target FROM decisions WHERE kind IN ('entry_submitted', 'entry_repriced', "
        "'protection') ORDER BY seq",
    )
    resting = [one for one in found if one[0] != "protection"]
    if resting:
        _kind, entry, target = resting[-1]
        if len(resting) == len(found):
            venue.trade("BTCUSDT", "SELL", "2", str(Decimal(entry) - 1))
        else:
            venue.trade("BTCUSDT", "BUY", "2", str(Decimal(target) + 1))
    return False


@pytest.mark.slow
def test_paper_node_trades_the_sample_tape_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    """It enters, protects, exits; SIGTERM takes entries back; the next start takes the account up again."""
    journal = tmp_path / "journal.sqlite"
    with VenueProcess(*TAPE) as venue:
        settings = demo_settings(venue, tmp_path, ["BTCUSDT.BINANCE"], {})
        file = write_settings(settings, tmp_path / "config.yaml")

        def trades() -> bool:
            # A zone of before the end of the warm-up would be passed over: the tape waits for it.
            if venue.tape("state")["speed"] != FAST and warm_sessions(journal) == 1:
                venue.tape("speed", FAST)
            return trade_through(venue, journal)

        def is_warm_again() -> bool:
            venue.trade("BTCUSDT", "BUY", "0.001", LAST_PRICE)  # it goes on with the first live trade
            return warm_sessions(journal) == 2

        first = tmp_path / "first.txt"
        assert run_until(file, first, trades, lambda: venue.tape("start")) == 0
        second = tmp_path / "second.txt"
        assert run_until(file, second, is_warm_again, lambda: None) == 0
    sessions = rows(
        journal,
        "SELECT s.mode, e.reason, e.detail FROM sessions s JOIN session_ends e USING (session_id)",
    )
    assert [(mode, reason) for mode, reason, _detail in sessions] == [("paper", "stopped by SIGTERM")] * 2
    for _mode, _reason, detail in sessions:
        assert not [name for name in json.loads(detail)["open_orders"] if "-E" in name]
    kinds = {kind for (kind,) in rows(journal, "SELECT DISTINCT kind FROM decisions")}
    assert {"entry_submitted", "entry_filled", "protection", "position_closed", "held"} <= kinds
    assert list((tmp_path / "spool").glob("*/")) == []
    assert (tmp_path / "paper" / "paper.sqlite").exists()
    assert not (tmp_path / "live").exists()


@pytest.mark.slow
def test_node_that_cannot_connect_says_so_and_ends(tmp_path: Path) -> None:
    """Nautilus would stay up half started; here it is stopped, with one line and exit 1."""
    with local_server(FakeBinance()) as server:  # enough for the check, too little for the adapter
        settings = {
            "journal": {"url": f"sqlite:///{tmp_path / 'journal.sqlite'}", "spool": str(tmp_path / "spool")},
            "live": {
                "folder": str(tmp_path),
                "connection_secs": 2,
                "venues": [{"venue": "binance", "market": "spot", "hosts": {"http": server.address}}],
            },
            "strategies": [{"strategy": "ote", "instruments": ["XRPUSDT.BINANCE"]}],
        }
        node = start_node(write_settings(settings, tmp_path / "config.yaml"), tmp_path / "errors.txt")
        try:
            assert node.wait(START_SECS) == 1
        finally:
            node.kill()
            node.wait()
    told = (tmp_path / "errors.txt").read_text().splitlines()
    assert [line for line in told if line.startswith("live_node.py: error: not connected")]
    assert not [line for line in told if line.startswith("Traceback")]
    ((reason,),) = rows(tmp_path / "journal.sqlite", "SELECT reason FROM session_ends")
    assert reason.startswith("VenueError: not connected and reconciled with BINANCE within 2 s")
