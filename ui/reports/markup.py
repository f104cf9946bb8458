"""The few pieces of HTML the pages are made of; every word of the data is escaped here."""

import html
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any


def table(head: Sequence[str], body: str) -> str:
    """Return a table that scrolls sideways by itself, by keyboard too; `body` is markup of rows."""
    cells = "".join(f'<th scope="col">{text(one)}</th>' for one in head)
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def pairs(rows: Sequence[tuple[str, Any]]) -> str:
    """Return names and values."""
    return f"<dl>{''.join(f'<dt>{text(name)}</dt><dd>{text(value)}</dd>' for name, value in rows)}</dl>"


def card(title: str, content: str) -> str:
    """Return a titled part of the page; `content` is markup."""
    return f'<section class="card"><h2>{text(title)}</h2>{content}</section>'


def two(left: str, right: str) -> str:
    """Return two cards side by side, below each other on a phone."""
    return f'<div class="two">{left}{right}</div>'


def plot(figure: Mapping[str, Any] | None, label: str) -> str:
    """Return a plotly figure that the script of the page draws, nothing for None.

    Parameters
    ----------
    figure
        Traces under ``data`` and ``layout``, see `ui.reports.plots`.
    label
        What it shows, for screen readers; the numbers are in the table beside it.
    """
    if figure is None:
        return ""
    # "</" would end the script element whatever it stands in.
    content = json.dumps(figure, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    height = figure["layout"]["height"]
    return (
        f'<div class="plot" role="img" aria-label="{text(label)}" style="height:{height}px">'
        f'<script type="application/json">{content}</script></div>'
    )


def text(value: Any) -> str:
    """Return a value as escaped text."""
    return html.escape(str(value), quote=True)


def plain(value: Any, form: str) -> str:
    """Return a number in a format, a dash where there is none."""
    return "–" if value is None else form.format(Decimal(str(value)))


def signed(value: Any, form: str) -> str:
    """Return a number with a real minus sign."""
    return plain(value, form).replace("-", "−")


def share(value: float | None) -> str:
    """Return a share as percent."""
    return "–" if value is None else f"{100 * value:.1f} %"


def percent(rate: str) -> str:
    """Return a fee rate as percent."""
    return f"{float(rate) * 100:.4g} %"


def tone(number: str) -> str:
    """Return the CSS class of a signed number."""
    return "bad" if number.startswith("−") else "good" if number.startswith("+") else ""


def words(name: str) -> str:
    """Return a snake_case name as words."""
    return name.replace("_", " ")


def yes_no(value: Any) -> str:
    """Return a setting in words."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def interval(limits: Sequence[float] | None, form: str) -> str:
    """Return a 95 % interval in words, a dash where there is none.

    Examples
    --------
    >>> interval((-0.5, 1.25), "{:+.2f}")
    '−0.50 to +1.25'
    """
    if limits is None:
        return "–"
    return f"{signed(limits[0], form)} to {signed(limits[1], form)}"


def group_table(name: str, groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures of groups of trades as a table, best read beside `plots.group_plot`."""
    if not groups:
        return '<p class="muted">No closed trades.</p>'
    rows = []
    for group, figures in groups.items():
        profit = signed(figures["pnl"], "{:+,.2f}")
        rows.append(
            f"<tr><td>{text(words(group))}</td><td>{figures['positions_closed']}</td>"
            f"<td>{share(figures['win_rate'])}</td><td>{plain(figures['profit_factor'], '{:.2f}')}</td>"
            f"<td>{signed(figures['expectancy_r'], '{:+.3f}')}</td>"
            f"<td>{plain(figures['fees'], '{:,.2f}')}</td>"
            f'<td class="{tone(profit)}">{profit}</td></tr>'
        )
    return table((name, "trades", "win rate", "profit factor", "mean R", "fees", "profit"), "".join(rows))
