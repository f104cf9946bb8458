"""Loading a model that is allowed to decide: every doubt refuses it, with the reason.

The order matters. Hashes come first, so that nothing parses bytes that are not the trained ones; then what
the passport says against what the feed is; then a child process with a time limit reads the model and answers
the probe rows. Only a model that gave the recorded answers, bit for bit, is built in this process.
"""

import json
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ml.passport import (
    HASH_ATTRIBUTE,
    MODEL_FILE,
    PASSPORT_FILE,
    Passport,
    PassportError,
    decode,
    model_sha256,
    self_hash,
)
from ml.walker import ModelNotCovered, Walker

CHILD: Final = Path(__file__).with_name("model_child.py")
TIME_LIMIT_SECS: Final = 60.0
MEMORY_LIMIT_BYTES: Final = 4 << 30
MAX_PASSPORT_BYTES: Final = 32 << 20
MAX_MODEL_BYTES: Final = 256 << 20
# All that an interpreter needs to find its libraries: a file that takes the child over finds no secrets.
_CHILD_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "LANG")


class Refusal(StrEnum):
    """Why a model was refused; ``docs/glossary.md`` uses the same words."""

    MISSING = "missing"  # no such folder or file, or not readable
    PASSPORT_DAMAGED = "passport_damaged"
    MODEL_DAMAGED = "model_damaged"  # its bytes are not those of the passport
    RENAMED = "renamed"  # the folder is not called as the passport says
    EXPIRED = "expired"
    OTHER_FEATURES = "other_features"  # names, their order, or the schema hash
    OTHER_KERNEL = "other_kernel"
    OTHER_INSTRUMENT = "other_instrument"
    OTHER_STREAM = "other_stream"
    OTHER_BUCKET = "other_bucket"
    NO_PROBE = "no_probe"  # nothing to check the model with
    PROBE_FAILED = "probe_failed"  # the model answers otherwise than recorded
    CHILD_FAILED = "child_failed"  # XGBoost cannot read it
    CHILD_TIMEOUT = "child_timeout"


DAMAGED: Final = frozenset(
    {
        Refusal.PASSPORT_DAMAGED,
        Refusal.MODEL_DAMAGED,
        Refusal.NO_PROBE,
        Refusal.PROBE_FAILED,
        Refusal.CHILD_FAILED,
        Refusal.CHILD_TIMEOUT,
    }
)
"""Refusals that speak of the files; the others of what they are wanted for."""


class ModelRefused(ValueError):  # noqa: N818 - named after what the operator reads: "model refused: expired"
    """A model that must not decide.

    Parameters
    ----------
    reason
        The kind of doubt.
    detail
        What, where, and how to fix it.
    """

    def __init__(self, reason: Refusal, detail: str) -> None:
        super().__init__(f"model refused ({reason}): {detail}")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the host of a model can give it; a model made for anything else is refused.

    Parameters
    ----------
    feature_names
        All that the program computes, in its order; a model may use some of them, in the same order.
    feature_schema
        `ml.features.schema_hash`: from ordered names to 64 hexadecimal digits.
    kernel_sha256
        `ml.passport.kernel_sha256` of the running program.
    instrument_id
        Nautilus id.
    stream
        ``trades`` or ``aggtrades``.
    bucket_usd
        Quote value of a bucket.
    now_ns
        Time of the first decision, UNIX nanoseconds: the start of a backtest, the clock of a live node.
    price_decimals, size_decimals, vpin_window
        Compared where both sides know them.
    """

    feature_names: tuple[str, ...]
    feature_schema: Callable[[tuple[str, ...]], str]
    kernel_sha256: str
    instrument_id: str
    stream: str
    bucket_usd: float
    now_ns: int
    price_decimals: int | None = None
    size_decimals: int | None = None
    vpin_window: int | None = None


class Scorer(Protocol):
    """Gives the margin of the row in `row`: the walker, or XGBoost where that does not cover a model."""

    row: NDArray[np.float64]

    def score(self) -> float:
        """Return the margin (log-odds) of `row`."""
        ...


@dataclass(frozen=True, slots=True)
class Model:
    """A model that passed every check.

    Parameters
    ----------
    passport
        What is known about it.
    scorer
        Walker or fallback.
    kind
        Which of the two.
    notes
        Warnings a person should read; empty when all is well.
    """

    passport: Passport
    scorer: Scorer
    kind: Literal["walker", "xgboost"]
    notes: tuple[str, ...] = ()
    bounds: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bounds", plausible_bounds(self.passport))

    @property
    def has_skill(self) -> bool:
        """Whether its validation found skill; without, it gates nothing unless a setting says so."""
        return self.passport.verdict == "skill"

    def probability(self) -> float:
        """Return the calibrated probability of the row in `scorer.row`, 0..1."""
        return calibrated(self.scorer.score(), self.passport.calibration.a, self.passport.calibration.b)


def calibrated(margin: float, a: float, b: float) -> float:
    """Return 1 / (1 + exp(-(a * margin + b))) without overflow.

    Examples
    --------
    >>> calibrated(0.0, 1.0, 0.0), calibrated(-5000.0, 1.0, 0.0)
    (0.5, 0.0)
    """
    z = a * margin + b
    if z >= 0:
        return 1.0 / (1.0 + math.exp(-z))
    grown = math.exp(z)
    return grown / (1.0 + grown)


RANGE_WIDTHS: Final = 100.0
"""A value this many decile ranges beyond the training's outer deciles is a wrong unit, not a rare market."""


def plausible_bounds(passport: Passport) -> NDArray[np.float64]:
    """Return lowest and highest value of every feature that may be scored, shape (2, f).

    Beyond them a row is as unfit to be scored as one with an infinite value. Features without spread in the
    reference are bounded by what single precision can hold.
    """
    widest = float(np.finfo(np.float32).max)
    bounds = np.array([[-widest], [widest]]) * np.ones(len(passport.features))
    for index, feature in enumerate(passport.features):
        bins = passport.drift_ref.features.get(feature.name)
        if bins is not None and len(bins.edges) > 1 and bins.edges[-1] > bins.edges[0]:
            width = RANGE_WIDTHS * (bins.edges[-1] - bins.edges[0])
            bounds[:, index] = bins.edges[0] - width, bins.edges[-1] + width
    return bounds


def load_model(folder: str | Path, wanted: Wanted, *, time_limit_secs: float = TIME_LIMIT_SECS) -> Model:
    """Load the model of a folder, or refuse it.

    Parameters
    ----------
    folder
        Holds ``model.json`` and ``passport.json``.
    wanted
        What the host can give it.
    time_limit_secs
        For the child process that reads it first.

    Raises
    ------
    ModelRefused
        With the reason, whatever is wrong; nothing else is raised for any content of the two files.
    """
    path = Path(folder)
    passport, content = read_files(path)
    if path.resolve().name != passport.model_id:
        raise ModelRefused(
            Refusal.RENAMED,
            f"{path}: its passport names it {passport.model_id!r}; put the folder back under that name",
        )
    require_fit(passport, wanted)
    require_probe(passport)
    answer = ask_child(content, passport, time_limit_secs)
    _require_answers(passport, answer)
    return _build(passport, content)


def read_files(path: Path) -> tuple[Passport, bytes]:
    """Return passport and model bytes after every hash was found to match.

    Raises
    ------
    ModelRefused
        When a file is missing, damaged, swapped, or does not belong to the other.
    """
    sealed = _read(path / PASSPORT_FILE, MAX_PASSPORT_BYTES)
    try:
        passport = decode(sealed)
    except PassportError as error:
        raise ModelRefused(Refusal.PASSPORT_DAMAGED, f"{path / PASSPORT_FILE}: {error}") from error
    content = _read(path / MODEL_FILE, MAX_MODEL_BYTES)
    if model_sha256(content) != passport.model_sha256:
        raise ModelRefused(
            Refusal.MODEL_DAMAGED,
            f"{path / MODEL_FILE} is not the file its passport describes (SHA-256 differs): "
            "damaged or swapped, restore it or train again",
        )
    return passport, content


def require_fit(passport: Passport, wanted: Wanted) -> None:
    """Refuse a model made for other features, kernels, feeds or times.

    Raises
    ------
    ModelRefused
        With the first thing that differs.
    """
    if wanted.now_ns >= passport.expires_ns:
        when = np.datetime64(passport.expires_ns, "ns").astype("datetime64[s]")
        raise ModelRefused(Refusal.EXPIRED, f"it expired {when}Z: train again on newer data")
    names = tuple(one.name for one in passport.features)
    if not names or not _is_ordered_subset(names, wanted.feature_names):
        raise ModelRefused(
            Refusal.OTHER_FEATURES,
            f"trained on columns {_difference(names, wanted.feature_names)}: train again",
        )
    schema = wanted.feature_schema(names)
    if passport.feature_schema_sha256 != schema:
        raise ModelRefused(
            Refusal.OTHER_FEATURES,
            f"features {passport.feature_schema_sha256[:12]}, this program computes "
            f"{schema[:12]} under the same names: train again",
        )
    if passport.kernel.source_sha256 != wanted.kernel_sha256:
        raise ModelRefused(
            Refusal.OTHER_KERNEL,
            f"its features came from kernels {passport.kernel.source_sha256[:12]}, this program has "
            f"{wanted.kernel_sha256[:12]}: train again with this version",
        )
    _require_feed(passport, wanted)


def _require_feed(passport: Passport, wanted: Wanted) -> None:
    scope = passport.symbols.get(wanted.instrument_id)
    if scope is None:
        known = ", ".join(sorted(passport.symbols)) or "nothing"
        raise ModelRefused(Refusal.OTHER_INSTRUMENT, f"trained on {known}, not on {wanted.instrument_id}")
    if scope.stream != wanted.stream:
        raise ModelRefused(
            Refusal.OTHER_STREAM,
            f"trained on {scope.stream}, the feed of {wanted.instrument_id} gives {wanted.stream}",
        )
    pairs = [("bucket_usd", scope.bucket_usd, wanted.bucket_usd)]
    pairs += [
        (name, getattr(scope, name), getattr(wanted, name))
        for name in ("price_decimals", "size_decimals", "vpin_window")
        if getattr(scope, name) is not None and getattr(wanted, name) is not None
    ]
    for name, trained, given in pairs:
        if trained != given:
            raise ModelRefused(
                Refusal.OTHER_BUCKET,
                f"trained with {name} {trained:g}, {wanted.instrument_id} runs with {given:g}: "
                f"set {name} to {trained:g} or train again",
            )


def require_probe(passport: Passport) -> None:
    """Refuse a passport whose probe proves nothing.

    Raises
    ------
    ModelRefused
        When there are no rows, widths or lengths differ, an answer is not finite, or every value is missing.
    """
    probe, width = passport.probe, len(passport.features)
    rows = len(probe.x)
    answers = (probe.margin, probe.p, probe.calibrated)
    flaw = None
    if not rows:
        flaw = "there are no probe rows"
    elif any(len(row) != width for row in probe.x) or any(len(one) != rows for one in answers):
        flaw = f"the probe is not {rows} rows of {width} columns with an answer each"
    elif not all(math.isfinite(value) for one in answers for value in one):
        flaw = "an expected answer is not a finite number"
    elif all(value is None or not math.isfinite(value) for row in probe.x for value in row):
        flaw = "every value of the probe is missing"
    if flaw is not None:
        raise ModelRefused(Refusal.NO_PROBE, f"{flaw}: train again")


def ask_child(content: bytes, passport: Passport, time_limit_secs: float) -> dict[str, Any]:
    """Let a process of its own read the model and answer the probe.

    Parameters
    ----------
    content
        Bytes of ``model.json``: those that were hashed, not the file, which could change meanwhile.
    passport
        Holds the probe.
    time_limit_secs
        Wall time until the process is killed.

    Raises
    ------
    ModelRefused
        When it crashed, was refused by XGBoost, took too long, or said something else than JSON.
    """
    task = {
        "x": passport.probe.x,
        "cpu_secs": math.ceil(time_limit_secs),
        "memory_bytes": MEMORY_LIMIT_BYTES,
    }
    environment = {name: os.environ[name] for name in _CHILD_ENVIRONMENT if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and script
            [sys.executable, "-I", str(CHILD)],
            input=json.dumps(task).encode() + b"\n" + content,
            capture_output=True,
            timeout=time_limit_secs,
            check=False,
            env={**environment, "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise ModelRefused(
            Refusal.CHILD_TIMEOUT, f"reading it took more than {time_limit_secs:g} s: train again"
        ) from error
    except OSError as error:
        raise ModelRefused(Refusal.CHILD_FAILED, f"no process to check it in: {error}") from error
    try:
        answer = json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        why = lines[-1][:200] if lines else "it said nothing"
        raise ModelRefused(Refusal.CHILD_FAILED, f"XGBoost cannot read it (exit {done.returncode}): {why}")
    return answer


def _require_answers(passport: Passport, answer: dict[str, Any]) -> None:
    names = [one.name for one in passport.features]
    if answer.get("num_features") != len(names) or (answer.get("names") or names) != names:
        raise ModelRefused(
            Refusal.OTHER_FEATURES, "the columns of the model are not those of its passport: train again"
        )
    if answer.get("attributes", {}).get(HASH_ATTRIBUTE) != self_hash(passport):
        raise ModelRefused(
            Refusal.MODEL_DAMAGED, "the model carries the hash of another passport: restore both files"
        )
    for name in ("margin", "p"):
        if answer.get(name) != list(getattr(passport.probe, name)):
            raise ModelRefused(
                Refusal.PROBE_FAILED,
                f"XGBoost gives another {name} for the probe rows than at training: "
                "another version or a damaged model, train again",
            )
    a, b = passport.calibration.a, passport.calibration.b
    pairs = zip(passport.probe.margin, passport.probe.calibrated, strict=True)
    # Training may take exp from numpy, which differs in the last bit.
    if not all(math.isclose(calibrated(margin, a, b), p, rel_tol=1e-9) for margin, p in pairs):
        raise ModelRefused(Refusal.PROBE_FAILED, "the calibration gives other probabilities: train again")


def _build(passport: Passport, content: bytes) -> Model:
    x = np.array([[math.nan if one is None else one for one in row] for row in passport.probe.x])
    expected = np.array(passport.probe.margin, np.float32)
    try:
        walker = Walker(content)
        if walker.margins(x).tobytes() == expected.tobytes():
            return Model(passport, walker, "walker")
        note = "the walker gives other bits than XGBoost"
    except ModelNotCovered as error:
        note = f"the walker does not cover it ({error})"
    except ValueError as error:
        raise ModelRefused(Refusal.CHILD_FAILED, str(error)) from error
    note += ": scored by XGBoost itself, about a hundred times slower"
    warnings.warn(note, RuntimeWarning, stacklevel=3)
    return Model(passport, _BoosterScorer(content, len(passport.features)), "xgboost", (note,))


class _BoosterScorer:
    """XGBoost's own call for one row: 200 us, for what the walker does not cover."""

    def __init__(self, content: bytes, width: int) -> None:
        import xgboost  # 0.6 s that a live node pays only if it needs it

        self._booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(content))
        self._rows = np.zeros((1, width))
        self.row = self._rows[0]

    def score(self) -> float:
        margin = self._booster.inplace_predict(self._rows, predict_type="margin", validate_features=False)
        return float(margin[0])


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ModelRefused(Refusal.MISSING, f"{path}: {error.strerror or error}") from error
    if len(content) > limit:
        raise ModelRefused(Refusal.MISSING, f"{path} is larger than {limit >> 20} MB: not a model of ours")
    return content


def _is_ordered_subset(names: tuple[str, ...], given: tuple[str, ...]) -> bool:
    rest = iter(given)
    return all(name in rest for name in names)  # `in` consumes the iterator up to the name


def _difference(names: tuple[str, ...], given: tuple[str, ...]) -> str:
    unknown = [name for name in names if name not in given]
    return f"{unknown[:5]}, which this program does not compute" if unknown else "in another order or twice"


__all__ = [
    "DAMAGED",
    "Model",
    "ModelRefused",
    "Refusal",
    "Scorer",
    "Wanted",
    "calibrated",
    "load_model",
    "plausible_bounds",
]
