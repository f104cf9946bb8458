"""Why the model decided as it did, for recordings: read from what a backtest explained after its end."""

from pathlib import Path
from typing import Final

import msgspec

from ui.protocol import ModelDecision, Snapshot

REASONS_FILE: Final = "contributions.jsonl"  # of `runtime.contributions`
MS: Final = 1_000_000


class _Top(msgspec.Struct, frozen=True):
    feature: str
    contribution: float


class _Line(msgspec.Struct, frozen=True):
    ts_ns: int
    instrument_id: str
    setup_id: str
    top: list[_Top] = []


class Reasons:
    """Adds to decisions what spoke for and against the entry.

    Parameters
    ----------
    folder
        Of the run; decisions stay as they are where it has no such file, or the file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._known: dict[tuple[str, str, int], list[tuple[str, float]]] = {}
        decoder = msgspec.json.Decoder(_Line)
        try:
            with (folder / REASONS_FILE).open("rb") as file:
                for text in file:
                    line = decoder.decode(text)
                    key = line.instrument_id, line.setup_id, line.ts_ns // MS
                    self._known[key] = [(one.feature, one.contribution) for one in line.top]
        except (OSError, msgspec.DecodeError):
            return

    def of(self, decision: ModelDecision) -> ModelDecision:
        """Return the decision with its strongest contributions, as it is where none are known."""
        why = self._known.get((decision.ins, decision.setup, decision.ts))
        return decision if decision.why or not why else msgspec.structs.replace(decision, why=why)

    def fill(self, snapshot: Snapshot) -> None:
        """Add them to the decisions of a snapshot, in place."""
        snapshot.mdl = [self.of(one) for one in snapshot.mdl]


__all__ = ["REASONS_FILE", "Reasons"]
