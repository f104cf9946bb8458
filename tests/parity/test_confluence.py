"""The confluence engine writes exactly the rows that the plain-Python reference writes."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indicators.confluence.config import ConfluenceConfig
from indicators.confluence.engine import ConfluenceEngine
from indicators.confluence.row import CONFLUENCE_DTYPE, ROW_DTYPE
from tests.bars import Columns, load_klines, random_ticks
from tests.confluence_checks import SMALL, STEP_NS, configs, gappy_charts, scan, vary, with_gaps
from tests.naive_confluence import run
from tests.structure_checks import Table, assert_same_bytes, same

# Averages that the reference adds up in another order.
ROUNDED = {"mtf_rsi"}


def first_difference(rows: Table, expected: list[dict[str, float]]) -> str | None:
    """Return a readable report of the first value that differs."""
    for seq, row in enumerate(expected):
        for name, its in row.items():
            mine = rows[name][seq].item()
            is_close = name in ROUNDED and math.isclose(mine, its, rel_tol=1e-9)
            if not (same(mine, its) or is_close):
                return f"bar {seq} column {name}: engine {mine}, reference {its}"
    return None


@given(chart=gappy_charts(), config=configs())
@settings(max_examples=20)
def test_every_column_is_that_of_the_reference(chart: Columns, config: ConfluenceConfig) -> None:
    """Random charts with gaps, all options (prices are integer ticks, so the RSI has no edge cases)."""
    rows = scan(config, chart)
    difference = first_difference(rows, run(config, chart.bars()))
    assert difference is None, difference


def test_the_charts_reach_every_factor_on_both_sides() -> None:
    """What the comparison above compares is not nothing."""
    rows = np.concatenate([scan(SMALL, random_ticks(seed, 2000, step_ns=STEP_NS)) for seed in range(3)])
    for side in ("long", "short"):
        for factor in ("htf", "sweep", "order_block", "fvg", "rsi", "structure"):
            assert (rows[f"{side}_{factor}"] > 0).sum() > 20, (side, factor)
        assert rows[f"score_{side}"].max() >= 70
        assert {0, 1, 2} == set(rows[f"{side}_htf"].tolist())
        assert (rows[f"{side}_block_is_breaker"] == 1).any()
        assert (rows[f"{side}_gap_is_inverse"] == 1).any()


def test_real_klines_give_the_rows_of_the_reference(shared_data: Path) -> None:
    """The documented parameters on real bars, with a shorter warm-up, gaps cut into them."""
    config = ConfluenceConfig(structure=replace(SMALL.structure, tick_size=0.0001), htf_secs=3600)
    config = replace(config, htf_warm_up_bars=10, mtf_secs=900)
    chart = with_gaps(load_klines(shared_data, "ADAUSDT", 10_000, 600), 3, share=0.004)
    difference = first_difference(scan(config, chart), run(config, chart.bars()))
    assert difference is None, difference


@given(
    chart=gappy_charts(),
    config=configs(),
    sizes=st.lists(st.integers(0, 40), max_size=12),
    restarts=st.integers(0, 3),
)
@settings(max_examples=40)
def test_live_batch_and_any_mixture_are_the_same_bytes(
    chart: Columns, config: ConfluenceConfig, sizes: list[int], restarts: int
) -> None:
    """Bars one by one, in chunks, with restarts in between: one kernel, one truth."""
    whole = scan(config, chart)
    engine = ConfluenceEngine(config)
    parts: list[bytes] = []  # numpy leaves the padding of rows that it joins to chance
    start = 0
    for number, size in enumerate(sizes):
        part = chart.part(start, start + size)
        if number % 2:
            parts += [engine.update(*bar).tobytes() for bar in part.bars()]
        else:
            parts.append(engine.scan(*part).tobytes())
        start = min(start + size, chart.count)
        if number < restarts:
            engine = ConfluenceEngine.from_bytes(engine.to_bytes(), config)
    parts.append(engine.scan(*chart.part(start, chart.count)).tobytes())
    assert_same_bytes(np.frombuffer(b"".join(parts), CONFLUENCE_DTYPE), whole, "chunks")
    straight = ConfluenceEngine(config)
    straight.scan(*chart)
    assert engine.to_bytes() == straight.to_bytes()


@given(chart=gappy_charts(), config=configs(), data=st.data())
@settings(max_examples=30)
def test_no_later_bar_changes_a_row(chart: Columns, config: ConfluenceConfig, data: st.DataObject) -> None:
    """Rows of a chart that was cut are the first rows of the whole chart, every column (P1)."""
    cut = data.draw(st.integers(0, chart.count))
    assert_same_bytes(scan(config, chart.part(0, cut)), scan(config, chart)[:cut], f"first {cut} bars")


def test_the_prefix_test_notices_a_higher_bar_used_too_early() -> None:
    """A bias told from the open time of its bar on, as a join by open time does, changes with the cut."""
    chart = random_ticks(5, 600, step_ns=STEP_NS)

    def leaking(bars: Columns) -> list[float]:
        rows = scan(SMALL, bars)
        starts = bars.ts_open_ns // (SMALL.htf_secs * 1_000_000_000)
        last = {int(start): row["htf_bias"].item() for start, row in zip(starts, rows, strict=True)}
        return [last[int(start)] for start in starts]

    whole = leaking(chart)
    assert any(leaking(chart.part(0, cut)) != whole[:cut] for cut in range(200, 600, 7))


def test_both_layouts_of_a_row_are_the_same_bytes() -> None:
    """The kernel's nested sides lie where the flat columns are."""
    assert CONFLUENCE_DTYPE.itemsize == ROW_DTYPE.itemsize
    assert CONFLUENCE_DTYPE.fields is not None
    assert ROW_DTYPE.fields is not None
    sides, start = ROW_DTYPE.fields["sides"][:2]
    for place, prefix in enumerate(("long_", "short_")):
        for name, (_, offset, *_) in (sides.base.fields or {}).items():
            at = start + place * sides.base.itemsize + offset
            assert CONFLUENCE_DTYPE.fields[prefix + name][1] == at, prefix + name
    for name in set(CONFLUENCE_DTYPE.names or ()) & set(ROW_DTYPE.names or ()):
        assert CONFLUENCE_DTYPE.fields[name][:2] == ROW_DTYPE.fields[name][:2], name


@pytest.mark.parametrize("seed", range(3))
def test_equal_timeframes_share_one_structure(seed: int) -> None:
    """With the middle at the lower interval both trends are the same, and so is the RSI of the snapshot."""
    chart = random_ticks(seed, 400, step_ns=STEP_NS)
    config = vary(mtf_secs=300)
    rows = scan(config, chart)
    assert rows["ltf_trend"].tolist() == rows["mtf_trend"].tolist()
    engine = ConfluenceEngine(config)
    engine.scan(*chart)
    assert engine.snapshot["rsi"] == rows["mtf_rsi"][-1]
    assert engine.snapshot["seq"] == rows["seq"][-1]
