"""F10, F11, F13, F18, F19, F24: limits, clocks, the database, the market's data and terms, while a node runs.

One node of each kind serves them all, in the order of the file; what it holds for good comes last.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any, Final

import pytest

from tests.faults.bans import silence
from tests.faults.books import books_agree
from tests.faults.harness import NANOS, FaultVenue, LiveNode, details
from tests.faults.kinds import KINDS, PRICE
from tests.faults.recorder import record

pytestmark = pytest.mark.fault

VENUES: Final = ("binance_usdm", "binance_spot", "bybit_linear", "bybit_spot")
START_SECS: Final = 300.0  # of a loaded machine
CANCEL: Final = {
    "binance_usdm": "DELETE /fapi/v1/order",
    "binance_spot": "DELETE /api/v3/order",
    "bybit_linear": "WS order.cancel",
    "bybit_spot": "WS order.cancel",
}
# A print thirty percent away, at which the script would enter.
SPIKE: Final = {
    "binance_usdm": "65000",
    "binance_spot": "35000",
    "bybit_linear": "65000",
    "bybit_spot": "35000",
}
# The venue's window of weight, and its limit.
WEIGHT: Final = {"binance_usdm": ("weight_1m", 2400), "binance_spot": ("REQUEST_WEIGHT", 6000)}
BAN_SECS: Final = 12
# Bybit's limits are over five seconds at most, and longer ones are not believed.
BYBIT_LIMIT_SECS: Final = 4
LOCKED_SECS: Final = 30
FROZEN_SECS: Final = 6
HEARTBEAT_SECS: Final = 1.0
BANNED: Final = (418, 429)
DATA: Final = {"heartbeat_secs": HEARTBEAT_SECS, "frozen_secs": FROZEN_SECS, "instrument_secs": 2}

type Pair = tuple[FaultVenue, LiveNode]


class LiveMarket(FaultVenue):
    """A market whose price moves, unless a test freezes it."""

    frozen = False

    def _beat(self) -> None:
        step = 0
        while not self._over.is_set():
            self._beats.wait()
            step += 0 if self.frozen else 1
            with suppress(Exception):  # a test ends the venue when it likes
                self.print_trade(self.price if step % 2 else f"{float(self.price) + 0.5:.2f}", "0.001")
            self._over.wait(0.2)


@pytest.fixture(scope="module", params=VENUES)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Give a running node and its venue, whose market moves."""
    name: str = request.param
    script = {"low_arm_price": SPIKE[name]}
    folder = tmp_path_factory.mktemp("data")
    with (
        LiveMarket(KINDS[name]) as venue,
        LiveNode(venue, folder, live={"data": DATA}, strategy=script) as node,
    ):
        node.launch()
        node.wait_open(START_SECS)
        yield venue, node


@pytest.fixture(autouse=True)
def free(started: Pair) -> None:
    """Begin each row with a node that may enter and a venue without faults."""
    _venue, node = started
    node.wait_open(START_SECS)


def requests_since(venue: FaultVenue, since_ns: int) -> list[dict[str, Any]]:
    """Return what reached the venue from a time on."""
    return [one for one in venue.records()["requests"] if one["ts_ns"] >= since_ns]


def holds(node: LiveNode) -> str:
    """Return the sources of the holds that stand."""
    return str(node.desk().get("held") or "")


def wait_journaled(venue: FaultVenue, node: LiveNode) -> None:
    """Wait until the journal's database knows the end of every order."""

    def is_there() -> bool:
        ended = {one["client_id"] for one in venue.orders() if one["status"] in ("CANCELED", "FILLED")}
        known = node.rows(
            "SELECT client_order_id FROM orders WHERE event IN ('OrderCanceled', 'OrderFilled')"
        )
        return ended <= {one["client_order_id"] for one in known}

    node.wait("the journal has every end", is_there)


def end_entry(venue: FaultVenue, node: LiveNode) -> None:
    """Take back what rests and wait until desk and venue agree."""
    if node.desk()["setup"]:
        node.command("cancel-all")
    node.wait("nothing rests", lambda: not venue.legs())
    node.wait("the desk is free", lambda: not node.desk()["setup"])
    wait_journaled(venue, node)


# -- F10 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["ban", "rate_limit"])
def test_F10_no_request_during_a_ban(started: Pair, fault: str) -> None:
    """One request finds out; until Retry-After nothing more goes out, streams stay, then work goes on."""
    venue, node = started
    is_bybit = venue.kind.venue == "bybit"
    if is_bybit and fault == "ban":
        pytest.skip("Bybit forbids an address for ten minutes: test_forbidden.py")
    secs = BYBIT_LIMIT_SECS if is_bybit else BAN_SECS
    node.enter()
    before = venue.records()["connections_opened"]
    since_ns = venue.now_ns()
    venue.fault(fault, secs=secs)
    until_ns = since_ns + secs * NANOS
    node.wait("the ban is noticed", lambda: refused(venue, since_ns))
    venue.ask_cancel()
    node.wait("the ban is over", lambda: venue.now_ns() > until_ns + NANOS)
    node.wait(
        "requests again", lambda: [one for one in requests_since(venue, until_ns) if one["status"] == 200]
    )
    found = silence(refused(venue, since_ns))
    assert venue.records()["connections_opened"] == before
    end_entry(venue, node)
    measured = books_agree(node, venue) | found | {"streams lost": 0}
    status = "10006" if is_bybit else "418" if fault == "ban" else "429"
    record(f"F10 {status}", venue.kind.name, f"status {status} for {secs} s", measured=measured)
    assert found["requests after it"] == []
    assert len(found["under way with it"]) <= 1


def test_F10_entries_end_below_the_limits(started: Pair) -> None:
    """Somebody else at the address spends: a position is protected, the next entry denied, no 429."""
    venue, node = started
    if venue.kind.venue == "bybit":
        pytest.skip("Bybit limits each kind of order alone: tests/unit/test_entry_room.py")
    weight, limit = WEIGHT[venue.kind.name]
    node.enter()
    since_ns = venue.now_ns()
    spend(venue, weight, limit * 9 // 10)
    venue.fill_entry()
    node.wait_protected()
    protected_ns = venue.now_ns()
    venue.hit_target()
    node.wait("the position is closed", venue.is_flat)
    venue.price = PRICE
    venue.print_trade(PRICE)
    node.wait("the desk is free", lambda: not node.desk()["setup"])

    def is_denied() -> bool:
        """Another minute may have begun: others spend on."""
        if venue.legs():
            node.command("cancel-all")
            node.wait("nothing rests", lambda: not venue.legs())
        used = venue.records()["limits"][weight]["used"]
        spend(venue, weight, max(0, limit * 9 // 10 - used))
        venue.arm()
        time.sleep(1.0)
        return any(one["reason"] == "rate_limit" for one in node.decisions("entry_rejected"))

    node.wait("an entry is denied", is_denied)
    assert not refused(venue, since_ns)
    node.enter()  # within a minute by itself
    end_entry(venue, node)
    measured = books_agree(node, venue) | {
        "unprotected, s": round((protected_ns - since_ns) / NANOS, 1),
        "refused requests": len(refused(venue, since_ns)),
        "denied entries": len(
            [one for one in node.decisions("entry_rejected") if one["reason"] == "rate_limit"]
        ),
    }
    record(
        "F10 near the limit",
        venue.kind.name,
        "others at the address spend 90 % of the weight of each minute",
        measured=measured,
    )


def spend(venue: FaultVenue, weight: str, units: int) -> None:
    """Let somebody else at the address send requests."""
    venue.fault("spend", window=weight, units=units)


def refused(venue: FaultVenue, since_ns: int) -> list[dict[str, Any]]:
    """Return the requests that met the ban."""
    found = requests_since(venue, since_ns)
    return [one for one in found if one["status"] in BANNED or one["params"].get("retCode") == "10006"]


# -- F11 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secs", [2, -2])
def test_F11_the_clock_steps(started: Pair, secs: int) -> None:
    """Entries are held and the waiting one is taken back; requests are stamped by the venue's clock."""
    venue, node = started
    node.enter()
    since_ns = time.time_ns()
    venue.fault("skew", secs=secs)
    node.wait("held", lambda: "clock" in holds(node))
    node.wait("the entry is taken back", lambda: not venue.legs())
    venue.arm()
    node.wait("an entry is left out", lambda: skipped(node, since_ns))
    late = [
        one for one in requests_since(venue, 0) if is_late(one) and one["ts_ns"] > since_ns + secs * NANOS
    ]
    venue.fault("skew", secs=0)
    node.wait_open(START_SECS)
    end_entry(venue, node)
    measured = books_agree(node, venue) | {"refused requests": len(late)}
    record(
        f"F11 {secs:+d} s",
        venue.kind.name,
        f"the venue's clock steps by {secs:+d} s and back",
        measured=measured,
    )
    assert len(late) <= 3  # until the clocks are compared again


def is_late(request: dict[str, Any]) -> bool:
    """Tell whether a request was refused for its stamp."""
    return request["status"] == 400 or request["params"].get("retCode") == "10002"


def skipped(node: LiveNode, since_ns: int) -> list[dict[str, Any]]:
    """Return the signals that were left out since a time of ours."""
    return [one for one in node.decisions("signal_skipped") if int(one["ts_ns"]) >= since_ns - 3 * NANOS]


# -- F13 -----------------------------------------------------------------------------------------------------


def test_F13_a_locked_database(started: Pair) -> None:
    """Half a minute without the database: a whole trade goes on, and all of it is journaled afterwards."""
    venue, node = started
    if venue.kind.venue == "bybit":
        pytest.skip("a database does not know whose trades it keeps")
    node.wait("the journal has a session", lambda: node.rows("SELECT 1 FROM sessions"))
    with closing(sqlite3.connect(node.journal, isolation_level=None, timeout=30)) as lock:
        lock.execute("BEGIN IMMEDIATE")
        since = time.monotonic()
        before = len(node.rows("SELECT 1 FROM trades"))
        node.enter_and_fill()
        venue.hit_stop()
        node.wait("flat", venue.is_flat)
        venue.resume_pulse()
        assert len(node.rows("SELECT 1 FROM trades")) == before
        node.wait("half a minute", lambda: time.monotonic() - since >= LOCKED_SECS)
        lock.execute("ROLLBACK")
    node.wait("the trade is there", lambda: len(node.rows("SELECT 1 FROM trades")) == before + 1)
    wait_journaled(venue, node)
    measured = books_agree(node, venue)
    record("F13", venue.kind.name, f"the journal's database locked for {LOCKED_SECS} s", measured=measured)


# -- F18 -----------------------------------------------------------------------------------------------------


def test_F18_a_frozen_price(started: Pair) -> None:
    """Trades come and their price never changes: the entry is taken back; released after a comparison."""
    venue, node = started
    node.enter()
    market: Any = venue
    market.frozen = True
    since_ns = venue.now_ns()
    sent = node.wait(
        "the entry is taken back",
        lambda: [
            one for one in requests_since(venue, since_ns) if one["endpoint"] == CANCEL[venue.kind.name]
        ],
    )
    assert "stale" in holds(node)
    venue.arm()
    market.frozen = False
    node.wait_open(START_SECS)
    end_entry(venue, node)
    measured = books_agree(node, venue) | {
        "limit secs": FROZEN_SECS,
        "time to cancel secs": round((sent[0]["ts_ns"] - since_ns) / NANOS, 2),
    }
    record("F18", venue.kind.name, "the price stands still, the stream goes on", measured=measured)


# -- F19 -----------------------------------------------------------------------------------------------------


def test_F19_a_bad_print_opens_nothing(started: Pair) -> None:
    """A strategy that would enter on it is refused by the account's limits; nothing is sent."""
    venue, node = started
    since_ns = venue.now_ns()
    before = len(node.decisions("entry_refused"))
    venue.print_trade(SPIKE[venue.kind.name], "0.001")
    refused = node.wait("refused", lambda: node.decisions("entry_refused")[before:])
    assert "from the last trades" in details(refused)[0]["text"]
    node.wait_open(START_SECS)
    end_entry(venue, node)
    measured = books_agree(node, venue) | {"orders sent": len(venue.sent_since(since_ns))}
    record("F19 live", venue.kind.name, f"one print at {SPIKE[venue.kind.name]}", measured=measured)
    assert venue.sent_since(since_ns) == []


# -- F24: last, because another tick size holds until a restart ----------------------------------------------


def test_F24_the_venue_halts_and_changes_an_instrument(started: Pair) -> None:
    """Halted: held until it trades again. Another tick size: held until a restart, and nothing is sent."""
    venue, node = started
    node.enter()
    venue.fault("instrument", market=venue.kind.market, status="HALT")
    node.wait("held", lambda: "closed" in holds(node))
    venue.fault("instrument", market=venue.kind.market, status="TRADING")
    node.wait_open(START_SECS)
    end_entry(venue, node)
    node.enter()
    venue.fault("instrument", market=venue.kind.market, tick="0.5")
    node.wait("held for good", lambda: "instrument" in holds(node))
    node.wait("the entry is taken back", lambda: not venue.legs())
    since_ns = venue.now_ns()
    venue.arm()
    node.wait("it is left out", lambda: skipped(node, since_ns))
    wait_journaled(venue, node)
    measured = books_agree(node, venue) | {"orders after the change": len(venue.sent_since(since_ns))}
    record("F24", venue.kind.name, "halt and end of it, then another tick size", measured=measured)
    assert venue.sent_since(since_ns) == []
