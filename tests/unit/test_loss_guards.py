"""Pauses after losses: when they begin, whom they stop, and when they end."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.guards import DAY_NS, NANOS_PER_MIN, LossRules, TradeGuards, TradeResult
from strategies.trade_manager.skips import SkipReason

A, B = "AAAUSDT-PERP.BINANCE", "BBBUSDT-PERP.BINANCE"
T0 = 20_000 * DAY_NS + 8 * 60 * NANOS_PER_MIN  # eight in the morning
COOLDOWN, STREAK, STOPS = SkipReason.COOLDOWN, SkipReason.LOSS_STREAK, SkipReason.STOP_GUARD
LOW, DAILY, DRAWDOWN = SkipReason.LOW_PROFIT, SkipReason.DAILY_LOSS, SkipReason.DRAWDOWN

type Event = tuple[float, str, str, float]
"""Minute, symbol, exit reason, R; profit is 10 times R."""


def at(minute: float) -> int:
    """Return a time so many minutes after eight."""
    return T0 + round(minute * NANOS_PER_MIN)


def result(event: Event) -> TradeResult:
    """Return a trade as the guards see it."""
    minute, symbol, reason, r_multiple = event
    return TradeResult(at(minute), symbol, reason, r_multiple * 10, r_multiple)


def reason_of(guards: TradeGuards, symbol: str, minute: float) -> str:
    """Return why a symbol is blocked, ``-`` when it is not."""
    skip = guards.blocked(symbol, at(minute))
    return "-" if skip is None else skip.reason.value


# Rules, trades, and (minute, symbol, expected reason) asked afterwards in order.
TABLES: dict[str, tuple[LossRules, list[Event], list[tuple[float, str, str]]]] = {
    "off": (LossRules(), [(0, A, "stop", -1.0)] * 9, [(0, A, "-")]),
    "cooldown of the symbol": (
        LossRules(stop_cooldown_mins=30),
        [(0, A, "stop", -1.0)],
        [(0, A, "cooldown"), (29.9, A, "cooldown"), (30, A, "-"), (0, B, "-")],
    ),
    "cooldown of all": (
        LossRules(stop_cooldown_mins=30, stop_cooldown_scope="all"),
        [(0, A, "stop", -1.0)],
        [(1, B, "cooldown")],
    ),
    "a later stop prolongs the cooldown": (
        LossRules(stop_cooldown_mins=30),
        [(0, A, "stop", -1.0), (20, A, "stop", -1.0)],
        [(49, A, "cooldown"), (50, A, "-")],
    ),
    "a moved stop is no stop": (
        LossRules(stop_cooldown_mins=30),
        [(0, A, "break_even", -0.1), (0, A, "trailing", 0.5), (0, A, "time_small_loss", -0.2)],
        [(1, A, "-")],
    ),
    "two stops in an hour, all": (
        LossRules(stop_guard_count=2, stop_guard_hours=1, stop_guard_pause_mins=90),
        [(0, A, "stop", -1.0), (59, B, "stop", -1.0)],
        [(60, A, "stop_guard"), (148, B, "stop_guard"), (149, B, "-")],
    ),
    "two stops, not within the hour": (
        LossRules(stop_guard_count=2, stop_guard_hours=1),
        [(0, A, "stop", -1.0), (60, B, "stop", -1.0)],
        [(60, A, "-")],
    ),
    "two stops of one symbol": (
        LossRules(stop_guard_count=2, stop_guard_scope="symbol"),
        [(0, A, "stop", -1.0), (1, B, "stop", -1.0), (2, B, "stop", -1.0)],
        [(3, A, "-"), (3, B, "stop_guard")],
    ),
    "stops that had their effect do not count again": (
        LossRules(stop_guard_count=2, stop_guard_pause_mins=10),
        [(0, A, "stop", -1.0), (1, A, "stop", -1.0), (20, A, "stop", -1.0)],
        [(21, A, "-")],
    ),
    "a symbol that does not pay": (
        LossRules(low_profit_trades=3, low_profit_min_r=0.1, low_profit_pause_mins=60),
        [(0, A, "target", 1.0), (1, A, "time", -0.5), (2, A, "time", -0.4), (3, B, "target", 1.0)],
        [(4, A, "low_profit"), (4, B, "-"), (62, A, "-")],
    ),
    "it needs all its trades": (
        LossRules(low_profit_trades=3),
        [(0, A, "stop", -1.0), (1, A, "stop", -1.0)],
        [(2, A, "-")],
    ),
    "only the last ones count": (
        LossRules(low_profit_trades=2, low_profit_pause_mins=60),
        [(0, A, "target", 3.0), (1, A, "target", 1.0), (2, A, "stop", -0.9), (3, A, "stop", -1.0)],
        [(4, A, "low_profit")],
    ),
    "a stop that was jumped over is one": (
        LossRules(stop_guard_count=3, stop_cooldown_mins=30),
        [(0, A, "protection_refused", -2.0), (1, A, "stop", -1.0), (2, B, "protection_refused", -1.5)],
        [(3, A, "stop_guard"), (3, B, "stop_guard"), (61.9, B, "stop_guard"), (62, B, "-")],
    ),
    "a refused stop that lost nothing is none": (
        LossRules(stop_cooldown_mins=30),
        [(0, A, "protection_refused", 0.4)],
        [(1, A, "-")],
    ),
    "late fills and bugs count where the whole risk was lost": (
        LossRules(stop_cooldown_mins=30),
        [(0, A, "late_fill", -0.9), (1, A, "bug", math.nan), (2, B, "late_fill", -1.0), (3, B, "bug", -1.2)],
        [(4, A, "-"), (4, B, "cooldown"), (32.9, B, "cooldown"), (33, B, "-")],
    ),
    "a streak, over all symbols": (
        LossRules(loss_streak_count=3, loss_streak_pause_mins=60),
        [(0, A, "stop", -1.0), (1, B, "time", -0.1), (2, A, "break_even", -0.05)],
        [(3, B, "loss_streak"), (61.9, B, "loss_streak"), (62, B, "-")],
    ),
    "a win ends the streak": (
        LossRules(loss_streak_count=3),
        [(0, A, "stop", -1.0), (1, B, "stop", -1.0), (2, B, "target", 1.0), (3, A, "stop", -1.0)],
        [(4, A, "-")],
    ),
    "the longest pause is the reason": (
        LossRules(stop_cooldown_mins=30, loss_streak_count=1, loss_streak_pause_mins=60),
        [(0, A, "stop", -1.0)],
        [(1, A, "loss_streak"), (1, B, "loss_streak"), (60, A, "-")],
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_trades_cause_pauses(name: str) -> None:
    """After these trades, at these minutes."""
    rules, events, questions = TABLES[name]
    guards = TradeGuards(rules)
    for event in events:
        guards.on_trade(result(event))
    assert [reason_of(guards, symbol, minute) for minute, symbol, _reason in questions] == [
        reason for _minute, _symbol, reason in questions
    ]


# Rules, (minute, equity), and what is asked. Midnight is 960 minutes after eight.
EQUITY: dict[str, tuple[LossRules, list[tuple[float, float]], list[tuple[float, str]]]] = {
    "five percent since midnight": (
        LossRules(max_daily_loss_pct=5),
        [(0, 1000.0), (60, 950.01), (61, 950.0)],
        [(62, "daily_loss"), (959.9, "daily_loss"), (960, "-")],
    ),
    "a recovery does not reopen the day": (
        LossRules(max_daily_loss_pct=5),
        [(0, 1000.0), (60, 940.0), (70, 990.0)],
        [(80, "daily_loss")],
    ),
    "the day begins with yesterday's last equity": (
        LossRules(max_daily_loss_pct=5),
        [(0, 900.0), (959, 1000.0), (961, 949.0)],
        [(962, "daily_loss"), (2400, "-")],
    ),
    "the bar that closes at midnight belongs to the day before": (
        LossRules(max_daily_loss_pct=5),
        [(0, 1000.0), (959, 1000.0), (960, 940.0), (1000, 930.0)],
        [(960, "-"), (1001, "-")],
    ),
    "a loss of the first bar of a day counts against midnight": (
        LossRules(max_daily_loss_pct=5),
        [(0, 1000.0), (960, 940.0), (965, 890.0)],
        [(966, "daily_loss"), (2399, "daily_loss"), (2400, "-")],
    ),
    "losses of two days are not one": (
        LossRules(max_daily_loss_pct=5),
        [(0, 1000.0), (959, 960.0), (1000, 920.0)],
        [(1001, "-")],
    ),
    "ten percent below the top": (
        LossRules(max_drawdown_pct=10, drawdown_pause_mins=120),
        [(0, 1000.0), (1, 1100.0), (2, 990.0)],
        [(3, "drawdown"), (121.9, "drawdown"), (122, "-")],
    ),
    "a drawdown that goes on does not begin again": (
        LossRules(max_drawdown_pct=10, drawdown_pause_mins=120),
        [(0, 1000.0), (1, 900.0), (100, 890.0)],
        [(121, "-")],
    ),
    "after the pause it counts anew": (
        LossRules(max_drawdown_pct=10, drawdown_pause_mins=120),
        [(0, 1000.0), (1, 900.0), (130, 895.0), (140, 850.0), (150, 805.0)],
        [(151, "drawdown"), (270, "-")],
    ),
    "until somebody rearms it": (
        LossRules(max_drawdown_pct=10),
        [(0, 1000.0), (1, 900.0)],
        [(10_000_000, "drawdown")],
    ),
}


@pytest.mark.parametrize("name", EQUITY)
def test_equity_causes_pauses(name: str) -> None:
    """At these marks, asked afterwards."""
    rules, marks, questions = EQUITY[name]
    guards = TradeGuards(rules)
    for minute, equity in marks:
        guards.on_equity(at(minute), equity)
    assert [reason_of(guards, A, minute) for minute, _reason in questions] == [
        reason for _, reason in questions
    ]


def test_a_trade_that_closes_after_a_drawdown_pause_does_not_hide_its_end() -> None:
    """Whichever report comes first, the drawdown counts anew."""
    guards = TradeGuards(LossRules(max_drawdown_pct=10, drawdown_pause_mins=120))
    guards.on_equity(at(0), 1000.0)
    guards.on_equity(at(1), 890.0)
    guards.on_trade(result((130, A, "target", 0.5)))
    guards.on_equity(at(131), 895.0)
    assert reason_of(guards, A, 132) == "-"


def test_a_person_ends_all_pauses() -> None:
    """And the drawdown counts from there."""
    guards = TradeGuards(LossRules(max_drawdown_pct=10, loss_streak_count=1))
    guards.on_equity(at(0), 1000.0)
    guards.on_equity(at(1), 880.0)
    guards.on_trade(result((1, A, "stop", -1.0)))
    guards.rearm(at(2))
    guards.on_equity(at(3), 870.0)
    assert reason_of(guards, A, 3) == "-"


def test_the_reason_is_in_words_with_its_end() -> None:
    """What a person reads in the report and on the screen."""
    guards = TradeGuards(LossRules(stop_guard_count=2, stop_guard_hours=4, stop_guard_pause_mins=90))
    guards.on_trade(result((0, A, "stop", -1.0)))
    guards.on_trade(result((30, A, "stop", -1.0)))
    skip = guards.blocked(B, at(31))
    assert skip is not None
    assert skip.text == "2 stops within 4 h; until 2024-10-04T10:00:00Z"


def test_wrong_rules_are_refused() -> None:
    """A guard that could never end, or an equity that is no number, must not pass silently."""
    with pytest.raises(ValueError, match=r"max_daily_loss_pct \(-1\) must be 0"):
        LossRules(max_daily_loss_pct=-1)
    with pytest.raises(ValueError, match=r"stop_guard_hours \(0\) must be above 0"):
        LossRules(stop_guard_count=1, stop_guard_hours=0)
    with pytest.raises(ValueError, match="equity is nan"):
        TradeGuards(LossRules()).on_equity(0, math.nan)
    with pytest.raises(ValueError, match="damaged"):
        TradeGuards.from_bytes(LossRules(), b'{"pauses": 3}')


ALL_ON = LossRules(
    stop_cooldown_mins=20,
    max_daily_loss_pct=3,
    max_drawdown_pct=6,
    drawdown_pause_mins=300,
    stop_guard_count=3,
    stop_guard_hours=3,
    low_profit_trades=3,
    low_profit_pause_mins=100,
    loss_streak_count=4,
)
events_of_a_day = st.lists(
    st.tuples(
        st.integers(0, 60),  # minutes since the last one
        st.sampled_from([A, B]),
        st.sampled_from(["stop", "target", "time"]),
        st.floats(-2, 2),
    ),
    max_size=40,
)


def answers(guards: TradeGuards, events: list[Event]) -> list[tuple[str, str]]:
    """Play trades and equity, and ask after each."""
    minute, equity, said = 0.0, 1000.0, []
    for wait, symbol, reason, r_multiple in events:
        minute += wait
        equity += r_multiple * 10
        guards.on_trade(result((minute, symbol, reason, r_multiple)))
        guards.on_equity(at(minute), equity)
        said.append((reason_of(guards, A, minute), reason_of(guards, B, minute)))
    return said


@given(events=events_of_a_day, cut=st.integers(0, 40))
def test_the_future_changes_nothing_and_a_restart_neither(events: list[Event], cut: int) -> None:
    """Answers on a prefix are the prefix of the answers; through bytes in the middle they stay the same."""
    whole = answers(TradeGuards(ALL_ON), events)
    assert answers(TradeGuards(ALL_ON), events[:cut]) == whole[:cut]
    guards = TradeGuards(ALL_ON)
    minute, equity, said = 0.0, 1000.0, []
    for number, (wait, symbol, reason, r_multiple) in enumerate(events):
        if number == cut:
            guards = TradeGuards.from_bytes(ALL_ON, guards.to_bytes())
        minute += wait
        equity += r_multiple * 10
        guards.on_trade(result((minute, symbol, reason, r_multiple)))
        guards.on_equity(at(minute), equity)
        said.append((reason_of(guards, A, minute), reason_of(guards, B, minute)))
    assert said == whole


@given(events=events_of_a_day)
def test_every_pause_ends(events: list[Event]) -> None:
    """No later than the longest pause of the rules, or the next midnight."""
    guards = TradeGuards(ALL_ON)
    answers(guards, events)
    last = sum(event[0] for event in events)
    assert reason_of(guards, A, last + 1440) == "-"
    assert len(guards.to_bytes()) < 3000, "what is remembered does not grow with the history"


@pytest.mark.parametrize("name", ["max_daily_loss_pct", "max_drawdown_pct"])
def test_a_limit_that_cannot_be_reached_is_refused(name: str) -> None:
    """Nobody loses more than everything: 300 instead of 3 would switch the guard off unseen."""
    wrong: dict[str, Any] = {name: 100.5}
    right: dict[str, Any] = {name: 100}
    with pytest.raises(ValueError, match=f"{name} .* at most 100"):
        LossRules(**wrong)
    assert getattr(LossRules(**right), name) == 100
