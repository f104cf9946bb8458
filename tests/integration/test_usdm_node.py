"""Nautilus' own Binance futures adapters trade on the local exchange: its records and theirs agree."""

import asyncio
from decimal import Decimal
from functools import partial

import pytest
from nautilus_trader.adapters.binance import BinanceLiveExecClientFactory
from nautilus_trader.config import LiveExecEngineConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.enums import OrderSide, OrderStatus
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.objects import Money
from nautilus_trader.model.orders import Order

from tests.integration.usdm_client import SYMBOL
from tests.integration.usdm_node import INSTRUMENT_ID, Probe, RunningVenue, node_config, run_node, until
from tests.venue_simulator.core import OrderRequest
from tests.venue_simulator.faults import EndpointFault, StreamFault, When
from tests.venue_simulator.venue import Venue

PLAIN = BinanceLiveExecClientFactory  # as Nautilus ships it
BUY, SELL = OrderSide.BUY, OrderSide.SELL


def was_rejected(probe: Probe, order: Order) -> bool:
    """Return whether the order has been rejected at any time."""
    return "OrderRejected" in probe.names(order)


def wallet(venue: Venue) -> Decimal:
    """Return the venue's own figure of the account's wallet."""
    return venue.exchange.accounts["main"].balance("USDT").total


def statuses(venue: Venue) -> dict[str, str]:
    """Return the venue's orders by client id."""
    return {order.client_id: order.status for order in venue.exchange.orders.values()}


@pytest.mark.slow
def test_node_trades_every_order_that_a_protected_entry_needs() -> None:
    """Entry, reject, partial fill, stop, target, change, trigger, close: all figures agree."""

    async def scenario(probe: Probe) -> None:
        await until(lambda: venue.do(lambda v: any(c.topics for c in v.connections)), lambda: "no stream")
        venue.trade("50000.00")
        await until(lambda: probe.ticks, lambda: "no tick")
        assert str(probe.ticks[-1].price) == "50000.00"

        entry = probe.limit(BUY, "0.010", "49900.00", post_only=True)
        assert await probe.until(entry, "OrderAccepted")
        refused = probe.limit(BUY, "0.010", "50100.00", post_only=True)
        await probe.until(refused, "OrderRejected")
        assert probe.order_events(refused)[-1].due_post_only

        venue.trade("49899.90", "0.004")
        await probe.until(entry, "OrderFilled")
        assert entry.status == OrderStatus.PARTIALLY_FILLED
        stop = probe.stop_market(SELL, "0.004", "49000.00", reduce_only=True)
        await probe.until(stop, "OrderAccepted")
        probe.modify_order(entry, price=probe.cache.instrument(INSTRUMENT_ID).make_price("49890.00"))
        await probe.until(entry, "OrderUpdated")
        venue.trade("49889.90")
        await probe.until(entry, "OrderFilled")
        probe.cancel_order(stop)
        await probe.until(stop, "OrderCanceled")

        whole_stop = probe.stop_market(SELL, "0.010", "49000.00", reduce_only=True)
        target = probe.limit(SELL, "0.010", "50500.00", reduce_only=True)
        await probe.until(whole_stop, "OrderAccepted")
        await probe.until(target, "OrderAccepted")
        venue.trade("49000.00")
        await probe.until(whole_stop, "OrderFilled")
        await probe.until(target, "OrderExpired")  # nothing is left to reduce
        assert probe.portfolio.is_flat(INSTRUMENT_ID)

        opened = probe.market(SELL, "0.020")
        await probe.until(opened, "OrderFilled")
        closing = probe.stop_market(BUY, "0.020", "49500.00", params={"close_position": True})
        await probe.until(closing, "OrderAccepted")
        too_late = probe.limit(BUY, "0.020", "48000.00", reduce_only=True)
        await probe.until(too_late, "OrderAccepted")
        probe.cancel_all_orders(INSTRUMENT_ID)
        await probe.until(closing, "OrderCanceled")
        await probe.until(too_late, "OrderCanceled")
        probe.close_all_positions(INSTRUMENT_ID)
        await until(lambda: probe.portfolio.is_flat(INSTRUMENT_ID), probe.cache.positions_open)
        nodes = {
            (
                int(event.trade_id.value),
                event.last_qty.as_decimal(),
                event.last_px.as_decimal(),
                event.commission,
            )
            for event in probe.events
            if isinstance(event, OrderFilled)
        }
        fills = venue.do(lambda v: list(v.exchange.fills))
        theirs = {(fill.trade_id, fill.qty, fill.price, Money(fill.fee, USDT)) for fill in fills}
        assert nodes == theirs
        await until(
            lambda: (
                probe.portfolio.account(INSTRUMENT_ID.venue).balance_total(USDT).as_decimal()
                == venue.do(wallet)
            ),
            lambda: probe.portfolio.account(INSTRUMENT_ID.venue).balance_total(USDT),
        )
        assert venue.do(lambda v: v.exchange.accounts["main"].positions[SYMBOL].leverage) == 7
        assert venue.do(lambda v: v.exchange.open_orders()) == []

    with RunningVenue() as venue:
        venue.trade("50000.00")
        run_node(node_config(venue.place, venue.account), scenario)


@pytest.mark.slow
def test_restarted_node_knows_its_orders_and_survives_an_expired_listen_key() -> None:
    """Orders and position come back under their strategy; the gap is reconciled."""

    async def first(probe: Probe) -> None:
        entry = probe.market(BUY, "0.010")
        await probe.until(entry, "OrderFilled")
        for order in (
            probe.limit(BUY, "0.010", "49000.00", client_id="more", post_only=True),
            probe.limit(SELL, "0.010", "51000.00", client_id="target", reduce_only=True),
            probe.stop_market(SELL, "0.010", "48000.00", reduce_only=True),
        ):
            await probe.until(order, "OrderAccepted")

    async def second(probe: Probe) -> None:
        resting = probe.cache.orders_open(strategy_id=probe.id)
        assert sorted(order.type_string() for order in resting) == ["LIMIT", "LIMIT", "STOP_MARKET"]
        (position,) = probe.cache.positions_open()
        assert (str(position.quantity), position.strategy_id) == ("0.010", probe.id)

        keys = venue.do(lambda v: v.request_counts["POST /fapi/v1/listenKey"])
        venue.do(lambda v: v.protocol.expire_user_stream())
        venue.trade("48999.90")  # while nobody listens: the entry is filled, then the stop is hit
        venue.trade("48000.00")
        more = next(order for order in resting if order.client_order_id.value == "more")
        await probe.until(more, "OrderFilled")
        stop = next(order for order in resting if order.type_string() == "STOP_MARKET")
        await probe.until(stop, "OrderUpdated", "OrderFilled")
        assert venue.do(lambda v: v.request_counts["POST /fapi/v1/listenKey"]) == keys + 1
        await asyncio.sleep(0.3)  # what reconciliation could invent comes after the fills
        assert [position.id.value for position in probe.cache.positions_open()] == [f"{INSTRUMENT_ID}-BOTH"]
        assert probe.net_position() == venue.position() == Decimal("0.010")

    with RunningVenue() as venue:
        venue.trade("50000.00")
        run_node(node_config(venue.place, venue.account), first)
        assert venue.do(statuses)["target"] == "NEW"
        run_node(node_config(venue.place, venue.account), second)


@pytest.mark.slow
def test_answer_of_unknown_outcome_is_taken_for_a_rejection_by_the_adapter() -> None:
    """Pins a defect that the system has to work around: the order rests at the venue and is REJECTED here."""

    async def scenario(probe: Probe) -> None:
        for code, status in ((-1006, 503), (-1007, 408)):
            fault = EndpointFault("POST /fapi/v1/order", 1, status, code, "", "after")
            venue.do(lambda v, fault=fault: v.faults.endpoint_faults.append(fault))
            order = probe.limit(BUY, "0.010", "49900.00", post_only=True)
            await until(partial(was_rejected, probe, order), partial(probe.names, order))
            assert order.status == OrderStatus.REJECTED
            assert venue.do(statuses)[order.client_order_id.value] == "NEW"

    with RunningVenue() as venue:
        venue.trade("50000.00")
        run_node(node_config(venue.place, venue.account), scenario)


@pytest.mark.slow
def test_lost_answer_is_resolved_by_the_inflight_check() -> None:
    """Without answer and without event the order stays SUBMITTED until the engine asks the venue."""

    async def scenario(probe: Probe) -> None:
        venue.do(
            lambda v: v.faults.endpoint_faults.append(EndpointFault("POST /fapi/v1/order", 1, when="lost"))
        )
        venue.do(lambda v: v.faults.stream_faults.append(StreamFault("drop", "private.order", 1)))
        order = probe.limit(BUY, "0.010", "49900.00", post_only=True)
        assert await probe.until(order, "OrderAccepted") == [
            "OrderInitialized",
            "OrderSubmitted",
            "OrderAccepted",
        ]
        assert venue.do(lambda v: v.request_counts["GET /fapi/v1/order"]) == 2  # is it there, and its report

    engine = LiveExecEngineConfig(
        reconciliation_startup_delay_secs=0.1,
        inflight_check_interval_ms=500,
        inflight_check_threshold_ms=1000,
    )
    with RunningVenue() as venue:
        venue.trade("50000.00")
        run_node(node_config(venue.place, venue.account, engine), scenario)


@pytest.mark.slow
def test_lost_fill_is_found_by_the_position_check() -> None:
    """A cancel of an order that is filled at the venue is refused; the fill comes with the position check."""

    async def scenario(probe: Probe) -> None:
        order = probe.limit(BUY, "0.010", "49900.00", post_only=True)
        await probe.until(order, "OrderAccepted")
        venue.do(lambda v: v.faults.stream_faults.append(StreamFault("drop", "private.*", 3)))
        venue.trade("49899.90")
        probe.cancel_order(order)
        await probe.until(order, "OrderCancelRejected", "OrderFilled")
        assert "-2011" in probe.order_events(order)[-2].reason
        assert order.status == OrderStatus.FILLED

    engine = LiveExecEngineConfig(
        reconciliation_startup_delay_secs=0.1,
        position_check_interval_secs=1.0,
        position_check_threshold_ms=500,
    )
    with RunningVenue() as venue:
        venue.trade("50000.00")
        run_node(node_config(venue.place, venue.account, engine), scenario)


@pytest.mark.slow
def test_stop_that_is_hit_while_the_user_stream_is_down_stays_open_in_the_node() -> None:
    """Pins a defect: reconciliation cannot apply the fill, whose order has another id than the algo order."""

    async def scenario(probe: Probe) -> None:
        opened = probe.market(BUY, "0.010")
        await probe.until(opened, "OrderFilled")
        stop = probe.stop_market(SELL, "0.010", "48000.00", reduce_only=True)
        await probe.until(stop, "OrderAccepted")
        keys = venue.do(lambda v: v.request_counts["POST /fapi/v1/listenKey"])
        venue.do(lambda v: v.protocol.expire_user_stream())
        venue.trade("48000.00")
        await until(
            lambda: venue.do(lambda v: v.request_counts["POST /fapi/v1/listenKey"]) > keys, lambda: keys
        )
        await asyncio.sleep(1.0)  # reconciliation is over by then
        assert venue.position() == 0
        assert stop.status == OrderStatus.ACCEPTED
        assert probe.net_position() == Decimal("0.010")

    with RunningVenue() as venue:
        venue.trade("50000.00")
        run_node(node_config(venue.place, venue.account), scenario, PLAIN)


@pytest.mark.slow
def test_liquidation_leaves_a_phantom_position_in_the_node() -> None:
    """Pins a defect: the fill of the venue's own order is booked on a position of its own."""

    async def scenario(probe: Probe) -> None:
        by_hand = OrderRequest(
            symbol=SYMBOL, side="BUY", type="MARKET", qty=Decimal("0.010"), client_id="web"
        )
        venue.do(lambda v: v.exchange.place(by_hand))
        await until(probe.cache.positions_open, lambda: "no position")
        venue.do(lambda v: v.exchange.close_by_force("main", SYMBOL, "liquidation"))
        await until(lambda: len(probe.cache.positions_open()) == 2, probe.cache.positions_open)
        assert venue.position() == 0
        assert sorted(position.side.name for position in probe.cache.positions_open()) == ["LONG", "SHORT"]

    with RunningVenue() as venue:
        venue.trade("50000.00")
        run_node(node_config(venue.place, venue.account), scenario, PLAIN)


@pytest.mark.slow
def test_user_stream_stays_dead_when_no_new_listen_key_can_be_had() -> None:
    """Pins a defect: one refused POST listenKey at the expiry, and the adapter never listens again."""

    async def scenario(probe: Probe) -> None:
        refuse = EndpointFault("POST /fapi/v1/listenKey", 1, 503, -1008)
        venue.do(lambda v: v.faults.endpoint_faults.append(refuse))
        venue.do(lambda v: v.protocol.expire_user_stream())
        keys = "POST /fapi/v1/listenKey"
        await until(lambda: venue.do(lambda v: v.request_counts[keys]) == 2, lambda: "no attempt")
        order = probe.limit(BUY, "0.010", "49900.00", post_only=True)
        await probe.until(order, "OrderAccepted")  # by the inflight check alone
        assert venue.do(lambda v: [c.name for c in v.connections]) == ["market"]
        assert venue.do(lambda v: v.request_counts[keys]) == 2

    with RunningVenue() as venue:
        venue.trade("50000.00")
        run_node(node_config(venue.place, venue.account), scenario, PLAIN)


@pytest.mark.slow
def test_fill_in_a_gap_is_undone_by_an_invented_one() -> None:
    """Pins a defect: after the reconnect the node has an opposite fill that nobody ever made."""

    async def scenario(probe: Probe) -> None:
        order = probe.limit(BUY, "0.010", "49900.00", post_only=True)
        await probe.until(order, "OrderAccepted")
        venue.do(lambda v: v.protocol.expire_user_stream())
        venue.trade("49899.90")
        await probe.until(order, "OrderFilled")
        await until(lambda: len(probe.cache.positions_open()) == 2, probe.cache.positions_open)
        assert venue.position() == Decimal("0.010")
        assert probe.net_position() == 0

    with RunningVenue() as venue:
        venue.trade("50000.00")
        run_node(node_config(venue.place, venue.account), scenario, PLAIN)


@pytest.mark.slow
def test_repaired_client_closes_what_is_liquidated_and_gets_its_stream_back() -> None:
    """Liquidation and ADL end the position itself; refused listen keys only delay the user stream."""

    async def scenario(probe: Probe) -> None:
        for reason in ("liquidation", "adl"):
            opened = probe.market(BUY, "0.010")
            await probe.until(opened, "OrderFilled")
            venue.do(lambda v, reason=reason: v.exchange.close_by_force("main", SYMBOL, reason))
            await until(lambda: not probe.cache.positions_open(), probe.cache.positions_open)
            assert venue.position() == 0

        refuse = EndpointFault("POST /fapi/v1/listenKey", 2, 503, -1008)
        venue.do(lambda v: v.faults.endpoint_faults.append(refuse))
        venue.do(lambda v: v.protocol.expire_user_stream())
        await until(
            lambda: venue.do(
                lambda v: "user" in [c.name for c in v.connections] and bool(v.protocol.user_streams.keys)
            ),
            lambda: "no user stream",
        )
        order = probe.limit(BUY, "0.010", "49900.00", post_only=True)
        await probe.until(order, "OrderAccepted")
        assert venue.do(lambda v: v.request_counts["GET /fapi/v1/order"]) == 0  # told, not asked

    with RunningVenue() as venue:
        venue.trade("50000.00")
        run_node(node_config(venue.place, venue.account), scenario)


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ["userTrades", "allOrders", "openAlgoOrders"])
@pytest.mark.parametrize("when", ["before", "lost"])
def test_repaired_client_reconciles_again_until_every_request_was_answered(endpoint: str, when: When) -> None:
    """A request that fails after a reconnect costs a second, not the fill."""

    async def scenario(probe: Probe) -> None:
        order = probe.limit(BUY, "0.010", "49900.00", post_only=True)
        await probe.until(order, "OrderAccepted")
        fault = EndpointFault(f"GET /fapi/v1/{endpoint}", 1, 503, -1008, when=when)
        venue.do(lambda v: v.faults.endpoint_faults.append(fault))
        venue.do(lambda v: v.protocol.expire_user_stream())
        venue.trade("49899.90")
        await probe.until(order, "OrderFilled")
        assert probe.net_position() == venue.position() == Decimal("0.010")
        assert len(probe.cache.orders()) == 1

    with RunningVenue() as venue:
        venue.trade("50000.00")
        run_node(node_config(venue.place, venue.account), scenario)
