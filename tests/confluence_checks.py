"""What the confluence tests share: parameters, charts with gaps, and running the engine."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from indicators.confluence.config import ConfluenceConfig
from indicators.confluence.engine import ConfluenceEngine
from tests.bars import MINUTE_NS, Columns, random_ticks
from tests.structure_checks import SHORT, Table

# Five-minute bars, three to a middle and six to a higher one; a bias after eight of those.
SMALL = ConfluenceConfig(
    structure=SHORT,
    ltf_secs=300,
    mtf_secs=900,
    htf_secs=1800,
    htf_ema_fast_length=2,
    htf_ema_slow_length=4,
    htf_warm_up_bars=8,
)
STEP_NS = 5 * MINUTE_NS


def vary(**changes: Any) -> ConfluenceConfig:
    """Return the small parameters with some of them changed."""
    return replace(SMALL, **changes)


def scan(config: ConfluenceConfig, chart: Columns) -> Table:
    """Run a new engine over a whole chart."""
    return ConfluenceEngine(config).scan(*chart)


def kept(chart: Columns, rows: np.ndarray) -> Columns:
    """Return some bars of a chart, so that there are gaps in time."""
    return Columns(*(column[rows] for column in chart))


def with_gaps(chart: Columns, seed: int, share: float = 0.03, longest: int = 20) -> Columns:
    """Leave out single bars and runs of bars."""
    rng = random.Random(seed)
    is_kept = np.ones(chart.count, bool)
    for start in range(chart.count):
        if rng.random() < share:
            is_kept[start : start + rng.choice([1, 1, 1, 2, 3, longest])] = False
    is_kept[0] = True
    return kept(chart, is_kept)


@st.composite
def gappy_charts(draw: st.DrawFn, min_bars: int = 60, max_bars: int = 260) -> Columns:
    """Draw charts of five-minute bars from a seed, most of them with gaps."""
    seed = draw(st.integers(0, 2**32 - 1))
    chart = random_ticks(seed, draw(st.integers(min_bars, max_bars)), step_ns=STEP_NS)
    share = draw(st.sampled_from([0.0, 0.02, 0.1]))
    return with_gaps(chart, seed, share)


@st.composite
def configs(draw: st.DrawFn) -> ConfluenceConfig:
    """Draw parameter sets over the options of the scorer."""

    def one(*values: Any) -> Any:
        return draw(st.sampled_from(values))

    mtf_secs = one(300, 600, 900)
    return vary(
        mtf_secs=mtf_secs,
        htf_secs=mtf_secs * one(1, 2, 4),
        htf_warm_up_bars=one(1, 5),
        rsi_oversold=one(30.0, 45.0),
        rsi_overbought=one(55.0, 70.0),
        sweep_kind=one("swing", "extreme", "any"),
        sweep_max_age_bars=one(0, 2, 5),
        structure_role=one("ltf", "mtf"),
        structure_scope=one("internal", "external"),
        max_missing_bars=one(0, 1, 3),
        structure=replace(
            SHORT,
            fvg_valid_until=one("touch", "ce", "full"),
            choch_level=one("last", "protected"),
            order_block_impulse_atr=one(0.5, 1.5),
            internal_suppressed=one(True, False),
        ),
    )
