"""No fault at all: each kind of account enters, protects, and leaves by its stop and by its target."""

import pytest

from tests.faults.books import books_agree
from tests.faults.conftest import StartPair
from tests.faults.kinds import KINDS


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_trades_without_a_fault(pair: StartPair, kind: str) -> None:
    """What every row begins with works on each kind, and all books agree."""
    venue, node = pair(kind)
    node.start()
    node.enter_and_fill()
    venue.hit_stop()
    node.wait("flat after the stop", venue.is_flat)
    node.wait("the trade is journaled", lambda: node.rows("SELECT 1 FROM trades"))
    venue.resume_pulse()
    node.enter_and_fill()
    books_agree(node, venue)
    venue.hit_target()
    node.wait("flat after the target", venue.is_flat)
    measured = books_agree(node, venue)
    assert node.stop() == 0
    assert measured["trades"] == 2
    reasons = [one["exit_reason"] for one in node.rows("SELECT exit_reason FROM trades ORDER BY ts_ns")]
    assert reasons == ["stop", "target"]
