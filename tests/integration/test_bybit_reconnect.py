"""Nautilus' Bybit adapters when a session breaks: they come back, but what was missed must be asked for."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal

import pytest
from nautilus_trader.model.enums import OrderStatus

from tests.bybit_client import account, markets
from tests.integration.bybit_node import NodeRun, run_node
from tests.venue_simulator.bybit import Bybit
from tests.venue_simulator.streams import Connection
from tests.venue_thread import VenueThread, venue_thread

LINEAR = "BTCUSDT-LINEAR"
pytestmark = pytest.mark.slow


@pytest.fixture
def venue() -> Iterator[VenueThread]:
    """Give a running exchange whose market traded at 50,000."""
    with venue_thread(Bybit, markets(), account()) as running:
        running.trade(LINEAR, "BUY", "0.01", "50000")
        yield running


def sessions(run: NodeRun, name: str) -> list[Connection]:
    """Return the open sessions of a kind."""
    return [connection for connection in run.venue.venue.connections if connection.name == name]


async def break_session(run: NodeRun, name: str) -> None:
    """Break a session without a word and wait until it is gone."""
    before = sessions(run, name)
    run.venue.call(lambda: [connection.abort() for connection in before])
    await run.until(lambda: not set(before) & set(sessions(run, name)), f"the {name} session is gone")


async def is_ready(run: NodeRun) -> None:
    """Wait until every session is logged in and subscribed."""
    await run.until(lambda: any(row.topics for row in sessions(run, "public-linear")), "public topics", 15)
    await run.until(
        lambda: any("wallet" in row.topics for row in sessions(run, "private")), "private topics", 15
    )
    await run.until(lambda: any("account" in row.state for row in sessions(run, "trade")), "the login", 15)


def test_each_session_comes_back_by_itself(venue: VenueThread) -> None:
    """Logged in, subscribed, and able to trade; also after everything was cut for a second."""

    async def script(run: NodeRun) -> None:
        hand = run.hand
        await is_ready(run)
        for name in ("public-linear", "private", "trade", "cut"):
            if name == "cut":
                venue.call(lambda: venue.venue.faults.cut(1.0))
                await asyncio.sleep(1.2)
            else:
                await break_session(run, name)
            await is_ready(run)
            seen = len(hand.ticks)
            entry = await run.submit(hand.limit("49500"), OrderStatus.ACCEPTED)
            run.trade("SELL", "1", "49499")
            await run.until(lambda entry=entry: entry.status == OrderStatus.FILLED, f"a fill after {name}")
            await run.until(lambda seen=seen: len(hand.ticks) > seen, f"a tick after {name}")
            run.trade("BUY", "1", "50000")
        assert hand.position() == run.exchange_position() == Decimal("0.040")

    run_node(venue, "linear", script)


CHECKS = {
    "nothing asks": ({}, "0"),
    "positions are compared": (
        {
            "reconciliation_startup_delay_secs": 0.0,
            "position_check_interval_secs": 1.0,
            "position_check_threshold_ms": 500,
        },
        "0.010",
    ),
}


@pytest.mark.parametrize("case", CHECKS)
def test_a_fill_that_the_stream_missed_is_found_by_comparing_positions(venue: VenueThread, case: str) -> None:
    """The adapter never asks by itself; the engine's check finds the venue's own execution, with its fee."""
    checks, known = CHECKS[case]

    async def script(run: NodeRun) -> None:
        hand = run.hand
        await is_ready(run)
        entry = await run.submit(hand.limit("49500"), OrderStatus.ACCEPTED)
        await break_session(run, "private")
        run.trade("SELL", "1", "49499")
        await is_ready(run)
        await asyncio.sleep(3.0)
        assert run.exchange_position() == Decimal("0.010")
        assert hand.position() == Decimal(known)
        if hand.position():
            assert str(entry.last_event.commission) == "0.09900000 USDT"

    run_node(venue, "linear", script, checks=checks, plain=True)
