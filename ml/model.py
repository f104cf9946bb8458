"""Loading a model: every doubt refuses it, with the reason.

The order matters. Hashes come first (`ml.model_guard`); then what the passport says against what the feed is
(`ml.model_fit`); then a child process with a time limit reads the model and answers the probe rows. Only a
model that gave the recorded answers, bit for bit, is built in this process (`ml.model_scorer`).
"""

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ml.model_fit import Wanted, fit_notes, require_fit
from ml.model_guard import TIME_LIMIT_SECS, ask_child, read_files, require_answers, require_probe
from ml.model_refusal import DAMAGED, ModelRefused, Refusal
from ml.model_scorer import BoosterScorer, Model, Scorer, calibrated, plausible_bounds
from ml.passport import Passport
from ml.walker import ModelNotCovered, Walker

if TYPE_CHECKING:
    import xgboost


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
    _require_sound(passport, content, time_limit_secs)
    return _build(passport, content, fit_notes(passport, wanted))


def load_for_study(
    folder: str | Path, *, time_limit_secs: float = TIME_LIMIT_SECS
) -> "tuple[Passport, xgboost.Booster]":
    """Load a model to look at it, in the same guarded way but for no host: it decides nothing.

    A model that has expired, was renamed or fits no feed of today can be studied all the same.

    Parameters
    ----------
    folder
        Holds ``model.json`` and ``passport.json``.
    time_limit_secs
        For the child process that reads it first.

    Raises
    ------
    ModelRefused
        With the reason, whatever is wrong with the two files.
    """
    passport, content = read_files(Path(folder))
    _require_sound(passport, content, time_limit_secs)
    import xgboost  # 0.6 s that a live node pays only if it explains decisions

    return passport, xgboost.Booster({"nthread": 1}, model_file=bytearray(content))


def _require_sound(passport: Passport, content: bytes, time_limit_secs: float) -> None:
    require_probe(passport)
    require_answers(passport, ask_child(content, passport, time_limit_secs))


def _build(passport: Passport, content: bytes, notes: tuple[str, ...]) -> Model:
    x = np.array([[math.nan if one is None else one for one in row] for row in passport.probe.x])
    expected = np.array(passport.probe.margin, np.float32)
    try:
        walker = Walker(content)
        if walker.margins(x).tobytes() == expected.tobytes():
            return Model(passport, walker, "walker", notes)
        note = "the walker gives other bits than XGBoost"
    except ModelNotCovered as error:
        note = f"the walker does not cover it ({error})"
    except ValueError as error:
        raise ModelRefused(Refusal.CHILD_FAILED, str(error)) from error
    note += ": scored by XGBoost itself, about a hundred times slower"
    warnings.warn(note, RuntimeWarning, stacklevel=3)
    return Model(passport, BoosterScorer(content, len(passport.features)), "xgboost", (note, *notes))


__all__ = [
    "DAMAGED",
    "Model",
    "ModelRefused",
    "Refusal",
    "Scorer",
    "Wanted",
    "calibrated",
    "load_for_study",
    "load_model",
    "plausible_bounds",
]
