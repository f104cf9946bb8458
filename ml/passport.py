"""The passport of a model: what it was trained on, what it is worth, and when it may be used.

``passport.json`` lies beside ``model.json``. It is canonical JSON (sorted keys, no spaces, one newline at the
end) and sealed: `sha256` covers every other field, so one flipped byte is found. The model carries the hash
of what the passport says about it (`self_hash`), so neither file can be replaced alone.
"""

import hashlib
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

PASSPORT_FILE: Final = "passport.json"
MODEL_FILE: Final = "model.json"
SCHEMA_VERSION: Final = 3
# Booster attribute that holds `self_hash`.
HASH_ATTRIBUTE: Final = "passport_sha256"
# Fields that say where, when and how a model was made; the same data and seed give the same model bytes
# in another folder, on another day, with another number of threads.
OUTSIDE_SELF_HASH: Final = ("model_id", "model_sha256", "sha256", "build")

Verdict = Literal["skill", "no_skill"]
Stream = Literal["trades", "aggtrades", "klines"]
Setting = float | int | str | bool | None
# What a model decides about: resting entries while price approaches, or signals of the kline strategy.
Kind = Literal["cancel", "signal"]

_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_ROOT: Final = Path(__file__).resolve().parents[1]
# Everything whose edit can change a feature: kernels, what feeds them, and the defaults of bucket and
# structure, which are in the text of their modules. The walker is not among them.
_FEATURE_KERNELS: Final[dict[Kind, tuple[str, ...]]] = {
    "cancel": (
        "packet_builder/*.py",
        "packet_builder/kernels/*.py",
        "indicators/*.py",
        "indicators/kernels/*.py",
        "ml/decisions.py",
        "ml/features.py",
        "ml/market.py",
        "ml/kernels/features*.py",
        "ml/kernels/landmarks.py",
    ),
    "signal": (
        "indicators/*.py",
        "indicators/confluence/*.py",
        "indicators/kernels/*.py",
        "ml/signal_features.py",
        "ml/signal_measures.py",
        "ml/signal_outcomes.py",
    ),
}


class PassportError(ValueError):
    """A passport that cannot be trusted: damaged, incomplete, or edited after it was sealed."""


class FeatureField(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column of the feature vector, in the order of the model.

    Parameters
    ----------
    name, unit
        Ordered columns are checked at load: XGBoost takes permuted ones without a word.
    dtype
        Of the vector before XGBoost makes it float32.
    source, lookback
        Where it comes from and how many closed buckets it reads, as `ml.features` declares it.
    """

    name: str
    unit: str = ""
    dtype: str = "float64"
    source: str = ""
    lookback: str = ""


class KernelInfo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which kernels computed the features: SHA-256 of their sources, and of the records that they read."""

    source_sha256: str
    state_dtype_sha256: str = ""


class SymbolScope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a live feed must look like for the model to mean anything on it.

    Parameters
    ----------
    venue
        Nautilus venue, e.g. ``BINANCE``.
    stream
        ``trades`` or ``aggtrades``; aggregation changes features that are not invariant. ``klines`` of a
        model of signals.
    bucket_usd
        Quote value of one bucket; 0 for klines.
    price_decimals, size_decimals
        Precision of the instrument at training; None where it was not recorded.
    vpin_window
        Buckets of the VPIN ring; None where it was not recorded.
    timeframe
        Of the signals, for example ``5m``; None for trades.
    parameters
        Settings of the strategy that shape its entries and exits, by name; empty where not recorded.
    maker_fee_bps, taker_fee_bps
        That the outcomes were charged, basis points per side; None where not recorded.
    """

    venue: str
    stream: Stream
    bucket_usd: float
    price_decimals: int | None = None
    size_decimals: int | None = None
    vpin_window: int | None = None
    timeframe: str | None = None
    parameters: dict[str, Setting] = {}
    maker_fee_bps: float | None = None
    taker_fee_bps: float | None = None


class DataFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source file of the trades; ids and hash are None where the source has none."""

    name: str
    rows: int | None = None
    first_id: int | None = None
    last_id: int | None = None
    sha256: str | None = None


class DataManifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data of the training: files, first decision and last label (UNIX ns), missing ids, dataset hash.

    `[start_ns, end_ns]` is the span of the training: a run in or before it is labelled in-sample everywhere.
    """

    files: tuple[DataFile, ...]
    start_ns: int
    end_ns: int
    gaps: int = 0
    dataset_sha256: str = ""
    synthetic: bool = False


class LabelRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the outcomes were decided; fees in basis points per side, None where not recorded.

    There is no horizon: an order is followed until its own exits end it.
    """

    fill_rule: str = ""
    exit_rule: str = ""
    latency_ms: float | None = None
    maker_fee_bps: float | None = None
    taker_fee_bps: float | None = None


class SplitInfo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How out-of-sample was made: scheme, folds, embargo, and how many events that leaves.

    `n_events` counts rows, `n_orders` the orders they belong to, and `n_effective` the independent events
    that overlapping labels are worth (sum of their uniqueness). `embargo_wanted_secs` is what look-back and
    label span ask for, None where not recorded. `n_tainted` orders were left out because trades were missing
    while they were in position. `n_judged` orders gave the figures; 0 where not recorded.
    """

    scheme: str
    folds: int
    embargo_secs: float
    n_events: int
    n_orders: int
    n_effective: float
    seed: int
    embargo_wanted_secs: float | None = None
    n_tainted: int = 0
    n_judged: int = 0


class Bin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bin of the reliability curve: mean prediction, share of targets reached, rows."""

    predicted: float
    observed: float
    n: int


class Metrics(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model is worth out of sample; intervals are (low, high) of 95 %, by blocks of days.

    Parameters
    ----------
    auc, auc_ci
        Area under the ROC curve of purged out-of-fold predictions.
    logloss, base_logloss, logloss_gain_ci
        In nats; the base predicts each fold's training mean. Gain = base - model, paired.
    brier
        Mean squared error of the calibrated probability.
    slope
        Of the reliability line on the logit scale; 1 is calibrated.
    reliability
        Ten bins of equal count.
    kept_share
        Orders that the decision rule keeps, of all orders with an outcome.
    expectancy_kept_r, expectancy_all_r, expectancy_gain_r, expectancy_gain_ci
        Net R per order: kept by the gate, ungated, and their difference. None where no order was kept
        or the dataset has no R.
    dsr
        Deflated Sharpe ratio of the gated orders' R, in [0, 1], deflated by `n_trials`.
    pbo
        Probability of backtest overfitting over the trials and random gates; None with too few orders.
    n_trials
        Settings that were tried, every one counted.
    ci_block_secs
        Length of the blocks that the intervals were drawn with; shorter than a day for a short history.
    base_rate
        Weighted share of orders of the training that reached their target.
    """

    auc: float
    auc_ci: tuple[float, float]
    logloss: float
    base_logloss: float
    logloss_gain_ci: tuple[float, float]
    brier: float
    slope: float | None
    reliability: tuple[Bin, ...]
    kept_share: float
    expectancy_kept_r: float | None
    expectancy_all_r: float | None
    expectancy_gain_r: float | None
    expectancy_gain_ci: tuple[float, float] | None
    dsr: float | None
    pbo: float | None
    n_trials: int
    ci_block_secs: float = 86_400.0
    base_rate: float | None = None


class Calibration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Platt scaling: p = 1 / (1 + exp(-(a * margin + b))), a and b fitted on out-of-fold margins."""

    a: float
    b: float


class DecisionRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to cancel, or to leave a signal: p below p* + margin.

    p* = (stop + fees) / (target + stop) of that order.
    """

    rule: str = "p < pstar + margin"
    margin: float = 0.0


class DriftBins(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reference of the population stability index.

    Parameters
    ----------
    edges
        Inner edges, ascending, shape (k - 1,).
    freq
        Share of the finite reference values in each of the k bins, sum 1.
    missing
        Share of values that were not finite.
    low, high
        Smallest and largest finite value of the training; None where there was none.
    """

    edges: tuple[float, ...]
    freq: tuple[float, ...]
    missing: float = 0.0
    low: float | None = None
    high: float | None = None


class DriftReference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the training saw, to tell values that fit nothing, and days that are not like those.

    Parameters
    ----------
    features
        Of all rows learnt from, by name: which values may be scored, and where they may be missing.
    first_looks, score
        Of the first look at every order, filled or not: features by name, and the calibrated probability,
        out of fold where the model learnt from the order. Drift is judged by these.
    n_orders
        First looks that they were drawn from; 0 where not recorded.
    """

    features: dict[str, DriftBins]
    score: DriftBins
    first_looks: dict[str, DriftBins] = {}
    n_orders: int = 0


class Probe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows with the answers the model must give again, bit for bit.

    Parameters
    ----------
    x
        Feature rows, shape (n, f); None is a missing value.
    margin, p
        XGBoost's margin and probability, float32 widened to float64, shape (n,).
    calibrated
        After `Calibration`, float64, shape (n,).
    """

    x: tuple[tuple[float | None, ...], ...]
    margin: tuple[float, ...]
    p: tuple[float, ...]
    calibrated: tuple[float, ...]


class Build(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Circumstances of the training that must not change the model: time, commit, packages, threads.

    `config_sha256` is that of all settings of the training, threads and device among them.
    """

    created: str
    git: str = ""
    config_sha256: str = ""
    packages: dict[str, str] = {}
    threads: int = 1
    device: str = "cpu"


class Passport(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a loader checks before a model may decide; see the module's text for the seals.

    Parameters
    ----------
    model_id
        Name of the folder it was written to.
    model_sha256
        Of the bytes of ``model.json``, 64 hex digits.
    feature_schema_sha256
        `ml.features.schema_hash` of the ordered names.
    kind
        ``cancel`` decides about resting entries, ``signal`` about signals; neither is taken for the other.
    symbols
        By Nautilus instrument id.
    strategy, strategy_version
        Whose entries it decides about; empty for signals.
    verdict, reasons
        ``no_skill`` with every condition that failed, in words; empty for ``skill``.
    expires_ns
        UNIX ns after which it is refused, counted from the end of its data: a market forgets.
    sha256
        Seal over all other fields.
    """

    schema_version: int = SCHEMA_VERSION
    kind: Kind = "cancel"
    model_id: str = ""
    model_sha256: str = ""
    features: tuple[FeatureField, ...]
    feature_schema_sha256: str
    kernel: KernelInfo
    symbols: dict[str, SymbolScope]
    strategy: str = ""
    strategy_version: str = ""
    data: DataManifest
    label: LabelRule
    split: SplitInfo
    metrics: Metrics
    calibration: Calibration
    decision: DecisionRule
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    params: dict[str, float | int | str | bool] = {}
    drift_ref: DriftReference
    probe: Probe
    expires_ns: int
    build: Build
    sha256: str = ""


def rule_words(passport: Passport) -> str:
    """Return the decision rule for a reader."""
    action = "cancel" if passport.kind == "cancel" else "leave the signal"
    return f"{action} if {passport.decision.rule}, margin {passport.decision.margin:g}"


def self_hash(passport: Passport) -> str:
    """Return the SHA-256 that the model carries: all of the passport but `OUTSIDE_SELF_HASH`."""
    return _hash_without(passport, OUTSIDE_SELF_HASH)


def seal(passport: Passport) -> Passport:
    """Return the passport with its seal.

    Raises
    ------
    PassportError
        When a value cannot be written as JSON and read again, for example NaN.
    """
    # Once through JSON: an int given for a float would otherwise be written differently the second time.
    read = _parse(_ENCODER.encode(passport))
    return msgspec.structs.replace(read, sha256=_hash_without(read, ("sha256",)))


def encode(passport: Passport) -> bytes:
    """Return the canonical bytes of ``passport.json``."""
    return _ENCODER.encode(passport) + b"\n"


def decode(content: bytes) -> Passport:
    """Read a passport and check its seal.

    Raises
    ------
    PassportError
        Damaged JSON, a missing, unknown or wrong field, another schema version, or a broken seal.
    """
    passport = _parse(content)
    if passport.schema_version != SCHEMA_VERSION:
        raise PassportError(
            f"schema_version {passport.schema_version}, this program reads {SCHEMA_VERSION}: train again"
        )
    if encode(passport) != content:
        raise PassportError("not in canonical form: edited or damaged after it was written")
    if passport.sha256 != _hash_without(passport, ("sha256",)):
        raise PassportError("its seal does not match its content: edited or damaged after it was written")
    return passport


def model_sha256(content: bytes) -> str:
    """Return the SHA-256 of the bytes of ``model.json``, 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def kernel_sha256(kind: Kind = "cancel") -> str:
    """Return the SHA-256 of every source that a feature can depend on, 64 hex digits."""
    digest = hashlib.sha256()
    for pattern in _FEATURE_KERNELS[kind]:
        for path in sorted(_ROOT.glob(pattern)):
            digest.update(path.relative_to(_ROOT).as_posix().encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def _parse(content: bytes) -> Passport:
    try:
        return msgspec.json.decode(content, type=Passport)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PassportError(f"not a passport: {error}") from error


def _hash_without(passport: Passport, names: tuple[str, ...]) -> str:
    fields = {name: value for name, value in msgspec.structs.asdict(passport).items() if name not in names}
    return hashlib.sha256(_ENCODER.encode(fields)).hexdigest()
