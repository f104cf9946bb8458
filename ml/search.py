"""The settings that are tried, and a record of every one: what is not counted flatters the best."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from ml.booster import margins
from ml.calibration import calibrate, fit_platt
from ml.cross_validation import (
    Embargo,
    OutOfFold,
    cross_validate,
    embargo_of,
    fit_final,
    rows_of,
    splits,
)
from ml.dataset import Dataset
from ml.scores import auc_of
from ml.train_settings import TrainSettings, TreeSettings
from ml.validation import Fold, holdout
from ml.verdict import Scored, TrialRecord, record_of

if TYPE_CHECKING:
    import optuna

Trial = tuple[TreeSettings, OutOfFold, TrialRecord]
JUDGED_SHARE: Final = 0.25  # of the rows, the last ones: they judge what a search has chosen


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen settings, and predictions of rows that had no part in what predicted them.

    Parameters
    ----------
    trees
        Chosen.
    embargo, folds
        Of the splits, and their number.
    judged
        Rows that give the figures: of a search, the last quarter, which did not choose either.
    unseen
        All rows predicted by a model that did not learn from them, for calibration and drift.
    trials
        Every setting tried.
    path_aucs
        Of every whole history of `cpcv`; one number otherwise.
    """

    trees: TreeSettings
    embargo: Embargo
    folds: int
    judged: Scored
    unseen: Scored
    trials: list[TrialRecord]
    path_aucs: tuple[float, ...]


def choose(rows: Dataset, settings: TrainSettings, advance: Callable[[float], None]) -> Choice:
    """Validate the given settings, or search and judge the best on rows that the search never saw.

    The best of many is best by luck too on the rows that chose it: its figures there are too good.

    Parameters
    ----------
    rows
        See `ml.cross_validation.usable`.
    settings
        With `trials` above 0 it searches.
    advance
        Called with 1 after each booster.
    """
    if not settings.trials:
        gap = embargo_of(rows, settings)
        folds = splits(rows, settings, gap.used_ns)
        trees, found, trials = search(rows, folds, settings, gap.used_ns, advance)
        scored = score(rows, found)
        return Choice(trees, gap, len(folds), scored, scored, trials, _path_aucs(rows, found))
    until = len(rows) - max(1, round(len(rows) * JUDGED_SHARE))
    gap = embargo_of(rows.rows(np.arange(until)), settings)
    last = holdout(rows.t0_ns, rows.t1_ns, JUDGED_SHARE, gap.used_ns)
    earlier = rows.rows(last.train)
    folds = splits(earlier, settings, gap.used_ns)
    trees, found, trials = search(earlier, folds, settings, gap.used_ns, advance)
    scored = score(earlier, found)
    judged = _judge(rows, last, scored, trees, settings, gap.used_ns)
    advance(1)
    tested = last.train[np.flatnonzero(found.fold >= 0)]
    unseen = Scored(
        rows.rows(np.concatenate((tested, last.test))),
        np.concatenate((scored.margin, judged.margin)),
        np.concatenate((scored.probability, judged.probability)),
        np.concatenate((scored.base, judged.base)),
        np.concatenate((scored.group, judged.group + len(folds))),
    )
    return Choice(trees, gap, len(folds), judged, unseen, trials, _path_aucs(earlier, found))


def _judge(
    rows: Dataset, last: Fold, earlier: Scored, trees: TreeSettings, settings: TrainSettings, gap_ns: int
) -> Scored:
    """Return the last rows with the predictions of the model that would have been delivered before them."""
    booster, _ = fit_final(rows.rows(last.train), trees, settings, gap_ns)
    platt = fit_platt(earlier.margin, earlier.data.y, earlier.data.weight)
    data = rows.rows(last.test)
    margin = margins(booster, data.x, settings.threads)
    base = rows_of(rows, last.train).base_rate()
    count = len(data)
    return Scored(
        data, margin, calibrate(margin, platt), np.full(count, base), np.zeros(count, dtype=np.int64)
    )


def _path_aucs(rows: Dataset, found: OutOfFold) -> tuple[float, ...]:
    aucs = []
    for margin, fold in zip(found.paths, found.path_folds, strict=True):
        tested = fold >= 0
        measured = auc_of(margin[tested], rows.y[tested], rows.weight[tested], fold[tested])
        aucs.append(measured(np.ones(int(tested.sum()))))
    return tuple(aucs)


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
