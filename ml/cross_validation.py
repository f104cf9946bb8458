"""Out-of-fold margins: what a model says about rows whose answers, and their neighbours', it never saw."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ml.booster import Machine, Rows, margins, train_booster
from ml.dataset import Dataset
from ml.labels import order_uniqueness, sample_weights
from ml.train_settings import SECOND_NS, TrainSettings, TreeSettings
from ml.validation import (
    Fold,
    combinatorial,
    combinatorial_paths,
    holdout,
    label_span_ns,
    purged_kfold,
    walk_forward,
)

Floats = NDArray[np.float64]
Advance = Callable[[float], None]

DEFAULT_LOOKBACK_SECS: Final = 3_600.0
FEWEST_ROWS: Final = 50
TESTED_BLOCKS: Final = 2


class TooFewEventsError(ValueError):
    """Not enough independent events to learn from, or to tell skill from luck.

    Parameters
    ----------
    detail
        What is missing, and what helps.
    n_events, n_effective
        Decisions of filled orders, and how many independent events they are worth; None where not counted.
    """

    def __init__(self, detail: str, n_events: int | None = None, n_effective: float | None = None) -> None:
        super().__init__(f"too few events: {detail}")
        self.n_events = n_events
        self.n_effective = n_effective


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Margins of rows by models that did not learn from them; NaN where no fold tested a row.

    Parameters
    ----------
    margin
        Shape (n,).
    base
        Share of ones that the fold's model learnt from: what one would say without a model, shape (n,).
    fold
        Number of the split that tested the row, -1 for none, shape (n,).
    paths
        Whole histories of `cpcv`, shape (paths, n); the first is `margin`. One row otherwise.
    path_folds
        Split of each, same shape as `paths`.
    """

    margin: Floats
    base: Floats
    fold: NDArray[np.int64]
    paths: Floats
    path_folds: NDArray[np.int64]


class Usable(NamedTuple):
    """Rows to learn from, how many independent events they are worth, and the tainted orders left out."""

    rows: Dataset
    effective: float
    n_tainted: int


def judgeable(data: Dataset, settings: TrainSettings) -> tuple[Dataset, int]:
    """Return the rows whose outcome can be trusted, and how many tainted orders were left out.

    An order that never filled is neither won nor lost: it says nothing about P(win | fill). One in whose
    position trades were missing may have ended otherwise than the records say.
    """
    rows = data.rows(np.isfinite(data.net_r))
    tainted = rows.aside.get("is_tainted", np.zeros(len(rows), np.int64)) != 0
    if not settings.drop_tainted or not tainted.any():
        return rows, 0
    return rows.rows(~tainted), len(np.unique(rows.order_id[tainted]))


def usable(data: Dataset, settings: TrainSettings) -> Usable:
    """Return the rows to learn from (`judgeable`), weighted by their uniqueness among themselves.

    Raises
    ------
    TooFewEventsError
        Below `settings.min_effective` (signals: `settings.min_signals`), or with a single outcome.
    ValueError
        When a feature is infinite.
    """
    rows, n_tainted = judgeable(data, settings)
    infinite = np.isinf(rows.x).any(axis=0)
    if infinite.any():
        names = ", ".join(name for name, bad in zip(rows.names, infinite, strict=True) if bad)
        raise ValueError(f"infinite values in {names}: use NaN for what is not known")
    if rows.meta.get("kind") == "signal" and len(rows) < settings.min_signals:
        raise TooFewEventsError(
            f"{len(rows):,} signals with an outcome, at least {settings.min_signals:,} are needed", len(rows)
        )
    # Of the rows used here alone: others of the dataset, unfilled or outside the span, crowd out nothing.
    unique = order_uniqueness(rows.order_id, rows.t0_ns, rows.t1_ns)
    effective = float(unique.sum())
    if effective < settings.min_effective:
        raise TooFewEventsError(
            f"{len(rows):,} decisions of {len(np.unique(rows.order_id)):,} filled orders are "
            f"worth {effective:.1f} independent ones, at least {settings.min_effective:g} are needed: "
            f"{_left_out(n_tainted)}use more days or symbols",
            len(rows),
            effective,
        )
    counts = np.bincount(rows.y, minlength=2)
    if counts.min() < settings.folds:
        raise TooFewEventsError(
            f"{counts[1]} decisions won and {counts[0]} lost, both are needed", len(rows), effective
        )
    return Usable(replace(rows, weight=sample_weights(unique)), effective, n_tainted)


def _left_out(n_tainted: int) -> str:
    return f"tainted orders left out: {n_tainted:,} (drop_tainted); " if n_tainted else ""


class Embargo(NamedTuple):
    """Time between what is learnt and what is tested, ns: as done, and as features and labels want it."""

    used_ns: int
    wanted_ns: int

    def doubt(self) -> str | None:
        """Return in words that less was left than was wanted, None otherwise."""
        if self.used_ns >= self.wanted_ns:
            return None
        return (
            f"embargo of {self.used_ns / SECOND_NS:,.0f} s, but look-back and label span are "
            f"{self.wanted_ns / SECOND_NS:,.0f} s: use more days"
        )


def embargo_of(data: Dataset, settings: TrainSettings) -> Embargo:
    """Return the embargo: look-back plus label span, at most half a test; or as set."""
    lookback = float(data.meta.get("lookback_secs", DEFAULT_LOOKBACK_SECS)) * SECOND_NS
    wanted = math.ceil(lookback) + label_span_ns(data.t0_ns, data.t1_ns)
    if settings.embargo_secs is not None:
        return Embargo(round(settings.embargo_secs * SECOND_NS), wanted)
    tests = settings.folds + (settings.scheme != "kfold")
    most = int(data.t0_ns[-1] - data.t0_ns[0]) // (2 * tests)
    return Embargo(min(wanted, most), wanted)


def splits(data: Dataset, settings: TrainSettings, gap_ns: int) -> list[Fold]:
    """Return the splits of the scheme.

    Raises
    ------
    TooFewEventsError
        When the purge leaves a split too little to learn from.
    """
    t0, t1, count = data.t0_ns, data.t1_ns, len(data)
    if settings.scheme == "cpcv":
        found = combinatorial(t0, t1, settings.folds + 1, TESTED_BLOCKS, gap_ns)
    elif settings.scheme == "walk_forward":
        found = walk_forward(t0, t1, settings.folds, count // (settings.folds + 1), embargo_ns=gap_ns)
    else:
        found = purged_kfold(t0, t1, settings.folds, gap_ns)
    for number, fold in enumerate(found, start=1):
        if len(fold.train) < FEWEST_ROWS or len(np.unique(data.y[fold.train])) < 2:
            raise TooFewEventsError(
                f"split {number} of {len(found)} has {len(fold.train)} rows to learn from "
                "after the purge: labels are too long for this span; use more days, or fewer folds"
            )
    return found


def cross_validate(
    data: Dataset,
    folds: list[Fold],
    trees: TreeSettings,
    settings: TrainSettings,
    gap_ns: int,
    advance: Advance,
) -> OutOfFold:
    """Train on every split and return what its model says about the test rows.

    Parameters
    ----------
    data, folds
        Usable rows and their splits.
    trees, settings
        Shape of the trees of this trial, and everything else.
    gap_ns
        Embargo before the slice of early stopping.
    advance
        Called with 1 after each split.
    """
    count = len(data)
    predictions, bases = [], []
    for fold in folds:
        booster, _, base = fit_stopped(data, fold.train, trees, settings, gap_ns)
        predictions.append(margins(booster, data.x[fold.test], settings.threads))
        bases.append(base)
        advance(1)
    numbers = [np.full(len(fold.test), float(at)) for at, fold in enumerate(folds)]
    if settings.scheme == "cpcv":
        groups = settings.folds + 1
        paths = combinatorial_paths(predictions, count, groups, TESTED_BLOCKS)
        path_folds = combinatorial_paths(numbers, count, groups, TESTED_BLOCKS).astype(np.int64)
    else:
        paths, path_folds = np.full((1, count), np.nan), np.full((1, count), -1, dtype=np.int64)
        for at, fold in enumerate(folds):
            paths[0, fold.test], path_folds[0, fold.test] = predictions[at], at
    base_of = np.array([*bases, np.nan])
    return OutOfFold(paths[0], base_of[path_folds[0]], path_folds[0], paths, path_folds)


def fit_stopped(
    data: Dataset, train: NDArray[np.int64], trees: TreeSettings, settings: TrainSettings, gap_ns: int
) -> tuple[xgb.Booster, int, float]:
    """Train on some rows with early stopping on the last of them, purged; see `ml.booster.train_booster`.

    Returns
    -------
    tuple[Booster, int, float]
        The booster, its number of trees, and the share of ones it learnt from.
    """
    inner = holdout(data.t0_ns[train], data.t1_ns[train], settings.stop_share, gap_ns)
    learnt = rows_of(data, train[inner.train])
    if len(learnt.y) < FEWEST_ROWS // 2:
        raise TooFewEventsError(f"{len(learnt.y)} rows are left before the slice of early stopping")
    booster, best = train_booster(
        learnt,
        data.names,
        trees,
        machine_of(settings),
        settings.rounds,
        monotone=settings.monotone,
        stop=rows_of(data, train[inner.test]),
        stop_rounds=settings.stop_rounds,
    )
    return booster, best, learnt.base_rate()


def fit_final(
    data: Dataset, trees: TreeSettings, settings: TrainSettings, gap_ns: int
) -> tuple[xgb.Booster, int]:
    """Train on all rows, the last ones too: they are the most like tomorrow.

    Returns
    -------
    tuple[Booster, int]
        The booster and its number of trees, found by early stopping on the last rows before.
    """
    every = np.arange(len(data))
    _, rounds, _ = fit_stopped(data, every, trees, settings, gap_ns)
    return train_booster(
        rows_of(data, every), data.names, trees, machine_of(settings), rounds, monotone=settings.monotone
    )


def rows_of(data: Dataset, at: NDArray[np.int64]) -> Rows:
    """Return some rows for the booster."""
    return Rows(data.x[at], data.y[at], data.weight[at])


def machine_of(settings: TrainSettings) -> Machine:
    """Return where to train."""
    return Machine(settings.threads, settings.device, settings.seed)
