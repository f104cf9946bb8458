"""What no object of a node remembers by itself: durations, sums and marks, kept by an actor.

It hears decisions, closed trades and order events, and looks at the account by timer; it never sees a trade.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, ClassVar, Final

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.model.identifiers import InstrumentId

from ml.latency import LatencyHistogram
from runtime.recorder import DECISIONS_TOPIC, ORDERS_TOPIC, TRADES_TOPIC, account_equity
from strategies.trade_manager.orders import Leg, OrderStage

MARK_TIMER: Final = "metrics-mark"
NANOS: Final = 1_000_000_000


class MeterConfig(ActorConfig, frozen=True):
    """How often the account is looked at.

    Parameters
    ----------
    mark_secs
        Time between two looks at equity and protection, seconds; 0 looks after each closed trade and sets no
        timer. A backtest needs that: the simulated venue takes waiting commands whenever a timer fires.
    """

    mark_secs: float = 5.0


class Meter(Actor):
    """Counts and times what the collector reads; all of it is plain numbers in dictionaries.

    Parameters
    ----------
    config
        See :class:`MeterConfig`.
    strategies
        Gives the strategies whose setups are looked at.
    """

    # Methods that may hear of an order after it has left (runtime.live.late_hearing).
    HEARD_LATE: ClassVar = ("_on_order",)  # a decision is timed when it is made

    def __init__(self, config: MeterConfig, strategies: Callable[[], Iterable[Any]] = tuple) -> None:
        super().__init__(config)
        self._strategies = strategies
        self._mark_ns = round(config.mark_secs * NANOS)
        self.order_events: Counter[str] = Counter()
        self.decisions: Counter[str] = Counter()
        self.trades: Counter[tuple[str, str]] = Counter()
        self.pnl: dict[str, Decimal] = {}
        self.fees: dict[str, Decimal] = {}
        self.tick_to_decision = LatencyHistogram()
        self.tick_to_decision_sum_ns = 0
        self.decision_to_sent = LatencyHistogram()
        self.decision_to_sent_sum_ns = 0
        self.tick_to_cancel = LatencyHistogram()
        self.tick_to_cancel_sum_ns = 0
        self.cancel_to_ack = LatencyHistogram()
        self.cancel_to_ack_sum_ns = 0
        self.equity: float | None = None
        self.top_equity: float | None = None
        self.unprotected_ns: dict[str, int] = {}
        self._unprotected_since: dict[str, int] = {}
        self._by_instrument: dict[str, list[Any]] = {}
        self._ids: dict[str, InstrumentId] = {}
        self._asked: dict[str, tuple[int, int]] = {}  # by instrument: trade arrived, cancel decided
        self._cancelling: dict[str, int] = {}

    def on_start(self) -> None:
        """Subscribe, and look at the account by timer."""
        self.msgbus.subscribe(topic=DECISIONS_TOPIC, handler=self._guarded(self._on_decision))
        self.msgbus.subscribe(topic=TRADES_TOPIC, handler=self._guarded(self._on_trade))
        self.msgbus.subscribe(topic=ORDERS_TOPIC, handler=self._guarded(self._on_order))
        if self._mark_ns:
            self.clock.set_timer_ns(
                MARK_TIMER,
                self._mark_ns,
                self.clock.timestamp_ns(),
                0,
                self._guarded(lambda event: self._mark(event.ts_event)),
            )

    def _guarded(self, hear: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a handler that logs its own bugs: a figure must cost neither an order nor the node."""

        def handler(message: Any) -> None:
            try:
                hear(message)
            except Exception as error:
                self.log.error(  # noqa: TRY400 - Nautilus' logger
                    f"{type(message).__name__} not counted: {type(error).__name__}: {error}"
                )

        return handler

    @property
    def drawdown_ratio(self) -> float:
        """Loss from the highest equity, 0..1; 0 before the first mark."""
        if self.equity is None or not self.top_equity:
            return 0.0
        return max(0.0, 1.0 - self.equity / self.top_equity)

    def latencies(self) -> dict[str, Any]:
        """Return median and 99th percentile, None before the first: trade to decision, cancel to answer."""
        return {
            "decision_us": _spread(self.tick_to_decision, 1e3),
            "ack_ms": _spread(self.cancel_to_ack, 1e6),
        }

    def _on_decision(self, decision: Any) -> None:
        self.decisions[decision.kind] += 1
        if decision.kind == "cancel_asked" and decision.detail.get("action") == "cancel":
            tick = self.cache.trade_tick(self._instrument_id(decision.instrument_id))
            if tick is not None:
                decided_ns = self.clock.timestamp_ns()
                self._asked[decision.instrument_id] = tick.ts_init, decided_ns
                self.tick_to_decision.add(decided_ns - tick.ts_init)
                self.tick_to_decision_sum_ns += decided_ns - tick.ts_init

    def _instrument_id(self, name: str) -> InstrumentId:
        found = self._ids.get(name)
        if found is None:
            found = self._ids[name] = InstrumentId.from_str(name)
        return found

    def _on_trade(self, trade: Any) -> None:
        name = trade.instrument_id
        self.trades[name, str(trade.exit_reason)] += 1
        self.pnl[name] = self.pnl.get(name, Decimal(0)) + Decimal(trade.pnl)
        self.fees[name] = self.fees.get(name, Decimal(0)) + Decimal(trade.fees)
        if not self._mark_ns:
            self._mark(self.clock.timestamp_ns())

    def _on_order(self, event: Any) -> None:
        name, order_id = type(event).__name__, event.client_order_id.value
        self.order_events[name] += 1
        if name == "OrderPendingCancel":
            self._cancelling[order_id] = event.ts_init
            asked = self._asked.pop(event.instrument_id.value, None)
            if asked is not None:
                arrived_ns, decided_ns = asked
                self.decision_to_sent.add(event.ts_init - decided_ns)
                self.decision_to_sent_sum_ns += event.ts_init - decided_ns
                self.tick_to_cancel.add(event.ts_init - arrived_ns)
                self.tick_to_cancel_sum_ns += event.ts_init - arrived_ns
        elif name in ("OrderCanceled", "OrderCancelRejected", "OrderFilled", "OrderExpired"):
            sent_ns = self._cancelling.pop(order_id, None)
            if sent_ns is not None and name == "OrderCanceled":
                # By our clock alone: the venue's time of the event has another offset.
                self.cancel_to_ack.add(event.ts_init - sent_ns)
                self.cancel_to_ack_sum_ns += event.ts_init - sent_ns
        self._look_at_protection(event.ts_init, self._strategies_on(event.instrument_id.value))

    def _strategies_on(self, name: str) -> list[Any]:
        """Return the strategies with a desk for an instrument; desks are made at a strategy's start."""
        found = self._by_instrument.get(name)
        if found is None:
            found = [one for one in self._strategies() if any(owner == name for owner, _ in setups_of(one))]
            if found:
                self._by_instrument[name] = found
        return found

    def _mark(self, ts_ns: int) -> None:
        self._look_at_protection(ts_ns, self._strategies())
        if self.cache.accounts():
            self.equity = float(account_equity(self.cache))
            self.top_equity = max(self.equity, self.top_equity or self.equity)

    def _look_at_protection(self, ts_ns: int, strategies: Iterable[Any]) -> None:
        for strategy in strategies:
            for name, setup in setups_of(strategy):
                since_ns = self._unprotected_since.get(name)
                if setup is not None and uncovered_qty(setup) > 0:
                    if since_ns is None:
                        self._unprotected_since[name] = ts_ns
                    else:
                        self._add_unprotected(name, since_ns, ts_ns)
                elif since_ns is not None:
                    self._add_unprotected(name, since_ns, ts_ns)
                    del self._unprotected_since[name]

    def _add_unprotected(self, name: str, since_ns: int, ts_ns: int) -> None:
        self.unprotected_ns[name] = self.unprotected_ns.get(name, 0) + max(0, ts_ns - since_ns)
        self._unprotected_since[name] = ts_ns


def _spread(times: LatencyHistogram, unit_ns: float) -> tuple[float | None, float | None]:
    values = (times.quantile_ns(0.5), times.quantile_ns(0.99))
    low, high = (None if value is None else value / unit_ns for value in values)
    return low, high


def setups_of(strategy: Any) -> list[tuple[str, Any]]:
    """Return (instrument, setup or None) of each desk of a strategy, none where it has no desks."""
    owners = getattr(strategy, "desks", ())
    return [(one.instrument_id.value, one.setup) for one in owners]


def uncovered_qty(setup: Any) -> Decimal:
    """Return the part of a position that no working stop or market exit covers, base currency."""
    if not setup.is_in_position:
        return Decimal(0)
    covered = max(
        (
            one.leaves_qty
            for one in list(setup.orders.values())
            if one.leg in (Leg.STOP, Leg.EXIT) and one.is_alive and one.stage is not OrderStage.SENT
        ),
        default=Decimal(0),
    )
    return max(Decimal(0), Decimal(setup.exitable_qty) - covered)
