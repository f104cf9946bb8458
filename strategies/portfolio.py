"""Many instruments, few places: which signals of one close time are taken, and why the others are not.

Decisions are taken per close time and not per bar: a bar that arrives first must not win. Everything here is
plain arithmetic on what is handed in, in an order that does not depend on the order of arrival.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from strategies.signal import Signal, refused
from strategies.trade_manager.skips import Skip, SkipReason

type CorrelationSides = Literal["same", "any", "off"]

# A return series without variance has no correlation; below this it is rounding.
SMALLEST_VARIANCE: Final = 1e-24


# -- the barrier ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Round:
    """A close time that is ready to be decided.

    Parameters
    ----------
    close_ns
        UNIX nanoseconds.
    arrived, missing
        Instruments whose bar came, and whose did not: no signal of theirs may be taken (``stale_data``).
    """

    close_ns: int
    arrived: frozenset[str]
    missing: frozenset[str]

    @property
    def is_complete(self) -> bool:
        """Tell whether nothing is missing."""
        return not self.missing


class BarBarrier:
    """Waits for the bars of all expected instruments of a close time.

    Parameters
    ----------
    expected
        Nautilus instrument ids.
    """

    def __init__(self, expected: Collection[str]) -> None:
        self.late: int = 0
        self._expected = frozenset(expected)
        self._waiting: dict[int, set[str]] = {}
        self._decided_ns = -1

    @property
    def waiting_since_ns(self) -> int | None:
        """Return the oldest close time that is not decided, None for none: what a timer asks for."""
        return min(self._waiting, default=None)

    def expect(self, instrument_ids: Collection[str]) -> None:
        """Change what is waited for, from the next bar on (a universe that changes with time)."""
        self._expected = frozenset(instrument_ids)

    def arrive(self, instrument_id: str, close_ns: int) -> list[Round]:
        """Take a bar; return the close times that are now to be decided, oldest first.

        See `arrive_together`.
        """
        return self.arrive_together(frozenset((instrument_id,)), close_ns)

    def arrive_together(self, instrument_ids: frozenset[str], close_ns: int) -> list[Round]:
        """Take bars of one close time; return the close times that are now to be decided, oldest first.

        A complete time is decided at once, and every older one with it: its missing bars are not coming in
        order any more. A bar of a time that was decided is counted as late and changes nothing.
        """
        if close_ns <= self._decided_ns:
            self.late += len(instrument_ids)
            return []
        known = instrument_ids & self._expected
        if known:
            self._waiting.setdefault(close_ns, set()).update(known)
        if self._expected <= self._waiting.get(close_ns, set()):
            return self.give_up(close_ns)
        return []

    def pass_over(self, until_ns: int) -> None:
        """Count close times up to this one as decided: they were before the start."""
        self._decided_ns = max(self._decided_ns, until_ns)

    def give_up(self, until_ns: int) -> list[Round]:
        """Decide what waits up to a close time, complete or not; the caller's timer says when.

        Parameters
        ----------
        until_ns
            Last close time to decide, UNIX nanoseconds.
        """
        times = sorted(close_ns for close_ns in self._waiting if close_ns <= until_ns)
        rounds = []
        for close_ns in times:
            arrived = frozenset(self._waiting.pop(close_ns))
            rounds.append(Round(close_ns, arrived, self._expected - arrived))
        self._decided_ns = max([self._decided_ns, *times])
        return rounds


# -- correlation ---------------------------------------------------------------------------------------------


class ReturnHistory:
    """Log returns of all instruments over a rolling window, and their correlations when asked.

    A close costs one row; a correlation is computed only for the pairs that a decision needs, from the window
    itself, so nothing drifts.

    Parameters
    ----------
    instrument_ids
        Columns.
    window_bars
        Length of the window, bars, >= 2.
    min_bars
        Returns that both instruments must have in the window before their correlation is known, >= 2.

    Raises
    ------
    ValueError
        Window or minimum out of range.
    """

    def __init__(self, instrument_ids: Iterable[str], window_bars: int, min_bars: int) -> None:
        if not 2 <= min_bars <= window_bars:
            raise ValueError(f"min_bars ({min_bars}) must be between 2 and window_bars ({window_bars})")
        self._columns = {one: number for number, one in enumerate(sorted(set(instrument_ids)))}
        self._min_bars = min_bars
        # Columns are contiguous: a correlation reads two of them.
        self._returns: NDArray[np.float64] = np.full((window_bars, len(self._columns)), np.nan, order="F")
        self._logs: NDArray[np.float64] = np.full((window_bars, len(self._columns)), np.nan)
        self._row = 0

    def push(self, closes: Mapping[str, float]) -> None:
        """Take the closes of one close time; an instrument without a bar has a gap there.

        A return over a gap is none: it is of another length than the others'.

        Parameters
        ----------
        closes
            Quote currency, by instrument; unknown instruments are passed over.
        """
        found: NDArray[np.float64] = np.full(len(self._columns), np.nan)
        for instrument_id, close in closes.items():
            column = self._columns.get(instrument_id)
            if column is not None:
                found[column] = close
        self.push_closes(found)

    def push_closes(self, closes: NDArray[np.float64]) -> None:
        """Take the closes of one close time in the order of the sorted instruments, shape (n,).

        NaN, or a price that is not above 0, is a gap.
        """
        logs = np.log(np.where(closes > 0, closes, np.nan))
        self._returns[self._row] = logs - self._logs[self._row - 1]
        self._logs[self._row] = logs
        self._row = (self._row + 1) % len(self._returns)

    def perceived(self) -> bytes:
        """Return the window as bytes; equal closes give equal bytes."""
        return self._returns.tobytes() + self._logs.tobytes() + str(self._row).encode()

    def put_late(self, instrument_id: str, close: float, closes_since: int) -> None:
        """Put a close where it belongs that came after its close time was pushed.

        Parameters
        ----------
        instrument_id
            Whose; an unknown one is passed over.
        close
            Quote currency, above 0.
        closes_since
            Close times pushed after its own, 0 for the newest; one that has left the window changes nothing.
        """
        column, length = self._columns.get(instrument_id), len(self._returns)
        if column is None or closes_since >= length:
            return
        row = (self._row - 1 - closes_since) % length
        logs, returns = self._logs[:, column], self._returns[:, column]
        logs[row] = math.log(close)
        # The row before the oldest one is the newest: what came before the window is not known any more.
        returns[row] = logs[row] - logs[row - 1] if closes_since < length - 1 else math.nan
        if closes_since:
            following = (row + 1) % length
            returns[following] = logs[following] - logs[row]

    def correlation(self, one: str, other: str) -> float:
        """Return Pearson's correlation of two instruments' returns, over the bars that both have.

        Returns
        -------
        float
            In [-1, 1]; NaN while there are fewer than ``min_bars``, or where one did not move.
        """
        if one not in self._columns or other not in self._columns:
            return math.nan
        first, second = self._returns[:, self._columns[one]], self._returns[:, self._columns[other]]
        is_known = ~(np.isnan(first) | np.isnan(second))
        if int(is_known.sum()) < self._min_bars:
            return math.nan
        first, second = first[is_known], second[is_known]
        first, second = first - first.mean(), second - second.mean()
        variances = float(first @ first), float(second @ second)
        if min(variances) < SMALLEST_VARIANCE:
            return math.nan
        return max(-1.0, min(1.0, float(first @ second) / math.sqrt(variances[0] * variances[1])))


# -- the pick ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PortfolioRules:
    """What the account holds at most.

    Parameters
    ----------
    max_positions
        Positions and entries at the same time, >= 1.
    max_correlation
        Signals that move more like something held are skipped, 0 to 1; 1 for never.
    correlation_sides
        ``same``: only what makes the same bet counts (same side and correlated, or other side and correlated
        inversely). ``any``: sides do not matter, nor the sign. ``off``: no filter.
    min_reward_risk
        See `signal.refused`.
    """

    max_positions: int = 2
    max_correlation: float = 0.8
    correlation_sides: CorrelationSides = "same"
    min_reward_risk: float = 1.0

    def __post_init__(self) -> None:
        if self.max_positions < 1:
            raise ValueError(f"max_positions ({self.max_positions}) must be at least 1")
        if not 0 <= self.max_correlation <= 1:
            raise ValueError(f"max_correlation ({self.max_correlation}) must be between 0 and 1")


@dataclass(frozen=True, slots=True)
class Holding:
    """A position, or an entry that may become one."""

    instrument_id: str
    direction: int


@dataclass(frozen=True, slots=True)
class Pick:
    """What became of a signal: taken when there is no skip.

    Parameters
    ----------
    signal
        The signal.
    rank
        1 for the best of its close time.
    skip
        Why it is not taken, None when it is.
    """

    signal: Signal
    rank: int
    skip: Skip | None

    @property
    def is_taken(self) -> bool:
        """Tell whether it is traded."""
        return self.skip is None


type Veto = Callable[[Signal], Skip | None]


def ranked(signals: Iterable[Signal]) -> list[Signal]:
    """Return signals best first: by confidence, then reward over risk, then instrument and side by name."""
    return sorted(signals, key=lambda one: (-one.confidence, -one.reward_risk, one.instrument_id, one.side))


def pick(
    signals: Iterable[Signal],
    holdings: Sequence[Holding],
    rules: PortfolioRules,
    *,
    min_confidence: Callable[[str], float],
    correlation: Callable[[str, str], float],
    checks: Sequence[Veto] = (),
    size_check: Veto | None = None,
) -> list[Pick]:
    """Decide every signal of one close time.

    Parameters
    ----------
    signals
        In any order.
    holdings
        What is held, or may be filled.
    rules
        See `PortfolioRules`.
    min_confidence
        Threshold by instrument, 0 to 1.
    correlation
        See `ReturnHistory.correlation`. An unknown one (NaN) counts as too high: nobody knows that it is not.
    checks
        Further reasons against a signal that do not depend on the others: data, model, guards. The first one
        that speaks is the reason.
    size_check
        Asked last, for signals that would be taken: one that cannot be sized leaves its place to the next.

    Returns
    -------
    list of Pick
        One per signal, best first.
    """
    held = list(holdings)
    picks = []
    for rank, signal in enumerate(ranked(signals), 1):
        skip = (
            _own_fault(signal, rules, min_confidence(signal.instrument_id), checks)
            or _no_place(signal, held, rules, correlation)
            or (size_check(signal) if size_check is not None else None)
        )
        if skip is None:
            held.append(Holding(signal.instrument_id, signal.direction))
        picks.append(Pick(signal, rank, skip))
    return picks


def _own_fault(
    signal: Signal, rules: PortfolioRules, threshold: float, checks: Sequence[Veto]
) -> Skip | None:
    if signal.confidence < threshold:
        return Skip(SkipReason.BELOW_THRESHOLD, signal.confidence, threshold)
    skip = refused(signal, rules.min_reward_risk)
    for check in checks:
        skip = skip or check(signal)
    return skip


def _no_place(
    signal: Signal,
    held: Sequence[Holding],
    rules: PortfolioRules,
    correlation: Callable[[str, str], float],
) -> Skip | None:
    if any(one.instrument_id == signal.instrument_id for one in held):
        return Skip(SkipReason.IN_POSITION)
    if len(held) >= rules.max_positions:
        return Skip(SkipReason.MAX_POSITIONS, len(held), rules.max_positions)
    if rules.correlation_sides == "off" or rules.max_correlation >= 1:
        return None
    for one in held:
        figure = correlation(signal.instrument_id, one.instrument_id)
        likeness = (
            abs(figure) if rules.correlation_sides == "any" else figure * signal.direction * one.direction
        )
        if not likeness <= rules.max_correlation:
            text = f"moves like {one.instrument_id}" if figure == figure else "correlation is not known yet"
            return Skip(SkipReason.CORRELATED, figure, rules.max_correlation, text)
    return None
