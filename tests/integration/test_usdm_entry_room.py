"""Entries and cancels as fast as they go: entries end before the venue's limits, and a stop still leaves."""

import asyncio
import time
from typing import Any

import msgspec
import pytest
from nautilus_trader.config import LiveRiskEngineConfig
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import OrderDenied

from runtime.download.budget import HostBudget
from runtime.live.binance_usdm import UsdmExecClientFactory
from runtime.live.entry_room import EntryRoom
from runtime.live.intents import EntryBarrier, IntentSync
from runtime.live.rest_guard import guard_client, telling_limits
from strategies.venue_reports import RATE_LIMIT
from tests.integration.usdm_node import Probe, RunningVenue, node_config, run_node, until
from tests.venue_simulator.binance_usdm_rules import ORDERS_10_SECS, ORDERS_MINUTE, WEIGHT_WINDOW

BUY, SELL = OrderSide.BUY, OrderSide.SELL
ENTRY = ["ENTRY"]
ROUND = 20
ROUNDS = 40


def limited(budget: HostBudget, said: list[str]) -> type[UsdmExecClientFactory]:
    """Return a factory of clients as a live node has them."""

    class Factory(UsdmExecClientFactory):
        @staticmethod
        def create(*arguments: Any, **surroundings: Any) -> Any:
            client = UsdmExecClientFactory.create(*arguments, **surroundings)
            guard_client(client, lambda _address: budget, said.append)
            intents = IntentSync(lambda: None, surroundings.get("loop") or arguments[0])
            room = EntryRoom(budget, said.append, time.monotonic)
            EntryBarrier(client, intents, lambda _name: True, lambda *_words: None, room)
            return client

    return Factory


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "is_said"),
    [
        pytest.param({WEIGHT_WINDOW: 400, ORDERS_10_SECS: 10_000}, "weight", id="weight"),
        pytest.param({WEIGHT_WINDOW: 10_000, ORDERS_10_SECS: 60}, "orders in 10 s", id="orders"),
        pytest.param(
            {WEIGHT_WINDOW: 10_000, ORDERS_10_SECS: 10_000, ORDERS_MINUTE: 80}, "orders in 60 s", id="minute"
        ),
    ],
)
def test_a_stop_leaves_although_entries_flood_the_venue(limits: dict[str, int], is_said: str) -> None:
    """A position is open; entries go out and are taken back until they are denied; nothing met a 429."""
    budget, said = HostBudget(time.monotonic, 0.5), list[str]()
    budget.allow(limits[WEIGHT_WINDOW])
    budget.allow_orders(limits[ORDERS_10_SECS], 10.0)
    budget.allow_orders(limits.get(ORDERS_MINUTE, 10_000), 60.0)

    async def scenario(probe: Probe) -> None:
        venue.trade("50000.00")
        opened = probe.market(BUY, "0.010", tags=ENTRY)
        await probe.until(opened, "OrderFilled")
        for _ in range(ROUNDS):
            entries = [probe.limit(BUY, "0.010", "48500.00", tags=ENTRY) for _ in range(ROUND)]
            # Not until they rest: a node that floods knows no pause. What was denied is closed already.
            await until(
                lambda entries=entries: all(one.is_open or one.is_closed for one in entries),  # type: ignore[misc]
                lambda: [one.status for one in entries],  # noqa: B023
            )
            for one in entries:
                if one.is_open:
                    probe.cancel_order(one)
            if any(isinstance(one, OrderDenied) for one in probe.events):
                break
        else:
            raise AssertionError("nothing was denied")
        stop = probe.stop_market(SELL, "0.010", "49000.00", reduce_only=True, tags=["STOP"])
        await probe.until(stop, "OrderAccepted")
        target = probe.limit(SELL, "0.010", "51000.00", reduce_only=True, tags=["TARGET"])
        await probe.until(target, "OrderAccepted")
        for _ in range(5):  # a trailing stop: takes back and places
            probe.cancel_order(stop)
            await probe.until(stop, "OrderCanceled")
            stop = probe.stop_market(SELL, "0.010", "49100.00", reduce_only=True, tags=["STOP"])
            await probe.until(stop, "OrderAccepted")
        await until(
            lambda: (
                {one.client_order_id for one in probe.cache.orders_open()}
                == {stop.client_order_id, target.client_order_id}
            ),
            probe.cache.orders_open,
        )
        denied = [one.reason for one in probe.events if isinstance(one, OrderDenied)]
        assert set(denied) == {RATE_LIMIT}
        await asyncio.sleep(0.1)

    with RunningVenue() as venue:

        def make_small(one: Any) -> None:
            for name, limit in limits.items():
                one.limiter.windows[name].limit = limit

        venue.do(make_small)
        # Nautilus' own limit of a hundred orders a second would deny exits, too; a live node's is higher.
        config = msgspec.structs.replace(
            node_config(venue.place, venue.account), risk_engine=LiveRiskEngineConfig(bypass=True)
        )
        with telling_limits():
            run_node(config, scenario, limited(budget, said))
        windows = venue.do(lambda one: dict(one.limiter.windows))
        warnings = venue.do(lambda one: one.limiter.warnings)
    assert (warnings, {name: one.refused for name, one in windows.items() if one.refused}) == (0, {})
    assert len(said) == 1
    assert is_said in said[0]
