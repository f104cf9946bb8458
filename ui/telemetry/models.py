"""What a terminal is told of the models that decide in a node."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ui.protocol import ModelView

# As `ml.drift.DriftState` calls them, the worst last.
DRIFT: Final = ("waiting", "ok", "warn", "alarm")
EXPIRED: Final = "expired"


def model_views(strategies: Iterable[Any], thresholds: Mapping[str, float]) -> list[ModelView]:
    """Return the models of strategies with their verdicts; those that decide by rules alone have none.

    Parameters
    ----------
    strategies
        Of the node.
    thresholds
        By instrument id, as of the last decision: each entry has its own.
    """
    return [view for strategy in strategies for view in _views(strategy, thresholds)]


def last_inference_us(strategy: Any) -> float | None:
    """Return how long a strategy's model took for its last answer, microseconds; None where none measures."""
    latency = getattr(_judge(strategy), "latency", None)
    return latency.last_ns / 1e3 if latency is not None and latency.total else None


def worst_drift(strategies: Iterable[Any]) -> str | None:
    """Return how far the market has moved from what the models learned, None where none watches it."""
    monitors = (getattr(_judge(one), "drift", None) for one in strategies)
    states = [str(one.state) for one in monitors if one is not None]
    return max(states, key=DRIFT.index) if states else None


def _judge(strategy: Any) -> Any:
    """Return what a strategy asks about resting entries, None where it asks nothing."""
    return getattr(getattr(strategy, "gate", None), "judge", None)


def _views(strategy: Any, thresholds: Mapping[str, float]) -> Iterator[ModelView]:
    gate = getattr(_judge(strategy), "gate", None)  # of a model; a rule has none
    if gate is not None:
        verdict = EXPIRED if gate.is_expired else gate.model.passport.verdict
        ins = strategy.instrument_id.value
        yield _view(ins, gate.model.passport, verdict, thresholds.get(ins))
    model = getattr(getattr(strategy, "filter", None), "model", None)
    if model is not None:
        yield _view("*", model.model.passport, model.model.passport.verdict)


def _view(ins: str, passport: Any, verdict: str, threshold: float | None = None) -> ModelView:
    return ModelView(ins=ins, verdict=str(verdict), threshold=threshold, digest=passport.model_sha256)


__all__ = ["last_inference_us", "model_views", "worst_drift"]
