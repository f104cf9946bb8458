"""From the message bus to the journal: one actor for backtest, paper and live.

It listens to decisions, closed trades, order events and commands, never to ticks. What a record needs beyond
its event is already on this thread: nothing here asks a venue or a database.
"""

import asyncio
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import wraps
from threading import get_ident
from typing import Any, ClassVar, Final, Protocol

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.component import LiveClock
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.model.enums import LiquiditySide, liquidity_side_to_str, order_side_to_str
from nautilus_trader.model.identifiers import InstrumentId

from runtime.journal.records import (
    CancelRecord,
    CommandRecord,
    EquityRecord,
    FeatureRecord,
    FillRecord,
    OrderRecord,
    SignalRecord,
)
from runtime.journal.session import Trouble
from runtime.recorder import (
    DECISIONS_TOPIC,
    MARK_INTERVAL_NS,
    ORDERS_TOPIC,
    TRADES_TOPIC,
    account_equity,
    order_record,
)
from strategies.entry_halt import FIRST, HALT_TOPIC, REARM_TOPIC, HaltEntries, RearmEntries
from strategies.market_context import BITCOIN, MAX_AGE_NS
from strategies.market_price import last_known, last_known_price
from strategies.trade_manager.client_ids import setup_and_leg
from strategies.trade_manager.record import CancelShadow, ClosedTrade, Decision

COMMANDS_TOPIC: Final = "commands.*"
SHADOWS_TOPIC: Final = "shadows.*"
MARK_TIMER: Final = "journal-mark"
WATCH_TIMER: Final = "journal-watch"
# Of looks at a quiet market before the account is valued without all prices.
FIRST_MARK_LOOKS: Final = 30
SOURCE: Final = "journal"
NOBODY: Final = LiquiditySide.NO_LIQUIDITY_SIDE
NANOS: Final = 1_000_000_000
MARKS_PER_HOUR: Final = 3600 * 1_000_000_000 // MARK_INTERVAL_NS
FACTOR: Final = "factor_"
# Of a signal's detail, in columns of their own.
_OWN_COLUMNS: Final = frozenset({"confidence", "timeframe"})
# Of a model's inputs: what it was told besides its features.
_NO_FEATURES: Final = frozenset({"action", "trade_price", "missing", "p_star"})
_REMEMBERED: Final = 10_000


class Sink(Protocol):
    """Takes records and says when it cannot; a `SessionJournal`, or a list in tests."""

    def append(self, record: Any) -> object:
        """Take a record."""

    def refusal(self) -> Trouble | None:
        """Return what the disk refused at the last record."""

    def trouble(self) -> Trouble | None:
        """Return why nothing may be opened, of disk and database."""


class JournalActorConfig(ActorConfig, frozen=True):
    """What the journal's actor needs to know.

    Parameters
    ----------
    mark_from_ns
        No equity points before this time (warm-up), UNIX nanoseconds.
    context_id
        Instrument whose price stands for the market in signals that bring no price of Bitcoin themselves;
        empty for none.
    timeframes
        Strategy id -> interval of its bars or size of its buckets, as signals name it.
    watch_secs
        Time between two looks at the database's writer and a disk that refused, seconds; 0 for none. A
        backtest has none: it feeds the database when it is over, and a timer would move its commands.
    """

    mark_from_ns: int = 0
    context_id: str = ""
    timeframes: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it
    watch_secs: float = 0.0


class MarketMarks:
    """The market over the last hour in five-minute steps: change and realised volatility.

    Examples
    --------
    >>> marks = MarketMarks()
    >>> for step in range(13):
    ...     marks.push(100.0 + step)
    >>> round(marks.change_pct(112.0), 6)
    12.0
    """

    def __init__(self) -> None:
        self._prices: deque[float] = deque(maxlen=MARKS_PER_HOUR + 1)

    def push(self, price: float) -> None:
        """Take the price of a five-minute mark; zero or less is no price."""
        if price > 0:
            self._prices.append(price)
        else:
            self._prices.clear()

    def change_pct(self, price: float) -> float | None:
        """Return the change of a price against the mark an hour ago, percent, None before there is one."""
        if len(self._prices) <= MARKS_PER_HOUR:
            return None
        return (price / self._prices[0] - 1) * 100

    def volatility_pct(self) -> float | None:
        """Return the root of the sum of squared five-minute log returns of the hour, percent."""
        if len(self._prices) <= MARKS_PER_HOUR:
            return None
        prices = list(self._prices)
        returns = (math.log(later / earlier) for earlier, later in itertools.pairwise(prices))
        return math.sqrt(sum(step * step for step in returns)) * 100


def written[M](hear: Callable[["JournalActor", M], None]) -> Callable[["JournalActor", M], None]:
    """Return a handler whose own bug closes entries in a node, instead of going to who told it.

    That may be a fill that must be protected, or a stop that is about to leave. A backtest ends with it, and
    a node does not start: nobody would hear of the halt yet.
    """

    @wraps(hear)
    def take(self: "JournalActor", message: M) -> None:
        try:
            hear(self, message)
        except Exception as error:
            if self._loop is None:
                raise
            text = f"{type(message).__name__} is not in the journal"
            self.log.exception(text, error)  # noqa: TRY401 - Nautilus' logger asks for it
            self.refuse(
                Trouble(
                    f"the journal could not write down {type(message).__name__} ({error!r})",
                    "look for this error in the log, restart with a version in which it is mended",
                )
            )
        else:
            if (refusal := self.refused()) is not None:
                self.refuse(refusal)

    return take


class JournalActor(Actor):
    """Journals a node. What cannot be journaled must not begin: entries halt, exits go on.

    Parameters
    ----------
    config
        See :class:`JournalActorConfig`.
    sink
        Where records go.
    """

    # Methods that may hear of a cancel after it has left (runtime.live.late_hearing).
    HEARD_LATE: ClassVar = ("on_order", "on_decision", "on_closed_trade", "on_command", "on_shadow")
    # What it cannot write down must not begin: it minds its own errors, and halts entries.
    REFUSES: ClassVar = True

    def __init__(self, config: JournalActorConfig, sink: Sink) -> None:
        super().__init__(config)
        self._sink = sink
        self._has_halted = False
        self._made_ns = time.time_ns()
        self._loop: Any = None
        self._thread = get_ident()
        self._watch_ns = round(config.watch_secs * NANOS)
        self._mark_from_ns = config.mark_from_ns
        self._timeframes = config.timeframes
        self._context = InstrumentId.from_str(config.context_id) if config.context_id else None
        self._marks = MarketMarks()
        self._has_first_mark = False
        self._looks = 0
        self._signals: dict[tuple[str, str, int], None] = {}  # those that a strategy told itself
        self._setups: dict[tuple[str, str], None] = {}
        self._asked: dict[tuple[str, str], Decision] = {}

    def on_start(self) -> None:
        """Subscribe, and mark the account every five minutes."""
        is_live = isinstance(self.clock, LiveClock)
        if is_live:
            self._tell_of_reconciliation()
        # Before the strategy acts on it: a process that dies while it does has journaled what it knew.
        self.msgbus.subscribe(topic=ORDERS_TOPIC, handler=self.on_order, priority=FIRST if is_live else 0)
        handlers: tuple[tuple[str, Callable[[Any], None]], ...] = (
            (DECISIONS_TOPIC, self.on_decision),
            (TRADES_TOPIC, self.on_closed_trade),
            (COMMANDS_TOPIC, self.on_command),
            (SHADOWS_TOPIC, self.on_shadow),
            (REARM_TOPIC, self.on_rearm_entries),
        )
        for topic, handler in handlers:
            self.msgbus.subscribe(topic=topic, handler=handler)
        first_ns = -(-self.clock.timestamp_ns() // MARK_INTERVAL_NS) * MARK_INTERVAL_NS
        self.clock.set_timer_ns(MARK_TIMER, MARK_INTERVAL_NS, first_ns, 0, self._on_mark)
        if is_live:
            self._loop = asyncio.get_running_loop()
        if self._watch_ns:
            self.clock.set_timer_ns(WATCH_TIMER, self._watch_ns, first_ns, 0, self._on_watch)

    def _tell_of_reconciliation(self) -> None:
        """Journal what the venue told of orders before any actor listened: nobody heard it then."""
        for order in self.cache.orders():
            if is_made_up(order):
                continue
            for event in order.events:
                if event.ts_init >= self._made_ns:  # a database of the cache holds older ones
                    self.on_order(event)

    # -- when it cannot be journaled -------------------------------------------------------------------------

    def refused(self) -> Trouble | None:
        """Return why the last record is not on the disk, None where it is or entries are halted already."""
        return None if self._has_halted else self._sink.refusal()

    def refuse(self, trouble: Trouble) -> None:
        """Halt entries, from whatever thread; exits go on."""
        if self._loop is not None and get_ident() != self._thread:  # live timers call from another
            self._loop.call_soon_threadsafe(self._halt, trouble)
        else:
            self._halt(trouble)

    @written
    def _on_watch(self, event: Any) -> None:
        if not self._has_first_mark:
            self._mark_first(event.ts_event)
        if not self._has_halted and (trouble := self._sink.trouble()) is not None:
            self.refuse(trouble)

    def _mark_first(self, ts_ns: int) -> None:
        """Journal what a node began with: once everything has a price, or nothing trades for a while."""
        self._looks += 1
        names = self.cache.instrument_ids()
        is_priced = bool(names) and all(last_known_price(self.cache, one) is not None for one in names)
        if self.cache.accounts() and (is_priced or self._looks >= FIRST_MARK_LOOKS):
            self._has_first_mark = True
            self._sink.append(EquityRecord(ts_ns=ts_ns, equity=str(account_equity(self.cache))))

    def _halt(self, trouble: Trouble) -> None:
        if self._has_halted:
            return
        self._has_halted = True  # before the desks publish what they do about it
        message = HaltEntries(
            ts_ns=self.clock.timestamp_ns(), source=SOURCE, reason=trouble.reason, remedy=trouble.remedy
        )
        self.log.error(f"entries halted: {message.text}; exits go on")
        self.msgbus.publish(topic=HALT_TOPIC, msg=message)

    def on_rearm_entries(self, _message: RearmEntries) -> None:
        """Look whether the journal is safe again; entries halt at once where it is not."""
        trouble = self._sink.trouble()
        self._has_halted = False
        if trouble is not None:
            self._halt(trouble)

    # -- decisions -----------------------------------------------------------------------------------------

    @written
    def on_decision(self, decision: Decision) -> None:
        """Journal a decision, and the signal, cancel or features that it stands for."""
        self._sink.append(decision)
        match decision.kind:
            case "signal_taken" | "signal_skipped" | "zone_skipped":
                if decision.kind == "signal_taken":
                    _remember(
                        self._signals, (decision.strategy_id, decision.instrument_id, decision.zone_id), None
                    )
                self._sink.append(self._signal(decision, is_taken=decision.kind == "signal_taken"))
            case "entry_submitted":
                self._on_entry(decision)
            case "cancel_asked":
                self._on_asked(decision)
            case "cancel_outcome":
                self._on_outcome(decision)
            case _:
                pass

    def _on_entry(self, decision: Decision) -> None:
        """Count an entry without a signal of its own (a zone's) as one; once per setup."""
        setup = (decision.instrument_id, decision.setup_id)
        signal = (decision.strategy_id, decision.instrument_id, decision.zone_id)
        if setup not in self._setups and signal not in self._signals:
            self._sink.append(self._signal(decision, is_taken=True))
        _remember(self._setups, setup, None)

    def _signal(self, decision: Decision, *, is_taken: bool) -> SignalRecord:
        detail = decision.detail
        confidence = detail.get("confidence", decision.probability)
        return SignalRecord(
            ts_ns=decision.ts_ns,
            strategy_id=decision.strategy_id,
            instrument_id=decision.instrument_id,
            side=decision.side,
            signal_id=decision.zone_id,
            is_taken=is_taken,
            setup_id=decision.setup_id,
            skip_reason="" if is_taken else decision.reason,
            timeframe=str(detail.get("timeframe", self._timeframes.get(decision.strategy_id, ""))),
            confidence=None if confidence is None else float(confidence),
            factors={
                name.removeprefix(FACTOR): float(points)
                for name, points in detail.items()
                if name.startswith(FACTOR)
            },
            price=decision.price,
            stop=decision.stop,
            target=decision.target,
            qty=decision.qty,
            **self._market(detail),
            detail={
                name: value
                for name, value in detail.items()
                if name not in _OWN_COLUMNS and not name.startswith(FACTOR)
            },
        )

    def _market(self, detail: Mapping[str, Any]) -> dict[str, Any]:
        """Return price, change and volatility of Bitcoin: by the strategy's own bars, else by the cache.

        A backtest over columns brings the engine few bars: what the cache has last may be days old there.
        """
        if str(detail.get("context_id", "")).startswith(BITCOIN):
            told = detail.get("context_price")
            return {
                "btc_price": "" if told is None else repr(told),
                "btc_change_1h_pct": detail.get("context_change_1h_pct"),
                "market_volatility_pct": detail.get("context_volatility_1h_pct"),
            }
        price = self._context_price(self.clock.timestamp_ns())
        return {
            "btc_price": str(price) if price else "",
            "btc_change_1h_pct": self._marks.change_pct(float(price)) if price else None,
            "market_volatility_pct": self._marks.volatility_pct() if price else None,
        }

    def _context_price(self, now_ns: int) -> Decimal:
        """Return the context's last price, zero where it is older than ten minutes."""
        known = None if self._context is None else last_known(self.cache, self._context)
        if known is None or now_ns - known[1] > MAX_AGE_NS:
            return Decimal(0)
        return Decimal(known[0].as_decimal())

    def _on_asked(self, decision: Decision) -> None:
        _remember(self._asked, (decision.instrument_id, decision.setup_id), decision)
        verdict = str(decision.detail.get("action", decision.reason))
        self._sink.append(_features(decision, verdict=verdict))
        if verdict == "cancel":
            self._sink.append(_cancel(decision, "asked", decision.reason, decision))

    def _on_outcome(self, decision: Decision) -> None:
        asked = self._asked.get((decision.instrument_id, decision.setup_id))
        self._sink.append(_cancel(decision, "venue", decision.reason, asked))
        if asked is not None:
            self._sink.append(_features(asked, verdict="cancel", outcome=decision.reason))

    @written
    def on_shadow(self, shadow: CancelShadow) -> None:
        """Journal what a cancelled entry would have become, and its features with that outcome."""
        setup_id, _leg = setup_and_leg(shadow.client_order_id)
        asked = self._asked.get((shadow.instrument_id, setup_id))
        self._sink.append(
            CancelRecord(
                ts_ns=shadow.ts_ns,
                strategy_id=shadow.strategy_id,
                instrument_id=shadow.instrument_id,
                step="shadow",
                setup_id=setup_id,
                client_order_id=shadow.client_order_id,
                outcome=shadow.outcome,
                probability=None if asked is None else asked.probability,
                threshold=None if asked is None else asked.threshold,
                net_r=shadow.net_r,
                money=shadow.money,
            )
        )
        if asked is not None and shadow.net_r is not None:
            outcome = f"would_have_{shadow.outcome}"
            self._sink.append(_features(asked, verdict="cancel", outcome=outcome, r_multiple=shadow.net_r))

    # -- the rest ------------------------------------------------------------------------------------------

    @written
    def on_closed_trade(self, trade: ClosedTrade) -> None:
        """Journal a trade, and the features that the model let it enter on together with its outcome."""
        self._sink.append(trade)
        asked = self._asked.pop((trade.instrument_id, trade.setup_id), None)
        if asked is not None:
            outcome = {"outcome": trade.exit_reason, "r_multiple": trade.r_multiple}
            self._sink.append(_features(asked, verdict="keep", **outcome))

    @written
    def on_order(self, event: Any) -> None:
        """Journal an order event; a fill also as an execution."""
        self._sink.append(order_of(event))
        if type(event).__name__ == "OrderFilled":
            self._sink.append(fill_of(event))

    @written
    def on_command(self, command: Any) -> None:
        """Journal a command that the node was sent over the bus."""
        if isinstance(command, CommandRecord):
            self._sink.append(command)

    @written
    def _on_mark(self, event: Any) -> None:
        if self._context is not None:
            self._marks.push(float(self._context_price(event.ts_event)))
        if event.ts_event >= self._mark_from_ns:
            self._sink.append(EquityRecord(ts_ns=event.ts_event, equity=str(account_equity(self.cache))))


def order_of(event: Any) -> OrderRecord:
    """Return a Nautilus order event as a record."""
    plain = order_record(event)
    setup_id, leg = setup_and_leg(plain["client_order_id"])
    venue_id = getattr(event, "venue_order_id", None)
    options: dict[str, Any] = {
        "side": plain.get("side", plain.get("order_side", "")),
        "order_type": plain.get("order_type", ""),
        "time_in_force": plain.get("time_in_force", ""),
        "qty": plain.get("quantity", plain.get("last_qty", "")),
        "price": plain.get("price", plain.get("last_px", "")),
        "trigger_price": plain.get("trigger_price", ""),
        "reason": plain.get("reason", ""),
    }
    return OrderRecord(
        ts_ns=plain["ts_ns"],
        event=plain["event"],
        strategy_id=event.strategy_id.value,
        instrument_id=plain["instrument_id"],
        client_order_id=plain["client_order_id"],
        venue_order_id="" if venue_id is None else venue_id.value,
        setup_id=setup_id,
        leg=leg,
        is_post_only=plain.get("post_only"),
        is_reduce_only=plain.get("reduce_only"),
        is_reconciliation=bool(getattr(event, "reconciliation", False)),
        **{name: "" if value is None else str(value) for name, value in options.items()},
    )


def fill_of(event: Any) -> FillRecord:
    """Return a Nautilus `OrderFilled` as a record."""
    setup_id, leg = setup_and_leg(event.client_order_id.value)
    position_id = event.position_id
    return FillRecord(
        ts_ns=event.ts_event,
        strategy_id=event.strategy_id.value,
        instrument_id=event.instrument_id.value,
        client_order_id=event.client_order_id.value,
        venue_order_id=event.venue_order_id.value,
        trade_id=event.trade_id.value,
        position_id="" if position_id is None else position_id.value,
        setup_id=setup_id,
        leg=leg,
        side=order_side_to_str(event.order_side),
        qty=str(event.last_qty),
        price=str(event.last_px),
        commission=str(event.commission.as_decimal()),
        commission_currency=event.commission.currency.code,
        liquidity=liquidity_side_to_str(event.liquidity_side),
        is_reconciliation=bool(event.reconciliation),
    )


def is_made_up(order: Any) -> bool:
    """Tell whether Nautilus invented an order to explain a difference: not ours, and filled by nobody."""
    fills = [one for one in order.events if type(one).__name__ == "OrderFilled"]
    is_ours = bool(setup_and_leg(order.client_order_id.value)[0])
    return bool(fills) and not is_ours and all(one.liquidity_side == NOBODY for one in fills)


def _cancel(decision: Decision, step: str, outcome: str, asked: Decision | None) -> CancelRecord:
    after_ms = decision.detail.get("after_ms")
    return CancelRecord(
        ts_ns=decision.ts_ns,
        strategy_id=decision.strategy_id,
        instrument_id=decision.instrument_id,
        step=step,
        setup_id=decision.setup_id,
        client_order_id=str(decision.detail.get("order", "")),
        outcome=outcome,
        probability=None if asked is None else asked.probability,
        threshold=None if asked is None else asked.threshold,
        after_ms=None if after_ms is None else float(after_ms),
    )


def _features(decision: Decision, **outcome: Any) -> FeatureRecord:
    return FeatureRecord(
        ts_ns=decision.ts_ns,
        strategy_id=decision.strategy_id,
        instrument_id=decision.instrument_id,
        setup_id=decision.setup_id,
        bucket_seq=decision.bucket_seq,
        probability=decision.probability,
        threshold=decision.threshold,
        features={
            name: float(value)
            for name, value in decision.detail.items()
            if name not in _NO_FEATURES and not isinstance(value, str)
        },
        **outcome,
    )


def _remember[K, V](memory: dict[K, V], key: K, value: V) -> None:
    """Keep the newest entries only: a node runs for months."""
    memory[key] = value
    if len(memory) > _REMEMBERED:
        del memory[next(iter(memory))]
