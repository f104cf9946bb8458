"""What choosing coins by what was known at the time did to a run, or would have done: figures and words."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from strategies.trade_manager.record import ClosedTrade, Decision
from ui.reports.metrics import trade_figures
from ui.reports.signals import group_text

MARK: Final = "in_universe"
REFUSED: Final = "signals_skipped_not_in_universe"


def universe_figures(
    facts: Mapping[str, Any],
    trades: Sequence[ClosedTrade],
    taken: Sequence[Decision],
    counters: Mapping[str, int],
) -> dict[str, Any]:
    """Return the section of a run about the universe and survivorship.

    Parameters
    ----------
    facts
        Of the run, from ``runtime.run_universe``.
    trades
        Closed trades.
    taken
        Decisions of kind ``signal_taken``: their mark says whether the coin belonged to that day.
    counters
        Of the strategy.

    Returns
    -------
    dict
        ``universe``: the rule, its source and ``signals_refused``. ``survivorship``: coins that began, ended
        or never belonged, what the catalog lacks (None: unknown), and the figures of the trades
        ``in_universe`` and ``outside``: what the rule, had it been on, would have refused.
    """
    marks = {(one.instrument_id, one.zone_id): one.detail.get(MARK) for one in taken}
    known = [(trade, marks.get((trade.instrument_id, trade.zone_id))) for trade in trades]
    lives = ("began_after_start", "ended_before_end", "never_members", "absent_from_catalog")
    return {
        "universe": {
            **{name: value for name, value in facts.items() if name not in lives},
            "signals_refused": counters.get(REFUSED, 0),
        },
        "survivorship": {
            **{name: facts[name] for name in lives},
            "in_universe": trade_figures([trade for trade, mark in known if mark == 1]),
            "outside": trade_figures([trade for trade, mark in known if mark == 0]),
        },
    }


def universe_lines(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the universe of a run in words, for the terminal; empty for a run without one.

    Parameters
    ----------
    summary
        As in `summary.json`.
    """
    universe, survival = summary.get("universe"), summary.get("survivorship")
    if not universe or not survival:
        return []
    lines = [
        (
            f"universe {'on' if universe['enforced'] else 'OFF'}",
            (
                f"top {universe['top']} by {universe['source']}; {universe['members_mean']:.1f} of "
                f"{universe['coins']} coins on an average day"
            ),
        ),
        (
            "coins of the run",
            (
                f"{len(survival['began_after_start'])} began after the start, "
                f"{len(survival['ended_before_end'])} ended before the end, "
                f"{len(survival['never_members'])} never belonged"
            ),
        ),
    ]
    if universe["enforced"]:
        lines.append(("not in the universe", f"{universe['signals_refused']:,} signals refused"))
    else:
        lines.append(("survivorship", f"in the universe: {group_text(survival['in_universe'])}"))
        lines.append(("would have been refused", group_text(survival["outside"])))
    return [*lines, ("not in the catalog", _absent(survival["absent_from_catalog"]))]


def _absent(absent: Mapping[str, Any] | None) -> str:
    if absent is None:
        return "unknown: no stored universe covers the run (`download_data.py universe`)"
    names = f": {', '.join(absent['names'])}" if absent["names"] else ""
    return (
        f"{absent['members_absent']:,} of {absent['members']:,} members, {absent['listed_absent']:,} of "
        f"{absent['listed']:,} listed symbols{names}"
    )


__all__ = ["universe_figures", "universe_lines"]
