"""Nautilus' own rotation: the follower hands every line on, though the oldest files are deleted meanwhile."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINES = 1200
PROGRAM = """
import logging, sys, time
from pathlib import Path
from nautilus_trader.common.component import Logger, init_logging
from nautilus_trader.common.enums import LogLevel
from nautilus_trader.model.identifiers import TraderId
from runtime.nautilus_log import NautilusLog

folder = Path(sys.argv[1])
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
with NautilusLog(folder / "nautilus.log", poll_secs=0.005):
    guard = init_logging(
        trader_id=TraderId("T-001"), level_stdout=LogLevel.OFF, level_file=LogLevel.INFO,
        directory=str(folder), file_name="nautilus", colors=False, max_file_size=8000, max_backup_count=4,
    )
    logger = Logger("X")
    for number in range(int(sys.argv[2])):
        logger.info(f"line {number}")
        if number % 50 == 0:
            time.sleep(0.05)  # some hundred lines a file: the follower must not be four files behind
    del guard
    time.sleep(0.3)
"""


def test_no_line_is_lost_while_files_are_replaced_and_deleted(tmp_path: Path) -> None:
    """Of a dozen files five are left; all lines were handed on, in order."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(LINES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [f"line {number}" for number in range(LINES)]
    left = [one.stat().st_size for one in tmp_path.iterdir()]
    assert len(left) <= 5
    assert max(left) <= 8000
