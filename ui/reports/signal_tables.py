"""Signals and pauses of a run as tables of text, for the page."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ui.reports.signals import score_rows

type Card = tuple[str, str, Sequence[str], Sequence[Sequence[str]]]
"""Title, note, head and rows."""

GROUP_HEAD: Final = ("trades", "won", "mean R", "profit")
SCORE_NOTE: Final = "bars on which a side scored it; in brackets those of its colour, which are signals"


def signal_cards(summary: Mapping[str, Any]) -> list[Card]:
    """Return the tables of a strategy that scores signals, none for any other.

    Parameters
    ----------
    summary
        As in `summary.json`.
    """
    signals = summary.get("signals")
    if not signals:
        return []
    cards: list[Card] = []
    scores = score_rows(signals)
    if scores:
        note = f"Of {signals['bars_ready']:,} bars whose score was known: {SCORE_NOTE}."
        cards.append(
            ("How often each score occurs", note, ("score", "long", "short", "share"), _scores(scores))
        )
    if signals["skipped"]:
        recorded = signals["recorded"]
        rows = sorted(signals["skipped"].items(), key=lambda one: (-one[1], one[0]))
        skipped = [[_words(name), f"{n:,}", f"{100 * n / recorded:.1f} %"] for name, n in rows]
        note = f"{recorded:,} recorded, {signals['taken']:,} taken."
        cards.append(("Why signals were not traded", note, ("reason", "signals", "share"), skipped))
    if summary.get("by_category"):
        rows_of = [[_words(name), *_figures(one)] for name, one in summary["by_category"].items()]
        cards.append(("By category", "", ("category", *GROUP_HEAD), rows_of))
    return cards


def guard_cards(summary: Mapping[str, Any]) -> list[Card]:
    """Return the table of the guards' pauses, none where nothing was paused."""
    guards = summary.get("guards")
    if not guards:
        return []
    rows = [
        [
            _words(name),
            f"{one['pauses']:,}",
            _scopes(one["scopes"]),
            f"{one['paused_mins']:,.0f}",
            f"{one['longest_mins']:,.0f}",
            f"{one['skipped']:,}",
            "yes" if one["in_force"] else "no",
        ]
        for name, one in guards.items()
    ]
    head = ("guard", "pauses", "of", "minutes", "longest", "skipped", "in force at the end")
    last = [
        [_words(name), one["scope"], one["began"], one["ended"] or "in force", one["text"]]
        for name, guard in guards.items()
        for one in guard["list"]
    ]
    last.sort(key=lambda row: row[2])
    shown = last[-LISTED:]
    return [
        ("Guards", "What was paused after losses, and how many signals were skipped meanwhile.", head, rows),
        (f"The last {len(shown)} pauses", "", ("guard", "of", "began", "ended", "why"), shown),
    ]


LISTED: Final = 12


def _scores(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [
            str(row["score"]),
            f"{row['long']:,} ({row['signal_long']:,})",
            f"{row['short']:,} ({row['signal_short']:,})",
            f"{row['share_pct']:.4f} %",
        ]
        for row in rows
    ]


def _figures(figures: Mapping[str, Any]) -> list[str]:
    if not figures["positions_closed"]:
        return ["0", "–", "–", "–"]
    mean = figures["expectancy_r"]
    r, profit = "–" if mean is None else f"{mean:+.3f}", f"{figures['pnl']:+,.2f}"
    won = f"{100 * figures['win_rate']:.1f} %"
    return [f"{figures['positions_closed']:,}", won, r.replace("-", "−"), profit.replace("-", "−")]


def _scopes(scopes: Mapping[str, int]) -> str:
    symbols = len(scopes) - ("all" in scopes)
    parts = [*(["all"] if "all" in scopes else []), *([f"{symbols} symbols"] if symbols else [])]
    return ", ".join(parts)


def _words(name: str) -> str:
    return name.replace("_", " ")
