"""The gate keeps an order while it is worth its own distances and fees, and never scores what it must not."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest

from ml.break_even import break_even
from ml.gate import Gate, GateRules, Ruling
from ml.latency import LatencyHistogram
from ml.model import Model
from ml.passport import DriftReference, seal
from tests.model_folder import NAMES, passport_of, train

PASSPORT = seal(passport_of(train()))
A, B = PASSPORT.calibration.a, PASSPORT.calibration.b


@dataclass
class Answer:
    """A scorer that gives the margin a test wants; it must not be asked about unfit rows."""

    margin: float = 0.0
    asked: int = 0
    row: np.ndarray = field(default_factory=lambda: np.zeros(len(NAMES)))

    def score(self) -> float:
        """Return the margin."""
        self.asked += 1
        return self.margin

    def say(self, probability: float) -> None:
        """Let the calibrated probability be this."""
        self.margin = (float(np.log(probability / (1 - probability))) - B) / A


class Desk(Gate):
    """A gate that looks at the row as it stands before it rules."""

    def decide(self, p_star: float) -> Ruling:
        """Look and rule."""
        return self.rule(self.look.score(), p_star)


def gate_of(passport: Any = PASSPORT, **rules: Any) -> tuple[Desk, Answer]:
    """Return a gate over a scripted scorer."""
    scorer = Answer()
    return Desk(Model(passport, scorer, "xgboost"), GateRules(**rules)), scorer


BREAK_EVENS = {
    "one to one, no fees": ((100, 99, 101, 0.0, 0.0, 0.0), 0.5),
    "one to three, no fees": ((100, 99, 103, 0.0, 0.0, 0.0), 0.25),
    "short": ((100, 101, 97, 0.0, 0.0, 0.0), 0.25),
    # In the limit of small distances: (1 % + 2 x 0.1 %) / (2 % + 1 %).
    "fees of both sides": ((100, 99, 102, 0.001, 0.001, 0.001), (1 + 0.199) / (3 - 0.003)),
    "exits at different rates": ((100, 99, 103, 0.0002, 0.0005, 0.0002), 1.0695 / 4.0289),
    "target does not pay its fees": ((100, 99, 100.1, 0.001, 0.001, 0.001), 1.199 / 1.0989),
}


@pytest.mark.parametrize(("order", "expected"), BREAK_EVENS.values(), ids=BREAK_EVENS)
def test_break_even(order: tuple[float, ...], expected: float) -> None:
    """At p* the expected profit after fees is zero."""
    entry, stop, target, entry_fee, stop_fee, target_fee = order
    fees = {"entry_fee": entry_fee, "stop_fee": stop_fee, "target_fee": target_fee}
    p = break_even(entry, stop, target, **fees)
    assert p == pytest.approx(expected, rel=1e-12)
    direction = 1 if entry > stop else -1
    won = (target - entry) * direction - entry_fee * entry - target_fee * target
    lost = (entry - stop) * direction + entry_fee * entry + stop_fee * stop
    assert p * won - (1 - p) * lost == pytest.approx(0, abs=1e-12)


def test_no_order_has_no_break_even() -> None:
    """A stop at the entry gives NaN, with which no probability can be compared."""
    assert np.isnan(break_even(100, 100, 100, entry_fee=0, stop_fee=0, target_fee=0))
    ruling = gate_of()[0].decide(float("nan"))
    assert (ruling.cancel, ruling.probability, ruling.reason, ruling.column) == (
        True,
        None,
        "unfit_row",
        "p_star",
    )


def test_below_the_threshold_is_cancelled() -> None:
    """p* plus the margin decides, at the threshold itself the order stays."""
    gate, scorer = gate_of(margin=0.1, hysteresis=0.0)
    scorer.say(0.399999)
    below = gate.decide(0.3)
    scorer.say(0.400001)
    above = gate.decide(0.3)
    assert (below.cancel, below.reason, above.cancel, above.reason) == (
        True,
        "below_threshold",
        False,
        "kept",
    )
    assert above.threshold == pytest.approx(0.4)
    assert above.probability == pytest.approx(0.400001)
    assert gate.counts == {"below_threshold": 1, "kept": 1}


def test_margin_of_the_passport_unless_set() -> None:
    """Without a setting the passport's margin holds."""
    decision = msgspec.structs.replace(PASSPORT.decision, margin=0.2)
    passport = msgspec.structs.replace(PASSPORT, decision=decision)
    assert gate_of(passport)[0].decide(0.3).threshold == pytest.approx(0.5)
    assert gate_of(passport, margin=0.0)[0].decide(0.3).threshold == pytest.approx(0.3)


def test_hysteresis() -> None:
    """Kept once, an order stays a bit below the threshold; the next order begins at it, again a bit above."""
    gate, scorer = gate_of(hysteresis=0.05)
    decisions = []
    for p in (0.41, 0.36, 0.34):
        scorer.say(p)
        decisions.append(gate.decide(0.4).cancel)
    assert decisions == [False, False, True]
    gate.open_order()
    scorer.say(0.36)
    assert gate.decide(0.4).cancel
    gate.open_order(is_again=True)
    scorer.say(0.44)
    assert gate.decide(0.4).cancel


def test_ruling_holds_while_the_probability_does() -> None:
    """Above `stays_from` another ruling would say the same; a moved order is ruled upon anew."""
    gate, scorer = gate_of(hysteresis=0.05)
    assert gate.stays_from == np.inf
    scorer.say(0.41)
    gate.decide(0.4)
    assert gate.stays_from == pytest.approx(0.35)
    gate.stay()
    assert gate.counts == {"kept": 2}
    gate.order_moved()
    assert gate.stays_from == np.inf
    scorer.say(0.36)
    assert not gate.decide(0.4).cancel  # kept before, so the hysteresis is on its side
    gate.open_order()
    assert gate.decide(0.4).cancel
    assert gate.stays_from == np.inf


UNFIT = {"NaN": np.nan, "infinite": np.inf, "minus infinite": -np.inf, "beyond single": 1e39, "absurd": 1e4}


@pytest.mark.parametrize("value", UNFIT.values(), ids=UNFIT)
@pytest.mark.parametrize(("on_unfit", "is_cancelled"), [("cancel", True), ("keep", False)])
def test_unfit_row_is_never_scored(value: float, on_unfit: str, is_cancelled: bool) -> None:
    """NaN, infinities and values many ranges away are decided by setting, and counted."""
    gate, scorer = gate_of(on_unfit=on_unfit)
    gate.row[1] = value
    ruling = gate.decide(0.4)
    assert (ruling.cancel, ruling.reason, ruling.column) == (is_cancelled, "unfit_row", "speed")
    assert ruling.probability is None
    assert (scorer.asked, gate.counts["unfit_row"]) == (0, 1)


@pytest.mark.parametrize("probability", [np.nan, np.inf, -np.inf, 1.1, -0.1], ids=str)
@pytest.mark.parametrize(("on_unfit", "is_cancelled"), [("cancel", True), ("keep", False)])
def test_probability_that_is_no_number_keeps_nothing(
    probability: float, on_unfit: str, is_cancelled: bool
) -> None:
    """A scorer that fails on a fit row must not look like a good chance, also after a keep."""
    gate, scorer = gate_of(on_unfit=on_unfit)
    scorer.say(0.9)
    assert gate.decide(0.4).reason == "kept"
    ruling = gate.rule(probability, 0.4)
    assert (ruling.cancel, ruling.reason, ruling.column) == (is_cancelled, "unfit_row", "probability")
    assert ruling.probability is None
    assert gate.stays_from == np.inf
    assert gate.counts["unfit_row"] == 1


def with_missing(share: float) -> Any:
    """Return the passport of a training in which a share of the speeds was missing."""
    bins = PASSPORT.drift_ref.features["speed"]
    features = {
        **PASSPORT.drift_ref.features,
        "speed": msgspec.structs.replace(bins, missing=share),
    }
    reference = DriftReference(features=features, score=PASSPORT.drift_ref.score)
    return msgspec.structs.replace(PASSPORT, drift_ref=reference)


def test_column_that_was_never_there() -> None:
    """What every row of the training lacked may be missing; what some lacked may not, by default."""
    for share, reason in ((1.0, "kept"), (0.1, "unfit_row")):
        gate, scorer = gate_of(with_missing(share))
        scorer.say(0.9)
        gate.row[1] = np.nan
        assert gate.decide(0.4).reason == reason


def test_missing_as_trained() -> None:
    """By setting NaN is scored where the training had it, and only there."""
    passport = with_missing(0.1)
    gate, scorer = gate_of(passport, missing="as_trained")
    scorer.say(0.9)
    gate.row[1] = np.nan
    assert gate.decide(0.4).reason == "kept"
    gate.row[0] = np.nan
    assert gate.decide(0.4).column == "flow"


def test_model_without_skill_gates_nothing() -> None:
    """It estimates, and cancels neither for its estimate nor for an unfit row, unless a setting says so."""
    passport = msgspec.structs.replace(PASSPORT, verdict="no_skill")
    gate, scorer = gate_of(passport)
    scorer.say(0.01)
    ruling = gate.decide(0.9)
    assert (ruling.cancel, ruling.reason) == (False, "no_skill")
    assert ruling.probability == pytest.approx(0.01)
    gate.row[0] = np.nan
    assert not gate.decide(0.9).cancel
    forced, scorer = gate_of(passport, gates_without_skill=True)
    scorer.say(0.01)
    assert forced.decide(0.9).cancel
    assert (gate.as_plain()["in_force"], forced.as_plain()["in_force"]) == (False, True)


def test_expired_model_without_skill_still_gates_nothing() -> None:
    """What was never obeyed changes nothing by expiring."""
    gate, scorer = gate_of(msgspec.structs.replace(PASSPORT, verdict="no_skill"))
    scorer.say(0.01)
    gate.at_time(PASSPORT.expires_ns)
    assert (gate.decide(0.9).cancel, gate.counts) == (False, {"no_skill": 1})


@pytest.mark.parametrize("rules", [{"margin": 2.0}, {"hysteresis": -0.1}, {"min_interval_ns": -1}])
def test_impossible_rules(rules: dict[str, Any]) -> None:
    """Numbers that cannot be meant are refused."""
    with pytest.raises(ValueError, match="must"):
        GateRules(**rules)


def test_latency_quantiles_are_good_to_a_fifth() -> None:
    """Quantiles of the histogram are at most a bin above those of the durations."""
    durations = np.random.default_rng(1).lognormal(8, 1, 5_000).astype(np.int64)
    histogram = LatencyHistogram()
    for one in durations.tolist():
        histogram.add(one)
    for share in (0.1, 0.5, 0.99):
        exact = np.quantile(durations, share, method="inverted_cdf")
        found = histogram.quantile_ns(share)
        assert found is not None
        assert exact <= found <= exact * 1.2 + 2
    plain = histogram.as_plain()
    assert plain["count"] == 5_000
    assert plain["max_us"] == durations.max() / 1e3
    assert LatencyHistogram().quantile_ns(0.5) is None
