"""Two sessions of one paper node, the first killed in the middle of a trade: each decides the same again."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runtime.live.recording_files import RowKind, read_rows, write_rows
from tests.integration.test_live_node import START_SECS, rows, start_node, wait_for
from tests.paper_confluence import replayed
from tests.paper_demo import demo_settings, write_settings
from tests.venue_simulator.process import VenueProcess

TAPE_SECS = 1800.0
SPEED = 60
WAIT_SECS = 120.0
# What a session made; all other rows are its inputs.
OUTPUTS = {RowKind.DECISION, RowKind.ORDER_SENT, RowKind.STATE, RowKind.ANSWER}


def recordings(folder: Path) -> list[Path]:
    """Return the recorded sessions, oldest first."""
    found = folder / "paper" / "recordings"
    return sorted(found.iterdir()) if found.is_dir() else []


def is_in_trade(folder: Path) -> bool:
    """Tell whether the journal has an entry that filled and is not closed yet."""
    count = "SELECT count(DISTINCT zone_id) FROM decisions WHERE kind = '{}'"
    filled, closed = (
        rows(folder / "journal.sqlite", count.format(kind)) for kind in ("entry_filled", "position_closed")
    )
    return bool(filled and closed) and filled[0][0] > closed[0][0]


def until(node: subprocess.Popen[bytes], errors: Path, longest_secs: float, found: Any) -> None:
    """Wait for something; what the node said is the failure's text."""
    assert wait_for(found, longest_secs, node), errors.read_text()


def locate_a_planted_difference(folder: Path) -> None:
    """Let a decision in the middle of a session say something else: the replay must name it and its input."""
    rows = list(read_rows(folder))
    decided = [number for number, row in enumerate(rows) if row[2] == RowKind.DECISION]
    at = decided[len(decided) // 2]
    said = json.loads(rows[at][4]) | {"reason": "planted"}
    rows[at] = (*rows[at][:4], json.dumps(said).encode(), *rows[at][5:])
    for file in (folder / "rows").iterdir():
        file.unlink()
    write_rows(folder, 0, rows)
    found = replayed(folder)
    assert found["first"]["recorded"]["reason"] == "planted"
    assert found["first"]["replayed"]["reason"] != "planted"
    # Behind the input that made it: a message that the strategy sent itself is between them at most.
    inputs = [row for row in rows[:at] if row[2] not in OUTPUTS | {RowKind.MESSAGE}]
    assert found["first"]["seq"] >= inputs[-1][0]
    assert found["first"]["seq"] < rows[at][0]
    assert found["recorded_sha256"] != found["replayed_sha256"]


@pytest.mark.slow
def test_killed_in_a_trade_and_restarted_both_sessions_replay(tmp_path: Path) -> None:
    """Half an hour of tape after the kill; what the second session took up is an input of its replay.

    It may not enter anything: its limits refuse every order, and that is an input too.
    """
    with VenueProcess("--tape", "sample", "--speed", str(SPEED), "--wait") as venue:
        settings = demo_settings(venue, tmp_path, ["BTCUSDT.BINANCE", "ETHUSDT.BINANCE"], {})
        settings["live"]["recording"] = {"rotate_secs": 0.5}
        file = write_settings(settings, tmp_path / "config.yaml")
        errors = tmp_path / "first.txt"
        node = start_node(file, errors)
        try:
            venue.tape("start")  # at once: the warm-up goes on from the day's first trade
            until(node, errors, START_SECS + WAIT_SECS, lambda: is_in_trade(tmp_path))
        finally:
            node.send_signal(signal.SIGKILL)
            node.wait()
        settings["live"]["limits"] = {"max_symbol_notional": 1}
        write_settings(settings, file)
        errors = tmp_path / "second.txt"
        node = start_node(file, errors)
        try:
            until(node, errors, START_SECS, lambda: "trades 2 instruments" in errors.read_text())
            begun_secs = venue.tape("state")["at_secs"]  # what passed before was recorded by nobody
            until(node, errors, WAIT_SECS, lambda: venue.tape("state")["at_secs"] >= begun_secs + TAPE_SECS)
            node.send_signal(signal.SIGTERM)
            assert node.wait(60) == 0
        finally:
            node.kill()
            node.wait()
    first, second = recordings(tmp_path)
    for folder, is_killed in ((first, True), (second, False)):
        found = replayed(folder)
        assert found["first"] is None, json.dumps(found["first"], indent=1)
        assert found["recorded_sha256"] == found["replayed_sha256"]
        assert found["decisions"] > 0
        assert found["is_cut"] == is_killed
    kinds = [json.loads(row[4])["kind"] for row in read_rows(second) if row[2] == RowKind.DECISION]
    assert "restored" in kinds
    assert any(row[3].startswith("recall:") for row in read_rows(second) if row[2] == RowKind.ANSWER)
    locate_a_planted_difference(second)
