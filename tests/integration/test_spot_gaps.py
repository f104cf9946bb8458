"""Binance spot's user stream breaks while an entry fills: the fill is found, with the venue's id and fee."""

import asyncio
from typing import Any, Final

import pytest
from nautilus_trader.adapters.binance import BinanceLiveExecClientFactory
from nautilus_trader.model.enums import OrderSide

from runtime.live.binance_spot import SpotExecClientFactory
from tests.integration.spot_node import Probe, node_config, run_node, until
from tests.venue_simulator.process import VenueProcess

pytestmark = pytest.mark.slow

TROUBLES: Final[dict[str, dict[str, Any]]] = {
    "none": {},
    "no trades": {"endpoint": "*myTrades*"},
    "no orders": {"endpoint": "*openOrders*"},
    "no login": {"endpoint": "*session.logon*"},
    "no stream": {"endpoint": "*userDataStream.subscribe*"},
}
# What the adapter itself makes of each: whether it has the fill, and its fee.
ADAPTER: Final = {"none": "0.00001000 BTC", "no trades": "0.00000000 USDT", "no orders": "", "no login": ""}


async def fill_in_a_gap(probe: Probe, venue: VenueProcess, trouble: dict[str, Any]) -> Any:
    """Let an entry fill while the stream is cut for a second and something fails as it comes back."""

    async def trade(side: str, qty: str, price: str) -> None:
        await asyncio.to_thread(venue.trade, "BTCUSDT", side, qty, price)

    async def is_subscribed() -> None:
        while not any(one["topics"] for one in (await asyncio.to_thread(venue.state))["connections"]):
            await asyncio.sleep(0.05)

    await asyncio.wait_for(is_subscribed(), 15)
    await trade("BUY", "0.1", "60000")
    entry = probe.send("limit", OrderSide.BUY, "0.01", "59990", post_only=True)
    await probe.ends_with(entry, "OrderAccepted")
    if trouble:
        await asyncio.to_thread(venue.fault, "error", count=1, status=503, code=-1001, **trouble)
    await asyncio.to_thread(venue.fault, "cut", secs=1)
    await trade("SELL", "0.2", "59940")
    return entry


@pytest.mark.parametrize("name", TROUBLES)
def test_a_fill_in_a_gap_is_found_with_its_own_id_and_fee(spot_venue: VenueProcess, name: str) -> None:
    """Whatever fails once as the stream comes back, the whole is asked for again; then it trades on."""

    async def scenario(probe: Probe) -> None:
        entry = await fill_in_a_gap(probe, spot_venue, TROUBLES[name])
        await until(lambda: entry.filled_qty > 0, lambda: probe.names(entry))
        fill = probe.of(entry)[-1]
        assert (fill.trade_id.value.isdigit(), str(fill.commission)) == (True, "0.00001000 BTC")
        assert [str(one.quantity) for one in probe.cache.positions_open()] == ["0.00999000"]
        after = probe.send("limit", OrderSide.BUY, "0.01", "50000")
        await probe.ends_with(after, "OrderSubmitted", "OrderAccepted")

    run_node(node_config(spot_venue), scenario, SpotExecClientFactory)


@pytest.mark.parametrize("name", ADAPTER)
def test_what_the_adapter_itself_makes_of_it(spot_venue: VenueProcess, name: str) -> None:
    """Pinned: without the trades it invents a fill without fee; without orders or login it has none."""

    async def scenario(probe: Probe) -> None:
        entry = await fill_in_a_gap(probe, spot_venue, TROUBLES[name])
        if ADAPTER[name]:
            await until(lambda: entry.filled_qty > 0, lambda: probe.names(entry))
            assert str(probe.of(entry)[-1].commission) == ADAPTER[name]
        else:
            await asyncio.sleep(12)
            assert entry.filled_qty == 0

    run_node(node_config(spot_venue), scenario, BinanceLiveExecClientFactory)
