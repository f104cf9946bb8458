"""Why the model of a running node decided as it did."""

import math
import re
from pathlib import Path

import msgspec
import pytest

from ml.contributions import Explainer
from strategies.trade_manager.skips import SkipReason
from tests.model_folder import NAMES, model_folder, rows
from ui.attached.reasons import NodeReasons
from ui.protocol import SNAP, Message, ModelDecision, Snapshot

WORDS = Path(__file__).resolve().parents[2] / "ui" / "frontend" / "src" / "lib" / "reasons.ts"


@pytest.mark.parametrize("reason", SkipReason)
def test_every_reason_to_skip_has_words(reason: SkipReason) -> None:
    """The terminal shows them: a code such as `side` says nothing to a person."""
    assert re.search(rf"^  {reason}: '[^']+',$", WORDS.read_text(), re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a trained model."""
    return model_folder(tmp_path / "model")


def loaded(folder: Path) -> NodeReasons:
    """Return reasons by a model that is loaded."""
    reasons = NodeReasons([str(folder), str(folder)])
    reasons.start()
    reasons.wait()
    return reasons


def decisions(folder: Path) -> list[ModelDecision]:
    """Return decisions as a node sends them: with what the model saw, but for what was missing."""
    explainer, x = Explainer.load(folder), rows(20, seed=5)
    told = []
    for number, (row, one) in enumerate(zip(x, explainer.explain(x), strict=True)):
        seen = {
            name: value for name, value in zip(NAMES, map(float, row), strict=True) if math.isfinite(value)
        }
        told.append(
            ModelDecision(
                ins="X",
                ts=1,
                i=2,
                setup=f"S{number}",
                p=one.probability,
                thr=0.5,
                verdict="keep",
                inputs={"p_star": 0.5, **seen},
            )
        )
    return told


def test_decisions_get_the_contributions_to_their_probability(folder: Path) -> None:
    """Missing values included; the inputs go no further."""
    reasons, known = loaded(folder), decisions(folder)
    explainer, x = Explainer.load(folder), rows(20, seed=5)
    told = [reasons.explained(Message("e", 1, 1, "mdl", one)).payload for one in known]
    expected = [[(part.feature, part.contribution) for part in one.top[:5]] for one in explainer.explain(x)]
    assert [one.why for one in told] == expected
    assert all(one.inputs == {} for one in told)
    (snap,) = [reasons.explained(Message("e", 1, 1, SNAP, Snapshot(mdl=known))).payload]
    assert [one.why for one in snap.mdl] == expected


def test_a_decision_of_another_model_is_not_explained(folder: Path) -> None:
    """Its probability does not come out of this one."""
    (first, *_) = decisions(folder)
    other = msgspec.structs.replace(first, p=first.p / 2)
    told = loaded(folder).of(other)
    assert (told.why, told.inputs) == ([], {})


def test_a_model_that_cannot_be_loaded_leaves_decisions_as_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why."""
    reasons = loaded(tmp_path / "nothing")
    decision = ModelDecision(ins="X", ts=1, i=2, setup="S", p=0.5, thr=0.5, verdict="keep", inputs={"a": 1.0})
    assert reasons.of(decision).why == []
    assert "without reasons" in caplog.text
