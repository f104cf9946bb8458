"""A chart in the mirror swaps long and short, and the unit of price changes no score."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indicators.confluence.config import ConfluenceConfig
from indicators.confluence.row import CONFLUENCE_DTYPE
from indicators.structure_config import StructureConfig
from tests.bars import Columns, columns, load_klines, mirrored, random_walk, scaled
from tests.confluence_checks import configs, gappy_charts, scan, with_gaps
from tests.naive_confluence import higher_bars
from tests.structure_checks import Table, first_ambiguous_bar
from tests.structure_checks import scan as scan_structure

NAMES = CONFLUENCE_DTYPE.names or ()
PRICES = {
    name for name in NAMES if name.endswith(("_close", "_fast", "_slow", "_level", "_tip", "_low", "_high"))
}
PRICES |= {"close"}
SIGNED = {"colour", "htf_bias", "ltf_trend", "mtf_trend", "structure_trend"}
# Numbers of events depend on which side of a bar is looked at first.
IDS = {name for name in NAMES if name.endswith("_id")}
OTHER = {"long": "short", "short": "long", "low": "high", "high": "low"}


def other_name(name: str) -> str:
    """Return the column that holds the value in the mirror."""
    return "_".join(OTHER.get(word, word) for word in name.split("_"))


def unambiguous_bars(config: ConfluenceConfig, chart: Columns) -> int:
    """Return the bars up to the first that is swing high and low at once, in either timeframe."""
    first = first_ambiguous_bar(scan_structure(config.structure, chart)[0], chart.count)
    middle = columns(higher_bars(chart.bars(), config.ltf_secs, config.mtf_secs).bars)
    events, _ = scan_structure(config.structure, middle)
    second = first_ambiguous_bar(events, middle.count)
    if second == middle.count:
        return first
    return min(first, int(np.searchsorted(chart.ts_close_ns, middle.ts_close_ns[second])))


def assert_mirror_image(config: ConfluenceConfig, chart: Columns) -> int:
    """Compare a chart with its mirror image; return the number of bars compared."""
    count = unambiguous_bars(config, chart)
    mine, its = scan(config, chart)[:count], scan(config, mirrored(chart))[:count]
    for name in set(NAMES) - IDS:
        value = its[other_name(name)].astype(float)
        if name in PRICES | SIGNED:
            value = -value
        if name == "mtf_rsi":
            value = 100.0 - value
        assert np.allclose(mine[name].astype(float), value, rtol=1e-12, atol=1e-9, equal_nan=True), name
    return count


@pytest.mark.parametrize("seed", range(4))
def test_a_walk_in_the_mirror_swaps_the_sides(seed: int) -> None:
    """Every column of the documented look-backs, bias told after twenty higher bars (P5)."""
    config = ConfluenceConfig(
        structure=StructureConfig(tick_size=0.5, fvg_min_ratio=0.0), htf_secs=3600, htf_warm_up_bars=20
    )
    chart = with_gaps(random_walk(seed, 2000), seed, share=0.002)
    assert assert_mirror_image(config, chart) > 300


def test_real_klines_in_the_mirror_swap_the_sides(shared_data: Path) -> None:
    """The same on real bars (P5)."""
    config = ConfluenceConfig(structure=StructureConfig(tick_size=0.01), htf_secs=3600, htf_warm_up_bars=20)
    compared = [
        assert_mirror_image(config, load_klines(shared_data, "BTCUSDT", start, 1500))
        for start in (0, 20_000, 40_000)
    ]
    assert sum(compared) > 1000


def assert_scale_free(config: ConfluenceConfig, chart: Columns, factor: float) -> Table:
    """Compare a chart with the same chart in another unit of price; return its rows."""
    mine = scan(config, chart)
    its = scan(config.with_tick_size(config.structure.tick_size * factor), scaled(chart, factor))
    for name in NAMES:
        unit = factor if name in PRICES | {"atr"} else 1
        assert np.array_equal(mine[name] * unit, its[name], equal_nan=mine.dtype[name].kind == "f"), name
    return mine


@given(chart=gappy_charts(), config=configs(), power=st.sampled_from([-20, -3, 1, 10]))
@settings(max_examples=25)
def test_the_unit_of_price_changes_nothing(chart: Columns, config: ConfluenceConfig, power: int) -> None:
    """Prices and tick times a power of two: the same scores, prices times that power, to the bit (P6)."""
    assert_scale_free(config, chart, 2.0**power)


def test_the_checks_notice_a_difference() -> None:
    """Other weights, another factor, a walk that is taken for its own mirror image: all are found."""
    config = ConfluenceConfig(
        structure=StructureConfig(tick_size=0.5, fvg_min_ratio=0.0), htf_secs=3600, htf_warm_up_bars=20
    )
    chart = random_walk(1, 900)
    with pytest.raises(AssertionError):
        assert_mirror_image(replace(config, rsi_oversold=45.0), chart)
    with pytest.raises(AssertionError):
        assert_scale_free(config, scaled(chart, 1 / 3), 3.0)
