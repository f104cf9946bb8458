"""What a terminal is told of the models that decide in a node."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from ui.protocol import ModelView

# As `ml.drift.DriftState` calls them, the worst last.
DRIFT: Final = ("waiting", "ok", "warn", "alarm")
EXPIRED: Final = "expired"


def model_views(strategies: Iterable[Any]) -> list[ModelView]:
    """Return the models of strategies with their verdicts; those that decide by rules alone have none."""
    return [view for strategy in strategies for view in _views(strategy)]


def worst_drift(strategies: Iterable[Any]) -> str | None:
    """Return how far the market has moved from what the models learned, None where none watches it."""
    monitors = (getattr(_judge(one), "drift", None) for one in strategies)
    states = [str(one.state) for one in monitors if one is not None]
    return max(states, key=DRIFT.index) if states else None


def _judge(strategy: Any) -> Any:
    """Return what a strategy asks about resting entries, None where it asks nothing."""
    return getattr(getattr(strategy, "gate", None), "judge", None)


def _views(strategy: Any) -> Iterator[ModelView]:
    gate = getattr(_judge(strategy), "gate", None)  # of a model; a rule has none
    if gate is not None:
        verdict = EXPIRED if gate.is_expired else gate.model.passport.verdict
        yield _view(strategy.instrument_id.value, gate.model.passport, verdict)
    model = getattr(getattr(strategy, "filter", None), "model", None)
    if model is not None:
        yield _view("*", model.model.passport, model.model.passport.verdict)


def _view(ins: str, passport: Any, verdict: str) -> ModelView:
    return ModelView(ins=ins, verdict=str(verdict), digest=passport.model_sha256)


__all__ = ["model_views", "worst_drift"]
