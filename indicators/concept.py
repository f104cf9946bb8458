"""One concept at a time: the structure engine, with only the events of one family let through."""

from typing import ClassVar, Self

import numpy as np

from indicators.engine import StructureEngine
from indicators.events import EventKind, EventTable
from indicators.structure_config import StructureConfig


class ConceptDetector:
    """Base of the detectors of one concept; the engine stays the only implementation.

    Several concepts of the same bars are cheaper from one `StructureEngine`.

    Parameters
    ----------
    config
        Parameters of all detectors; a concept may depend on those of another (ranges on swings).
    """

    KINDS: ClassVar[frozenset[EventKind]] = frozenset(EventKind)

    def __init__(self, config: StructureConfig) -> None:
        self._engine = StructureEngine(config)
        self._is_ours = np.zeros(max(EventKind) + 1, np.bool_)
        self._is_ours[[int(kind) for kind in self.KINDS]] = True

    def update(
        self,
        ts_open_ns: int,
        ts_close_ns: int,
        open_: float,
        high: float,
        low: float,
        close: float,
        volume: float,
        buy_volume: float,
    ) -> EventTable:
        """Take one closed bar; return this concept's events that became known with it, shape (n,).

        Event ids are those of the whole engine: ``ref_id`` may name an event of another concept.

        Raises
        ------
        ValueError
            As `StructureEngine.update`; the state is untouched.
        """
        events = self._engine.update(ts_open_ns, ts_close_ns, open_, high, low, close, volume, buy_volume)
        ours: EventTable = events[self._is_ours[events["kind"]]]
        return ours

    def reset(self) -> None:
        """Forget every bar."""
        self._engine.reset()

    def to_bytes(self) -> bytes:
        """Return the whole state, to continue with `from_bytes`."""
        return self._engine.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes, config: StructureConfig) -> Self:
        """Return a detector in the state that `to_bytes` saved.

        Raises
        ------
        ValueError
            As `StructureEngine.from_bytes`.
        """
        detector = cls(config)
        detector._engine = StructureEngine.from_bytes(data, config)
        return detector
