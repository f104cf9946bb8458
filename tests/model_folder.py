"""Small trained models with complete passports, for tests of what reads them."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import xgboost as xgb

from ml.model import Wanted, calibrated
from ml.passport import (
    HASH_ATTRIBUTE,
    MODEL_FILE,
    PASSPORT_FILE,
    Build,
    Calibration,
    DataFile,
    DataManifest,
    DecisionRule,
    DriftBins,
    DriftReference,
    FeatureField,
    KernelInfo,
    LabelRule,
    Metrics,
    Passport,
    Probe,
    SplitInfo,
    SymbolScope,
    encode,
    model_sha256,
    seal,
    self_hash,
)

NAMES = ("flow", "speed", "distance")
INSTRUMENT = "XRPUSDT.BINANCE"
SCHEMA, KERNEL = "a" * 64, "b" * 64
EXPIRES_NS = 2_000_000_000 * 10**9
WANTED = Wanted(
    feature_names=NAMES,
    feature_schema=lambda _names: SCHEMA,
    kernel_sha256=KERNEL,
    instrument_id=INSTRUMENT,
    stream="trades",
    bucket_usd=10_000.0,
    now_ns=1_700_000_000 * 10**9,
)
METRICS = Metrics(
    auc=0.7,
    auc_ci=(0.65, 0.75),
    logloss=0.6,
    base_logloss=0.69,
    logloss_gain_ci=(0.05, 0.12),
    brier=0.2,
    slope=1.0,
    reliability=(),
    kept_share=0.5,
    expectancy_kept_r=0.2,
    expectancy_all_r=-0.1,
    expectancy_gain_r=0.3,
    expectancy_gain_ci=(0.1, 0.5),
    dsr=0.97,
    pbo=None,
    n_trials=1,
)


def rows(count: int, seed: int = 5) -> np.ndarray:
    """Return standard normal rows, a tenth of the values missing."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, len(NAMES)))
    x[generator.random(x.shape) < 0.1] = np.nan
    return x


def train(**parameters: Any) -> xgb.Booster:
    """Train on a plain rule: the more signed flow, the better."""
    x = rows(600)
    y = (np.random.default_rng(6).random(600) < 1 / (1 + np.exp(-3 * np.nan_to_num(x[:, 0])))).astype(float)
    settings = {"objective": "binary:logistic", "max_depth": 2, "nthread": 1, **parameters}
    return xgb.train(settings, xgb.DMatrix(x, y, feature_names=list(NAMES)), 8)


def passport_of(booster: xgb.Booster, **changes: Any) -> Passport:
    """Return an unsealed passport that fits a model and `WANTED`."""
    x = rows(8, seed=7)
    margin = booster.inplace_predict(x, predict_type="margin", validate_features=False)
    p = booster.inplace_predict(x, validate_features=False)
    a, b = 0.9, -0.1
    deciles = tuple(
        np.quantile(np.random.default_rng(8).normal(size=4_000), np.arange(0.1, 1.0, 0.1)).tolist()
    )
    bins = DriftBins(edges=deciles, freq=(0.1,) * 10, low=-4.0, high=4.0)
    scores = DriftBins(edges=tuple((np.arange(1, 10) / 10).tolist()), freq=(0.1,) * 10)
    fields: dict[str, Any] = {
        "features": tuple(FeatureField(name=name) for name in NAMES),
        "feature_schema_sha256": SCHEMA,
        "kernel": KernelInfo(source_sha256=KERNEL),
        "symbols": {INSTRUMENT: SymbolScope(venue="BINANCE", stream="trades", bucket_usd=10_000)},
        "data": DataManifest(files=(DataFile(name="day.parquet"),), start_ns=1, end_ns=2),
        "label": LabelRule(latency_ms=50),
        "split": SplitInfo(
            scheme="purged", folds=5, embargo_secs=60, n_events=600, n_orders=300, n_effective=300, seed=1
        ),
        "metrics": METRICS,
        "calibration": Calibration(a=a, b=b),
        "decision": DecisionRule(margin=0.0),
        "verdict": "skill",
        "drift_ref": DriftReference(
            features=dict.fromkeys(NAMES, bins),
            score=scores,
            first_looks=dict.fromkeys(NAMES, bins),
            n_orders=4_000,
        ),
        "probe": Probe(
            x=tuple(tuple(None if np.isnan(one) else float(one) for one in row) for row in x),
            margin=tuple(margin.tolist()),
            p=tuple(p.tolist()),
            calibrated=tuple(calibrated(float(one), a, b) for one in margin),
        ),
        "expires_ns": EXPIRES_NS,
        "build": Build(created="2026-01-01T00:00:00Z"),
    }
    return Passport(**{**fields, **changes})


def write(folder: Path, passport: Passport, booster: xgb.Booster, content: bytes | None = None) -> Path:
    """Write a model folder as training does; `content` stands in for the model's bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    booster.set_attr(**{HASH_ATTRIBUTE: self_hash(seal(passport))})
    content = bytes(booster.save_raw("json")) if content is None else content
    named = msgspec.structs.replace(passport, model_id=folder.name, model_sha256=model_sha256(content))
    (folder / MODEL_FILE).write_bytes(content)
    (folder / PASSPORT_FILE).write_bytes(encode(seal(named)))
    return folder


def model_folder(folder: Path, parameters: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Train a model and write it with its passport; `changes` replace fields of the passport."""
    booster = train(**(parameters or {}))
    return write(folder, passport_of(booster, **changes), booster)
