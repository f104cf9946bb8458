"""The report of one run as a single HTML page: no script, style, font or picture from anywhere else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from plotly.offline import get_plotlyjs

from strategies.trade_manager.record import ClosedTrade
from ui.reports import sections
from ui.reports.gate import IN_SAMPLE, gate_lines
from ui.reports.markup import (
    card,
    group_table,
    pairs,
    percent,
    plain,
    plot,
    share,
    signed,
    table,
    text,
    tone,
    two,
    words,
    yes_no,
)
from ui.reports.metrics import Mark
from ui.reports.plots import equity_plot, group_plot, r_plot
from ui.reports.signal_tables import Card, guard_cards, signal_cards
from ui.reports.signals import model_lines
from ui.reports.summary import fee_lines, instruments_text, missing_rates
from ui.reports.trade_sections import DrawnTrade, gallery, trade_figure, trade_table
from ui.reports.universe import universe_lines

ASSETS: Final = Path(__file__).parent
MAX_BYTES: Final = 6_000_000


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the page shows.

    Parameters
    ----------
    summary
        The run's summary, as in `summary.json`.
    trades
        All closed trades in order of exit.
    marks
        Equity: (UNIX nanoseconds, quote currency), ascending.
    drawn
        The trades that get a chart.
    config
        The effective settings as YAML.
    """

    summary: Mapping[str, Any]
    trades: Sequence[ClosedTrade]
    marks: Sequence[Mark]
    drawn: Sequence[DrawnTrade]
    config: str


def render(report: Report) -> str:
    """Return the page. It is at most 6 MB: charts that do not fit are left out, and the page says so."""
    figures = [trade_figure(one) for one in report.drawn]
    rest = _page(report, [], len(report.drawn))
    room, kept = MAX_BYTES - len(rest.encode()) - 10_000, []
    for figure in figures:
        room -= len(figure.encode())
        if room < 0:
            break
        kept.append(figure)
    return _page(report, kept, len(report.drawn))


def _page(report: Report, figures: Sequence[str], wanted: int) -> str:
    summary = report.summary
    title = f"{summary['strategy']} on {instruments_text(summary['instruments'])}"
    style = (ASSETS / "page.css").read_text(encoding="utf-8")
    script = (ASSETS / "page.js").read_text(encoding="utf-8")
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{text(title)}</title>',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<style>{style}</style></head><body><main>",
        _header(summary, title),
        _tiles(summary),
        _equity(report),
        _distribution(report),
        two(sections.certainty(summary), sections.execution(summary)),
        sections.monthly(summary),
        _groups(summary),
        _cards(signal_cards(summary)),
        _signal_model(summary),
        sections.by_confidence(summary),
        sections.by_hour(summary),
        _universe(summary),
        _cards(guard_cards(summary), columns=1),
        *(_gate(name, one, summary) for name, one in (summary.get("model") or {}).items()),
        sections.costs(summary),
        _assumptions(summary),
        gallery(figures, wanted, len(report.trades)),
        trade_table(report.trades),
        '<details class="card"><summary>Effective settings</summary>',
        f"<pre>{text(report.config)}</pre></details>",
        f"</main><script>{plotly_script()}</script><script>{script}</script></body></html>",
    ]
    return "".join(parts)


@cache
def plotly_script() -> str:
    """Return plotly.js, once for a page, so that the page asks nobody for anything.

    Raises
    ------
    ValueError
        When the library cannot stand inside a script element.
    """
    script = str(get_plotlyjs())
    if "</script" in script.lower():
        raise ValueError("plotly.js holds the end of a script element: install another plotly")
    return script


def _equity(report: Report) -> str:
    summary = report.summary
    figure = equity_plot(report.marks, float(summary["starting_balance"]), str(summary["currency"]))
    curve = plot(figure, "Equity of the account and its drawdown over time")
    return card("Equity", curve or '<p class="muted">No marks: the run is shorter than five minutes.</p>')


def _header(summary: Mapping[str, Any], title: str) -> str:
    synthetic = (
        '<p class="bad">Synthetic data: these figures say nothing about a market.</p>'
        if summary.get("synthetic")
        else ""
    )
    return (
        f"<header><div><h1>{text(title)}</h1>"
        f'<p class="muted">{text(summary["start"])} to {text(summary["end"])} '
        f"· run {text(summary['run_id'])}</p>"
        f"{synthetic}</div>"
        '<button id="theme" type="button" aria-label="switch between light and dark">◐</button></header>'
    )


def _tiles(summary: Mapping[str, Any]) -> str:
    currency = str(summary["currency"])
    other = ("time in market", plain(summary["time_in_market_pct"], "{:.1f} %"), False)
    if summary.get("funding_times") or summary.get("funding_missing"):  # the other is under Execution, too
        other = (f"funding, {currency}", signed(summary["funding"], "{:+,.2f}"), bool(summary["funding"]))
    tiles = (
        ("return", signed(summary["total_return_pct"], "{:+.2f} %"), True),
        (f"profit, {currency}", signed(summary["pnl"], "{:+,.2f}"), True),
        ("closed trades", f"{summary['positions_closed']:,}", False),
        ("win rate", share(summary["win_rate"]), False),
        ("profit factor", plain(summary["profit_factor"], "{:.2f}"), False),
        ("expectancy", signed(summary["expectancy_r"], "{:+.3f} R"), True),
        ("max drawdown", plain(summary["max_drawdown_pct"], "{:.2f} %"), False),
        ("Sharpe (365 d)", signed(summary["sharpe"], "{:.2f}"), False),
        ("Sortino (365 d)", signed(summary["sortino"], "{:.2f}"), False),
        (f"fees, {currency}", plain(summary["fees"], "{:,.2f}"), False),
        other,
        (f"balance, {currency}", plain(summary["final_balance"], "{:,.2f}"), False),
    )
    cells = [
        f'<div class="tile"><b class="{tone(value) if toned else ""}">{value}</b>'
        f"<span>{text(name)}</span></div>"
        for name, value, toned in tiles
    ]
    return f'<section class="tiles">{"".join(cells)}</section>'


def _distribution(report: Report) -> str:
    chart = plot(r_plot([trade.r_multiple for trade in report.trades]), "Distribution of results in R")
    groups = report.summary["by_exit_reason"]
    drawn = plot(group_plot(groups, "exit reason"), "Mean R by exit reason")
    return two(
        card("Results in R", chart or '<p class="muted">No closed trades.</p>'),
        card("By exit reason", drawn + group_table("exit reason", groups)),
    )


def _groups(summary: Mapping[str, Any]) -> str:
    title = "From signal to trade" if "signals" in summary else "From zone to trade"
    more = ""
    if summary["tainted_trades"]:
        without = {"all but tainted": summary["without_tainted"]}
        more += (
            f'<p class="muted gap">{summary["tainted_trades"]} trades touched buckets with missing ids; '
            f"without them:</p>{group_table('', without)}"
        )
    open_positions = "".join(
        f"<p>Open at the end: {text(one['side'])} {text(one['quantity'])} {text(one['instrument_id'])} "
        f"from {text(one['entry_price'])}, valued at {text(one['last_price'])}: "
        f"{text(one['unrealized_pnl'])} (in the balance, not in the profit)</p>"
        for one in summary["open_positions"]
    )
    return card(title, pairs(_funnel(summary))) + sections.by_symbol(summary, more + open_positions)


def _funnel(summary: Mapping[str, Any]) -> list[tuple[str, Any]]:
    entries = [
        ("entries submitted", f"{summary['entries_submitted']:,}"),
        ("entries filled", f"{summary['entries_filled']:,}"),
    ]
    replayed = (f"{summary.get('data', 'trades')} replayed", f"{summary['ticks']:,}")
    if "signals" in summary:
        signals = summary["signals"]
        recorded = ("signals recorded", f"{signals['recorded']:,}")
        return [recorded, ("signals taken", f"{signals['taken']:,}"), *entries, replayed]
    return [
        ("zones found", f"{summary['zones']:,}"),
        *entries,
        ("entries cancelled by the model", f"{summary['entries_cancelled_by_model']:,}"),
        *((f"zones skipped: {words(reason)}", count) for reason, count in summary["zones_skipped"].items()),
        ("buckets", f"{summary['buckets']:,}"),
        replayed,
    ]


def _cards(cards: Sequence[Card], columns: int = 2) -> str:
    """Return tables side by side, or one below the other where they are wide."""
    parts = []
    for title, note, head, rows in cards:
        body = "".join(f"<tr>{''.join(_cell(one) for one in row)}</tr>" for row in rows)
        remark = f'<p class="muted">{text(note)}</p>' if note else ""
        parts.append(card(title, remark + table(head, body)))
    return f'<div class="two">{"".join(parts)}</div>' if parts and columns == 2 else "".join(parts)


def _cell(content: str) -> str:
    css = tone(content)
    return f'<td class="{css}">{text(content)}</td>' if css else f"<td>{text(content)}</td>"


def _signal_model(summary: Mapping[str, Any]) -> str:
    lines = model_lines(summary)
    return card("Model of signals", pairs(lines)) if lines else ""


def _universe(summary: Mapping[str, Any]) -> str:
    lines = universe_lines(summary)
    return card("Universe and survivorship", pairs(lines)) if lines else ""


def _gate(name: str, report: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    note = f'<p class="bad">{IN_SAMPLE}.</p>' if report["in_sample"] else ""
    lines = [one for one in gate_lines(name, report, str(summary["currency"])) if one[1] != IN_SAMPLE]
    curve = sections.reliability(report.get("reliability", ()))
    return card(f"Cancel policy of {name}", note + pairs(lines) + curve)


def _assumptions(summary: Mapping[str, Any]) -> str:
    fills = dict(summary["fills"])
    fees = fills.pop("fees")
    rows = [(name.replace("_", " "), yes_no(value)) for name, value in fills.items()]
    percents = {
        name: {"maker": percent(rates["maker"]), "taker": percent(rates["taker"])}
        for name, rates in fees.items()
    }
    rows += [*missing_rates(summary), *fee_lines(percents)]
    process = [
        ("decision sha256", summary["decision_sha256"]),
        (
            f"{summary.get('data', 'trades')} per second in the engine",
            plain(summary["engine_ticks_per_s"], "{:,.0f}"),
        ),
        ("wall time", plain(summary["wall_s"], "{:.1f} s")),
        ("peak memory", plain(summary["peak_rss_mb"], "{:.0f} MB")),
    ]
    return two(card("How fills were simulated", pairs(rows)), card("The run", pairs(process)))
