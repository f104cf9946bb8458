"""A venue lowers its largest order at market under an open position: it is left in pieces all the same."""

from decimal import Decimal
from pathlib import Path

import pytest

from tests.faults.books import books_agree
from tests.faults.harness import QTY, LiveNode, leg_of, running_venue

MOST = Decimal("0.03")


@pytest.mark.fault
@pytest.mark.parametrize("kind", ["binance_spot", "binance_usdm", "bybit_linear"])
def test_a_position_larger_than_one_market_order_is_left(kind: str, tmp_path: Path) -> None:
    """What the venue refuses as too large is halved until it is taken; nothing is left, and nobody halts."""
    with running_venue(kind) as venue, LiveNode(venue, tmp_path) as node:
        node.start()
        node.enter_and_fill()
        venue.fault("instrument", market=venue.kind.market, market_max_qty=str(MOST))
        node.command("close", instrument=venue.kind.instrument_id)
        node.wait("flat, and nothing rests", lambda: venue.is_flat() and not venue.orders(is_open=True))
        exits = [one for one in venue.orders() if leg_of(one["client_id"]) == "X"]
        sold = [Decimal(one["filled_qty"]) for one in exits]
        assert max(sold) <= MOST
        assert abs(sum(sold) - QTY) <= venue.kind.dust + QTY / 500  # spot: less the fee
        assert not node.desk()["halted"]
        books_agree(node, venue)
        assert node.stop() == 0
