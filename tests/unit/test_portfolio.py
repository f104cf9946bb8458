"""Who gets a place: the barrier, the ranking, the correlations, and that arrival order means nothing."""

import math
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.portfolio import (
    BarBarrier,
    Holding,
    PortfolioRules,
    ReturnHistory,
    Round,
    pick,
)
from strategies.signal import Signal
from strategies.trade_manager.skips import Skip, SkipReason

D = Decimal


def signal(name: str, confidence: float, side: str = "long", reward: str = "3") -> Signal:
    """Return a signal at 100 with risk 2."""
    turn = 1 if side == "long" else -1
    return Signal(
        instrument_id=name,
        ts_ns=0,
        side=side,  # type: ignore[arg-type]
        entry=D(100),
        stop=D(100) - 2 * turn,
        target=D(100) + D(reward) * turn,
        confidence=confidence,
    )


def decided(signals: list[Signal], held: list[Holding] | None = None, **settings: Any) -> dict[str, str]:
    """Return ``taken`` or the skip reason, by instrument and side."""
    correlation: Callable[[str, str], float] = settings.pop("correlation", lambda one, other: 0.0)
    checks, size_check = settings.pop("checks", ()), settings.pop("size_check", None)
    picks = pick(
        signals,
        held or [],
        PortfolioRules(**settings),
        min_confidence=lambda name: 0.95 if name == "STRICT" else 0.5,
        correlation=correlation,
        checks=checks,
        size_check=size_check,
    )
    assert len(picks) == len(signals), "every signal has its decision"
    return {
        f"{one.signal.instrument_id} {one.signal.side}": "taken"
        if one.skip is None
        else one.skip.reason.value
        for one in picks
    }


def alike(*pairs: tuple[str, str, float]) -> Callable[[str, str], float]:
    """Return correlations of pairs, 0 for others."""
    table = {frozenset((one, other)): figure for one, other, figure in pairs}
    return lambda one, other: table.get(frozenset((one, other)), 0.0)


def test_the_best_two_get_the_places() -> None:
    """By confidence; the third hears why."""
    assert decided([signal("A", 0.7), signal("B", 0.9), signal("C", 0.8)]) == {
        "B long": "taken",
        "C long": "taken",
        "A long": "max_positions",
    }


def test_what_is_held_takes_a_place() -> None:
    """Positions and entries count alike, and the same instrument is not entered twice."""
    held = [Holding("A", 1)]
    assert decided([signal("A", 0.9), signal("B", 0.8), signal("C", 0.7)], held) == {
        "A long": "in_position",
        "B long": "taken",
        "C long": "max_positions",
    }


def test_equal_confidence_goes_by_reward_then_by_name() -> None:
    """The tie-break is a rule and no accident."""
    signals = [signal("C", 0.8), signal("B", 0.8), signal("D", 0.8, reward="4")]
    assert decided(signals) == {"D long": "taken", "B long": "taken", "C long": "max_positions"}


def test_both_sides_of_one_instrument_are_one_place() -> None:
    """The better side is taken, the other would close it."""
    assert decided([signal("A", 0.8), signal("A", 0.9, "short")]) == {
        "A short": "taken",
        "A long": "in_position",
    }


def test_own_faults_come_before_places() -> None:
    """Threshold by coin, reward over risk, then whatever a check says; none of them takes a place."""
    checks = [lambda one: Skip(SkipReason.COOLDOWN) if one.instrument_id == "PAUSED" else None]
    signals = [
        signal("STRICT", 0.94),
        signal("POOR", 0.93, reward="1.9"),
        signal("PAUSED", 0.92),
        signal("A", 0.6),
        signal("B", 0.55),
    ]
    assert decided(signals, checks=checks) == {
        "STRICT long": "below_threshold",
        "POOR long": "reward_risk",
        "PAUSED long": "cooldown",
        "A long": "taken",
        "B long": "taken",
    }


def test_a_signal_that_cannot_be_sized_leaves_its_place() -> None:
    """The next one gets it."""

    def refuse(one: Signal) -> Skip | None:
        return Skip(SkipReason.MIN_NOTIONAL) if one.instrument_id == "A" else None

    signals = [signal("A", 0.9), signal("B", 0.8), signal("C", 0.7)]
    assert decided(signals, size_check=refuse) == {
        "A long": "min_notional",
        "B long": "taken",
        "C long": "taken",
    }


# Side of the held A and of the new B, their correlation, rule -> decision on B.
SIDES = {
    "same side, alike": ("long", "long", 0.9, "same", "correlated"),
    "same side, at the limit": ("long", "long", 0.8, "same", "taken"),
    "other side, alike: a hedge": ("long", "short", 0.9, "same", "taken"),
    "other side, inversely alike: the same bet": ("long", "short", -0.9, "same", "correlated"),
    "same side, inversely alike: a hedge": ("short", "short", -0.9, "same", "taken"),
    "any: other side, alike": ("long", "short", 0.9, "any", "correlated"),
    "any: inversely": ("long", "long", -0.9, "any", "correlated"),
    "off": ("long", "long", 1.0, "off", "taken"),
    "unknown counts as too high": ("long", "long", math.nan, "same", "correlated"),
}


@pytest.mark.parametrize("name", SIDES)
def test_correlated_signals_are_skipped_by_the_side_rule(name: str) -> None:
    """Against what is held, and against what was taken just before."""
    first, second, figure, sides, expected = SIDES[name]
    correlation = alike(("A", "B", figure))
    held = [Holding("A", 1 if first == "long" else -1)]
    one = signal("B", 0.8, second)
    assert decided([one], held, correlation=correlation, correlation_sides=sides)[f"B {second}"] == expected
    both = decided([signal("A", 0.9, first), one], correlation=correlation, correlation_sides=sides)
    assert both == {f"A {first}": "taken", f"B {second}": expected}


signals_strategy = st.lists(
    st.builds(
        signal,
        st.sampled_from(["A", "B", "C", "D", "STRICT"]),
        st.sampled_from([0.4, 0.6, 0.6, 0.9, 1.0]),
        st.sampled_from(["long", "short"]),
        st.sampled_from(["1", "3", "4"]),
    ),
    max_size=12,
    unique_by=lambda one: (one.instrument_id, one.side),
)


@given(signals=signals_strategy, seed=st.integers(0, 1000), places=st.integers(1, 3))
def test_the_order_of_arrival_means_nothing(signals: list[Signal], seed: int, places: int) -> None:
    """Shuffled signals get the same decisions, and never more than there are places."""
    correlation = alike(("A", "B", 0.9), ("C", "D", -0.95))
    settings: dict[str, Any] = {"max_positions": places, "correlation": correlation}
    straight = decided(signals, **settings)
    shuffled = signals[:]
    random.Random(seed).shuffle(shuffled)
    assert decided(shuffled, **settings) == straight
    assert list(straight.values()).count("taken") <= places


# -- the barrier ---------------------------------------------------------------------------------------------


def test_a_close_time_is_decided_when_the_last_bar_is_in() -> None:
    """And once."""
    barrier = BarBarrier(["A", "B", "C"])
    assert barrier.arrive("B", 300) == []
    assert barrier.arrive("B", 300) == []
    assert barrier.arrive("A", 300) == []
    assert barrier.waiting_since_ns == 300
    assert barrier.arrive("C", 300) == [Round(300, frozenset("ABC"), frozenset())]
    assert barrier.waiting_since_ns is None
    assert barrier.arrive("C", 300) == []
    assert barrier.late == 1


def test_the_timer_decides_without_what_is_missing() -> None:
    """Its bar, should it come after all, is late."""
    barrier = BarBarrier(["A", "B"])
    barrier.arrive("A", 300)
    assert barrier.give_up(300) == [Round(300, frozenset("A"), frozenset("B"))]
    assert barrier.arrive("B", 300) == []
    assert barrier.late == 1
    assert barrier.give_up(300) == []


def test_a_complete_later_time_takes_an_older_one_along() -> None:
    """Oldest first: the missing bar of the older one is out of order by now."""
    barrier = BarBarrier(["A", "B"])
    barrier.arrive("A", 300)
    barrier.arrive("A", 600)
    rounds = barrier.arrive("B", 600)
    assert [(one.close_ns, sorted(one.missing)) for one in rounds] == [(300, ["B"]), (600, [])]


def test_unexpected_instruments_are_not_waited_for() -> None:
    """A universe may change between two close times."""
    barrier = BarBarrier(["A", "B"])
    assert barrier.arrive("X", 300) == []
    barrier.arrive("A", 300)
    barrier.expect(["A"])
    assert barrier.arrive("A", 600)[-1].is_complete


@given(seed=st.integers(0, 10_000))
def test_a_shuffled_close_time_is_the_same_round(seed: int) -> None:
    """Whatever came first."""
    names = [f"C{number}" for number in range(7)]
    random.Random(seed).shuffle(names)
    barrier = BarBarrier(sorted(names))
    rounds = [one for name in names for one in barrier.arrive(name, 300)]
    assert rounds == [Round(300, frozenset(names), frozenset())]


# -- correlation ---------------------------------------------------------------------------------------------


def test_correlations_are_those_of_the_window() -> None:
    """As numpy computes them from the returns of the last eight bars."""
    rng = np.random.default_rng(3)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (30, 3)), axis=0))
    history = ReturnHistory("ABC", window_bars=8, min_bars=8)
    for number, row in enumerate(closes):
        history.push(dict(zip("ABC", row.tolist(), strict=True)))
        if number < 8:
            assert math.isnan(history.correlation("A", "B"))
            continue
        returns = np.diff(np.log(closes[number - 8 : number + 1]), axis=0)
        expected = np.corrcoef(returns.T)
        assert history.correlation("A", "B") == pytest.approx(expected[0, 1], abs=1e-12)
        assert history.correlation("C", "A") == pytest.approx(expected[2, 0], abs=1e-12)


def test_a_gap_leaves_out_both_of_its_returns() -> None:
    """Into it and out of it: a return over two bars is another thing."""
    history = ReturnHistory("AB", window_bars=6, min_bars=2)
    prices = [(100.0, 50.0), (101.0, 50.5), (None, 51.0), (103.0, 50.0), (102.0, 49.5), (104.0, 50.4)]
    for one, other in prices:
        history.push({"B": other} if one is None else {"A": one, "B": other})
    known_a = np.diff(np.log([[100, 101], [103, 102], [102, 104]]), axis=1).ravel()
    known_b = np.diff(np.log([[50, 50.5], [50, 49.5], [49.5, 50.4]]), axis=1).ravel()
    assert history.correlation("A", "B") == pytest.approx(np.corrcoef(known_a, known_b)[0, 1], abs=1e-12)


def test_what_does_not_move_or_is_not_known_has_no_correlation() -> None:
    """NaN, which the pick reads as too high."""
    history = ReturnHistory("AB", window_bars=4, min_bars=2)
    for close in (100.0, 101.0, 100.0, 102.0):
        history.push({"A": close, "B": 7.0})
    assert math.isnan(history.correlation("A", "B"))
    assert math.isnan(history.correlation("A", "X"))
    with pytest.raises(ValueError, match=r"min_bars \(1\) must be between 2 and window_bars \(4\)"):
        ReturnHistory("AB", window_bars=4, min_bars=1)


@pytest.mark.parametrize("closes_since", [0, 1, 3, 15])
def test_a_late_close_gives_the_window_of_one_in_time(closes_since: int) -> None:
    """However many close times it came after its own, the correlations of the window are the same."""
    chance = random.Random(closes_since)
    tape = [{"A": 100 + chance.random(), "B": 100 + chance.random()} for _ in range(40)]
    whole, late = ReturnHistory("AB", 16, 2), ReturnHistory("AB", 16, 2)
    missing = 30 - closes_since
    for number, closes in enumerate(tape[:31]):
        whole.push(closes)
        late.push({"A": closes["A"]} if number == missing else closes)
    assert math.isnan(late.correlation("A", "B")) or late.correlation("A", "B") != whole.correlation("A", "B")
    late.put_late("B", tape[missing]["B"], closes_since)
    for closes in tape[31:]:
        if closes_since < 15:  # the return of the oldest row needs a close that has left the window
            assert late.correlation("A", "B") == whole.correlation("A", "B")
        whole.push(closes)
        late.push(closes)
    assert late.correlation("A", "B") == whole.correlation("A", "B")


def test_a_late_close_beyond_the_window_or_of_a_stranger_changes_nothing() -> None:
    """It has no place any more, or none at all."""
    history = ReturnHistory("AB", 4, 2)
    for number in range(8):
        history.push({"A": 100 + number % 3, "B": 100 + number % 2})
    before = history.correlation("A", "B")
    history.put_late("B", 5.0, 4)
    history.put_late("C", 5.0, 0)
    assert history.correlation("A", "B") == before
