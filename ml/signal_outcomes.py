"""What would have become of a signal, traded or not: its stop and target on the bars that follow.

Entry at the open of the next bar, then the adverse extreme of each bar first. A target must be traded
through, a stop that is jumped over is left at the open: as the simulated venue does (``docs/fills.md``).
Only stop and target end a signal, and after a day its close: what a trade manager does in between hangs on
settings that a model need not be bound to. All signals have an outcome, so the choice of those that were
traded is no bias.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

HORIZON_NS: Final = 86_400_000_000_000

type Ending = Literal["stop", "target", "horizon"]


@dataclass(frozen=True, slots=True)
class SignalFees:
    """Shares of the notional: of the entry, and of the exits at stop and target."""

    entry: float
    stop: float
    target: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a signal ended.

    Parameters
    ----------
    closed_ns
        Close of the bar that ended it, UNIX nanoseconds: known from then on.
    ending
        What ended it.
    entry_price, exit_price
        Quote currency.
    net_r
        Profit after fees over the distance from the signal's entry to its stop.
    """

    closed_ns: int
    ending: Ending
    entry_price: float
    exit_price: float
    net_r: float


class SignalWalk:
    """Follows one signal from bar to bar.

    Parameters
    ----------
    direction
        +1 long, -1 short.
    entry, stop, target
        As of the signal, quote currency.
    decided_ns
        When it was given, UNIX nanoseconds.
    fees
        That it pays.
    """

    __slots__ = ("_direction", "_entry_price", "_fees", "_risk", "_stop", "_target", "decided_ns")

    def __init__(
        self, direction: int, entry: float, stop: float, target: float, decided_ns: int, fees: SignalFees
    ) -> None:
        self.decided_ns = decided_ns
        self._direction, self._stop, self._target, self._fees = direction, stop, target, fees
        self._risk = (entry - stop) * direction
        self._entry_price = math.nan

    def step(self, close_ns: int, open_: float, high: float, low: float, close: float) -> Outcome | None:
        """Take the next closed bar; return the outcome when it ends in this bar.

        Parameters
        ----------
        close_ns
            UNIX nanoseconds, later than the signal.
        open_, high, low, close
            Quote currency.
        """
        direction, stop, target = self._direction, self._stop, self._target
        is_entry_bar = math.isnan(self._entry_price)
        if is_entry_bar:
            self._entry_price = open_
        if (open_ - stop) * direction <= 0:  # jumped over: it is left where the price is
            return self._ended(close_ns, "stop", open_)
        if is_entry_bar and (open_ - target) * direction >= 0:
            return self._ended(close_ns, "target", open_)
        worst, best = (low, high) if direction > 0 else (high, low)
        if (worst - stop) * direction <= 0:
            return self._ended(close_ns, "stop", stop)
        if (best - target) * direction > 0:  # a touch fills those who queued before
            return self._ended(close_ns, "target", target)
        if close_ns - self.decided_ns >= HORIZON_NS:
            return self._ended(close_ns, "horizon", close)
        return None

    def _ended(self, close_ns: int, ending: Ending, price: float) -> Outcome:
        fees = self._fees
        exit_fee = fees.target if ending == "target" else fees.stop
        gained = (price - self._entry_price) * self._direction
        paid = fees.entry * self._entry_price + exit_fee * price
        return Outcome(close_ns, ending, self._entry_price, price, (gained - paid) / self._risk)


__all__ = ["Ending", "Outcome", "SignalFees", "SignalWalk"]
