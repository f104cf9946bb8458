"""From a dataset to a model with its passport; pure but for the clock and the commit it is told."""

import hashlib
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ml.booster import has_cuda, margins, model_bytes, raw_probabilities
from ml.calibration import calibrate, fit_platt
from ml.cross_validation import TooFewEventsError, fit_final, usable
from ml.dataset import COLUMNS, Dataset
from ml.drift_reference import drift_reference
from ml.passport import (
    HASH_ATTRIBUTE,
    Build,
    Calibration,
    DecisionRule,
    FeatureField,
    KernelInfo,
    Passport,
    Probe,
    SplitInfo,
    kernel_sha256,
    model_sha256,
    seal,
    self_hash,
)
from ml.provenance import data_manifest, kind_of, label_rule, symbol_scopes
from ml.search import choose
from ml.train_settings import SECOND_NS, TrainSettings
from ml.verdict import Scored, TrialRecord, measure, verdict

__all__ = ["TooFewEventsError", "TrainSettings", "Trained", "dataset_digest", "train", "units_of"]

DAY_SECS = 86_400
PROBE_ROWS = 64
PROBE_KNOCKED_OUT = 8

Advance = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """A model, its passport, and what its report shows.

    Parameters
    ----------
    model
        Bytes of ``model.json``.
    passport
        Sealed, without `model_id`; see `named`.
    booster
        The model itself.
    scored
        Rows that the metrics were taken from: out of fold, or the last quarter after a search.
    trials
        All settings tried.
    path_aucs
        Of every whole history of `cpcv`; one number otherwise.
    """

    model: bytes
    passport: Passport
    booster: xgb.Booster
    scored: Scored
    trials: list[TrialRecord]
    path_aucs: tuple[float, ...]

    def named(self, model_id: str) -> Passport:
        """Return the passport for a folder of this name."""
        return seal(msgspec.structs.replace(self.passport, model_id=model_id))


def units_of(settings: TrainSettings) -> int:
    """Return how often `train` calls `advance` with 1: for a progress bar."""
    blocks = settings.folds + 1
    each = blocks * (blocks - 1) // 2 if settings.scheme == "cpcv" else settings.folds
    return each * (settings.trials + 1) + (2 if settings.trials else 1)


def train(
    data: Dataset,
    settings: TrainSettings,
    build: Build,
    features: Sequence[FeatureField] = (),
    advance: Advance = lambda _amount: None,
) -> Trained:
    """Search, validate, calibrate, judge, and train the final model on all rows.

    Parameters
    ----------
    data
        Decisions with labels; rows of orders that never filled are left out.
    settings
        See there.
    build
        Circumstances for the passport: time, commit. Versions, threads and device are filled in.
    features
        Descriptions of the columns in order; empty takes names alone.
    advance
        Called with 1 after each booster, `units_of` times.

    Raises
    ------
    TooFewEventsError
        See `ml.cross_validation.usable` and `splits`.
    ValueError
        For infinite features, an unknown name in `monotone`, or CUDA where there is none.
    """
    _check(data, settings)
    rows, effective, n_tainted = usable(data, settings)
    found = choose(rows, settings, advance)
    gap, trees, unseen = found.embargo, found.trees, found.unseen
    metrics = measure(found.judged, settings, found.trials)
    decided, reasons = verdict(metrics, settings)
    if (doubt := gap.doubt()) is not None:
        decided, reasons = "no_skill", (*reasons, doubt)
    platt = fit_platt(unseen.margin, unseen.data.y, unseen.data.weight)
    booster, rounds = fit_final(rows, trees, settings, gap.used_ns)
    advance(1)
    described = tuple(features) or tuple(FeatureField(name=name) for name in data.names)
    kind = kind_of(data)
    passport = Passport(
        kind=kind,
        features=described,
        feature_schema_sha256=data.schema_hash,
        kernel=KernelInfo(
            source_sha256=str(data.meta.get("kernel_sha256") or kernel_sha256(kind)),
            state_dtype_sha256=str(data.meta.get("state_dtype_sha256", "")),
        ),
        symbols=symbol_scopes(data.meta),
        strategy=str(data.meta.get("strategy", "")),
        strategy_version=str(data.meta.get("strategy_version", "")),
        data=data_manifest(data, dataset_digest(data)),
        label=label_rule(data.meta),
        split=SplitInfo(
            scheme=settings.scheme,
            folds=found.folds,
            embargo_secs=gap.used_ns / SECOND_NS,
            n_tainted=n_tainted,
            n_judged=len(np.unique(found.judged.data.order_id)),
            embargo_wanted_secs=gap.wanted_ns / SECOND_NS,
            n_events=len(rows),
            n_orders=len(np.unique(rows.order_id)),
            n_effective=effective,
            seed=settings.seed,
        ),
        metrics=metrics,
        calibration=platt,
        decision=DecisionRule(margin=settings.margin),
        verdict=decided,
        reasons=reasons,
        params={**msgspec.structs.asdict(trees), "rounds": rounds}
        | {f"monotone.{name}": sign for name, sign in sorted(settings.monotone.items())},
        drift_ref=drift_reference(data, rows, unseen, booster, platt),
        probe=_probe(booster, rows, platt, settings.seed),
        expires_ns=int(data.t1_ns.max()) + round(settings.valid_days * DAY_SECS) * SECOND_NS,
        build=_build(build, settings),
    )
    # Read as it will be read from the file: the hash that the model carries is taken of that.
    passport = seal(passport)
    content = model_bytes(booster, {HASH_ATTRIBUTE: self_hash(passport)})
    passport = seal(msgspec.structs.replace(passport, model_sha256=model_sha256(content)))
    return Trained(content, passport, booster, found.judged, found.trials, found.path_aucs)


def dataset_digest(data: Dataset) -> str:
    """Return the SHA-256 of names, features and labels, 64 hex digits."""
    digest = hashlib.sha256("\0".join((*data.names, data.schema_hash)).encode())
    for name in ("x", *COLUMNS):
        digest.update(np.ascontiguousarray(getattr(data, name)).tobytes())
    return digest.hexdigest()


def _check(data: Dataset, settings: TrainSettings) -> None:
    unknown = [name for name in settings.monotone if name not in data.names]
    if unknown:
        raise ValueError(f"monotone names {unknown[0]}, which is none of the {len(data.names)} features")
    if settings.device == "cuda" and not has_cuda():
        raise ValueError("device is cuda, but this XGBoost was built without it: install `xgboost`")


def _probe(booster: xgb.Booster, rows: Dataset, platt: Calibration, seed: int) -> Probe:
    chosen = np.unique(np.linspace(0, len(rows) - 1, PROBE_ROWS).astype(np.int64))
    x = rows.x[chosen].copy()
    # Missing values take other ways through the trees, so some rows have them.
    holes = np.random.default_rng(seed).random((min(PROBE_KNOCKED_OUT, len(x)), x.shape[1])) < 0.3
    x[: len(holes)][holes] = np.nan
    margin = margins(booster, x)
    return Probe(
        x=tuple(tuple(None if np.isnan(value) else float(value) for value in row) for row in x),
        margin=_floats(margin),
        p=_floats(raw_probabilities(booster, x)),
        calibrated=_floats(calibrate(margin, platt)),
    )


def _floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _build(build: Build, settings: TrainSettings) -> Build:
    versions = {"xgboost": xgb.__version__, "numpy": np.__version__, "python": platform.python_version()}
    return msgspec.structs.replace(build, packages=versions, threads=settings.threads, device=settings.device)
