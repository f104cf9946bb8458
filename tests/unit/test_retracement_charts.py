"""Dealing ranges and their OTE zone, on a range from 100 to 200.

Its lines: half 150, entry (61.8 %) 138.2, sweet spot (70.5 %) 129.5, last (79 %) 121.
"""

from typing import Any

import pytest

from indicators.events import RangeStage, Scope
from indicators.optimal_trade_entry import OptimalTradeEntryDetector
from tests.bars import from_prices, mirrored
from tests.charts import PENCIL, Row, snapshots, told
from tests.structure_checks import vary

FIELDS = ("low", "high", "flag")
WINDOWS = {"internal_left": 1, "internal_right": 1, "external_left": 100, "external_right": 100}

# High 160 on bar 1, low 100 on bar 3; bar 5 closes at 190 after 200.
RANGE: list[Row] = [
    (130, 140, 125, 135),
    (135, 160, 130, 150),
    (150, 150, 120, 130),
    (130, 135, 100, 120),
    (120, 140, 110, 135),
    (135, 200, 130, 190),
]
FORMED = (5, "RANGE_FORMED", 100, 200, RangeStage.FORMED)
# Bar 6 goes to 125 and closes at 140: half, entry and sweet spot on one bar.
TO_SWEET: Row = (190, 195, 125, 140)
AT_SWEET: list[tuple[object, ...]] = [
    FORMED,
    (6, "RANGE_RETRACING", 100, 200, RangeStage.RETRACING),
    (6, "OTE_ENTERED", 100, 200, RangeStage.OTE_ENTERED),
    (6, "OTE_SWEET_TOUCHED", 100, 200, RangeStage.SWEET_TOUCHED),
]
# Bar 6 to 150, bar 7 to 138.
TO_ENTRY: list[Row] = [(190, 195, 150, 160), (160, 165, 138, 145)]
AT_ENTRY = [
    FORMED,
    (6, "RANGE_RETRACING", 100, 200, RangeStage.RETRACING),
    (7, "OTE_ENTERED", 100, 200, RangeStage.OTE_ENTERED),
]
# A new high of 200 is known on bar 6, a low of 152 on bar 8; bar 9 closes at 149.
TURNED = [*RANGE, (190, 195, 160, 165), (165, 170, 152, 168), (168, 175, 158, 170), (170, 171, 148, 149)]
ENDED = RangeStage.ENDED

# Name: bars, changes, then (known at, kind, low, high, stage after it).
CHARTS: dict[str, tuple[list[Row], dict[str, Any], list[tuple[object, ...]]]] = {
    "a break forms a range from the lowest low since the broken high": (RANGE, {}, [FORMED]),
    "a higher high extends it": (
        [*RANGE, (190, 210, 180, 205)],
        {},
        [FORMED, (6, "RANGE_EXTENDED", 100, 210, RangeStage.FORMED)],
    ),
    "an equal high does not extend it": ([*RANGE, (190, 200, 180, 195)], {}, [FORMED]),
    "above the half nothing happens": ([*RANGE, (190, 195, 151, 160)], {}, [FORMED]),
    "half, entry, sweet spot, and up again: completed": (
        [*RANGE, *TO_ENTRY, (145, 150, 129, 140), (140, 145, 135, 142)],
        {},
        [
            *AT_ENTRY,
            (8, "OTE_SWEET_TOUCHED", 100, 200, RangeStage.SWEET_TOUCHED),
            (9, "OTE_COMPLETED", 100, 200, ENDED),
        ],
    ),
    "one bar may reach all three lines, but not complete": ([*RANGE, TO_SWEET], {}, AT_SWEET),
    "below the entry line it is not completed": (
        [*RANGE, TO_SWEET, (130, 138, 125, 130)],
        {},
        AT_SWEET,
    ),
    "an extension before the entry counts the touches afresh": (
        # B is 205, so half is 152.5.
        [*RANGE, TO_ENTRY[0], (160, 205, 155, 200), (200, 202, 152, 160)],
        {},
        [
            *AT_SWEET[:2],
            (7, "RANGE_EXTENDED", 100, 205, RangeStage.FORMED),
            (8, "RANGE_RETRACING", 100, 205, RangeStage.RETRACING),
        ],
    ),
    "a wick beyond the last line fails it": (
        [*RANGE, (190, 195, 120, 140)],
        {},
        [*AT_SWEET, (6, "OTE_FAILED", 100, 200, ENDED)],
    ),
    "soft: only a close beyond the last line fails it": (
        [*RANGE, (190, 195, 120, 125), (125, 130, 119, 120)],
        {"range_fail": "soft"},
        [*AT_SWEET, (7, "OTE_FAILED", 100, 200, ENDED)],
    ),
    "a close at the origin invalidates it": (
        [*RANGE, (190, 195, 99, 100)],
        {},
        [*AT_SWEET, (6, "RANGE_INVALIDATED", 100, 200, ENDED)],
    ),
    "a wick more than 5 % beyond the origin invalidates it": (
        [*RANGE, (190, 195, 94, 150)],
        {},
        [*AT_SWEET, (6, "RANGE_INVALIDATED", 100, 200, ENDED)],
    ),
    "a wick less than that only fails it": (
        [*RANGE, (190, 195, 96, 150)],
        {},
        [*AT_SWEET, (6, "OTE_FAILED", 100, 200, ENDED)],
    ),
    "it expires so many bars after the entry": (
        [*RANGE, *TO_ENTRY, (145, 150, 132, 140), (140, 145, 132, 138)],
        {"range_expiry": 2},
        [*AT_ENTRY, (9, "RANGE_EXPIRED", 100, 200, ENDED)],
    ),
    "untouched it does not expire": ([*RANGE, *[(190, 195, 180, 190)] * 9], {"range_expiry": 2}, [FORMED]),
    "a new break the same way supersedes it": (
        # High 200 is known on bar 6; bar 7 closes at 215, the lowest low since bar 5 is bar 5's own 130.
        [*RANGE, (190, 195, 170, 180), (180, 220, 175, 215)],
        {},
        [
            FORMED,
            (7, "RANGE_EXTENDED", 100, 220, RangeStage.FORMED),
            (7, "RANGE_SUPERSEDED", 100, 220, ENDED),
            (7, "RANGE_FORMED", 130, 220, RangeStage.FORMED),
        ],
    ),
    "a break the other way opposes it": (
        # From the low of bar 7 up to 175 on bar 8, then down to 148: the short range.
        TURNED,
        {},
        [
            FORMED,
            (9, "RANGE_RETRACING", 100, 200, RangeStage.RETRACING),
            (9, "RANGE_OPPOSED", 100, 200, ENDED),
            (9, "RANGE_FORMED", 148, 175, RangeStage.FORMED),
        ],
    ),
    "a break the other way is ignored, if set": (
        TURNED,
        {"range_opposed": False},
        [
            FORMED,
            (9, "RANGE_RETRACING", 100, 200, RangeStage.RETRACING),
            (9, "RANGE_FORMED", 148, 175, RangeStage.FORMED),
        ],
    ),
    "long only: a break down opposes and forms none": (
        TURNED,
        {"range_side": "long"},
        [
            FORMED,
            (9, "RANGE_RETRACING", 100, 200, RangeStage.RETRACING),
            (9, "RANGE_OPPOSED", 100, 200, ENDED),
        ],
    ),
    "a range ends once": (
        [*RANGE, (190, 195, 120, 140), (140, 150, 110, 120), (120, 145, 115, 140)],
        {},
        [*AT_SWEET, (6, "OTE_FAILED", 100, 200, ENDED)],
    ),
}


@pytest.mark.parametrize("name", CHARTS)
def test_chart(name: str) -> None:
    """A range's life is told at the bars that the chart says."""
    chart, changes, expected = CHARTS[name]
    config = vary(**{**WINDOWS, "range_expiry": 200, **changes})
    assert told(chart, OptimalTradeEntryDetector.KINDS, FIELDS, config) == expected


@pytest.mark.parametrize("name", CHARTS)
def test_mirrored_chart(name: str) -> None:
    """Prices negated, high and low swapped: the same life of a short range."""
    chart, changes, expected = CHARTS[name]
    side = {"long": "short"}.get(changes.get("range_side", ""), "both")
    config = vary(**{**WINDOWS, "range_expiry": 200, **changes, "range_side": side})
    seen = told(mirrored(from_prices(chart)), OptimalTradeEntryDetector.KINDS, FIELDS, config)
    assert seen == [(known, kind, -high, -low, stage) for known, kind, low, high, stage in expected]  # type: ignore[operator]


def test_the_sweet_spot_moves_with_the_extension() -> None:
    """70.5 % of 100 below 200 is 129.5, of 110 below 210 it is 132.45; origin is the low's bar."""
    seen = told([*RANGE, (190, 210, 180, 205)], OptimalTradeEntryDetector.KINDS, ("level", "origin_seq"))
    assert [(kind, round(level, 6), origin) for _, kind, level, origin in seen] == [  # type: ignore[call-overload]
        ("RANGE_FORMED", 129.5, 3),
        ("RANGE_EXTENDED", 132.45, 3),
    ]


# Low 90 on bar 1, high 160 on bar 3, low 110 on bar 4; bar 5 closes above 160.
TWO_LOWS: list[Row] = [
    (112, 120, 105, 110),
    (110, 115, 90, 112),
    (112, 130, 100, 125),
    (125, 160, 120, 150),
    (150, 152, 110, 120),
    (120, 170, 115, 165),
]


@pytest.mark.parametrize(("origin", "low", "bar"), [("leg", 110, 4), ("pre_break", 90, 1)])
def test_the_range_starts_at_the_leg_or_at_the_swing_before(origin: str, low: float, bar: int) -> None:
    """The lowest low since the broken high, confirmed or not; or, as the source, the swing low before it."""
    config = vary(**WINDOWS, range_origin=origin)
    seen = told(TWO_LOWS, OptimalTradeEntryDetector.KINDS, ("low", "high", "origin_seq"), config)
    assert seen == [(5, "RANGE_FORMED", low, 170, bar)]


def test_without_a_swing_before_the_broken_high_the_sources_range_has_no_origin() -> None:
    """The first chart has no confirmed low before its high."""
    assert (
        told(RANGE, OptimalTradeEntryDetector.KINDS, FIELDS, vary(**WINDOWS, range_origin="pre_break")) == []
    )


def test_premium_discount_and_ote_are_positions_of_the_close() -> None:
    """Closes at 190, 150, 130 of 100..200: premium, equilibrium, discount with a retracement of 70 %."""
    rows = snapshots([*RANGE, (190, 195, 140, 150), (150, 151, 130, 130)])[5:]
    assert rows["internal_range_position"].tolist() == [0.9, 0.5, 0.3]
    assert rows["internal_range_zone"].tolist() == [1, 0, -1]
    assert rows["internal_range_retracement"].tolist() == [0.1, 0.5, 0.7]
    assert rows["internal_in_ote"].tolist() == [0, 0, 1]
    assert rows["internal_range_stage"].tolist() == [
        RangeStage.FORMED,
        RangeStage.RETRACING,
        RangeStage.OTE_ENTERED,
    ]
    assert rows["internal_range_age"].tolist() == [0, 1, 2]


# Half 150 plus and minus 2.5: the equilibrium band is 147.5 to 152.5.
@pytest.mark.parametrize(("close", "zone"), [(147, -1), (148, 0), (152, 0), (153, 1)])
def test_the_middle_twentieth_is_neither_premium_nor_discount(close: float, zone: int) -> None:
    """Positions 0.475 to 0.525 of the range."""
    rows = snapshots([*RANGE, (190, 195, 145, close)])
    assert rows["internal_range_zone"][6] == zone


@pytest.mark.parametrize(("close", "is_in"), [(139, 0), (138, 1), (122, 1)])
def test_ote_is_between_its_two_lines(close: float, is_in: int) -> None:
    """61.8 % is 138.2 and 79 % is 121."""
    rows = snapshots([*RANGE, (190, 195, 122, close)])
    assert rows["internal_in_ote"][6] == is_in


def test_each_structure_has_its_own_range() -> None:
    """With two bars on either side the external structure knows the same high, and tells its range first."""
    config = vary(
        internal_left=1, internal_right=1, external_left=1, external_right=2, internal_suppressed=False
    )
    assert told(RANGE, OptimalTradeEntryDetector.KINDS, ("low", "high", "scope"), config) == [
        (5, "RANGE_FORMED", 100, 200, Scope.EXTERNAL),
        (5, "RANGE_FORMED", 100, 200, Scope.INTERNAL),
    ]


def test_a_suppressed_internal_break_forms_no_internal_range() -> None:
    """The external range of the same break stands for both."""
    config = vary(internal_left=1, internal_right=1, external_left=1, external_right=2)
    seen = told(RANGE, OptimalTradeEntryDetector.KINDS, ("scope",), config)
    assert seen == [(5, "RANGE_FORMED", Scope.EXTERNAL)]
    assert PENCIL.internal_suppressed
