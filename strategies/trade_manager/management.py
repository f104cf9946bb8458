"""What to do with an open trade at the close of a bar: move its stop, leave, or nothing.

Rules act on closed bars of the base interval in every mode, so that backtest, paper and live take the same
decisions; inside a bar only the resting orders act. Three prices of the trade are told apart:

* Progress, which switches rules on, is that of the close. A wick that came and went before anybody could act
  on it protects nothing and must not.
* The trailing stop follows the best *close*. The extremes of the bar in which an entry filled may be older
  than the fill; and a stop behind the best close is not beyond the market when it is moved.
* The give-back of the momentum exit is measured from the best *price* of the trade: it leaves at the close,
  and no order derives from that price. From the best close it could never fire: with the sources' numbers the
  trailing stop stands exactly where the give-back begins.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final, Literal

from strategies.trade_manager.increments import round_down
from strategies.trade_manager.record import ExitReason

NANOS_PER_MIN: Final = 60_000_000_000
# An order of a bar's close reaches the venue a moment later: n bars are not one more for that.
CLOCK_TOLERANCE_NS: Final = 1_000_000_000

type RuleSetName = Literal["off", "s0", "s1"]


class Phase(StrEnum):
    """How far the stop of a trade has come; it never goes back."""

    OPEN = "OPEN"  # at its first place
    BREAK_EVEN = "BREAK_EVEN"  # at the entry
    TRAILING = "TRAILING"  # behind the best close


# What a phase may become, the farthest first.
PHASES: Final[Mapping[Phase, tuple[Phase, ...]]] = {
    Phase.OPEN: (Phase.TRAILING, Phase.BREAK_EVEN),
    Phase.BREAK_EVEN: (Phase.TRAILING,),
    Phase.TRAILING: (),
}


@dataclass(frozen=True, slots=True)
class ManagementRules:
    """When stops move and trades end before stop or target; the defaults are the set ``s0``.

    "Of the way" is of the distance from entry to target, positive towards it, at the close of a bar.

    Parameters
    ----------
    break_even_from_pct
        From this part of the way the stop stands at the entry, percent, 0 for never.
    trail_from_pct
        From this part of the way the stop trails, percent, 0 for never.
    trail_giveback_pct
        Share of the best close's profit that the trailing stop leaves to the market, percent.
    time_exit_mins
        Age at which a trade is closed, minutes, 0 for never.
    time_exit_above_pct
        It is not closed for age at or below this part of the way (a loss is negative): the stop decides.
    momentum_from_pct
        From this part of the way momentum is watched, percent, 0 for never.
    momentum_rsi
        A long is overheated above this RSI, a short below 100 minus it.
    momentum_giveback_pct
        An overheated trade is closed when it gave back more than this share of its best profit, percent.

    Raises
    ------
    ValueError
        Values outside their range, or break-even after trailing.
    """

    break_even_from_pct: float = 30.0
    trail_from_pct: float = 50.0
    trail_giveback_pct: float = 30.0
    time_exit_mins: float = 60.0
    time_exit_above_pct: float = -20.0
    momentum_from_pct: float = 50.0
    momentum_rsi: float = 75.0
    momentum_giveback_pct: float = 30.0

    def __post_init__(self) -> None:
        shares = {
            "break_even_from_pct": self.break_even_from_pct,
            "trail_from_pct": self.trail_from_pct,
            "trail_giveback_pct": self.trail_giveback_pct,
            "momentum_from_pct": self.momentum_from_pct,
            "momentum_rsi": self.momentum_rsi,
            "momentum_giveback_pct": self.momentum_giveback_pct,
        }
        for name, value in shares.items():
            if not 0 <= value <= 100:
                raise ValueError(f"{name} ({value}) must be between 0 and 100")
        if not 0 <= self.time_exit_mins < math.inf:
            raise ValueError(
                f"time_exit_mins ({self.time_exit_mins}) must be 0 (never) or a number of minutes"
            )
        if not -math.inf < self.time_exit_above_pct < 100:
            raise ValueError(f"time_exit_above_pct ({self.time_exit_above_pct}) must be below 100")
        if self.trail_from_pct and self.break_even_from_pct > self.trail_from_pct:
            raise ValueError(
                f"break_even_from_pct ({self.break_even_from_pct}) is beyond trail_from_pct "
                f"({self.trail_from_pct}): it would never act, set it to 0 or lower"
            )


RULE_SETS: Final[Mapping[RuleSetName, ManagementRules]] = {
    "off": ManagementRules(
        break_even_from_pct=0.0, trail_from_pct=0.0, time_exit_mins=0.0, momentum_from_pct=0.0
    ),
    "s0": ManagementRules(),
    # Break-even and trailing begin together. How far its stop trails the source does not say: as the other's.
    "s1": ManagementRules(break_even_from_pct=50.0, time_exit_above_pct=-30.0, momentum_from_pct=0.0),
}


def rules_of(rule_set: RuleSetName, **changes: float | None) -> ManagementRules:
    """Return a rule set with single settings replaced; None keeps the set's own.

    Raises
    ------
    ValueError
        Unknown set, or an impossible combination.

    Examples
    --------
    >>> rules_of("s1", time_exit_mins=90.0).time_exit_above_pct
    -30.0
    """
    if rule_set not in RULE_SETS:
        raise ValueError(f"rule set {rule_set!r} is unknown, choose from {', '.join(RULE_SETS)}")
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(RULE_SETS[rule_set], **given)


@dataclass(frozen=True, slots=True)
class ClosedBar:
    """A closed bar of the base interval.

    Parameters
    ----------
    close_ns
        When it closed, UNIX nanoseconds.
    close
        Quote currency.
    rsi
        RSI 14 of the timeframe that the strategy reads momentum from, as of this close; NaN for none yet.
    """

    close_ns: int
    close: float
    rsi: float = math.nan


@dataclass(frozen=True, slots=True)
class OpenTrade:
    """A position as its rules see it.

    Parameters
    ----------
    direction
        +1 long, -1 short.
    entry_price
        Average of the entry fills, quote currency.
    target_price, stop_price
        As they stand now, quote currency.
    best_price
        Best price since the entry, quote currency.
    entry_ts_ns
        First entry fill, UNIX nanoseconds.
    """

    direction: int
    entry_price: Decimal
    target_price: Decimal
    stop_price: Decimal
    best_price: float
    entry_ts_ns: int

    def progress(self, price: float) -> float:
        """Return how far a price is on the way from entry to target: 0 at the entry, 1 at the target."""
        way = float(self.target_price - self.entry_price)
        return (price - float(self.entry_price)) / way if way * self.direction > 0 else 0.0


@dataclass(frozen=True, slots=True)
class MoveStop:
    """Move the stop here; it is closer to the market than before and not beyond it."""

    stop_price: Decimal
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Leave:
    """Close the trade at market."""

    reason: ExitReason


type ManagementAction = MoveStop | Leave


class TradeManager:
    """The rules applied to one trade, bar by bar.

    Parameters
    ----------
    rules
        See `ManagementRules`.
    tick_size
        Price increment.
    phase, best_close
        Where an earlier session left off; ``best_close`` is NaN before the first close.
    """

    def __init__(
        self,
        rules: ManagementRules,
        tick_size: Decimal,
        phase: Phase = Phase.OPEN,
        best_close: float = math.nan,
    ) -> None:
        self.rules = rules
        self.phase = phase
        self.best_close = best_close
        self._tick_size = tick_size

    def on_bar(self, trade: OpenTrade, bar: ClosedBar) -> ManagementAction | None:
        """Take a closed bar; exits first, by age before momentum, then the stop.

        Parameters
        ----------
        trade
            The position after all fills up to this close.
        bar
            The bar that just closed.
        """
        if not math.isfinite(bar.close):
            raise ValueError(f"the bar of {bar.close_ns} closes at {bar.close}: drop or repair it")
        ahead = bar.close if trade.direction > 0 else -bar.close
        if not ahead <= self.best_close * trade.direction:  # NaN before the first close
            self.best_close = bar.close
        progress = trade.progress(bar.close)
        reason = time_exit(trade, bar, self.rules) or momentum_exit(trade, bar, self.rules)
        if reason is not None:
            return Leave(reason)
        self.phase = next_phase(self.phase, progress, self.rules)
        return self._stop(trade, bar)

    def _stop(self, trade: OpenTrade, bar: ClosedBar) -> ManagementAction | None:
        if self.phase is Phase.OPEN:
            return None
        direction, tick = trade.direction, self._tick_size
        if self.phase is Phase.BREAK_EVEN:
            reason = ExitReason.BREAK_EVEN
            # Towards the profit: a stop at the entry that loses a tick is no break-even.
            stop_price = round_down(trade.entry_price, tick, -direction)
        else:
            reason = ExitReason.TRAILING
            entry = float(trade.entry_price)
            kept = 1 - self.rules.trail_giveback_pct / 100
            stop_price = round_down(entry + (self.best_close - entry) * kept, tick, direction)
        if (stop_price - trade.stop_price) * direction <= 0:
            return None
        if (bar.close - float(stop_price)) * direction >= float(tick) / 2:
            return MoveStop(stop_price, reason)
        # The close is beyond it, so an earlier move did not come through: a stop sent now would be refused.
        return Leave(reason) if reason is ExitReason.TRAILING else None


def next_phase(phase: Phase, progress: float, rules: ManagementRules) -> Phase:
    """Return the phase after a close with this progress.

    Examples
    --------
    >>> next_phase(Phase.OPEN, 0.3, ManagementRules()).value
    'BREAK_EVEN'
    """
    from_pct = {Phase.BREAK_EVEN: rules.break_even_from_pct, Phase.TRAILING: rules.trail_from_pct}
    for candidate in PHASES[phase]:
        if from_pct[candidate] and _reaches(progress, from_pct[candidate]):
            return candidate
    return phase


def time_exit(trade: OpenTrade, bar: ClosedBar, rules: ManagementRules) -> ExitReason | None:
    """Return why a trade is closed for its age, None when it is young or too far behind.

    In profit it is ``time``, in a loss that is small enough ``time_small_loss``.
    """
    held_ns = bar.close_ns - trade.entry_ts_ns + CLOCK_TOLERANCE_NS
    if not rules.time_exit_mins or held_ns < rules.time_exit_mins * NANOS_PER_MIN:
        return None
    progress = trade.progress(bar.close)
    if progress > 0:
        return ExitReason.TIME
    return ExitReason.TIME_SMALL_LOSS if progress * 100 > rules.time_exit_above_pct + 1e-9 else None


def momentum_exit(trade: OpenTrade, bar: ClosedBar, rules: ManagementRules) -> ExitReason | None:
    """Return ``momentum`` for an overheated trade that gives its profit back, else None."""
    if not rules.momentum_from_pct or not _reaches(trade.progress(bar.close), rules.momentum_from_pct):
        return None
    is_overheated = (bar.rsi - 50) * trade.direction > rules.momentum_rsi - 50  # NaN: not
    best = (trade.best_price - float(trade.entry_price)) * trade.direction
    given_back = (trade.best_price - bar.close) * trade.direction
    if is_overheated and given_back > best * rules.momentum_giveback_pct / 100:
        return ExitReason.MOMENTUM
    return None


def _reaches(progress: float, from_pct: float) -> bool:
    # Prices are multiples of a tick, the quotient is not exact: 30 % of the way is 30 % of the way.
    return progress * 100 >= from_pct - 1e-9
