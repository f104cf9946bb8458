"""Sections of the tearsheet about groups, costs and months: figures of the summary in, markup out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ui.reports.markup import (
    card,
    group_table,
    interval,
    pairs,
    plain,
    plot,
    share,
    signed,
    table,
    text,
    tone,
    two,
    words,
)
from ui.reports.plots import cost_plot, factor_plot, group_plot, reliability_plot

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MANY_GROUPS: Final = 40
FEW_DAYS: Final = "Fewer than five days with trades: no interval."


def certainty(summary: Mapping[str, Any]) -> str:
    """Return how sure the two figures are that people look at first."""
    without_r = summary.get("trades_without_r")
    rows = (
        ("expectancy in R, 95 % interval", interval(summary["expectancy_r_ci"], "{:+.3f}")),
        *((("trades without R", str(without_r)),) if without_r else ()),
        ("Sharpe (365 d), 95 % interval", interval(summary["sharpe_ci"], "{:+.2f}")),
        ("Calmar (365 d)", signed(summary["calmar"], "{:.2f}")),
    )
    ci = summary["expectancy_r_ci"]
    verdict = FEW_DAYS if ci is None else ""
    if ci is not None and ci[0] <= 0 <= ci[1]:
        verdict = "The interval of the expectancy holds zero: this run does not tell profit from luck."
    note = f'<p class="muted gap">By redrawing blocks of days, 2,000 times. {verdict}</p>'
    return card("How sure", pairs(rows) + note)


def execution(summary: Mapping[str, Any]) -> str:
    """Return slippage against the decision prices and how long positions were held."""
    figures, currency = summary["execution"], summary["currency"]
    rows = []
    for name, key in (("entries", "entry_slippage"), ("exits", "exit_slippage")):
        one = figures[key]
        rows.append(
            f"<tr><td>{name}</td><td>{one['trades']:,}</td><td>{signed(one['quote'], '{:+,.2f}')}</td>"
            f"<td>{signed(one['bps'], '{:+.2f}')}</td><td>{signed(one['worst_bps'], '{:+.2f}')}</td></tr>"
        )
    held = figures["held_secs"]
    lines = [
        (f"time in a trade, {name}", "–" if held[name] is None else duration(held[name]))
        for name in ("mean", "median", "longest")
    ]
    lines.append(("time in market", plain(summary["time_in_market_pct"], "{:.1f} %")))
    note = (
        '<p class="muted gap">Positive: worse than the price at which the order was decided (limit, trigger '
        "of the stop, last price of a market order). Already in the profit.</p>"
    )
    head = ("slippage", "trades", currency, "bps", "worst, bps")
    return card("Execution", table(head, "".join(rows)) + note + pairs(lines))


def duration(secs: float) -> str:
    """Return a time span in the unit a person would say.

    Examples
    --------
    >>> [duration(one) for one in (4.2, 90, 7_200, 300_000)]
    ['4.2 s', '1.5 min', '2.0 h', '3.5 d']
    """
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if secs >= size:
            return f"{secs / size:.1f} {unit}"
    return f"{secs:.1f} s"


def by_confidence(summary: Mapping[str, Any]) -> str:
    """Return results by confidence of the signal and by factor, nothing where no strategy scored any."""
    if "by_confidence" not in summary:
        return ""
    buckets, factors = summary["by_confidence"], summary["by_factor"]
    left = plot(group_plot(buckets, "confidence, %"), "Mean R by confidence of the signal") + group_table(
        "confidence, %", buckets
    )
    rows = "".join(
        f"<tr><td>{text(words(name))}</td>{_factor_cells(one['with'])}{_factor_cells(one['without'])}</tr>"
        for name, one in factors.items()
    )
    head = ("factor", "trades with", "win rate", "mean R", "trades without", "win rate", "mean R")
    right = plot(factor_plot(factors), "Mean R with and without each factor") + table(head, rows)
    return two(card("By confidence", left), card("By factor", right if factors else "<p>No factors.</p>"))


def _factor_cells(figures: Mapping[str, Any]) -> str:
    r = signed(figures["expectancy_r"], "{:+.3f}")
    return (
        f"<td>{figures['positions_closed']}</td><td>{share(figures['win_rate'])}</td>"
        f'<td class="{tone(r)}">{r}</td>'
    )


def by_symbol(summary: Mapping[str, Any], more: str = "") -> str:
    """Return results by instrument; `more` is markup below them."""
    groups = summary["by_symbol"]
    drawn = (
        plot(group_plot(groups, "instrument"), "Mean R by instrument") if len(groups) <= MANY_GROUPS else ""
    )
    return card("By symbol", drawn + group_table("symbol", groups) + more)


def by_hour(summary: Mapping[str, Any]) -> str:
    """Return results by UTC hour of the entry."""
    hours = summary["by_hour"]
    drawn = plot(group_plot(hours, "hour of the entry, UTC"), "Mean R by hour of the entry")
    rest = f"<details><summary>Table</summary>{group_table('hour', hours)}</details>"
    return card("By hour of the entry (UTC)", drawn + rest) if hours else ""


def monthly(summary: Mapping[str, Any]) -> str:
    """Return the change of equity by month as a table of years, coloured by sign and size."""
    returns = summary["monthly_returns_pct"]
    if not returns:
        return ""
    largest = max(abs(one) for one in returns.values()) or 1.0
    rows = []
    for year in sorted({month[:4] for month in returns}):
        whole = 1.0
        cells = []
        for number in range(1, 13):
            value = returns.get(f"{year}-{number:02d}")
            whole *= 1.0 if value is None else 1.0 + value / 100.0
            cells.append(_month_cell(value, largest))
        total = signed(100.0 * (whole - 1.0), "{:+.1f}")
        rows.append(f'<tr><td>{year}</td>{"".join(cells)}<td class="{tone(total)}">{total}</td></tr>')
    note = (
        '<p class="muted gap">Percent of the equity at the start of the month, UTC; the first and the last '
        "month may be partial.</p>"
    )
    return card("Monthly returns", table(("year", *MONTHS, "year, %"), "".join(rows)) + note)


def _month_cell(value: float | None, largest: float) -> str:
    if value is None:
        return "<td></td>"
    colour = "var(--up)" if value >= 0 else "var(--down)"
    depth = round(8 + 42 * abs(value) / largest)
    style = f"background:color-mix(in srgb,{colour} {depth}%,transparent)"
    return f'<td style="{style}">{signed(value, "{:+.1f}")}</td>'


def costs(summary: Mapping[str, Any]) -> str:
    """Return what other fees and worse exits would have left, and that the run was not repeated for it."""
    found = summary["sensitivity"]
    if not summary["positions_closed"]:
        return ""
    rows = [(f"fees × {one['factor']:g}", one) for one in found["fees"]]
    rows += [(f"stops and market exits +{one['bps']:g} bps", one) for one in found["exit_slippage"]]
    body = []
    for name, one in rows:
        profit = signed(one["pnl"], "{:+,.2f}")
        body.append(
            f"<tr><td>{name}</td><td>{share(one['win_rate'])}</td>"
            f"<td>{plain(one['profit_factor'], '{:.2f}')}</td>"
            f"<td>{signed(one['expectancy_r'], '{:+.3f}')}</td>"
            f'<td class="{tone(profit)}">{profit}</td></tr>'
        )
    factor = found["break_even_fee_factor"]
    zero = (
        "Without fees too, the profit is not positive."
        if factor is None
        else f"The profit is zero at {factor:.2f} times the fees."
    )
    note = (
        f'<p class="muted gap">{zero} First order: the recorded trades at other costs, the run is not '
        "repeated. Whether orders fill at all (queue, latency) needs another run: change backtest.fills and "
        "use compare.</p>"
    )
    head = ("costs", "win rate", "profit factor", "mean R", "profit")
    return card(
        "Sensitivity to costs",
        plot(cost_plot(found), "Mean R under other fees and worse exits") + table(head, "".join(body)) + note,
    )


def reliability(bins: Sequence[Mapping[str, float]]) -> str:
    """Return what a model promised against what came, nothing without a bin.

    Parameters
    ----------
    bins
        ``promised`` and ``came`` in [0, 1] and ``orders``, as a cancel policy reports them.
    """
    if not bins:
        return ""
    full = [{**one, **wilson(one["came"], int(one["orders"]))} for one in bins]
    rows = "".join(
        f"<tr><td>{share(one['promised'])}</td><td>{share(one['came'])}</td>"
        f"<td>{share(one['low'])} to {share(one['high'])}</td><td>{one['orders']:,.0f}</td></tr>"
        for one in full
    )
    note = (
        '<p class="muted gap">Entries that stayed, the last probability of each against how many ended in '
        "profit. The cancelled ones are missing, so low probabilities are rare here.</p>"
    )
    drawn = plot(reliability_plot(full), "Promised against realised share of winners")
    return drawn + table(("promised", "came", "95 % interval", "entries"), rows) + note


def wilson(share_won: float, count: int, z: float = 1.96) -> dict[str, float]:
    """Return the 95 % interval of a share as ``low`` and ``high``.

    References
    ----------
    Wilson (1927), "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22.

    Examples
    --------
    >>> {name: round(value, 4) for name, value in wilson(0.5, 10).items()}
    {'low': 0.2366, 'high': 0.7634}
    """
    middle = (share_won + z * z / (2 * count)) / (1 + z * z / count)
    half = (
        z * math.sqrt(share_won * (1 - share_won) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    )
    # Rounding must not put the share itself outside.
    return {"low": min(middle - half, share_won), "high": max(middle + half, share_won)}
