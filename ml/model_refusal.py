"""Why a model must not decide: the kinds of doubt, and the error that carries one."""

from enum import StrEnum
from typing import Final


class Refusal(StrEnum):
    """Why a model was refused; ``docs/glossary.md`` uses the same words."""

    MISSING = "missing"  # no such folder or file, or not readable
    PASSPORT_DAMAGED = "passport_damaged"
    MODEL_DAMAGED = "model_damaged"  # its bytes are not those of the passport
    RENAMED = "renamed"  # the folder is not called as the passport says
    EXPIRED = "expired"
    OTHER_KIND = "other_kind"  # decides about something else
    OTHER_FEATURES = "other_features"  # names, their order, or the schema hash
    OTHER_KERNEL = "other_kernel"
    OTHER_INSTRUMENT = "other_instrument"
    OTHER_STREAM = "other_stream"
    OTHER_BUCKET = "other_bucket"
    OTHER_STRATEGY = "other_strategy"  # another one, or parameters that give other entries or exits
    NO_PROBE = "no_probe"  # nothing to check the model with
    PROBE_FAILED = "probe_failed"  # the model answers otherwise than recorded
    CHILD_FAILED = "child_failed"  # XGBoost cannot read it
    CHILD_TIMEOUT = "child_timeout"


DAMAGED: Final = frozenset(
    {
        Refusal.PASSPORT_DAMAGED,
        Refusal.MODEL_DAMAGED,
        Refusal.NO_PROBE,
        Refusal.PROBE_FAILED,
        Refusal.CHILD_FAILED,
        Refusal.CHILD_TIMEOUT,
    }
)
"""Refusals that speak of the files; the others of what they are wanted for."""


class ModelRefused(ValueError):  # noqa: N818 - named after what the operator reads: "model refused: expired"
    """A model that must not decide.

    Parameters
    ----------
    reason
        The kind of doubt.
    detail
        What, where, and how to fix it.
    """

    def __init__(self, reason: Refusal, detail: str) -> None:
        super().__init__(f"model refused ({reason}): {detail}")
        self.reason = reason
