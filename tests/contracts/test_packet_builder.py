"""What every stateful object promises: reset, checkpoints, continuation, warm-up from an anchor."""

import itertools
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packet_builder.builder import VolumeBucketBuilder
from packet_builder.packet import PACKET_DTYPE
from tests.bucket_tapes import as_columns, coarsen, config, join, run_chunks, run_live, seeded_tape, tapes
from tests.naive import DAY_NS, Trade

UNITS = 40_000_000  # about 15 trades of the seeded tape


@settings(max_examples=60)
@given(tape=tapes(), kills=st.lists(st.integers(0, 60), max_size=4), is_live=st.booleans())
def test_kill_and_restore_anywhere_changes_nothing(
    tape: list[Trade], kills: list[int], is_live: bool
) -> None:
    """A run that is cut by checkpoints equals the uninterrupted one, packets and state."""
    settings_ = config(coarsen(5_000, tape, 2_000))
    whole, builder = VolumeBucketBuilder(settings_), VolumeBucketBuilder(settings_)
    expected = whole.scan(*as_columns(tape)).tobytes()
    seen = b""
    edges = [0, *sorted(min(kill, len(tape)) for kill in kills), len(tape)]
    for start, stop in itertools.pairwise(edges):
        part = tape[start:stop]
        seen += join(run_live(builder, part)) if is_live else builder.scan(*as_columns(part)).tobytes()
        builder = VolumeBucketBuilder.from_bytes(builder.to_bytes(), settings_)
    assert seen == expected
    assert builder.to_bytes() == whole.to_bytes()


def test_a_reset_builder_is_a_fresh_one() -> None:
    """No trace of the trades before, also not of those waiting in the live buffer."""
    columns = as_columns(seeded_tape(500))
    builder = VolumeBucketBuilder(config(UNITS))
    fresh = builder.to_bytes()
    run_live(builder, seeded_tape(333, seed=1))
    builder.reset()
    assert builder.to_bytes() == fresh
    assert builder.scan(*columns).tobytes() == VolumeBucketBuilder(config(UNITS)).scan(*columns).tobytes()


def test_reconnecting_with_an_overlap_changes_nothing() -> None:
    """A restart that asks the venue for a few trades too many drops them by their ids."""
    tape = seeded_tape(1_000)
    columns = as_columns(tape)
    whole, builder = VolumeBucketBuilder(config(UNITS)), VolumeBucketBuilder(config(UNITS))
    expected = whole.scan(*columns).tobytes()
    first = builder.scan(*(column[:600] for column in columns)).tobytes()
    builder = VolumeBucketBuilder.from_bytes(builder.to_bytes(), config(UNITS))
    assert builder.last_trade_id == tape[599].trade_id
    second = builder.scan(*(column[550:] for column in columns)).tobytes()
    assert first + second == expected
    assert builder.counters.dropped_ids == 50


def test_a_replay_from_the_days_anchor_gives_the_same_packets() -> None:
    """From midnight on everything is equal but VPIN, until its window is full; then VPIN is, too."""
    tape = seeded_tape(4_000)
    columns = as_columns(tape)
    settings_ = config(UNITS, vpin_window=20)
    whole = VolumeBucketBuilder(settings_).scan(*columns)
    midnight = (tape[0].ts_ns // DAY_NS + 1) * DAY_NS
    start = int(np.searchsorted(columns[0], midnight))
    assert 0 < start < 3_000
    later = whole[np.searchsorted(whole["ts_open_ns"], midnight) :]

    builder = VolumeBucketBuilder(settings_)
    builder.resume_after(tape[start - 1].trade_id, seq=int(later["seq"][0]))
    replay = builder.scan(*(column[start:] for column in columns))
    assert len(replay) == len(later) > 50
    for name in PACKET_DTYPE.names or ():
        skipped = 19 if name == "vpin" else 0
        assert replay[name][skipped:].tobytes() == later[name][skipped:].tobytes(), name
    assert np.isnan(replay["vpin"][:19]).all()


def test_a_replay_that_is_not_told_the_last_id_cannot_see_a_gap_before_it() -> None:
    """Only `resume_after` knows that ids are missing between two days."""
    trade = Trade(DAY_NS, 100, 10, True, 8)
    told, untold = VolumeBucketBuilder(config(1_000)), VolumeBucketBuilder(config(1_000))
    told.resume_after(5)
    assert told.scan(*as_columns([trade]))["missing_ids"].tolist() == [2]
    assert untold.scan(*as_columns([trade]))["missing_ids"].tolist() == [0]


def test_resuming_comes_before_the_first_trade() -> None:
    """A builder in use has its own memory of what came before."""
    builder = VolumeBucketBuilder(config())
    with pytest.raises(ValueError, match="seq is -1"):
        builder.resume_after(5, seq=-1)
    builder.push(DAY_NS, 1.0, 0.1, True, 1)
    with pytest.raises(ValueError, match="before the first trade"):
        builder.resume_after(5)


@settings(max_examples=30)
@given(tape=tapes(), cut=st.integers(0, 60), data=st.data())
def test_live_and_array_calls_may_alternate(tape: list[Trade], cut: int, data: st.DataObject) -> None:
    """History by arrays, then live trades, then a refill by arrays: one state."""
    settings_ = config(coarsen(5_000, tape, 2_000))
    other = data.draw(st.integers(cut, 60))
    whole, builder = VolumeBucketBuilder(settings_), VolumeBucketBuilder(settings_)
    seen = join(run_chunks(builder, as_columns(tape[:cut]), []))
    seen += join(run_live(builder, tape[cut:other]))
    seen += join(run_chunks(builder, as_columns(tape[other:]), []))
    assert seen == whole.scan(*as_columns(tape)).tobytes()
    assert builder.to_bytes() == whole.to_bytes()


def test_a_checkpoint_of_other_settings_is_refused() -> None:
    """Bucket size, increments, anchor and window must be those that made it."""
    data = VolumeBucketBuilder(config()).to_bytes()
    with pytest.raises(ValueError, match="bucket_units 5000, the settings say 6000"):
        VolumeBucketBuilder.from_bytes(data, config(6_000))
    with pytest.raises(ValueError, match="is_anchored"):
        VolumeBucketBuilder.from_bytes(data, config(anchor="none"))
    with pytest.raises(ValueError, match="layout"):
        VolumeBucketBuilder.from_bytes(data, config(vpin_window=4))


def test_a_damaged_checkpoint_is_refused() -> None:
    """Cut, altered, of another version, or something else: one clear line each."""
    data = VolumeBucketBuilder(config()).to_bytes()
    altered = bytearray(data)
    altered[-1] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        VolumeBucketBuilder.from_bytes(bytes(altered), config())
    with pytest.raises(ValueError, match="damaged"):
        VolumeBucketBuilder.from_bytes(data[:-8], config())
    with pytest.raises(ValueError, match="not a checkpoint"):
        VolumeBucketBuilder.from_bytes(b"", config())
    with pytest.raises(ValueError, match="layout"):
        VolumeBucketBuilder.from_bytes(data[:6] + b"\xff\xff" + data[8:], config())
    assert zlib.crc32(data) != zlib.crc32(bytes(altered))
