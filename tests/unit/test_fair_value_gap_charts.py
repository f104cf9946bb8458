"""Fair value gaps: the range that three bars leave untraded, and what price does with it later."""

from typing import Any

import pytest

from indicators.fair_value_gap import FairValueGapDetector
from tests.charts import Row, ranges, snapshots, told
from tests.structure_checks import vary

FIELDS = ("direction", "low", "high", "flag")

# High of bar 0 is 10, low of bar 2 is 14: the gap 10..14 is known on bar 2, its middle is 12.
GAP: list[Row] = [(9, 10, 9, 10), (10, 16, 10, 15), (15, 18, 14, 17)]
MADE = (2, "FVG", 1, 10, 14, 0)
LIFE = [
    *GAP,
    (17, 18, 15, 16),  # 3: stays above 14
    (16, 17, 14, 15),  # 4: touches 14
    (15, 15, 12, 13),  # 5: reaches the middle
    (13, 14, 10, 11),  # 6: fills it
    (11, 12, 9, 9),  # 7: closes below 10: from here on a gap for the other side
    (9, 10, 8, 9),  # 8: comes back up to 10
    (9, 12, 9, 11),  # 9: the middle
    (11, 14, 10, 12),  # 10: 14
    (12, 16, 12, 15),  # 11: closes above
]

# Name: bars, changed parameters, then (known at, kind, direction, low, high, 0 gap or 1 inverse gap).
CHARTS: dict[str, tuple[list[Row], dict[str, Any], list[tuple[object, ...]]]] = {
    "low clears the high of two bars ago": (
        ranges((10, 9), (13, 10), (14, 11.5)),
        {},
        [(2, "FVG", 1, 10, 11.5, 0)],
    ),
    "touching wicks are no gap": (ranges((10, 9), (13, 10), (14, 10)), {}, []),
    "high stays under the low of two bars ago": (
        ranges((20, 19), (19, 12), (15, 12)),
        {},
        [(2, "FVG", -1, 15, 19, 0)],
    ),
    "the whole life of a gap and of its inverse": (
        LIFE,
        {},
        [
            MADE,
            (4, "FVG_TOUCHED", 1, 10, 14, 0),
            (5, "FVG_CE", 1, 10, 14, 0),
            (6, "FVG_FILLED", 1, 10, 14, 0),
            (7, "FVG_INVERTED", 1, 10, 14, 0),
            (7, "FVG", -1, 10, 14, 1),
            (8, "FVG_TOUCHED", -1, 10, 14, 1),
            (9, "FVG_CE", -1, 10, 14, 1),
            (10, "FVG_FILLED", -1, 10, 14, 1),
            (11, "FVG_INVERTED", -1, 10, 14, 1),
        ],
    ),
    "one bar may do it all": (
        [*GAP, (17, 18, 9, 9)],
        {},
        [
            MADE,
            (3, "FVG_TOUCHED", 1, 10, 14, 0),
            (3, "FVG_CE", 1, 10, 14, 0),
            (3, "FVG_FILLED", 1, 10, 14, 0),
            (3, "FVG_INVERTED", 1, 10, 14, 0),
            (3, "FVG", -1, 10, 14, 1),
        ],
    ),
    "a wick through it that closes inside fills but does not invert": (
        [*GAP, (17, 18, 9, 10)],
        {},
        [
            MADE,
            (3, "FVG_TOUCHED", 1, 10, 14, 0),
            (3, "FVG_CE", 1, 10, 14, 0),
            (3, "FVG_FILLED", 1, 10, 14, 0),
        ],
    ),
    "it expires when older than its age, price or no price": (
        LIFE[:6],
        {"fvg_max_age": 2},
        [MADE, (4, "FVG_TOUCHED", 1, 10, 14, 0), (5, "FVG_EXPIRED", 1, 10, 14, 0)],
    ),
    "a full stack drops the oldest for the new one": (
        [*GAP, (17, 23, 17, 22)],
        {"zone_cap": 1},
        [MADE, (3, "FVG_DROPPED", 1, 10, 14, 0), (3, "FVG", 1, 16, 17, 0)],
    ),
    "0.1 % of a close of 1000 is one tick": (
        [(990, 990, 989, 990), (990, 995, 990, 995), (995, 1000, 991, 1000)],
        {"fvg_min_ratio": 0.001},
        [(2, "FVG", 1, 990, 991, 0)],
    ),
    "0.1 % of a close of 1001 is more than one tick": (
        [(990, 990, 989, 990), (990, 995, 990, 995), (995, 1001, 991, 1001)],
        {"fvg_min_ratio": 0.001},
        [],
    ),
    # True ranges 1, 6, 4: ATR = 11 / 3.
    "4 ticks are above one ATR of 11 / 3": (GAP, {"fvg_min_atr": 1.0}, [MADE]),
    "4 ticks are below 1.1 ATR": (GAP, {"fvg_min_atr": 1.1}, []),
    "while ATR is not known, none is large enough": (GAP, {"fvg_min_atr": 0.1, "atr_length": 4}, []),
    "a green middle bar, if set": (GAP, {"fvg_middle": "colour"}, [MADE]),
    "a red middle bar is refused, if set": (
        [GAP[0], (16, 16, 10, 15), GAP[2]],
        {"fvg_middle": "colour"},
        [],
    ),
    "a red middle bar is no matter by default": ([GAP[0], (16, 16, 10, 15), GAP[2]], {}, [MADE]),
    "a middle bar that closes on the high of the first is refused, if set": (
        [GAP[0], (10, 16, 10, 10), GAP[2]],
        {"fvg_middle": "close_beyond"},
        [],
    ),
    "a middle bar that closes beyond the high of the first, if set": (
        GAP,
        {"fvg_middle": "close_beyond"},
        [MADE],
    ),
}


@pytest.mark.parametrize("name", CHARTS)
def test_chart(name: str) -> None:
    """Gaps and their lives are told at the bars that the chart says."""
    chart, changes, expected = CHARTS[name]
    assert told(chart, FairValueGapDetector.KINDS, FIELDS, vary(**changes)) == expected


def test_a_gap_is_known_one_bar_after_the_bar_that_it_belongs_to() -> None:
    """Origin is the middle bar; level is the middle of the gap; height 4 over an ATR of 11 / 3."""
    ((known, _, origin, level, height),) = told(
        GAP, FairValueGapDetector.KINDS, ("origin_seq", "level", "displacement")
    )
    assert (known, origin, level, height) == (2, 1, 12, pytest.approx(12 / 11))


def test_life_events_have_the_line_that_was_reached_and_the_age() -> None:
    """Top, middle, bottom for the gap; from below, bottom, middle, top for the inverse gap."""
    seen = told(LIFE, FairValueGapDetector.KINDS, ("level", "depth"))
    life = [(kind, level, age) for _, kind, level, age in seen if kind != "FVG"]
    assert [row[1:] for row in life] == [
        (14, 2),
        (12, 3),
        (10, 4),
        (10, 5),
        (10, 1),
        (12, 2),
        (14, 3),
        (14, 4),
    ]


# Bar 5 closes at 13 and is the first in the middle, bar 6 closes at 11 and fills the gap.
@pytest.mark.parametrize(
    ("valid_until", "bars"), [("touch", []), ("ce", [5]), ("full", [5, 6])], ids=["touch", "ce", "full"]
)
def test_in_gap_is_judged_by_the_state_before_the_bar(valid_until: str, bars: list[int]) -> None:
    """Touched on bar 4 (close 15, outside), half filled on 5, filled on 6: each counts from the next bar."""
    rows = snapshots(LIFE[:8], vary(fvg_valid_until=valid_until))
    assert [seq for seq, flag in enumerate(rows["in_bull_fvg"]) if flag] == bars


def test_the_snapshot_shows_the_nearest_active_gap() -> None:
    """Of 10..14 and 16..17 the upper one is nearer to price above them; both count."""
    rows = snapshots([*GAP, (17, 23, 17, 22)], vary())
    assert rows["bull_fvg_count"].tolist() == [0, 0, 1, 2]
    assert (rows["bull_fvg_low"][3], rows["bull_fvg_high"][3]) == (16, 17)
    assert rows["new_fvg"].tolist() == [0, 0, 1, 1]
