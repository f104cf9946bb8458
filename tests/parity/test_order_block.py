"""Order blocks against the package `smartmoneyconcepts`: what its file knows of the future, and the rest.

One plain function, `survivors`, is the package's rule over any schedule of swings. The schedule says which
swing high (low) is *the* last one at each bar, and two questions decide it: may a swing be used from the bar
after its extreme, or only once ``right`` bars have confirmed it; and are swings that a later, more extreme
one replaced left out from the start. The package answers both with hindsight. ``docs/decisions/0005``.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from indicators.events import EventKind
from tests.bars import Columns
from tests.oracle import Oracle, ZigzagSwing, load_oracle, single, zigzags

# The three blocks of the file that no causal engine has, by bar of origin; what replaced the swing in force.
MISSED = {2965: (2980, 2967, 2985), 10934: (10949, 10940, 10950), 23890: (23906, 23892, 23906)}
# Survivors of ours that the file lacks: because of a swing replaced later, or of one not confirmed yet.
AFTER_REPLACED = {1788, 2305, 2970, 20913, 23895, 24292}
BEFORE_CONFIRMED = {22440, 23951}

type Survivors = dict[int, tuple[int, float, float, int]]
"""(direction, bottom, top, mitigation bar or 0) by bar of origin, bounds in single precision."""


class Block(NamedTuple):
    """A block at the time when it is made."""

    side: int
    origin: int
    breaking_seq: int


class Schedule(NamedTuple):
    """Bar of the swing in force at each bar, -1 for none, each of shape (n,)."""

    highs: NDArray[np.int64]
    lows: NDArray[np.int64]

    def of(self, side: int) -> NDArray[np.int64]:
        """Return the swings of one side."""
        return self.highs if side == 1 else self.lows


@pytest.fixture(scope="module")
def oracle(shared_data: Path) -> Oracle:
    """Give preset ``peer`` over all 24,424 bars."""
    return load_oracle(shared_data)


def schedule(swings: Iterable[ZigzagSwing], count: int, *, waits: bool) -> Schedule:
    """Put each swing in force from the bar after its extreme or, if it ``waits``, its confirmation."""
    in_force = Schedule(np.full(count, -1), np.full(count, -1))
    for swing in swings:
        start = swing.known_seq if waits else swing.seq
        in_force.of(swing.side)[start + 1 :] = swing.seq
    return in_force


def survivors(chart: Columns, in_force: Schedule) -> tuple[Survivors, set[Block]]:
    """Apply the package's rule bar by bar: (blocks that live at the end, all blocks ever made)."""
    alive: Survivors = {}
    made: set[Block] = set()
    for side in (1, -1):
        high, low = (chart.high, chart.low) if side == 1 else (-chart.low, -chart.high)
        close, swings = side * chart.close, in_force.of(side).tolist()
        live: dict[int, int] = {}  # origin: mitigation bar, 0 for none
        crossed = set()
        for t in range(chart.count):
            for origin in list(live):
                if live[origin] and high[t] > high[origin]:
                    del live[origin]
                elif not live[origin] and low[t] < low[origin]:
                    # The package writes the bar before the mitigation for bullish blocks.
                    live[origin] = t - 1 if side == 1 else t
            last = swings[t]
            if last < 0 or last in crossed or not close[t] > high[last]:
                continue
            crossed.add(last)
            between = range(last + 1, t)
            origin = max(between, key=lambda seq: (-low[seq], seq)) if between else t - 1
            live[origin] = 0
            made.add(Block(side, origin, t))
        for origin, mitigated in live.items():
            alive[origin] = (side, single(chart.low[origin]), single(chart.high[origin]), mitigated)
    return alive, made


def survivors_in_file(oracle: Oracle) -> Survivors:
    """Return the blocks of the package's result file."""
    return {
        seq: (int(row["OB"]), single(row["Bottom"]), single(row["Top"]), int(row["MitigatedIndex"]))
        for seq, row in oracle.rows("ob", "OB").items()
    }


def survivors_of_engine(oracle: Oracle) -> Survivors:
    """Return the same of our events: blocks whose breaker was not broken in its turn."""
    broken = {int(e["ref_id"]): int(e["known_seq"]) for e in oracle.kind(EventKind.OB_INVALIDATED)}
    parent = {int(e["event_id"]): int(e["ref_id"]) for e in oracle.kind(EventKind.BREAKER)}
    erased = {parent[int(e["ref_id"])] for e in oracle.kind(EventKind.BREAKER_INVALIDATED)}
    alive = {}
    for event in oracle.kind(EventKind.OB):
        event_id, side = int(event["event_id"]), int(event["direction"])
        if event_id in erased:
            continue
        mitigated = broken[event_id] - (side == 1) if event_id in broken else 0
        bounds = (single(event["low"]), single(event["high"]))
        alive[int(event["origin_seq"])] = (side, *bounds, mitigated)
    return alive


def test_the_file_is_the_rule_in_hindsight(oracle: Oracle) -> None:
    """On our finished zigzag, swings in force before they are confirmed: its 66 blocks, row by row."""
    _, final = zigzags(oracle)
    alive, made = survivors(oracle.chart, schedule(final, oracle.chart.count, waits=False))
    assert len(alive) == 66
    assert alive == survivors_in_file(oracle)
    assert len(made) == 1_085


def test_the_engine_is_the_same_rule_in_time(oracle: Oracle) -> None:
    """On the zigzag as it was known at the bar before: our 71 survivors, and all 1216 blocks ever made."""
    ever, _ = zigzags(oracle)
    alive, made = survivors(oracle.chart, schedule(ever, oracle.chart.count, waits=True))
    assert len(alive) == 71
    assert alive == survivors_of_engine(oracle)
    assert made == {
        Block(int(e["direction"]), int(e["origin_seq"]), int(e["known_seq"]))
        for e in oracle.kind(EventKind.OB)
    }
    assert len(made) == 1_216


def test_sixty_three_of_the_sixty_six_are_equal_in_full(oracle: Oracle) -> None:
    """Direction, both bounds and mitigation bar; three are missed, eight are ours alone."""
    theirs, ours = survivors_in_file(oracle), survivors_of_engine(oracle)
    common = set(theirs) & set(ours)
    assert len(common) == 63
    assert all(theirs[origin] == ours[origin] for origin in common)
    assert set(theirs) - common == set(MISSED)
    assert set(ours) - common == AFTER_REPLACED | BEFORE_CONFIRMED


@pytest.mark.parametrize("origin", MISSED)
def test_a_missed_block_needs_a_swing_to_be_gone_before_it_was_replaced(oracle: Oracle, origin: int) -> None:
    """At its breaking bar the last swing was one that only a later bar would replace in the zigzag."""
    breaking_seq, in_force_then, replaced_by = MISSED[origin]
    ever, final = zigzags(oracle)
    count = oracle.chart.count
    side = survivors_in_file(oracle)[origin][0]
    live = schedule(ever, count, waits=True).of(side)
    hindsight = schedule(final, count, waits=False).of(side)
    _, made = survivors(oracle.chart, schedule(final, count, waits=False))
    assert Block(side, origin, breaking_seq) in made
    assert live[breaking_seq] == in_force_then
    assert hindsight[breaking_seq] < in_force_then
    assert in_force_then not in {swing.seq for swing in final}

    swings = {swing.seq: swing for swing in ever if swing.side == side}
    assert swings[in_force_then].known_seq < breaking_seq < swings[replaced_by].known_seq
    assert side * swings[replaced_by].level > side * swings[in_force_then].level


def test_leaving_replaced_swings_out_is_what_loses_the_three(oracle: Oracle) -> None:
    """One hindsight at a time: the finished zigzag has all 66; swings that wait for confirmation add two."""
    ever, final = zigzags(oracle)
    count, theirs = oracle.chart.count, survivors_in_file(oracle)
    finished_but_confirmed, _ = survivors(oracle.chart, schedule(final, count, waits=True))
    assert set(theirs) <= set(finished_but_confirmed)
    assert set(finished_but_confirmed) - set(theirs) == BEFORE_CONFIRMED

    live_but_early, _ = survivors(oracle.chart, schedule(ever, count, waits=False))
    assert set(theirs) - set(live_but_early) == set(MISSED)
    assert set(live_but_early) - set(theirs) == AFTER_REPLACED
