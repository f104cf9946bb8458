"""What signals were worth: by score, factor and hour, and why the others were not traded. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from strategies.trade_manager.record import ClosedTrade, Decision
from ui.reports.gate import IN_SAMPLE
from ui.reports.metrics import grouped, trade_figures

SKIPPED: Final = "signals_skipped_"
SCORES: Final = "scores_"
FACTOR: Final = "factor_"
STEP: Final = 5
HIGHEST: Final = 100
SIDES: Final = ("long", "short", "signal_long", "signal_short")


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
        ``signals``: how many there were, were taken, were skipped and why; on how many bars which score was
        reached, of how many whose score was known (``bars_ready``); ``by_confidence``, ``by_category`` (of
        the coin, empty where no coin has one): figures of trades by group;
        ``by_factor``: those of the trades whose signal had the factor, and of those whose had not.
    """
    signals = {(one.instrument_id, one.zone_id): one for one in taken}
    known = [(trade, signals.get((trade.instrument_id, trade.zone_id))) for trade in trades]
    scored = {id(trade): signal for trade, signal in known if signal is not None}
    with_signal = [trade for trade in trades if id(trade) in scored]
    factors = sorted({name for one in taken for name in one.detail if name.startswith(FACTOR)})
    has_categories = any(one.detail.get("category") for one in taken)
    return {
        "signals": {
            "recorded": counters.get("signals", 0),
            "taken": counters.get("signals_taken", 0),
            "skipped": _named(counters, SKIPPED),
            "bars_by_score": _named(counters, SCORES),
            "bars_ready": counters.get("bars_ready", 0),
        },
        "by_confidence": _in_order(grouped(with_signal, lambda trade: _bucket(scored[id(trade)]))),
        "by_category": grouped(with_signal, lambda trade: _category(scored[id(trade)]))
        if has_categories
        else {},
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
    lines = [*signal_counts(summary), *model_lines(summary)]
    for title, key in (("confidence", "by_confidence"), ("category", "by_category"), ("hour", "by_hour")):
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
    lines = [
        ("signals", f"{signals['recorded']:,} recorded, {signals['taken']:,} taken"),
        *((("skipped", skipped),) if skipped else ()),
    ]
    if signals["bars_ready"]:
        lines.append(("bars with a known score", f"{signals['bars_ready']:,}"))
        for row in score_rows(signals):
            counts = f"{row['long']:,} long, {row['short']:,} short ({row['share_pct']:.4f} % of them)"
            coloured = f"{row['signal_long']:,} and {row['signal_short']:,}"
            lines.append((f"score {row['score']}", f"{counts}, with the colour of the side {coloured}"))
    return lines


def model_lines(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the model of signals was asked and said, empty for a run without one.

    Parameters
    ----------
    summary
        As in `summary.json`.
    """
    model = summary.get("signal_model")
    if model is None:
        return []
    force = "" if model["in_force"] else ", filters nothing"
    asked = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in model["decisions"].items())
    lines = [("model of signals", f"{model['model_id']}, verdict {model['verdict']}{force}: {asked}")]
    lines += [("in-sample", IN_SAMPLE)] if model["in_sample"] else []
    return lines + [("note", one) for one in model["notes"]]


def group_text(figures: Mapping[str, Any]) -> str:
    """Return the figures of a group of trades on one line."""
    count = figures["positions_closed"]
    if not count:
        return "no trades"
    r = figures["expectancy_r"]
    return (
        f"{count:,} trades, {100 * figures['win_rate']:.1f} % won, {'-' if r is None else f'{r:+.3f}'} R, "
        f"{figures['pnl']:+,.2f}"
    )


def score_rows(signals: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return how often each score occurs: rows from the lowest counted one to 100, in steps of five.

    Parameters
    ----------
    signals
        ``signals`` of `summary.json`.

    Returns
    -------
    list of dict
        ``score`` (from it to the next), ``long`` and ``short`` (bars on which that side scored it),
        ``signal_long`` and ``signal_short`` (of these, bars of the side's colour), ``share_pct`` (of both
        sides, of the bars whose score was known).
    """
    bars, ready = signals["bars_by_score"], signals["bars_ready"]
    if not ready:
        return []
    low = min([_step(name) for name in bars], default=HIGHEST)
    rows = []
    for score in range(low, HIGHEST + 1, STEP):
        counts = {side: bars.get(f"{side}_{score}", 0) for side in SIDES}
        share_pct = 100 * (counts["long"] + counts["short"]) / ready
        rows.append({"score": score, **counts, "share_pct": share_pct})
    return rows


def _step(name: str) -> int:
    return int(name.rsplit("_", 1)[1])


def _named(counters: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): n for name, n in sorted(counters.items()) if name.startswith(prefix)}


def _bucket(signal: Decision) -> str:
    low = int(round(float(signal.detail["confidence"]) * 100, 6)) // STEP * STEP
    return f"{low}-{min(low + STEP, 100)}" if low < 100 else "100"


def _category(signal: Decision) -> str:
    return str(signal.detail.get("category") or "none")


def _in_order(groups: Mapping[str, Any]) -> dict[str, Any]:
    # As text, 100 would stand before 60-65.
    return dict(sorted(groups.items(), key=lambda pair: int(pair[0].split("-")[0])))


def _has(signal: Decision, name: str) -> bool:
    return float(signal.detail.get(name, 0.0)) > 0
