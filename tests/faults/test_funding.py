"""Funding of a live position: booked once, to the last unit, also of a time in which nobody ran."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from runtime.live.bybit_funding import FundingFilter
from runtime.live.bybit_rest import BybitRest
from runtime.live.funding import BinanceIncome, BybitFundings
from runtime.live.keys import Keys
from runtime.live.signed import SignedRest
from tests.faults.books import books_agree
from tests.faults.conftest import StartPair
from tests.faults.harness import FaultVenue
from tests.venue_simulator.process import API_KEY, API_SECRET

WAIT_SECS = 60.0
FAR_MS = 4_000_000_000_000


def paid_at(venue: FaultVenue) -> list[Decimal]:
    """Return what the exchange's own record says of funding, oldest first."""
    address = venue.http(venue.kind.simulator)
    budget: Any = type("NoBan", (), {"ban_secs": 0})()
    if venue.kind.venue == "bybit":
        rest = BybitRest(address, API_KEY, API_SECRET)
        record: Any = BybitFundings(FundingFilter(rest, print))
        now_ms = venue.now_ns() // 1_000_000
        found = asyncio.run(record.payments(now_ms - 3_600_000, now_ms))
    else:
        record = BinanceIncome(SignedRest(address, Keys(key=API_KEY, secret=API_SECRET)), budget)
        found = asyncio.run(record.payments(0, FAR_MS))
    return [one.amount for one in found]


def wallet(venue: FaultVenue) -> Decimal:
    """Return what the account has, flat."""
    balance = venue.records()["accounts"]["main"]["balances"]["USDT"]
    return Decimal(balance["free"]) + Decimal(balance["locked"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binance_usdm", "bybit_linear"])
def test_funding_is_part_of_the_trade(pair: StartPair, kind: str) -> None:
    """Paid, received while the node was dead, paid again; the position stays what it is."""
    venue, node = pair(kind)
    before = wallet(venue)

    def settle(rate: str, count: int) -> None:
        venue.fault("funding", market=venue.kind.market, rate=rate)
        if node.is_running:
            node.wait(f"payment {count}", lambda: len(node.decisions("funding")) == count, WAIT_SECS)

    node.start()
    node.enter_and_fill()
    held = venue.held_qty()
    settle("0.0001", 1)
    node.kill()
    settle("-0.0003", 2)
    node.start()
    node.wait("payment 2", lambda: len(node.decisions("funding")) == 2, WAIT_SECS)
    settle("0.0002", 3)
    assert venue.held_qty() == held == Decimal(node.desk()["position_qty"])
    venue.hit_target()
    node.wait("flat after the target", venue.is_flat)
    books_agree(node, venue)

    amounts = [Decimal(one["amount"]) for one in map(detail_of, node.decisions("funding"))]
    assert amounts == paid_at(venue)
    assert [one > 0 for one in amounts] == [False, True, False]
    (trade,) = node.rows("SELECT * FROM trades")
    assert Decimal(trade["funding"]) == sum(amounts)
    assert wallet(venue) - before == Decimal(trade["pnl"])
    assert node.stop() == 0


def detail_of(decision: Any) -> Any:
    """Return the detail of a journaled decision."""
    return json.loads(decision["detail"])
