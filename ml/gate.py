"""The rule by which a model takes a resting entry back: pure, no clock, no orders.

An entry is worth keeping while the calibrated probability that it reaches its target is at least what its own
distances and fees ask for, p* = (stop + fees) / (target + stop), plus the margin of the passport.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ml.kernels.gate import first_unfit
from ml.model import Model

type Action = Literal["cancel", "keep"]
NEVER_NS: Final = -(1 << 62)


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
        What happens to the order when its row cannot be scored.
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
        ``kept``, ``below_threshold``, ``unfit_row``, ``no_skill`` or ``too_soon``.
    column
        The feature that made the row unfit, empty otherwise.
    """

    cancel: bool
    probability: float | None
    threshold: float | None
    reason: str
    column: str = ""


TOO_SOON: Final = Ruling(cancel=False, probability=None, threshold=None, reason="too_soon")


class Gate:
    """Decides about one resting entry at a time.

    Parameters
    ----------
    model
        Loaded by `ml.model.load_model`; the caller writes each row into `row` before it asks.
    rules
        See `GateRules`.

    Notes
    -----
    `counts` has the number of decisions by reason.
    """

    def __init__(self, model: Model, rules: GateRules) -> None:
        self.model = model
        self.rules = rules
        self.counts: Counter[str] = Counter()
        self.row = model.scorer.row
        self.names = tuple(one.name for one in model.passport.features)
        self._margin = model.passport.decision.margin if rules.margin is None else rules.margin
        self._is_in_force = model.has_skill or rules.gates_without_skill
        self._may_miss = may_miss(model, rules.missing)
        self._bounds = model.bounds
        self._slack = 0.0
        self._decided_ns = NEVER_NS

    def open_order(self, *, is_again: bool = False) -> None:
        """Begin with another order; `is_again` when the zone's order was cancelled by this gate before."""
        self._slack = self.rules.hysteresis if is_again else 0.0
        self._decided_ns = NEVER_NS

    def is_due(self, ts_ns: int) -> bool:
        """Tell whether `min_interval_ns` has passed since the last decision; asking before is in vain."""
        return ts_ns - self._decided_ns >= self.rules.min_interval_ns

    def decide(self, ts_ns: int, p_star: float) -> Ruling:
        """Decide on the features in `row`.

        Parameters
        ----------
        ts_ns
            Time of the trade, UNIX nanoseconds.
        p_star
            From `ml.break_even.break_even`, for this order.
        """
        if not self.is_due(ts_ns):
            return TOO_SOON
        self._decided_ns = ts_ns
        ruling = self._rule(p_star)
        self.counts[ruling.reason] += 1
        return ruling

    def _rule(self, p_star: float) -> Ruling:
        column = first_unfit(self.row, self._bounds, self._may_miss)
        if column >= 0 or not math.isfinite(p_star):
            name = self.names[column] if column >= 0 else "p_star"
            is_cancelled = self._is_in_force and self.rules.on_unfit == "cancel"
            return Ruling(is_cancelled, None, None, "unfit_row", name)
        probability = self.model.probability()
        threshold = p_star + self._margin + self._slack
        if not self._is_in_force:
            return Ruling(False, probability, threshold, "no_skill")
        if probability < threshold:
            return Ruling(True, probability, threshold, "below_threshold")
        self._slack = -self.rules.hysteresis
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
            "scored_by": self.model.kind,
            "trained_ns": [passport.data.start_ns, passport.data.end_ns],
            "notes": list(self.model.notes),
            "margin": self._margin,
            "decisions": dict(sorted(self.counts.items())),
        }


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
