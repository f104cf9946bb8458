"""A recorded session through the engine once more: the same inputs, and every decision compared.

What venues said is an input, as prints are: it is replayed, not simulated (docs/decisions/0015-replay-of-
sessions.md). So the decisions of a session on paper and of one with money are found again, whatever the
network did to them, and a difference means that the code or its settings decide otherwise.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from nautilus_trader.config import ImportableStrategyConfig, StrategyFactory
from nautilus_trader.model.data import MarkPriceUpdate
from nautilus_trader.model.events import OrderInitialized
from nautilus_trader.model.orders.unpacker import OrderUnpacker

from runtime.live.recorded_answers import answer_text, tell_answers
from runtime.live.recorded_values import bar_words, decoded, plain_bar, topic_of, type_of
from runtime.live.recording import (
    BAR_CALLS,
    DESK_CALLS,
    MESSAGE_PRIORITY,
    MESSAGE_TOPICS,
    OWN_EVENTS,
    perception_digest,
    said_key,
    sent_record,
    type_name,
)
from runtime.live.recording_files import (
    CHECKPOINT_FILE,
    OUTPUTS,
    SESSION_FILE,
    Row,
    RowKind,
    read_answers,
    read_json,
    read_rows,
)
from runtime.live.replay_comparison import Comparison, SteppedComparison, canonical, state_text
from runtime.live.replay_engine import engine_parts, make_engine, restore_cache
from strategies.deadline_watch import replay_calls
from strategies.entry_halt import HoldBook
from strategies.perception_state import decode

EARLY_NS: Final = 10_000_000


class SessionReplay:
    """One replay of one session.

    Parameters
    ----------
    folder
        Of the recording.

    Raises
    ------
    ConfigurationError
        The folder is no recording.
    DataError
        A file of it is damaged or missing.
    """

    def __init__(self, folder: Path) -> None:
        self.session = read_json(folder, SESSION_FILE)
        self._folder = folder
        self._start = read_json(folder, CHECKPOINT_FILE, str(self.session.get("checkpoint_sha256", "")))
        self._answers = read_answers(folder)
        self._engine = make_engine(str(self.session["trader_id"]))
        self._kernel = self._engine.kernel
        self._strategies: dict[str, Any] = {}
        self._takers: dict[str, Callable[[Any], None]] = {}
        self._calls: dict[str, deque[Callable[[], None]]] = {}
        self._published: Counter[tuple[str, bytes]] = Counter()
        self._compared = SteppedComparison(self.session, self._state)
        self._stopped: set[str] = set()

    def run(self, on_row: Callable[[int], None] = lambda _seq: None) -> Comparison:
        """Replay the session up to its end or the first difference, and return what was found.

        Parameters
        ----------
        on_row
            Called with the number of each row.
        """
        self._prepare()
        try:
            for row in read_rows(self._folder):
                on_row(row[0])
                if row[2] in OUTPUTS:
                    self._take_output(row)
                elif not self._said_itself(row) and self._compared.finish():
                    self._take_input(row)
                if self._compared.found.first is not None:
                    break
            else:
                self._compared.finish_last(is_cut=self._stopped < self._strategies.keys())
        finally:
            for strategy in self._strategies.values():
                replay_calls(strategy.clock, None)
            self._end()
        return self._compared.result()

    def _end(self) -> None:
        for strategy in self._strategies.values():
            if strategy.is_running:
                strategy.stop()
        for part in engine_parts(self._kernel):
            part.stop()
        self._engine.dispose()

    # -- before the first row ------------------------------------------------------------------------------

    def _prepare(self) -> None:
        restore_cache(self._kernel, self._start)
        self._listen()
        for plain in self.session["strategies"]:
            self._add_strategy(ImportableStrategyConfig(**plain))
        self._set_clocks(int(self.session["started_ns"]))
        for part in engine_parts(self._kernel):
            part.start()

    def _add_strategy(self, config: ImportableStrategyConfig) -> None:
        strategy = StrategyFactory.create(config)
        self._engine.add_strategy(strategy)
        name = strategy.id.value
        self._strategies[name] = strategy
        saved = self._start["strategies"].get(name)
        if saved:
            strategy.load({key: bytes.fromhex(content) for key, content in saved.items()})
        calls = self._calls[name] = deque()
        replay_calls(strategy.clock, calls.append)
        if name in self.session.get("gated", ()):
            strategy.trade_gate = self._gate

    def _start_strategy(self, strategy: Any) -> None:
        for number, desk in enumerate(getattr(strategy, "desks", ())):
            tell_answers(desk, f"{number}:{strategy.id.value}", self._told, self.session)
        strategy.start()

    def _told(self, question: str) -> bytes | None:
        answer = self._answers.get(question)
        if answer is not None:
            self._compared.take_replayed(RowKind.ANSWER, answer_text(question, answer))
        return answer

    def _gate(self, strategy: Any, take_trade: Any) -> Any:
        self._takers[strategy.id.value] = take_trade
        return lambda _tick: None

    def _listen(self) -> None:
        bus = self._kernel.msgbus
        bus.subscribe(topic="decisions.*", handler=self._on_decision)
        bus.subscribe(topic="events.order.*", handler=self._on_order)
        book = HoldBook(bus)
        for name, plain in self._start.get("holds", []):
            book.holds.begin(msgspec.convert(plain, type_of(name)))
        for topic in MESSAGE_TOPICS:
            bus.subscribe(topic=topic, handler=self._on_message, priority=MESSAGE_PRIORITY)

    def _set_clocks(self, now_ns: int) -> None:
        """Let time pass; what timers cause is kept until the recording says when it was."""
        clocks = [self._kernel.clock, *(one.clock for one in self._strategies.values())]
        due = [
            handler for clock in clocks for handler in clock.advance_time(max(now_ns, clock.timestamp_ns()))
        ]
        for handler in sorted(due, key=lambda one: one.event.ts_event):
            handler.handle()

    # -- inputs --------------------------------------------------------------------------------------------

    def _take_input(self, row: Row) -> None:
        _seq, now_ns, kind, key, payload, tick = row
        self._compared.begin(row)
        self._set_clocks(now_ns)
        kernel = self._kernel
        match kind:
            case RowKind.TRADE:
                kernel.data_engine.process(tick)
            case RowKind.BAR:
                kernel.data_engine.process(plain_bar(payload))
            case RowKind.INSTRUMENT:
                kernel.data_engine.process(decoded(payload))
            case RowKind.MARK_PRICE:
                kernel.data_engine.process(MarkPriceUpdate.from_dict(msgspec.json.decode(payload)))
            case RowKind.ORDER_EVENT:
                self._take_order_event(decoded(payload))
            case RowKind.ACCOUNT:
                kernel.portfolio.update_account(decoded(payload))
            case RowKind.MESSAGE:
                self._take_message(key, payload)
            case RowKind.TIMER:
                self._take_timer(key)
            case RowKind.CALL:
                self._take_call(key, payload, tick)
            case RowKind.HAND:
                self._take_hand(key, payload)
            case RowKind.START:
                self._start_strategy(self._strategies[key])
            case RowKind.STOP:
                self._stopped.add(key)
                self._strategies[key].stop()
        self._compared.found.inputs += 1

    def _take_order_event(self, event: Any) -> None:
        kernel = self._kernel
        if isinstance(event, OrderInitialized):  # an order that the venue knew and the node did not
            order = OrderUnpacker.from_init(event)
            if not kernel.cache.order_exists(order.client_order_id):
                kernel.cache.add_order(order, None)
            return
        kernel.exec_engine.process(event)

    def _said_itself(self, row: Row) -> bool:
        """Tell whether a message of the recording is one that the replayed strategies have just sent."""
        if row[2] != RowKind.MESSAGE:
            return False
        said = said_key(row[3], row[4])
        if self._published[said] <= 0:
            return False
        self._published[said] -= 1
        return True

    def _take_message(self, name: str, payload: bytes) -> None:
        message = msgspec.json.decode(payload, type=type_of(name))
        self._published[said_key(name, payload)] -= 1
        self._kernel.msgbus.publish(topic=topic_of(message), msg=message)

    def _take_timer(self, strategy: str) -> None:
        calls = self._calls[strategy]
        if not calls:  # live timers round to milliseconds, some ring before their time
            clock = self._strategies[strategy].clock
            next_ns = min((clock.next_time_ns(name) for name in clock.timer_names), default=None)
            if next_ns is not None and next_ns <= self._compared.now_ns + EARLY_NS:
                self._set_clocks(next_ns)
        if calls:
            calls.popleft()()

    def _take_call(self, key: str, payload: bytes, tick: Any) -> None:
        name, _, strategy = key.partition(":")
        if name == "take_trade":
            self._takers[strategy](tick)
            return
        if name in BAR_CALLS:
            getattr(self._strategies[strategy], name)(*bar_words(name, payload))
            return
        what = [tick] if tick is not None else [decode(payload)] if payload else []
        getattr(self._strategies[strategy], name)(*what)

    def _take_hand(self, key: str, payload: bytes) -> None:
        method, number, strategy = key.split(":", 2)
        words, named = msgspec.json.decode(payload)
        desks = list(self._strategies[strategy].desks)
        words = msgspec.convert(words, DESK_CALLS[method], strict=False)
        getattr(desks[int(number)], method)(*words, **named)

    # -- outputs -------------------------------------------------------------------------------------------

    def _take_output(self, row: Row) -> None:
        kind, key, payload = row[2:5]
        self._compared.take_recorded(kind, key, payload)
        if kind is RowKind.STATE:
            digest = perception_digest(self._strategies[key])
            self._compared.take_replayed(kind, state_text(key, digest))

    def _on_decision(self, decision: Any) -> None:
        text = canonical(msgspec.json.encode(decision), self._compared.now_ns)
        self._compared.take_replayed(RowKind.DECISION, text)

    def _on_order(self, event: Any) -> None:
        is_sent = isinstance(event, OrderInitialized) and not event.reconciliation
        if is_sent or isinstance(event, OWN_EVENTS):
            self._compared.take_replayed(RowKind.ORDER_SENT, sent_record(event).decode())

    def _on_message(self, message: Any) -> None:
        self._published[said_key(type_name(message), msgspec.json.encode(message))] += 1

    def _state(self) -> Mapping[str, Any]:
        """Return what is open and counted now."""
        cache = self._kernel.cache
        return {
            "open_orders": [str(one) for one in cache.orders_open()],
            "positions": [str(one) for one in cache.positions_open()],
            "counters": {name: dict(getattr(one, "counters", {})) for name, one in self._strategies.items()},
        }
