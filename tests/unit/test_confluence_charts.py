"""Each factor of the confluence score on charts that one can check with a pencil."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from indicators.confluence.config import ConfluenceConfig, ConfluenceWeights
from indicators.confluence.engine import ConfluenceEngine
from indicators.confluence.explain import explain, summary
from indicators.confluence.row import CONFLUENCE_DTYPE
from indicators.confluence.signals import signal_side, signal_sides
from indicators.events import EventKind
from indicators.structure_config import StructureConfig
from tests.bars import FIRST_OPEN_NS, Columns, from_prices, random_ticks
from tests.charts import PENCIL, Row
from tests.confluence_checks import SMALL, STEP_NS, kept
from tests.structure_checks import Table

# Five-minute bars; a higher bar is three of them, a bias is told after two; the middle is the lower itself.
DRAWN = ConfluenceConfig(
    structure=PENCIL,
    mtf_secs=300,
    htf_secs=900,
    htf_ema_fast_length=2,
    htf_ema_slow_length=3,
    htf_warm_up_bars=2,
)


def drawn(rows: Sequence[Row], **changes: object) -> Table:
    """Return the confluence rows of a chart of five-minute bars."""
    chart = from_prices(rows, step_ns=STEP_NS)
    return ConfluenceEngine(replace(DRAWN, **changes)).scan(*chart)


def flat(*closes: float) -> list[Row]:
    """Return bars that stand still at each close: nothing but their close matters."""
    return [(close, close, close, close) for close in closes]


def mirrored(rows: Sequence[Row], about: float = 200.0) -> list[Row]:
    """Turn a chart upside down."""
    return [(about - o, about - low, about - high, about - c) for o, high, low, c in rows]


# --- timeframes

# Three bars each: the higher bars close at 10, 20, 30.
RISE = flat(9, 9, 10, 12, 15, 20, 25, 28, 30)


def test_a_higher_bar_counts_from_its_close_on() -> None:
    """After 10 and 20: EMA 2 is 16.67, EMA 3 is 15, and 20 > 16.67 > 15. Not one bar earlier."""
    rows = drawn(RISE)
    assert rows["htf_close"][[1, 2, 4, 5, 7, 8]].tolist()[1:] == [10.0, 10.0, 20.0, 20.0, 30.0]
    assert np.isnan(rows["htf_close"][1])
    assert rows["htf_is_known"].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert rows["htf_ema_fast"][5] == pytest.approx(16 + 2 / 3)
    assert rows["htf_ema_slow"][5] == 15.0
    assert rows["long_htf"].tolist() == [0] * 5 + [2] * 4
    assert rows["htf_ts_close_ns"][6] == FIRST_OPEN_NS + 6 * STEP_NS
    assert rows["score_long"].tolist()[:6] == [0.0] * 5 + [25.0]
    assert rows["score_short"].tolist() == (10.0 * rows["short_rsi"]).tolist()


def test_a_falling_higher_timeframe_is_a_reason_for_shorts() -> None:
    """The mirror image: 25 points for the short, none for the long."""
    rows = drawn(mirrored(RISE))
    assert rows["short_htf"].tolist() == [0] * 5 + [2] * 4
    assert rows["long_htf"].tolist() == [0] * 9


def test_neither_order_is_neutral_and_counts_ten_for_both() -> None:
    """After 10, 20, 16: EMA 2 is 16.22, above the close, which is above EMA 3 (15.5): neutral."""
    rows = drawn(flat(9, 9, 10, 12, 15, 20, 18, 17, 16))
    assert rows["htf_bias"][-1] == 0
    assert (rows["long_htf"][-1], rows["short_htf"][-1]) == (1, 1)
    assert rows["score_short"][-1] == 10.0


def test_a_higher_bar_with_a_hole_is_left_out_and_the_bias_unknown_until_the_next_whole_one() -> None:
    """Bar 7 of 12 is missing: the third higher bar never closes, the fourth does."""
    chart = from_prices([*RISE, *flat(31, 32, 33)], step_ns=STEP_NS)
    whole = np.delete(np.arange(12), 7)
    rows = ConfluenceEngine(DRAWN).scan(*kept(chart, whole))
    assert rows["missing_bars"].tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    # Bars 5, 6 | 8 (the hole shows at the boundary, not before) | 9, 10 | 11.
    assert rows["htf_missing"].tolist() == [-1, -1, 0, 0, 0, 0, 0, 1, 1, 1, 0]
    assert rows["htf_is_known"].tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1]
    assert rows["htf_close"][[8, 10]].tolist() == [20.0, 33.0]
    assert rows["long_htf"][7] == 0
    tolerant = ConfluenceEngine(replace(DRAWN, max_missing_bars=1)).scan(*kept(chart, whole))
    assert tolerant["long_htf"][7] == 2


def test_a_stream_that_begins_inside_a_higher_bar_leaves_that_one_out() -> None:
    """Its first bars were not seen."""
    chart = from_prices(RISE, step_ns=STEP_NS).part(1, 9)
    rows = ConfluenceEngine(DRAWN).scan(*chart)
    assert rows["htf_missing"].tolist() == [-1, -1, -1, -1, 0, 0, 0, 0]


def test_weeks_begin_on_monday() -> None:
    """A week of daily bars from Monday on is complete on Sunday."""
    day_ns = 86_400 * 10**9
    chart = from_prices(flat(*range(100, 110)), step_ns=day_ns)
    config = replace(DRAWN, ltf_secs=86_400, mtf_secs=86_400, htf_secs=7 * 86_400)
    rows = ConfluenceEngine(config).scan(*chart)
    assert rows["htf_missing"].tolist() == [-1] * 6 + [0] * 4


# --- sweep

# The low 95 of bar 1 is a swing once bar 2 is higher. Bar 3 dips to 94, closes at 97 and up.
SWEPT: list[Row] = [
    (98, 99, 97, 98),
    (97, 98, 95, 97),
    (97, 99, 96, 98),
    (96, 98, 94, 97),
    *flat(98, 98, 98),
]


def test_a_swept_low_is_a_reason_for_longs_for_some_bars() -> None:
    """Taken on bar 3, and with sweep_max_age_bars = 2 remembered on bars 4 and 5."""
    rows = drawn(SWEPT, sweep_max_age_bars=2)
    assert rows["long_sweep"].tolist() == [0, 0, 0, 1, 1, 1, 0]
    assert rows["short_sweep"].tolist() == [0] * 7
    assert rows["long_sweep_level"][4] == 95.0
    assert rows["long_sweep_tip"][4] == 94.0
    assert rows["long_sweep_seq"].tolist() == [-1, -1, -1, 3, 3, 3, -1]
    assert rows["score_long"][3] == 20.0


def test_a_wick_below_a_level_that_closes_below_or_down_is_no_sweep() -> None:
    """It ran the level, or closed against the side."""
    for last in [(96.0, 98.0, 94.0, 94.5), (98.0, 98.0, 94.0, 96.0)]:
        rows = drawn([*SWEPT[:3], last])
        assert rows["long_sweep"][-1] == 0


def test_the_extreme_of_the_last_bars_counts_if_asked_for() -> None:
    """The low 95 of bar 0 is no swing (nothing before it), yet the lowest of the last bars."""
    chart = [(97, 98, 95, 97), *flat(97, 97, 97, 97, 97), (96, 98, 94, 97)]
    config = replace(PENCIL, sweep_lookback=6)
    assert drawn(chart, structure=config)["long_sweep"][-1] == 0
    rows = drawn(chart, structure=config, sweep_kind="extreme")
    assert (rows["long_sweep"][-1], rows["long_sweep_level"][-1]) == (1, 95.0)
    either = drawn(chart, structure=config, sweep_kind="any")
    assert (either["long_sweep"][-1], either["long_sweep_kind"][-1]) == (1, 1)


# --- order block

# Bar 2 falls, bar 3 rises by 11 with ATR 5.67: the block is 98..101, its middle 99.5.
BLOCK: list[Row] = [
    (100, 101, 99, 100),
    (100, 101, 99, 100),
    (100, 101, 98, 99),
    (99, 111, 99, 110),
    (110, 110, 100, 100.5),
    (100.5, 101, 99, 100),
]


def test_close_inside_a_block_is_judged_after_the_bar() -> None:
    """Bar 4 closes inside and stops above the middle; bar 5 closes inside too, but mitigates the block."""
    rows = drawn(BLOCK)
    assert rows["long_order_block"].tolist() == [0, 0, 0, 0, 1, 0]
    assert (rows["long_block_low"][4], rows["long_block_high"][4]) == (98.0, 101.0)
    assert (rows["long_block_seq"][4], rows["long_block_is_breaker"][4]) == (3, 0)


def test_the_middle_of_a_block_must_be_near() -> None:
    """100.5 is 1 away from 99.5: 0.995 % of it, too far for 0.9 %."""
    rows = drawn(BLOCK, structure=replace(PENCIL, order_block_near_ratio=0.009))
    assert rows["long_order_block"].tolist() == [0] * 6


# --- fair value gap

# Between the high 101 of bar 0 and the low 105 of bar 2 nobody traded; the middle is 103.
GAP: list[Row] = [
    (100, 101, 99, 100),
    (100, 106, 100, 106),
    (106, 108, 105, 107),
    (107, 107, 102, 102.5),
    (102.5, 103, 102, 102.5),
]


def test_close_inside_a_gap_is_judged_before_the_bar() -> None:
    """Bar 3 fills more than half, so the gap is no longer open after it; it was before."""
    rows = drawn(GAP)
    assert rows["long_fvg"].tolist() == [0, 0, 0, 1, 0]
    assert (rows["long_gap_low"][3], rows["long_gap_high"][3], rows["long_gap_seq"][3]) == (101.0, 105.0, 2)


def test_touching_ends_a_gap_if_asked_for() -> None:
    """Bar 3 reaches 104 and closes at 106; bar 4 closes inside: too late for `touch`, not for `ce`."""
    chart = [*GAP[:3], (107, 107, 104, 106), (106, 106, 104, 104)]
    assert drawn(chart)["long_fvg"][-1] == 1
    assert drawn(chart, structure=replace(PENCIL, fvg_valid_until="touch"))["long_fvg"][-1] == 0


# --- RSI and structure


def test_rsi_counts_from_the_close_of_the_middle_bar_on() -> None:
    """Middle bars of ten minutes close at 100, 99, 98, 97, 96: after four falls the RSI is 0."""
    closes = [100, 100, 99, 99, 98, 98, 97, 97, 97, 96, 96]
    rows = drawn(flat(*closes), mtf_secs=600, htf_secs=600)
    assert rows["mtf_is_known"].tolist() == [0] * 9 + [1, 1]
    assert rows["mtf_rsi"][9] == 0.0
    assert rows["long_rsi"].tolist() == [0] * 9 + [1, 1]
    assert rows["short_rsi"].tolist() == [0] * 11
    upside_down = drawn(mirrored(flat(*closes)), mtf_secs=600, htf_secs=600)
    assert upside_down["short_rsi"].tolist() == [0] * 9 + [1, 1]


# The high 103 of bar 1 is a swing once bar 2 is lower; bar 3 closes above it, bar 6 below the low 99.
TURNS: list[Row] = [
    (100, 101, 99.5, 100),
    (100, 103, 100, 102),
    (102, 102, 99, 101),
    (101, 105, 101, 104),
    *flat(104, 104),
    (104, 104, 98, 98.5),
]


def test_structure_is_the_trend_of_the_swings_not_of_the_averages() -> None:
    """A break of 103 makes it bullish, the break of 99 bearish, whatever the higher timeframe says."""
    rows = drawn(TURNS)
    assert rows["structure_trend"].tolist() == [0, 0, 0, 1, 1, 1, -1]
    assert rows["structure_kind"][[3, 6]].tolist() == [EventKind.BOS, EventKind.CHOCH]
    assert rows["structure_level"][[3, 6]].tolist() == [103.0, 99.0]
    assert rows["structure_seq"][[5, 6]].tolist() == [3, 6]
    assert rows["long_structure"].tolist() == [0, 0, 0, 1, 1, 1, 0]
    assert rows["short_structure"].tolist() == [0] * 6 + [1]
    assert not rows["htf_bias"][:5].any()


def test_structure_of_the_middle_timeframe_is_known_at_its_closes() -> None:
    """Two five-minute bars to a middle one, each the same: every turn comes on the second of them."""
    doubled = [
        row for bar in TURNS for row in ((bar[0], *bar[1:3], bar[3]), (bar[3], bar[3], bar[3], bar[3]))
    ]
    rows = drawn(doubled, mtf_secs=600, htf_secs=1200, structure_role="mtf")
    assert rows["structure_trend"].tolist() == [0] * 7 + [1] * 6 + [-1]
    assert rows["structure_seq"][-1] == 6


# --- score and signal


def test_weights_are_added_and_capped_at_a_hundred() -> None:
    """The same rows with other points."""
    chart = random_ticks(4, 1500, step_ns=STEP_NS)
    rows = ConfluenceEngine(SMALL).scan(*chart)
    points = {"sweep": 20, "order_block": 20, "fvg": 15, "rsi": 10, "structure": 10}
    for side in ("long", "short"):
        expected = np.array([0, 10, 25])[rows[f"{side}_htf"]]
        expected = expected + sum(rows[f"{side}_{name}"] * worth for name, worth in points.items())
        assert rows[f"score_{side}"].tolist() == expected.tolist()
    heavy = replace(SMALL, weights=ConfluenceWeights(htf_aligned=90.0, structure=20.0))
    capped = ConfluenceEngine(heavy).scan(*chart)
    assert capped["score_long"].max() == 100.0
    both = (rows["long_htf"] == 2) & (rows["long_structure"] == 1)
    assert both.any()
    assert (capped["score_long"][both] == 100.0).all()


def row_with(**values: float) -> np.void:
    """Return a ready row of a rising bar."""
    row = np.zeros(1, CONFLUENCE_DTYPE)[0]
    for name, value in ({"is_ready": 1, "colour": 1} | values).items():
        row[name] = value
    return row


@pytest.mark.parametrize(
    ("values", "side"),
    [
        ({"score_long": 90}, 1),
        ({"score_long": 89}, 0),
        ({"score_long": 90, "colour": 0}, 0),
        ({"score_long": 90, "colour": -1}, 0),
        ({"score_long": 90, "is_ready": 0}, 0),
        ({"score_long": 90, "score_short": 90}, 0),
        ({"score_long": 90, "score_short": 95}, 0),
        ({"score_short": 95, "score_long": 90, "colour": -1}, -1),
        ({"score_short": 90}, 0),
    ],
)
def test_signal_needs_score_lead_colour_and_readiness(values: dict[str, float], side: int) -> None:
    """One row, and the same in a table."""
    row = row_with(**values)
    assert signal_side(row) == side
    assert signal_sides(np.array([row, row])).tolist() == [side, side]


# --- what is refused

GOOD = (FIRST_OPEN_NS + STEP_NS, FIRST_OPEN_NS + 2 * STEP_NS, 100.0, 102.0, 99.0, 101.0, 3.0)
BAD = {
    "the bar before again": (FIRST_OPEN_NS, FIRST_OPEN_NS + STEP_NS, *GOOD[2:]),
    "off the grid": (GOOD[0] + 1, GOOD[1] + 1, *GOOD[2:]),
    "another interval": (GOOD[0], GOOD[1] + STEP_NS, *GOOD[2:]),
    "no number": (*GOOD[:2], float("nan"), *GOOD[3:]),
    "infinite": (*GOOD[:3], float("inf"), *GOOD[4:]),
    "low above close": (*GOOD[:4], 101.5, *GOOD[5:]),
    "negative volume": (*GOOD[:6], -1.0),
}


@pytest.mark.parametrize("name", BAD)
def test_impossible_or_repeated_bars_are_refused_and_change_nothing(name: str) -> None:
    """By `update` and by `scan`; afterwards the stream goes on as if they had not been offered."""
    bar = BAD[name]
    engine, twin = ConfluenceEngine(DRAWN), ConfluenceEngine(DRAWN)
    for one in (engine, twin):
        one.update(FIRST_OPEN_NS, FIRST_OPEN_NS + STEP_NS, 100.0, 101.0, 99.0, 100.0, 1.0)
    with pytest.raises(ValueError, match="is not the next closed bar of 300 s"):
        engine.update(*bar)
    columns = [np.array(pair) for pair in zip(GOOD, shifted(bar), strict=True)]
    with pytest.raises(ValueError, match="bar in row 1 is not the next"):
        engine.scan(*columns)
    assert engine.to_bytes() == twin.to_bytes()
    assert engine.update(*GOOD).tobytes() == twin.update(*GOOD).tobytes()


def shifted(bar: tuple[float, ...]) -> tuple[float, ...]:
    """Return the bar one interval later, so that it is as wrong after `GOOD` as it was instead of it."""
    return (bar[0] + STEP_NS, bar[1] + STEP_NS, *bar[2:])


def test_bars_without_range_and_an_empty_scan_are_legal() -> None:
    """Nothing moves: neutral colour, no factor, no error."""
    rows = drawn(flat(*[100.0] * 30))
    assert rows["colour"].tolist() == [0] * 30
    assert rows["mtf_rsi"][-1] == 50.0
    assert len(drawn([])) == 0
    engine = ConfluenceEngine(DRAWN)
    with pytest.raises(ValueError, match="before the first bar"):
        _ = engine.row


def test_scan_refuses_columns_and_rows_that_do_not_fit() -> None:
    """Different lengths; too little room; rows of another kind."""
    chart = from_prices(RISE, step_ns=STEP_NS)
    engine = ConfluenceEngine(DRAWN)
    with pytest.raises(ValueError, match="common length"):
        engine.scan(*chart[:5], chart.close[:3], *chart[6:])
    for out in (np.zeros(3, CONFLUENCE_DTYPE), np.zeros(20), np.zeros(40, CONFLUENCE_DTYPE)[::2]):
        with pytest.raises(ValueError, match="out must hold 9 rows"):
            engine.scan(*chart, out=out)
    assert engine.bars == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mtf_secs": 400}, "mtf_secs .400. must be a whole number"),
        ({"htf_secs": 600, "mtf_secs": 900}, "want 0 < ltf_secs"),
        ({"sweep_kind": "wick"}, "sweep_kind must be one of swing, extreme, any"),
        ({"structure_role": "htf"}, "structure_role must be one of ltf, mtf"),
        ({"rsi_oversold": 80.0}, "rsi_oversold <= rsi_overbought"),
        ({"htf_ema_fast_length": 50}, "htf_ema_fast_length < htf_ema_slow_length"),
        ({"htf_warm_up_bars": 0}, "htf_warm_up_bars must be >= 1"),
        ({"max_missing_bars": -1}, "max_missing_bars must be >= 0"),
    ],
)
def test_parameters_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    """With the value, and what would be right."""
    with pytest.raises(ValueError, match=message):
        ConfluenceConfig(structure=StructureConfig(tick_size=0.5), **changes)


@pytest.mark.parametrize("points", [-1.0, float("nan"), float("inf")])
def test_weights_out_of_range_are_refused(points: float) -> None:
    """Negative, or no number; and neutral above aligned."""
    with pytest.raises(ValueError, match="weight sweep must be finite"):
        ConfluenceWeights(sweep=points)
    with pytest.raises(ValueError, match="must not exceed htf_aligned"):
        ConfluenceWeights(htf_neutral=30.0)


def test_saved_state_of_other_parameters_is_refused() -> None:
    """The weights are parameters too."""
    data = ConfluenceEngine(DRAWN).to_bytes()
    with pytest.raises(ValueError, match="other parameters"):
        ConfluenceEngine.from_bytes(data, replace(DRAWN, weights=ConfluenceWeights(sweep=19.0)))


# --- words


def told(row: np.void, side: str | None = None, **changes: object) -> list[str]:
    """Return the sentences of a row."""
    return [str(text) for text in explain(row, replace(DRAWN, **changes), side)]  # type: ignore[arg-type]


def test_every_factor_that_holds_is_told_with_its_numbers() -> None:
    """One bar of each chart above."""
    assert told(drawn(RISE)[8])[0] == "15m bias is bullish: close 30 above EMA2 26 above EMA3 22 (25 of 25)"
    assert "the swing low at 95 was swept 1 bar ago: wick to 94, close back above it (20 of 20)" in told(
        drawn(SWEPT)[4]
    )
    assert "close 100 is inside the bullish order block 98 to 101, known 1 bar ago (20 of 20)" in told(
        drawn(BLOCK)[4]
    )
    assert "close 102 is inside the bullish fair value gap 101 to 105, known 1 bar ago (15 of 15)" in told(
        drawn(GAP)[3]
    )
    structure = "internal 5m structure is bearish since the change of character below 99 at 2024-01-01T00:35Z"
    assert f"{structure} (10 of 10)" in told(drawn(TURNS)[6], "short")
    assert f"{structure} (0 of 10)" in told(drawn(TURNS)[6], "long")


def test_what_does_not_hold_is_told_too() -> None:
    """Six factors whatever happened, those that score first."""
    row = drawn(RISE)[7]
    assert told(row, "short") == [
        "5m RSI 4 is 100.0, above 70 (overbought) (10 of 10)",
        "15m bias is bullish: close 20 above EMA2 17 above EMA3 15 (0 of 25)",
        "no swing high was swept on this bar or the 5 before it (0 of 20)",
        "close 28 is inside no active bearish order block (0 of 20)",
        "close 28 is inside no open bearish fair value gap (0 of 15)",
        "internal 5m structure has no known trend (0 of 10)",
    ]


def test_texts_carry_the_event_and_points_add_up() -> None:
    """On every row of a walk, both sides; the events are those of the row."""
    for row in ConfluenceEngine(SMALL).scan(*random_ticks(9, 700, step_ns=STEP_NS))[-400:]:
        for side in ("long", "short"):
            texts = explain(row, SMALL, side)  # type: ignore[arg-type]
            assert sum(text.points for text in texts) == row[f"score_{side}"]
            events = {text.factor: (text.event_id, text.event_seq) for text in texts}
            assert events["sweep"] == (row[f"{side}_sweep_id"], row[f"{side}_sweep_seq"])
            assert events["fvg"] == (row[f"{side}_gap_id"], row[f"{side}_gap_seq"])
            assert "nan" not in summary(row, SMALL, side)  # type: ignore[arg-type]


def test_unknown_higher_bars_are_named_in_words() -> None:
    """A hole is a reason of its own."""
    chart = from_prices([*RISE, *flat(31, 32, 33)], step_ns=STEP_NS)
    holed: Columns = kept(chart, np.delete(np.arange(12), 7))
    row = ConfluenceEngine(DRAWN).scan(*holed)[8]
    assert "15m bias is unknown: the last 1 15m bar is incomplete (0 of 25)" in told(row, "long")
    assert summary(drawn(RISE)[0], DRAWN) == "long 0 of 100: no factor holds"
