"""The settings that are tried, and a record of every one: what is not counted flatters the best."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ml.calibration import calibrate, fit_platt
from ml.cross_validation import OutOfFold, cross_validate
from ml.dataset import Dataset
from ml.train_settings import TrainSettings, TreeSettings
from ml.validation import Fold
from ml.verdict import Scored, TrialRecord, record_of

if TYPE_CHECKING:
    import optuna

Trial = tuple[TreeSettings, OutOfFold, TrialRecord]


def search(
    data: Dataset,
    folds: list[Fold],
    settings: TrainSettings,
    gap_ns: int,
    advance: Callable[[float], None],
) -> tuple[TreeSettings, OutOfFold, list[TrialRecord]]:
    """Try the given settings and `settings.trials` more by Optuna's TPE; return the best and all records.

    Parameters
    ----------
    data, folds, gap_ns
        Usable rows, their splits and the embargo.
    settings
        The first trial is `settings.trees`; the sampler is seeded.
    advance
        Called with 1 after each split of each trial.

    Returns
    -------
    tuple
        The trees with the lowest out-of-fold log-loss, their margins, and a record per trial in order.
    """
    first = _try(data, folds, settings.trees, settings, gap_ns, advance)
    best, records = first, [first[2]]
    if not settings.trials:
        return best[0], best[1], records
    import optuna  # takes most of a second, and a training without search does not need it

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=settings.seed))
    for _ in range(settings.trials):
        trial = study.ask()
        tried = _try(data, folds, _suggest(trial, settings.trees), settings, gap_ns, advance)
        study.tell(trial, tried[2].logloss)
        records.append(tried[2])
        if tried[2].logloss < best[2].logloss:
            best = tried
    return best[0], best[1], records


def score(data: Dataset, found: OutOfFold) -> Scored:
    """Return the tested rows with probabilities calibrated on the *other* folds' margins.

    Parameters
    ----------
    data, found
        Usable rows, and their out-of-fold margins.
    """
    tested = np.flatnonzero(found.fold >= 0)
    rows, margin, fold = data.rows(tested), found.margin[tested], found.fold[tested]
    probability = np.empty(len(rows))
    for number in np.unique(fold):
        inside = fold == number
        others = ~inside
        platt = fit_platt(margin[others], rows.y[others], rows.weight[others])
        probability[inside] = calibrate(margin[inside], platt)
    return Scored(rows, margin, probability, found.base[tested], fold)


def _try(
    data: Dataset,
    folds: list[Fold],
    trees: TreeSettings,
    settings: TrainSettings,
    gap_ns: int,
    advance: Callable[[float], None],
) -> Trial:
    found = cross_validate(data, folds, trees, settings, gap_ns, advance)
    record = record_of(score(data, found), settings, msgspec.structs.asdict(trees))
    return trees, found, record


def _suggest(trial: "optuna.Trial", given: TreeSettings) -> TreeSettings:
    return msgspec.structs.replace(
        given,
        max_depth=trial.suggest_int("max_depth", 2, 6),
        learning_rate=trial.suggest_float("learning_rate", 0.02, 0.2, log=True),
        min_child_weight=trial.suggest_float("min_child_weight", 1.0, 50.0, log=True),
        subsample=trial.suggest_float("subsample", 0.5, 1.0),
        colsample=trial.suggest_float("colsample", 0.4, 1.0),
        reg_lambda=trial.suggest_float("reg_lambda", 0.1, 50.0, log=True),
    )
