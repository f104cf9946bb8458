"""Bars one by one, in chunks or at once, with or without a restart: one truth, none of it from the future."""

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indicators.engine import StructureConfig, StructureEngine
from indicators.snapshot import SNAPSHOT_DTYPE
from tests.bars import (
    Bar,
    Columns,
    load_buckets,
    load_eurusd,
    load_klines,
    pencil_charts,
    random_ticks,
    tick_charts,
)
from tests.structure_checks import (
    SHORT,
    Table,
    assert_prefix_invariant,
    assert_same_bytes,
    configs,
    scan,
    update,
)


def in_chunks(engine: StructureEngine, chart: Columns, cuts: list[int]) -> tuple[Table, Table]:
    """Scan a chart piece by piece with one engine."""
    edges = [0, *sorted(cuts), chart.count]
    parts = [engine.scan(*chart.part(start, stop)) for start, stop in pairwise(edges)]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def restarted(config: StructureConfig, chart: Columns, cuts: list[int]) -> tuple[Table, Table]:
    """Scan a chart, saving the state at every cut and going on with a new engine."""
    data = StructureEngine(config).to_bytes()
    events, snapshots = [], []
    for start, stop in pairwise([0, *sorted(cuts), chart.count]):
        engine = StructureEngine.from_bytes(data, config)
        part = engine.scan(*chart.part(start, stop))
        events.append(part[0])
        snapshots.append(part[1])
        data = engine.to_bytes()
    return np.concatenate(events), np.concatenate(snapshots)


def random_cuts(count: int, how_many: int, seed: int = 7) -> list[int]:
    """Return sorted random places to cut."""
    return sorted(random.Random(seed).sample(range(1, count), how_many))


@given(chart=tick_charts(min_bars=40, max_bars=300), config=configs(), data=st.data())
@settings(max_examples=60)
def test_future_bars_change_no_event_and_no_snapshot_column(
    chart: Columns, config: StructureConfig, data: st.DataObject
) -> None:
    """Cut anywhere: what was known before the cut is the same as without the bars after it (P1)."""
    cuts = data.draw(st.lists(st.integers(1, chart.count - 1), min_size=1, max_size=6, unique=True))
    assert_prefix_invariant(lambda bars: scan(config, bars), chart, cuts)


@given(chart=pencil_charts(max_bars=30))
@settings(max_examples=40)
def test_every_prefix_of_a_small_chart_is_final(chart: Columns) -> None:
    """On small charts every single cut is tried, bar by bar through the live path (P1)."""
    assert_prefix_invariant(lambda bars: update(StructureEngine(SHORT), bars), chart, range(1, chart.count))


@pytest.mark.parametrize("preset", [StructureConfig, StructureConfig.peer, StructureConfig.lux])
def test_future_bars_change_nothing_on_eurusd(shared_data: Path, preset: type[StructureConfig]) -> None:
    """Forty cuts of the real 15-minute file, in every preset (P1)."""
    chart = load_eurusd(shared_data, 12_000)
    config = preset(tick_size=1e-5)
    assert_prefix_invariant(lambda bars: scan(config, bars), chart, random_cuts(chart.count, 40))


def test_future_bars_change_nothing_on_klines(shared_data: Path) -> None:
    """Forty cuts of a real 5-minute file (P1)."""
    chart = load_klines(shared_data, "ETHUSDT", 0, 20_000)
    config = StructureConfig(tick_size=0.01)
    assert_prefix_invariant(lambda bars: scan(config, bars), chart, random_cuts(chart.count, 40))


def test_future_bars_change_nothing_on_volume_buckets(shared_data: Path) -> None:
    """Forty cuts of a real day of equal-dollar buckets (P1)."""
    chart = load_buckets(shared_data)
    config = StructureConfig(tick_size=0.0001)
    assert_prefix_invariant(lambda bars: scan(config, bars), chart, random_cuts(chart.count, 40))


@given(chart=tick_charts(max_bars=200), config=configs(), data=st.data())
@settings(max_examples=60)
def test_any_chunking_equals_the_whole_array_and_the_live_path(
    chart: Columns, config: StructureConfig, data: st.DataObject
) -> None:
    """Events, snapshots and the final state agree byte for byte, empty chunks included (P2)."""
    cuts = data.draw(st.lists(st.integers(0, chart.count), max_size=6))
    whole, chunked, live = (StructureEngine(config) for _ in range(3))
    events, snapshots = whole.scan(*chart)
    for engine, (others, rows) in (
        (chunked, in_chunks(chunked, chart, cuts)),
        (live, update(live, chart)),
    ):
        assert_same_bytes(others, events, "events")
        assert_same_bytes(rows, snapshots, "snapshots")
        assert engine.to_bytes() == whole.to_bytes()


@given(chart=tick_charts(max_bars=200), config=configs(), data=st.data())
@settings(max_examples=40)
def test_a_restart_in_mid_stream_changes_nothing(
    chart: Columns, config: StructureConfig, data: st.DataObject
) -> None:
    """State saved to bytes and restored goes on with the same events, ids and bytes (P11)."""
    cuts = data.draw(st.lists(st.integers(0, chart.count), min_size=1, max_size=4))
    events, snapshots = scan(config, chart)
    others, rows = restarted(config, chart, cuts)
    assert_same_bytes(others, events, "events")
    assert_same_bytes(rows, snapshots, "snapshots")


def test_real_bars_agree_between_scan_update_and_restart(shared_data: Path) -> None:
    """The same on real bars, with the documented look-backs (P2, P11)."""
    chart = load_eurusd(shared_data, 3000)
    config = StructureConfig(tick_size=1e-5)
    events, snapshots = scan(config, chart)
    for others, rows in (
        update(StructureEngine(config), chart),
        in_chunks(StructureEngine(config), chart, random_cuts(3000, 50)),
        restarted(config, chart, random_cuts(3000, 20)),
    ):
        assert_same_bytes(others, events, "events")
        assert_same_bytes(rows, snapshots, "snapshots")


def test_event_ids_and_references_are_sound(shared_data: Path) -> None:
    """Ids count up from zero, time never steps back, a reference names an older event of the stream."""
    chart = load_klines(shared_data, "SOLUSDT", 0, 10_000)
    events, snapshots = scan(StructureConfig(tick_size=0.001), chart)
    assert (events["event_id"] == np.arange(len(events))).all()
    assert (np.diff(events["known_seq"]) >= 0).all()
    assert (events["ref_id"] < events["event_id"]).all()
    assert (events["origin_seq"] <= events["known_seq"]).all()
    assert (events["known_ts_ns"] == chart.ts_close_ns[events["known_seq"]]).all()
    assert (events["origin_ts_ns"] == chart.ts_close_ns[events["origin_seq"]]).all()
    assert (events["low"] <= events["high"]).all()
    assert (np.bincount(events["known_seq"], minlength=chart.count) == snapshots["event_count"]).all()


GOOD = random_ticks(3, 60)
NEXT = GOOD.bars()[-1]
LATER_NS = NEXT.ts_close_ns + 1
NAN, INF = float("nan"), float("inf")
BAD_BARS = {
    "NaN open": NEXT._replace(open=NAN),
    "NaN high": NEXT._replace(high=NAN),
    "NaN low": NEXT._replace(low=NAN),
    "NaN close": NEXT._replace(close=NAN),
    "NaN volume": NEXT._replace(volume=NAN),
    "infinite high": NEXT._replace(high=INF),
    "infinite low": NEXT._replace(low=-INF),
    "infinite volume": NEXT._replace(volume=INF),
    "high below open": NEXT._replace(high=NEXT.open - 1),
    "high below close": NEXT._replace(high=NEXT.close - 1),
    "low above open": NEXT._replace(low=NEXT.open + 1),
    "low above close": NEXT._replace(low=NEXT.close + 1),
    "negative volume": NEXT._replace(volume=-1.0),
    "negative buy volume": NEXT._replace(buy_volume=-1.0),
    "infinite buy volume": NEXT._replace(buy_volume=INF),
    "close time steps back": NEXT._replace(ts_close_ns=NEXT.ts_close_ns - 1),
    "closes before it opens": NEXT._replace(ts_open_ns=LATER_NS + 1, ts_close_ns=LATER_NS),
}


@pytest.mark.parametrize("name", BAD_BARS)
def test_a_bad_bar_is_refused_and_leaves_the_state_alone(name: str) -> None:
    """Neither the live path nor an array with one bad row changes a byte of the state (P9)."""
    engine = StructureEngine(SHORT)
    engine.scan(*GOOD)
    before = engine.to_bytes()
    with pytest.raises(ValueError, match="bar"):
        engine.update(*BAD_BARS[name])
    assert engine.to_bytes() == before

    good = NEXT._replace(ts_open_ns=NEXT.ts_close_ns)
    rows = [good, BAD_BARS[name], good]
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    with pytest.raises(ValueError, match="row 1"):
        engine.scan(*columns)
    assert engine.to_bytes() == before
    engine.update(*good)  # and it goes on


def test_columns_of_different_length_are_refused() -> None:
    """A column that is one bar short is an error, not a shorter chart."""
    engine = StructureEngine(SHORT)
    before = engine.to_bytes()
    with pytest.raises(ValueError, match="length"):
        engine.scan(*GOOD._replace(high=GOOD.high[:-1]))
    assert engine.to_bytes() == before


def test_bars_that_close_at_the_same_time_are_all_taken() -> None:
    """One big trade closes several buckets at one instant: the number of the bar is its key (P9)."""
    at_once = GOOD._replace(
        ts_open_ns=np.full(GOOD.count, GOOD.ts_open_ns[0]),
        ts_close_ns=np.full(GOOD.count, GOOD.ts_close_ns[0]),
    )
    events, snapshots = scan(SHORT, at_once)
    spread, _ = scan(SHORT, GOOD)
    is_structure = spread["kind"] != 50  # previous day and week do depend on the clock
    assert (snapshots["seq"] == np.arange(GOOD.count)).all()
    assert (events["kind"] == spread["kind"][is_structure]).all()
    assert (events["known_seq"] == spread["known_seq"][is_structure]).all()


@given(price=st.integers(1, 10**6), count=st.integers(1, 40))
@settings(max_examples=20)
def test_zero_range_bars_are_legal_and_quiet(price: int, count: int) -> None:
    """A flat market has no swing, gap, block or break, and the smallest ATR is one tick (P9)."""
    flat = Bar(0, 0, price, price, price, price, 1.0, NAN)
    engine = StructureEngine(SHORT)
    for _ in range(count):
        assert len(engine.update(*flat)) == 0
    row = engine.snapshot
    assert row["atr"] == 1.0 if count >= SHORT.atr_length else np.isnan(row["atr"])  # floor: one tick
    assert row["rsi"] == 50.0 if count > SHORT.rsi_length else np.isnan(row["rsi"])


def test_a_damaged_or_foreign_state_is_refused() -> None:
    """Bytes that are cut, changed in length, or saved under other parameters are no state."""
    engine = StructureEngine(SHORT)
    engine.scan(*GOOD)
    data = engine.to_bytes()
    for wrong in (b"", data[:-1], data + b"\0", b"?" + data[1:]):
        with pytest.raises(ValueError):
            StructureEngine.from_bytes(wrong, SHORT)
    with pytest.raises(ValueError):
        StructureEngine.from_bytes(data, StructureConfig(tick_size=1.0))


def test_what_update_and_snapshot_return_is_not_overwritten_by_the_next_bar() -> None:
    """Rows that were handed out stay as they were: a journal may keep them."""
    engine = StructureEngine(SHORT)
    kept, copies = [], []
    for bar in GOOD.bars():
        rows = (engine.update(*bar), engine.snapshot)
        kept.append(rows)
        copies.append(tuple(row.tobytes() for row in rows))
    assert [tuple(row.tobytes() for row in rows) for rows in kept] == copies
    assert kept[-1][1].dtype == SNAPSHOT_DTYPE
