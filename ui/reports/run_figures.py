"""Every figure of a run that needs only its trades and its equity: one call for the summary."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from strategies.trade_manager.record import ClosedTrade
from ui.reports.bootstrap import expectancy_interval, sharpe_interval
from ui.reports.execution import execution_figures
from ui.reports.metrics import Mark, daily_returns, summarise
from ui.reports.sensitivity import sensitivity


def run_figures(trades: Sequence[ClosedTrade], marks: Sequence[Mark], balance: Decimal) -> dict[str, Any]:
    """Return the figures of :func:`ui.reports.metrics.summarise` with what surrounds them.

    Parameters
    ----------
    trades
        Closed trades in order of exit.
    marks
        Equity of the account: (UNIX nanoseconds, quote currency), ascending.
    balance
        Starting balance, quote currency.

    Returns
    -------
    dict
        Also ``expectancy_r_ci`` and ``sharpe_ci`` (95 %, by blocks of days, None below five days
        with trades, or with a change of equity),
        ``execution`` (see :func:`ui.reports.execution.execution_figures`) and ``sensitivity`` (see
        :func:`ui.reports.sensitivity.sensitivity`).
    """
    expectancy_ci = None
    if marks:  # a mark of midnight belongs to the day that ends there
        expectancy_ci = expectancy_interval(trades, marks[0][0], max(marks[-1][0] - 1, marks[0][0]))
    return {
        **summarise(trades, marks, balance),
        "expectancy_r_ci": expectancy_ci,
        "sharpe_ci": sharpe_interval(daily_returns(marks, float(balance))),
        "execution": execution_figures(trades),
        "sensitivity": sensitivity(trades),
    }
