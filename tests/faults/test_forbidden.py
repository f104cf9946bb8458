"""F10 on Bybit: an address that is forbidden (403) is to end all requests for ten minutes."""

from typing import Any, Final

import pytest

from tests.faults.bans import silence
from tests.faults.books import books_agree
from tests.faults.conftest import StartPair
from tests.faults.harness import NANOS, FaultVenue
from tests.faults.recorder import record

pytestmark = pytest.mark.fault

BAN_SECS: Final = 20
FORBIDDEN: Final = 403


def forbidden(venue: FaultVenue, since_ns: int) -> list[dict[str, Any]]:
    """Return the requests that met the ban."""
    found = venue.records()["requests"]
    return [one for one in found if one["ts_ns"] >= since_ns and one["status"] == FORBIDDEN]


@pytest.mark.parametrize("kind", ["bybit_linear", "bybit_spot"])
def test_F10_an_address_that_is_forbidden(pair: StartPair, kind: str) -> None:
    """No request leaves for longer than the ban; orders go by the websocket all the same.

    The entry that fills meanwhile is protected on contracts. The stop of spot has no other way than REST, so
    the position is closed at market at once.
    """
    venue, node = pair(kind, live={"data": {"heartbeat_secs": 1.0}})
    node.start()
    node.enter()
    since_ns = venue.now_ns()
    venue.fault("ban", secs=BAN_SECS)
    node.wait("the ban is noticed", lambda: forbidden(venue, since_ns))
    venue.fill_entry()
    if venue.kind.is_spot:
        node.wait("closed, since its stop cannot be placed", lambda: node.rows("SELECT 1 FROM trades"))
    else:
        node.wait_protected()
        venue.hit_stop()
        node.wait("the trade is journaled", lambda: node.rows("SELECT 1 FROM trades"))
    until_ns = since_ns + BAN_SECS * NANOS
    node.wait("the ban is over", lambda: venue.now_ns() > until_ns + NANOS)
    found = silence(forbidden(venue, since_ns))
    measured = books_agree(node, venue) | found
    measured["exit"] = node.rows("SELECT exit_reason FROM trades")[0]["exit_reason"]
    record("F10 403", kind, f"status 403 for {BAN_SECS} s, the entry fills", measured=measured)
    assert found["requests after it"] == []
    assert len(found["under way with it"]) <= 1
