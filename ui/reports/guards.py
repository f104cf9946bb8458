"""What the guards paused in a run: how often, how long, and what was not traded meanwhile. Pure functions."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from strategies.guards import EVERYTHING
from strategies.trade_manager.record import Decision

PAUSE_KINDS: Final = ("pause_began", "pause_extended", "pause_ended")
BEGAN: Final = "pause_began_"
SKIPPED: Final = ("signals_skipped_", "zones_skipped_")
NANOS: Final = 1_000_000_000
NANOS_PER_MIN: Final = 60 * NANOS
MAX_LISTED: Final = 200


def has_pauses(counters: Mapping[str, int]) -> bool:
    """Tell whether a guard paused anything in a run, by its strategies' counters."""
    return any(name.startswith(BEGAN) for name in counters)


def guard_figures(
    decisions: Iterable[Decision], counters: Mapping[str, int], end_ns: int
) -> dict[str, dict[str, Any]]:
    """Return what each guard did.

    A pause that several instances tell of (one per instrument, all of one account) is one pause.

    Parameters
    ----------
    decisions
        Of the kinds `PAUSE_KINDS`, in any order.
    counters
        Of the strategies.
    end_ns
        End of the run, UNIX nanoseconds: what is still in force is counted up to there.

    Returns
    -------
    dict
        By guard: ``pauses`` (number), ``paused_mins`` (sum) and ``longest_mins``, ``in_force`` (at the end),
        ``skipped`` (signals or zones that were not traded because of it), ``scopes`` (number by symbol,
        ``all`` for everything), and ``list``: the first 200 with scope, begin, end and what happened.
    """
    pauses: dict[tuple[str, str, int], dict[str, Any]] = {}
    for one in decisions:
        key = one.reason, str(one.detail["scope"]), int(one.detail["since_ns"])
        pause = pauses.setdefault(key, {"until_ns": 0, "text": one.detail["text"]})
        until_ns = int(one.detail["until_ns"])
        if one.kind == "pause_ended":  # earlier than planned where somebody ended it
            until_ns = min(until_ns, one.ts_ns)
            pause["until_ns"] = min(max(pause["until_ns"], until_ns), one.ts_ns)
        else:
            pause["until_ns"] = max(pause["until_ns"], until_ns)
    found: dict[str, dict[str, Any]] = {}
    for (reason, scope, since_ns), pause in sorted(pauses.items(), key=lambda one: (one[0][0], one[0][2])):
        figures = found.setdefault(reason, _nothing(reason, counters))
        scope = "all" if scope == EVERYTHING else scope
        minutes = (min(pause["until_ns"], end_ns) - since_ns) / NANOS_PER_MIN
        figures["pauses"] += 1
        figures["paused_mins"] += minutes
        figures["longest_mins"] = max(figures["longest_mins"], minutes)
        figures["in_force"] += pause["until_ns"] > end_ns
        figures["scopes"][scope] = figures["scopes"].get(scope, 0) + 1
        if len(figures["list"]) < MAX_LISTED:
            end = _moment(pause["until_ns"]) if pause["until_ns"] <= end_ns else None
            figures["list"].append(
                {"scope": scope, "began": _moment(since_ns), "ended": end, "text": pause["text"]}
            )
    return found


def guard_lines(guards: Mapping[str, Mapping[str, Any]] | None) -> list[tuple[str, str]]:
    """Return what the guards did in words, for the terminal; empty where they did nothing."""
    return [
        (
            f"paused: {reason.replace('_', ' ')}",
            (
                f"{one['pauses']:,} times, {one['paused_mins']:,.0f} min together, longest "
                f"{one['longest_mins']:,.0f} min; {one['skipped']:,} signals skipped"
                f"{', in force at the end' if one['in_force'] else ''}"
            ),
        )
        for reason, one in (guards or {}).items()
    ]


def _nothing(reason: str, counters: Mapping[str, int]) -> dict[str, Any]:
    return {
        "pauses": 0,
        "paused_mins": 0.0,
        "longest_mins": 0.0,
        "in_force": 0,
        "skipped": sum(counters.get(f"{prefix}{reason}", 0) for prefix in SKIPPED),
        "scopes": {},
        "list": [],
    }


def _moment(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // NANOS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
