"""The repaired Bybit execution client: stops that wait and move, fills that the stream missed, whole reports.

Each defect of the adapter is pinned with the plain client (slow), and shown repaired with ours.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.core.nautilus_pyo3 import BybitEnvironment
from nautilus_trader.model.enums import OrderSide, OrderStatus

from runtime.errors import VenueError
from runtime.live.order_lookup import look_up, newest_fills, withdraw
from runtime.live.protection_settings import ProtectionSettings
from runtime.live.unknown_orders import UnknownOrdersActor
from runtime.live.venue_positions import position_reports
from strategies.protection import NEVER_ARRIVED
from tests.bybit_client import account, markets
from tests.integration.bybit_node import NodeRun, run_node
from tests.venue_simulator.bybit import Bybit
from tests.venue_simulator.bybit_payloads import rest_execution
from tests.venue_simulator.core import OrderRequest
from tests.venue_simulator.faults import EndpointFault, StreamFault
from tests.venue_thread import VenueThread, venue_thread

SPOT, LINEAR = "BTCUSDT-SPOT", "BTCUSDT-LINEAR"
pytestmark = pytest.mark.slow


@pytest.fixture
def venue() -> Iterator[VenueThread]:
    """Give a running exchange whose markets traded at 50,000."""
    with venue_thread(Bybit, markets(), account(USDT=10_000, BTC=1)) as running:
        for key in (LINEAR, SPOT):
            running.trade(key, "BUY", "0.01", "50000")
        yield running


def waiting(run: NodeRun) -> list[tuple[str, str, str]]:
    """Return (type, trigger, quantity) of the exchange's waiting orders."""
    return [
        (order.type, str(order.stop_price), str(order.qty))
        for order in run.exchange_orders()
        if order.status == "UNTRIGGERED"
    ]


def test_a_stop_on_spot_waits_moves_is_cancelled_and_sells_when_it_is_hit(venue: VenueThread) -> None:
    """It carries `orderFilter`, so nothing sells before the trigger; a triggered one can be cancelled too."""

    async def script(run: NodeRun) -> None:
        hand = run.hand
        stop = await run.submit(hand.stop_limit_sale("49000", "48900"), OrderStatus.ACCEPTED)
        assert waiting(run) == [("STOP_LIMIT", "49000.00", "0.010")]
        made = hand.instrument
        hand.modify_order(
            stop,
            quantity=made.make_qty(Decimal("0.008")),
            price=made.make_price(Decimal(49_300)),
            trigger_price=made.make_price(Decimal(49_400)),
        )
        await run.until(lambda: stop.trigger_price == 49_400, "the moved stop")
        assert waiting(run) == [("STOP_LIMIT", "49400.00", "0.008")]
        hand.cancel_order(stop)
        await run.until(lambda: stop.status == OrderStatus.CANCELED, "the cancelled stop")
        assert run.exchange_orders() == []

        hit = await run.submit(hand.stop_limit_sale("49000", "48900"), OrderStatus.ACCEPTED)
        run.trade("SELL", "1", "48950")
        await run.until(lambda: hit.status == OrderStatus.FILLED, "the stop's fill")
        assert hit.avg_px > 48_900
        left = await run.submit(hand.stop_limit_sale("48500", "48490"), OrderStatus.ACCEPTED)
        run.trade("SELL", "0.001", "48400")  # through the limit: it works as an ordinary order now
        await run.until(lambda: run.exchange_orders()[0].status == "NEW", "the triggered stop")
        hand.cancel_order(left)
        await run.until(lambda: left.status == OrderStatus.CANCELED, "the cancelled limit")
        balance = run.venue.venue.exchange.accounts["main"].balance("BTC")
        assert balance.total == Decimal("0.990")

    run_node(venue, "spot", script)


def test_a_stop_on_spot_that_the_venue_refuses_is_rejected(venue: VenueThread) -> None:
    """And one whose answer is lost stays in flight: it is never called a failure."""

    async def script(run: NodeRun) -> None:
        hand = run.hand
        venue.venue.faults.endpoint_faults.append(
            EndpointFault("POST /v5/order/create", 1, status=200, code=170810, text="too many")
        )
        refused = await run.submit(hand.stop_limit_sale("49000", "48900"), OrderStatus.REJECTED)
        assert "170810" in refused.last_event.reason
        venue.venue.faults.stream_faults.append(StreamFault("drop", "private.order", 1))
        venue.venue.faults.endpoint_faults.append(EndpointFault("POST /v5/order/create", 1, when="lost"))
        lost = hand.stop_limit_sale("49000", "48900")
        hand.submit_order(lost)
        await run.until(lambda: len(waiting(run)) == 1, "the stop at the venue")
        assert lost.status == OrderStatus.SUBMITTED
        await run.until(lambda: lost.status == OrderStatus.ACCEPTED, "the stop found by the check", 15)

    checks = {"reconciliation_startup_delay_secs": 0.1, "inflight_check_threshold_ms": 500}
    run_node(venue, "spot", script, checks=checks)


def test_a_stop_on_spot_is_found_after_a_restart(venue: VenueThread) -> None:
    """Reconciliation reports it as a stop-limit with its client id, and the new node can cancel it."""
    ids: list[str] = []

    async def first(run: NodeRun) -> None:
        stop = await run.submit(run.hand.stop_limit_sale("49000", "48900"), OrderStatus.ACCEPTED)
        ids.append(stop.client_order_id.value)

    async def second(run: NodeRun) -> None:
        hand = run.hand
        own = hand.cache.orders_open(strategy_id=hand.id)
        assert [(one.client_order_id.value, one.type_string(), str(one.trigger_price)) for one in own] == [
            (ids[0], "STOP_LIMIT", "49000.00")
        ]
        hand.cancel_order(own[0])
        await run.until(lambda: not run.exchange_orders(), "the cancelled stop")

    run_node(venue, "spot", first, claims=True)
    run_node(venue, "spot", second, claims=True)


def test_a_stop_on_linear_moves(venue: VenueThread) -> None:
    """The change carries the trigger price; the plain adapter leaves the stop where it was."""

    async def script(run: NodeRun) -> None:
        hand = run.hand
        await run.submit(hand.market("0.010", OrderSide.BUY), OrderStatus.FILLED)
        stop = await run.submit(hand.stop_sale("49000"), OrderStatus.ACCEPTED)
        made = hand.instrument
        hand.modify_order(
            stop, quantity=made.make_qty(Decimal("0.010")), trigger_price=made.make_price(Decimal(49_500))
        )
        await run.until(lambda: stop.trigger_price == 49_500, "the moved stop")
        assert waiting(run) == [("STOP_MARKET", "49500.00", "0.010")]
        hand.modify_order(stop, quantity=made.make_qty(Decimal("0.006")))
        await run.until(lambda: str(stop.quantity) == "0.006", "the smaller stop")
        assert waiting(run) == [("STOP_MARKET", "49500.00", "0.006")]

    run_node(venue, "linear", script)


def test_an_order_that_the_demo_refuses_is_rejected_after_it_was_asked_about(venue: VenueThread) -> None:
    """The adapter leaves it submitted there; the venue does not know it, so it never arrived."""

    def add_gate(node: Any) -> None:
        engine = node.kernel.exec_engine
        clients = {one.venue: one for one in engine._clients.values()}
        node.trader.add_actor(
            UnknownOrdersActor(
                ProtectionSettings(lookup_secs=0.2),
                process=engine.process,
                lookup=lambda where, client_id: look_up(clients[where.venue], where, client_id),
                reconcile_report=engine.reconcile_execution_report,
                withdraw=lambda where, client_id: withdraw(clients[where.venue], where, client_id),
                reconcile=engine.reconcile_execution_state,
                call_soon=node.get_event_loop().call_soon_threadsafe,
            )
        )

    async def script(run: NodeRun) -> None:
        hand = run.hand
        refused = hand.limit("49500", "5.000")  # more than the account can pay for
        hand.submit_order(refused)
        await run.until(lambda: refused.status == OrderStatus.REJECTED, "the rejection", 20)
        assert refused.last_event.reason == NEVER_ARRIVED
        taken = await run.submit(hand.limit("49500"), OrderStatus.ACCEPTED)
        assert [one.client_id for one in run.exchange_orders()] == [taken.client_order_id.value]

    checks = {"inflight_check_retries": 1_000_000}
    run_node(venue, "linear", script, environment=BybitEnvironment.DEMO, checks=checks, prepare=add_gate)


@pytest.mark.parametrize("endpoint", ["order/realtime", "execution/list", "position/list"])
def test_a_report_with_a_part_missing_is_asked_for_again(venue: VenueThread, endpoint: str) -> None:
    """One refused request at the start: the node waits for the whole, and has order and position."""
    exchange = venue.venue.exchange
    shared: dict[str, Any] = {"symbol": LINEAR, "side": "BUY"}
    venue.call(lambda: exchange.place(OrderRequest(**shared, type="MARKET", qty=Decimal("0.020"))))
    resting = OrderRequest(
        **shared, type="LIMIT", qty=Decimal("0.010"), price=Decimal(48_000), client_id="before-1"
    )
    venue.call(lambda: exchange.place(resting))
    fault = EndpointFault(f"GET /v5/{endpoint}", 1, status=200, code=10001, text="params error")
    venue.venue.faults.endpoint_faults.append(fault)

    async def script(run: NodeRun) -> None:
        hand = run.hand
        assert venue.venue.faults.endpoint_faults == []
        assert hand.position() == Decimal("0.020")
        own = hand.cache.orders_open(strategy_id=hand.id)
        assert [one.client_order_id.value for one in own] == ["before-1"]

    run_node(venue, "linear", script, claims=True)


def client_of(run: NodeRun) -> Any:
    """Return the execution client of a node."""
    (client,) = run.node.kernel.exec_engine._clients.values()
    return client


def test_a_question_that_fails_is_no_empty_list(venue: VenueThread) -> None:
    """The adapter answers for a venue that does not: no executions, no positions."""

    async def script(run: NodeRun) -> None:
        client, name = client_of(run), run.hand.instrument.id
        for endpoint, ask in (
            ("execution/list", lambda: newest_fills(client, name)),
            ("position/list", lambda: position_reports(client)),
        ):
            fault = EndpointFault(f"GET /v5/{endpoint}", 1, status=200, code=10001, text="params error")
            venue.venue.faults.endpoint_faults.append(fault)
            with pytest.raises(VenueError):
                await ask()
            assert await ask() == []

    run_node(venue, "linear", script)


def test_leverage_is_set_until_the_venue_takes_it_and_no_more(venue: VenueThread) -> None:
    """The adapter sets that of every symbol with each question about the balance."""
    faults = venue.venue.faults.endpoint_faults

    async def script(run: NodeRun) -> None:
        client = client_of(run)
        client._futures_leverages, client._is_configured = {LINEAR: 3}, False
        refusal = EndpointFault(
            "POST /v5/position/set-leverage", 1, status=200, code=10001, text="params error"
        )
        faults.append(refusal)
        await client._update_account_state()
        assert faults == []
        assert not client._is_configured
        await client._update_account_state()
        assert client._is_configured
        faults.append(refusal)
        await client._update_account_state()
        assert faults == [refusal]

    run_node(venue, "linear", script)


@pytest.mark.parametrize("product", ["spot", "linear"])
def test_what_the_stream_missed_is_asked_for(venue: VenueThread, product: Any) -> None:
    """Fills arrive with the venue's own ids and fees, a cancellation too; nothing is invented."""

    async def script(run: NodeRun) -> None:
        hand = run.hand
        entry = await run.submit(hand.limit("49500"), OrderStatus.ACCEPTED)
        other = await run.submit(hand.limit("40000"), OrderStatus.ACCEPTED)
        venue.call(
            lambda: venue.venue.faults.stream_faults.extend(
                [
                    StreamFault("drop", "private.order", 10_000),
                    StreamFault("drop", "private.execution", 10_000),
                ]
            )
        )
        run.trade("SELL", "0.054", "49500")  # 0.050 stood before us
        await run.until(lambda: entry.filled_qty > 0, "the part that was missed")
        assert (entry.status, str(entry.filled_qty)) == (OrderStatus.PARTIALLY_FILLED, "0.004")
        run.trade("SELL", "1", "49499")
        await run.until(lambda: entry.status == OrderStatus.FILLED, "the rest that was missed")
        fills = venue.venue.exchange.fills
        assert [one.trade_id.value for one in entry.events if hasattr(one, "trade_id")] == [
            rest_execution(one, one.trade_id)["execId"] for one in fills
        ]
        expected = {"spot": "0.00000400 BTC", "linear": "0.03960000 USDT"}[product]
        assert str(entry.events[-2].commission) == expected
        if product == "linear":
            assert hand.position() == run.exchange_position() == Decimal("0.010")
        exchange = venue.venue.exchange
        client_id = other.client_order_id.value
        venue.call(lambda: exchange.cancel("main", client_id=client_id))
        await run.until(lambda: other.status == OrderStatus.CANCELED, "the missed cancellation", 12)

    run_node(venue, product, script)


@pytest.mark.parametrize("product", ["spot", "linear"])
def test_orders_go_out_although_our_clock_is_two_seconds_ahead(venue: VenueThread, product: Any) -> None:
    """The venue refuses the adapter's stamps; what was refused is sent by REST, by the venue's clock.

    Nothing has measured the clock yet: the first refusal tells of it.
    """

    async def script(run: NodeRun) -> None:
        hand, made = run.hand, run.hand.instrument
        venue.venue.clock.skew_ns = -2_000_000_000
        entry = await run.submit(hand.limit("49000", post_only=True), OrderStatus.ACCEPTED)
        hand.cancel_order(entry)
        await run.until(lambda: entry.status == OrderStatus.CANCELED, "the cancelled entry")
        bought = await run.submit(hand.market("0.010", OrderSide.BUY), OrderStatus.FILLED)
        is_spot = product == "spot"
        stop = hand.stop_limit_sale("49000", "48900") if is_spot else hand.stop_sale("49000")
        await run.submit(stop, OrderStatus.ACCEPTED)
        hand.modify_order(
            stop,
            quantity=made.make_qty(Decimal("0.008")),
            price=made.make_price(Decimal(49_300)) if is_spot else None,
            trigger_price=made.make_price(Decimal(49_400)),
        )
        await run.until(lambda: stop.trigger_price == 49_400, "the moved stop")
        hand.cancel_order(stop)
        await run.until(lambda: stop.status == OrderStatus.CANCELED, "the cancelled stop")
        assert not {"OrderRejected", "OrderCancelRejected"} & {*hand.names(entry), *hand.names(bought)}
        taken = [one.client_id for one in venue.venue.exchange.orders.values()]
        assert len(taken) == len(set(taken)) == 3

    run_node(venue, product, script)


def test_a_target_is_resized_although_our_clock_is_two_seconds_ahead(venue: VenueThread) -> None:
    """The adapter sends changes of ordinary orders itself: a refused one is sent again by REST."""

    async def script(run: NodeRun) -> None:
        hand, made = run.hand, run.hand.instrument
        target = await run.submit(hand.limit("49000"), OrderStatus.ACCEPTED)
        venue.venue.clock.skew_ns = -2_000_000_000
        hand.modify_order(target, quantity=made.make_qty(Decimal("0.020")))
        await run.until(lambda: target.quantity == Decimal("0.020"), "the new size")
        assert "OrderModifyRejected" not in hand.names(target)

    run_node(venue, "linear", script)
