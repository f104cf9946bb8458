"""The model policy scores what training computed, with the order's own break-even, and says on what."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indicators.snapshot import SNAPSHOT_DTYPE
from ml.break_even import break_even
from ml.features import NAMES, FeatureRing, OrderFacts, schema_hash
from ml.gate import Gate, GateRules
from ml.model import Model, ModelRefused, Refusal
from ml.passport import DriftBins, DriftReference, FeatureField
from packet_builder.packet import PACKET_DTYPE
from strategies.entry_judge import RestingEntry
from strategies.model_policy import ModelPolicy, load_model_policy
from tests.model_folder import EXPIRES_NS, WANTED, model_folder, passport_of, train

USED = ("distance_leg", "reward_risk", "imbalance_5")  # some of the features, in their order
FEES = {"entry_fee": 0.0002, "stop_fee": 0.0005, "target_fee": 0.0002}


class Sure:
    """A scorer that is always even; XGBoost's own call, which has no trees to walk, is asked this way."""

    def __init__(self, width: int) -> None:
        self.row = np.zeros(width)

    def score(self) -> float:
        """Return even odds."""
        return 0.0


class Structure:
    """The structure after the last bucket."""

    def __init__(self, snapshot: Any) -> None:
        self.snapshot = snapshot
        self.snapshot_bytes = memoryview(snapshot.tobytes())


def gate_of(**rules: Any) -> Gate:
    """Return a gate over three features whose reference is wide."""
    bins = DriftBins(edges=(-100.0, 100.0), freq=(0.3, 0.4, 0.3))
    passport = passport_of(
        train(),
        features=tuple(FeatureField(name=name) for name in USED),
        drift_ref=DriftReference(features=dict.fromkeys(USED, bins), score=bins),
    )
    return Gate(Model(passport, Sure(len(USED)), "xgboost"), GateRules(**rules))


def policy_of(**rules: Any) -> ModelPolicy:
    """Return a policy about an entry, before the first bucket."""
    policy = ModelPolicy(gate_of(**rules), **FEES)
    policy.open_order()
    policy.hold(ENTRY)
    return policy


def see(policy: ModelPolicy, seq: int, ts_ns: int = 0) -> None:
    """Close a bucket."""
    packet, snapshot = bucket(seq, ts_ns)
    policy.observe(packet, Structure(snapshot), None)


def bucket(seq: int, ts_ns: int = 0) -> tuple[Any, Any]:
    """Return a closed bucket with some flow, and the structure after it."""
    packet, snapshot = np.zeros((), PACKET_DTYPE), np.zeros((), SNAPSHOT_DTYPE)
    packet["ts_open_ns"] = packet["ts_close_ns"] = ts_ns
    packet["seq"], packet["imbalance"], packet["total_usd"] = seq, 0.1 * (seq % 5), 10_000.0
    packet["buy_usd"], packet["sell_usd"] = 6_000.0, 4_000.0
    for name in ("open", "high", "low", "close"):
        packet[name] = 1.05
    snapshot["atr"] = 0.01
    return packet[()], snapshot[()]


ENTRY = RestingEntry(
    direction=1,
    entry_price=1.03,
    stop_price=0.999,
    target_price=1.1,
    zone_low=1.0,
    zone_high=1.1,
    placed_ns=1_000_000_000,
    placed_seq=7,
)
NOW, PRICE = 2_000_000_000, 1.04


def test_scores_the_features_of_training() -> None:
    """The row is the one `ml.features` gives for the same order, in the model's columns."""
    policy, ring = policy_of(hysteresis=0.0), FeatureRing()
    for seq in range(60):
        see(policy, seq)
        ring.push(*bucket(seq))
    verdict = policy.ask(NOW, PRICE)
    assert verdict is not None
    facts = OrderFacts(1, 1.03, 0.999, 1.1, 1.0, 1.1, 1_000_000_000, 7)
    expected = ring.vector(facts, NOW, PRICE)[[NAMES.index(name) for name in USED]]
    assert np.isfinite(expected).all()
    assert policy.gate.row.tobytes() == expected.tobytes()
    assert verdict.threshold == pytest.approx(break_even(1.03, 0.999, 1.1, **FEES))
    assert policy.inputs() == {**dict(zip(USED, expected.tolist(), strict=True)), "p_star": verdict.threshold}
    policy.hold(dataclasses.replace(ENTRY, target_price=1.2))
    see(policy, 60)
    moved = policy.ask(NOW, PRICE)
    assert moved is not None
    assert moved.threshold == pytest.approx(break_even(1.03, 0.999, 1.2, **FEES))
    assert policy.as_plain()["latency"]["count"] == 2


def test_verdict_is_given_once_per_bucket() -> None:
    """The first look after a bucket is to record, what stays as it was is only counted."""
    policy = policy_of()
    for seq in range(5):
        see(policy, seq)
    for seq in range(5, 8):
        see(policy, seq)
        answers = [policy.ask(NOW + seq * 10 + look, PRICE) for look in range(3)]
        assert [one is not None for one in answers] == [True, False, False]
    assert policy.as_plain()["decisions"] == {"kept": 9}
    assert policy.probability == policy.gate.model.probability()


def test_cancel_is_always_said() -> None:
    """An order whose stop moved away is taken back within the bucket in which it was kept."""
    policy = policy_of()
    for seq in range(5):
        see(policy, seq)
    first = policy.ask(NOW, PRICE)
    assert first is not None
    assert not first.cancel
    policy.hold(dataclasses.replace(ENTRY, stop_price=0.9))
    second = policy.ask(NOW, PRICE)
    assert second is not None
    assert (second.cancel, second.reason) == (True, "below_threshold")


def test_minimum_time_between_decisions() -> None:
    """Within the interval nothing is scored or counted; another order starts afresh."""
    policy = policy_of(min_interval_ns=100)
    for seq in range(5):
        see(policy, seq)
    for ts_ns in (0, 99, 100):
        policy.ask(ts_ns, PRICE)
    assert policy.as_plain()["decisions"] == {"kept": 2}
    policy.open_order()
    policy.ask(101, PRICE)
    assert policy.as_plain()["decisions"] == {"kept": 3}


@pytest.mark.parametrize("answer", [np.nan, np.inf], ids=str)
def test_answer_that_is_no_probability(answer: float) -> None:
    """After a keep, within its bucket, the fast path does not take it for a good one either."""
    policy = policy_of()
    for seq in range(5):
        see(policy, seq)
    assert policy.ask(NOW, PRICE) is not None
    policy.look = lambda _ts_ns, _price: answer
    verdict = policy.ask(NOW, PRICE)
    assert verdict is not None
    assert (verdict.cancel, verdict.probability, verdict.reason) == (True, None, "unfit_row")


def test_model_that_expires_while_it_runs() -> None:
    """From the bucket that closes at its expiry on, the setting decides, also about kept entries."""
    for on_unfit, is_cancelled in (("cancel", True), ("keep", False)):
        policy = policy_of(on_unfit=on_unfit)
        for seq in range(5):
            see(policy, seq)
        see(policy, 5, EXPIRES_NS - 1)
        before = policy.ask(NOW, PRICE)
        assert before is not None
        assert before.reason == "kept"
        see(policy, 6, EXPIRES_NS)
        after = policy.ask(NOW, PRICE)
        assert after is not None
        assert (after.cancel, after.probability, after.reason) == (is_cancelled, None, "expired")
        again = policy.ask(NOW, PRICE)  # within the bucket: said once, or taken back at once
        assert (again is not None) is is_cancelled
        report = policy.as_plain()
        assert report["decisions"] == {"expired": 2, "kept": 1}
        assert (report["expired"], report["expires_ns"]) == (True, EXPIRES_NS)


def test_before_the_first_bucket_nothing_is_scored() -> None:
    """There are no features yet: the row is unfit, and the setting decides."""
    for on_unfit, is_cancelled in (("cancel", True), ("keep", False)):
        policy = policy_of(on_unfit=on_unfit)
        verdict = policy.ask(NOW, PRICE)
        assert (verdict is not None) is is_cancelled
        assert policy.as_plain()["decisions"] == {"unfit_row": 1}
        assert policy.probability is None
        assert policy.inputs()["missing"] == ",".join(USED)


def test_warming_up_leaves_no_trace() -> None:
    """Compiling what a decision runs counts nothing and remembers nothing."""
    policy = policy_of()
    policy.warm_up()
    assert policy.as_plain()["decisions"] == {}
    assert policy.latency.total == 0
    verdict = policy.ask(NOW, PRICE)
    assert verdict is not None
    assert verdict.reason == "unfit_row"


def test_drift_sees_the_first_look_at_an_order() -> None:
    """Many looks at one order are one event, whatever closes meanwhile."""
    policy = policy_of()
    for orders in (1, 2):
        policy.open_order()
        for seq in (2 * orders, 2 * orders + 1):
            see(policy, seq)
            for _ in range(2):
                policy.ask(NOW, PRICE)
        assert policy.drift.events == orders


def test_model_of_other_features_is_refused(tmp_path: Path) -> None:
    """A folder whose columns this program does not compute is refused before anything is decided."""
    folder = model_folder(tmp_path / "other")
    with pytest.raises(ModelRefused) as caught:
        load_model_policy(
            folder,
            GateRules(),
            dataclasses.replace(WANTED, feature_names=NAMES, feature_schema=schema_hash),
            **FEES,
        )
    assert caught.value.reason is Refusal.OTHER_FEATURES
