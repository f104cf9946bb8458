"""Order blocks: made by an impulse, touched, mitigated at half, broken by a close, then a breaker.

ATR is the mean of three true ranges, the impulse included; its body must exceed 1.5 of them.
"""

from typing import Any

import pytest

from indicators.order_block import OrderBlockDetector
from tests.charts import PENCIL, Row, snapshots, told
from tests.structure_checks import vary

FIELDS = ("direction", "low", "high", "origin_seq")

# True ranges 2, 2, 3: bar 2 is red, its range is 9..12, the middle 10.5.
QUIET: list[Row] = [(10, 11, 9, 10), (10, 11, 9, 10), (11, 12, 9, 10)]
# Body 9, true range 11: ATR = 16 / 3, one and a half of it is 8.
IMPULSE: Row = (11, 21, 11, 20)
BLOCK = [*QUIET, IMPULSE]
MADE = (3, "OB", 1, 9, 12, 2)
LIFE = [
    *BLOCK,
    (20, 21, 13, 14),  # 4: stays above 12
    (14, 15, 12, 13),  # 5: touches 12
    (13, 14, 10, 12),  # 6: passes 10.5
    (12, 13, 8, 9),  # 7: a wick below 9, closes on it
    (9, 10, 7, 8),  # 8: closes below
    (8, 9, 7, 8),  # 9: comes back up to 9
    (8, 11, 8, 10),  # 10: passes 10.5
    (10, 14, 10, 13),  # 11: closes above 12
]

# Name: bars, changed parameters, then (known at, kind, direction, low, high, bar of the block).
CHARTS: dict[str, tuple[list[Row], dict[str, Any], list[tuple[object, ...]]]] = {
    "the last red bar before an impulse": (BLOCK, {}, [MADE]),
    "the whole life of a block and its breaker": (
        LIFE,
        {},
        [
            MADE,
            (5, "OB_TOUCHED", 1, 9, 12, 2),
            (6, "OB_MITIGATED", 1, 9, 12, 2),
            (8, "OB_INVALIDATED", 1, 9, 12, 2),
            (8, "BREAKER", -1, 9, 12, 2),
            (9, "BREAKER_TOUCHED", -1, 9, 12, 2),
            (10, "BREAKER_MITIGATED", -1, 9, 12, 2),
            (11, "BREAKER_INVALIDATED", -1, 9, 12, 2),
        ],
    ),
    "the impulse bar itself touches nothing": ([*QUIET, (10, 20, 9, 20)], {}, [MADE]),
    "a bearish block is the last green bar": (
        [(20, 21, 19, 20), (20, 21, 19, 20), (19, 21, 18, 20), (19, 19, 9, 10), (10, 18, 10, 17)],
        {},
        [(3, "OB", -1, 18, 21, 2), (4, "OB_TOUCHED", -1, 18, 21, 2)],
    ),
    "a body of exactly 1.5 ATR is no impulse": ([*QUIET, (10, 15, 10, 15)], {}, []),
    "a body of 6 is above 1.5 x 11 / 3": ([*QUIET, (10, 16, 10, 16)], {}, [MADE]),
    "while ATR is not known there is no impulse": ([QUIET[2], IMPULSE], {}, []),
    "no red bar, no block": ([QUIET[0], QUIET[1], (9, 12, 9, 10), IMPULSE], {}, []),
    "a zero-range bar is not red": (
        [(10, 11, 9, 10), (11, 12, 9, 10), (10, 10, 10, 10), (10, 20, 10, 20)],
        {},
        [(3, "OB", 1, 9, 12, 1)],
    ),
    "a look-back of 4 reaches three bars": (
        [(10, 11, 9, 10), (11, 12, 9, 10), (10, 11, 9, 10), (10, 11, 9, 10), (10, 20, 10, 20)],
        {"order_block_lookback": 4},
        [(4, "OB", 1, 9, 12, 1)],
    ),
    "a look-back of 3 reaches two": (
        [(10, 11, 9, 10), (11, 12, 9, 10), (10, 11, 9, 10), (10, 11, 9, 10), (10, 20, 10, 20)],
        {"order_block_lookback": 3},
        [],
    ),
    "a second impulse from the same bar reinforces": (
        # True ranges 3, 6, 10: one and a half ATR is 9.5.
        [*QUIET, (10, 16, 10, 16), (16, 26, 16, 26)],
        {},
        [MADE, (4, "OB_REINFORCED", 1, 9, 12, 2)],
    ),
    "the body only, if set": (BLOCK, {"order_block_zone": "body"}, [(3, "OB", 1, 10, 11, 2)]),
    "a wick ends it, if set": (
        LIFE[:8],
        {"order_block_end": "wick"},
        [
            MADE,
            (5, "OB_TOUCHED", 1, 9, 12, 2),
            (6, "OB_MITIGATED", 1, 9, 12, 2),
            (7, "OB_INVALIDATED", 1, 9, 12, 2),
            (7, "BREAKER", -1, 9, 12, 2),
        ],
    ),
    "one bar may do it all": (
        # Body 12, but ATR is (3 + 11 + 13) / 3 = 9: no new impulse.
        [*BLOCK, (20, 21, 8, 8)],
        {},
        [
            MADE,
            (4, "OB_TOUCHED", 1, 9, 12, 2),
            (4, "OB_MITIGATED", 1, 9, 12, 2),
            (4, "OB_INVALIDATED", 1, 9, 12, 2),
            (4, "BREAKER", -1, 9, 12, 2),
        ],
    ),
    "it expires when older than its age, before price can touch it": (
        LIFE[:7],
        {"order_block_max_age": 2},
        [MADE, (5, "OB_TOUCHED", 1, 9, 12, 2), (6, "OB_EXPIRED", 1, 9, 12, 2)],
    ),
    "a full stack drops the oldest for the new one": (
        # Bar 4 is red, 5 an impulse: body 19, true ranges 11, 3, 19, one and a half ATR is 16.5.
        [*BLOCK, (20, 21, 18, 19), (19, 38, 19, 38)],
        {"zone_cap": 1},
        [MADE, (5, "OB_DROPPED", 1, 9, 12, 2), (5, "OB", 1, 18, 21, 4)],
    ),
}


@pytest.mark.parametrize("name", CHARTS)
def test_chart(name: str) -> None:
    """Blocks, their lives and their breakers are told at the bars that the chart says."""
    chart, changes, expected = CHARTS[name]
    config = vary(internal_left=1, internal_right=1, external_left=100, external_right=100, **changes)
    assert told(chart, OrderBlockDetector.KINDS, FIELDS, config) == expected


def test_the_columns_of_a_block() -> None:
    """Body 9 over an ATR of 16 / 3, one bar back, bar 3 stays above 10.5 (clean), 12 of 20 bought."""
    fields = ("level", "displacement", "depth", "flag", "volume", "buy_share")
    ((*_, level, displacement, depth, flag, volume, share),) = told(BLOCK, OrderBlockDetector.KINDS, fields)
    assert (level, depth, flag, volume, share) == (10.5, 1.0, 1, 20.0, 0.6)
    assert displacement == pytest.approx(27 / 16)


def test_a_departure_that_comes_back_to_the_middle_is_not_clean() -> None:
    """The impulse bar itself dips to 10, below 10.5."""
    ((_, _, flag),) = told([*QUIET, (10, 20, 10, 19)], OrderBlockDetector.KINDS, ("flag",))
    assert flag == 0


def test_life_events_count_bars_since_the_block_was_known() -> None:
    """Touched after 2 bars, mitigated after 3, broken after 5; the breaker counts from its own birth."""
    seen = told(LIFE, OrderBlockDetector.KINDS, ("depth",))
    assert [depth for _, kind, depth in seen if kind not in ("OB", "BREAKER")] == [2, 3, 5, 1, 2, 3]


def test_touch_looks_before_the_bar_and_near_after_it() -> None:
    """A resting order meets the block on bars 5 and 6; on bar 6 it is mitigated, so nothing is near then."""
    rows = snapshots(LIFE[:8])
    assert rows["touch_bull_ob"].tolist() == [0, 0, 0, 0, 0, 1, 1, 0]
    assert rows["near_bull_ob"].tolist() == [0] * 8
    assert rows["bull_ob_count"].tolist() == [0, 0, 0, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(("ratio", "is_near"), [(0.13, 1), (0.12, 0)])
def test_near_is_a_share_of_the_close_around_the_middle(ratio: float, is_near: int) -> None:
    """A close of 12 in 9..12 is 1.5 from the middle, 12.5 % of the price."""
    chart = [*LIFE[:5], (14, 15, 11, 12)]
    config = vary(internal_left=1, internal_right=1, order_block_near_ratio=ratio)
    assert snapshots(chart, config)["near_bull_ob"].tolist() == [0, 0, 0, 0, 0, is_near]


@pytest.mark.parametrize(("origin", "bar"), [("nearest", 3), ("extreme", 2)])
def test_a_break_of_structure_makes_the_block_if_set(origin: str, bar: int) -> None:
    """High 15 on bar 1; bar 4 closes above it: the last red bar is 3, the lowest low since is of bar 2."""
    chart: list[Row] = [
        (10, 11, 9, 10),
        (12, 15, 11, 13),
        (13, 13, 8, 12),
        (13, 14, 10, 11),
        (11, 17, 11, 16),
    ]
    config = vary(
        internal_left=1,
        internal_right=1,
        external_left=100,
        external_right=100,
        order_block_trigger="break",
        order_block_origin=origin,
    )
    assert told(chart, OrderBlockDetector.KINDS, ("direction", "origin_seq"), config) == [(4, "OB", 1, bar)]


def test_defaults_search_nine_bars_as_the_source_does() -> None:
    """A look-back of 10 scans t-1 to t-9."""
    assert PENCIL.order_block_lookback == 10
    still: list[Row] = [(10, 11, 9, 10)] * 8
    red: Row = (11, 12, 9, 10)
    impulse: Row = (10, 20, 10, 20)
    near = told([still[0], red, *still, impulse], OrderBlockDetector.KINDS, ("origin_seq",))
    far = told([still[0], red, *still, still[0], impulse], OrderBlockDetector.KINDS, ("origin_seq",))
    assert (near, far) == ([(10, "OB", 1)], [])
