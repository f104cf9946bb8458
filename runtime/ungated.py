"""A run in which every entry stays: what each order wanted from bucket to bucket, and what became of it.

That is what a cancel policy is trained on. The engine, its fills and its exits are those of a backtest; only
the cancel policy is taken out, and instead of a run folder the records go straight to the labels.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import msgspec

from ml.decisions import Stretch
from ml.labels import Labeller
from runtime.backtest import require_replayed, run_node, summed_counters
from runtime.entry_watch import EntryWatch, OrderHistory, Taker, histories_of
from runtime.errors import ConfigurationError
from runtime.nodes import Node
from runtime.recorder import Recorder, RecorderConfig
from runtime.run_plan import RunPlan, node_of
from strategies.dynamic_cancel import KEEP

ENTRY_KINDS: Final = frozenset({"entry_submitted", "entry_repriced"})


class LabelSink:
    """Hands the records of a run to a `Labeller`; takes the place of a run folder."""

    def __init__(self) -> None:
        self.labeller = Labeller()

    def record(self, name: str, content: Mapping[str, Any]) -> None:
        """Take an order event."""
        self.labeller.take({"record": name, **content})

    def decision(self, decision: Any) -> None:
        """Take a decision, if it sends an entry."""
        if decision.kind in ENTRY_KINDS:
            self.labeller.take({"record": "decision", **msgspec.structs.asdict(decision)})

    def trade(self, trade: Any) -> None:
        """Take a closed trade."""
        self.labeller.take({"record": "trade", **msgspec.structs.asdict(trade)})

    def equity(self, ts_ns: int, equity: Decimal) -> None:
        """Ignore a mark of the account."""


def ungated(plan: RunPlan) -> RunPlan:
    """Return the plan with the policy that keeps every entry."""
    kept = {"cancel_policy": KEEP, "model": ""}
    strategies = tuple(
        msgspec.structs.replace(
            one, config={name: kept.get(name, value) for name, value in one.config.items()}
        )
        for one in plan.strategies
    )
    return replace(plan, strategies=strategies)


def run_ungated(plan: RunPlan, on_time: Callable[[int], None] | None = None) -> dict[str, OrderHistory]:
    """Replay a plan without its cancel policy; return the entry orders of each instrument.

    Parameters
    ----------
    plan
        From `plan_run`.
    on_time
        Called every five simulated minutes with the simulated time, UNIX nanoseconds.

    Raises
    ------
    ConfigurationError
        When the strategy does not show its buckets.
    DataError
        When trades were lost on the way, or not all of them reached the engine.
    """
    plan = ungated(plan)
    node: Node = node_of(plan)
    sink = LabelSink()
    node.build()
    (engine,) = node.get_engines()
    engine.add_actor(Recorder(RecorderConfig(mark_from_ns=plan.last_ts_ns + 1), sink, on_time))
    wanted: dict[str, list[tuple[str, Stretch]]] = {}
    watches = []
    for strategy in engine.trader.strategies():
        if not hasattr(strategy, "observe"):
            raise ConfigurationError(f"strategy {plan.spec.name} shows no buckets: take another, such as ote")
        rows = wanted.setdefault(strategy.instrument_id.value, [])
        watches.append(EntryWatch(strategy, _appending(rows)))
    run_node(node, plan)
    counters = summed_counters(strategy.counters for strategy in engine.trader.strategies())
    require_replayed(plan, counters, engine.iteration)
    for watch in watches:
        watch.finish()
    histories = histories_of(sink.labeller.labels(plan.last_ts_ns), wanted)
    node.dispose()  # type: ignore[no-untyped-call]
    return histories


def _appending(rows: list[tuple[str, Stretch]]) -> Taker:
    return lambda client_order_id, stretch: rows.append((client_order_id, stretch))
