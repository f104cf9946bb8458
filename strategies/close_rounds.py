"""Waiting for the bars of a close time: which coins are in, how long the others are waited for.

A close time is decided once: when all coins are in, a moment after the last one that still comes, or when its
timer has run out.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from strategies.close_bars import ArrivedBars, CloseBars, CoinBar, FeedRound
from strategies.deadline_watch import CallSoon
from strategies.portfolio import BarBarrier, Round
from strategies.universe_rule import Attendance

NANOS_PER_MILLI: Final = 1_000_000
WAIT_TIMER: Final = "bars-are-late"
# After the last coin that is waited for: bars of the same moment still count, in whatever order they come.
GRACE_MS: Final = 1.0


class CloseRounds:
    """Collects the bars of close times and has each decided, oldest first.

    Parameters
    ----------
    host
        The strategy: its clock and its counters.
    names
        All its instruments, sorted.
    wait_ms
        How long a coin is waited for after the first one.
    decide
        Called with a close time (UNIX nanoseconds) and its bars.
    """

    call_soon: CallSoon | None = None
    """Hands a call to the thread of the node; None where timers call in it."""

    def __init__(
        self, host: Any, names: Sequence[str], wait_ms: float, decide: Callable[[int, CloseBars], None]
    ) -> None:
        self._host = host
        self._names = names
        self._wait_ms = wait_ms
        self._decide = decide
        self.barrier = BarBarrier(names)
        self._attendance = Attendance(names)
        self._waiting: dict[int, dict[str, CoinBar]] = {}
        self._fed: dict[int, FeedRound] = {}

    def is_deciding(self, name: str) -> bool:
        """Tell whether a coin's bar waits for those of others."""
        return any(name in one for one in self._waiting.values())

    def take_together(self, close_ns: int, bars: FeedRound) -> None:
        """Take all bars of a close time (UNIX nanoseconds) at once."""
        rounds = self.barrier.arrive_together(bars.present, close_ns)
        self._fed[close_ns] = bars
        if rounds:
            self._decide_rounds(rounds)
        else:
            is_complete = self._attendance.is_complete(bars.present)
            self._wait(close_ns, GRACE_MS if is_complete else self._wait_ms)

    def take(self, name: str, bar: CoinBar) -> bool:
        """Take one bar, and decide the close times that are complete with it; False when it is late."""
        late = self.barrier.late
        rounds = self.barrier.arrive(name, bar.close_ns)
        if self.barrier.late != late:
            return False
        self._waiting.setdefault(bar.close_ns, {})[name] = bar
        if rounds:
            self._decide_rounds(rounds)
        elif self._attendance.is_complete(self._waiting[bar.close_ns]):
            self._wait(bar.close_ns, GRACE_MS)
        elif len(self._waiting[bar.close_ns]) == 1:
            self._wait(bar.close_ns, self._wait_ms)
        return True

    def _wait(self, close_ns: int, wait_ms: float) -> None:
        """Decide this close time so many milliseconds from now, whoever is missing then."""
        clock = self._host.clock
        until_ns = max(close_ns, clock.timestamp_ns()) + round(wait_ms * NANOS_PER_MILLI)
        name = f"{WAIT_TIMER}-{close_ns}"
        if name in clock.timer_names:
            clock.cancel_timer(name)
        clock.set_time_alert_ns(name, until_ns, lambda _event: self._on_wait_over(close_ns))

    def _on_wait_over(self, close_ns: int) -> None:
        if self.call_soon is not None:  # live timers call from another thread
            self.call_soon(lambda: self._give_up(close_ns))
        else:
            self._give_up(close_ns)

    def _give_up(self, close_ns: int) -> None:
        if close_ns in self._waiting or close_ns in self._fed:
            self._decide_rounds(self.barrier.give_up(close_ns))

    def _decide_rounds(self, rounds: Iterable[Round]) -> None:
        clock, counters = self._host.clock, self._host.counters
        for one in rounds:
            bars: CloseBars
            if one.close_ns in self._fed:
                bars = self._fed.pop(one.close_ns)
            else:
                bars = ArrivedBars(self._names, self._waiting.pop(one.close_ns, {}))
            timer = f"{WAIT_TIMER}-{one.close_ns}"
            if timer in clock.timer_names:
                clock.cancel_timer(timer)
            if self._attendance.decided(one.missing):
                counters["rounds_incomplete"] = counters.get("rounds_incomplete", 0) + 1
            self._decide(one.close_ns, bars)
