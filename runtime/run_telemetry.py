"""Writes down what a terminal would have seen of a backtest, to be played by `python -m ui replay`."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from runtime.column_bars import ColumnRunBars
from runtime.recorder import Listings, account_equity
from runtime.run_plan import RunPlan
from runtime.score_columns import Columns
from ui.bridge import TelemetryActor
from ui.protocol import Message
from ui.recording import RECORDING_FILE, RecordingWriter
from ui.telemetry.run_bars import AROUND, ArrivedRunBars, RunBars
from ui.telemetry.sources import TelemetrySources
from ui.terminal_state import TerminalState

NANOS: Final = 1_000_000_000


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
        self._bars: RunBars | None = None
        self._seq = 0
        self._last_ns = 0

    def publish(self, kind: str, payload: Any, ts_ns: int) -> None:
        """Take a message; a venue's time that steps back counts as the last one, a recording only goes on."""
        if self._bars is not None:
            self._bars.before(kind, payload, ts_ns)
        self.append(kind, payload, ts_ns)

    def append(self, kind: str, payload: Any, ts_ns: int) -> None:
        """Write a message, whatever bars closed before it."""
        self._seq += 1
        self._last_ns = max(self._last_ns, ts_ns)
        self._state.apply(kind, payload)
        self._writer.write(Message(self._run_id, self._seq, self._last_ns, kind, payload))

    def record_bars(self, bars: RunBars, from_ns: int) -> None:
        """Write bars too; what was told before their first one counts as told then: a replay begins there."""
        self._bars, self._last_ns = bars, from_ns

    def end(self, ts_ns: int) -> None:
        """Write the bars until the end of the run, UNIX nanoseconds."""
        if self._bars is not None:
            self._bars.end(ts_ns)

    def close(self) -> None:
        """Write the rest."""
        self._writer.close()


@contextmanager
def recorded_telemetry(
    plan: RunPlan, engine: Any, folder: Path, run_id: str, columns: Columns | None = None
) -> Iterator[None]:
    """Record a run while the block runs; does nothing where the settings want none.

    Parameters
    ----------
    plan
        What is run.
    engine
        With its strategies, not yet run.
    folder, run_id
        Of the run.
    columns
        Its bars, where they are known beforehand.
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

    on_bar = _record_bars(sink, plan, engine.trader.strategies, columns)
    sources = TelemetrySources(
        mode="backtest", session=run_id, strategies=engine.trader.strategies, equity=equity, on_bar=on_bar
    )
    engine.add_actor(TelemetryActor(sources, sink))
    try:
        yield
        sink.end(plan.last_ts_ns)
    finally:
        sink.close()


def _record_bars(
    sink: RecordingSink, plan: RunPlan, strategies: Callable[[], list[Any]], columns: Columns | None
) -> Callable[[Any], None] | None:
    """Have bars written; return what must hear of those that the engine brings, None where nothing must."""
    steps_ns = dict(_steps_ns(strategies()))
    if not steps_ns:
        return None
    step_ns = min(steps_ns.values())
    warm_ns = max(0, plan.trade_from_ns - AROUND * step_ns - plan.first_ts_ns)
    from_ns = plan.first_ts_ns + (warm_ns // step_ns - 1) * step_ns
    total = len(steps_ns) * ((plan.last_ts_ns - from_ns) // step_ns)
    if columns is not None:
        coins = {name: coin for one in strategies() for name, coin in one.coins.items()}
        known = ColumnRunBars(columns, lambda name: coins[name].score.weights)
        sink.record_bars(RunBars(known, sink.append, from_ns=from_ns, total=total), from_ns)
        return None
    source = ArrivedRunBars(strategies, steps_ns, step_ns)
    bars = RunBars(source, sink.append, from_ns=from_ns, total=total)
    sink.record_bars(bars, from_ns)

    def hear(bar: Any) -> None:
        source.take(bar)
        bars.arrived(bar.ts_event)

    return hear


def _steps_ns(strategies: Iterable[Any]) -> Iterator[tuple[str, int]]:
    """Yield the instruments that strategies on bars trade, and how long those are."""
    for strategy in strategies:
        if isinstance(coins := getattr(strategy, "coins", None), dict):
            yield from ((name, strategy.config.ltf_secs * NANOS) for name in coins)
        elif (bar_type := getattr(strategy, "bar_type", None)) is not None:
            secs = int(bar_type.spec.timedelta.total_seconds())
            yield bar_type.instrument_id.value, secs * NANOS


__all__ = ["RecordingSink", "recorded_telemetry"]
