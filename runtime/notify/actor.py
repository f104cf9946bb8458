"""Listens to a node's bus and tells people: the same in backtest, paper and live."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig

from runtime.notify.daily import DAY_NS, DayBook
from runtime.notify.events import Event, EventKind
from runtime.notify.notifier import Notifier
from runtime.notify.translate import Translator
from runtime.recorder import DECISIONS_TOPIC, ORDERS_TOPIC, TRADES_TOPIC, account_equity
from strategies.entry_halt import HALT_TOPIC, REARM_TOPIC, HaltEntries, RearmEntries

EVENTS_TOPIC: Final = "notifications"
POLL_TIMER: Final = "notify-poll"
DAY_TIMER: Final = "notify-day"
NANOS: Final = 1_000_000_000
CALLED: Final = ("warn", "alarm")


class NotifyActorConfig(ActorConfig, frozen=True):
    """How often states are looked at.

    Parameters
    ----------
    poll_secs
        Time between two looks at guards and models, seconds; 0: after each closed trade, without a timer.
        A backtest needs that: the simulated venue takes waiting commands whenever a timer fires.
    tells_start
        Tell of start and stop (not in a backtest).
    """

    poll_secs: float = 10.0
    tells_start: bool = True


class NotifyActor(Actor):
    """Turns decisions, closed trades, order events and states into events, and hands them to a notifier.

    Any part of the node may publish an `Event` itself, on the topic ``notifications``.

    Parameters
    ----------
    config
        See :class:`NotifyActorConfig`.
    notifier
        Receives the events; must return at once.
    strategies
        Gives the strategies whose guards and gates are looked at.
    """

    # Methods that may hear of an order after it has left (runtime.live.late_hearing).
    HEARD_LATE: ClassVar = ("_on_decision", "_on_trade", "_on_order")

    def __init__(
        self,
        config: NotifyActorConfig,
        notifier: Notifier,
        strategies: Callable[[], Iterable[Any]] = tuple,
    ) -> None:
        super().__init__(config)
        self._notifier = notifier
        self._strategies = strategies
        self._translator = Translator()
        self._poll_ns = round(config.poll_secs * NANOS)
        self._tells_start = config.tells_start
        self._book: DayBook | None = None

    def on_start(self) -> None:
        """Subscribe, look at states by timer, and end the day at 00:00 UTC."""
        now_ns = self.clock.timestamp_ns()
        self.msgbus.subscribe(topic=DECISIONS_TOPIC, handler=self._guarded(self._on_decision))
        self.msgbus.subscribe(topic=TRADES_TOPIC, handler=self._guarded(self._on_trade))
        self.msgbus.subscribe(topic=ORDERS_TOPIC, handler=self._guarded(self._on_order))
        self.msgbus.subscribe(topic=EVENTS_TOPIC, handler=self._guarded(self._notifier.post))
        self.msgbus.subscribe(topic=HALT_TOPIC, handler=self._guarded(self._on_halt))
        self.msgbus.subscribe(topic=REARM_TOPIC, handler=self._guarded(self._on_rearm))
        if self._poll_ns:
            self.clock.set_timer_ns(
                POLL_TIMER, self._poll_ns, now_ns, 0, self._guarded(lambda event: self._look(event.ts_event))
            )
            midnight_ns = (now_ns // DAY_NS + 1) * DAY_NS
            self.clock.set_timer_ns(DAY_TIMER, DAY_NS, midnight_ns, 0, self._guarded(self._on_midnight))
        self._book = DayBook(now_ns // DAY_NS)
        if self._tells_start:
            self._notifier.tell(EventKind.START, "trading begins", now_ns)

    def on_stop(self) -> None:
        """Tell that trading ends."""
        if self._tells_start:
            self._notifier.tell(EventKind.STOP, "trading stops", self.clock.timestamp_ns())

    # -- messages ------------------------------------------------------------------------------------------

    def _guarded(self, handle: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return a handler that logs its own bugs: telling people must never end trading."""

        def handler(message: Any) -> None:
            try:
                handle(message)
            except Exception as error:
                self.log.error(  # noqa: TRY400 - Nautilus' logger
                    f"notification left out: {type(error).__name__}: {error}"
                )

        return handler

    def _post(self, event: Event | None) -> None:
        if event is not None:
            self._notifier.post(event)

    def _on_decision(self, decision: Any) -> None:
        if not self._poll_ns and self._book is not None and decision.ts_ns // DAY_NS > self._book.day:
            self._end_day(decision.ts_ns)
        if self._book is not None:
            self._book.decision(decision)
        self._post(self._translator.decision(decision))

    def _on_trade(self, trade: Any) -> None:
        if self._book is not None:
            self._book.trade(trade)
        self._post(self._translator.trade(trade))
        if not self._poll_ns:
            self._look(trade.exit_ts_ns)

    def _on_order(self, event: Any) -> None:
        self._post(self._translator.order(type(event).__name__, event))

    def _on_halt(self, message: HaltEntries) -> None:
        self._post(self._translator.halt(message))

    def _on_rearm(self, message: RearmEntries) -> None:
        self._post(self._translator.rearm(message))

    def _look(self, ts_ns: int) -> None:
        if self._book is not None and self._book.first_equity is None and self.cache.accounts():
            self._book.equity(account_equity(self.cache))
        for strategy in self._strategies():
            owner = str(strategy.id)
            if (guards := getattr(strategy, "guards", None)) is not None:
                for one in self._translator.pauses(owner, list(guards.pauses(ts_ns)), ts_ns):
                    self._post(one)
            drift = drift_of(strategy)
            if drift is not None:
                moved = [name for name, shift in drift.shifts.items() if str(shift.state) in CALLED]
                self._post(self._translator.drift(owner, str(drift.state), moved, ts_ns))

    def _on_midnight(self, event: Any) -> None:
        self._end_day(event.ts_event)

    def _end_day(self, ts_ns: int) -> None:
        if self._book is not None:
            if self.cache.accounts():
                self._book.equity(account_equity(self.cache))
            self._post(self._book.event(ts_ns))
        self._book = DayBook(ts_ns // DAY_NS)
        if self.cache.accounts():
            self._book.equity(account_equity(self.cache))


def drift_of(strategy: Any) -> Any | None:
    """Return the drift monitor of a strategy's model, None where there is none."""
    gate = getattr(strategy, "gate", None)
    return getattr(getattr(gate, "judge", None), "drift", None)
