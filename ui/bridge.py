"""The node's side of the terminal: an actor that tells what happens, and nothing that could hold a node up.

It listens to decisions, orders, closed trades, notifications and closed buckets, never to trades. In a live
node it also looks at developing buckets, positions and the account by timer. Where a message goes is the
sink's affair: a socket in a node, a file in a backtest.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, partial
from typing import Any, ClassVar, Final

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.model.enums import (
    order_side_to_str,
    order_type_to_str,
    time_in_force_to_str,
)
from nautilus_trader.model.identifiers import InstrumentId

from indicators.events import Scope
from indicators.snapshot import SNAPSHOT_DTYPE
from strategies.trade_manager.client_ids import setup_and_leg
from ui.protocol import CancelEntry, Fill, Heartbeat, LogLine
from ui.telemetry import views
from ui.telemetry.coin_bars import CoinBars
from ui.telemetry.living import living_events
from ui.telemetry.looks import Looks
from ui.telemetry.models import last_inference_us
from ui.telemetry.sources import Sink, TelemetrySources
from ui.telemetry.zones import ZoneTracker

MS: Final = 1_000_000
NANOS: Final = 1_000_000_000
LOOK_TIMER: Final = "telemetry-look"
# Of a backtest, at the times of its equity curve: a timer at others would have the venue look up there too.
MARK_TIMER: Final = "telemetry-mark"
MARK_NS: Final = 300 * NANOS
LOOK_NS: Final = 50 * MS  # developing buckets at most twenty times a second
AT_ONCE: Final = 4  # of them in one turn of the loop
MAX_CANCELS: Final = 1_000  # cancelled entries that wait for what would have become of them
LIVING: Final = 30  # gaps, blocks and levels of each side that a warm-up leaves: more than a chart shows
BEAT_NS: Final = 500 * MS
SLOW_NS: Final = NANOS
INT8_MAX: Final = 127
_FIELDS: Final[Mapping[str, Any]] = SNAPSHOT_DTYPE.fields or {}
_TREND_AT: Final = {name: int(_FIELDS[f"{name}_trend"][1]) for name in ("external", "internal")}
_SCOPES: Final = {"external": Scope.EXTERNAL, "internal": Scope.INTERNAL}


@dataclass(slots=True)
class _Chart:
    """What the actor remembers of an instrument with buckets."""

    strategy: Any
    zones: ZoneTracker
    probability: float | None = None
    warm: Any = None
    told: int = -1  # number of the last bucket of a warm-up
    shown: tuple[int, int] = (-1, 0)


class TelemetryActor(Actor):
    """Tells terminals what happens in the node.

    Parameters
    ----------
    sources
        See `TelemetrySources`.
    sink
        Where messages go.
    answer
        Called at each look with UNIX nanoseconds: answers terminals that have just come.
    close
        Called at the end.
    is_watched
        Tells whether anybody listens; developing buckets are for those who do.
    """

    # Methods that may hear of an order after it has left (runtime.live.late_hearing).
    HEARD_LATE: ClassVar = ("_on_decision", "_on_shadow", "_on_trade", "_on_order", "_tell_bucket")

    def __init__(
        self,
        sources: TelemetrySources,
        sink: Sink,
        answer: Callable[[int], object] = lambda _ts_ns: None,
        close: Callable[[], object] = lambda: None,
        is_watched: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(ActorConfig(component_id="TELEMETRY"))
        self._sources, self._sink, self._answer, self._close = sources, sink, answer, close
        self._is_watched = is_watched
        self._charts: dict[str, _Chart] = {}
        self._coin_bars = CoinBars(sink)
        self._cancels: dict[str, CancelEntry] = {}
        self._signal_sources: set[str] = set()
        self._failures = 0
        self._beat_ns = self._slow_ns = 0
        self._is_looking = False
        self._handlers: dict[str, Callable[[Any], None]] = {}

    # -- life ----------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Listen; look by timer where there is a thread to look in."""
        self._handlers = {
            "decisions.*": self._on_decision,
            "shadows.*": self._on_shadow,
            "trades.*": self._on_trade,
            "events.order.*": self._on_order,
        }
        if self._sources.events_topic:
            self._handlers[self._sources.events_topic] = self._on_event
        if self._sources.call_soon is None:
            self._handlers["data.bars.*"] = self._on_bar
        self._handlers = {topic: self._guarded(handler) for topic, handler in self._handlers.items()}
        for topic, handler in self._handlers.items():
            self.msgbus.subscribe(topic=topic, handler=handler)
        now_ns = self.clock.timestamp_ns()
        if self._sources.call_soon is None:
            self.adopt()
            self._guarded(self._looks.state)(now_ns)
            first_ns = -(-now_ns // MARK_NS) * MARK_NS
            self.clock.set_timer_ns(MARK_TIMER, MARK_NS, first_ns, 0, self._guarded(self._on_mark))
        else:
            self.clock.set_timer_ns(LOOK_TIMER, LOOK_NS, now_ns, 0, self._on_timer)

    def on_stop(self) -> None:
        """Tell the last state, and nothing more."""
        self._is_looking = False
        for topic, handler in self._handlers.items():
            self.msgbus.unsubscribe(topic=topic, handler=handler)
        for timer in {LOOK_TIMER, MARK_TIMER}.intersection(self.clock.timer_names):
            self.clock.cancel_timer(timer)
        self._guarded(self._looks.state)(self.clock.timestamp_ns())
        self._guarded(self._looks.ledger.save)()
        self._guarded(self._close)()

    @cached_property
    def _looks(self) -> Looks:
        return Looks(
            self._sources, self._sink, self.cache, self.trader_id.value, has_chart=self._charts.__contains__
        )

    def _guarded[**P](self, told: Callable[P, object]) -> Callable[P, None]:
        """Return what tells, with its failures kept from the node: who decides calls it, and must go on."""

        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                told(*args, **kwargs)
            except Exception as error:
                self._failures += 1
                if self._failures in (1, 10, 100) or self._failures % 1_000 == 0:
                    said = f"the terminal is not told of something, {self._failures} so far"
                    self.log.exception(said, error)  # noqa: TRY401 - Nautilus' logger wants it

        return guarded

    def adopt(self) -> None:
        """Watch buckets and klines of strategies that are there by now; those that are watched stay so."""
        for strategy in self._sources.strategies():
            if (
                self._sources.call_soon is not None
            ):  # bars of a backtest are known beforehand, or come by events
                self._coin_bars.watch(strategy)
            observe, config = getattr(strategy, "observe", None), getattr(strategy, "config", None)
            scope = _SCOPES.get(getattr(config, "structure", ""))
            if observe is None or config is None or scope is None:
                continue
            name = strategy.instrument_id.value
            if name not in self._charts:
                zones = ZoneTracker(name, scope, config.retracement_min, config.retracement_max)
                self._charts[name] = _Chart(strategy, zones)
                observe(self._guarded(partial(self._on_bucket, name)))

    # -- what happens --------------------------------------------------------------------------------------

    def _begin_day(self, ts_ns: int) -> None:
        """Tell a backtest's account when a day begins; a node's is looked at all the time."""
        if self._sources.call_soon is None and self._looks.begin_day(ts_ns):
            self._looks.account(ts_ns)

    def _on_bar(self, bar: Any) -> None:
        self._begin_day(bar.ts_init)
        if self._sources.on_bar is not None:
            self._sources.on_bar(bar)

    def _on_mark(self, event: Any) -> None:
        if self._looks.held:
            self._begin_day(event.ts_event)
            self._mark(event.ts_event)

    def _mark(self, ts_ns: int) -> None:
        """Tell what a backtest holds and its account together, at the last prices: they are read together."""
        self._looks.positions(ts_ns)
        self._looks.account(ts_ns)

    def _on_bucket(self, name: str, packet: Any, events: Any) -> None:
        """Take a bucket; both are copies of their own and may be told late, the structure moves on."""
        self._tell_bucket((name, packet, events, _trend(self._charts[name])))

    def _tell_bucket(self, closed: tuple[str, Any, Any, int]) -> None:
        name, packet, events, trend = closed
        chart = self._charts[name]
        ts_ns = int(packet["ts_close_ns"])
        self._begin_day(ts_ns)
        self._show_warm(name, chart, ts_ns)
        # One that closed while a warm-up handed over may be among those of the warm-up.
        if int(packet["seq"]) > chart.told:
            self._sink.publish("bkt", views.bucket_view(name, packet, trend, chart.probability), ts_ns)
        chart.probability = None
        if self._sources.call_soon is None and _is_in_position(chart.strategy):
            self._mark(ts_ns)
        if len(events):
            for zone in chart.zones.take(events):
                self._sink.publish("zone", zone, ts_ns)

    def _on_decision(self, decision: Any) -> None:
        ts_ns = decision.ts_ns
        self._begin_day(ts_ns)
        chart = self._charts.get(decision.instrument_id)
        is_live = self._sources.call_soon is not None
        took_us = None if chart is None else last_inference_us(chart.strategy)
        if (said := views.model_decision(decision, with_inputs=is_live, infer_us=took_us)) is not None:
            self._looks.thresholds[said.ins] = said.thr
            if chart is not None:
                chart.probability = said.p
            self._sink.publish("mdl", said, ts_ns)
        if (cancelled := views.cancelled_entry(decision)) is not None:
            self._cancels[cancelled.setup] = cancelled
            if len(self._cancels) > MAX_CANCELS:  # halts and restarts take entries back that nobody follows
                self._cancels.pop(next(iter(self._cancels)))
            self._sink.publish("cancel", cancelled, ts_ns)
        if decision.kind.startswith("signal_"):
            self._signal_sources.add(decision.strategy_id)
        is_told = decision.kind == "entry_submitted" and decision.strategy_id in self._signal_sources
        if not is_told and (signal := views.signal_of(decision)) is not None:
            self._sink.publish("sig", signal, ts_ns)
        if chart is not None and decision.kind in ("entry_submitted", "entry_repriced") and decision.stop:
            prices = {
                "sweet": float(decision.price),
                "stop": float(decision.stop),
                "target": float(decision.target),
            }
            for zone in chart.zones.plan(decision.zone_id, **prices):
                self._sink.publish("zone", zone, ts_ns)
        if (words := views.words_of(decision)) is not None:
            self._sink.publish("log", words, ts_ns)
        if self._sources.call_soon is None:  # models, holds, pauses: strategies get them after this began
            self._looks.state(ts_ns)

    def _on_shadow(self, shadow: Any) -> None:
        setup, _ = setup_and_leg(shadow.client_order_id)
        ended = views.ended_shadow(shadow, self._cancels.pop(setup, None))
        self._sink.publish("cancel", ended, shadow.ts_ns)

    def _on_trade(self, trade: Any) -> None:
        instrument = self.cache.instrument(InstrumentId.from_str(trade.instrument_id))
        currency = "" if instrument is None else instrument.quote_currency.code
        said, now_ns = views.trade_view(trade, currency), self.clock.timestamp_ns()
        self._looks.begin_day(now_ns)
        self._looks.ledger.close(said)
        self._sink.publish("trade", said, trade.exit_ts_ns)
        if self._sources.call_soon is None:
            self._looks.account(now_ns)

    def _on_order(self, event: Any) -> None:
        if type(event).__name__ != "OrderFilled":  # whose fee belongs to the day that it begins
            self._begin_day(event.ts_init)
        order = self.cache.order(event.client_order_id)
        if order is None:
            return
        self._sink.publish(
            "ord",
            views.order_view(
                order,
                side=order_side_to_str(order.side),
                kind=order_type_to_str(order.order_type),
                tif=time_in_force_to_str(order.time_in_force),
                status=order.status_string(),
                reason=getattr(event, "reason", None),
            ),
            event.ts_init,
        )
        if type(event).__name__ == "OrderFilled":
            self._on_fill(event)

    def _on_fill(self, event: Any) -> None:
        coid, name = event.client_order_id.value, event.instrument_id.value
        setup, _ = setup_and_leg(coid)
        chart = self._charts.get(name)
        fee = Decimal(event.commission.as_decimal())
        fill = Fill(
            coid=coid,
            trade=event.trade_id.value,
            ins=name,
            setup=setup,
            px=str(event.last_px),
            qty=str(event.last_qty),
            side="buy" if event.is_buy else "sell",
            liq="maker" if event.liquidity_side.name == "MAKER" else "taker",
            fee=format(fee, "f"),
            ccy=event.commission.currency.code,
            ts=event.ts_event // MS,
            i=None if chart is None else chart.strategy.bucket_seq,
        )
        self._sink.publish("fill", fill, event.ts_init)
        self._looks.pay(fee, fill.ccy, Decimal(fill.px), event.instrument_id, event.ts_init)
        self._looks.positions(event.ts_init, only=name)
        if self._sources.call_soon is None:
            self._looks.account(event.ts_init)

    def _on_event(self, event: Any) -> None:
        line = LogLine(
            ts=event.ts_ns // MS, level=str(event.severity), src=str(event.kind), text=str(event.text)
        )
        self._sink.publish("log", line, event.ts_ns)

    # -- what is looked at ---------------------------------------------------------------------------------

    def _on_timer(self, _event: Any) -> None:
        """Come over into the node's thread; a look that waits there is not joined by a second one."""
        if self._is_looking or self._sources.call_soon is None:
            return
        self._is_looking = True
        asked_s = time.perf_counter()
        self._sources.call_soon(lambda: self._look_from_timer(asked_s))

    def _look_from_timer(self, asked_s: float) -> None:
        if self._is_looking:
            self._is_looking = False
            self._looks.lag_ms = (time.perf_counter() - asked_s) * 1e3
            self._guarded(self.look)(self.clock.timestamp_ns())

    def look(self, now_ns: int) -> None:
        """Tell what changes without an event; answer newcomers."""
        self.adopt()
        for name, chart in self._charts.items():
            self._show_warm(name, chart, now_ns)
        if self._is_watched():
            self._show_forming(list(self._charts), now_ns)
        looks = self._looks
        looks.trades()
        self._coin_bars.tell(now_ns)
        if now_ns - self._beat_ns >= BEAT_NS:
            self._beat_ns = now_ns
            looks.positions(now_ns)
            looks.externals(now_ns)
            beat = Heartbeat(last_tick_age_ms=looks.tick_age_ms(now_ns), loop_lag_ms=looks.lag_ms)
            self._sink.publish("hb", beat, now_ns)
        if now_ns - self._slow_ns >= SLOW_NS:
            self._slow_ns = now_ns
            looks.state(now_ns)
            looks.account(now_ns)
        self._answer(now_ns)

    def _show_warm(self, name: str, chart: _Chart, now_ns: int) -> None:
        """Tell the buckets of before the start, and what lives in them, once a warm-up has brought them."""
        recent = getattr(chart.strategy, "recent_packets", None)
        if recent is None or recent is chart.warm:
            return
        chart.warm = recent
        for packet in chart.strategy.warm_packets():
            self._sink.publish("bkt", views.bucket_view(name, packet, 0, None), now_ns)
            chart.told = int(packet["seq"])
        if (structure := getattr(chart.strategy, "structure", None)) is not None:
            for zone in chart.zones.begin_with(living_events(structure, LIVING)):
                self._sink.publish("zone", zone, now_ns)

    def _show_forming(self, names: list[str], now_ns: int) -> None:
        """Tell some developing buckets, and the others with the next turn: trades come between them."""
        for name in names[:AT_ONCE]:
            self._show_developing(name, self._charts[name], now_ns)
        if rest := names[AT_ONCE:]:
            later = self._sources.call_soon or (lambda run: run())
            later(partial(self._guarded(self._show_forming), rest, now_ns))

    def _show_developing(self, name: str, chart: _Chart, now_ns: int) -> None:
        builder = getattr(chart.strategy, "builder", None)
        columns = {} if builder is None else builder.forming
        if not columns:
            return
        shown = int(columns["seq"]), int(columns["trade_count"])
        if shown != chart.shown:
            chart.shown = shown
            self._sink.publish("dev", views.developing_view(name, columns, _trend(chart)), now_ns)


def _is_in_position(strategy: Any) -> bool:
    return strategy.setup is not None and bool(strategy.setup.is_in_position)


def _trend(chart: _Chart) -> int:
    """Return the direction of the structure that the strategy trades: 1, -1, 0."""
    structure = getattr(chart.strategy, "structure", None)
    if structure is None:
        return 0
    # One byte of the row, which is two hundred times as much to copy.
    value = structure.snapshot_bytes[_TREND_AT[chart.strategy.config.structure]]
    return int(value - 256 if value > INT8_MAX else value)


__all__ = ["TelemetryActor"]
