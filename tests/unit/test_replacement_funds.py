"""An entry that is being replaced holds no money: what another strategy spent meanwhile is gone."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.enums import AccountType
from nautilus_trader.model.events import OrderCanceled
from nautilus_trader.model.identifiers import (
    AccountId,
    ClientOrderId,
    InstrumentId,
    StrategyId,
    TraderId,
    VenueOrderId,
)

from strategies.setup_desk import SetupDesk
from strategies.trade_manager.orders import Leg, Note, Submit
from strategies.trade_manager.plan import EntryPlan
from tests.unit.test_protection_of_setups import LONG, Desk

D = Decimal


def canceled(client_id: str) -> OrderCanceled:
    """Return the venue's confirmation that an order is gone."""
    return OrderCanceled(
        TraderId("T-1"),
        StrategyId("S-1"),
        InstrumentId.from_str("XYZUSDT.BINANCE"),
        ClientOrderId(client_id),
        VenueOrderId("V-1"),
        AccountId("BINANCE-1"),
        UUID4(),
        2,
        2,
    )


def replacing() -> Desk:
    """Return a setup whose entry is on its way back, with a lower one planned."""
    desk = Desk()
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    desk.take(desk.setup.reprice(EntryPlan(1, D(102), D("99.90"), D(110), D(10), 1, 100.0, 110.0), 1))
    return desk


@pytest.mark.parametrize("is_affordable", [True, False])
def test_the_next_entry_is_sent_only_if_it_can_still_be_paid(is_affordable: bool) -> None:
    """With the money spent by another strategy the setup ends as "funds", nothing is sent."""
    desk = replacing()
    host = cast("Any", SimpleNamespace(
        _affords=lambda plan: plan.entry_price == 102 and is_affordable,
        last_price=lambda: None,
    ))  # fmt: skip
    actions = SetupDesk._report(host, desk.setup, canceled(desk.id_of(Leg.ENTRY)))
    assert any(isinstance(one, Submit) for one in actions) is is_affordable
    assert desk.setup.is_closed is not is_affordable
    notes = [one for one in actions if isinstance(one, Note)]
    assert ("funds" in [one.reason for one in notes]) is not is_affordable


@pytest.mark.parametrize(("kind", "free", "in_flight", "is_enough"), [
    (AccountType.CASH, 1_030, 0, True),
    (AccountType.CASH, 1_029, 0, False),
    (AccountType.CASH, 2_000, 971, False),
    (AccountType.MARGIN, 0, 0, True),
])  # fmt: skip
def test_a_cash_account_pays_from_what_no_order_will_lock(
    kind: AccountType, free: int, in_flight: int, is_enough: bool
) -> None:
    """10 at 102.95 cost 1,029.50; orders on their way to the venue will lock their part."""
    money = SimpleNamespace(as_decimal=lambda: D(free))
    account = SimpleNamespace(type=kind, balance_free=lambda _currency: money)
    host = cast("Any", SimpleNamespace(
        _account=lambda: account,
        _unlocked_notional=lambda: D(in_flight),
        instrument=SimpleNamespace(quote_currency="USDT"),
    ))  # fmt: skip
    assert SetupDesk._affords(host, LONG) is is_enough
