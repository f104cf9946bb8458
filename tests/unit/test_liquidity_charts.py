"""Sweeps, levels that are taken, equal highs and lows: one bar on either side confirms a swing."""

from itertools import pairwise
from typing import Any

import pytest

from indicators.events import EventKind
from indicators.liquidity import LiquidityDetector
from tests.charts import PENCIL, Row, ranges, snapshots, told
from tests.structure_checks import vary

WINDOWS = {"internal_left": 1, "internal_right": 1, "external_left": 100, "external_right": 100}

# The lowest low of three bars is 10, first seen on bar 0.
QUIET: list[Row] = [(12, 13, 10, 11), (11, 12, 10, 11), (11, 12, 11, 12)]
SWEPT = (3, "SWEEP_EXTREME", 1, 9, 10, 10, 0)

# Name: bars, then (known at, kind, direction, low, high, level, bar of the extreme).
EXTREMES: dict[str, tuple[list[Row], list[tuple[object, ...]]]] = {
    "below the lows of three bars, back above, and green": ([*QUIET, (11, 13, 9, 12)], [SWEPT]),
    "a red bar sweeps nothing": ([*QUIET, (12, 13, 9, 11)], []),
    "a bar that opens where it closes sweeps nothing": ([*QUIET, (11, 13, 9, 11)], []),
    "a close at the level sweeps nothing": ([*QUIET, (9, 12, 8, 10)], []),
    "a low at the level sweeps nothing": ([*QUIET, (11, 13, 10, 12)], []),
    "two bars are too few": ([*QUIET[:2], (11, 13, 9, 12)], []),
    "only three bars count": (
        # The 8 of bar 0 is forgotten on bar 4: 9 is below the 10 of bars 1 to 3.
        [(12, 13, 8, 11), *QUIET, (11, 13, 9, 12)],
        [(4, "SWEEP_EXTREME", 1, 9, 10, 10, 1)],
    ),
    "above the highs of three bars, back below, and red": (
        [(11, 13, 10, 12), (12, 13, 11, 12), (12, 12, 11, 11), (12, 14, 10, 11)],
        [(3, "SWEEP_EXTREME", -1, 13, 14, 13, 0)],
    ),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme(name: str) -> None:
    """A sweep of the last three bars' extreme is told with the level and the wick."""
    chart, expected = EXTREMES[name]
    fields = ("direction", "low", "high", "level", "origin_seq")
    config = vary(**WINDOWS, sweep_lookback=3)
    assert told(chart, {EventKind.SWEEP_EXTREME}, fields, config) == expected


# High 15 on bar 1, known on bar 2.
HIGH_15: list[Row] = [(10, 11, 9, 10), (10, 15, 10, 12), (12, 13, 11, 12)]
# Highs 20 on bar 1 and 17 on bar 3, both known on bar 4.
TWO_HIGHS: list[Row] = [
    (10, 11, 9, 10),
    (12, 20, 11, 13),
    (13, 14, 11, 12),
    (13, 17, 12, 14),
    (13, 14, 12, 13),
]
LOW_5: list[Row] = [(10, 11, 9, 10), (10, 10, 5, 8), (8, 9, 7, 8)]

# Name: bars, then (known at, kind, direction, level, bar of the swing, flag: 0 sweep, 1 run).
LEVELS: dict[str, tuple[list[Row], list[tuple[object, ...]]]] = {
    "a wick that closes back below is a sweep": (
        [*HIGH_15, (12, 16, 11, 13)],
        [(3, "LIQUIDITY_TAKEN", 1, 15, 1, 0)],
    ),
    "closed against the level it sweeps the swing": (
        [*HIGH_15, (14, 16, 11, 13)],
        [(3, "LIQUIDITY_TAKEN", 1, 15, 1, 0), (3, "SWEEP_SWING", -1, 15, 1, 0)],
    ),
    "a close beyond is a run": ([*HIGH_15, (12, 17, 11, 16)], [(3, "LIQUIDITY_TAKEN", 1, 15, 1, 1)]),
    "a close at the level is a run": ([*HIGH_15, (12, 17, 11, 15)], [(3, "LIQUIDITY_TAKEN", 1, 15, 1, 1)]),
    "a wick that ends at the level takes nothing": ([*HIGH_15, (12, 15, 11, 13)], []),
    "a level is taken once": (
        [*HIGH_15, (12, 17, 11, 13), (13, 18, 12, 14)],
        [(3, "LIQUIDITY_TAKEN", 1, 15, 1, 0)],
    ),
    "an unconfirmed high is no level": (
        # Bar 2 exceeds bar 1 before any bar has confirmed it.
        [(10, 11, 9, 10), (10, 15, 10, 12), (12, 16, 11, 13)],
        [],
    ),
    "one wick takes the nearer level first": (
        [*TWO_HIGHS, (14, 22, 13, 18)],
        [(5, "LIQUIDITY_TAKEN", 1, 17, 3, 1), (5, "LIQUIDITY_TAKEN", 1, 20, 1, 0)],
    ),
    "between two levels it runs the one and sweeps the other": (
        [*TWO_HIGHS, (19, 22, 13, 18)],
        [
            (5, "LIQUIDITY_TAKEN", 1, 17, 3, 1),
            (5, "LIQUIDITY_TAKEN", 1, 20, 1, 0),
            (5, "SWEEP_SWING", -1, 20, 1, 0),
        ],
    ),
    "a wick leaves the farther level alone": (
        [*TWO_HIGHS, (14, 18, 13, 16)],
        [(5, "LIQUIDITY_TAKEN", 1, 17, 3, 0)],
    ),
    "a low is swept by a bar that closes back above, and green": (
        [*LOW_5, (6, 8, 4, 7)],
        [(3, "LIQUIDITY_TAKEN", -1, 5, 1, 0), (3, "SWEEP_SWING", 1, 5, 1, 0)],
    ),
    "a low is run by a close below": ([*LOW_5, (6, 8, 3, 4)], [(3, "LIQUIDITY_TAKEN", -1, 5, 1, 1)]),
}


@pytest.mark.parametrize("name", LEVELS)
def test_level(name: str) -> None:
    """Levels are taken from the bar after they became known, nearest first, and by which kind of close."""
    chart, expected = LEVELS[name]
    kinds = {EventKind.LIQUIDITY_TAKEN, EventKind.SWEEP_SWING}
    fields = ("direction", "level", "origin_seq", "flag")
    assert told(chart, kinds, fields, vary(**WINDOWS)) == expected


def test_a_sweep_has_the_wick_as_its_zone_and_its_depth_in_atr() -> None:
    """The wick reaches 16, 1 above the level; the last three true ranges are 5, 2, 5, their mean is 4."""
    chart = [*HIGH_15, (14, 16, 11, 13)]
    ((*_, low, high, depth),) = told(chart, {EventKind.SWEEP_SWING}, ("low", "high", "depth"))
    assert (low, high, depth) == (15, 16, 0.25)


def steady(*highs: float) -> list[Row]:
    """Return bars 4 ticks high whose highs are at most 2 apart: every true range, and so every ATR, is 4."""
    assert all(abs(a - b) <= 2 for a, b in pairwise(highs))
    return ranges(*((high, high - 4) for high in highs))


# Half an ATR of 4: a new high up to 2 below the last one is equal to it.
# Name: highs, changes, then (known at, level, low, high, bar of the new swing, swings in the pool).
EQUALS: dict[str, tuple[list[float], dict[str, Any], list[tuple[object, ...]]]] = {
    "1 below": ([16, 18, 20, 18, 17, 19, 17], {}, [(6, 20, 19, 20, 5, 2)]),
    "2 below": ([16, 18, 20, 18, 16, 18, 16], {}, [(6, 20, 18, 20, 5, 2)]),
    "the same high": ([16, 18, 20, 18, 20, 18], {}, [(5, 20, 20, 20, 4, 2)]),
    "3 below is another level": ([16, 18, 20, 18, 16, 17, 16], {}, []),
    "2 below, tolerance 1": ([16, 18, 20, 18, 16, 18, 16], {"equal_atr": 0.25}, []),
    "a third one joins the pool": (
        [16, 18, 20, 18, 17, 19, 17, 19, 17],
        {},
        [(6, 20, 19, 20, 5, 2), (8, 20, 19, 19, 7, 3)],
    ),
    "1 above has taken the level": ([16, 18, 20, 18, 19, 21, 19], {}, []),
    "1 above, both sides": (
        [16, 18, 20, 18, 19, 21, 19],
        {"equal_both_sides": True},
        [(6, 21, 20, 21, 5, 2)],
    ),
}


@pytest.mark.parametrize("name", EQUALS)
def test_equal_highs(name: str) -> None:
    """A new swing high within the tolerance below the last unbroken one makes a pool."""
    highs, changes, expected = EQUALS[name]
    fields = ("level", "low", "high", "origin_seq", "flag")
    seen = told(steady(*highs), {EventKind.EQUAL_LEVELS}, ("direction", *fields), vary(**WINDOWS, **changes))
    highs_only = [(known, *rest) for known, _, direction, *rest in seen if direction == 1]
    assert highs_only == expected


def test_equal_lows_mirror_equal_highs() -> None:
    """Lows 20 and 21 in a market of 4-tick bars: the pool is at the lower of the two."""
    lows = [24, 22, 20, 22, 23, 21, 23]
    chart = ranges(*((low + 4, low) for low in lows))
    fields = ("direction", "level", "low", "high", "origin_seq", "flag")
    assert told(chart, {EventKind.EQUAL_LEVELS}, fields) == [(6, "EQUAL_LEVELS", -1, 20, 20, 21, 5, 2)]


def test_the_pool_is_gone_once_a_wick_exceeds_it() -> None:
    """A high of 20 leaves the pool at 20 alone, a high of 21 ends it."""
    rows = snapshots(steady(16, 18, 20, 18, 17, 19, 17, 18, 20, 21))
    pool = rows["equal_high"].tolist()
    assert pool[6:9] == [20, 20, 20]
    assert pool[9] != pool[9]


def test_the_snapshot_shows_the_nearest_level_and_what_was_taken() -> None:
    """Two highs above price; a wick to 18 takes 17 and leaves 20; a sweep is 1, a run would be 2."""
    rows = snapshots([*TWO_HIGHS, (14, 18, 13, 16)])
    assert rows["liquidity_high"].tolist()[2:] == [20, 20, 17, 20]
    assert rows["liquidity_high_count"].tolist() == [0, 0, 1, 1, 2, 1]
    assert rows["high_taken"].tolist() == [0, 0, 0, 0, 0, 1]


def test_bars_since_a_sweep_count_bars_not_minutes() -> None:
    """0 on the bar itself, -1 before the first."""
    rows = snapshots([*QUIET, (11, 13, 9, 12), (12, 13, 11, 12), (12, 13, 11, 12)], vary(sweep_lookback=3))
    assert rows["bars_since_bull_sweep_extreme"].tolist() == [-1, -1, -1, 0, 1, 2]


def test_both_kinds_of_sweep_are_kept_apart() -> None:
    """On bar 3 the last three bars' high and the swing high are the same 15, and both sweeps are told."""
    chart = [*HIGH_15, (14, 16, 11, 13)]
    seen = told(chart, LiquidityDetector.KINDS, ("direction", "level"), vary(**WINDOWS, sweep_lookback=3))
    assert seen == [
        (3, "SWEEP_EXTREME", -1, 15),
        (3, "LIQUIDITY_TAKEN", 1, 15),
        (3, "SWEEP_SWING", -1, 15),
    ]
    assert PENCIL.sweep_lookback == 5
