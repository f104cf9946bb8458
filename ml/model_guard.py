"""The checks of a model's files, before anything of them is used in this process.

Hashes come first, so that nothing parses bytes that are not the trained ones. Then a child process with a
time limit reads the model and answers the probe rows; only recorded answers, bit for bit, let it pass.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from ml.model_refusal import ModelRefused, Refusal
from ml.model_scorer import calibrated
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

CHILD: Final = Path(__file__).with_name("model_child.py")
TIME_LIMIT_SECS: Final = 60.0
MEMORY_LIMIT_BYTES: Final = 4 << 30
MAX_PASSPORT_BYTES: Final = 32 << 20
MAX_MODEL_BYTES: Final = 256 << 20
# All that an interpreter needs to find its libraries: a file that takes the child over finds no secrets.
_CHILD_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "LANG")


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


def require_answers(passport: Passport, answer: dict[str, Any]) -> None:
    """Refuse a model that says something else of itself, or of the probe, than its passport.

    Parameters
    ----------
    passport
        What was recorded at training.
    answer
        Of `ask_child`.

    Raises
    ------
    ModelRefused
        With the first difference.
    """
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


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ModelRefused(Refusal.MISSING, f"{path}: {error.strerror or error}") from error
    if len(content) > limit:
        raise ModelRefused(Refusal.MISSING, f"{path} is larger than {limit >> 20} MB: not a model of ours")
    return content
