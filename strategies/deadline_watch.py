"""Wakes a desk at the deadlines of its setup, for strategies that see prices at the closes of bars alone.

In a backtest of bars a deadline is looked at with the next close, as it always was; a live node must not
leave a position for minutes with a stop that the venue never acknowledged.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from nautilus_trader.common.component import LiveClock

from strategies.trade_manager.setup_rules import NEVER_NS

# A deadline that is over already is looked at again after this pause, never in a tight loop.
LEAST_PAUSE_NS: Final = 1_000_000_000

type CallSoon = Callable[[Callable[[], None]], Any]


class DeadlineWatch:
    """One alert of a clock, always at the next deadline.

    Parameters
    ----------
    clock
        Of the strategy.
    name
        Of the alert, unique within the strategy.
    call_soon
        Runs a function in the strategy's own thread: live alerts come from another one.
    on_deadline
        What to run, with the time that has come, UNIX nanoseconds. A live alert may ring some microseconds
        before its time by the clock: that it rang is what counts, or a replay would decide otherwise.
    """

    def __init__(
        self, clock: Any, name: str, call_soon: CallSoon, on_deadline: Callable[[int], None]
    ) -> None:
        self._clock = clock
        self._name = name
        self._call_soon = call_soon
        self._on_deadline = on_deadline
        self._until_ns = NEVER_NS

    def set(self, deadline_ns: int) -> None:
        """Wake at a deadline, UNIX nanoseconds; `NEVER_NS` for none. The one before is forgotten."""
        if deadline_ns == self._until_ns:
            return
        if self._name in self._clock.timer_names:
            # It may ring in its own thread between the question and the cancellation, and be gone.
            with suppress(KeyError):
                self._clock.cancel_timer(self._name)
        self._until_ns = deadline_ns
        if deadline_ns == NEVER_NS:
            return
        now_ns = self._clock.timestamp_ns()
        alert_ns = deadline_ns if deadline_ns > now_ns else now_ns + LEAST_PAUSE_NS
        self._clock.set_time_alert_ns(
            self._name, alert_ns, lambda _event: self._call_soon(lambda: self._ring(alert_ns))
        )

    def _ring(self, alert_ns: int) -> None:
        self._until_ns = NEVER_NS
        self._on_deadline(max(self._clock.timestamp_ns(), alert_ns))


_HEARERS: Final[dict[int, Callable[[], None]]] = {}
_REPLAYED: Final[dict[int, CallSoon]] = {}


def live_call_soon(clock: Any) -> CallSoon | None:
    """Return what runs a function in the running event loop's thread, None where time is simulated."""
    if id(clock) in _REPLAYED:
        return _REPLAYED[id(clock)]
    if not isinstance(clock, LiveClock):
        return None
    import asyncio

    loop, key = asyncio.get_running_loop(), id(clock)

    def run(function: Callable[[], None]) -> None:
        hearer = _HEARERS.get(key)
        if hearer is not None:
            hearer()
        function()

    return lambda function: loop.call_soon_threadsafe(run, function)


def hear_calls(clock: Any, hearer: Callable[[], None] | None) -> None:
    """Have a function run before each call that a timer of this clock causes; None: no longer.

    A recording needs to know when, between what else, a strategy heard of its timers.
    """
    if hearer is None:
        _HEARERS.pop(id(clock), None)
    else:
        _HEARERS[id(clock)] = hearer


def replay_calls(clock: Any, call_soon: CallSoon | None) -> None:
    """Give the calls of a simulated clock's timers to a replay, which knows their time; None: no longer."""
    if call_soon is None:
        _REPLAYED.pop(id(clock), None)
    else:
        _REPLAYED[id(clock)] = call_soon


__all__ = ["CallSoon", "DeadlineWatch", "hear_calls", "live_call_soon", "replay_calls"]
