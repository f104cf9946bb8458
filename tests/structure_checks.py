"""What the structure tests share: parameter sets, running the engine, and telling tables apart."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from indicators.engine import StructureConfig, StructureEngine
from indicators.events import EVENT_DTYPE, EventKind
from indicators.snapshot import SNAPSHOT_DTYPE
from tests.bars import Columns
from tests.naive_structure import Event

type Table = NDArray[np.void]

# Running means add in another order here and there; everything else must agree to the last bit.
ROUNDED_COLUMNS = {"ema_fast", "ema_slow", "rsi"}

# Short look-backs, so that charts of a hundred bars reach every kind of event.
SHORT = StructureConfig(
    tick_size=1.0,
    atr_length=3,
    atr_slow_length=8,
    ema_fast_length=3,
    ema_slow_length=5,
    rsi_length=4,
    internal_left=2,
    internal_right=2,
    external_left=4,
    external_right=4,
    fvg_min_ratio=0.0,
    sweep_lookback=5,
    equal_atr=0.5,
    range_expiry=12,
)


def vary(**changes: Any) -> StructureConfig:
    """Return the short parameters with some of them changed."""
    return replace(SHORT, **changes)


@st.composite
def configs(draw: st.DrawFn) -> StructureConfig:
    """Draw parameter sets over all options; small numbers reach caps, expiries and ties."""

    def one(*values: Any) -> Any:
        return draw(st.sampled_from(values))

    return vary(
        atr_kind=one("sma", "rma"),
        atr_lag=one(0, 1),
        atr_length=one(1, 3, 5),
        internal_left=one(0, 1, 2, 3),
        internal_right=one(1, 2, 3),
        external_left=one(2, 4, 6),
        external_right=one(2, 4, 6),
        swing_left_strict=one(True, False),
        swing_right_strict=one(True, False),
        swing_both=one("high_first", "high_only"),
        structure_break=one("close", "wick"),
        choch_level=one("last", "protected"),
        internal_suppressed=one(True, False),
        displacement_atr=one(0.5, 1.5),
        fvg_min_atr=one(0.0, 0.3),
        fvg_middle=one("any", "colour", "close_beyond"),
        fvg_max_age=one(0, 9),
        fvg_valid_until=one("touch", "ce", "full"),
        order_block_trigger=one("impulse", "break"),
        order_block_origin=one("nearest", "extreme"),
        order_block_impulse_atr=one(0.5, 1.5),
        order_block_lookback=one(2, 4, 10),
        order_block_zone=one("full", "body"),
        order_block_end=one("close", "wick"),
        order_block_max_age=one(0, 9),
        order_block_near_ratio=one(0.0001, 0.02),
        zone_cap=one(1, 3, 512),
        equal_atr=one(0.1, 1.0),
        equal_both_sides=one(True, False),
        range_origin=one("leg", "pre_break"),
        range_side=one("both", "long", "short"),
        range_fail=one("hard", "soft"),
        range_opposed=one(True, False),
        range_expiry=one(1, 4, 200),
        range_break_ratio=one(0.0, 0.0002, 0.05),
    )


def scan(config: StructureConfig, chart: Columns) -> tuple[Table, Table]:
    """Run a new engine over a whole chart: (events, snapshots)."""
    return StructureEngine(config).scan(*chart)


def update(engine: StructureEngine, chart: Columns) -> tuple[Table, Table]:
    """Run an engine bar by bar, as the live path does: (events, snapshots)."""
    events, snapshots = [np.empty(0, EVENT_DTYPE)], np.zeros(chart.count, SNAPSHOT_DTYPE)
    for seq, bar in enumerate(chart.bars()):
        events.append(engine.update(*bar))
        snapshots[seq] = engine.snapshot
    return np.concatenate(events), snapshots


def as_events(table: Table) -> list[Event]:
    """Return engine rows as the reference writes them."""
    return [Event(*row) for row in table.tolist()]


def same(a: float, b: float) -> bool:
    """Tell whether two values are equal, NaN counting as equal to NaN."""
    return a == b or (math.isnan(a) and math.isnan(b))


def describe(event: Event | None) -> str:
    """Write an event for a failure message."""
    if event is None:
        return "no event"
    values = {name: value for name, value in event._asdict().items() if not name.endswith("_ts_ns")}
    return f"{EventKind(event.kind).name} {values}"


def first_event_difference(engine: list[Event], reference: list[Event]) -> str | None:
    """Return a readable report of the first pair that differs, None if there is none."""
    for index in range(max(len(engine), len(reference))):
        mine = engine[index] if index < len(engine) else None
        its = reference[index] if index < len(reference) else None
        if mine is None or its is None or not all(map(same, mine, its)):
            return f"event {index}\nengine    {describe(mine)}\nreference {describe(its)}"
    return None


def first_snapshot_difference(table: Table, rows: list[dict[str, float]]) -> str | None:
    """Compare snapshot rows column by column with the reference's dictionaries."""
    assert table.dtype.names is not None
    if len(table) != len(rows):
        return f"{len(table)} rows, reference has {len(rows)}"
    for seq, row in enumerate(rows):
        missing = set(table.dtype.names) ^ set(row)
        if missing:
            return f"columns {sorted(missing)} are on one side only"
        for name in table.dtype.names:
            mine, its = table[name][seq].item(), row[name]
            if same(mine, its):
                continue
            if name in ROUNDED_COLUMNS and math.isclose(mine, its, rel_tol=1e-9, abs_tol=1e-9):
                continue
            return f"bar {seq} column {name}: engine {mine}, reference {its}"
    return None


def assert_same_bytes(left: Table, right: Table, what: str) -> None:
    """Assert that two tables are equal byte for byte: columns, NaN, and the padding between columns."""
    assert left.dtype == right.dtype
    assert len(left) == len(right), f"{what}: {len(left)} rows against {len(right)}"
    assert left.dtype.names is not None
    for name in left.dtype.names:
        if left[name].tobytes() == right[name].tobytes():
            continue
        pairs = zip(left[name], right[name], strict=True)
        row = next(i for i, (a, b) in enumerate(pairs) if a.tobytes() != b.tobytes())
        raise AssertionError(f"{what}: {name} of row {row} is {left[name][row]} against {right[name][row]}")
    assert left.tobytes() == right.tobytes(), f"{what}: equal values, but padding differs"


def assert_prefix_invariant(
    run: Callable[[Columns], tuple[Table, Table]], chart: Columns, cuts: Iterable[int]
) -> None:
    """Assert that what is known up to a cut is the same with and without the bars after it.

    Parameters
    ----------
    run
        Maps bars to (events, snapshots); events have ``known_seq``, snapshots one row per bar.
    chart
        All bars.
    cuts
        Numbers of bars to keep.
    """
    events, snapshots = run(chart)
    for cut in cuts:
        early_events, early_snapshots = run(chart.part(0, cut))
        assert_same_bytes(early_events, events[events["known_seq"] < cut], f"events of the first {cut} bars")
        assert_same_bytes(early_snapshots, snapshots[:cut], f"snapshots of the first {cut} bars")


def first_ambiguous_bar(events: Table, count: int) -> int:
    """Return when a bar becomes known that is swing high and low at once: "high first" is no mirror image."""
    swings = events[events["kind"] == EventKind.SWING]
    seen: set[tuple[int, int]] = set()
    for swing in swings:
        place = (swing["scope"].item(), swing["origin_seq"].item())
        if place in seen:
            return int(swing["known_seq"])
        seen.add(place)
    return count
