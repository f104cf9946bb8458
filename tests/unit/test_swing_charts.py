"""Swings and the zigzag: two bars on either side confirm, unless the chart says otherwise."""

from typing import Any

import pytest

from indicators.events import Scope, SwingLabel
from indicators.swing import SwingDetector
from tests.charts import Row, ranges, snapshots, told
from tests.structure_checks import vary

FIELDS = ("direction", "level", "origin_seq")
TWO = vary(internal_left=2, internal_right=2, external_left=4, external_right=4)

# Lows that rise with every bar are no swing lows, highs that fall are no swing highs.
PEAK = ranges((10, 5), (11, 6), (15, 7), (12, 8), (11, 9))
PLATEAU = ranges((10, 5), (11, 6), (15, 7), (15, 8), (12, 9), (11, 10))

# Name: bars, changed parameters, then (known at, kind, direction, level, bar of the extreme).
CHARTS: dict[str, tuple[list[Row], dict[str, Any], list[tuple[object, ...]]]] = {
    "a high is known two bars after it": (PEAK, {}, [(4, "SWING", 1, 15, 2)]),
    "with one bar after it nobody knows": (PEAK[:4], {}, []),
    "a low is known two bars after it": (
        ranges((15, 10), (14, 9), (13, 5), (12, 8), (11, 9)),
        {},
        [(4, "SWING", -1, 5, 2)],
    ),
    "two bars must have come before it": (ranges((11, 6), (15, 7), (12, 8), (11, 9)), {}, []),
    "a higher bar two bars later denies it": (ranges((10, 5), (11, 6), (15, 7), (12, 8), (16, 9)), {}, []),
    "of a plateau the first bar counts": (PLATEAU, {}, [(4, "SWING", 1, 15, 2)]),
    "equal on the left is allowed if set": (
        PLATEAU,
        {"swing_left_strict": False},
        [(4, "SWING", 1, 15, 2), (5, "SWING", 1, 15, 3)],
    ),
    "equal on the right denies if set": (PLATEAU, {"swing_right_strict": True}, []),
    "a flat market has no swings": (ranges(*[(10, 10)] * 9), {}, []),
    "an outside bar is both, high first": (
        ranges((10, 8), (11, 9), (20, 1), (12, 8), (11, 9)),
        {},
        [(4, "SWING", 1, 20, 2), (4, "SWING", -1, 1, 2), (4, "SWING_LOCKED", 1, 20, 2)],
    ),
    "an outside bar is a high only if set": (
        ranges((10, 8), (11, 9), (20, 1), (12, 8), (11, 9)),
        {"swing_both": "high_only"},
        [(4, "SWING", 1, 20, 2)],
    ),
    "a higher high without a low between takes its place": (
        ranges((10, 1), (11, 2), (15, 3), (12, 4), (13, 5), (17, 6), (14, 7), (13, 8)),
        {},
        [(4, "SWING", 1, 15, 2), (7, "SWING", 1, 17, 5), (7, "SWING_REPLACED", 1, 17, 5)],
    ),
    "a lower high leaves the zigzag alone": (
        ranges((10, 1), (11, 2), (17, 3), (12, 4), (13, 5), (15, 6), (14, 7), (13, 8)),
        {},
        [(4, "SWING", 1, 17, 2), (7, "SWING", 1, 15, 5)],
    ),
    "an equal high does not replace": (
        ranges((10, 1), (11, 2), (15, 3), (12, 4), (13, 5), (15, 6), (14, 7), (13, 8)),
        {},
        [(4, "SWING", 1, 15, 2), (7, "SWING", 1, 15, 5)],
    ),
}


@pytest.mark.parametrize("name", CHARTS)
def test_chart(name: str) -> None:
    """The internal structure tells what the chart says, at the bars it says."""
    chart, changes, expected = CHARTS[name]
    config = vary(internal_left=2, internal_right=2, **changes)
    assert told(chart, SwingDetector.KINDS, FIELDS, config, Scope.INTERNAL) == expected


def test_locked_swings_are_labelled_against_the_one_before() -> None:
    """Highs 20, 25, 22 and lows 10, 12, 8: higher high, higher low, lower high, lower low."""
    chart = ranges(
        (15, 14),
        (20, 15),  # high
        (16, 13),
        (14, 10),  # low
        (18, 13),
        (25, 17),  # high
        (20, 15),
        (16, 12),  # low
        (19, 14),
        (22, 18),  # high
        (18, 13),
        (14, 8),  # low
        (16, 12),
        (20, 15),  # high
        (16, 12),
    )
    config = vary(internal_left=1, internal_right=1)
    seen = told(chart, SwingDetector.KINDS, ("level", "flag"), config, Scope.INTERNAL)
    assert [event for event in seen if event[1] == "SWING_LOCKED"] == [
        (4, "SWING_LOCKED", 20, SwingLabel.NONE),
        (6, "SWING_LOCKED", 10, SwingLabel.NONE),
        (8, "SWING_LOCKED", 25, SwingLabel.HIGHER_HIGH),
        (10, "SWING_LOCKED", 12, SwingLabel.HIGHER_LOW),
        (12, "SWING_LOCKED", 22, SwingLabel.LOWER_HIGH),
        (14, "SWING_LOCKED", 8, SwingLabel.LOWER_LOW),
    ]


def test_the_external_structure_waits_for_its_own_bars() -> None:
    """The same high is internal after two bars and external after four."""
    chart = ranges(*((10 + n, n) for n in range(4)), (20, 4), *((13 - n, 5 + n) for n in range(4)))
    assert told(chart, SwingDetector.KINDS, (*FIELDS, "scope"), TWO) == [
        (6, "SWING", 1, 20, 4, Scope.INTERNAL),
        (8, "SWING", 1, 20, 4, Scope.EXTERNAL),
    ]


def test_the_snapshot_has_a_level_from_its_confirmation_on() -> None:
    """The level of the latest high, and the highest high since its bar, which needs no confirmation."""
    chart = [*PEAK, *ranges((12, 10), (18, 11))]
    rows = snapshots(chart, TWO)
    assert rows["internal_swing_high"].tolist()[4:] == [15, 15, 15]
    assert all(level != level for level in rows["internal_swing_high"][:4])
    assert rows["internal_trailing_high"].tolist()[4:] == [15, 15, 18]
