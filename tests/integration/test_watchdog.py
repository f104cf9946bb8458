"""The watchdog in a real engine: a stop that never arrives, and the position that is closed for it."""

from typing import Any

import pytest

from runtime.live.protection_settings import ProtectionSettings
from runtime.live.watchdog import WatchdogActor
from strategies.setup_desk import SetupDesk
from strategies.trade_manager.orders import Leg, Submit
from tests.integration.engine_harness import AccountName, CheckedStrategy, run
from tests.integration.test_ote_orders import DOWN_TO_ENTRY, FORMED, START, THROUGH_ENTRY, flat

CHART = [*START, *DOWN_TO_ENTRY, *THROUGH_ENTRY, *flat(1.03, 100)]


class Watched:
    """Adds a watchdog to an engine; the desks are those of the strategy that runs."""

    def __init__(self, **settings: float) -> None:
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
