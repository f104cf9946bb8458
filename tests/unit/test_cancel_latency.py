"""How long a cancel takes, in its parts: a trade arrives, it is decided, sent, and acknowledged."""

from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.events import OrderCanceled, OrderPendingCancel
from nautilus_trader.model.identifiers import ClientOrderId, TradeId, TraderId
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.portfolio.portfolio import Portfolio

from runtime.metrics.meter import Meter, MeterConfig
from tests.integration.engine_harness import instrument_of

MS = 1_000_000


def event(kind: type, ts_init: int, ts_event: int, iid: Any) -> Any:
    """Return what the meter reads of an order event, of a class with that name."""
    made = type(kind.__name__, (SimpleNamespace,), {})
    return made(client_order_id=ClientOrderId("O-1"), instrument_id=iid, ts_init=ts_init, ts_event=ts_event)


def test_each_part_is_measured_by_our_own_clock() -> None:
    """Arrived at 0, decided after 1 ms, sent after 3 ms, acknowledged after 20 ms; theirs is off."""
    clock, instrument = TestClock(), instrument_of("cash")
    bus, cache = MessageBus(TraderId("T-001"), clock), Cache()
    cache.add_instrument(instrument)
    side = AggressorSide.BUYER
    tick = TradeTick(instrument.id, Price(1.1, 4), Quantity(5, 1), side, TradeId("1"), 1, 1)
    cache.add_trade_tick(tick)
    meter = Meter(MeterConfig(mark_secs=0))
    meter.register_base(Portfolio(MessageBus(TraderId("T-002"), clock), cache, clock), bus, cache, clock)
    meter.start()
    clock.set_time(1 + 1 * MS)
    decision = SimpleNamespace(
        kind="cancel_asked", detail={"action": "cancel"}, instrument_id=instrument.id.value
    )
    bus.publish(topic=f"decisions.{instrument.id}", msg=decision)
    bus.publish(topic="events.order.X", msg=event(OrderPendingCancel, 1 + 3 * MS, 1 + 3 * MS, instrument.id))
    bus.publish(topic="events.order.X", msg=event(OrderCanceled, 1 + 20 * MS, 5_000 * MS, instrument.id))
    sums = (
        meter.tick_to_decision_sum_ns,
        meter.decision_to_sent_sum_ns,
        meter.tick_to_cancel_sum_ns,
        meter.cancel_to_ack_sum_ns,
    )
    assert sums == (1 * MS, 2 * MS, 3 * MS, 17 * MS)


@pytest.mark.parametrize("topic", ["decisions.X", "trades.X", "events.order.X"])
def test_a_bug_of_the_meter_is_nobody_elses(topic: str) -> None:
    """What it cannot read goes no further: who published it may be about to protect a position."""
    clock = TestClock()
    bus, cache = MessageBus(TraderId("T-001"), clock), Cache()
    meter = Meter(MeterConfig(mark_secs=0))
    meter.register_base(Portfolio(MessageBus(TraderId("T-002"), clock), cache, clock), bus, cache, clock)
    meter.start()
    heard: list[Any] = []
    bus.subscribe(topic=topic, handler=heard.append)
    bus.publish(topic=topic, msg=SimpleNamespace())
    assert len(heard) == 1
    assert not meter.decisions + meter.order_events
