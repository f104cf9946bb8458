"""The walker gives the bits of XGBoost, row by row, or says that it does not cover a model."""

import json
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from ml.walker import ModelNotCovered, Walker, base_margin

ROWS, FEATURES = 20_000, 12
type Tree = dict[str, Any]


def rows(seed: int = 1, count: int = ROWS) -> np.ndarray:
    """Return rows of several scales with missing values, some in whole rows."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, FEATURES)) * 10.0 ** generator.integers(-4, 5, FEATURES)
    x[generator.random(x.shape) < 0.1] = np.nan
    x[:: count // 10] = np.nan
    return x


def booster(count: int = 4_000, rounds: int = 21, **parameters: Any) -> xgb.Booster:
    """Train a model in which every column, and whether it is missing, matters."""
    x = rows(2, count)
    signal = np.nan_to_num(x / np.nanstd(x, axis=0), nan=0.7).sum(axis=1)
    y = (np.random.default_rng(3).random(count) < 1 / (1 + np.exp(-signal))).astype(float)
    settings = {"objective": "binary:logistic", "nthread": 1, "eta": 0.3, **parameters}
    trained = xgb.train(settings, xgb.DMatrix(x, y), rounds)
    return xgb.Booster({"nthread": 1}, model_file=bytearray(trained.save_raw("json")))


def content(model: xgb.Booster) -> bytes:
    """Return the model as JSON."""
    return bytes(model.save_raw("json"))


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_depth": 1},
        {"max_depth": 3, "base_score": 0.03},
        {"max_depth": 5, "base_score": 0.97},
        {"max_depth": 8, "base_score": 0.5, "min_child_weight": 0},
        {"max_depth": 7, "max_leaves": 20, "grow_policy": "lossguide"},
        {"max_depth": 4, "num_parallel_tree": 2},
    ],
    ids=lambda parameters: "-".join(f"{name}={value}" for name, value in parameters.items()),
)
def test_same_bits_as_xgboost(parameters: dict[str, Any]) -> None:
    """Probabilities and margins of 20,000 rows with missing values are equal in every bit."""
    model = booster(**parameters)
    walker = Walker(content(model))
    x = rows()
    assert np.isnan(x).any(axis=1).mean() > 0.5
    expected = model.inplace_predict(x)
    assert len(np.unique(expected)) > 5
    assert walker.predict(x).tobytes() == expected.tobytes()
    assert walker.predict(x).tobytes() == model.predict(xgb.DMatrix(x)).tobytes()
    assert walker.margins(x).tobytes() == model.inplace_predict(x, predict_type="margin").tobytes()


def test_one_row_equals_the_batch() -> None:
    """The call by address gives what the loop over rows gives, also after a row full of gaps."""
    walker = Walker(content(booster(max_depth=4)))
    x = rows()[:500]
    margins, probabilities = walker.margins(x), walker.predict(x)
    for index, row in enumerate(x):
        walker.row[:] = row
        assert walker.score() == margins[index]
        assert walker.probability() == probabilities[index]


def test_threshold_itself_goes_right() -> None:
    """A value on a threshold is not below it; values a bit apart in double but not in single are equal."""
    model = booster(max_depth=3, rounds=8)
    tree = json.loads(content(model))["learner"]["gradient_booster"]["model"]["trees"][0]
    x = np.repeat(rows()[:1], 3, axis=0)
    threshold = float(np.float32(tree["split_conditions"][0]))
    x[:, tree["split_indices"][0]] = [threshold, np.nextafter(threshold, -np.inf), threshold * (1 - 1e-6)]
    assert Walker(content(model)).predict(x).tobytes() == model.inplace_predict(x).tobytes()


def test_tree_without_split() -> None:
    """A model whose trees are single leaves answers the same for every row."""
    model = booster(gamma=1e9, max_depth=3, rounds=3)
    assert Walker(content(model)).predict(rows()[:9]).tobytes() == model.inplace_predict(rows()[:9]).tobytes()


def test_infinite_value_is_refused() -> None:
    """Neither infinity nor what becomes infinite in single precision is scored; a wrong width neither."""
    walker = Walker(content(booster(max_depth=2, rounds=2)))
    for value in (np.inf, -np.inf, 1e39):
        with pytest.raises(ValueError, match="infinite"):
            walker.predict(np.full((1, FEATURES), value))
    with pytest.raises(ValueError, match=r"rows of shape"):
        walker.predict(np.zeros((1, FEATURES - 1)))


def edited(change: Any) -> bytes:
    """Return a small model with something changed in its JSON."""
    plain = json.loads(content(booster(max_depth=2, rounds=2, count=300)))
    change(plain["learner"])
    return json.dumps(plain).encode()


def first_tree(learner: dict[str, Any]) -> Tree:
    """Return the first tree of a model."""
    tree: Tree = learner["gradient_booster"]["model"]["trees"][0]
    return tree


NOT_COVERED = {
    "dart": lambda learner: learner["gradient_booster"].update(name="dart"),
    "another objective": lambda learner: learner["objective"].update(name="reg:squarederror"),
    "classes": lambda learner: learner["learner_model_param"].update(num_class="3"),
    "targets": lambda learner: learner["learner_model_param"].update(num_target="2"),
    "categories": lambda learner: first_tree(learner).update(split_type=[1, 0, 0, 0, 0, 0, 0]),
    "several base scores": lambda learner: learner["learner_model_param"].update(base_score="[5E-1,5E-1]"),
}
DAMAGED = {
    "child outside": lambda learner: first_tree(learner)["left_children"].__setitem__(0, 99),
    "circle": lambda learner: first_tree(learner)["left_children"].__setitem__(0, 0),
    "column outside": lambda learner: first_tree(learner)["split_indices"].__setitem__(0, 99),
    "threshold is no number": lambda learner: first_tree(learner)["split_conditions"].__setitem__(0, "a"),
    "threshold is infinite": lambda learner: first_tree(learner)["split_conditions"].__setitem__(0, 1e99),
    "columns of unequal length": lambda learner: first_tree(learner)["default_left"].pop(),
    "no trees": lambda learner: learner["gradient_booster"].pop("model"),
    "base score is no probability": lambda learner: learner["learner_model_param"].update(base_score="2"),
    "million columns": lambda learner: learner["learner_model_param"].update(num_feature="1000000"),
}


@pytest.mark.parametrize("change", NOT_COVERED.values(), ids=NOT_COVERED)
def test_not_covered(change: Any) -> None:
    """A model of another kind is refused as such, so that the caller can fall back."""
    with pytest.raises(ModelNotCovered):
        Walker(edited(change))


@pytest.mark.parametrize("change", DAMAGED.values(), ids=DAMAGED)
def test_damaged(change: Any) -> None:
    """A model that contradicts itself is an error and never an index outside of an array."""
    with pytest.raises(ValueError, match="not an XGBoost model"):
        Walker(edited(change))


def test_too_deep() -> None:
    """Deeper than eight levels is not covered: the arrays would grow too large."""
    model = booster(max_depth=12, min_child_weight=0, rounds=4)
    with pytest.raises(ModelNotCovered, match="depth"):
        Walker(content(model))


def test_base_margin_in_the_arithmetic_of_xgboost() -> None:
    """The odds are rounded to single precision before the logarithm; the nicer formula is off."""
    score = np.float32(0.38661)
    nicer = np.float32(np.log(np.float64(score) / (1 - np.float64(score))))
    assert base_margin("[3.8661E-1]") != nicer
    assert base_margin("5E-1") == 0.0
