"""A paper and a live node with the same settings, at the same time: neither touches what is the other's."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.conftest import StartPair
from tests.faults.harness import ARM_SECS, ROOT, WAIT_SECS, LiveNode

TABLES = ("decisions", "orders", "fills", "trades")


@contextmanager
def paper_beside(node: LiveNode) -> Iterator[subprocess.Popen[bytes]]:
    """Run a paper node on the settings, folder, keys and journal of a live one."""
    kept = {name: value for name, value in os.environ.items() if name != "SMCBOT_JOURNAL_URL"}
    command = [
        sys.executable,
        "-m",
        "tests.faults.node",
        "run",
        "--mode",
        "paper",
        "--config",
        str(node.file),
    ]
    with (
        (node.folder / "paper.txt").open("wb") as errors,
        subprocess.Popen(
            command, cwd=ROOT, env=kept | node.venue.kind.environment(), stderr=errors
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def arm_until_paper_waits(node: LiveNode) -> None:
    """Open a setup on paper too: that node may hear the market later than the live one, which has its own."""
    resting = "SELECT 1 FROM orders WHERE mode = 'paper' AND event = 'OrderAccepted'"
    next_arm = time.monotonic() + ARM_SECS

    def rests() -> object:
        nonlocal next_arm
        if time.monotonic() >= next_arm:
            node.venue.arm()
            next_arm = time.monotonic() + ARM_SECS
        return node.rows(resting)

    node.wait("the paper entry rests", rests)


@pytest.mark.fault
def test_paper_and_live_trade_side_by_side_and_apart(pair: StartPair) -> None:
    """Both trade the same script; the venue sees one of them, and the journal tells them apart."""
    venue, node = pair("binance_usdm")
    with paper_beside(node) as paper:
        node.start()
        released = "SELECT 1 FROM decisions WHERE mode = 'paper' AND kind = 'released'"
        node.wait("the paper node is free, too", lambda: node.rows(released))
        node.enter()
        arm_until_paper_waits(node)
        venue.fill_entry()
        node.wait_protected()
        filled = "SELECT 1 FROM fills WHERE mode = 'paper'"
        node.wait("the paper entry filled, too", lambda: node.rows(filled))
        venue.hit_stop()
        trades = "SELECT mode FROM trades ORDER BY mode"
        node.wait("both trades are over", lambda: len(node.rows(trades)) == 2)
        paper.send_signal(signal.SIGTERM)
        assert paper.wait(WAIT_SECS) == 0
        assert node.stop() == 0
    assert [one["mode"] for one in node.rows(trades)] == ["live", "paper"]
    sessions = node.rows("SELECT session_id, mode FROM sessions ORDER BY mode")
    assert [one["mode"] for one in sessions] == ["live", "paper"]
    for session in sessions:
        assert f"-{session['mode']}-" in session["session_id"]
        for table in TABLES:
            modes = node.rows(
                f"SELECT DISTINCT mode FROM {table} WHERE session_id = ?", session["session_id"]
            )
            assert modes == [{"mode": session["mode"]}], table
    kept = {name: {file.name for file in (node.folder / name).iterdir()} for name in ("live", "paper")}
    assert "paper.sqlite" in kept["paper"]
    assert "paper.sqlite" not in kept["live"]
    assert all("state.sqlite" in files for files in kept.values())
    fills = node.rows("SELECT mode FROM fills")
    assert len(venue.records()["fills"]) == sum(one["mode"] == "live" for one in fills)
