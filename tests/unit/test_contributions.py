"""What is said about a decision adds up to it."""

from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ml.contributions import Explained, Explainer, most_lowering
from ml.model import calibrated
from ml.passport import Calibration
from runtime.contributions import _find
from tests.model_folder import NAMES, model_folder, passport_of, rows, train


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    """Give one that names everything."""
    booster = train()
    return Explainer(passport_of(booster), booster, most=len(NAMES))


def test_contributions_sum_to_the_margin(explainer: Explainer) -> None:
    """Base and contributions give the margin, and its calibration the probability; missing values too."""
    x = rows(200, seed=3)
    assert np.isnan(x).any()
    booster = train()
    expected = booster.inplace_predict(x, predict_type="margin", validate_features=False)
    for one, margin in zip(explainer.explain(x), expected, strict=True):
        total = one.base + one.rest + sum(part.contribution for part in one.top)
        assert total == pytest.approx(float(margin), abs=2e-6)
        assert one.probability == calibrated(float(margin), 0.9, -0.1)


def test_only_the_strongest_are_named() -> None:
    """The largest come first, the others are summed up, and values are those of the row."""
    booster = train()
    few = Explainer(passport_of(booster), booster, most=1)
    everything = Explainer(passport_of(booster), booster, most=len(NAMES))
    x = rows(50, seed=4)
    for row, short, full in zip(x, few.explain(x), everything.explain(x), strict=True):
        assert [(one.feature, one.contribution) for one in short.top] == [
            (one.feature, one.contribution) for one in full.top[:1]
        ]
        assert short.rest == pytest.approx(sum(one.contribution for one in full.top[1:]), abs=1e-9)
        assert all(one.value == row[NAMES.index(one.feature)] for one in full.top if not np.isnan(one.value))


def test_feature_that_lowers_most(explainer: Explainer) -> None:
    """Bad flow lowers the probability, good flow does not; a falling calibration turns that around."""
    bad, good = np.array([[-3.0, 0.0, 0.0]]), np.array([[3.0, 0.0, 0.0]])
    assert explainer.explain(bad)[0].lowering == "flow"
    assert explainer.explain(good)[0].lowering != "flow"
    booster = train()
    turned = Explainer(passport_of(booster, calibration=Calibration(a=-1.0, b=0.0)), booster)
    assert turned.explain(good)[0].lowering == "flow"


def test_ranking_of_what_cancelled() -> None:
    """By how many cancels a feature lowered most; those that nothing lowered count in the share."""
    named = ["flow", "speed", "flow", ""]
    found = most_lowering([Explained(0.2, 0.0, 0.0, (), name) for name in named])
    assert [(one["feature"], one["cancels"], one["share"]) for one in found] == [
        ("flow", 2, 0.5),
        ("speed", 1, 0.25),
    ]
    assert most_lowering([]) == []


def test_wrong_use_is_refused(explainer: Explainer, tmp_path: Path) -> None:
    """Rows of another width would be explained by other names."""
    assert explainer.explain(np.empty((0, len(NAMES)))) == []
    with pytest.raises(ValueError, match="the model has 3 features"):
        explainer.explain(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="most"):
        Explainer(explainer.passport, train(), most=0)
    assert Explainer.load(model_folder(tmp_path / "stored")).names == NAMES


def log_of(*records: dict[str, Any]) -> BytesIO:
    """Return records as a log has them."""
    return BytesIO(b"".join(msgspec.json.encode(one) + b"\n" for one in records))


def record(instrument: str, kind: str, reason: str = "", action: str = "") -> dict[str, Any]:
    """Return a record about the setup S of an instrument."""
    common = {"instrument_id": instrument, "setup_id": "S"}
    if kind == "trade":
        return {"record": "trade", **common, "exit_reason": reason}
    return {"record": "decision", "kind": kind, **common, "reason": reason, "detail": {"action": action}}


def test_setups_of_two_instruments_may_have_one_id() -> None:
    """What became of one instrument's order is not said of the other's."""
    found = _find(
        log_of(
            record("A", "cancel_asked", action="keep"),
            record("B", "cancel_asked", action="keep"),
            record("A", "cancel_asked", action="cancel"),
            record("B", "cancel_asked", action="cancel"),
            record("A", "cancel_outcome", "filled_first"),
            record("B", "cancel_outcome", "cancelled_in_time"),
            record("A", "trade", "stop"),
            record("B", "trade", "target"),
        )
    )
    outcomes = {name: [one.outcome for one in asked] for name, asked in found.items()}
    assert outcomes == {"A": ["stop", "filled_first"], "B": ["target", "cancelled_in_time"]}


def test_last_outcome_of_a_cancel_is_told() -> None:
    """Refused at first, then filled: the order filled."""
    found = _find(
        log_of(
            record("A", "cancel_asked", action="cancel"),
            record("A", "cancel_outcome", "cancel_rejected"),
            record("A", "cancel_outcome", "filled_first"),
        )
    )
    assert [one.outcome for one in found["A"]] == ["filled_first"]
