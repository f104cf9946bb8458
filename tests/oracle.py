"""The oracle: result files of `smartmoneyconcepts` on its own EURUSD bars, and our events on those bars.

The package stamps its rows on the bar they speak of and edits them with hindsight. The parity tests derive
from our append-only events what such a table shows in the end, and compare the two row by row.
"""

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from indicators.engine import StructureConfig
from indicators.events import EventKind, Scope
from tests.bars import Columns, load_eurusd
from tests.structure_checks import Table, scan


class Oracle(NamedTuple):
    """The bars, what the engine says about them, and the folder of result files."""

    chart: Columns
    events: Table
    snapshots: Table
    folder: Path

    def kind(self, kind: EventKind) -> Table:
        """Return the internal (or scope-free) events of one kind."""
        is_wanted = (self.events["kind"] == kind) & (self.events["scope"] != Scope.EXTERNAL)
        rows: Table = self.events[is_wanted]
        return rows

    def rows(self, name: str, column: str) -> dict[int, dict[str, float]]:
        """Return the rows of a result file that have a value in ``column``, by bar number."""
        with (self.folder / f"{name}_result_data.csv").open(newline="") as file:
            table = list(csv.DictReader(file))
        return {
            seq: {key: float(value) for key, value in row.items() if value}
            for seq, row in enumerate(table)
            if row[column]
        }


class ZigzagSwing(NamedTuple):
    """A swing that was in the zigzag at some time; ``known_seq`` is the bar that confirmed it."""

    known_seq: int
    seq: int
    side: int
    level: float


@cache
def load_oracle(shared_data: Path) -> Oracle:
    """Run preset ``peer`` once over all 24,424 bars."""
    chart = load_eurusd(shared_data)
    events, snapshots = scan(StructureConfig.peer(tick_size=1e-5), chart)
    return Oracle(chart, events, snapshots, shared_data / "oracle_eurusd_15m")


def single(value: float) -> float:
    """Round as the package does for its output."""
    return float(np.float32(value))


def zigzags(oracle: Oracle) -> tuple[list[ZigzagSwing], list[ZigzagSwing]]:
    """Return every swing that ever was in our zigzag, as confirmed, and those that were never replaced."""
    ever: list[ZigzagSwing] = []
    final: list[ZigzagSwing] = []
    for event in oracle.kind(EventKind.SWING):
        side, level = int(event["direction"]), float(event["level"])
        if final and final[-1].side == side:
            if not side * level > side * final[-1].level:
                continue
            final.pop()
        swing = ZigzagSwing(int(event["known_seq"]), int(event["origin_seq"]), side, level)
        ever.append(swing)
        final.append(swing)
    return ever, final


def final_zigzag(oracle: Oracle) -> list[tuple[int, int, float]]:
    """Return (bar, side, level) of the swings that were never replaced, in order."""
    return [(swing.seq, swing.side, swing.level) for swing in zigzags(oracle)[1]]
