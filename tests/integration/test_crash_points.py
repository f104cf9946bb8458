"""SIGKILL on the way from an entry to its protection, then another node: protected, nothing doubled.

The twelve points of the way from an entry to its target, with the real adapters; one in `make test`, the
others take minutes.
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
from tests.integration.crash_child import QTY, STOP
from tests.integration.usdm_client import SYMBOL
from tests.integration.usdm_node import RunningVenue
from tests.venue_simulator.binance_spot import BinanceSpot
from tests.venue_simulator.core import Account
from tests.venue_simulator.faults import EndpointFault
from tests.venue_simulator.protocol import SymbolTerms
from tests.venue_simulator.venue import Venue

ROOT = Path(__file__).parents[2]
WAIT_SECS = 60.0


class RunningSpot(RunningVenue):
    """Binance spot instead, with 10,000 USDT and no coins."""

    def __init__(self) -> None:
        super().__init__()
        terms = SymbolTerms(
            SYMBOL, "BTC", "USDT", Decimal("0.01"), Decimal("0.00001"), Decimal(50_000), Decimal("0.5")
        )
        account = Account.with_balances({"USDT": 10_000})
        self.venue = Venue(BinanceSpot, BinanceSpot.make_markets(terms), [account], latency_secs=0.005)

    @property
    def coins(self) -> Decimal:
        """Return what the account holds."""

        def held(one: Any) -> Decimal:
            balance = one.exchange.accounts["main"].balances["BTC"]
            return Decimal(balance.free + balance.locked)

        return self.do(held)


@contextmanager
def node(venue: RunningVenue, folder: Path, point: CrashPoint | None, *, enters: bool) -> Iterator[Any]:
    """Run a node in a process of its own; kill it at the end, if it lives."""
    arguments = [sys.executable, "-m", "tests.integration.crash_child", "--place", venue.place]
    arguments += ["--folder", str(folder), *(["--enter"] if enters else [])]
    arguments += ["--spot"] if isinstance(venue, RunningSpot) else []
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


PATH = [
    CrashPoint.ENTRY_BEFORE_STORED,
    CrashPoint.ENTRY_STORED,
    CrashPoint.ENTRY_SENT,
    CrashPoint.ENTRY_ACCEPTED,
    CrashPoint.ENTRY_FILL_REPORTED,
    CrashPoint.STOP_BEFORE_STORED,
    CrashPoint.STOP_STORED,
    CrashPoint.STOP_SENT,
    CrashPoint.TARGET_STORED,
    CrashPoint.TARGET_SENT,
    CrashPoint.STOP_ACCEPTED,
    CrashPoint.TARGET_ACCEPTED,
]
QUICK = {CrashPoint.ENTRY_FILL_REPORTED}


def killed_at(venue: RunningVenue, folder: Path, point: CrashPoint) -> None:
    """Run a node until it dies at a point; its entry fills as soon as it rests."""
    with node(venue, folder, point, enters=True) as process:
        has_printed = False
        end = time.monotonic() + WAIT_SECS
        while process.poll() is None:
            assert time.monotonic() < end, f"{point} was never reached; at the venue: {living(venue)}"
            if living(venue) and not has_printed and point is not CrashPoint.ENTRY_ACCEPTED:
                venue.trade("48990.0", "1")
                has_printed = True
            time.sleep(0.02)
        assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in PATH]
)
def test_a_killed_node_protects_its_position_when_it_is_back(tmp_path: Path, point: CrashPoint) -> None:
    """F7: whatever the venue holds is protected once, nothing else rests, and no id was used twice."""
    with RunningVenue() as venue:
        venue.trade("50000.0")
        killed_at(venue, tmp_path, point)
        held = position(venue)
        assert held == (0 if point in PATH[:4] else Decimal(QTY))
        began = time.monotonic()
        with node(venue, tmp_path, None, enters=False) as process:
            wait("a stop rests", lambda: not held or any(one.client_id[-2] == "S" for one in living(venue)))
            secs = time.monotonic() - began
            assert process.stdout.readline() == b"released\n"
            wait("orders as they should be", lambda: legs_of(living(venue)) == (["S", "T"] if held else []))
            time.sleep(1.0)  # nothing is sent afterwards
        print(f"{point}: {secs:.2f} s from the start of the process to a stop that rests")
        assert legs_of(living(venue)) == (["S", "T"] if held else [])
        for one in living(venue):
            assert one.qty == held
            assert one.client_id[-2] == "T" or Decimal(one.stop_price) == Decimal(STOP)
        assert position(venue) == held
        sent = legs_of(orders(venue))
        assert sent.count("E") == (0 if point in PATH[:3] else 1)
        ids = [one.client_id for one in orders(venue)]
        assert len(ids) == len(set(ids))


def legs_of(some: list[Any]) -> list[str]:
    """Return the letters of orders' legs, sorted."""
    return sorted(one.client_id[-2] for one in some)


def test_there_are_at_least_twelve_points_and_none_without_being_armed() -> None:
    """A point that nobody named is passed by, and an unknown name is refused."""
    assert len(CrashPoint) >= 12
    CrashPoints(None).reach(CrashPoint.STOP_SENT)
    CrashPoints("stop_sent:2").reach(CrashPoint.STOP_SENT)  # dies the second time
    with pytest.raises(ValueError, match="nowhere"):
        CrashPoints("nowhere")


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", [CrashPoint.ENTRY_FILL_REPORTED, CrashPoint.STOP_SENT, CrashPoint.STOP_ACCEPTED]
)
def test_coins_of_a_killed_spot_node_are_protected_when_it_is_back(tmp_path: Path, point: CrashPoint) -> None:
    """F7 on spot: no position is reported there; state file and balances say what is held, less the fee."""
    with RunningSpot() as venue:
        venue.trade("50000.0")
        killed_at(venue, tmp_path, point)
        coins = venue.coins
        assert 0 < coins <= Decimal(QTY)
        with node(venue, tmp_path, None, enters=False) as process:
            wait("a stop rests", lambda: legs_of(living(venue)) == ["S"])
            assert process.stdout.readline() == b"released\n"
            time.sleep(1.0)
        (stop,) = living(venue)
        assert Decimal(stop.stop_price) == Decimal(STOP)
        assert coins - Decimal("0.00001") < stop.qty <= coins
        assert venue.coins == coins
        assert legs_of(orders(venue)).count("E") == 1


ENDPOINT, ALGO = "POST /fapi/v1/order", "POST /fapi/v1/algoOrder"


@pytest.mark.slow
@pytest.mark.parametrize(("endpoint", "when"), [(ENDPOINT, "after"), (ALGO, "after"), (ALGO, "before")])
def test_an_answer_of_5xx_is_no_refusal(tmp_path: Path, endpoint: str, when: Any) -> None:
    """F9: 503 after or before the work was done: the venue is asked, nothing doubled, all protected."""
    with RunningVenue() as venue:
        venue.trade("50000.0")
        fault = EndpointFault(endpoint, 1, when=when, status=503, code=-1007, text="Timeout")
        venue.do(lambda one: one.faults.endpoint_faults.append(fault))
        with node(venue, tmp_path, None, enters=True):
            wait("the entry rests", lambda: legs_of(living(venue)) == ["E"])
            time.sleep(1.0)
            venue.trade("48990.0", "1")
            wait("stop and target rest", lambda: legs_of(living(venue)) == ["S", "T"])
            time.sleep(3.0)  # and it stays like that
        assert legs_of(living(venue)) == ["S", "T"]
        assert legs_of(orders(venue)) == ["E", "S", "T"]
        assert position(venue) == Decimal(QTY)
