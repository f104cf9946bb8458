"""Nautilus' own Bybit adapters, spot and linear, trade on the local exchange in a real TradingNode."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide, OrderStatus, OrderType
from nautilus_trader.model.events import OrderFilled

from tests.bybit_client import account, markets
from tests.integration.bybit_node import NodeRun, run_node
from tests.venue_simulator.bybit import Bybit
from tests.venue_simulator.core import OrderRequest
from tests.venue_thread import VenueThread, venue_thread

SPOT, LINEAR = "BTCUSDT-SPOT", "BTCUSDT-LINEAR"


@pytest.fixture
def venue() -> Iterator[VenueThread]:
    """Give a running exchange whose markets traded at 50,000."""
    with venue_thread(Bybit, markets(), account(USDT=10_000, BTC=1)) as running:
        for key in (LINEAR, SPOT):
            running.trade(key, "BUY", "0.01", "50000")
        yield running


def wire(venue: VenueThread, endpoint: str) -> list[dict[str, str]]:
    """Return what the exchange was asked at an endpoint."""
    return [request.params for request in venue.venue.requests if request.endpoint == endpoint]


async def trade_by_limits(run: NodeRun) -> None:
    """Accept, post-only reject, amend, fill in parts, cancel: the same on both products."""
    hand = run.hand
    streams: Any = run.venue.venue.protocol
    topic = "publicTrade.BTCUSDT"
    await run.until(lambda: streams.public_stream._readers(run.product, topic), "the trades are subscribed")
    run.trade("SELL", "0.02", "49999.9")
    await run.until(lambda: hand.ticks, "a tick")
    assert (str(hand.ticks[0].price), str(hand.ticks[0].size)) == ("49999.90", "0.020")

    entry = await run.submit(hand.limit("49000", post_only=True), OrderStatus.ACCEPTED)
    taker = await run.submit(hand.limit("50100", post_only=True), OrderStatus.REJECTED)
    assert taker.last_event.reason == "EC_PostOnlyWillTakeLiquidity"

    hand.modify_order(entry, price=hand.instrument.make_price(49_500))
    await run.until(lambda: entry.price == 49_500, "the amended price")
    assert [(str(order.price), order.client_id) for order in run.exchange_orders()] == [
        ("49500.00", entry.client_order_id.value)
    ]

    run.trade("SELL", "0.055", "49500")  # 0.050 stood before us
    await run.until(lambda: entry.filled_qty > 0, "the first part")
    assert (entry.status, str(entry.filled_qty)) == (OrderStatus.PARTIALLY_FILLED, "0.005")
    run.trade("SELL", "1", "49499")
    await run.until(lambda: entry.status == OrderStatus.FILLED, "the rest")

    other = await run.submit(hand.limit("49000"), OrderStatus.ACCEPTED)
    hand.cancel_order(other)
    await run.until(lambda: other.status == OrderStatus.CANCELED, "the cancelled order")


def fees(run: NodeRun) -> list[str]:
    """Return the commissions of the node's fills."""
    return [str(event.commission) for event in run.hand.events if isinstance(event, OrderFilled)]


@pytest.mark.node_starts(1)
def test_linear_orders_stops_and_carried_exits(venue: VenueThread) -> None:
    """The stop is conditional; exits go over the wire with the entry and, claimed, close the position."""

    async def script(run: NodeRun) -> None:
        hand = run.hand
        await trade_by_limits(run)
        assert run.exchange_position() == hand.position() == Decimal("0.010")
        assert fees(run) == ["0.04950000 USDT"] * 2
        stop = await run.submit(hand.stop_sale("49000"), OrderStatus.ACCEPTED)
        assert [(order.type, order.status) for order in run.exchange_orders()] == [
            ("STOP_MARKET", "UNTRIGGERED")
        ]
        run.trade("SELL", "1", "48990")
        await run.until(lambda: stop.status == OrderStatus.FILLED, "the stop's fill")
        assert run.exchange_position() == hand.position() == 0

        exits = {"take_profit": "50000.0", "stop_loss": "47000.0", "tpsl_mode": "Full"}
        entry = await run.submit(hand.limit("48500"), OrderStatus.ACCEPTED, **exits)
        sent = wire(venue, "WS order.create-batch")[0]["request"]
        assert "'takeProfit': '50000.0'" in sent
        assert "'stopLoss': '47000.0'" in sent
        run.trade("SELL", "1", "48499")
        await run.until(lambda: entry.status == OrderStatus.FILLED, "the entry's fill")
        await run.until(lambda: len(hand.cache.orders_open(strategy_id=hand.id)) == 2, "both exits are ours")
        kinds = {order.order_type for order in hand.cache.orders_open(strategy_id=hand.id)}
        assert kinds == {OrderType.STOP_MARKET, OrderType.MARKET_IF_TOUCHED}
        run.trade("SELL", "1", "46990")
        await run.until(
            lambda: not hand.position() and not hand.cache.orders_open(), "the carried stop's fill"
        )
        assert run.exchange_position() == 0
        assert run.exchange_orders() == []

    run_node(venue, "linear", script, claims=True)


@pytest.mark.slow
def test_a_restarted_linear_node_finds_its_orders_and_its_position(venue: VenueThread) -> None:
    """What was there before comes from the exchange's reports and belongs to the claiming strategy."""
    exchange = venue.venue.exchange
    venue.call(lambda: exchange.place(_request(LINEAR, "MARKET", "0.020")))
    venue.call(
        lambda: exchange.place(_request(LINEAR, "LIMIT", "0.010", price="48000", client_id="before-1"))
    )
    venue.call(
        lambda: exchange.place(_request(LINEAR, "STOP_MARKET", "0.020", stop="47000", client_id="before-2"))
    )

    async def script(run: NodeRun) -> None:
        hand = run.hand
        await run.until(lambda: hand.position() == Decimal("0.020"), "the position")
        own = {order.client_order_id.value: order for order in hand.cache.orders_open(strategy_id=hand.id)}
        assert {name: order.order_type for name, order in own.items()} == {
            "before-1": OrderType.LIMIT,
            "before-2": OrderType.STOP_MARKET,
        }
        hand.cancel_order(own["before-1"])
        await run.until(lambda: len(run.exchange_orders()) == 1, "the old entry is cancelled")
        run.trade("SELL", "1", "46990")
        await run.until(lambda: not hand.position(), "the old stop's fill")
        assert run.exchange_position() == 0

    run_node(venue, "linear", script, claims=True)


@pytest.mark.slow
def test_spot_orders_and_a_stop_that_does_not_wait(venue: VenueThread) -> None:
    """Fees are paid in BTC; a stop through the plain adapter sells at once: it sends no `orderFilter`."""

    async def script(run: NodeRun) -> None:
        hand = run.hand
        await trade_by_limits(run)
        assert hand.position() == Decimal("0.010")
        assert fees(run) == ["0.00000500 BTC"] * 2
        balance = run.venue.venue.exchange.accounts["main"].balance("BTC")
        assert balance.total == Decimal("1.00999")

        stop = hand.stop_sale("45000", reduce_only=False)
        hand.submit_order(stop)
        await run.until(lambda: stop.status == OrderStatus.FILLED, "the stop was sold at once")
        assert "orderFilter" not in wire(venue, "WS order.create")[-1]
        assert wire(venue, "WS order.create")[-1]["triggerPrice"] == "45000.00"

        sale = hand.market("0.010", OrderSide.SELL)
        await run.submit(sale, OrderStatus.FILLED)
        assert balance.total == Decimal("0.98999")

    run_node(venue, "spot", script, plain=True)


def _request(
    key: str, kind: Any, qty: str, *, price: str = "", stop: str = "", client_id: str = ""
) -> OrderRequest:
    """Return what a person would have ordered before the node began."""
    is_stop = kind == "STOP_MARKET"
    return OrderRequest(
        symbol=key,
        side="SELL" if is_stop else "BUY",
        type=kind,
        qty=Decimal(qty),
        price=Decimal(price) if price else None,
        stop_price=Decimal(stop) if stop else None,
        client_id=client_id,
        reduce_only=is_stop,
    )
