"""Deadlines of a live setup are looked at when they come, not at the close of the next bar."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

from nautilus_trader.common.component import TestClock
from nautilus_trader.model.identifiers import InstrumentId

from strategies.deadline_watch import LEAST_PAUSE_NS, DeadlineWatch, live_call_soon
from strategies.setup_desk import SetupDesk
from strategies.trade_manager.orders import Action, Leg, OrderKind, Query, Submit
from strategies.trade_manager.setup import Setup
from strategies.trade_manager.setup_rules import NEVER_NS, ExitRules
from tests.unit.test_protection_of_setups import NANOS, Desk


def pass_time(clock: Any, until_ns: int) -> int:
    """Let a clock go on and ring; return how often it rang."""
    events = clock.advance_time(until_ns)
    for event in events:
        event.handle()
    return len(events)


class Recorder(SetupDesk):
    """Keeps what a setup asks for instead of sending it."""

    def __init__(self, clock: Any) -> None:
        host = SimpleNamespace(clock=clock)
        super().__init__(host, InstrumentId.from_str("XYZUSDT.BINANCE"), "TST", ExitRules(), {})
        self.asked: list[Action] = []

    def _perform(self, setup: Setup, action: Action) -> None:
        self.asked.append(action)


def held(clock: Any, call_soon: Callable[[Callable[[], None]], Any] | None) -> tuple[Recorder, Setup]:
    """Return a desk whose entry filled after a second, and whose stop is on its way to the venue."""
    scripted = Desk(rules=ExitRules(exit_market_after_secs=0.0))
    scripted.take(scripted.setup.submit(0))
    scripted.accept(Leg.ENTRY)
    scripted.now_ns = NANOS
    pass_time(clock, NANOS)
    scripted.fill(Leg.ENTRY, "10", "102.95")
    desk = Recorder(clock)
    desk.setup = scripted.setup
    desk.remember(scripted.setup)
    if call_soon is not None:
        desk.watch_deadlines(call_soon)
    desk.carry_out(scripted.setup, [])
    return desk, scripted.setup


def test_an_unanswered_stop_is_asked_for_and_replaced_without_a_bar() -> None:
    """First a question, then another stop; both within seconds, and in the strategy's own thread."""
    clock = TestClock()
    queued: list[Callable[[], None]] = []
    desk, setup = held(clock, queued.append)
    first_ns = setup.deadline_ns
    assert NANOS < first_ns < 60 * NANOS
    assert pass_time(clock, first_ns - 1) == 0
    assert pass_time(clock, first_ns) == 1
    assert desk.asked == [], "the alert itself does nothing: it comes from another thread"
    queued.pop()()
    assert {type(one) for one in desk.asked} == {Query}, "stop and target"
    assert setup.deadline_ns > first_ns
    assert pass_time(clock, setup.deadline_ns) == 1
    queued.pop()()
    stops = [one.order for one in desk.asked if isinstance(one, Submit)]
    assert [one.kind for one in stops if one.leg is Leg.STOP] == [OrderKind.STOP_MARKET]
    assert clock.timer_names == ["deadline-XYZUSDT.BINANCE"]


def test_a_setup_before_the_present_one_is_woken_as_well() -> None:
    """A fill that came late has given it something to do, and prices reach the present one alone."""
    clock = TestClock()
    desk, setup = held(clock, lambda function: function())
    desk.setup = Desk().setup
    desk.remember(desk.setup)
    desk.carry_out(desk.setup, [])
    assert desk.setup.deadline_ns == NEVER_NS
    assert pass_time(clock, setup.deadline_ns) == 1
    assert {type(one) for one in desk.asked} == {Query}


def test_a_backtest_waits_for_the_bar() -> None:
    """Nothing is set where time is simulated: a run gives what it always gave."""
    clock = TestClock()
    desk, setup = held(clock, live_call_soon(clock))
    assert setup.deadline_ns < NEVER_NS
    assert pass_time(clock, setup.deadline_ns + NANOS) == 0
    assert desk.asked == []


def test_a_deadline_that_is_over_does_not_spin() -> None:
    """It is looked at again after a pause; none takes the alert back."""
    clock = TestClock()
    rang: list[int] = []
    pass_time(clock, 100 * NANOS)
    watch = DeadlineWatch(clock, "one", lambda function: function(), rang.append)
    watch.set(5)
    assert pass_time(clock, 100 * NANOS + LEAST_PAUSE_NS - 1) == 0
    assert pass_time(clock, 100 * NANOS + LEAST_PAUSE_NS) == 1
    assert rang == [100 * NANOS + LEAST_PAUSE_NS]
    watch.set(200 * NANOS)
    watch.set(NEVER_NS)
    assert clock.timer_names == []
    assert pass_time(clock, 300 * NANOS) == 0


def test_an_alert_that_rings_early_has_come() -> None:
    """The thread of a live clock may be microseconds ahead of what it shows: nothing waits a second time."""

    class EarlyClock:
        """Rings 3 microseconds before the time."""

        timer_names: ClassVar[list[str]] = []
        now_ns = NANOS

        def timestamp_ns(self) -> int:
            return self.now_ns

        def set_time_alert_ns(self, _name: str, alert_ns: int, ring: Any) -> None:
            self.now_ns = alert_ns - 3_000
            ring(None)

    rang: list[int] = []
    DeadlineWatch(EarlyClock(), "one", lambda function: function(), rang.append).set(5 * NANOS)
    assert rang == [5 * NANOS]


def test_an_alert_that_rings_while_it_is_replaced_harms_nobody() -> None:
    """A live clock rings in a thread of its own: what it named as set may be gone when it is cancelled."""

    class RacingClock:
        """Names an alert that has rung meanwhile."""

        def __init__(self) -> None:
            self.timer_names = ["deadline"]
            self.alerts: list[int] = []

        def timestamp_ns(self) -> int:
            return NANOS

        def cancel_timer(self, name: str) -> None:
            raise KeyError(name)

        def set_time_alert_ns(self, _name: str, alert_ns: int, _ring: Any) -> None:
            self.alerts.append(alert_ns)

    clock = RacingClock()
    watch = DeadlineWatch(clock, "deadline", lambda function: function(), lambda _ts_ns: None)
    watch.set(5 * NANOS)
    watch.set(NEVER_NS)
    assert clock.alerts == [5 * NANOS]
