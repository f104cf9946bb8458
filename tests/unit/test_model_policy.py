"""The model policy scores what training computed, with the order's own break-even, and says on what."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indicators.snapshot import SNAPSHOT_DTYPE
from ml.break_even import break_even
from ml.features import NAMES, FeatureRing, OrderFacts
from ml.gate import Gate, GateRules
from ml.model import Model, ModelRefused, Refusal
from ml.passport import DriftBins, DriftReference, FeatureField
from packet_builder.packet import PACKET_DTYPE
from strategies.dynamic_cancel import Approach, OrderAwarePolicy
from strategies.model_policy import ModelPolicy, load_model_policy
from tests.model_folder import model_folder, passport_of, train

USED = ("distance_leg", "reward_risk", "imbalance_5")  # some of the features, in their order
FEES = {"entry_fee": 0.0002, "stop_fee": 0.0005, "target_fee": 0.0002}


class Sure:
    """A scorer that is always even."""

    def __init__(self, width: int) -> None:
        self.row = np.zeros(width)

    def score(self) -> float:
        """Return even odds."""
        return 0.0


def policy_of(**rules: Any) -> ModelPolicy:
    """Return a policy over three features whose reference is wide."""
    bins = DriftBins(edges=(-100.0, 100.0), freq=(0.3, 0.4, 0.3))
    passport = passport_of(
        train(),
        features=tuple(FeatureField(name=name) for name in USED),
        drift_ref=DriftReference(features=dict.fromkeys(USED, bins), score=bins),
    )
    return ModelPolicy(Gate(Model(passport, Sure(len(USED)), "walker"), GateRules(**rules)), **FEES)


def bucket(seq: int) -> tuple[Any, Any]:
    """Return a closed bucket with some flow, and the structure after it."""
    packet, snapshot = np.zeros((), PACKET_DTYPE), np.zeros((), SNAPSHOT_DTYPE)
    packet["seq"], packet["imbalance"], packet["total_usd"] = seq, 0.1 * (seq % 5), 10_000.0
    packet["buy_usd"], packet["sell_usd"] = 6_000.0, 4_000.0
    for name in ("open", "high", "low", "close"):
        packet[name] = 1.05
    snapshot["atr"] = 0.01
    return packet[()], snapshot[()]


APPROACH = Approach(
    ts_ns=2_000_000_000,
    price=1.04,
    direction=1,
    entry_price=1.03,
    stop_price=0.999,
    target_price=1.1,
    zone_low=1.0,
    zone_high=1.1,
    bucket_seq=59,
    packet=None,
    snapshot=None,
    placed_ns=1_000_000_000,
    placed_seq=7,
)


def test_scores_the_features_of_training() -> None:
    """The row is the one `ml.features` gives for the same order, in the model's columns."""
    policy, ring = policy_of(hysteresis=0.0), FeatureRing()
    assert isinstance(policy, OrderAwarePolicy)
    for seq in range(60):
        policy.observe(*bucket(seq))
        ring.push(*bucket(seq))
    verdict = policy.decide(APPROACH)
    facts = OrderFacts(1, 1.03, 0.999, 1.1, 1.0, 1.1, 1_000_000_000, 7)
    full = ring.vector(facts, APPROACH.ts_ns, APPROACH.price)
    expected = full[[NAMES.index(name) for name in USED]]
    assert np.isfinite(expected).all()
    assert policy.gate.row.tobytes() == expected.tobytes()
    assert verdict.threshold == pytest.approx(break_even(1.03, 0.999, 1.1, **FEES))
    assert policy.inputs() == {**dict(zip(USED, expected.tolist(), strict=True)), "p_star": verdict.threshold}
    moved = dataclasses.replace(APPROACH, target_price=1.2)
    assert policy.decide(moved).threshold == pytest.approx(break_even(1.03, 0.999, 1.2, **FEES))
    assert policy.as_plain()["latency"]["count"] == 2


def test_before_the_first_bucket_nothing_is_scored() -> None:
    """There are no features yet: the row is unfit, and the setting decides."""
    for on_unfit, is_cancelled in (("cancel", True), ("keep", False)):
        policy = policy_of(on_unfit=on_unfit)
        verdict = policy.decide(APPROACH)
        assert (verdict.cancel, verdict.reason, verdict.probability) == (is_cancelled, "unfit_row", None)
        assert policy.inputs()["missing"] == ",".join(USED)


def test_warming_up_leaves_no_trace() -> None:
    """Compiling what a decision runs counts nothing and remembers nothing."""
    policy = policy_of()
    policy.warm_up()
    assert policy.as_plain()["decisions"] == {}
    assert policy.latency.total == 0
    assert policy.decide(APPROACH).reason == "unfit_row"


def test_drift_sees_one_row_per_bucket() -> None:
    """Many looks within a bucket are one event."""
    policy = policy_of()
    policy.observe(*bucket(0))
    for seq in (1, 1, 1, 2):
        policy.decide(dataclasses.replace(APPROACH, bucket_seq=seq))
    assert policy.drift.events == 2


def test_model_of_other_features_is_refused(tmp_path: Path) -> None:
    """A folder whose columns this program does not compute is refused before anything is decided."""
    folder = model_folder(tmp_path / "other")
    with pytest.raises(ModelRefused) as caught:
        load_model_policy(
            folder,
            GateRules(),
            instrument_id="XRPUSDT.BINANCE",
            stream="trades",
            bucket_usd=10_000.0,
            now_ns=0,
            **FEES,
        )
    assert caught.value.reason is Refusal.OTHER_FEATURES
