"""What a desk makes of the fee of a fill."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.model.objects import Money
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.test_kit.stubs.events import TestEventStubs
from nautilus_trader.test_kit.stubs.execution import TestExecStubs

from strategies.setup_desk import SetupDesk


@pytest.mark.parametrize(("fee", "times"), [("0.1 BNB", 1), ("0.1 USDT", 0), ("0.00 BNB", 0)])
def test_a_fee_in_another_currency_is_counted_with_its_fill_alone(fee: str, times: int) -> None:
    """Not whenever somebody reads fills, as a look for what others sold does many times a second."""
    instrument = TestInstrumentProvider.btcusdt_binance()
    order = TestExecStubs.limit_order(instrument=instrument)
    event = TestEventStubs.order_filled(order, instrument, commission=Money.from_str(fee))
    counted: list[str] = []
    desk: Any = SimpleNamespace(
        instrument=instrument,
        venue=SimpleNamespace(reduce_only=True),
        count=counted.append,
        last_price=lambda: None,
    )
    desk._other_fee = partial(SetupDesk._other_fee, desk)
    desk.fill_of = partial(SetupDesk.fill_of, desk)
    setup: Any = SimpleNamespace(next_plan=None, on_filled=lambda *_words: [])
    for _ in range(3):
        desk.fill_of(event)
    assert counted == []
    SetupDesk._report(desk, setup, event)
    assert counted == ["fees_in_other_currency"] * times
