"""Figures of a run, from its closed trades and its equity marks. Pure functions, no files, no clock.

A figure that does not exist (a profit factor without losses, a Sharpe ratio of one day) is None, never NaN
or infinity: the values go into JSON.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from strategies.trade_manager.record import ClosedTrade

NANOS_PER_DAY: Final = 86_400 * 1_000_000_000
NANOS_PER_HOUR: Final = 3_600 * 1_000_000_000
DAYS_PER_YEAR: Final = 365  # crypto trades every day
MIN_DAYS: Final = 5  # the ratio of a few days is noise with a large number

type Mark = tuple[int, float]
type Figures = dict[str, Any]


def summarise(trades: Sequence[ClosedTrade], marks: Sequence[Mark], balance: Decimal) -> Figures:
    """Return every figure of a run.

    Parameters
    ----------
    trades
        Closed trades in order of exit; profit is net of fees and funding, quote currency.
    marks
        Equity of the account: (UNIX nanoseconds, quote currency), ascending.
    balance
        Starting balance, quote currency.

    Returns
    -------
    dict
        Those of :func:`trade_figures`, `max_drawdown_pct`, `sharpe`, `sortino`, `calmar`,
        `monthly_returns_pct`, `time_in_market_pct`, and groups: `by_exit_reason`, `by_symbol`, `by_side`,
        `by_hour` (UTC, of the entry), `without_tainted`.
    """
    returns = daily_returns(marks, float(balance))
    untainted = [trade for trade in trades if not trade.tainted]
    return {
        **trade_figures(trades),
        "max_drawdown_pct": max_drawdown_pct(marks, float(balance)),
        "sharpe": sharpe(returns),
        "sortino": sortino(returns),
        "calmar": calmar(marks, float(balance)),
        "monthly_returns_pct": monthly_returns_pct(marks, float(balance)),
        "time_in_market_pct": time_in_market_pct(trades, marks),
        "by_exit_reason": grouped(trades, lambda trade: trade.exit_reason),
        "by_symbol": grouped(trades, lambda trade: trade.instrument_id),
        "by_side": grouped(trades, lambda trade: trade.side),
        "by_hour": grouped(trades, entry_hour),
        "tainted_trades": len(trades) - len(untainted),
        "without_tainted": trade_figures(untainted),
    }


def trade_figures(trades: Sequence[ClosedTrade]) -> Figures:
    """Return count, win rate, profit factor, expectancy in R, profit, fees, funding of some trades.

    Returns
    -------
    dict
        `positions_closed`; `win_rate` in [0, 1], a win is a profit above zero after fees and funding;
        `profit_factor` = gross profit / gross loss; `expectancy_r` = mean R multiple
        of the trades that have one (a trade without risk has none), `trades_without_r` = how many have not;
        `pnl`, `fees` and `funding` (negative: paid) as exact decimals, quote currency.
    """
    profits = [Decimal(trade.pnl) for trade in trades]
    won = sum((profit for profit in profits if profit > 0), Decimal(0))
    lost = -sum((profit for profit in profits if profit < 0), Decimal(0))
    known_r = [trade.r_multiple for trade in trades if math.isfinite(trade.r_multiple)]
    return {
        "positions_closed": len(trades),
        "win_rate": ratio(sum(profit > 0 for profit in profits), len(profits)),
        "profit_factor": ratio(float(won), float(lost)),
        "expectancy_r": ratio(math.fsum(known_r), len(known_r)),
        "trades_without_r": len(trades) - len(known_r),
        "pnl": won - lost,
        "fees": sum((Decimal(trade.fees) for trade in trades), Decimal(0)),
        "funding": sum((Decimal(trade.funding) for trade in trades), Decimal(0)),
    }


def grouped(trades: Iterable[ClosedTrade], key: Callable[[ClosedTrade], str]) -> dict[str, Figures]:
    """Return :func:`trade_figures` for each value of `key`, sorted by that value."""
    groups: dict[str, list[ClosedTrade]] = {}
    for trade in trades:
        groups.setdefault(key(trade), []).append(trade)
    return {name: trade_figures(groups[name]) for name in sorted(groups)}


def entry_hour(trade: ClosedTrade) -> str:
    """Return the UTC hour of the entry as two digits."""
    return f"{trade.entry_ts_ns // NANOS_PER_HOUR % 24:02d}"


def daily_returns(marks: Sequence[Mark], balance: float) -> list[float]:
    """Return the change of equity over each UTC day as a share of the day before.

    Parameters
    ----------
    marks
        Ascending; the mark of midnight belongs to the day that ends there. Days without a mark are days
        without change.
    balance
        Equity before the first day, > 0.

    Examples
    --------
    >>> daily_returns([(1, 100.0), (NANOS_PER_DAY, 110.0), (3 * NANOS_PER_DAY, 99.0)], 100.0)
    [0.1, 0.0, -0.1]
    """
    last_of_day = {(ts_ns - 1) // NANOS_PER_DAY: equity for ts_ns, equity in marks}
    if not last_of_day:
        return []
    before, returns = balance, []
    for day in range(min(last_of_day), max(last_of_day) + 1):
        equity = last_of_day.get(day, before)
        returns.append(round(equity / before - 1.0, 15) if before > 0 else 0.0)
        before = equity
    return returns


def sharpe(returns: Sequence[float]) -> float | None:
    """Return mean / standard deviation (n - 1) of daily returns, times the root of 365.

    None below five days or without variation. No risk-free rate is taken off.
    """
    if len(returns) < MIN_DAYS:
        return None
    mean = math.fsum(returns) / len(returns)
    variance = math.fsum((one - mean) ** 2 for one in returns) / (len(returns) - 1)
    return ratio(mean * math.sqrt(DAYS_PER_YEAR), math.sqrt(variance))


def sortino(returns: Sequence[float]) -> float | None:
    """Return mean / downside deviation (root of the mean of squared losses, n), times the root of 365.

    None below five days or without a losing day.

    References
    ----------
    Sortino, Price (1994), "Performance Measurement in a Downside Risk Framework"; target return 0.
    """
    if len(returns) < MIN_DAYS:
        return None
    downside = math.sqrt(math.fsum(min(one, 0.0) ** 2 for one in returns) / len(returns))
    return ratio(math.fsum(returns) / len(returns) * math.sqrt(DAYS_PER_YEAR), downside)


def calmar(marks: Sequence[Mark], balance: float) -> float | None:
    """Return the compound yearly return (365 days) over the deepest drawdown.

    None below five days, without a drawdown, or when nothing is left.

    References
    ----------
    Young (1991), "Calmar Ratio: A Smoother Tool"; over the whole run instead of its 36 months.
    """
    if not marks or balance <= 0 or marks[-1][1] <= 0:
        return None
    days = len(daily_returns(marks, balance))
    if days < MIN_DAYS:
        return None
    try:
        yearly = (marks[-1][1] / balance) ** (DAYS_PER_YEAR / days) - 1.0
    except OverflowError:  # a tape that doubles every hour
        return None
    return ratio(yearly, max_drawdown_pct(marks, balance) / 100.0)


def monthly_returns_pct(marks: Sequence[Mark], balance: float) -> dict[str, float]:
    """Return the change of equity in each UTC month, percent: `{"2026-01": 1.5}`.

    The mark of midnight belongs to the month that ends there; a month without a mark is one without change.
    """
    before, returns = balance, {}
    for month, equity in _month_ends(marks).items():
        returns[month] = 100.0 * (equity / before - 1.0) if before > 0 else 0.0
        before = equity
    return returns


def _month_ends(marks: Sequence[Mark]) -> dict[str, float]:
    ends: dict[str, float] = {}
    days = {(ts_ns - 1) // NANOS_PER_DAY: equity for ts_ns, equity in marks}
    equity = 0.0
    for day in range(min(days, default=0), max(days, default=-1) + 1):
        equity = days.get(day, equity)
        ends[datetime.fromtimestamp(day * NANOS_PER_DAY // 10**9, UTC).strftime("%Y-%m")] = equity
    return ends


def drawdowns_pct(marks: Sequence[Mark], balance: float) -> list[float]:
    """Return at each mark how far equity is below its highest value so far, percent, >= 0."""
    peak, depths = balance, []
    for _ts_ns, equity in marks:
        peak = max(peak, equity)
        depths.append(100.0 * (peak - equity) / peak)
    return depths


def max_drawdown_pct(marks: Sequence[Mark], balance: float) -> float:
    """Return the deepest fall of equity below an earlier high, percent of that high, >= 0."""
    return max(drawdowns_pct(marks, balance), default=0.0)


def time_in_market_pct(trades: Sequence[ClosedTrade], marks: Sequence[Mark]) -> float | None:
    """Return the share of the marked time in which some position was open, percent in [0, 100].

    Positions that overlap count once. None without a marked time span.
    """
    if len(marks) < 2 or marks[-1][0] <= marks[0][0]:
        return None
    first_ns, last_ns = marks[0][0], marks[-1][0]
    open_ns, covered_until = 0, first_ns
    for start, end in sorted((trade.entry_ts_ns, trade.exit_ts_ns) for trade in trades):
        start, end = max(start, covered_until), min(end, last_ns)
        open_ns += max(end - start, 0)
        covered_until = max(covered_until, end)
    return 100.0 * open_ns / (last_ns - first_ns)


def ratio(numerator: float, denominator: float) -> float | None:
    """Divide; None where the quotient does not exist or is not finite."""
    if denominator == 0 or not math.isfinite(numerator) or not math.isfinite(denominator):
        return None
    return numerator / denominator
