"""Rules on closed bars: when the stop moves, and when a trade ends before stop or target."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.trade_manager.management import (
    RULE_SETS,
    ClosedBar,
    Leave,
    ManagementAction,
    ManagementRules,
    MoveStop,
    OpenTrade,
    Phase,
    TradeManager,
    next_phase,
    rules_of,
)

D = Decimal
TICK = D("0.01")
MIN_NS = 60_000_000_000
BAR_MINS = 5
S0, S1 = RULE_SETS["s0"], RULE_SETS["s1"]


def trade_at(direction: int, stop: str = "98.00", best: float = 100.0) -> OpenTrade:
    """Return a long from 100 with target 110 and stop 98, or the short mirrored at 100."""
    mirror = (lambda price: price) if direction > 0 else (lambda price: 200 - price)
    return OpenTrade(direction, D(100), mirror(D(110)), mirror(D(stop)), mirror(best), 0)


def said(action: ManagementAction | None, direction: int) -> str:
    """Return an action as short text, a short's prices mirrored back."""
    match action:
        case MoveStop(price, reason):
            return f"{reason} {price if direction > 0 else 200 - price}"
        case Leave(reason):
            return f"leave {reason}"
        case None:
            return "-"


# Closes bar by bar (long 100 -> 110, stop 98) and what each asks for. Five minutes a bar.
STOPS: dict[str, tuple[ManagementRules, list[tuple[float, str]]]] = {
    "s0: nothing before 30 %": (S0, [(102.99, "-"), (99.0, "-")]),
    "s0: the entry from 30 % on, once": (S0, [(103.0, "break_even 100.00"), (104.0, "-"), (102.0, "-")]),
    "s0: behind the best close from 50 % on": (
        S0,
        [(103.0, "break_even 100.00"), (105.0, "trailing 103.50"), (108.0, "trailing 105.60"), (106.0, "-")],
    ),
    "s0: both at once is trailing": (S0, [(106.0, "trailing 104.20")]),
    "s0: trailing goes on below 50 %": (S0, [(105.0, "trailing 103.50"), (104.0, "-")]),
    "s1: 30 % is nothing": (S1, [(103.0, "-"), (104.99, "-")]),
    "s1: trails from 50 % on": (S1, [(105.0, "trailing 103.50"), (107.0, "trailing 104.90")]),
    "a stop that may give everything back is at the entry": (
        rules_of("s1", trail_giveback_pct=100.0),
        [(105.0, "trailing 100.00"), (109.0, "-")],
    ),
    "mixed: break-even alone": (
        rules_of("s1", break_even_from_pct=20.0, trail_from_pct=0.0),
        [(102.0, "break_even 100.00"), (109.0, "-")],
    ),
    "off": (RULE_SETS["off"], [(109.0, "-"), (98.5, "-")]),
}


@pytest.mark.parametrize("name", STOPS)
@pytest.mark.parametrize("direction", [1, -1], ids=["long", "short"])
def test_the_stop_follows_the_closes(name: str, direction: int) -> None:
    """Moved when a close reaches a part of the way, never back."""
    rules, closes = STOPS[name]
    manager, stop, said_so_far = TradeManager(rules, TICK), "98.00", []
    for number, (close, _expected) in enumerate(closes):
        mirrored = close if direction > 0 else 200 - close
        action = manager.on_bar(
            trade_at(direction, stop), ClosedBar((number + 1) * BAR_MINS * MIN_NS, mirrored)
        )
        said_so_far.append(said(action, direction))
        if isinstance(action, MoveStop):
            stop = said_so_far[-1].split()[1]
    assert said_so_far == [expected for _close, expected in closes]


# Minutes since the entry, close -> what is asked for (long 100 -> 110).
TIMES: dict[str, tuple[ManagementRules, float, float, str]] = {
    "s0: too young": (S0, 59.0, 101.0, "-"),
    "s0: the twelfth bar of a trade that entered with its latency": (
        S0,
        60.0 - 0.05 / 60,
        101.0,
        "leave time",
    ),
    "s0: in profit": (S0, 60.0, 101.0, "leave time"),
    "s0: a small loss": (S0, 60.0, 98.01, "leave time_small_loss"),
    "s0: 20 % behind is left to the stop": (S0, 60.0, 98.0, "-"),
    "s0: later, when it is less": (S0, 95.0, 98.5, "leave time_small_loss"),
    "s1: in profit": (S1, 60.0, 100.01, "leave time"),
    "s1: at the entry": (S1, 60.0, 100.0, "leave time_small_loss"),
    "s1: a small loss": (S1, 60.0, 97.01, "leave time_small_loss"),
    "s1: 30 % behind is held": (S1, 60.0, 97.0, "-"),
    "age before the stop": (S0, 60.0, 106.0, "leave time"),
    "never": (rules_of("s0", time_exit_mins=0.0), 6000.0, 101.0, "-"),
}


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("direction", [1, -1], ids=["long", "short"])
def test_an_old_trade_is_closed_unless_it_is_far_behind(name: str, direction: int) -> None:
    """In profit, or in a loss small enough; the reason says which."""
    rules, minutes, close, expected = TIMES[name]
    bar = ClosedBar(round(minutes * MIN_NS), close if direction > 0 else 200 - close)
    assert said(TradeManager(rules, TICK).on_bar(trade_at(direction, "95.00"), bar), direction) == expected


# Close, RSI, best price -> what is asked for (long 100 -> 110, stop already trailing far below).
MOMENTA: dict[str, tuple[float, float, float, str]] = {
    "overheated and given back": (106.0, 76.0, 109.0, "leave momentum"),
    "exactly 30 % given back is not more": (107.0, 76.0, 110.0, "-"),
    "not overheated": (106.0, 75.0, 109.0, "-"),
    "no RSI yet": (106.0, math.nan, 109.0, "-"),
    "below half the way": (104.9, 90.0, 109.0, "-"),
}


@pytest.mark.parametrize("name", MOMENTA)
@pytest.mark.parametrize("direction", [1, -1], ids=["long", "short"])
def test_momentum_ends_a_trade_that_gives_back_its_profit(name: str, direction: int) -> None:
    """From half the way on: RSI beyond 75 (25 for a short), and more than 30 % of the best profit gone."""
    close, rsi, best, expected = MOMENTA[name]
    rules = rules_of("s0", trail_from_pct=0.0, break_even_from_pct=0.0)
    bar = ClosedBar(MIN_NS, *((close, rsi) if direction > 0 else (200 - close, 100 - rsi)))
    action = TradeManager(rules, TICK).on_bar(trade_at(direction, best=best), bar)
    assert said(action, direction) == expected


def test_a_close_beyond_the_trailing_stop_leaves_at_market() -> None:
    """The move of an earlier bar did not come through (refused): the rule is kept by leaving."""
    manager = TradeManager(S0, TICK)
    assert isinstance(manager.on_bar(trade_at(1), ClosedBar(MIN_NS, 108.0)), MoveStop)
    still_at_first_stop = trade_at(1, "98.00", best=108.0)
    assert said(manager.on_bar(still_at_first_stop, ClosedBar(2 * MIN_NS, 105.0)), 1) == "leave trailing"


def test_break_even_loses_no_tick_to_rounding() -> None:
    """Two entry fills average 100.005: the long's stop is 100.01, the short's 100.00."""
    for direction, expected in ((1, "100.01"), (-1, "100.00")):
        target = D(100) + 10 * direction
        trade = OpenTrade(direction, D("100.005"), target, D(100) - 2 * direction, 100.0, 0)
        action = TradeManager(S0, TICK).on_bar(trade, ClosedBar(MIN_NS, 100 + 4 * direction))
        assert action == MoveStop(D(expected), "break_even")


def test_a_restart_goes_on_where_it_was() -> None:
    """Phase and best close are the whole memory."""
    first = TradeManager(S0, TICK)
    first.on_bar(trade_at(1), ClosedBar(MIN_NS, 108.0))
    second = TradeManager(S0, TICK, Phase(first.phase.value), first.best_close)
    bar, trade = ClosedBar(2 * MIN_NS, 107.0), trade_at(1, "104.00")
    assert first.on_bar(trade, bar) == second.on_bar(trade, bar) == MoveStop(D("105.60"), "trailing")


@given(
    closes=st.lists(st.integers(9_810, 10_990), min_size=1, max_size=40),
    direction=st.sampled_from([1, -1]),
    break_even=st.floats(0, 50),
    giveback=st.floats(0, 100),
)
def test_stops_only_tighten_stay_on_the_grid_and_behind_the_market(
    closes: list[int], direction: int, break_even: float, giveback: float
) -> None:
    """Whatever the closes are, and the future does not change what an earlier bar asked for."""
    rules = rules_of(
        "s0",
        break_even_from_pct=break_even,
        trail_giveback_pct=giveback,
        time_exit_mins=0.0,
        momentum_from_pct=0.0,
    )
    manager, stop = TradeManager(rules, TICK), D(100) - 2 * direction
    for number, cents in enumerate(closes):
        close = cents / 100 if direction > 0 else 200 - cents / 100
        trade = OpenTrade(direction, D(100), D(100) + 10 * direction, stop, close, 0)
        action = manager.on_bar(trade, ClosedBar(number, close))
        if isinstance(action, MoveStop):
            assert (action.stop_price - stop) * direction > 0
            assert action.stop_price % TICK == 0
            assert (close - float(action.stop_price)) * direction > 0.004
            stop = action.stop_price
        elif action is not None:
            return


def test_phases_go_forward_only() -> None:
    """No table row leads back, and a rule that is off is never reached."""
    assert next_phase(Phase.TRAILING, -1.0, S0) is Phase.TRAILING
    assert next_phase(Phase.BREAK_EVEN, 0.0, S0) is Phase.BREAK_EVEN
    assert next_phase(Phase.OPEN, 1.0, RULE_SETS["off"]) is Phase.OPEN


def test_impossible_rules_are_refused_with_their_numbers() -> None:
    """A combination in which one rule could never act is a mistake."""
    with pytest.raises(ValueError, match=r"break_even_from_pct \(60.0\) is beyond trail_from_pct \(50.0\)"):
        rules_of("s0", break_even_from_pct=60.0)
    with pytest.raises(ValueError, match=r"trail_giveback_pct \(130.0\) must be between 0 and 100"):
        rules_of("s0", trail_giveback_pct=130.0)
    with pytest.raises(ValueError, match=r"time_exit_mins \(nan\)"):
        rules_of("s0", time_exit_mins=math.nan)
    with pytest.raises(ValueError, match="rule set 's2' is unknown, choose from off, s0, s1"):
        rules_of("s2")  # type: ignore[arg-type]


def test_a_bar_without_a_close_is_refused() -> None:
    """NaN would silently switch every rule off."""
    with pytest.raises(ValueError, match="closes at nan"):
        TradeManager(S0, TICK).on_bar(trade_at(1), ClosedBar(MIN_NS, math.nan))
