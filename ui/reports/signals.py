"""What signals were worth: by score, factor and hour, and why the others were not traded. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from strategies.trade_manager.record import ClosedTrade, Decision
from ui.reports.metrics import grouped, trade_figures

SKIPPED: Final = "signals_skipped_"
SCORES: Final = "scores_"
FACTOR: Final = "factor_"
STEP: Final = 5


def signal_figures(
    trades: Sequence[ClosedTrade], taken: Sequence[Decision], counters: Mapping[str, int]
) -> dict[str, Any]:
    """Return the figures of a run whose strategy scores signals.

    Parameters
    ----------
    trades
        Closed trades.
    taken
        Decisions of kind ``signal_taken``; a trade carries the number of its signal in ``zone_id``.
    counters
        Of the strategy.

    Returns
    -------
    dict
        ``signals``: how many there were, were taken, were skipped and why, and on how many bars which score
        was reached; ``by_confidence``: figures of trades by group;
        ``by_factor``: those of the trades whose signal had the factor, and of those whose had not.
    """
    signals = {(one.instrument_id, one.zone_id): one for one in taken}
    known = [(trade, signals.get((trade.instrument_id, trade.zone_id))) for trade in trades]
    scored = {id(trade): signal for trade, signal in known if signal is not None}
    with_signal = [trade for trade in trades if id(trade) in scored]
    factors = sorted({name for one in taken for name in one.detail if name.startswith(FACTOR)})
    return {
        "signals": {
            "recorded": counters.get("signals", 0),
            "taken": counters.get("signals_taken", 0),
            "skipped": _named(counters, SKIPPED),
            "bars_by_score": _named(counters, SCORES),
        },
        "by_confidence": _in_order(grouped(with_signal, lambda trade: _bucket(scored[id(trade)]))),
        "by_factor": {
            name.removeprefix(FACTOR): {
                "with": trade_figures([one for one in with_signal if _has(scored[id(one)], name)]),
                "without": trade_figures([one for one in with_signal if not _has(scored[id(one)], name)]),
            }
            for name in factors
        },
    }


def signal_lines(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the signals of a run in words, for the terminal; empty for a strategy without any.

    Parameters
    ----------
    summary
        As in `summary.json`.
    """
    if not summary.get("signals"):
        return []
    lines = signal_counts(summary)
    for title, key in (("score", "by_confidence"), ("hour", "by_hour")):
        lines += [(f"{title} {name}", group_text(one)) for name, one in summary[key].items()]
    for name, one in summary["by_factor"].items():
        lines.append((f"with {name.replace('_', ' ')}", group_text(one["with"])))
        lines.append((f"without {name.replace('_', ' ')}", group_text(one["without"])))
    return lines


def signal_counts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how many signals there were and why they were skipped; empty for a strategy without any.

    Parameters
    ----------
    summary
        As in `summary.json`.
    """
    signals = summary.get("signals")
    if not signals:
        return []
    skipped = ", ".join(
        f"{count:,} {reason.replace('_', ' ')}" for reason, count in signals["skipped"].items()
    )
    return [
        ("signals", f"{signals['recorded']:,} recorded, {signals['taken']:,} taken"),
        *((("skipped", skipped),) if skipped else ()),
        ("bars with a score of 90", _reached(signals["bars_by_score"], 90)),
    ]


def group_text(figures: Mapping[str, Any]) -> str:
    """Return the figures of a group of trades on one line."""
    count = figures["positions_closed"]
    if not count:
        return "no trades"
    return (
        f"{count:,} trades, {100 * figures['win_rate']:.1f} % won, {figures['expectancy_r']:+.3f} R, "
        f"{figures['pnl']:+,.2f}"
    )


def _reached(bars: Mapping[str, int], least: int) -> str:
    """Return how many bars reached a score, and how many of them were signals."""

    def count(prefix: str) -> int:
        return sum(n for name, n in bars.items() if name.startswith(prefix) and _step(name) >= least)

    long_, short = count("long_"), count("short_")
    coloured = count("signal_long_"), count("signal_short_")
    return f"{long_:,} long, {short:,} short; with the colour of the side {coloured[0]:,}, {coloured[1]:,}"


def _step(name: str) -> int:
    return int(name.rsplit("_", 1)[1])


def _named(counters: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): n for name, n in sorted(counters.items()) if name.startswith(prefix)}


def _bucket(signal: Decision) -> str:
    low = int(round(float(signal.detail["confidence"]) * 100, 6)) // STEP * STEP
    return f"{low}-{min(low + STEP, 100)}" if low < 100 else "100"


def _in_order(groups: Mapping[str, Any]) -> dict[str, Any]:
    # As text, 100 would stand before 60-65.
    return dict(sorted(groups.items(), key=lambda pair: int(pair[0].split("-")[0])))


def _has(signal: Decision, name: str) -> bool:
    return float(signal.detail.get(name, 0.0)) > 0
