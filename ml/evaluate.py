"""A model against rows it did not learn from; and whether they really are such rows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xgboost as xgb

from ml.booster import margins
from ml.calibration import calibrate
from ml.dataset import Dataset
from ml.passport import (
    HASH_ATTRIBUTE,
    MODEL_FILE,
    PASSPORT_FILE,
    Metrics,
    Passport,
    PassportError,
    Verdict,
    decode,
    model_sha256,
    self_hash,
)
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
    is_in_sample
        The rows touch the span that the model learnt from: the figures say nothing about tomorrow.
    scored
        The rows with their predictions.
    """

    metrics: Metrics
    verdict: Verdict
    reasons: tuple[str, ...]
    is_in_sample: bool
    scored: Scored


def read_model(folder: Path) -> tuple[Passport, xgb.Booster]:
    """Read a model for study in this process: hashes first, then XGBoost.

    A model that shall decide is loaded by `ml.model`, which guards against more.

    Raises
    ------
    PassportError
        Damaged, swapped, or not belonging together.
    OSError
        When a file cannot be read.
    """
    passport = decode((folder / PASSPORT_FILE).read_bytes())
    content = (folder / MODEL_FILE).read_bytes()
    if model_sha256(content) != passport.model_sha256:
        raise PassportError(f"{MODEL_FILE} is not the file its passport names: damaged or swapped")
    booster = xgb.Booster()
    booster.load_model(bytearray(content))
    if booster.attr(HASH_ATTRIBUTE) != self_hash(passport):
        raise PassportError(f"{MODEL_FILE} names another passport: the two do not belong together")
    return passport, booster


def evaluate(passport: Passport, booster: xgb.Booster, data: Dataset, settings: TrainSettings) -> Evaluation:
    """Measure the model on the filled orders of a dataset.

    Parameters
    ----------
    passport, booster
        See `read_model`.
    data
        Decisions with labels; later than the model's own for an honest answer.
    settings
        For margin, redraws and bounds of the verdict.

    Raises
    ------
    ValueError
        When the features differ, or fewer than 20 filled orders are left.
    """
    if data.schema_hash != passport.feature_schema_sha256 or data.names != tuple(
        one.name for one in passport.features
    ):
        raise ValueError("the dataset has other features than the model: make it again, or train again")
    rows = data.rows(np.isfinite(data.net_r))
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
    span = passport.data
    is_in_sample = bool(rows.t0_ns.min() <= span.end_ns and rows.t1_ns.max() >= span.start_ns)
    return Evaluation(metrics, decided, reasons, is_in_sample, scored)
