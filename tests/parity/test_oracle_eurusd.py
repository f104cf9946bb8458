"""Preset ``peer`` against the result files of the package `smartmoneyconcepts` on its own EURUSD bars.

The package stamps its rows on the bar they speak of and edits them with hindsight. Each test derives from
our append-only events what such a table shows in the end, and compares the two row by row.
"""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from indicators.engine import StructureConfig
from indicators.events import EventKind, Scope
from tests.bars import Columns, load_eurusd
from tests.structure_checks import Table, scan

FIRST_FULL_WINDOW = 9  # the package's rolling window of ten bars has no value before
DAY_NS = 86_400_000_000_000


class Oracle(NamedTuple):
    """The bars, what the engine says about them, and the folder of result files."""

    chart: Columns
    events: Table
    snapshots: Table
    folder: Path

    def kind(self, kind: EventKind) -> Table:
        """Return the internal (or scope-free) events of one kind."""
        is_wanted = (self.events["kind"] == kind) & (self.events["scope"] != Scope.EXTERNAL)
        return self.events[is_wanted]

    def rows(self, name: str, column: str) -> dict[int, dict[str, float]]:
        """Return the rows of a result file that have a value in ``column``, by bar number."""
        with (self.folder / f"{name}_result_data.csv").open(newline="") as file:
            table = list(csv.DictReader(file))
        return {
            seq: {key: float(value) for key, value in row.items() if value}
            for seq, row in enumerate(table)
            if row[column]
        }


@pytest.fixture(scope="module")
def oracle(shared_data: Path) -> Oracle:
    """Run preset ``peer`` once over all 24,424 bars."""
    chart = load_eurusd(shared_data)
    events, snapshots = scan(StructureConfig.peer(tick_size=1e-5), chart)
    return Oracle(chart, events, snapshots, shared_data / "oracle_eurusd_15m")


def single(value: float) -> float:
    """Round as the package does for its output."""
    return float(np.float32(value))


def final_zigzag(oracle: Oracle) -> list[tuple[int, int, float]]:
    """Return (bar, side, level) of the swings that were never replaced, in order."""
    swings = {event["event_id"]: event for event in oracle.kind(EventKind.SWING)}
    alternating: list[tuple[int, int, float]] = []
    for event in swings.values():
        swing = (int(event["origin_seq"]), int(event["direction"]), float(event["level"]))
        if not alternating or alternating[-1][1] != swing[1]:
            alternating.append(swing)
        elif swing[1] * swing[2] > swing[1] * alternating[-1][2]:
            alternating[-1] = swing
    return alternating


def test_swings_are_the_packages_swings(oracle: Oracle) -> None:
    """All 2706 swings that are none of its edge artefacts, at the same bars and levels."""
    rows = oracle.rows("swing_highs_lows", "HighLow")
    theirs = {(seq, int(row["HighLow"]), row["Level"]) for seq, row in rows.items()}
    invented = {(seq, side, level) for seq, side, level in theirs if seq in {0, oracle.chart.count - 1}}
    ours = set(final_zigzag(oracle))
    warm_up = {swing for swing in ours if swing[0] < FIRST_FULL_WINDOW}
    assert len(theirs) == 2708
    assert theirs - ours == invented
    assert len(invented) == 2
    assert ours - theirs == warm_up
    assert len(warm_up) == 1


def test_replaced_and_locked_events_tell_the_same_zigzag(oracle: Oracle) -> None:
    """The zigzag can be read from the life events alone: locked swings, and the last one as replaced."""
    locked = oracle.kind(EventKind.SWING_LOCKED)
    ours = [(int(e["origin_seq"]), int(e["direction"]), float(e["level"])) for e in locked]
    assert ours == final_zigzag(oracle)[:-1]


def test_gaps_and_their_mitigation_are_the_packages(oracle: Oracle) -> None:
    """All 5020 gaps with both bounds and the bar of the first touch."""
    rows = oracle.rows("fvg", "FVG")
    theirs = {
        (seq, int(row["FVG"]), row["Bottom"], row["Top"], int(row["MitigatedIndex"]))
        for seq, row in rows.items()
    }
    touched = {int(e["ref_id"]): int(e["known_seq"]) for e in oracle.kind(EventKind.FVG_TOUCHED)}
    ours = {
        (
            int(e["origin_seq"]),
            int(e["direction"]),
            float(e["low"]),
            float(e["high"]),
            touched.get(int(e["event_id"]), 0),
        )
        for e in oracle.kind(EventKind.FVG)
        if e["flag"] == 0
    }
    assert len(theirs) == 5020
    assert ours == theirs


def without_overtaken(
    breaks: list[tuple[str, int, int, float, int]],
) -> set[tuple[str, int, int, float, int]]:
    """Drop what the package deletes later: rows that broke no earlier than a row of a newer swing."""
    kept: list[tuple[str, int, int, float, int]] = []
    for row in sorted(breaks, key=lambda row: row[1]):
        kept = [other for other in kept if other[4] < row[4]] + [row]
    return set(kept)


def breaks_of_package(oracle: Oracle) -> set[tuple[str, int, int, float, int]]:
    """Return (name, swing's bar, direction, level, breaking bar) of the result file."""
    rows = oracle.rows("bos_choch", "Level")
    found = set()
    for seq, row in rows.items():
        name = "BOS" if "BOS" in row else "CHOCH"
        found.add((name, seq, int(row[name]), single(row["Level"]), int(row["BrokenIndex"])))
    return found


def breaks_of_engine(oracle: Oracle) -> list[tuple[str, int, int, float, int]]:
    """Return the same of our events; ``depth`` is how many bars after the break the pattern was seen."""
    events = oracle.events[np.isin(oracle.events["kind"], [EventKind.BOS, EventKind.CHOCH])]
    return [
        (
            EventKind(e["kind"]).name,
            int(e["origin_seq"]),
            int(e["direction"]),
            single(e["level"]),
            int(e["known_seq"] - e["depth"]),
        )
        for e in events
        if e["scope"] == Scope.INTERNAL
    ]


def test_breaks_are_the_packages_breaks(oracle: Oracle) -> None:
    """All 1129 BOS and CHoCH with swing, direction, level and breaking bar, levels in single precision."""
    theirs = breaks_of_package(oracle)
    assert len(theirs) == 1129
    assert without_overtaken(breaks_of_engine(oracle)) == theirs


def test_breaks_differ_in_double_precision(oracle: Oracle) -> None:
    """With exact levels 1108 rows agree: the package's single precision decides the others."""
    config = StructureConfig.peer(tick_size=1e-5)
    values = {name: getattr(config, name) for name in config.__dataclass_fields__}
    events, snapshots = scan(StructureConfig(**{**values, "float32_levels": False}), oracle.chart)
    exact = oracle._replace(events=events, snapshots=snapshots)
    assert len(without_overtaken(breaks_of_engine(exact)) & breaks_of_package(oracle)) == 1108


def blocks_of_package(oracle: Oracle) -> dict[int, tuple[int, float, float, int]]:
    """Return (direction, bottom, top, mitigation bar) of its surviving blocks by origin."""
    rows = oracle.rows("ob", "OB")
    return {
        seq: (int(row["OB"]), single(row["Bottom"]), single(row["Top"]), int(row["MitigatedIndex"]))
        for seq, row in rows.items()
    }


def surviving_blocks(oracle: Oracle) -> dict[int, tuple[int, float, float, int]]:
    """Return the same of our events: blocks whose breaker was not broken in its turn."""
    broken = {int(e["ref_id"]): int(e["known_seq"]) for e in oracle.kind(EventKind.OB_INVALIDATED)}
    parent = {int(e["event_id"]): int(e["ref_id"]) for e in oracle.kind(EventKind.BREAKER)}
    erased = {parent[int(e["ref_id"])] for e in oracle.kind(EventKind.BREAKER_INVALIDATED)}
    alive = {}
    for event in oracle.kind(EventKind.OB):
        event_id, side = int(event["event_id"]), int(event["direction"])
        if event_id in erased:
            continue
        # The package writes the bar before the mitigation for bullish blocks, and 0 for none.
        mitigated = broken[event_id] - (side == 1) if event_id in broken else 0
        bounds = (single(event["low"]), single(event["high"]))
        alive[int(event["origin_seq"])] = (side, *bounds, mitigated)
    return alive


def blocks_behind(
    zigzag: list[tuple[int, int, float]], chart: Columns
) -> dict[int, tuple[int, float, float, int]]:
    """Return the survivors that the package's rule gives for a finished zigzag, bar by bar."""
    survivors: dict[int, tuple[int, float, float, int]] = {}
    for side in (1, -1):
        high, low = (chart.high, chart.low) if side == 1 else (-chart.low, -chart.high)
        close = side * chart.close
        swings = [seq for seq, swing_side, _ in zigzag if swing_side == side]
        live: dict[int, int] = {}  # origin: mitigation bar, 0 for none
        crossed, last = set(), -1
        for t in range(chart.count):
            for origin in list(live):
                if live[origin] and high[t] > high[origin]:
                    del live[origin]
                elif not live[origin] and low[t] < low[origin]:
                    live[origin] = t - 1 if side == 1 else t
            while last + 1 < len(swings) and swings[last + 1] < t:
                last += 1
            if last < 0 or last in crossed or not close[t] > high[swings[last]]:
                continue
            crossed.add(last)
            between = range(swings[last] + 1, t)
            origin = max(between, key=lambda seq: (-low[seq], seq)) if between else t - 1
            live[origin] = 0
        for origin, mitigated in live.items():
            bounds = (single(chart.low[origin]), single(chart.high[origin]))
            survivors[origin] = (side, *bounds, mitigated)
    return survivors


def test_order_blocks_behind_our_finished_zigzag_are_the_packages(oracle: Oracle) -> None:
    """The package's rule on the zigzag that our events tell gives its 66 survivors, mitigation included."""
    theirs = blocks_of_package(oracle)
    assert len(theirs) == 66
    assert blocks_behind(final_zigzag(oracle), oracle.chart) == theirs


def test_causal_order_blocks_differ_only_where_the_package_knew_the_future(oracle: Oracle) -> None:
    """Of our own survivors those agree in full that did not hang on a swing that was replaced later.

    The package breaks levels of its finished zigzag; live, a break meets the swing that is the last
    one at that time. Where that swing was replaced afterwards, no causal engine can agree.
    """
    theirs, ours = blocks_of_package(oracle), surviving_blocks(oracle)
    common = set(theirs) & set(ours)
    assert all(theirs[origin] == ours[origin] for origin in common)
    assert len(common) >= 63
    assert len(ours) - len(common) <= 8


def test_previous_days_are_the_packages_from_their_second_bar_on(oracle: Oracle) -> None:
    """Previous day's high and low; the package attaches them one bar late, on the day's second bar."""
    rows = previous_rows(oracle)
    days = oracle.chart.ts_open_ns // DAY_NS
    is_first = np.concatenate([[True], np.diff(days) > 0])
    compared = 0
    for seq, (high, low) in rows.items():
        if is_first[seq]:
            continue
        snapshot = oracle.snapshots[seq]
        assert (single(snapshot["previous_day_high"]), single(snapshot["previous_day_low"])) == (high, low)
        compared += 1
    assert compared > 24_000


def previous_rows(oracle: Oracle) -> dict[int, tuple[float, float]]:
    """Return the package's previous day's (high, low) by bar."""
    with (oracle.folder / "previous_high_low_result_data_1D.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    return {
        seq: (single(float(row["PreviousHigh"])), single(float(row["PreviousLow"])))
        for seq, row in enumerate(table)
        if row["PreviousHigh"]
    }
