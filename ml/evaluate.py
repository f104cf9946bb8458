"""A model against rows it did not learn from; and whether they really are such rows."""

from dataclasses import dataclass

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ml.booster import margins
from ml.calibration import calibrate
from ml.cross_validation import judgeable
from ml.dataset import Dataset
from ml.passport import Metrics, Passport, Verdict
from ml.provenance import kind_of
from ml.train_settings import TrainSettings
from ml.verdict import Scored, measure, verdict

FEWEST_ORDERS = 20


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model is worth on some rows.

    Parameters
    ----------
    metrics, verdict, reasons
        As of a training, for these rows.
        Rows that are in-sample are no proof of skill, whatever their figures: that is a reason as well.
    is_in_sample
        Rows lie in or before the span that the model learnt from: the figures say nothing about tomorrow.
    in_sample_rows
        How many of them.
    scored
        The rows with their predictions.
    """

    metrics: Metrics
    verdict: Verdict
    reasons: tuple[str, ...]
    is_in_sample: bool
    in_sample_rows: int
    scored: Scored


def evaluate(passport: Passport, booster: xgb.Booster, data: Dataset, settings: TrainSettings) -> Evaluation:
    """Measure the model on the filled orders of a dataset, tainted ones left out as in training.

    Parameters
    ----------
    passport, booster
        See `ml.model.load_for_study`.
    data
        Decisions with labels; later than the model's own for an honest answer.
    settings
        For margin, redraws and bounds of the verdict.

    Raises
    ------
    ValueError
        When the features or their kernels differ, or fewer than 20 filled orders are left.
    """
    _require_comparable(passport, data)
    rows, _ = judgeable(data, settings)
    orders = len(np.unique(rows.order_id))
    if orders < FEWEST_ORDERS:
        raise ValueError(f"{orders} filled orders are too few to tell, want {FEWEST_ORDERS} or more")
    margin = margins(booster, rows.x)
    base = passport.metrics.base_rate if passport.metrics.base_rate is not None else 0.5
    scored = Scored(
        rows,
        margin,
        calibrate(margin, passport.calibration),
        np.full(len(rows), base),
        np.zeros(len(rows), dtype=np.int64),
    )
    metrics = measure(scored, settings)
    decided, reasons = verdict(metrics, settings)
    touching = in_sample(passport, rows)
    if touching.any():
        share = (
            f"{int(touching.sum()):,} of {len(rows):,} decisions lie in or before the span that the model "
            "learnt from"
        )
        decided, reasons = "no_skill", (f"in-sample: {share}", *reasons)
    return Evaluation(metrics, decided, reasons, bool(touching.any()), int(touching.sum()), scored)


def in_sample(passport: Passport, rows: Dataset) -> NDArray[np.bool_]:
    """Return which rows were decided in or before the training, which ends with its last label, shape (n,).

    Rows before it are no proof either: the model has seen what came after them.
    """
    return rows.t0_ns <= passport.data.end_ns


def _require_comparable(passport: Passport, data: Dataset) -> None:
    if (kind := kind_of(data)) != passport.kind:
        raise ValueError(
            f"the dataset is of kind {kind}, the model of kind {passport.kind}: name another one"
        )
    if data.schema_hash != passport.feature_schema_sha256 or data.names != tuple(
        one.name for one in passport.features
    ):
        raise ValueError("the dataset has other features than the model: make it again, or train again")
    kernel = str(data.meta.get("kernel_sha256") or passport.kernel.source_sha256)
    if kernel != passport.kernel.source_sha256:
        raise ValueError(
            f"the features of the dataset came from kernels {kernel[:12]}, those of the model from "
            f"{passport.kernel.source_sha256[:12]}: make it again, or train again"
        )
