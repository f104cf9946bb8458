"""Figures of a run, checked with a pencil."""

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.trade_manager.record import ClosedTrade
from ui.reports.metrics import (
    NANOS_PER_DAY,
    daily_returns,
    drawdowns_pct,
    max_drawdown_pct,
    sharpe,
    sortino,
    summarise,
    time_in_market_pct,
    trade_figures,
)

HOUR = 3_600_000_000_000


def closed(pnl: str = "1", r_multiple: float = 1.0, **changes: Any) -> ClosedTrade:
    """Make a closed trade."""
    fields: dict[str, Any] = {
        "setup_id": "s",
        "strategy_id": "OteStrategy-1",
        "instrument_id": "XRPUSDT.BINANCE",
        "side": "long",
        "entry_ts_ns": HOUR,
        "exit_ts_ns": 2 * HOUR,
        "entry_price": "1.5",
        "exit_price": "1.6",
        "qty": "10",
        "pnl": pnl,
        "fees": "0.1",
        "dust_qty": "0",
        "r_multiple": r_multiple,
        "mae_r": -0.5,
        "mfe_r": 1.0,
        "exit_reason": "target",
        "stop_price": "1.4",
        "target_price": "1.6",
        "zone_id": 1,
        "zone_low": 1.4,
        "zone_high": 1.6,
        "tainted": False,
        "entry_bucket_seq": 10,
        "exit_bucket_seq": 12,
    }
    return ClosedTrade(**(fields | changes))


def test_trade_figures_by_hand() -> None:
    """Two wins of 3 and 1, one loss of 2, one of nothing."""
    figures = trade_figures([closed("3", 1.5), closed("-2", -1.0), closed("1", 0.5), closed("0", 0.0)])
    assert figures == {
        "positions_closed": 4,
        "win_rate": 0.5,
        "profit_factor": 2.0,
        "expectancy_r": 0.25,
        "trades_without_r": 0,
        "pnl": Decimal(2),
        "fees": Decimal("0.4"),
        "funding": Decimal(0),
    }


def test_a_trade_without_r_leaves_the_mean_of_the_others() -> None:
    """One position without risk among three: counted, and the two others have a mean."""
    figures = trade_figures([closed("1", 2.0), closed("1", math.nan, stop_price=""), closed("-1", -1.0)])
    assert (figures["positions_closed"], figures["expectancy_r"], figures["trades_without_r"]) == (3, 0.5, 1)
    alone = trade_figures([closed("1", math.nan)])
    assert (alone["expectancy_r"], alone["trades_without_r"]) == (None, 1)


def test_money_is_added_exactly() -> None:
    """Ten times ten cents are one unit, as decimals are."""
    assert trade_figures([closed("0.1")] * 10)["pnl"] == Decimal(1)


@pytest.mark.parametrize(("profits", "factor"), [([], None), (["1"], None), (["-1"], 0.0)])
def test_profit_factor_without_losses_does_not_exist(profits: list[str], factor: float | None) -> None:
    """No losses: None, not infinity; no wins: zero."""
    assert trade_figures([closed(profit) for profit in profits])["profit_factor"] == factor


def test_midnight_ends_its_day() -> None:
    """The mark of 00:00 is the close of the day before; a day without marks does not move."""
    marks = [(HOUR, 100.0), (NANOS_PER_DAY, 110.0), (3 * NANOS_PER_DAY, 99.0)]
    assert daily_returns(marks, 100.0) == [0.1, 0.0, -0.1]


def test_sharpe_by_hand() -> None:
    """Returns 1, 2, 3, 4, 5 %: mean 3, deviation sqrt(2.5), times sqrt(365)."""
    returns = [0.01, 0.02, 0.03, 0.04, 0.05]
    assert sharpe(returns) == pytest.approx(3 / math.sqrt(2.5) * math.sqrt(365))
    assert sortino(returns) is None


def test_sortino_by_hand() -> None:
    """Returns 2, -1, 2, -1, 3 %: mean 1, downside sqrt(2/5)."""
    assert sortino([0.02, -0.01, 0.02, -0.01, 0.03]) == pytest.approx(1 / math.sqrt(0.4) * math.sqrt(365))


@pytest.mark.parametrize("returns", [[], [0.1], [0.1, -0.1, 0.1, 0.2], [0.0] * 9])
def test_ratios_of_too_little_do_not_exist(returns: list[float]) -> None:
    """Four days, or a curve that never moves, give None."""
    assert sharpe(returns) is None
    assert sortino(returns) is None


def test_drawdown_starts_from_the_starting_balance() -> None:
    """A first loss counts, though no mark was ever higher."""
    marks = [(1, 90.0), (2, 120.0), (3, 60.0), (4, 130.0)]
    assert drawdowns_pct(marks, 100.0) == [10.0, 0.0, 50.0, 0.0]
    assert max_drawdown_pct(marks, 100.0) == 50.0


@given(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=50))
def test_drawdown_is_what_a_slow_search_finds(equity: list[float]) -> None:
    """The deepest fall over all pairs of an earlier and a later mark."""
    marks = list(enumerate(equity))
    curve = [equity[0], *equity]
    slow = max(100.0 * (before - after) / before for at, before in enumerate(curve) for after in curve[at:])
    assert max_drawdown_pct(marks, equity[0]) == pytest.approx(slow)


def test_overlapping_positions_count_once() -> None:
    """1 h to 3 h, 2 h to 4 h, one inside, and one beyond the end: four of ten hours."""
    marks = [(0, 1.0), (10 * HOUR, 1.0)]
    spans = [(1, 3), (2, 4), (2, 3), (9, 12)]
    trades = [closed(entry_ts_ns=start * HOUR, exit_ts_ns=end * HOUR) for start, end in spans]
    assert time_in_market_pct(trades, marks) == pytest.approx(40.0)


def test_groups_and_tainted_trades() -> None:
    """Figures are split by exit reason, symbol and side, and given without tainted trades."""
    trades = [
        closed("3"),
        closed("-1", exit_reason="stop", side="short"),
        closed("5", instrument_id="ETHUSDT.BINANCE", tainted=True),
    ]
    figures = summarise(trades, [(0, 100.0), (HOUR, 107.0)], Decimal(100))
    assert figures["by_exit_reason"]["stop"]["pnl"] == Decimal(-1)
    assert {side: one["pnl"] for side, one in figures["by_side"].items()} == {
        "long": Decimal(8),
        "short": Decimal(-1),
    }
    assert list(figures["by_symbol"]) == ["ETHUSDT.BINANCE", "XRPUSDT.BINANCE"]
    assert figures["tainted_trades"] == 1
    assert figures["without_tainted"]["pnl"] == Decimal(2)
    assert figures["pnl"] == Decimal(7)


def test_a_run_without_trades_has_figures() -> None:
    """Nothing divides by zero, and everything is plain JSON."""
    figures = summarise([], [], Decimal(100))
    assert figures["win_rate"] is figures["sharpe"] is figures["time_in_market_pct"] is None
    assert figures["max_drawdown_pct"] == 0.0
    json.dumps(figures, default=str, allow_nan=False)
