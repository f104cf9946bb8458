"""A session's rows of events are, byte for byte, what Nautilus' serializer writes."""

from typing import Any

import msgspec
import pytest
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import OrderEvent
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.serialization.serializer import MsgSpecSerializer
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.test_kit.stubs.events import TestEventStubs
from nautilus_trader.test_kit.stubs.execution import TestExecStubs

from runtime.live.recording import DESK_CALLS, event_bytes
from strategies.commanded_desk import CommandedDesk
from strategies.kept_desk import KeptDesk
from strategies.setup_desk import SetupDesk

INSTRUMENT = TestInstrumentProvider.btcusdt_perp_binance()
SERIALIZER = MsgSpecSerializer(encoding=msgspec.json)
NAMES = (
    "order_accepted", "order_canceled", "order_expired", "order_pending_cancel", "order_pending_update",
    "order_rejected", "order_released", "order_submitted", "order_triggered", "order_updated",
)  # fmt: skip


def order() -> Any:
    """Return an order with all that a bracket's target has."""
    return TestExecStubs.limit_order(
        instrument=INSTRUMENT,
        order_side=OrderSide.SELL,
        price=Price.from_str("50000.1"),
        quantity=Quantity.from_str("0.123"),
        tags=["TARGET"],
    )


def events() -> list[Any]:
    """Return events of orders and accounts."""
    made = [order().init_event, TestEventStubs.order_filled(order(), INSTRUMENT)]
    made += [getattr(TestEventStubs, name)(order()) for name in NAMES]
    return [*made, TestEventStubs.cash_account_state(), TestEventStubs.margin_account_state()]


@pytest.mark.parametrize("event", events(), ids=lambda event: type(event).__name__)
def test_an_event_is_written_as_nautilus_does_and_read_back(event: OrderEvent) -> None:
    """So a replay reads recordings of before and after alike."""
    written = event_bytes(event)
    assert written == SERIALIZER.serialize(event)
    assert SERIALIZER.deserialize(written) == event


def test_everything_that_is_done_to_a_desk_from_outside_is_a_row() -> None:
    """By name: a replay would know nothing of a call that is not recorded, and differ from there."""
    named = {
        name for name in vars(SetupDesk) | vars(KeptDesk) | vars(CommandedDesk) if name.endswith("_by_hand")
    }
    named |= {name for name in vars(KeptDesk) if name.startswith("settle_")}
    assert named
    assert named <= set(DESK_CALLS)
