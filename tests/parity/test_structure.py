"""The engine finds exactly what the plain-Python reference finds: every event, field and snapshot column."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indicators.engine import StructureConfig
from indicators.events import EventKind
from tests.bars import (
    Columns,
    from_prices,
    load_buckets,
    load_eurusd,
    load_klines,
    pencil_charts,
    random_ticks,
    tick_charts,
)
from tests.naive_structure import run
from tests.structure_checks import (
    SHORT,
    as_events,
    configs,
    first_event_difference,
    first_snapshot_difference,
    scan,
)

PRESETS = {
    "default": StructureConfig,
    "peer": StructureConfig.peer,
    "lux": StructureConfig.lux,
}
# The full stack of liquidity levels has a test of its own: it takes 512 unbroken swings.
KINDS_OF_SHORT_CHARTS = set(EventKind) - {EventKind.LIQUIDITY_DROPPED}


def assert_equal_to_reference(config: StructureConfig, chart: Columns) -> list[int]:
    """Compare engine and reference; return the event kinds that occurred."""
    events, snapshots = scan(config, chart)
    expected, rows = run(config, chart.bars())
    difference = first_event_difference(as_events(events), expected)
    assert difference is None, difference
    difference = first_snapshot_difference(snapshots, rows)
    assert difference is None, difference
    return [event.kind for event in expected]


@given(chart=pencil_charts())
@settings(max_examples=60)
def test_charts_of_twelve_ticks_give_the_events_of_the_reference(chart: Columns) -> None:
    """On charts full of ties, plateaus and zero-range bars both see the same."""
    assert_equal_to_reference(SHORT, chart)


@given(chart=tick_charts(max_bars=160), config=configs())
@settings(max_examples=60)
def test_every_option_gives_the_events_of_the_reference(chart: Columns, config: StructureConfig) -> None:
    """All parameters vary together: small caps, expiries, wick breaks, protected levels, one-sided ranges."""
    assert_equal_to_reference(config, chart)


@given(chart=tick_charts(max_bars=160), config=configs(), is_single=st.booleans())
@settings(max_examples=25)
def test_four_swing_patterns_are_those_of_the_reference(
    chart: Columns, config: StructureConfig, is_single: bool
) -> None:
    """The peer's pattern rule gives the same breaks, in double and in single precision."""
    assert_equal_to_reference(replace(config, structure_rule="pattern", float32_levels=is_single), chart)


def test_the_made_up_charts_contain_every_kind_of_event() -> None:
    """Parity would be empty if some kind never occurred: a handful of charts holds them all, often."""
    kinds: Counter[int] = Counter()
    for seed in range(8):
        config = replace(SHORT, zone_cap=1 if seed % 2 else 512, range_expiry=4, fvg_max_age=20)
        config = replace(config, order_block_max_age=20, order_block_impulse_atr=0.8)
        kinds.update(assert_equal_to_reference(config, random_ticks(seed, 300)))
    rare = {kind.name: kinds[kind] for kind in KINDS_OF_SHORT_CHARTS if kinds[kind] < 10}
    assert not rare, f"fewer than ten events of {rare}"


def test_the_oldest_of_513_liquidity_levels_is_dropped() -> None:
    """A long descending staircase leaves every swing high unbroken until the stack is full."""
    stairs = []
    for price in range(100_000, 100_000 - 520, -1):
        stairs += [(price - 3, price, price - 4, price - 3), (price - 6, price - 5, price - 8, price - 7)]
    config = replace(SHORT, internal_left=1, internal_right=1, zone_cap=4)
    kinds = Counter(assert_equal_to_reference(config, from_prices(stairs)))
    assert kinds[EventKind.LIQUIDITY_DROPPED] >= 5


@pytest.mark.parametrize("preset", PRESETS)
def test_the_documented_lookbacks_agree_with_the_reference(preset: str) -> None:
    """With look-backs of 5, 20, 50 and 200 bars, made-up bars agree as well."""
    chart = random_ticks(5, 600)
    kinds = assert_equal_to_reference(PRESETS[preset](tick_size=1.0), chart)
    assert len(set(kinds)) > 20


@pytest.mark.parametrize("preset", PRESETS)
def test_eurusd_bars_agree_with_the_reference(shared_data: Path, preset: str) -> None:
    """On real 15-minute bars, whose prices are no binary fractions, all bits agree too."""
    kinds = assert_equal_to_reference(PRESETS[preset](tick_size=1e-5), load_eurusd(shared_data, 800))
    assert len(set(kinds)) > 20


def test_btcusdt_klines_agree_with_the_reference(shared_data: Path) -> None:
    """On real 5-minute klines of a trending week as well."""
    chart = load_klines(shared_data, "BTCUSDT", 20_000, 800)
    assert len(set(assert_equal_to_reference(StructureConfig(tick_size=0.01), chart))) > 20


def test_volume_buckets_agree_with_the_reference(shared_data: Path) -> None:
    """On equal-dollar buckets of real trades, where many share a timestamp and many have no range."""
    chart = load_buckets(shared_data).part(0, 900)
    is_flat = chart.high == chart.low
    assert is_flat.sum() > 50
    assert (np.diff(chart.ts_close_ns) == 0).sum() > 50
    config = StructureConfig(tick_size=0.0001, fvg_min_ratio=0.0)
    assert len(set(assert_equal_to_reference(config, chart))) > 20


@pytest.mark.slow
@pytest.mark.parametrize("symbol", ["ADAUSDT", "DOGEUSDT", "LUNAUSDT", "ETHUSDT"])
def test_long_stretches_of_klines_agree_with_the_reference(shared_data: Path, symbol: str) -> None:
    """Several instruments, ten thousand bars each."""
    chart = load_klines(shared_data, symbol, 5_000, 10_000)
    assert_equal_to_reference(StructureConfig(tick_size=1e-5), chart)


@pytest.mark.slow
@given(chart=tick_charts(max_bars=900), config=configs())
@settings(max_examples=600)
def test_every_option_on_long_charts(chart: Columns, config: StructureConfig) -> None:
    """The same as above with ten times the examples and longer charts."""
    assert_equal_to_reference(config, chart)
