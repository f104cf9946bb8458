"""A boosted model as flat arrays: read from XGBoost's own JSON, walked by `ml.kernels.walker`.

XGBoost's call for one row takes a hundred times what its trees take. What the walker does not cover is
refused with a reason; the caller then falls back to `Booster.inplace_predict`.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml.kernels.walker import LANES, WALK_DTYPE, margin_at, probability_at, scan

MAX_DEPTH: Final = 8
"""Of a padded tree; its arrays double with every level."""
MAX_TREES: Final = 100_000
FLOAT32_MAX: Final = float(np.finfo(np.float32).max)


class ModelNotCovered(ValueError):  # noqa: N818 - it says what is the case, and the fallback is no error
    """The model is sound, but of a kind that the walker does not walk."""


class Walker:
    """Scores rows with the trees of an XGBoost model, bit for bit as XGBoost does.

    Parameters
    ----------
    model_json
        What ``Booster.save_raw("json")`` or ``save_model("model.json")`` wrote.

    Raises
    ------
    ModelNotCovered
        For anything but one binary logistic output of numeric trees of depth <= 8.
    ValueError
        If the bytes are no model: not JSON, parts missing, a child outside of its tree.

    Notes
    -----
    NaN is "missing", as in training. Infinite values are the caller's to refuse, as XGBoost does.
    One instance belongs to one thread: the row is laid out in memory of the instance.
    """

    def __init__(self, model_json: bytes) -> None:
        try:
            learner = json.loads(model_json)["learner"]
            _require_covered(learner)
            self.feature_count = int(learner["learner_model_param"]["num_feature"])
            self.feature_names = tuple(learner.get("feature_names") or ())
            base = base_margin(learner["learner_model_param"]["base_score"])
            trees = [
                _Tree(tree, self.feature_count) for tree in learner["gradient_booster"]["model"]["trees"]
            ]
        except ModelNotCovered:
            raise
        except (KeyError, TypeError, IndexError, AttributeError, UnicodeDecodeError) as error:
            raise ValueError(f"not an XGBoost model in JSON: {type(error).__name__} {error}") from error
        except (ValueError, RecursionError, OverflowError) as error:
            raise ValueError(f"not an XGBoost model in JSON: {error}") from error
        self.tree_count = len(trees)
        self.depth = max([1, *(tree.depth for tree in trees)])
        if self.depth > MAX_DEPTH:
            raise ModelNotCovered(f"trees of depth {self.depth}, at most {MAX_DEPTH} are walked")
        self._lay_out(trees, base)

    def _lay_out(self, trees: "Sequence[_Tree]", base: np.float32) -> None:
        padded = -(-len(trees) // LANES) * LANES
        inner = (1 << self.depth) - 1
        # A padding node sends every row left; a padding tree adds zero, which changes no bit.
        self._nodes = np.zeros((padded, inner), np.uint16)
        self._thresholds = np.full((padded, inner), np.inf, np.float32)
        self._leaves = np.zeros((padded, inner + 1), np.float32)
        for index, tree in enumerate(trees):
            tree.fill(self._nodes[index], self._thresholds[index], self._leaves[index], self.depth)
        self._wide = np.zeros(2 * self.feature_count, np.float32)
        self._walks = np.zeros(1, WALK_DTYPE)
        self._walks[0] = (
            self.feature_count,
            padded,
            self.depth,
            self._nodes.ctypes.data,
            self._thresholds.ctypes.data,
            self._leaves.ctypes.data,
            self._wide.ctypes.data,
            base,
            0,
        )
        self.address = self._walks.ctypes.data
        """Of the record of `WALK_DTYPE` that `margin_at` and a fused chain take; valid while self lives."""
        self.row = np.zeros(self.feature_count, np.float64)
        """Shape (feature_count,): write a row here, then call `score`."""
        self._row_address = self.row.ctypes.data

    def score(self) -> float:
        """Return the margin of `row`: the fastest way, nothing is checked or copied."""
        return margin_at(self.address, self._row_address)

    def probability(self) -> float:
        """Return the probability of `row` before calibration, 0..1: as `score`."""
        return probability_at(self.address, self._row_address)

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the probabilities of many rows before calibration.

        Parameters
        ----------
        rows
            Shape (m, feature_count), the features in their own units, NaN where missing.

        Returns
        -------
        ndarray
            Shape (m,), 0..1, equal to `Booster.predict` in every bit.

        Raises
        ------
        ValueError
            If the shape is wrong or a value is infinite in single precision.
        """
        return self._scan(rows)[1]

    def margins(self, rows: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the margins (log-odds) of many rows, shape (m,); arguments and errors as in `predict`."""
        return self._scan(rows)[0]

    def _scan(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rows = np.ascontiguousarray(rows, np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.feature_count:
            raise ValueError(f"rows of shape {rows.shape}, the model takes (m, {self.feature_count})")
        with np.errstate(over="ignore"):
            if np.isinf(rows.astype(np.float32)).any():
                raise ValueError("a row holds an infinite value: leave it out or mark it missing (NaN)")
        margins = np.empty(len(rows), np.float32)
        probabilities = np.empty(len(rows), np.float32)
        scan(self._walks, rows, margins, probabilities)
        return margins, probabilities


class _Tree:
    """One tree as XGBoost stores it, checked: nodes with the indices of their children."""

    def __init__(self, tree: Mapping[str, Any], feature_count: int) -> None:
        if any(tree.get("split_type", ())) or tree.get("categories"):
            raise ModelNotCovered("it has categorical splits")
        if tree["tree_param"].get("size_leaf_vector", "1") not in ("0", "1"):
            raise ModelNotCovered("its leaves are vectors")
        self.left: list[int] = tree["left_children"]
        self.right: list[int] = tree["right_children"]
        self.feature: list[int] = tree["split_indices"]
        self.condition: list[float] = tree["split_conditions"]
        self.default_left: list[int] = tree["default_left"]
        count = len(self.left)
        parts = (self.right, self.feature, self.condition, self.default_left)
        if count == 0 or any(len(part) != count for part in parts):
            raise ValueError("a tree's columns have different lengths")
        self._count = feature_count
        self.depth = self._checked_depth()

    def _checked_depth(self) -> int:
        count, deepest, visited = len(self.left), 0, 0
        todo = [(0, 0)]
        while todo:
            node, level = todo.pop()
            visited += 1
            # More visits than nodes: a child is its own ancestor.
            if not 0 <= node < count or visited > count:
                raise ValueError(f"a tree of {count} nodes points at node {node}")
            if not abs(self.condition[node]) <= FLOAT32_MAX:  # NaN fails as well
                raise ValueError(f"a tree has the threshold {self.condition[node]}")
            deepest = max(deepest, level)
            if self.left[node] != -1:
                if not 0 <= self.feature[node] < self._count:
                    raise ValueError(f"a tree splits on column {self.feature[node]} of {self._count}")
                todo += [(self.left[node], level + 1), (self.right[node], level + 1)]
        return deepest

    def fill(
        self,
        nodes: NDArray[np.uint16],
        thresholds: NDArray[np.float32],
        leaves: NDArray[np.float32],
        depth: int,
    ) -> None:
        """Write the tree, padded to `depth`, as a heap: children of i at 2i + 1 and 2i + 2."""
        todo = [(0, 0, 0)]
        while todo:
            node, place, level = todo.pop()
            if self.left[node] == -1:
                # Every path below ends in the same leaf.
                span = 1 << (depth - level)
                first = (place + 1) * span - (1 << depth)
                leaves[first : first + span] = np.float32(self.condition[node])
                continue
            offset = 0 if self.default_left[node] else self._count
            nodes[place] = self.feature[node] + offset
            thresholds[place] = np.float32(self.condition[node])
            todo += [
                (self.left[node], 2 * place + 1, level + 1),
                (self.right[node], 2 * place + 2, level + 1),
            ]


def base_margin(base_score: str) -> np.float32:
    """Return the margin that stands for a base score, in the arithmetic of XGBoost.

    Parameters
    ----------
    base_score
        A probability above 0 and below 1 as XGBoost writes it: ``5E-1`` or, since 3.1, ``[5E-1]``.

    Raises
    ------
    ValueError
        If it is no such number.

    Notes
    -----
    log(b / (1 - b)) is nicer and, in single precision, one unit off for a quarter of all rows.
    """
    if not re.fullmatch(r"\[?[0-9.eE+-]+\]?", base_score):
        raise ModelNotCovered(f"it has the base score {base_score!r}, one number is covered")
    score = np.float32(base_score.strip("[]"))
    if not 0 < score < 1:
        raise ValueError(f"base score {score} is no probability")
    odds = np.float32(np.float32(1.0) / score - np.float32(1.0))
    return np.float32(-math.log(float(odds)))


def _require_covered(learner: Mapping[str, Any]) -> None:
    booster = learner["gradient_booster"]
    parameters = learner["learner_model_param"]
    objective = learner["objective"]["name"]
    if booster.get("name") != "gbtree":
        raise ModelNotCovered(f"booster {booster.get('name')!r}, only gbtree is walked")
    if objective != "binary:logistic":
        raise ModelNotCovered(f"objective {objective!r}, only binary:logistic is walked")
    if parameters.get("num_class", "0") not in ("0", "1") or parameters.get("num_target", "1") != "1":
        raise ModelNotCovered("it has several outputs")
    if not 0 < int(parameters["num_feature"]) < 1 << 15:
        raise ValueError(f"{parameters['num_feature']} columns")
    trees = booster["model"]["trees"]
    if not isinstance(trees, list) or len(trees) > MAX_TREES:
        raise ValueError("its trees are no list, or too many")


__all__ = ["MAX_DEPTH", "ModelNotCovered", "Walker", "base_margin"]
