"""Preset ``peer`` against the package's result files: swings, gaps, breaks, liquidity, previous days.

Order blocks, where the package's hindsight shows, are in ``test_order_block.py``.
"""

import csv
from pathlib import Path

import numpy as np
import pytest

from indicators.engine import StructureConfig
from indicators.events import EventKind, Scope
from tests.oracle import Oracle, final_zigzag, load_oracle, single
from tests.structure_checks import scan

FIRST_FULL_WINDOW = 9  # the package's rolling window of ten bars has no value before
DAY_NS = 86_400_000_000_000


@pytest.fixture(scope="module")
def oracle(shared_data: Path) -> Oracle:
    """Give preset ``peer`` over all 24,424 bars."""
    return load_oracle(shared_data)


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


def test_joined_gaps_are_runs_of_our_gaps(oracle: Oracle) -> None:
    """The file with consecutive gaps joined into the last one: our gaps, joined when the run is over.

    The package drops the earlier gaps of a run from the bars where they were known; live they exist.
    """
    chart = oracle.chart
    joined: dict[int, tuple[int, float, float]] = {}
    for event in oracle.kind(EventKind.FVG):
        if event["flag"] != 0:
            continue
        seq, side = int(event["origin_seq"]), int(event["direction"])
        low, high = float(event["low"]), float(event["high"])
        before = joined.get(seq - 1)
        if before is not None and before[0] == side:
            low, high = min(low, before[1]), max(high, before[2])
            del joined[seq - 1]
        joined[seq] = (side, low, high)

    ours = {}
    for seq, (side, low, high) in joined.items():
        later = slice(seq + 2, None)
        is_touched = chart.low[later] <= high if side == 1 else chart.high[later] >= low
        mitigated = seq + 2 + int(np.argmax(is_touched)) if is_touched.any() else 0
        ours[seq] = (side, low, high, mitigated)
    rows = oracle.rows("fvg_consecutive", "FVG")
    theirs = {
        seq: (int(row["FVG"]), row["Bottom"], row["Top"], int(row["MitigatedIndex"]))
        for seq, row in rows.items()
    }
    assert len(theirs) == 3756
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


def pools_behind(
    zigzag: list[tuple[int, int, float]], oracle: Oracle, tolerance: float
) -> dict[int, tuple[int, float, int, int]]:
    """Return (side, mean level, last bar, sweeping bar) of the package's liquidity pools by first bar."""
    pools: dict[int, tuple[int, float, int, int]] = {}
    for side, high in ((1, oracle.chart.high), (-1, -oracle.chart.low)):
        swings = [(seq, side * level) for seq, its_side, level in zigzag if its_side == side]
        pooled: set[int] = set()
        for number, (first, level) in enumerate(swings):
            if first in pooled:
                continue
            beyond = np.flatnonzero(high[first + 1 :] >= level + tolerance)
            swept = first + 1 + int(beyond[0]) if len(beyond) else 0
            members = [(first, level)]
            for seq, other in swings[number + 1 :]:
                if swept and seq >= swept:
                    break
                if seq not in pooled and level - tolerance <= other <= level + tolerance:
                    members.append((seq, other))
                    pooled.add(seq)
            if len(members) > 1:
                mean = side * sum(price for _, price in members) / len(members)
                pools[first] = (side, single(mean), members[-1][0], swept)
    return pools


def test_liquidity_file_follows_from_our_zigzag_and_a_tolerance_of_the_whole_file(oracle: Oracle) -> None:
    """497 of the package's 498 pools, the other one starts at the swing that it invents on bar 0.

    This compares swings, not our EQUAL_LEVELS: the package's tolerance is 1 % of the highest high less the
    lowest low of the whole file, which nobody knows before its last bar. With the tolerance of the first
    half, 162 of the 278 pools of that half would be others.
    """
    rows = oracle.rows("liquidity", "Liquidity")
    theirs = {
        seq: (int(row["Liquidity"]), single(row["Level"]), int(row["End"]), int(row["Swept"]))
        for seq, row in rows.items()
    }
    chart, zigzag, half = oracle.chart, final_zigzag(oracle), oracle.chart.count // 2
    ours = pools_behind(zigzag, oracle, 0.01 * (chart.high.max() - chart.low.min()))
    assert len(theirs) == 498
    assert set(theirs) - set(ours) == {0}
    # Bar 4 is the swing of the package's warm-up; 52 is pooled with bar 0 in its file.
    assert set(ours) - set(theirs) == {4, 52}
    assert all(theirs[seq] == ours[seq] for seq in set(theirs) & set(ours))

    early = pools_behind(zigzag, oracle, 0.01 * (chart.high[:half].max() - chart.low[:half].min()))
    first_half = [seq for seq in theirs if seq < half]
    assert len(first_half) == 278
    assert sum(early.get(seq) != theirs[seq] for seq in first_half) == 162


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
