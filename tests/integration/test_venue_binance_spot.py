"""Nautilus' unmodified Binance spot adapters trade on the local exchange."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.enums import LiquiditySide, OrderSide
from nautilus_trader.model.identifiers import Venue

from tests.integration.spot_node import Probe, node_config, run_node, until
from tests.venue_simulator.process import VenueProcess


@pytest.mark.slow  # in a process of its own: behind other nodes it ended the process once
def test_node_trades_on_the_local_spot_exchange(spot_venue: VenueProcess) -> None:
    """Node and venue agree on ticks, post-only, partial fill, fill, cancel, stop and account."""
    venue = spot_venue

    async def scenario(probe: Probe) -> None:
        await until(
            lambda: any("stream" in str(one) or one["topics"] for one in venue.state()["connections"])
        )

        async def trade(side: str, qty: str, price: str) -> None:
            await asyncio.to_thread(venue.trade, "BTCUSDT", side, qty, price)

        await trade("BUY", "0.10000", "60000")
        await until(lambda: probe.ticks)
        assert (str(probe.ticks[0].price), str(probe.ticks[0].size)) == ("60000.00000000", "0.10000000")

        taker = probe.send("limit", OrderSide.BUY, "0.01", "60000", post_only=True)
        await probe.ends_with(taker, "OrderSubmitted", "OrderRejected")
        assert probe.of(taker)[-1].due_post_only

        entry = probe.send("limit", OrderSide.BUY, "0.01", "59990", post_only=True)
        await probe.ends_with(entry, "OrderSubmitted", "OrderAccepted")
        await trade("SELL", "0.00400", "59990")
        await probe.ends_with(entry, "OrderFilled")
        await trade("SELL", "0.10000", "59989.5")
        await probe.ends_with(entry, "OrderFilled", "OrderFilled")
        fills = probe.of(entry)[-2:]
        assert [str(fill.last_qty) for fill in fills] == ["0.00400000", "0.00600000"]
        assert {fill.liquidity_side for fill in fills} == {LiquiditySide.MAKER}
        assert [str(fill.commission) for fill in fills] == ["0.00000400 BTC", "0.00000600 BTC"]

        target = probe.send("limit", OrderSide.SELL, "0.00999", "61000")
        await probe.ends_with(target, "OrderSubmitted", "OrderAccepted")
        probe.cancel_order(target)
        await probe.ends_with(target, "OrderCanceled")

        stop = probe.send("stop_limit", OrderSide.SELL, "0.00999", "59900", "59950")
        await probe.ends_with(stop, "OrderAccepted")
        await trade("SELL", "0.10000", "59940")
        await probe.ends_with(stop, "OrderFilled")
        assert probe.of(stop)[-1].liquidity_side == LiquiditySide.TAKER

        account = probe.portfolio.account(Venue("BINANCE"))
        balances = (await asyncio.to_thread(venue.state))["accounts"]["main"]["balances"]
        for currency in (BTC, USDT):
            held = balances[currency.code]
            await until(
                lambda held=held, currency=currency: (
                    account.balance_free(currency).as_decimal() == Decimal(held["free"])
                )
            )
            assert account.balance_locked(currency).as_decimal() == Decimal(held["locked"])

        state = await asyncio.to_thread(venue.state)
        events: list[Any] = [
            event
            for order in (entry, stop)
            for event in probe.of(order)
            if type(event).__name__ == "OrderFilled"
        ]
        node_fills = [
            (
                int(e.trade_id.value),
                e.last_px.as_decimal(),
                e.last_qty.as_decimal(),
                e.commission.as_decimal(),
            )
            for e in events
        ]
        venue_fills = [
            (fill["trade_id"], *(Decimal(fill[name]) for name in ("price", "qty", "fee")))
            for fill in state["fills"]
        ]
        assert node_fills == venue_fills

    run_node(node_config(venue), scenario)
