"""The benchmark of the terminal's load can miss each of its goals."""

import json
from typing import Any

import pytest

from benchmarks.bench_terminal_load import dropped_after, finite, judged, medians

GOOD = {
    "p99_ms": 59.0,
    "dropped_after_secs": 8.1,
    "stopped_grown_mb": 0.4,
    "others_lost": 0,
    "snapshots_more_than_one": 0,
    "grown_pct": None,
    "rss_mb_by_minute": [101.0],
}


def missed(*changes: dict[str, Any]) -> int:
    """Return how many goals are missed by runs that are good but for these changes."""
    return judged(medians([GOOD | one for one in changes]))


def test_what_was_not_measured_is_not_missed() -> None:
    """A short run says nothing of the memory."""
    assert missed({}, {}, {}) == 0


def test_a_browser_that_is_never_disconnected_misses_the_goal() -> None:
    """It stays for ever, which is no missing figure."""
    never = {"dropped_after_secs": dropped_after(13.5, 0.0)}
    assert dropped_after(13.5, 21.6) == pytest.approx(8.1)
    assert (missed(never, never, never), missed(never, never, {}), missed(never, {}, {})) == (1, 1, 0)


@pytest.mark.parametrize("name", ["others_lost", "snapshots_more_than_one"])
def test_others_are_disturbed_in_no_run(name: str) -> None:
    """One run in which they were is enough."""
    assert missed({name: 49}, {}, {}) == 1


def test_what_never_happened_is_null_in_json() -> None:
    """JSON knows no infinity, and readers refuse it."""
    told = json.dumps(finite({"dropped_after_secs": dropped_after(5.0, 0.0), "runs": [{"p99_ms": 3.5}]}))
    assert told == '{"dropped_after_secs": null, "runs": [{"p99_ms": 3.5}]}'
