"""Breaks of structure (BOS) and changes of character (CHoCH): one bar on either side confirms a swing."""

from typing import Any

import pytest

from indicators.events import FLAG_FIRST, FLAG_SHIFT, Scope
from indicators.structure import StructureDetector
from tests.charts import PENCIL, Row, snapshots, told
from tests.structure_checks import vary

FIELDS = ("direction", "level", "origin_seq", "flag")

# High 15 on bar 1, known on bar 2; low 10 on bar 2, known on bar 3.
HIGH_15: list[Row] = [(10, 11, 9, 10), (12, 15, 11, 13), (12, 13, 10, 11)]
WICK: Row = (12, 16, 11, 14)  # beyond 15, closes below
BROKEN = [*HIGH_15, WICK, (14, 17, 13, 16)]  # bar 4 closes at 16
# High 18 on bar 5, low 12 on bar 6; bar 8 closes below 12, bar 9 below 10.
TURNED = [*BROKEN, (16, 18, 15, 17), (17, 17, 12, 13), (13, 15, 13, 14), (14, 14, 9, 11), (11, 12, 7, 8)]
FIRST_BREAK = (4, "BOS", 1, 15, 1, FLAG_FIRST)

# Name: bars, changed parameters, then (known at, kind, direction, level, bar of the swing, flag).
CHARTS: dict[str, tuple[list[Row], dict[str, Any], list[tuple[object, ...]]]] = {
    "no trend yet: the first break is a BOS": (BROKEN, {}, [FIRST_BREAK]),
    "a wick beyond the level is no break": ([*HIGH_15, WICK], {}, []),
    "a wick breaks if set": (
        [*HIGH_15, WICK],
        {"structure_break": "wick"},
        [(3, "BOS", 1, 15, 1, FLAG_FIRST)],
    ),
    "a close at the level is no break": ([*HIGH_15, WICK, (14, 17, 13, 15)], {}, []),
    "a level breaks once": ([*BROKEN, (16, 19, 15, 18), (18, 20, 15, 19)], {}, [FIRST_BREAK]),
    "an unconfirmed high cannot break": (
        # Bar 2 is higher than bar 1, so no swing is confirmed, and bar 3 breaks nothing.
        [(10, 11, 9, 10), (10, 12, 10, 12), (12, 13, 11, 13), (13, 20, 12, 19)],
        {},
        [],
    ),
    "against the trend it is a CHoCH": (TURNED, {}, [FIRST_BREAK, (8, "CHOCH", -1, 12, 6, 0)]),
    "protected: only the low that launched the last break": (
        TURNED,
        {"choch_level": "protected"},
        [FIRST_BREAK, (9, "CHOCH", -1, 10, 2, 0)],
    ),
    "with the new trend it is a BOS again": (
        # Low 7 on bar 9, known on bar 10; bar 11 closes at 6.
        [*TURNED, (8, 10, 8, 9), (9, 9, 5, 6)],
        {},
        [FIRST_BREAK, (8, "CHOCH", -1, 12, 6, 0), (11, "BOS", -1, 7, 9, 0)],
    ),
    "the first break may be a down break": (
        [(20, 21, 19, 20), (18, 19, 15, 17), (18, 20, 17, 19), (19, 19, 13, 14)],
        {},
        [(3, "BOS", -1, 15, 1, FLAG_FIRST)],
    ),
}


@pytest.mark.parametrize("name", CHARTS)
def test_chart(name: str) -> None:
    """Breaks are told at the close that makes them, with level, swing and flag."""
    chart, changes, expected = CHARTS[name]
    config = vary(**{**pencil_windows(), "displacement_atr": 1_000.0, **changes})
    assert told(chart, StructureDetector.KINDS, FIELDS, config) == expected


def pencil_windows(external: int = 100) -> dict[str, int]:
    """Return one bar on either side of internal swings, and ``external`` bars of external ones."""
    names = ("internal_left", "internal_right", "external_left", "external_right")
    return dict(zip(names, (1, 1, external, external), strict=True))


# True ranges of bars 2 and 3 are 3 and 5. A bar from 14 up to 24 with low 13 has 11: ATR = 19 / 3, and
# one and a half of it is 9.5.
SHIFTS: dict[str, tuple[Row, int, bool]] = {
    "a body of 10 is above 9.5": ((14, 24, 13, 24), 0, True),
    "a body of 9 is not": ((14, 24, 13, 23), 0, False),
    "without the bar itself ATR is 13 / 3": ((14, 24, 13, 23), 1, True),
}


@pytest.mark.parametrize("name", SHIFTS)
def test_a_break_with_displacement_is_a_market_structure_shift(name: str) -> None:
    """The body of the breaking bar against 1.5 ATR."""
    bar, lag, is_shift = SHIFTS[name]
    seen = told(
        [*HIGH_15, WICK, bar], StructureDetector.KINDS, ("flag",), vary(**pencil_windows(), atr_lag=lag)
    )
    assert seen == [(4, "BOS", FLAG_FIRST | FLAG_SHIFT if is_shift else FLAG_FIRST)]


def test_displacement_and_depth_are_in_atr() -> None:
    """A body of 10 and a close 9 above the level, over an ATR of 19 / 3."""
    chart = [*HIGH_15, WICK, (14, 24, 13, 24)]
    ((_, _, displacement, depth),) = told(chart, StructureDetector.KINDS, ("displacement", "depth"))
    assert (displacement, depth) == (pytest.approx(30 / 19), pytest.approx(27 / 19))


# High 15 on bar 2: one bar confirms it inside, two outside. Bar 5 closes above.
SHARED: list[Row] = [
    (10, 11, 9, 10),
    (10, 12, 9, 11),
    (12, 15, 11, 13),
    (12, 13, 10, 11),
    (11, 12, 10, 11),
    (11, 17, 11, 16),
]


@pytest.mark.parametrize("is_suppressed", [True, False])
def test_an_internal_break_of_the_external_level_is_told_once(is_suppressed: bool) -> None:
    """The external structure speaks first; the internal one takes the trend without a word of its own."""
    config = vary(**pencil_windows(2), internal_suppressed=is_suppressed, displacement_atr=1_000.0)
    seen = told(SHARED, StructureDetector.KINDS, ("level", "scope"), config)
    expected = [(5, "BOS", 15, Scope.EXTERNAL), (5, "BOS", 15, Scope.INTERNAL)]
    assert seen == expected[: 1 if is_suppressed else 2]
    last = snapshots(SHARED, config)[-1]
    assert (last["external_trend"], last["internal_trend"]) == (1, 1)
    assert last["internal_high_is_used"] == last["external_high_is_used"] == 1


def test_an_internal_break_of_its_own_level_is_told() -> None:
    """Before bar 4 the external structure knows no high, so the break on bar 4 is internal only."""
    chart = [*SHARED[:4], SHARED[5]]
    seen = told(chart, StructureDetector.KINDS, ("level", "scope"), vary(**pencil_windows(2)))
    assert seen == [(4, "BOS", 15, Scope.INTERNAL)]


def test_the_snapshot_tells_trend_and_break() -> None:
    """Trend after the bar; +1 BOS up, -2 CHoCH down on the bar itself; bars since."""
    rows = snapshots(TURNED, PENCIL)
    assert rows["internal_trend"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, -1, -1]
    assert rows["internal_break"].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, -2, 0]
    assert rows["internal_bars_since_break"].tolist() == [-1, -1, -1, -1, 0, 1, 2, 3, 0, 1]
