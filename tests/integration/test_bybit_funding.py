"""Funding at Bybit: an execution that is no fill, for the stream and for every reconciliation."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal

import pytest
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import GenerateFillReports
from nautilus_trader.model.enums import OrderSide, OrderStatus

from tests.bybit_client import account, markets
from tests.integration.bybit_node import NodeRun, run_node
from tests.venue_simulator.bybit import Bybit
from tests.venue_simulator.core import OrderRequest
from tests.venue_simulator.faults import EndpointFault
from tests.venue_thread import VenueThread, venue_thread

LINEAR = "BTCUSDT-LINEAR"
pytestmark = pytest.mark.slow


@pytest.fixture
def venue() -> Iterator[VenueThread]:
    """Give a running exchange whose linear market traded at 50,000."""
    with venue_thread(Bybit, markets(), account(USDT=10_000)) as running:
        running.trade(LINEAR, "BUY", "1", "50000")
        yield running


def by_hand() -> OrderRequest:
    """Return an order that a person gives at the venue."""
    return OrderRequest(symbol=LINEAR, side="BUY", type="MARKET", qty=Decimal("0.005"), client_id="by-hand")


def settle(venue: VenueThread, rate: str) -> None:
    """Let the exchange settle funding now."""
    venue.call(lambda: venue.venue.protocol.settle_funding(LINEAR, Decimal(rate)))


def test_funding_changes_no_position(venue: VenueThread) -> None:
    """Settled three times, once while the venue does not answer; a new node that asks for all fills, too."""

    async def first(run: NodeRun) -> None:
        await run.submit(run.hand.market("0.010", OrderSide.BUY), OrderStatus.FILLED)
        for count, rate in enumerate(("0.0001", "-0.0002", "0.0001"), 1):
            if count == 2:
                busy = EndpointFault("GET /v5/execution/list", 2, status=500, text="busy")
                venue.venue.faults.endpoint_faults.append(busy)
            settle(venue, rate)
            await asyncio.sleep(2.5)
            assert run.hand.position() == run.exchange_position() == Decimal("0.010")
        venue.call(lambda: venue.venue.exchange.place(by_hand()))
        await run.until(lambda: run.hand.position() == Decimal("0.015"), "what a person bought")

    async def second(run: NodeRun) -> None:
        assert run.hand.position() == run.exchange_position() == Decimal("0.015")

    run_node(venue, "linear", first, claims=True)
    run_node(venue, "linear", second, claims=True)
    paid = [Decimal(row["execFee"]) for _, row in venue.venue.protocol.private_stream.fundings]
    assert paid == [Decimal("0.05"), Decimal("-0.1"), Decimal("0.05")]


@pytest.mark.parametrize("plain", [True, False])
def test_the_adapter_reports_funding_as_a_fill_and_ours_does_not(venue: VenueThread, plain: bool) -> None:
    """What the filter is for. When the plain adapter reports one fill, the filter may go."""

    async def script(run: NodeRun) -> None:
        await run.submit(run.hand.market("0.010", OrderSide.BUY), OrderStatus.FILLED)
        settle(venue, "0.0001")
        await asyncio.sleep(1.0)
        (client,) = run.node.kernel.exec_engine._clients.values()
        asked = GenerateFillReports(
            instrument_id=None, venue_order_id=None, start=None, end=None, command_id=UUID4(), ts_init=0
        )
        sizes = [str(one.last_qty) for one in await client.generate_fill_reports(asked)]
        assert sizes == ["0.010"] * (2 if plain else 1)
        assert run.exchange_position() == Decimal("0.010")

    run_node(venue, "linear", script, claims=True, plain=plain)
