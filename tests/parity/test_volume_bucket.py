"""The kernel against the definition in plain Python, and against itself in other pieces."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packet_builder.builder import VolumeBucketBuilder
from packet_builder.packet import AGGREGATION_DEPENDENT, PACKET_DTYPE
from tests.bucket_tapes import (
    XRP_CONFIG,
    as_columns,
    as_trades,
    coarsen,
    config,
    join,
    naive_bytes,
    real_tape,
    run_chunks,
    run_live,
    seeded_tape,
    tapes,
)
from tests.naive import Trade

ROOT = Path(__file__).resolve().parents[2]
BUCKET_UNITS = st.sampled_from([1, 7, 997, 1_000, 5_000, 100_000, 10_000_000])
ANCHORS = st.sampled_from(["utc_day", "none"])


def differing_columns(left: bytes, right: bytes) -> list[str]:
    """Name the columns that differ, for a readable failure."""
    a, b = np.frombuffer(left, PACKET_DTYPE), np.frombuffer(right, PACKET_DTYPE)
    if len(a) != len(b):
        return [f"{len(a)} packets, {len(b)} expected"]
    return [name for name in PACKET_DTYPE.names or () if a[name].tobytes() != b[name].tobytes()]


@settings(max_examples=200)
@given(tape=tapes(), units=BUCKET_UNITS, anchor=ANCHORS)
def test_the_kernel_is_the_definition_bit_for_bit(tape: list[Trade], units: int, anchor: str) -> None:
    """Every column of every packet has the bits of the plain-Python definition."""
    settings_ = config(coarsen(units, tape, 200), anchor=anchor)
    packets = VolumeBucketBuilder(settings_).scan(*as_columns(tape))
    expected = naive_bytes(tape, settings_)
    assert differing_columns(packets.tobytes(), expected) == []
    assert packets.tobytes() == expected


@settings(max_examples=200)
@given(tape=tapes(), units=BUCKET_UNITS, anchor=ANCHORS, data=st.data())
def test_chunks_and_live_trades_give_the_bytes_of_the_whole_array(
    tape: list[Trade], units: int, anchor: str, data: st.DataObject
) -> None:
    """However the tape is cut, and pushed trade by trade: equal packets, equal state."""
    units = coarsen(units, tape, 2_000)
    cuts = data.draw(st.lists(st.integers(0, len(tape)), max_size=6))
    settings_ = config(units, anchor=anchor)
    whole, chunked, live = (VolumeBucketBuilder(settings_) for _ in range(3))
    columns = as_columns(tape)
    expected = whole.scan(*columns).tobytes()
    assert join(run_chunks(chunked, columns, cuts)) == expected
    assert join(run_live(live, tape)) == expected
    assert chunked.to_bytes() == whole.to_bytes()
    assert live.to_bytes() == whole.to_bytes()


@settings(max_examples=60)
@given(tape=tapes(), cut=st.integers(0, 60))
def test_a_prefix_gives_the_first_packets(tape: list[Trade], cut: int) -> None:
    """Later trades change nothing in packets that have closed."""
    columns = as_columns(tape)
    settings_ = config(coarsen(5_000, tape, 2_000))
    whole = VolumeBucketBuilder(settings_).scan(*columns)
    prefix = VolumeBucketBuilder(settings_).scan(*(column[:cut] for column in columns))
    assert whole[: len(prefix)].tobytes() == prefix.tobytes()


@settings(max_examples=60)
@given(tape=tapes(), units=BUCKET_UNITS)
def test_dollars_and_lots_are_conserved_to_the_unit(tape: list[Trade], units: int) -> None:
    """What came in is what the closed packets and the open bucket hold, counted in whole units."""
    units = coarsen(units, tape, 2_000)
    builder = VolumeBucketBuilder(config(units, anchor="none"))
    tape = [trade._replace(trade_id=-1) for trade in tape]
    packets = builder.scan(*as_columns(tape))
    forming = builder.forming
    for side, name in ((True, "buy"), (False, "sell")):
        came_in = sum(trade.ticks * trade.lots for trade in tape if trade.is_buyer is side)
        units_out = np.rint(packets[f"{name}_usd"] * 1_000).astype(np.int64).sum()
        assert units_out + round(forming.get(f"{name}_usd", 0.0) * 1_000) == came_in
    assert (np.rint(packets["total_usd"] * 1_000) == units).all()
    lots_out = packets["total_qty"].sum() + forming.get("total_qty", 0.0)
    assert lots_out == pytest.approx(sum(trade.lots for trade in tape) * 0.1, rel=1e-9)


@settings(max_examples=60)
@given(tape=tapes(), units=BUCKET_UNITS, data=st.data())
def test_merged_trades_give_the_same_bits_in_the_invariant_columns(
    tape: list[Trade], units: int, data: st.DataObject
) -> None:
    """Trades of equal time, price and side in a row may come merged (aggTrades): only seven columns tell."""
    units = coarsen(units, tape, 2_000)
    raw: list[Trade] = []
    for trade in tape:
        parts = data.draw(st.integers(1, 3)) if trade.lots >= 3 else 1
        sizes = [trade.lots // parts] * (parts - 1)
        raw += [trade._replace(lots=size, trade_id=-1) for size in [*sizes, trade.lots - sum(sizes)]]
    merged = [trade._replace(trade_id=-1) for trade in tape]
    left = VolumeBucketBuilder(config(units)).scan(*as_columns(raw))
    right = VolumeBucketBuilder(config(units)).scan(*as_columns(merged))
    differing = set(differing_columns(left.tobytes(), right.tobytes()))
    assert differing <= set(AGGREGATION_DEPENDENT)


def coalesce(columns: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Merge neighbours of equal time, price and side, as aggTrades do; ids cannot be kept."""
    ts_ns, ticks, lots, sides, _ = columns
    is_new = np.ones(len(ts_ns), bool)
    is_new[1:] = (np.diff(ts_ns) != 0) | (np.diff(ticks) != 0) | (sides[1:] != sides[:-1])
    starts = np.flatnonzero(is_new)
    sizes = np.add.reduceat(lots, starts)
    return ts_ns[starts], ticks[starts], sizes, sides[starts], np.full(len(starts), -1)


def test_real_trades_match_the_definition(shared_data: Path) -> None:
    """The first 60,000 XRPUSDT trades of a day: every bit as defined."""
    columns = tuple(column[:60_000] for column in real_tape(shared_data))
    packets = VolumeBucketBuilder(XRP_CONFIG).scan(*columns)
    assert len(packets) > 500
    assert differing_columns(packets.tobytes(), naive_bytes(as_trades(columns), XRP_CONFIG)) == []


def test_real_trades_give_the_same_bytes_in_any_pieces(shared_data: Path) -> None:
    """A recorded day: random chunks of 1..100,000 trades and the whole array, packets and state."""
    columns = real_tape(shared_data)
    whole, chunked = VolumeBucketBuilder(XRP_CONFIG), VolumeBucketBuilder(XRP_CONFIG)
    expected = whole.scan(*columns)
    steps = np.random.default_rng(3).choice([1, 2, 17, 1_000, 30_000, 100_000], 200)
    cuts = np.cumsum(steps)[np.cumsum(steps) < len(columns[0])]
    assert join(run_chunks(chunked, columns, cuts.tolist())) == expected.tobytes()
    assert chunked.to_bytes() == whole.to_bytes()
    assert (expected["total_usd"][~expected["is_short"]] == 10_000.0).all()


def test_real_trades_live_give_the_same_bytes(shared_data: Path) -> None:
    """50,000 recorded trades pushed one by one as floats equal the integer columns."""
    columns = tuple(column[:50_000] for column in real_tape(shared_data))
    whole, live = VolumeBucketBuilder(XRP_CONFIG), VolumeBucketBuilder(XRP_CONFIG)
    assert join(run_live(live, as_trades(columns))) == whole.scan(*columns).tobytes()
    assert live.to_bytes() == whole.to_bytes()


def test_real_merged_trades_differ_only_in_the_declared_columns(shared_data: Path) -> None:
    """A recorded day raw and merged like aggTrades: 19 measures to the bit, all seven others differ."""
    columns = real_tape(shared_data)
    raw = (*columns[:4], np.full(len(columns[0]), -1))
    merged = coalesce(columns)
    assert len(merged[0]) < 0.5 * len(columns[0])
    left = VolumeBucketBuilder(XRP_CONFIG).scan(*raw)
    right = VolumeBucketBuilder(XRP_CONFIG).scan(*merged)
    assert set(differing_columns(left.tobytes(), right.tobytes())) == set(AGGREGATION_DEPENDENT)


SCRIPT = """
import hashlib
from packet_builder.builder import VolumeBucketBuilder
from tests.bucket_tapes import as_columns, config, join, run_live, seeded_tape
tape = seeded_tape(1_500)
whole, live = (VolumeBucketBuilder(config(10_000_000, vpin_window=5)) for _ in range(2))
packets = whole.scan(*as_columns(tape)).tobytes()
assert join(run_live(live, tape)) == packets
assert live.to_bytes() == whole.to_bytes()
print(hashlib.sha256(packets + whole.to_bytes()).hexdigest())
"""


def test_compiled_and_plain_python_kernels_agree() -> None:
    """With ``NUMBA_DISABLE_JIT=1`` the same source gives the same bytes."""
    digests = []
    for disabled in ("0", "1"):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": disabled, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        digests.append(done.stdout)
    assert digests[0] == digests[1]
    assert len(digests[0]) == 65
    assert len(seeded_tape(1_500)) == 1_500
