"""Pauses are told once and counted once, and the tables of scores and skips add up."""

from typing import Any

import pytest

from strategies.guard_log import GuardLog
from strategies.guards import LossRules, TradeGuards, TradeResult
from strategies.trade_manager.record import Decision
from ui.reports.guards import guard_figures, guard_lines, has_pauses
from ui.reports.signal_tables import guard_cards, signal_cards
from ui.reports.signals import score_rows

MIN = 60_000_000_000
A, B = "AUSDT.BINANCE", "BUSDT.BINANCE"
RULES = LossRules(stop_cooldown_mins=10, loss_streak_count=2, loss_streak_pause_mins=30)


def stop(minute: int, symbol: str) -> TradeResult:
    """Return a stopped trade."""
    return TradeResult(minute * MIN, symbol, "stop", -1.0, -1.0)


def told(log: GuardLog, minute: int) -> list[tuple[str, str, str]]:
    """Return kind, guard and scope of what changed until a minute."""
    return [(one.kind, one.pause.reason.value, one.pause.scope) for one in log.changes(minute * MIN)]


def test_each_change_is_told_once() -> None:
    """Begin, a longer pause, and the end, each at the first call after it."""
    guards = TradeGuards(RULES)
    log = GuardLog(guards)
    assert told(log, 0) == []
    guards.on_trade(stop(1, A))
    assert told(log, 1) == [("pause_began", "cooldown", A)]
    assert told(log, 2) == []
    guards.on_trade(stop(5, A))
    assert sorted(told(log, 5)) == [
        ("pause_began", "loss_streak", "*"),
        ("pause_extended", "cooldown", A),
    ]
    assert told(log, 14) == []
    assert told(log, 15) == [("pause_ended", "cooldown", A)]
    assert told(log, 40) == [("pause_ended", "loss_streak", "*")]
    assert told(log, 41) == []


def test_an_end_and_a_new_pause_between_two_calls_are_two() -> None:
    """The second pause is not taken for the first one made longer."""
    guards = TradeGuards(RULES)
    log = GuardLog(guards)
    guards.on_trade(stop(1, A))
    told(log, 1)
    guards.on_trade(stop(20, A))
    changes = told(log, 20)
    assert changes[:1] == [("pause_ended", "cooldown", A)]
    assert ("pause_began", "cooldown", A) in changes


def test_a_log_of_one_symbol_leaves_the_others_out() -> None:
    """Each instance tells of itself and of what holds for all."""
    guards = TradeGuards(RULES)
    log = GuardLog(guards, B)
    guards.on_trade(stop(1, A))
    assert told(log, 1) == []
    guards.on_trade(stop(2, A))
    assert told(log, 2) == [("pause_began", "loss_streak", "*")]


def test_a_restored_log_tells_only_what_is_new() -> None:
    """What the session before told of is not told again, its end is."""
    guards = TradeGuards(RULES)
    guards.on_trade(stop(1, A))
    log = GuardLog(TradeGuards.from_bytes(RULES, guards.to_bytes()))
    assert told(log, 2) == []
    assert told(log, 11) == [("pause_ended", "cooldown", A)]


def decision(kind: Any, symbol: str, minute: int, scope: str, since: int, until: int) -> Decision:
    """Return a decision about a cooldown; times in minutes."""
    return Decision(
        ts_ns=minute * MIN,
        strategy_id="S",
        instrument_id=symbol,
        kind=kind,
        reason="cooldown",
        detail={"scope": scope, "since_ns": since * MIN, "until_ns": until * MIN, "text": "after a stop"},
    )


@pytest.mark.parametrize(
    ("decisions", "pauses", "minutes", "in_force"),
    [
        ([decision("pause_began", one, 1, "*", 1, 11) for one in (A, B)], 1, 10.0, 0),
        (
            [decision("pause_began", A, 1, A, 1, 11), decision("pause_extended", A, 5, A, 1, 15)],
            1,
            14.0,
            0,
        ),
        ([decision("pause_began", A, 1, A, 1, 200)], 1, 99.0, 1),
        (
            [decision("pause_began", A, 1, A, 1, 200), decision("pause_ended", A, 21, A, 1, 200)],
            1,
            20.0,
            0,
        ),
        ([decision("pause_began", A, 1, A, 1, 11), decision("pause_began", B, 1, B, 1, 11)], 2, 20.0, 0),
    ],
    ids=["told by two instances", "made longer", "in force at the end", "ended by a person", "two symbols"],
)
def test_pauses_are_counted(decisions: list[Decision], pauses: int, minutes: float, in_force: int) -> None:
    """One per guard, scope and begin; its minutes up to its end or the run's."""
    counters = {"pause_began_cooldown": 2, "signals_skipped_cooldown": 3, "zones_skipped_cooldown": 4}
    assert has_pauses(counters)
    guards = guard_figures(decisions, counters, 100 * MIN)
    found = guards["cooldown"]
    assert (found["pauses"], found["paused_mins"], found["in_force"]) == (pauses, minutes, in_force)
    assert found["skipped"] == 7
    assert sum(found["scopes"].values()) == pauses == len(found["list"])
    ((name, text),) = guard_lines(guards)
    assert name == "paused: cooldown"
    assert "7 signals skipped" in text
    table, last = guard_cards({"guards": guards})
    assert table[3][0][:2] == ["cooldown", str(pauses)]
    assert len(last[3]) == pauses


def test_scores_have_a_row_each() -> None:
    """From the lowest that occurred to 100, also those that never did; shares are of the known bars."""
    bars = {"long_80": 3, "short_80": 1, "signal_long_80": 2, "long_90": 1}
    signals = {
        "recorded": 4,
        "taken": 1,
        "skipped": {"cooldown": 1, "below_threshold": 2},
        "bars_by_score": bars,
        "bars_ready": 200,
    }
    rows = score_rows(signals)
    assert [row["score"] for row in rows] == [80, 85, 90, 95, 100]
    assert [row["share_pct"] for row in rows] == [2.0, 0.0, 0.5, 0.0, 0.0]
    assert rows[0]["signal_long"] == 2
    scores, skipped = signal_cards({"signals": signals, "by_factor": {}})
    assert scores[3][0] == ["80", "3 (2)", "1 (0)", "2.0000 %"]
    assert skipped[3] == [["below threshold", "2", "50.0 %"], ["cooldown", "1", "25.0 %"]]
    assert signal_cards({}) == guard_cards({}) == []
