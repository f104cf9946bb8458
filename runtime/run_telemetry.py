"""Writes down what a terminal would have seen of a backtest, to be played by `python -m ui replay`."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from runtime.recorder import Listings, account_equity
from runtime.run_plan import RunPlan
from ui.bridge import TelemetryActor
from ui.protocol import Message
from ui.recording import RECORDING_FILE, RecordingWriter
from ui.telemetry.sources import TelemetrySources
from ui.terminal_state import TerminalState


class RecordingSink:
    """Numbers messages, folds them and writes them.

    Parameters
    ----------
    path
        Of the file.
    run_id
        Of the run folder.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self._run_id = run_id
        self._state = TerminalState()
        self._writer = RecordingWriter(path, self._state, {"run": run_id})
        self._seq = 0
        self._last_ns = 0

    def publish(self, kind: str, payload: Any, ts_ns: int) -> None:
        """Take a message; a venue's time that steps back counts as the last one, a recording only goes on."""
        self._seq += 1
        self._last_ns = max(self._last_ns, ts_ns)
        self._state.apply(kind, payload)
        self._writer.write(Message(self._run_id, self._seq, self._last_ns, kind, payload))

    def close(self) -> None:
        """Write the rest."""
        self._writer.close()


@contextmanager
def recorded_telemetry(plan: RunPlan, engine: Any, folder: Path, run_id: str) -> Iterator[None]:
    """Record a run while the block runs; does nothing where the settings want none.

    Parameters
    ----------
    plan
        What is run.
    engine
        With its strategies, not yet run.
    folder, run_id
        Of the run.
    """
    if not plan.request.settings.backtest.telemetry:
        yield
        return
    sink = RecordingSink(folder / RECORDING_FILE, run_id)
    listings: list[Listings] = []

    def equity() -> Decimal | None:
        if not engine.cache.accounts():
            return None
        if not listings:
            listings.append(Listings(engine.cache))
        return account_equity(engine.cache, listings[0])

    sources = TelemetrySources(
        mode="backtest", session=run_id, strategies=engine.trader.strategies, equity=equity
    )
    engine.add_actor(TelemetryActor(sources, sink))
    try:
        yield
    finally:
        sink.close()


__all__ = ["RecordingSink", "recorded_telemetry"]
