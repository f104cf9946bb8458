"""A run in which every entry stays: what each order wanted from bucket to bucket, and what became of it.

That is what a cancel policy is trained on. The engine, its fills and its exits are those of a backtest; only
the cancel policy is taken out, and instead of a run folder the records go straight to the labels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

import msgspec

from ml.decisions import Stretch
from ml.labels import Labeller, OrderLabel
from runtime.backtest import LOST_TRADES, run_node
from runtime.errors import ConfigurationError, DataError
from runtime.memory import release_memory
from runtime.nodes import Node
from runtime.recorder import Recorder, RecorderConfig
from runtime.run_plan import RunPlan, node_of
from strategies.dynamic_cancel import KEEP
from strategies.trade_manager.orders import Leg

ENTRY_KINDS: Final = frozenset({"entry_submitted", "entry_repriced"})


@dataclass(frozen=True, slots=True)
class OrderHistory:
    """The entry orders of one instrument.

    Parameters
    ----------
    labels
        What became of each, in the order in which they were sent.
    stretches
        What each wanted between two bucket closes, in the order of time.
    """

    labels: list[OrderLabel]
    stretches: list[Stretch]


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


class EntryWatch:
    """Writes down, whenever a bucket closes, what the living entry wanted since the bucket before.

    A plan changes only after a bucket has closed, so what stands in it at the next close stood there all the
    time in between. No event says so: the target of a resting entry follows its range silently.

    Parameters
    ----------
    strategy
        An `OteStrategy`, or another one that has ``setup``, ``bias`` and ``observe``.
    """

    def __init__(self, strategy: Any) -> None:
        self.rows: list[tuple[str, Stretch]] = []
        self._strategy = strategy
        self._bias = float("nan")
        self._over: Any = None
        strategy.observe(self._on_bucket)

    def finish(self) -> list[tuple[str, Stretch]]:
        """Return client order ids with their stretches, the one after the last bucket included."""
        self._note(self._strategy.bucket_seq)
        return self.rows

    def _on_bucket(self, packet: Any, _events: Any) -> None:
        self._note(int(packet["seq"]) - 1)
        bias = self._strategy.bias
        self._bias = float("nan") if bias is None else float(bias)

    def _note(self, bucket_seq: int) -> None:
        setup = self._strategy.setup
        if setup is None or setup is self._over:
            return
        if setup.is_closed or setup.is_in_position:
            self._over = setup  # once more: it was an entry for a part of this bucket
        plan = setup.plan
        entries = [own.client_id for own in setup.orders.values() if own.leg is Leg.ENTRY]
        if entries:
            stretch = Stretch(
                bucket_seq=bucket_seq,
                order=-1,
                entry=float(plan.entry_price),
                stop=float(plan.stop_price),
                target=float(plan.target_price),
                range_low=plan.zone_low,
                range_high=plan.zone_high,
                bias=self._bias,
            )
            self.rows.append((entries[-1], stretch))


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
        When trades were lost on the way.
    """
    plan = ungated(plan)
    node: Node = node_of(plan)
    sink = LabelSink()
    node.build()
    (engine,) = node.get_engines()
    engine.add_actor(Recorder(RecorderConfig(mark_from_ns=plan.last_ts_ns + 1), sink, on_time))
    watches: dict[str, EntryWatch] = {}
    for strategy in engine.trader.strategies():
        if not hasattr(strategy, "observe"):
            raise ConfigurationError(f"strategy {plan.spec.name} shows no buckets: take another, such as ote")
        watches[strategy.instrument_id.value] = EntryWatch(strategy)
    run_node(node, plan)
    for strategy in engine.trader.strategies():
        for name, meaning in LOST_TRADES.items():
            if strategy.counters.get(name, 0):
                raise DataError(f"{plan.catalog.path}: {strategy.counters[name]:,} trades {meaning}")
    labels = sink.labeller.labels(plan.last_ts_ns)
    histories = {name: _history(name, labels, watch) for name, watch in watches.items()}
    node.dispose()  # type: ignore[no-untyped-call]
    release_memory()
    return histories


def _history(name: str, labels: list[OrderLabel], watch: EntryWatch) -> OrderHistory:
    own = [one for one in labels if one.instrument_id == name]
    index = {one.client_order_id: at for at, one in enumerate(own)}
    stretches = [
        replace(stretch, order=index[client_id])
        for client_id, stretch in watch.finish()
        if client_id in index
    ]
    return OrderHistory(own, stretches)
