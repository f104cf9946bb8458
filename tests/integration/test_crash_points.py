"""SIGKILL on the way from an entry to its protection, then another node: protected, nothing doubled.

Two of the points of `CrashPoint` here, with the real USD-M adapters; the others differ in the name alone.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runtime.live.crash_points import VARIABLE, CrashPoint, CrashPoints
from tests.integration.crash_child import ENTRY, QTY, STOP
from tests.integration.usdm_client import SYMBOL
from tests.integration.usdm_node import RunningVenue

ROOT = Path(__file__).parents[2]
WAIT_SECS = 60.0


@contextmanager
def node(venue: RunningVenue, folder: Path, point: CrashPoint | None, *, enters: bool) -> Iterator[Any]:
    """Run a node in a process of its own; kill it at the end, if it lives."""
    arguments = [sys.executable, "-m", "tests.integration.crash_child", "--place", venue.place]
    arguments += ["--folder", str(folder), *(["--enter"] if enters else [])]
    environment = os.environ | ({VARIABLE: point.value} if point else {})
    with subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def wait(what: str, is_true: Callable[[], object], within_secs: float = WAIT_SECS) -> None:
    """Wait for something at the venue."""
    end = time.monotonic() + within_secs
    while not is_true():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)


def orders(venue: RunningVenue) -> list[Any]:
    """Return all orders that ever reached the venue."""
    return venue.do(lambda one: list(one.exchange.orders.values()))


def living(venue: RunningVenue) -> list[Any]:
    """Return the orders that rest at the venue."""
    return [one for one in orders(venue) if one.is_open]


def position(venue: RunningVenue) -> Decimal:
    """Return the position at the venue."""

    def held(one: Any) -> Decimal:
        found = one.exchange.accounts["main"].positions.get(SYMBOL)
        return Decimal(0) if found is None else found.qty

    return venue.do(held)


@pytest.mark.parametrize("point", [CrashPoint.ENTRY_FILL_REPORTED, CrashPoint.STOP_SENT])
def test_a_killed_node_protects_its_position_when_it_is_back(tmp_path: Path, point: CrashPoint) -> None:
    """F7: killed after the entry's fill; the next node has the stop at the venue, and one of each order."""
    with RunningVenue() as venue:
        venue.trade("50000.0")
        with node(venue, tmp_path, point, enters=True) as first:
            wait("the entry rests", lambda: living(venue))
            venue.trade("48990.0", "1")
            wait("the node is dead", lambda: first.poll() is not None)
            assert first.returncode == -signal.SIGKILL
        assert position(venue) == Decimal(QTY)
        began = time.monotonic()
        with node(venue, tmp_path, None, enters=False):
            wait("a stop rests", lambda: any(one.client_id[-2] == "S" for one in living(venue)))
            print(f"{point}: stop rests {time.monotonic() - began:.2f} s after the start of the process")
            wait("a stop and a target rest", lambda: len(living(venue)) == 2)
        stop, target = sorted(living(venue), key=lambda one: one.client_id[-2])
        assert (stop.client_id[-2], target.client_id[-2]) == ("S", "T")
        assert Decimal(stop.stop_price) == Decimal(STOP)
        assert stop.qty == target.qty == Decimal(QTY)
        assert position(venue) == Decimal(QTY)
        entries = [one for one in orders(venue) if one.client_id[-2] == "E"]
        assert [one.price for one in entries] == [Decimal(ENTRY)]
        ids = [one.client_id for one in orders(venue)]
        assert len(ids) == len(set(ids))


def test_there_are_at_least_twelve_points_and_none_without_being_armed() -> None:
    """A point that nobody named is passed by, and an unknown name is refused."""
    assert len(CrashPoint) >= 12
    CrashPoints(None).reach(CrashPoint.STOP_SENT)
    CrashPoints("stop_sent:2").reach(CrashPoint.STOP_SENT)  # dies the second time
    with pytest.raises(ValueError, match="nowhere"):
        CrashPoints("nowhere")
