"""Runs side by side: what they were, what differs in their settings, and whether the difference is luck.

A run is anything that tells its summary, its settings and its trades: a run folder, or a session out of the
journal. The first one is what the others are measured against.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from strategies.trade_manager.record import ClosedTrade
from ui.reports.bootstrap import Floats, daily_r, interval_of
from ui.reports.matching import Match, match_figures, matched
from ui.reports.metrics import ratio

TOLERANCE_SECS: Final = 60.0
FIGURES: Final = (
    "positions_closed",
    "win_rate",
    "profit_factor",
    "expectancy_r",
    "expectancy_r_ci",
    "pnl",
    "fees",
    "funding",
    "total_return_pct",
    "max_drawdown_pct",
    "sharpe",
    "sharpe_ci",
    "sortino",
    "calmar",
    "time_in_market_pct",
)
ABOUT: Final = ("run_id", "strategy", "strategy_version", "instruments", "start", "end", "data", "ticks")
# What makes figures incomparable when it differs, and how to say so.
SAME: Final[Mapping[str, str]] = {
    "start": "the spans begin at different times",
    "end": "the spans end at different times",
    "instruments": "other instruments",
    "data": "other kind of data",
    "ticks": "other data: the number of rows differs",
    "currency": "other currency",
    "starting_balance": "other starting balance",
    "synthetic": "synthetic data against recorded data",
}
ABSENT: Final = "(absent)"
IGNORED: Final = frozenset({"config_sha256"})


class RunRecords(Protocol):
    """What a run, or a session, tells about itself."""

    @property
    def name(self) -> str:
        """Name of the run."""

    @property
    def summary(self) -> Mapping[str, Any]:
        """As in `summary.json`."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Effective settings."""

    @property
    def trades(self) -> Sequence[ClosedTrade]:
        """Closed trades in order of exit."""


def compare(runs: Sequence[RunRecords], tolerance_secs: float = TOLERANCE_SECS) -> dict[str, Any]:
    """Compare runs with the first one.

    Parameters
    ----------
    runs
        At least two.
    tolerance_secs
        Largest distance of the entries of two trades that count as the same, seconds.

    Returns
    -------
    dict
        ``runs``: what each was and its figures; ``warnings``: why they may not be comparable;
        ``settings``: path of each setting that differs -> its value in every run; ``against_first``: for each
        other run the difference of the expectancy on common days with its 95 % interval (None below five
        days with trades in both), and the matched trades, as :func:`ui.reports.matching.match_figures` and
        one by one.

    Raises
    ------
    ValueError
        For fewer than two runs.
    """
    if len(runs) < 2:
        raise ValueError(f"{len(runs)} runs given: a comparison needs two")
    return {
        "runs": [
            {key: one.summary.get(key) for key in (*ABOUT, *FIGURES)} | {"decisions": _decisions(one)}
            for one in runs
        ],
        "warnings": warnings_of(runs),
        "settings": settings_that_differ([one.config for one in runs]),
        "against_first": [_against(runs[0], one, tolerance_secs) for one in runs[1:]],
    }


def warnings_of(runs: Sequence[RunRecords]) -> list[str]:
    """Return why figures of these runs may not be comparable, one line each."""
    found = []
    for key, meaning in SAME.items():
        values = [one.summary.get(key) for one in runs]
        if any(one != values[0] for one in values[1:]):
            found.append(f"{meaning}: {' | '.join(_short(one) for one in values)}")
    fees = [one.summary.get("fills", {}).get("fees") for one in runs]
    if any(one != fees[0] for one in fees[1:]):
        found.append(f"other fees: {' | '.join(_short(one) for one in fees)}")
    if len({_decisions(one) for one in runs}) == 1 and _decisions(runs[0]):
        found.append("the runs took the same decisions to the last event: there is nothing to compare")
    return found


def settings_that_differ(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the settings that are not the same everywhere: dotted path -> value in every run."""
    flat = [dict(_flattened(config)) for config in configs]
    paths = sorted(set().union(*flat) - IGNORED)
    return {
        path: [one.get(path, ABSENT) for one in flat]
        for path in paths
        if any(one.get(path, ABSENT) != flat[0].get(path, ABSENT) for one in flat[1:])
    }


def expectancy_difference(first: RunRecords, second: RunRecords) -> dict[str, Any]:
    """Return how much more R a trade of the second run earned, on the days both runs had.

    Returns
    -------
    dict
        ``common_days`` (UTC); ``expectancy_r`` of both on these days and ``difference``, None where one has
        no trades there; ``difference_ci``: 95 %, the same days redrawn in blocks for both, so that what the
        market did to both of them does not count as a difference; None below five days with trades in both.
    """
    start = max(_ns(one.summary["start"]) for one in (first, second))
    end = min(_ns(one.summary["end"]) for one in (first, second))
    if end <= start:
        return {"common_days": 0, "expectancy_r": None, "difference": None, "difference_ci": None}
    both = [_daily(one.trades, start, end) for one in (first, second)]
    means = [ratio(float(sums.sum()), float(counts.sum())) for sums, counts in both]
    difference = None if None in means else means[1] - means[0]  # type: ignore[operator]

    def drawn_difference(drawn: NDArray[np.int64]) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            one, other = (sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1) for sums, counts in both)
        return np.asarray(other - one, np.float64)

    days = len(both[0][0])
    informative = min(int(np.count_nonzero(counts)) for _sums, counts in both)
    return {
        "common_days": days,
        "expectancy_r": means,
        "difference": difference,
        "difference_ci": None if difference is None else interval_of(days, informative, drawn_difference),
    }


def _daily(trades: Sequence[ClosedTrade], start_ns: int, end_ns: int) -> tuple[Floats, Floats]:
    common = [one for one in trades if start_ns <= one.entry_ts_ns and one.exit_ts_ns <= end_ns]
    return daily_r(common, start_ns, max(end_ns - 1, start_ns))


def _against(first: RunRecords, second: RunRecords, tolerance_secs: float) -> dict[str, Any]:
    matches = matched(first.trades, second.trades, tolerance_secs)
    return {
        "run_id": second.summary.get("run_id", second.name),
        **expectancy_difference(first, second),
        "trades": {
            "tolerance_secs": tolerance_secs,
            **match_figures(matches, len(first.trades), len(second.trades)),
            "matches": [_plain(one) for one in matches],
        },
    }


def _plain(match: Match) -> dict[str, Any]:
    # A result over no risk is NaN, which JSON cannot say.
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in msgspec.structs.asdict(match).items()
    }


def _decisions(run: RunRecords) -> str:
    return str(run.summary.get("decision_sha256") or "")


def _flattened(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        return [
            pair
            for key, one in value.items()
            for pair in _flattened(one, f"{path}.{key}" if path else str(key))
        ]
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return [pair for index, one in enumerate(value) for pair in _flattened(one, f"{path}[{index}]")]
    return [(path, value)]


def _ns(text: str) -> int:
    moment = datetime.fromisoformat(text)
    # Seconds and the rest apart: a float of 2026 does not hold nanoseconds.
    return int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1_000


def _short(value: Any, limit: int = 90) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


__all__ = [
    "TOLERANCE_SECS",
    "RunRecords",
    "compare",
    "expectancy_difference",
    "settings_that_differ",
    "warnings_of",
]
