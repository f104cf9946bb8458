"""Runs side by side: what differs, what it is worth, and which trades are the same."""

import json
import math
from dataclasses import dataclass, field
from typing import Any

import pytest

from strategies.trade_manager.record import ClosedTrade
from tests.unit.test_metrics import closed
from ui.reports.compare import ABSENT, compare, expectancy_difference, settings_that_differ, warnings_of
from ui.reports.compare_text import format_comparison
from ui.reports.matching import match_figures, matched
from ui.reports.metrics import NANOS_PER_DAY

DAY, SECOND = NANOS_PER_DAY, 1_000_000_000


@dataclass
class Records:
    """A run made up here."""

    trades: list[ClosedTrade] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    name: str = "run"

    @property
    def summary(self) -> dict[str, Any]:
        """Return a summary of ten days."""
        return {
            "run_id": self.name,
            "strategy": "ote",
            "instruments": ["XRPUSDT.BINANCE"],
            "start": "1970-01-01T00:00:00Z",
            "end": "1970-01-11T00:00:00Z",
            "ticks": 1000,
            "positions_closed": len(self.trades),
            "win_rate": 0.5,
            "expectancy_r": 0.1,
            "expectancy_r_ci": [-0.1, 0.3],
            "fills": {"fees": {"XRPUSDT.BINANCE": {"maker": "0.001", "taker": "0.001"}}},
            **self.changes,
        }


def at(entry_secs: float, r: float = 1.0, **changes: Any) -> ClosedTrade:
    """Make a trade that entered then and left a second later."""
    entry = round(entry_secs * SECOND)
    return closed(
        str(r) if math.isfinite(r) else "1", r, entry_ts_ns=entry, exit_ts_ns=entry + SECOND, **changes
    )


def test_trades_are_matched_one_to_one_the_closest_first() -> None:
    """Entries at 0 and 10 s against 9, 11 and 500 s: 10 takes 9, 0 takes 11, the last stays alone."""
    found = matched([at(0), at(10)], [at(9), at(11), at(500)], 60)
    assert [(one.entry_ts_ns / SECOND, one.entry_delay_secs) for one in found] == [(0, 11), (10, -1)]
    figures = match_figures(found, 2, 3)
    assert (figures["matched"], figures["only_first"], figures["only_second"]) == (2, 0, 1)


@pytest.mark.parametrize("changes", [{"side": "short"}, {"instrument_id": "BTCUSDT.BINANCE"}])
def test_another_side_or_coin_is_another_trade(changes: dict[str, Any]) -> None:
    """Nothing is matched across them, nor beyond the tolerance."""
    assert matched([at(0)], [at(0, **changes)], 60) == []
    assert matched([at(0)], [at(60.5)], 60) == []
    assert len(matched([at(0)], [at(60)], 60)) == 1


@pytest.mark.parametrize(("side", "sign"), [("long", 1), ("short", -1)])
def test_a_worse_price_is_a_positive_difference(side: str, sign: int) -> None:
    """Bought 1 % higher and sold 2 % lower: 100 and 200 bps worse for a long, better for a short."""
    first = at(0, side=side, entry_price="100", exit_price="100")
    second = at(0, -0.5, side=side, entry_price="101", exit_price="98", exit_reason="stop")
    (match,) = matched([first], [second], 60)
    assert match.entry_bps == pytest.approx(sign * 100)
    assert match.exit_bps == pytest.approx(sign * 200)
    figures = match_figures([match], 1, 1)
    assert figures["mean_r_difference"] == pytest.approx(-1.5)
    assert figures["other_exit_reason"] == 1


def test_only_settings_that_differ_are_listed() -> None:
    """Nested keys, lists of strategies and missing keys by their path; hashes are no settings."""
    first = {"a": {"b": 1, "c": 2}, "s": [{"x": 1}], "config_sha256": "1"}
    second = {"a": {"b": 1, "c": 3}, "s": [{"x": 1, "y": 5}], "config_sha256": "2"}
    assert settings_that_differ([first, second]) == {"a.c": [2, 3], "s[0].y": [ABSENT, 5]}
    assert settings_that_differ([first, first, first]) == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"end": "1970-01-09T00:00:00Z"}, "the spans end at different times"),
        ({"ticks": 999}, "other data"),
        ({"fills": {"fees": {}}}, "other fees"),
        ({"data": "bars"}, "other kind of data"),
    ],
)
def test_what_makes_runs_incomparable_is_said(changes: dict[str, Any], words: str) -> None:
    """Span, data and fees."""
    (warning,) = warnings_of([Records(), Records(changes=changes)])
    assert words in warning


def test_equal_decisions_are_said() -> None:
    """Two runs with the same events differ in nothing."""
    same = {"decision_sha256": "ab"}
    (warning,) = warnings_of([Records(changes=same), Records(changes=same)])
    assert "same decisions" in warning


def test_difference_is_taken_on_common_days_and_paired() -> None:
    """The second run earns 0.5 R more on every trade: the interval is that number, whatever the days did."""
    r = [1.0, -1.0, 2.0, -0.5, 0.3, -1.0, 1.5, -1.0, 0.0, 0.7]
    first = Records([at(day * 86_400 + 5, one) for day, one in enumerate(r)])
    second = Records([at(day * 86_400 + 5, one + 0.5) for day, one in enumerate(r)])
    found = expectancy_difference(first, second)
    assert found["common_days"] == 10
    assert found["difference"] == pytest.approx(0.5)
    assert found["difference_ci"] == pytest.approx((0.5, 0.5))


def test_days_of_one_run_alone_do_not_count() -> None:
    """The second run ended after two days: its trades are compared with those of these days."""
    first = Records([at(5, 1.0), at(5 * 86_400, 9.0)])
    second = Records([at(5, 2.0)], {"end": "1970-01-03T00:00:00Z"})
    found = expectancy_difference(first, second)
    assert (found["common_days"], found["expectancy_r"], found["difference_ci"]) == (2, [1.0, 2.0], None)


def test_few_days_with_trades_have_no_interval() -> None:
    """Ten common days with trades on two of them: a difference, but nothing about its luck."""
    first = Records([at(5, 1.0), at(4 * 86_400, 1.0)])
    second = Records([at(day * 86_400 + 5, 2.0) for day in range(10)])
    found = expectancy_difference(first, second)
    assert (found["common_days"], found["difference"], found["difference_ci"]) == (10, 1.0, None)


def test_spans_apart_have_nothing_in_common() -> None:
    """No common day, no difference."""
    other = {"start": "1971-01-01T00:00:00Z", "end": "1971-01-02T00:00:00Z"}
    found = expectancy_difference(Records([at(5)]), Records([at(5)], other))
    assert (found["common_days"], found["difference"]) == (0, None)


def test_comparison_is_json_and_text() -> None:
    """Everything said is a JSON value, and the text names figures, settings and trades."""
    first = Records([at(0), at(100)], config={"a": 1}, name="backtest")
    second = Records([at(3, 0.5, entry_price="1.6")], {"ticks": 5}, {"a": 2}, "paper")
    found = compare([first, second])
    json.dumps(found, allow_nan=False)
    text = format_comparison(found)
    for words in ("1: backtest", "2: paper", "warning: other data", "a: 1 | 2", "1 in both", "only in run 1"):
        assert words in text, words
    assert "+666.67" in text


def test_a_trade_without_r_breaks_no_figure() -> None:
    """It is matched, has no result in R, and the comparison stays JSON."""
    first = Records([at(0, float("nan")), at(100, 1.0)])
    second = Records([at(0, 2.0), at(100, 1.5)])
    found = compare([first, second])
    json.dumps(found, allow_nan=False)
    trades = found["against_first"][0]["trades"]
    assert trades["mean_r_difference"] == pytest.approx(0.5)
    assert trades["matches"][0]["first_r"] is None
    assert "- +2.00 R" in format_comparison(compare([first, Records([at(0, 2.0, entry_price="1.6")])]))


def test_one_run_is_no_comparison() -> None:
    """A caller's mistake is named."""
    with pytest.raises(ValueError, match="a comparison needs two"):
        compare([Records()])
