"""The rule by which a model takes a resting entry back: pure, no clock, no orders.

An entry is worth keeping while the calibrated probability that it reaches its target is at least what its own
distances and fees ask for, p* = (stop + fees) / (target + stop), plus the margin of the passport.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ml.look import Look
from ml.model import Model

type Action = Literal["cancel", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRules:
    """How a probability becomes a decision.

    Parameters
    ----------
    margin
        Added to p*, a probability; None takes the passport's.
    hysteresis
        An order that was kept is cancelled this far below the threshold, and one that was sent again after a
        cancel must start this far above it: noise around the threshold changes nothing.
    min_interval_ns
        Between two decisions about one order; 0 decides on every trade.
    on_unfit
        What happens to the order when its row cannot be scored, or the model has expired.
    missing
        ``refuse``: a row with NaN is unfit, but for columns that were never there in the training;
        ``as_trained``: NaN is scored in columns where the training had it, and unfit elsewhere.
    gates_without_skill
        Obey a model whose validation found no skill.

    Raises
    ------
    ValueError
        If a number is outside of its range.
    """

    margin: float | None = None
    hysteresis: float = 0.01
    min_interval_ns: int = 0
    on_unfit: Action = "cancel"
    missing: Literal["refuse", "as_trained"] = "refuse"
    gates_without_skill: bool = False

    def __post_init__(self) -> None:
        if self.margin is not None and not -1 <= self.margin <= 1:
            raise ValueError(f"margin ({self.margin}) must be between -1 and 1, or left out")
        if not 0 <= self.hysteresis <= 0.5:
            raise ValueError(f"hysteresis ({self.hysteresis}) must be between 0 and 0.5")
        if self.min_interval_ns < 0:
            raise ValueError(f"min_interval_ns ({self.min_interval_ns}) must not be negative")


@dataclass(frozen=True, slots=True)
class Ruling:
    """One decision.

    Parameters
    ----------
    cancel
        Take the entry back.
    probability, threshold
        What was compared, None where the row was not scored.
    reason
        ``kept``, ``below_threshold``, ``unfit_row``, ``expired`` or ``no_skill``.
    column
        What made the row unfit: a feature, ``probability`` or ``p_star``; empty otherwise.
    """

    cancel: bool
    probability: float | None
    threshold: float | None
    reason: str
    column: str = ""


class Gate:
    """Decides about one resting entry at a time.

    Parameters
    ----------
    model
        Loaded by `ml.model.load_model`.
    rules
        See `GateRules`.

    Notes
    -----
    A host gets a probability from `look` and gives it to `rule`. As long as it stays at or above `stays_from`
    another ruling would say the same; then `stay` is enough, which costs nearly nothing.
    """

    def __init__(self, model: Model, rules: GateRules) -> None:
        self.model = model
        self.rules = rules
        self.look = Look(model, may_miss(model, rules.missing))
        self.row = self.look.row
        self.names = tuple(one.name for one in model.passport.features)
        self.stays_from = math.inf
        """Lowest probability at which the last ruling, that the order may stay, still holds."""
        self._margin = model.passport.decision.margin if rules.margin is None else rules.margin
        self._is_in_force = model.has_skill or rules.gates_without_skill
        self.is_expired = False
        self._slack = 0.0
        self._counts: Counter[str] = Counter()
        self._stayed = 0

    @property
    def counts(self) -> Counter[str]:
        """Return the number of decisions by reason."""
        stayed = "kept" if self._is_in_force else "no_skill"
        return self._counts + Counter({stayed: self._stayed})

    def forget_counts(self) -> None:
        """Begin to count again."""
        self._counts.clear()
        self._stayed = 0

    def open_order(self, *, is_again: bool = False) -> None:
        """Begin with another order; `is_again` when the zone's order was cancelled by this gate before."""
        self._slack = self.rules.hysteresis if is_again else 0.0
        self.stays_from = math.inf

    def order_moved(self) -> None:
        """Take note that stop or target, and with them p*, changed: the last ruling no longer holds."""
        self.stays_from = math.inf

    def at_time(self, ts_ns: int) -> None:
        """Take the time, UNIX nanoseconds: from the passport's expiry on no estimate is obeyed any more."""
        if not self.is_expired and ts_ns >= self.model.passport.expires_ns:
            self.is_expired = True
            self.stays_from = math.inf

    def stay(self) -> None:
        """Count a look whose probability was not below `stays_from`."""
        self._stayed += 1

    def rule(self, probability: float, p_star: float) -> Ruling:
        """Decide about a row that was looked at.

        Parameters
        ----------
        probability
            From `look`; NaN when the row must not be scored.
        p_star
            From `ml.break_even.break_even`, for this order.
        """
        ruling = self._rule(probability, p_star)
        self._counts[ruling.reason] += 1
        return ruling

    def _rule(self, probability: float, p_star: float) -> Ruling:
        if self.is_expired and self._is_in_force:
            self.stays_from = math.inf
            return Ruling(self.rules.on_unfit == "cancel", None, None, "expired")
        column = self.look.unfit
        name = self.names[column] if column >= 0 else _unusable(probability, p_star)
        if name:
            self.stays_from = math.inf
            is_cancelled = self._is_in_force and self.rules.on_unfit == "cancel"
            return Ruling(is_cancelled, None, None, "unfit_row", name)
        threshold = p_star + self._margin + self._slack
        if not self._is_in_force:
            self.stays_from = -math.inf
            return Ruling(False, probability, threshold, "no_skill")
        if probability < threshold:
            self.stays_from = math.inf
            return Ruling(True, probability, threshold, "below_threshold")
        self._slack = -self.rules.hysteresis
        self.stays_from = p_star + self._margin + self._slack
        return Ruling(False, probability, threshold, "kept")

    def inputs(self) -> dict[str, float]:
        """Return the features of the last decision by name, for its record."""
        return dict(zip(self.names, self.row.tolist(), strict=True))

    def as_plain(self) -> dict[str, Any]:
        """Return what a summary says about the gate."""
        passport = self.model.passport
        return {
            "model_id": passport.model_id,
            "model_sha256": passport.model_sha256,
            "verdict": passport.verdict,
            "in_force": self._is_in_force,
            "expires_ns": passport.expires_ns,
            "expired": self.is_expired,
            "on_unfit": self.rules.on_unfit,
            "scored_by": self.model.kind,
            "trained_ns": [passport.data.start_ns, passport.data.end_ns],
            "notes": list(self.model.notes),
            "margin": self._margin,
            "decisions": dict(sorted(self.counts.items())),
        }


def _unusable(probability: float, p_star: float) -> str:
    """Return which of both cannot be compared, empty for none: NaN is below no threshold."""
    if not 0 <= probability <= 1:
        return "probability"
    return "" if math.isfinite(p_star) else "p_star"


def may_miss(model: Model, missing: Literal["refuse", "as_trained"]) -> NDArray[np.uint8]:
    """Return in which columns NaN may be scored, shape (f,), 0 or 1.

    A column that every row of the training lacked (the higher-timeframe bias where there is none) may be
    missing in any case: no tree can have learned from it.
    """
    reference = model.passport.drift_ref.features
    found = np.zeros(len(model.passport.features), np.uint8)
    for index, feature in enumerate(model.passport.features):
        bins = reference.get(feature.name)
        share = 0.0 if bins is None else bins.missing
        found[index] = share >= 1.0 or (share > 0 and missing == "as_trained")
    return found


__all__ = ["Gate", "GateRules", "Ruling", "may_miss"]
