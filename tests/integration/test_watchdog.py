"""The watchdog in a real engine: a stop that never arrives, and the position that is closed for it."""

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide

from runtime.live.protection_settings import ProtectionSettings
from runtime.live.watchdog import WatchdogActor
from strategies.entry_halt import HALT_TOPIC
from strategies.order_forms import quantity_in
from strategies.setup_desk import SetupDesk
from strategies.trade_manager.orders import Leg, Submit
from tests.integration.engine_harness import AccountName, CheckedStrategy, run
from tests.integration.test_ote_orders import DOWN_TO_ENTRY, FORMED, START, THROUGH_ENTRY, flat

CHART = [*START, *DOWN_TO_ENTRY, *THROUGH_ENTRY, *flat(1.03, 100)]


class Watched:
    """Adds a watchdog to an engine; the desks are those of the strategy that runs."""

    def __init__(self, **settings: Any) -> None:
        self.desks: tuple[SetupDesk, ...] = ()
        self.dog = WatchdogActor(
            ProtectionSettings(**settings),
            desks=lambda: self.desks,
            call_soon=lambda function: function(),
        )

    def prepare(self, engine: Any) -> None:
        """Add it."""
        engine.add_actor(self.dog)

    def hook(self, _number: int, strategy: CheckedStrategy) -> None:
        """Learn who trades."""
        self.desks = strategy.desks


def losing_stops(patch: pytest.MonkeyPatch) -> None:
    """Let every stop get lost between the desk and the venue, and switch the harness' own limit off."""
    perform = SetupDesk._perform

    def lose(self: SetupDesk, setup: Any, action: Any) -> None:
        if not (isinstance(action, Submit) and action.order.leg is Leg.STOP):
            perform(self, setup, action)

    patch.setattr(SetupDesk, "_perform", lose)
    patch.setattr(CheckedStrategy, "check", lambda *_args: None)


@pytest.mark.parametrize("account", ["cash", "margin"])
def test_a_position_without_a_stop_is_closed_at_market(
    monkeypatch: pytest.MonkeyPatch, account: AccountName
) -> None:
    """Its stop was lost on the way: closed after the limit, entries halted, both told with the time."""
    losing_stops(monkeypatch)
    watched = Watched(unprotected_secs=0.2)
    result = run(
        CHART,
        {2: [FORMED]},
        account=account,
        prepare=watched.prepare,
        hook=watched.hook,
        exit_market_after_secs=60.0,
    )
    name = result.strategy.instrument_id.value
    assert [one.reason for one in result.kinds("watchdog")] == ["unprotected"]
    assert result.strategy.is_halted
    report = watched.dog.report()
    assert report["violations"] == 1
    assert 0.2 < report["longest_secs"][name] <= 0.35  # the limit, a look, and the way of the exit
    (trade,) = result.trades
    assert trade.exit_reason == "unprotected"
    assert all(one.is_closed for one in result.orders)


@pytest.mark.parametrize("account", ["cash", "margin"])
@pytest.mark.parametrize("latency_ms", [0, 50])
def test_a_protected_position_is_left_alone(account: AccountName, latency_ms: int) -> None:
    """The time between fill and stop is measured: never more than the way to the venue and back."""
    watched = Watched(unprotected_secs=0.2)
    result = run(
        CHART,
        {2: [FORMED]},
        account=account,
        latency_ms=latency_ms,
        prepare=watched.prepare,
        hook=watched.hook,
    )
    assert result.kinds("watchdog") == []
    report = watched.dog.report()
    assert report["violations"] == 0
    assert all(secs <= 0.13 for secs in report["longest_secs"].values())
    assert result.open_positions == 1


def buys(strategy: CheckedStrategy, qty: int) -> None:
    """Buy as a person would: by an order that no setup knows."""
    order = strategy.order_factory.market(
        strategy.instrument_id, OrderSide.BUY, quantity_in(strategy.instrument, Decimal(qty))
    )
    strategy.submit_order(order)


@pytest.fixture
def strangers_trade(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch off the harness' checks, which know planned positions alone."""
    monkeypatch.setattr(CheckedStrategy, "check_against_cache", lambda _self: None)
    monkeypatch.setattr(CheckedStrategy, "check", lambda *_args: None)


@pytest.mark.usefixtures("strangers_trade")
@pytest.mark.parametrize(("unplanned", "is_closed"), [("report", False), ("protect", True)])
def test_a_reported_position_is_left_to_the_person(unplanned: str, *, is_closed: bool) -> None:
    """Nothing is sent and nothing halts; a position that is ours to protect is closed after the limit."""
    watched = Watched(unplanned=unplanned)

    def hook(number: int, strategy: CheckedStrategy) -> None:
        watched.hook(number, strategy)
        if number == 5:
            buys(strategy, 100)

    result = run(flat(1.0, 300), {}, account="margin", hook=hook, prepare=watched.prepare)
    assert result.open_positions == (0 if is_closed else 1)
    assert len(result.orders) == (2 if is_closed else 1)
    assert result.strategy.is_halted == is_closed
    assert watched.dog.report()["violations"] == int(is_closed)


@pytest.mark.usefixtures("strangers_trade")
@pytest.mark.parametrize("unplanned", ["report", "protect"])
def test_what_a_person_adds_does_not_close_ours(unplanned: str) -> None:
    """Only what was added is closed, and only this instrument opens nothing more."""
    watched, halts = Watched(unplanned=unplanned), []
    bought: list[int] = []

    def hook(number: int, strategy: CheckedStrategy) -> None:
        if not watched.desks:
            strategy.msgbus.subscribe(topic=HALT_TOPIC, handler=halts.append)
        watched.hook(number, strategy)
        setup = strategy.setup
        if not bought and setup is not None and setup.is_in_position and setup.entering_qty == 0:
            bought.append(number)
            buys(strategy, 100)

    chart = [*START, *DOWN_TO_ENTRY, *THROUGH_ENTRY, *flat(1.03, 300)]
    result = run(chart, {2: [FORMED]}, account="margin", hook=hook, prepare=watched.prepare)
    assert bought
    setup = result.strategy.setup
    assert setup is not None
    assert setup.is_in_position
    assert setup.protected_qty == setup.position_qty
    closing = [one for one in result.orders if one.client_order_id.value.endswith("-X1")]
    assert [str(one.quantity) for one in closing] == ([] if unplanned == "report" else ["100.0"])
    assert halts == []  # the node goes on
    assert result.strategy.is_halted == (unplanned == "protect")
