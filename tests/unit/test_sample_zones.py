"""What the structure engine sees on the synthetic tape: enough setups, and flow that tells or does not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from indicators.engine import StructureConfig, StructureEngine
from indicators.events import EventKind, Scope
from packet_builder.builder import BucketConfig, VolumeBucketBuilder
from runtime.sample import SYMBOLS, SampleRequest, tape_of
from runtime.sample_tape import print_trades

BUCKET_USD = 10_000  # the strategy's default
ROUND_TRIP_FEE = 0.002


def setups(request: SampleRequest, symbol: str) -> tuple[NDArray[np.void], ...]:
    """Return packets, long external zones as they formed, and those whose sweet spot was touched."""
    _, tick_size, lot_size = SYMBOLS[symbol]
    tape = tape_of(request, symbol)
    builder = VolumeBucketBuilder(BucketConfig(bucket_usd=BUCKET_USD, tick_size=tick_size, lot_size=lot_size))
    packets = builder.scan(tape.ts_ns, tape.price_ticks, tape.size_lots, tape.is_buyer, tape.trade_id)
    columns = ("ts_open_ns", "ts_close_ns", "open", "high", "low", "close", "total_qty", "buy_qty")
    engine = StructureEngine(StructureConfig(tick_size=float(tick_size)))
    events, _ = engine.scan(*(packets[name] for name in columns))
    long = events[(events["scope"] == Scope.EXTERNAL) & (events["direction"] == 1)]
    formed = long[long["kind"] == EventKind.RANGE_FORMED]
    touched = long[long["kind"] == EventKind.OTE_SWEET_TOUCHED]
    return packets, formed, touched


def test_enough_zones_with_an_entry_beyond_the_fees() -> None:
    """At the default bucket size at least 400 long zones are entered, legs far beyond both sides' fees."""
    entered = 0
    for symbol in SYMBOLS:
        _, formed, touched = setups(SampleRequest(), symbol)
        leg = (formed["high"] - formed["low"]) / formed["high"]
        assert (0.705 * leg > ROUND_TRIP_FEE).mean() > 0.95
        entered += len(touched)
    assert entered >= 400


def rank_skill(score: NDArray[np.float64], is_win: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve: 0.5 says nothing, 1.0 everything."""
    return float((score[is_win][:, None] > score[~is_win][None, :]).mean())


@pytest.mark.parametrize(("signature", "low", "high"), [("toxic", 0.60, 0.95), ("none", 0.42, 0.58)])
def test_flow_before_a_fill_tells_the_outcome_only_when_planted(
    signature: str, low: float, high: float
) -> None:
    """The mean imbalance of the ten buckets before the fill ranks winners above losers, or does not."""
    scores, wins = [], []
    for symbol in SYMBOLS:
        packets, _, touched = setups(SampleRequest(signature=signature), symbol)
        for event in touched:
            fill = int(event["known_seq"])
            ahead = packets[fill + 1 : fill + 3000]
            lost = np.flatnonzero(ahead["low"] <= event["low"])
            won = np.flatnonzero(ahead["high"] >= event["high"])
            if len(lost) or len(won):
                first_loss = lost[0] if len(lost) else len(ahead)
                wins.append(bool((won[0] if len(won) else len(ahead)) < first_loss))
                scores.append(packets["imbalance"][fill - 10 : fill].mean())
    is_win = np.array(wins)
    assert 0.2 < is_win.mean() < 0.8
    assert low < rank_skill(np.array(scores), is_win) < high


def test_the_compiled_generator_equals_plain_python() -> None:
    """No fused or reordered arithmetic: the same bytes come out without the compiler."""
    if not hasattr(print_trades, "py_func"):
        pytest.skip("NUMBA_DISABLE_JIT is set: there is no compiled generator")
    uniforms = np.random.Generator(np.random.PCG64(5)).random((4000, 8))
    legs = (
        np.array([1e6, 3e6, 1e9]), np.array([100.0, 102.0, 99.0]), np.array([102.0, 99.0, 105.0]),
        np.array([0, 2, 1]), np.array([np.inf, 1.5e6, np.inf]), np.array([0.5, 0.7, 0.5]),
    )  # fmt: skip
    outputs = []
    for run in (print_trades, print_trades.py_func):
        out = [np.zeros(4000), np.zeros(4000, np.int64), np.zeros(4000, np.int64), np.zeros(4000, np.bool_)]
        run(uniforms, *legs, 0.01, 0.0001, 0.00001, *out)
        outputs.append([column.tobytes() for column in out])
    assert outputs[0] == outputs[1]
