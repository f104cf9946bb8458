"""Training of one booster: the same bytes for the same rows, settings and seed, whatever the threads."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ml.scores import log_losses, weighted_mean
from ml.train_settings import TreeSettings

Floats = NDArray[np.float64]
Outcomes = NDArray[np.int8]


class Machine(NamedTuple):
    """Where a booster is trained: threads, ``cpu`` or ``cuda``, and the seed of its sampling."""

    threads: int
    device: str
    seed: int


class Rows(NamedTuple):
    """Rows with outcomes and weights: shapes (n, f), (n,), (n,)."""

    x: Floats
    y: Outcomes
    weight: Floats

    def base_rate(self) -> float:
        """Return the weighted share of ones, drawn in from 0 and 1 so that its logit is finite."""
        positive, total = float(self.weight[self.y == 1].sum()), float(self.weight.sum())
        return (positive + 1.0) / (total + 2.0)


def has_cuda() -> bool:
    """Return whether this XGBoost was built for CUDA."""
    return bool(xgb.build_info().get("USE_CUDA"))


def train_booster(
    rows: Rows,
    names: Sequence[str],
    trees: TreeSettings,
    machine: Machine,
    rounds: int,
    *,
    monotone: dict[str, int],
    stop: Rows | None = None,
    stop_rounds: int = 30,
) -> tuple[xgb.Booster, int]:
    """Train with early stopping on `stop`, or for exactly `rounds` without it.

    Parameters
    ----------
    rows, stop
        What is learnt from, and a purged slice of later rows that decides when to stop.
    names
        Columns of x, in order.
    trees, machine
        See there.
    rounds
        Most trees.
    monotone
        -1 or +1 by name: the probability may only fall or rise with this feature.
    stop_rounds
        Trees without improvement after which it stops.

    Returns
    -------
    tuple[Booster, int]
        The booster cut to its best number of trees, and that number, at least 1.
    """
    matrix = xgb.QuantileDMatrix(
        rows.x, label=rows.y, weight=rows.weight, feature_names=list(names), nthread=machine.threads,
        max_bin=trees.max_bin,
    )  # fmt: skip
    evals, metric = [], None
    if stop is not None:
        watched = xgb.QuantileDMatrix(
            stop.x, label=stop.y, weight=stop.weight, feature_names=list(names), nthread=machine.threads,
            max_bin=trees.max_bin, ref=matrix,
        )  # fmt: skip
        evals, metric = [(watched, "stop")], _LogLoss(stop)
    booster = xgb.train(
        _parameters(rows, names, trees, machine, monotone),
        matrix,
        num_boost_round=rounds,
        evals=evals,
        custom_metric=metric,
        early_stopping_rounds=stop_rounds if stop is not None else None,
        verbose_eval=False,
    )
    best = booster.best_iteration + 1 if stop is not None else rounds
    return booster[:best], best


def margins(booster: xgb.Booster, x: Floats, threads: int = 1) -> Floats:
    """Return the margins of rows of shape (n, f): float32 of XGBoost, widened, shape (n,)."""
    matrix = xgb.DMatrix(x, feature_names=booster.feature_names, nthread=threads)
    return np.asarray(booster.predict(matrix, output_margin=True), dtype=np.float64)


def raw_probabilities(booster: xgb.Booster, x: Floats, threads: int = 1) -> Floats:
    """Return XGBoost's own probabilities, before calibration: float32, widened, shape (n,)."""
    matrix = xgb.DMatrix(x, feature_names=booster.feature_names, nthread=threads)
    return np.asarray(booster.predict(matrix), dtype=np.float64)


def contributions(booster: xgb.Booster, x: Floats, threads: int = 1) -> Floats:
    """Return SHAP values of the margin, shape (n, f + 1); the last is the base, rows sum to margins."""
    matrix = xgb.DMatrix(x, feature_names=booster.feature_names, nthread=threads)
    return np.asarray(booster.predict(matrix, pred_contribs=True), dtype=np.float64)


def model_bytes(booster: xgb.Booster, attributes: dict[str, str]) -> bytes:
    """Return ``model.json`` with attributes set, without those that XGBoost adds by itself."""
    copied = booster.copy()
    copied.set_attr(**dict.fromkeys(copied.attributes(), None))
    copied.set_attr(**attributes)
    content = bytes(copied.save_raw("json"))
    json.loads(content)  # the walker and other programs read it as JSON
    return content


class _LogLoss:
    # In numpy, in the order of the rows: XGBoost's own sum over threads may differ in the last bit, and with
    # it the number of trees.
    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __call__(self, predicted: NDArray[np.float32], _matrix: xgb.DMatrix) -> tuple[str, float]:
        losses = log_losses(predicted.astype(np.float64), self._rows.y)
        return "logloss64", weighted_mean(losses, self._rows.weight)


def _parameters(
    rows: Rows, names: Sequence[str], trees: TreeSettings, machine: Machine, monotone: dict[str, int]
) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "objective": "binary:logistic",
        "disable_default_eval_metric": True,
        "tree_method": "hist",
        "device": machine.device,
        "nthread": machine.threads,
        "seed": machine.seed,
        # Given, because the estimate of several threads may differ in the last bit.
        "base_score": float(np.float32(rows.base_rate())),
        "max_depth": trees.max_depth,
        "learning_rate": trees.learning_rate,
        "min_child_weight": trees.min_child_weight,
        "subsample": trees.subsample,
        "colsample_bytree": trees.colsample,
        "reg_lambda": trees.reg_lambda,
        "max_bin": trees.max_bin,
    }
    if monotone:
        signs = (monotone.get(name, 0) for name in names)
        parameters["monotone_constraints"] = f"({','.join(str(sign) for sign in signs)})"
    return parameters
