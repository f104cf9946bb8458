"""Intervals, costs, slippage and months of a run, with a pencil."""

import math
from decimal import Decimal

import numpy as np
import pytest

from tests.unit.test_metrics import closed
from ui.reports.bootstrap import daily_r, drawn_days, expectancy_interval, interval_of, sharpe_interval
from ui.reports.execution import execution_figures
from ui.reports.markup import group_table
from ui.reports.metrics import NANOS_PER_DAY, calmar, monthly_returns_pct, trade_figures
from ui.reports.run_figures import run_figures
from ui.reports.sensitivity import sensitivity
from ui.reports.signal_tables import signal_cards
from ui.reports.signals import group_text

D = Decimal
DAY = NANOS_PER_DAY


def test_fees_are_scaled_and_exits_worsened_exactly() -> None:
    """Profit 1 after 0.1 of fees: 1.1 without fees; 2 bps of an exit worth 100 cost 0.02."""
    found = sensitivity([closed("1", 1.0, market_exit_value="100")])
    assert [row["pnl"] for row in found["fees"]] == [D("1.1"), D("1.05"), D(1), D("0.95"), D("0.9")]
    assert [row["pnl"] for row in found["exit_slippage"]] == [D("0.99"), D("0.98"), D("0.95")]
    assert found["break_even_fee_factor"] == pytest.approx(11.0)


def test_expectancy_moves_by_cost_over_risk() -> None:
    """Ten units with the stop 0.1 away risk 1: doubling fees of 0.1 costs 0.1 R."""
    row = sensitivity([closed("1", 1.0)])["fees"][4]
    assert row["expectancy_r"] == pytest.approx(0.9)


def test_costs_as_they_were_are_the_result_itself() -> None:
    """Factor one repeats the figures of the run."""
    trades = [closed("1", 1.0), closed("-2", -2.0)]
    trades += [closed("1", math.nan, stop_price="1.5"), closed("3", 3.0, stop_price="")]
    row = sensitivity(trades)["fees"][2]
    figures = run_figures(trades, [], D(1000))
    for name in ("pnl", "expectancy_r", "win_rate", "profit_factor"):
        assert row[name] == pytest.approx(figures[name]), name


def test_losses_without_fees_have_no_break_even() -> None:
    """More fees cannot make a loss a profit."""
    assert sensitivity([closed("-1", -1.0)])["break_even_fee_factor"] is None


def test_slippage_is_added_exactly_and_unknown_trades_are_left_out() -> None:
    """0.1 + 0.2 is 0.3; bps are those of all decided values together."""
    trades = [
        closed(entry_slippage="0.1", entry_slippage_bps=1.0, entry_decision_price="100", qty="10"),
        closed(entry_slippage="0.2", entry_slippage_bps=4.0, entry_decision_price="50", qty="10"),
        closed(),
    ]
    figures = execution_figures(trades)
    assert figures["entry_slippage"] == {
        "trades": 2,
        "quote": D("0.3"),
        "bps": pytest.approx(0.3 / 1500 * 10_000),
        "worst_bps": 4.0,
    }
    assert figures["exit_slippage"]["trades"] == 0
    assert figures["slippage"] == D("0.3")
    assert figures["held_secs"] == {"mean": 3600.0, "median": 3600.0, "longest": 3600.0}


def test_draws_are_blocks_of_consecutive_days_and_repeat_with_their_seed() -> None:
    """27 days: blocks of three, around the end of the run."""
    drawn = drawn_days(27, 50, 3)
    assert drawn.shape == (50, 27)
    steps = np.diff(drawn.reshape(50, 9, 3), axis=2) % 27
    assert (steps == 1).all()
    assert (drawn == drawn_days(27, 50, 3)).all()
    assert (drawn != drawn_days(27, 50, 4)).any()


def test_interval_of_the_expectancy_holds_it() -> None:
    """Days of +2 R and -1 R by chance: around 0.5 R, reproducible, and narrower with more days."""
    won = np.random.default_rng(2).random(350) < 0.5

    def interval(days: int) -> tuple[float, float]:
        trades = [closed("1", 2.0 if won[day] else -1.0, exit_ts_ns=day * DAY + 1) for day in range(days)]
        found = expectancy_interval(trades, 0, days * DAY - 1)
        assert found is not None
        mean = sum(one.r_multiple for one in trades) / days
        assert found[0] < mean < found[1]
        assert found == expectancy_interval(trades, 0, days * DAY - 1)
        return found

    short, long_ = interval(28), interval(350)
    assert long_[1] - long_[0] < short[1] - short[0]


def test_days_without_trades_are_days() -> None:
    """Two trades in ten days: two days with one trade each, eight with none; midnight is of the last day."""
    sums, counts = daily_r([closed(exit_ts_ns=1), closed(exit_ts_ns=10 * DAY)], 0, 10 * DAY - 1)
    assert counts.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert sums.tolist() == counts.tolist()


def test_too_few_days_have_no_interval() -> None:
    """Four days say nothing about a year."""
    assert expectancy_interval([closed()], 0, 4 * DAY - 1) is None
    assert sharpe_interval([0.1, 0.2, 0.1, 0.3]) is None
    assert interval_of(10, 10, lambda drawn: np.full(len(drawn), np.nan)) is None


def test_a_long_run_with_trades_on_few_days_has_no_interval() -> None:
    """Two hundred days, one with trades: redrawn it is always itself, which is no certainty."""
    for traded, is_known in ((1, False), (4, False), (5, True)):
        days = [number * 40 for number in range(traded)]
        trades = [closed("1", 1.0 + number, exit_ts_ns=day * DAY + 1) for number, day in enumerate(days)]
        assert (expectancy_interval(trades, 0, 200 * DAY - 1) is not None) is is_known
        returns = [0.01 * (day + 1) if day in days else 0.0 for day in range(200)]
        assert (sharpe_interval(returns) is not None) is is_known


def test_sharpe_interval_holds_the_ratio() -> None:
    """A steady gain with noise: both ends positive, and the ratio between them."""
    rng = np.random.default_rng(5)
    returns = (0.01 + 0.005 * rng.standard_normal(200)).tolist()
    found = sharpe_interval(returns)
    assert found is not None
    ratio = np.mean(returns) / np.std(returns, ddof=1) * np.sqrt(365)
    assert 0 < found[0] < ratio < found[1]


def test_calmar_by_hand() -> None:
    """Up 21 %, down to 20 % below the high, back: 365 days make the yearly return the whole one."""
    marks = [(day * DAY, 100.0 + day * 0.0) for day in range(1, 366)]
    marks[100] = (101 * DAY, 125.0)
    marks[200] = (201 * DAY, 100.0)
    marks[-1] = (365 * DAY, 110.0)
    assert calmar(marks, 100.0) == pytest.approx(0.10 / 0.20)


def test_calmar_does_not_exist_for_days_or_without_a_drawdown() -> None:
    """Nothing to divide by, nothing to annualise, nothing left: None."""
    assert calmar([(DAY, 101.0)], 100.0) is None
    assert calmar([(day * DAY, 100.0 + day) for day in range(1, 20)], 100.0) is None
    assert calmar([(DAY, 50.0), (9 * DAY, -1.0)], 100.0) is None


def test_months_end_at_midnight_and_empty_ones_change_nothing() -> None:
    """The mark of 1 February 00:00 belongs to January; March had no mark."""
    february, may = 31 * DAY, 120 * DAY
    returns = monthly_returns_pct([(DAY, 100.0), (february, 110.0), (may, 121.0)], 100.0)
    assert list(returns) == ["1970-01", "1970-02", "1970-03", "1970-04"]
    assert list(returns.values()) == pytest.approx([10.0, 0.0, 0.0, 10.0])


def test_groups_whose_trades_have_no_r_are_still_said() -> None:
    """A dash instead of a mean, in the terminal and on the page."""
    figures = trade_figures([closed("1", math.nan)])
    assert group_text(figures) == "1 trades, 100.0 % won, - R, +1.00"
    assert "<td>–</td>" in group_table("hour", {"01": figures})
    signals = {"bars_ready": 0, "skipped": {}, "bars_by_score": {}}
    (card,) = signal_cards({"signals": signals, "by_category": {"majors": figures}})
    assert card[3] == [["majors", "1", "100.0 %", "–", "+1.00"]]
