"""Old orders that a venue tells of again are no news for a node that runs."""

import asyncio
from typing import Any

import pytest
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.reports import ExecutionMassStatus, FillReport, OrderStatusReport
from nautilus_trader.live.config import LiveExecEngineConfig
from nautilus_trader.live.execution_engine import LiveExecutionEngine
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.enums import LiquiditySide, OrderSide, OrderStatus, OrderType, TimeInForce
from nautilus_trader.model.identifiers import (
    AccountId,
    ClientId,
    ClientOrderId,
    TradeId,
    TraderId,
    Venue,
    VenueOrderId,
)
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider

from runtime.live.binance_repairs import fills_missing
from runtime.live.history import NANOS_PER_MIN, drop_history, leave_history

XRP = TestInstrumentProvider.btcusdt_perp_binance()
ACCOUNT = AccountId("BINANCE-001")
KEPT_MINS = 60


class _Time:
    now_ns = 1_000_000 * NANOS_PER_MIN

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def world() -> Any:
    """Give an engine whose fills are heard, with its time."""
    loop = asyncio.new_event_loop()
    clock, trader = LiveClock(), TraderId("TESTER-000")
    msgbus = MessageBus(trader_id=trader, clock=clock)
    cache = Cache()
    cache.add_instrument(XRP)
    engine = LiveExecutionEngine(
        loop=loop, msgbus=msgbus, cache=cache, clock=clock, config=LiveExecEngineConfig()
    )
    heard: list[str] = []
    msgbus.subscribe(topic="events.order.*", handler=lambda event: heard.append(type(event).__name__))
    yield engine, heard
    loop.close()


def closed_order(number: int, ts_ns: int) -> tuple[OrderStatusReport, FillReport]:
    """Return the reports of a sale that ended at a time."""
    common: dict[str, Any] = {
        "account_id": ACCOUNT,
        "instrument_id": XRP.id,
        "venue_order_id": VenueOrderId(str(number)),
        "order_side": OrderSide.SELL,
        "report_id": UUID4(),
        "client_order_id": ClientOrderId(f"OLD-{number}"),
        "ts_init": ts_ns,
    }
    order = OrderStatusReport(
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.GTC,
        order_status=OrderStatus.FILLED,
        quantity=Quantity.from_str("1.000"),
        filled_qty=Quantity.from_str("1.000"),
        ts_accepted=ts_ns,
        ts_last=ts_ns,
        **common,
    )
    fill = FillReport(
        trade_id=TradeId(str(number)),
        last_qty=Quantity.from_str("1.000"),
        last_px=Price.from_str("50000.0"),
        commission=Money(1, USDT),
        liquidity_side=LiquiditySide.TAKER,
        ts_event=ts_ns,
        **common,
    )
    return order, fill


def status(*told: tuple[OrderStatusReport, FillReport]) -> ExecutionMassStatus:
    """Return what a venue tells of its orders."""
    whole = ExecutionMassStatus(
        client_id=ClientId("BINANCE"),
        account_id=ACCOUNT,
        venue=Venue("BINANCE"),
        report_id=UUID4(),
        ts_init=0,
    )
    whole.add_order_reports([order for order, _ in told])
    whole.add_fill_reports([fill for _, fill in told])
    return whole


def test_what_ended_before_the_start_comes_back_as_nothing(world: Any) -> None:
    """A stream was cut: the venue tells its whole history, and only what is new since the start is taken."""
    engine, heard = world
    now_ns = _Time()
    leave_history(engine, now_ns, KEPT_MINS)
    engine._reconcile_execution_mass_status(status())  # at the start
    old = [closed_order(one, now_ns() - one * NANOS_PER_MIN) for one in range(1, 40)]
    engine._reconcile_execution_mass_status(status(*old))
    assert heard == []
    engine._reconcile_execution_mass_status(status(*old, closed_order(99, now_ns() + 1)))
    assert heard.count("OrderFilled") == 1


def test_what_was_purged_stays_away(world: Any) -> None:
    """A node of many hours: what ended after its start and was purged since is history as well."""
    engine, heard = world
    now_ns = _Time()
    leave_history(engine, now_ns, KEPT_MINS)
    engine._reconcile_execution_mass_status(status())
    sold_ns = now_ns()
    now_ns.now_ns += 2 * KEPT_MINS * NANOS_PER_MIN
    engine._reconcile_execution_mass_status(status(closed_order(1, sold_ns)))
    assert heard == []


def test_the_first_report_tells_everything(world: Any) -> None:
    """Before the start the cache is empty: a stop that was hit while no node ran must be known."""
    engine, heard = world
    now_ns = _Time()
    leave_history(engine, now_ns, KEPT_MINS)
    engine._reconcile_execution_mass_status(status(closed_order(1, now_ns() - 5 * NANOS_PER_MIN)))
    assert heard.count("OrderFilled") == 1


def test_a_known_order_is_compared_however_old(world: Any) -> None:
    """An order that the cache has is never left out: its fill may be what was missed."""
    engine, heard = world
    now_ns = _Time()
    leave_history(engine, now_ns, KEPT_MINS)
    order, fill = closed_order(1, now_ns() - 5 * NANOS_PER_MIN)
    engine._reconcile_execution_mass_status(status((order, fill)))
    told = status((order, fill), closed_order(2, now_ns() - 5 * NANOS_PER_MIN))
    assert drop_history(told, engine._cache, now_ns()) == 1
    assert list(told.order_reports) == list(told.fill_reports) == [order.venue_order_id]
    before = len(heard)
    engine._reconcile_execution_mass_status(told)
    assert len(heard) == before  # and nothing of it was new


def test_fills_that_a_report_lacks_are_known(world: Any) -> None:
    """An order that filled more than its fills say: its instrument must be asked for them."""
    del world
    whole, bare = closed_order(1, 5), closed_order(2, 5)
    told = status(whole)
    told.add_order_reports([bare[0]])
    assert fills_missing(told) == {XRP.id: {bare[0].venue_order_id}}
    told.add_fill_reports([bare[1]])
    assert fills_missing(told) == {}
