"""Why the model of a running node decided as it did: explained here, so that the node need not."""

import logging
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from ui.protocol import SNAP, Message, ModelDecision

if TYPE_CHECKING:
    from ml.contributions import Explainer

log = logging.getLogger("smcbot.terminal")

MOST: Final = 5
# The explained probability must be the one that was decided on, or it was another model's.
CLOSE: Final = 1e-6


class NodeReasons:
    """Adds to decisions what spoke for and against the entry, and takes their inputs out.

    Parameters
    ----------
    folders
        Of the models that the node's settings name. They are loaded beside, which takes seconds; decisions
        before that, and those of models that cannot be loaded, stay without reasons.
    """

    def __init__(self, folders: Iterable[str]) -> None:
        self._folders = [Path(one) for one in dict.fromkeys(folders)]
        self._explainers: list[Explainer] = []
        self._thread = threading.Thread(target=self._load, name="reasons", daemon=True)

    def start(self) -> None:
        """Begin to load."""
        if self._folders:
            self._thread.start()

    def wait(self) -> None:
        """Wait until all is loaded."""
        if self._thread.is_alive():
            self._thread.join()

    def explained(self, message: Message) -> Message:
        """Return a message with reasons in it."""
        if message.kind == "mdl":
            return message._replace(payload=self.of(message.payload))
        if message.kind == SNAP:
            message.payload.mdl = [self.of(one) for one in message.payload.mdl]
        return message

    def of(self, decision: ModelDecision) -> ModelDecision:
        """Return a decision with its strongest contributions, without any where no model fits."""
        if not decision.inputs:
            return decision
        for explainer in self._explainers:
            row = np.array([decision.inputs.get(name, np.nan) for name in explainer.names])
            (found,) = explainer.explain(row[np.newaxis])
            if abs(found.probability - decision.p) <= CLOSE:
                why = [(one.feature, one.contribution) for one in found.top]
                return msgspec.structs.replace(decision, why=why, inputs={})
        return msgspec.structs.replace(decision, inputs={})

    def _load(self) -> None:
        from ml.contributions import Explainer  # brings XGBoost, which few terminals need
        from ml.model import ModelRefused

        for folder in self._folders:
            try:
                self._explainers.append(Explainer.load(folder, MOST))
            except ModelRefused as refusal:
                log.warning("decisions of %s are shown without reasons: %s", folder, refusal)


__all__ = ["NodeReasons"]
