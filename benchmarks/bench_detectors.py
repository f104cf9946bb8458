"""How fast the structure engine is: against the peer package, in growth, and bar by bar.

Goals: a whole pass >= 700 times faster than the peer's five functions on its own file, a million bars
in <= 12 times the time of 100,000, <= 3 us per live bar. Ratios of medians measured in one run, CPU time of
one thread; passes write into memory that was used before, as `ScanBuffers` allows, and the same with fresh
memory is told beside them. A regression here means that live bars wait for the detectors, or that the
pass stopped being linear because zones are visited on every bar.

    python benchmarks/bench_detectors.py [--bars 1000000] [--peer-rounds 3]
"""

import argparse
import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from indicators.engine import ScanBuffers, StructureConfig, StructureEngine  # noqa: E402
from indicators.events import EventKind  # noqa: E402

SHARED_DATA = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
ORACLE = SHARED_DATA / "oracle_eurusd_15m" / "EURUSD_15M.csv"
BAR_NS = 900 * 10**9
SWING_LENGTH = 5  # of the internal structure, and of the peer's result files

type Columns = tuple[np.ndarray, ...]


def seconds(call: Callable[[], object]) -> float:
    """Return the CPU time of one call in this thread, which other programs disturb less than wall time."""
    start = time.thread_time()
    call()
    return time.thread_time() - start


def read_eurusd() -> tuple[pd.DataFrame, Columns]:
    """Return the peer's own file as it wants it, and as columns for the engine."""
    frame = pd.read_csv(ORACLE).rename(columns=str.lower)
    stamps = (
        pd.to_datetime(frame["date"], format="%Y.%m.%d %H:%M:%S").to_numpy("datetime64[ns]").astype(np.int64)
    )
    prices = tuple(frame[name].to_numpy(np.float64) for name in ("open", "high", "low", "close", "tickvol"))
    return frame, (stamps, stamps + BAR_NS, *prices, np.full(len(frame), np.nan))


def random_walk(count: int) -> Columns:
    """Return a seeded walk of bars on a grid of ticks, eight steps to a bar."""
    steps = np.random.default_rng(7).integers(-3, 4, size=(count, 8))
    # Far above zero, so that the relative size of a gap stays what it is in the shorter walk.
    path = 1_000_000 + np.cumsum(steps.ravel()).reshape(count, 8).astype(np.float64)
    opens = np.concatenate([[1_000_000.0], path[:-1, -1]])
    high, low = np.maximum(path.max(1), opens), np.minimum(path.min(1), opens)
    stamps = np.arange(count, dtype=np.int64) * BAR_NS
    return stamps, stamps + BAR_NS, opens, high, low, path[:, -1], np.ones(count), np.full(count, 0.5)


def peer_seconds(frame: pd.DataFrame) -> float:
    """Return the time of the peer's five functions on its own file."""
    with contextlib.redirect_stdout(io.StringIO()):  # it greets on import
        from smartmoneyconcepts.smc import smc
    swings = smc.swing_highs_lows(frame, swing_length=SWING_LENGTH)
    assert swings["HighLow"].notna().sum() > 2000
    return (
        seconds(lambda: smc.fvg(frame))
        + seconds(lambda: smc.swing_highs_lows(frame, swing_length=SWING_LENGTH))
        + seconds(lambda: smc.bos_choch(frame, swings))
        + seconds(lambda: smc.ob(frame, swings))
        + seconds(lambda: smc.liquidity(frame, swings))
    )


def scan_seconds(
    engine: StructureEngine, columns: Columns, rounds: int, out: ScanBuffers | None
) -> list[float]:
    """Return the times of whole passes: every event, every snapshot column."""
    times = []
    for _ in range(rounds):
        engine.reset()
        times.append(seconds(lambda: engine.scan(*columns, out=out)))
        assert engine.bars == len(columns[0])
    return times


def stream_seconds(engine: StructureEngine, columns: Columns, rounds: int) -> list[float]:
    """Return the times per bar of `update`, called from Python."""
    bars = list(zip(*(column.tolist() for column in columns), strict=True))
    times = []
    for _ in range(rounds):
        engine.reset()
        update = engine.update
        start = time.thread_time()
        for bar in bars:
            update(*bar)
        times.append((time.thread_time() - start) / len(bars))
    return times


def same_events(engine: StructureEngine, columns: Columns) -> int:
    """Assert that streaming and batch give the same bytes; return the number of events."""
    engine.reset()
    events, _ = engine.scan(*columns)
    engine.reset()
    bars = zip(*(column.tolist() for column in columns), strict=True)
    live = np.concatenate([engine.update(*bar) for bar in bars])
    assert live.tobytes() == events.tobytes(), "streamed and batch events differ"
    assert len(np.unique(events["kind"])) > 25
    assert (events["kind"] == EventKind.RANGE_FORMED).sum() > 1000
    return len(events)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=1_000_000, help="size of the long random walk")
    parser.add_argument("--peer-rounds", type=int, default=3)
    args = parser.parse_args(argv)
    if not ORACLE.exists():
        sys.stderr.write(f"{ORACLE} is missing: set SHARED_DATA to the folder of real data\n")
        return 2

    engine = StructureEngine(StructureConfig(tick_size=1e-5))
    frame, columns = read_eurusd()
    cold = seconds(lambda: engine.scan(*columns))
    events = same_events(engine, columns)
    out = ScanBuffers(max(args.bars, len(frame)))
    ours: list[float] = []
    fresh: list[float] = []
    peers: list[float] = []
    for _ in range(args.peer_rounds):  # in turns, so that a busy machine slows both
        ours += scan_seconds(engine, columns, 30, out)
        fresh += scan_seconds(engine, columns, 30, None)
        peers.append(peer_seconds(frame))
        ours += scan_seconds(engine, columns, 30, out)
    stream = stream_seconds(engine, columns, 7)

    walk = StructureEngine(StructureConfig(tick_size=1.0, fvg_min_ratio=0.0))
    long, short = random_walk(args.bars), random_walk(args.bars // 10)
    growth = []
    fresh_growth = []
    scan_seconds(walk, long, 1, out)
    for _ in range(5):
        brief = median(scan_seconds(walk, short, 3, out))
        growth.append(scan_seconds(walk, long, 1, out)[0] / brief)
        brief = median(scan_seconds(walk, short, 3, None))
        fresh_growth.append(scan_seconds(walk, long, 1, None)[0] / brief)

    result = {
        "bars": len(frame),
        "events": events,
        "first_pass_s": round(cold, 2),
        "pass_ms": round(1e3 * median(ours), 2),
        "pass_ns_per_bar": round(1e9 * median(ours) / len(frame)),
        "peer_s": round(median(peers), 2),
        "times_faster_than_peer": round(median(peers) / median(ours)),
        "times_faster_at_best": round(min(peers) / min(ours)),
        "times_faster_in_fresh_memory": round(median(peers) / median(fresh)),
        "stream_us_per_bar": round(1e6 * median(stream), 2),
        "stream_us_per_bar_at_best": round(1e6 * min(stream), 2),
        f"time_{args.bars}_over_{args.bars // 10}": round(median(growth), 2),
        "the_same_in_fresh_memory": round(median(fresh_growth), 2),
    }
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
