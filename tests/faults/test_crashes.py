"""F7 and F8: SIGKILL at every named point of the way, then another process: protected, nothing doubled.

The point is named in the environment of the first process, which kills itself there. What may still happen at
the venue while nobody runs happens: an entry that rests is filled. The second process must find all of it.
"""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import pytest

from runtime.errors import OperatorError
from runtime.live.crash_points import VARIABLE, CrashPoint
from tests.faults.books import books_agree
from tests.faults.conftest import StartPair
from tests.faults.harness import NANOS, POLL_SECS, FaultVenue, LiveNode, is_covered, leg_of
from tests.faults.recorder import record
from tests.faults.waiting import waited_secs

pytestmark = pytest.mark.fault

AGAIN_SECS: Final = 0.5
START_SECS: Final = 180.0
SUPERVISOR_SECS: Final = 30.0
QUIET_SECS: Final = 1.0
# From the start of a process to its first exit at the venue: the five seconds, and the round trips of
# a start (two to three dozen questions of 10 to 20 ms).
TO_EXIT_SECS: Final = 5.0
ROUND_TRIPS_SECS: Final = 0.5
# What the node is made to do until it dies; the last word says how its position ends, where there is one.
WAYS: Final[dict[CrashPoint, tuple[str, ...]]] = {
    CrashPoint.ENTRY_BEFORE_STORED: ("enter",),
    CrashPoint.ENTRY_STORED: ("enter",),
    CrashPoint.ENTRY_SENT: ("enter",),
    CrashPoint.ENTRY_ACCEPTED: ("enter",),
    CrashPoint.ENTRY_FILL_REPORTED: ("enter", "fill"),
    CrashPoint.STOP_BEFORE_STORED: ("enter", "fill"),
    CrashPoint.STOP_STORED: ("enter", "fill"),
    CrashPoint.STOP_SENT: ("enter", "fill"),
    CrashPoint.STOP_ACCEPTED: ("enter", "fill"),
    CrashPoint.TARGET_STORED: ("enter", "fill", "target"),
    CrashPoint.TARGET_SENT: ("enter", "fill", "target"),
    CrashPoint.TARGET_ACCEPTED: ("enter", "fill", "target"),
    CrashPoint.CANCEL_SENT: ("enter", "cancel"),
    CrashPoint.CANCEL_CONFIRMED: ("enter", "cancel"),
    CrashPoint.EXIT_STORED: ("enter", "fill", "close"),
    CrashPoint.EXIT_SENT: ("enter", "fill", "close"),
    CrashPoint.STOP_FILL_REPORTED: ("enter", "fill", "stop"),
    CrashPoint.TARGET_FILL_REPORTED: ("enter", "fill", "target"),
    CrashPoint.EXIT_FILL_REPORTED: ("enter", "fill", "close"),
    CrashPoint.TRADE_CLOSED: ("enter", "fill", "target"),
    # Of a second start, over a position.
    CrashPoint.RESTORED: ("enter", "fill", "kill"),
    CrashPoint.ORPHANS_SWEPT: ("enter", "fill", "kill"),
}
OF_A_START: Final = frozenset({CrashPoint.RESTORED, CrashPoint.ORPHANS_SWEPT})
EXITS: Final = frozenset(
    point for point, way in WAYS.items() if way[-1] in {"close", "stop", "target"} and "target_s" not in point
) - {CrashPoint.TARGET_ACCEPTED}
# Where money is at stake whatever the venue is like: filled and naked, the stop on its way, and an exit that
# filled while the other one rests.
ON_ALL_KINDS: Final = frozenset(
    {CrashPoint.ENTRY_FILL_REPORTED, CrashPoint.STOP_SENT, CrashPoint.TARGET_FILL_REPORTED}
)
# Every other point of the matrix on one kind of account; the rest of the product is `make crashes`.
ON_ONE_KIND: Final[dict[CrashPoint, str]] = {
    CrashPoint.ENTRY_BEFORE_STORED: "bybit_linear",
    CrashPoint.ENTRY_STORED: "binance_spot",
    CrashPoint.ENTRY_SENT: "binance_usdm",
    CrashPoint.ENTRY_ACCEPTED: "binance_usdm",
    CrashPoint.STOP_BEFORE_STORED: "binance_usdm",
    CrashPoint.STOP_STORED: "bybit_linear",
    CrashPoint.STOP_ACCEPTED: "binance_spot",
    CrashPoint.TARGET_STORED: "binance_usdm",
    CrashPoint.TARGET_SENT: "binance_spot",
    CrashPoint.TARGET_ACCEPTED: "bybit_linear",
    CrashPoint.CANCEL_SENT: "binance_usdm",
    CrashPoint.CANCEL_CONFIRMED: "bybit_linear",
    CrashPoint.EXIT_STORED: "binance_usdm",
    CrashPoint.EXIT_SENT: "binance_spot",
    CrashPoint.STOP_FILL_REPORTED: "binance_spot",
    CrashPoint.EXIT_FILL_REPORTED: "binance_usdm",
    CrashPoint.TRADE_CLOSED: "binance_usdm",
    CrashPoint.RESTORED: "binance_usdm",
    CrashPoint.ORPHANS_SWEPT: "bybit_linear",
}
KINDS: Final = ("binance_usdm", "binance_spot", "bybit_linear", "bybit_spot")


def cases(*, leaving: bool) -> list[Any]:
    """Return kinds of accounts and points, those that are not of the matrix marked so."""
    return [
        (kind, point)
        if point in ON_ALL_KINDS or ON_ONE_KIND[point] == kind
        else pytest.param(kind, point, marks=pytest.mark.thorough)
        for kind in KINDS
        for point in CrashPoint
        if (point in EXITS) == leaving
    ]


def test_every_point_is_of_the_matrix() -> None:
    """A point that somebody adds must be given a place."""
    assert ON_ALL_KINDS | set(ON_ONE_KIND) == set(CrashPoint) == set(WAYS)
    assert not ON_ALL_KINDS & set(ON_ONE_KIND)


@pytest.mark.parametrize(("kind", "point"), cases(leaving=False))
def test_F07_killed_on_the_way_to_protection(pair: StartPair, kind: str, point: CrashPoint) -> None:
    """The position is protected by one stop after the restart, and no order was sent twice."""
    check_restart(*pair(kind), point)


@pytest.mark.parametrize(
    "kind", ["binance_usdm", *(pytest.param(one, marks=pytest.mark.thorough) for one in KINDS[1:])]
)
def test_F07_killed_and_started_half_a_minute_later(pair: StartPair, kind: str) -> None:
    """A supervisor that waits changes nothing but the time."""
    check_restart(*pair(kind), CrashPoint.STOP_STORED, after_secs=SUPERVISOR_SECS)


@pytest.mark.parametrize(("kind", "point"), cases(leaving=True))
def test_F08_killed_on_the_way_out(pair: StartPair, kind: str, point: CrashPoint) -> None:
    """What is left of the exits goes away: nothing trades afterwards."""
    check_restart(*pair(kind), point)


# -- the way -----------------------------------------------------------------------------------------------


def check_restart(venue: FaultVenue, node: LiveNode, point: CrashPoint, after_secs: float = 0.0) -> None:
    """Kill a node at a point, start it again, and compare everything then and when the trade is over."""
    run_until_killed(venue, node, point)
    if venue.is_resting("E"):
        venue.fill_entry()
    dead_ns = venue.now_ns()
    held, was_safe = not venue.is_flat(), is_safe(venue)
    time.sleep(after_secs)
    times = protect_again(venue, node, dead_ns, is_naked=not was_safe)
    outage_secs = sum(times.get(name, 0.0) for name in ("dead_secs", "start_to_exit_secs"))
    books_agree(node, venue, outage_secs=outage_secs)
    was_flat = venue.is_flat()
    if not was_flat:
        venue.resume_pulse()
        (venue.hit_stop if leaves_by_stop(point) else venue.hit_target)()
        node.wait("flat", venue.is_flat)
    # A stop that triggers before its cancellation has arrived is called CANCELED on the wire: no orphan.
    node.wait("no exit rests", lambda: not venue.legs())
    fills = len(venue.records()["fills"])
    for price in ("48900", "51100"):
        venue.print_trade(price, side="SELL" if price < "5" else "BUY")
    time.sleep(QUIET_SECS)
    measured = books_agree(node, venue, outage_secs=outage_secs)
    state = venue.records()
    assert len(state["fills"]) == fills, "something traded after the position was closed"
    assert not venue.orders(is_open=True)
    trades = node.rows("SELECT * FROM trades")
    expected = {one["client_id"].split("-")[-2] for one in state["fills"]}
    assert {one["setup_id"] for one in trades} == expected
    assert len(trades) == len(expected), f"recorded twice: {[one['setup_id'] for one in trades]}"
    entries = [one for one in venue.orders() if leg_of(one["client_id"]) == "E"]
    assert len(entries) == len({one["client_id"].split("-")[-2] for one in entries})
    record(
        f"{'F08' if point in EXITS else 'F07'} {point.value}" + (f" {after_secs:g} s" if after_secs else ""),
        venue.kind.name,
        f"SIGKILL at {point.value}, restart{f' after {after_secs:g} s' if after_secs else ' at once'}",
        measured={**(times or {"start_to_exit_secs": "was there" if held else "was flat"}), **measured},
    )


def protect_again(venue: FaultVenue, node: LiveNode, dead_ns: int, *, is_naked: bool) -> dict[str, float]:
    """Start the next process and wait until all is as it should be; return times, in seconds.

    Of a position that nothing protects: ``dead_secs`` from the kill to the start, ``start_to_exit_secs`` from
    the start to the first exit at the venue, and of these ``waited_for_a_core_secs``, which the node stood
    still because the machine was busy. Nothing where an exit was there.
    """
    node.launch()
    node.wait("nothing is unprotected", lambda: is_safe(venue), START_SECS)
    waited = waited_secs(node.process_id)
    node.wait_open(START_SECS)
    node.wait("exits as they should be", lambda: legs_fit(venue))
    first = first_exit_ns(venue, node.launched_ns)
    if not is_naked or first is None:  # none: one was on its way when the node died
        return {}
    to_exit = (first - node.launched_ns) / NANOS
    # `books_agree` gets what is measured as outage, so here is where a slow start fails.
    assert to_exit <= TO_EXIT_SECS + ROUND_TRIPS_SECS + waited, f"{to_exit:.2f} s, {waited:.2f} of it waiting"
    return {
        "dead_secs": round((node.launched_ns - dead_ns) / NANOS, 2),
        "start_to_exit_secs": round(to_exit, 2),
        "waited_for_a_core_secs": round(waited, 2),
    }


def run_until_killed(venue: FaultVenue, node: LiveNode, point: CrashPoint) -> None:
    """Start a node and drive it until it dies at a point."""
    armed = {VARIABLE: point.value}
    node.launch({} if point in OF_A_START else armed)
    node.wait_open(START_SECS)
    for word in WAYS[point]:
        if word == "kill":
            node.kill()
            node.launch(armed)
            assert node.wait_end(START_SECS) == -signal.SIGKILL
            return
        move(venue, node, word)
        if not node.is_running:
            break
    assert node.wait_end(5.0) == -signal.SIGKILL, f"{point} was never reached"


def move(venue: FaultVenue, node: LiveNode, word: str) -> None:
    """Let something happen in the market until it shows at the venue, or the node is dead."""
    act, is_done = moves(venue, node)[word]
    end, due = time.monotonic() + START_SECS, 0.0
    while node.is_running and not is_done():
        assert time.monotonic() < end, f"{word} does nothing; open: {venue.legs()}\n{node.words}"
        if time.monotonic() >= due:
            act()
            due = time.monotonic() + (AGAIN_SECS if word == "enter" else START_SECS)
        time.sleep(POLL_SECS)


def moves(venue: FaultVenue, node: LiveNode) -> dict[str, tuple[Callable[[], Any], Callable[[], bool]]]:
    """Return what is done in the market and how it shows that it was taken."""

    def close() -> None:
        with suppress(OperatorError):  # the node dies before it answers
            node.command("close", instrument=venue.kind.instrument_id)

    return {
        "enter": (venue.arm, lambda: venue.is_resting("E")),
        "cancel": (venue.ask_cancel, lambda: not venue.legs()),
        "fill": (venue.fill_entry, lambda: is_covered(venue) and legs_fit(venue)),
        "close": (close, venue.is_flat),
        "stop": (venue.hit_stop, venue.is_flat),
        "target": (venue.hit_target, venue.is_flat),
    }


def leaves_by_stop(point: CrashPoint) -> bool:
    """Tell which way out is taken after the restart: both are, over all points."""
    return list(CrashPoint).index(point) % 2 == 0


def is_safe(venue: FaultVenue) -> bool:
    """Tell whether nothing is held, a stop covers it, or (spot) its way out rests."""
    return venue.is_flat() or is_covered(venue) or (venue.kind.is_spot and venue.is_resting("T"))


def legs_fit(venue: FaultVenue) -> bool:
    """Tell whether exactly the exits rest that belong to what is held."""
    if venue.is_flat():
        return venue.legs() == []
    return venue.legs() in ([["S"], ["T"]] if venue.kind.is_spot else [["S", "T"]])


def first_exit_ns(venue: FaultVenue, since_ns: int) -> int | None:
    """Return when the venue had the first exit that was sent since a time."""
    times = [
        int(one["created_ns"])
        for one in venue.orders()
        if leg_of(one["client_id"]) != "E" and int(one["created_ns"]) >= since_ns
    ]
    return min(times, default=None)
