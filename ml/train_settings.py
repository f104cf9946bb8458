"""Settings of a training, with the reasons for their defaults.

Knows no XGBoost: every command reads the settings file, and few of them train.
"""

import math
from typing import Any, Final, Literal

import msgspec

Scheme = Literal["kfold", "cpcv", "walk_forward"]
SECOND_NS: Final = 1_000_000_000
MAX_DEPTH: Final = 8  # what the tree walker covers


def _require_finite(settings: Any) -> None:
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} is {value}, want a finite number")


class TreeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shape of the trees; the defaults are for hundreds of effective events, not for millions of rows.

    Parameters
    ----------
    max_depth
        1 to 8: deeper trees are not covered by the walker.
    learning_rate, min_child_weight, subsample, colsample, reg_lambda, max_bin
        As XGBoost defines them (`colsample` is per tree).
    """

    max_depth: int = 3
    learning_rate: float = 0.05
    min_child_weight: float = 5.0
    subsample: float = 0.8
    colsample: float = 0.8
    reg_lambda: float = 5.0
    max_bin: int = 256

    def __post_init__(self) -> None:
        _require_finite(self)
        if not 1 <= self.max_depth <= MAX_DEPTH:
            raise ValueError(f"max_depth is {self.max_depth}, want 1 to {MAX_DEPTH}")
        if not (0 < self.learning_rate <= 1 and 0 < self.subsample <= 1 and 0 < self.colsample <= 1):
            raise ValueError("learning_rate, subsample and colsample must be above 0 and at most 1")
        if self.min_child_weight < 0 or self.reg_lambda < 0 or self.max_bin < 2:
            raise ValueError("min_child_weight and reg_lambda must be 0 or more, max_bin 2 or more")


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model is trained and judged.

    Parameters
    ----------
    seed
        Of sampling, search and bootstrap: same seed and data give the same bytes.
    scheme, folds
        ``kfold`` (purged), ``cpcv`` (every two of `folds` + 1 blocks) or ``walk_forward`` (learns from the
        past only); number of tests, 2 or more.
    embargo_secs
        None: look-back of the features plus the 95th percentile of the label spans, at most half a test. A
        shorter one than these two ask for is a reason for ``no_skill``.
    min_effective
        Fewer independent events than this are refused.
    min_signals
        Fewer signals with an outcome are refused; for models of signals.
    drop_tainted
        Leave out orders in whose position trades were missing: their outcome may not be the true one.
    rounds, stop_rounds, stop_share
        Most trees; trees without improvement after which it stops; last share of the rows that decides that.
    trials
        Settings that Optuna tries beside the given ones; all are counted.
    earlier_trials
        Settings tried on these data before this run: they deflate the result as well.
    margin
        Of the decision rule ``p < p* + margin``.
    min_kept
        Share of the orders that a gate must keep to have skill; cancelling everything is none.
    min_dsr, max_pbo
        Bounds of the deflated Sharpe ratio and of the probability of overfitting.
    monotone
        -1 or +1 by feature: the probability may only fall or rise with it.
    threads, device
        ``cpu`` or ``cuda``. Threads do not change the model.
    valid_days
        Days after the end of its data for which the model may be used.
    bootstrap_rounds
        Redraws of the intervals.
    trees
        Shape of the trees.
    """

    seed: int = 1
    scheme: Scheme = "kfold"
    folds: int = 5
    embargo_secs: float | None = None
    min_effective: float = 200.0
    min_signals: int = 500
    drop_tainted: bool = True
    rounds: int = 400
    stop_rounds: int = 30
    stop_share: float = 0.15
    trials: int = 0
    earlier_trials: int = 0
    margin: float = 0.0
    min_kept: float = 0.3
    min_dsr: float = 0.95
    max_pbo: float = 0.2
    monotone: dict[str, int] = {}
    threads: int = 1
    device: Literal["cpu", "cuda"] = "cpu"
    valid_days: float = 90.0
    bootstrap_rounds: int = 1_000
    trees: TreeSettings = TreeSettings()

    def __post_init__(self) -> None:
        _require_finite(self)
        for name, low in (
            ("folds", 2), ("rounds", 1), ("stop_rounds", 1), ("trials", 0), ("earlier_trials", 0),
            ("threads", 1), ("seed", 0), ("bootstrap_rounds", 100), ("min_signals", 1),
        ):  # fmt: skip
            if getattr(self, name) < low:
                raise ValueError(f"{name} is {getattr(self, name)}, want {low} or more")
        if not 0 < self.stop_share < 0.5:
            raise ValueError(f"stop_share is {self.stop_share}, want above 0 and below 0.5")
        if not (-1 < self.margin < 1 and 0 <= self.min_kept <= 1):
            raise ValueError("margin must lie within (-1, 1) and min_kept within [0, 1]")
        if self.min_effective < 0 or not (0 <= self.min_dsr <= 1 and 0 <= self.max_pbo <= 1):
            raise ValueError("min_effective must be 0 or more, min_dsr and max_pbo within [0, 1]")
        if self.embargo_secs is not None and not self.embargo_secs >= 0:
            raise ValueError(f"embargo_secs is {self.embargo_secs}, want 0 or more")
        if not self.valid_days > 0:
            raise ValueError(f"valid_days is {self.valid_days}, want above 0")
        if any(sign not in (-1, 1) for sign in self.monotone.values()):
            raise ValueError("monotone takes -1 or 1 per feature")
