"""The comparison of runs as text for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ui.reports.gate import number
from ui.reports.svg import format_time

NAME: Final = 26
COLUMN: Final = 34
WORST: Final = 10
SHOWN_BPS: Final = 0.005  # what two decimals can show
ROWS: Final = (
    ("strategy", "strategy", "{}"),
    ("instruments", "instruments", "{}"),
    ("start", "start", "{}"),
    ("end", "end", "{}"),
    ("data, rows", "ticks", "{:,}"),
    ("closed positions", "positions_closed", "{:,}"),
    ("win rate, %", "win_rate", "{:.1%}"),
    ("profit factor", "profit_factor", "{:.2f}"),
    ("expectancy, R", "expectancy_r", "{:+.3f}"),
    ("  95 % interval", "expectancy_r_ci", "{:+.3f}"),
    ("profit", "pnl", "{:+,.2f}"),
    ("of which fees", "fees", "{:,.2f}"),
    ("return, %", "total_return_pct", "{:+.2f}"),
    ("max drawdown, %", "max_drawdown_pct", "{:.2f}"),
    ("Sharpe (365 d)", "sharpe", "{:.2f}"),
    ("  95 % interval", "sharpe_ci", "{:+.2f}"),
    ("Sortino (365 d)", "sortino", "{:.2f}"),
    ("Calmar (365 d)", "calmar", "{:.2f}"),
    ("time in market, %", "time_in_market_pct", "{:.1f}"),
)


def format_comparison(found: Mapping[str, Any]) -> str:
    """Return a comparison as lines of text: warnings, settings, figures side by side, matched trades.

    Parameters
    ----------
    found
        From :func:`ui.reports.compare.compare`.
    """
    runs = found["runs"]
    names = [f"{index}: {one['run_id']}" for index, one in enumerate(runs, 1)]
    blocks = [
        "\n".join(f"warning: {one}" for one in found["warnings"]),
        "\n".join(_row(name, [_cell(one[key], form) for one in runs]) for name, key, form in ROWS),
        _settings(found["settings"]),
        *(_against(index, one) for index, one in enumerate(found["against_first"], 2)),
    ]
    return "\n\n".join(["\n".join(names), *(block for block in blocks if block)])


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:<{NAME}} " + " ".join(f"{_cut(cell):<{COLUMN}}" for cell in cells).rstrip()


def _cut(text: str) -> str:
    return text if len(text) <= COLUMN else f"{text[: COLUMN - 1]}…"


def _cell(value: Any, form: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        if form == "{}":
            return ", ".join(map(str, value))
        return " to ".join(form.format(one) for one in value)
    return form.format(value)


def _settings(differing: Mapping[str, Sequence[Any]]) -> str:
    if not differing:
        return "the same settings"
    lines = [f"{path}: {' | '.join(str(one) for one in values)}" for path, values in differing.items()]
    return "settings that differ:\n" + "\n".join(f"  {one}" for one in lines)


def _against(index: int, one: Mapping[str, Any]) -> str:
    trades = one["trades"]
    limits = one["difference_ci"]
    interval = "-" if limits is None else f"{limits[0]:+.3f} to {limits[1]:+.3f}"
    if limits is not None:
        interval += ", holds zero" if limits[0] <= 0 <= limits[1] else ", zero is outside"
    lines = [
        f"run {index} against run 1",
        _pair(
            "expectancy",
            f"{number(one['difference'], 1, '+.3f', ' R')}, UTC days in common: {one['common_days']}",
        ),
        _pair("  95 % interval", interval),
        _pair(
            "trades",
            f"{trades['matched']:,} in both (entries within {trades['tolerance_secs']:g} s), "
            f"{trades['only_first']:,} only in run 1, {trades['only_second']:,} only in run {index}",
        ),
    ]
    if trades["matched"]:
        lines += [
            _pair("entry, exit worse by", f"{_mean(trades['entry_bps'])}, {_mean(trades['exit_bps'])} bps"),
            _pair("entry later by", f"{_mean(trades['entry_delay_secs'])} s"),
            _pair("result of a match", number(trades["mean_r_difference"], 1, "+.3f", " R")),
            _pair("other exit reason", f"{trades['other_exit_reason']:,}"),
        ]
    return "\n".join([*lines, *_worst(trades["matches"])])


def _worst(matches: Sequence[Mapping[str, Any]]) -> list[str]:
    differing = [one for one in matches if max(abs(one["entry_bps"]), abs(one["exit_bps"])) >= SHOWN_BPS]
    worst = sorted(differing, key=lambda one: -abs(one["entry_bps"]) - abs(one["exit_bps"]))[:WORST]
    if not worst:
        return []
    lines = ["matches whose prices differ most (bps, positive is worse; R of run 1 and of this one):"]
    for one in worst:
        results = f"{number(one['first_r'], 1, '+.2f')} {number(one['second_r'], 1, '+.2f')} R"
        lines.append(
            f"  {format_time(one['entry_ts_ns'])} {one['instrument_id']} {one['side']}: "
            f"entry {one['entry_bps']:+.2f}, exit {one['exit_bps']:+.2f}, {results}, "
            f"{one['first_reason']} {one['second_reason']}"
        )
    return lines


def _mean(pair: Mapping[str, float]) -> str:
    return f"{pair['mean']:+.2f} (median {pair['median']:+.2f})"


def _pair(name: str, value: str) -> str:
    return f"{name:<{NAME}} {value}"
