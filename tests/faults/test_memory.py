"""F26: a node that grows too large begins anew, and its position is protected all the while."""

import pytest

from tests.faults.books import books_agree
from tests.faults.conftest import StartPair
from tests.faults.node import LEAST_SESSION_VARIABLE
from tests.faults.recorder import record

SWELL = "50030"
LIMIT_MB, SWELL_MB = 900, 700


@pytest.mark.fault
@pytest.mark.parametrize("kind", ["binance_usdm", "bybit_linear"])
def test_F26_memory_over_the_limit(pair: StartPair, kind: str) -> None:
    """The waiting entry is taken back, the stop stays, and the node that follows owns both."""
    venue, node = pair(
        kind,
        live={"max_rss_mb": LIMIT_MB},
        strategy={"swell_mb": SWELL_MB},
        environment={LEAST_SESSION_VARIABLE: "1"},
    )
    node.start()
    node.enter()
    venue.fill_entry("0.04")
    node.wait_protected()
    assert venue.is_resting("E")
    process_id = node.process_id
    venue.print_trade(SWELL, "0.001", "BUY")
    ended = node.wait("the session ends", lambda: node.rows("SELECT reason FROM session_ends"), 120)
    assert ended[0]["reason"].startswith("memory: ")
    node.wait("the next one begins", lambda: len(node.rows("SELECT 1 FROM sessions")) == 2, 120)
    node.wait_open()
    assert (node.process_id, node.is_running) == (process_id, True)
    assert not venue.is_resting("E")
    node.wait_protected()
    measured = books_agree(node, venue)
    venue.hit_stop()
    node.wait("flat", venue.is_flat)
    node.wait("the trade is journaled", lambda: node.rows("SELECT 1 FROM trades"))
    measured |= books_agree(node, venue)
    assert node.violations == 0
    assert node.stop() == 0
    record(
        "F26 limit",
        kind,
        f"memory over live.max_rss_mb ({LIMIT_MB}) with a position and the rest of its entry",
        measured={"sessions": len(node.rows("SELECT 1 FROM sessions")), **measured},
    )
