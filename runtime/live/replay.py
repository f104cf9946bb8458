"""A recorded session through the engine once more: the same inputs, and every decision compared.

What venues said is an input, as prints are: it is replayed, not simulated (docs/decisions/0015-replay-of-
sessions.md). So the decisions of a session on paper and of one with money are found again, whatever the
network did to them, and a difference means that the code or its settings decide otherwise.
"""

import hashlib
import importlib
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
from nautilus_trader.backtest.data_client import BacktestMarketDataClient
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import (
    CacheConfig,
    ImportableStrategyConfig,
    LoggingConfig,
    MessageBusConfig,
    RiskEngineConfig,
    StrategyFactory,
)
from nautilus_trader.execution.client import ExecutionClient
from nautilus_trader.model.data import Bar, MarkPriceUpdate
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.events import OrderInitialized
from nautilus_trader.model.identifiers import AccountId, ClientId, TraderId, Venue
from nautilus_trader.model.orders.unpacker import OrderUnpacker
from nautilus_trader.model.position import Position

from runtime.errors import DataError
from runtime.live.paper_world import new_account
from runtime.live.recorded_answers import answer_text, tell_answers
from runtime.live.recording import (
    BAR_CALLS,
    DESK_CALLS,
    MESSAGE_PRIORITY,
    MESSAGE_TOPICS,
    OWN_EVENTS,
    SERIALIZER,
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
from strategies.deadline_watch import replay_calls
from strategies.entry_halt import HoldBook
from strategies.perception_state import decode
from strategies.universe_rule import UniverseDays

CACHE_CAPACITY: Final = 1_000
# Messages are made again from their type only where that is one of ours.
TRUSTED: Final = ("strategies.",)
RECENT: Final = 5
EARLY_NS: Final = 10_000_000

type Output = tuple[str, str]
"""Kind and canonical text of a decision or of an order that was sent."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first place where a replay did something else.

    Parameters
    ----------
    number
        Of the decision or order within the session, from 1.
    seq, now_ns
        Row of the input behind which it was made, and the node's time then, UNIX nanoseconds.
    recorded, replayed
        What was done, None for nothing.
    recent
        The inputs before it, newest last, in words.
    state
        Open orders, positions and counters of the replay at that moment.
    """

    number: int
    seq: int
    now_ns: int
    recorded: Any
    replayed: Any
    recent: tuple[str, ...]
    state: Mapping[str, Any]


@dataclass(slots=True)
class Comparison:
    """What a replay found.

    Parameters
    ----------
    inputs, decisions, orders, answers, states
        Numbers of rows: of inputs, and of recorded decisions and orders, of answers that limits and memory
        gave, and of digests of what a strategy perceives (after its warm-up, and at its stop).
    recorded_sha256, replayed_sha256
        Of all decisions and orders, in order; equal where nothing differs.
    is_cut
        The session was killed: its recording ends without the stop of its strategies.
    first
        The first difference, None without one.
    """

    session: Mapping[str, Any]
    inputs: int = 0
    decisions: int = 0
    orders: int = 0
    answers: int = 0
    states: int = 0
    is_cut: bool = False
    recorded_sha256: str = ""
    replayed_sha256: str = ""
    first: Divergence | None = None


class SilentClient(ExecutionClient):
    """Takes every command and does nothing: what the venue answered is in the recording."""

    def submit_order(self, command: Any) -> None:
        """Take an order."""

    def submit_order_list(self, command: Any) -> None:
        """Take orders."""

    def modify_order(self, command: Any) -> None:
        """Take a change."""

    def cancel_order(self, command: Any) -> None:
        """Take a cancel."""

    def cancel_all_orders(self, command: Any) -> None:
        """Take a cancel of all orders."""

    def batch_cancel_orders(self, command: Any) -> None:
        """Take several cancels."""

    def query_account(self, command: Any) -> None:
        """Take a question."""

    def query_order(self, command: Any) -> None:
        """Take a question."""


@dataclass(slots=True)
class _Step:
    """What was done behind one input."""

    seq: int = 0
    now_ns: int = 0
    recorded: list[Output] = field(default_factory=list)
    replayed: list[Output] = field(default_factory=list)


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
        self._engine = BacktestEngine(
            BacktestEngineConfig(
                trader_id=TraderId(str(self.session["trader_id"])),
                logging=LoggingConfig(bypass_logging=True),
                # Refusals of the node's own risk engine are answers too, and recorded.
                risk_engine=RiskEngineConfig(bypass=True),
                cache=CacheConfig(tick_capacity=CACHE_CAPACITY, bar_capacity=CACHE_CAPACITY),
                message_bus=MessageBusConfig(),
                run_analysis=False,
            )
        )
        self._kernel = self._engine.kernel
        self._strategies: dict[str, Any] = {}
        self._takers: dict[str, Callable[[Any], None]] = {}
        self._calls: dict[str, deque[Callable[[], None]]] = {}
        self._published: Counter[tuple[str, bytes]] = Counter()
        self._step = _Step()
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._hashes = (hashlib.sha256(), hashlib.sha256())
        self.found = Comparison(self.session)
        self._number = 0
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
                elif not self._said_itself(row) and self._finish_step():
                    self._take_input(row)
                if self.found.first is not None:
                    break
            else:
                self._finish_last_step()
        finally:
            for strategy in self._strategies.values():
                replay_calls(strategy.clock, None)
            self._end()
        recorded, replayed = self._hashes
        self.found.recorded_sha256, self.found.replayed_sha256 = recorded.hexdigest(), replayed.hexdigest()
        return self.found

    def _end(self) -> None:
        for strategy in self._strategies.values():
            if strategy.is_running:
                strategy.stop()
        kernel = self._kernel
        for part in (kernel.data_engine, kernel.risk_engine, kernel.exec_engine, kernel.emulator):
            part.stop()
        self._engine.dispose()

    # -- before the first row ------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._restore_cache()
        self._listen()
        for plain in self.session["strategies"]:
            self._add_strategy(ImportableStrategyConfig(**plain))
        self._set_clocks(int(self.session["started_ns"]))
        kernel = self._kernel
        for part in (kernel.data_engine, kernel.risk_engine, kernel.exec_engine, kernel.emulator):
            part.start()

    def _restore_cache(self) -> None:
        cache, start = self._kernel.cache, self._start
        for text in start["instruments"]:
            cache.add_instrument(_object(text))
        for venue in sorted({one.id.venue.value for one in cache.instruments()}):
            self._add_venue(venue)
        for account in start["accounts"]:
            state = _object(account["state"])
            leverage = Decimal(account["leverage"])
            cache.add_account(new_account(state, leverage, is_calculated=False))
        for events in start["orders"]:
            order = OrderUnpacker.from_init(_object(events[0]))
            for event in events[1:]:
                order.apply(_object(event))
            cache.add_order(order, None)
            cache.update_order(order)
        for fills in start["positions"]:
            first, *others = (_object(one) for one in fills)
            position = Position(cache.instrument(first.instrument_id), fill=first)
            for fill in others:
                position.apply(fill)
            cache.add_position(position, OmsType.NETTING)
            for fill in (first, *others):
                cache.add_position_id(
                    position.id, first.instrument_id.venue, fill.client_order_id, position.strategy_id
                )

    def _add_venue(self, venue: str) -> None:
        kernel = self._kernel
        parts = {"msgbus": kernel.msgbus, "cache": kernel.cache, "clock": kernel.clock}
        kernel.data_engine.register_client(BacktestMarketDataClient(client_id=ClientId(venue), **parts))
        issuers = {account["state"] for account in self._start["accounts"]}
        states = [_object(one) for one in issuers]
        mine = next((one for one in states if one.account_id.get_issuer() == venue), None)
        client = SilentClient(
            client_id=ClientId(venue),
            venue=Venue(venue),
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN if mine is None else mine.account_type,
            base_currency=None,
            **parts,
        )
        client._set_account_id(AccountId(f"{venue}-001") if mine is None else mine.account_id)  # noqa: SLF001
        kernel.exec_engine.register_client(client)

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
            self._step.replayed.append((RowKind.ANSWER.name, answer_text(question, answer)))
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
            book.holds.begin(msgspec.convert(plain, _type_of(name)))
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
        seq, now_ns, kind, key, payload, tick = row
        self._step = _Step(seq, now_ns)
        self._recent.append(_in_words(row))
        self._set_clocks(now_ns)
        kernel = self._kernel
        match kind:
            case RowKind.TRADE:
                kernel.data_engine.process(tick)
            case RowKind.BAR:
                kernel.data_engine.process(plain_bar(payload))
            case RowKind.INSTRUMENT:
                kernel.data_engine.process(_decoded(payload))
            case RowKind.MARK_PRICE:
                kernel.data_engine.process(MarkPriceUpdate.from_dict(msgspec.json.decode(payload)))
            case RowKind.ORDER_EVENT:
                self._take_order_event(_decoded(payload))
            case RowKind.ACCOUNT:
                kernel.portfolio.update_account(_decoded(payload))
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
        self.found.inputs += 1

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
        message = msgspec.json.decode(payload, type=_type_of(name))
        self._published[said_key(name, payload)] -= 1
        self._kernel.msgbus.publish(topic=_topic_of(message), msg=message)

    def _take_timer(self, strategy: str) -> None:
        calls = self._calls[strategy]
        if not calls:  # live timers round to milliseconds, some ring before their time
            clock = self._strategies[strategy].clock
            next_ns = min((clock.next_time_ns(name) for name in clock.timer_names), default=None)
            if next_ns is not None and next_ns <= self._step.now_ns + EARLY_NS:
                self._set_clocks(next_ns)
        if calls:
            calls.popleft()()

    def _take_call(self, key: str, payload: bytes, tick: Any) -> None:
        name, _, strategy = key.partition(":")
        if name == "take_trade":
            self._takers[strategy](tick)
            return
        if name in BAR_CALLS:
            getattr(self._strategies[strategy], name)(*_bar_words(name, payload))
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
        recorded = self._step.recorded
        match kind:
            case RowKind.DECISION:
                self.found.decisions += 1
                recorded.append((kind.name, canonical(payload, self._step.now_ns)))
            case RowKind.ANSWER:
                self.found.answers += 1
                recorded.append((kind.name, answer_text(key, payload)))
            case RowKind.STATE:
                self.found.states += 1
                recorded.append((kind.name, _state_text(key, payload.decode())))
                now = perception_digest(self._strategies[key])
                self._step.replayed.append((kind.name, _state_text(key, now)))
            case _:
                self.found.orders += 1
                recorded.append((kind.name, payload.decode()))

    def _on_decision(self, decision: Any) -> None:
        text = canonical(msgspec.json.encode(decision), self._step.now_ns)
        self._step.replayed.append((RowKind.DECISION.name, text))

    def _on_order(self, event: Any) -> None:
        is_sent = isinstance(event, OrderInitialized) and not event.reconciliation
        if is_sent or isinstance(event, OWN_EVENTS):
            self._step.replayed.append((RowKind.ORDER_SENT.name, sent_record(event).decode()))

    def _on_message(self, message: Any) -> None:
        self._published[said_key(type_name(message), msgspec.json.encode(message))] += 1

    def _finish_last_step(self) -> None:
        """Compare the last step; of a killed session what it did in it may not be written any more."""
        self.found.is_cut = self._stopped < self._strategies.keys()
        step = self._step
        if self.found.is_cut:
            del step.replayed[len(step.recorded) :]
        self._finish_step()

    def _finish_step(self) -> bool:
        """Compare what was done behind the last input; tell whether it was the same."""
        step = self._step
        for index in range(max(len(step.recorded), len(step.replayed))):
            self._number += 1
            pair = [side[index] if index < len(side) else None for side in (step.recorded, step.replayed)]
            for digest, output in zip(self._hashes, pair, strict=True):
                digest.update(f"{step.seq} {output}\n".encode())
            if pair[0] != pair[1]:
                self.found.first = self._divergence(*pair)
                return False
        step.recorded.clear()
        step.replayed.clear()
        return True

    def _divergence(self, recorded: Output | None, replayed: Output | None) -> Divergence:
        cache, step = self._kernel.cache, self._step
        state = {
            "open_orders": [str(one) for one in cache.orders_open()],
            "positions": [str(one) for one in cache.positions_open()],
            "counters": {name: dict(getattr(one, "counters", {})) for name, one in self._strategies.items()},
        }
        return Divergence(
            number=self._number,
            seq=step.seq,
            now_ns=step.now_ns,
            recorded=_plain(recorded),
            replayed=_plain(replayed),
            recent=tuple(self._recent),
            state=state,
        )


def canonical(decision: bytes, now_ns: int) -> str:
    """Return a decision as text that is equal for equal decisions.

    Its time is that of the print or event that caused it, and is compared. Where it is a reading of the
    node's clock instead, it lies behind the time at which the input was noted, by the microseconds that the
    strategy took: such a time is left out.

    Examples
    --------
    >>> canonical(b'{"ts_ns":1700,"kind":"zone"}', 1500)
    '{"kind":"zone","ts_ns":0}'
    >>> canonical(b'{"ts_ns":1400,"kind":"zone"}', 1500)
    '{"kind":"zone","ts_ns":1400}'
    """
    plain = msgspec.json.decode(decision)
    if plain["ts_ns"] >= now_ns:
        plain["ts_ns"] = 0
    return msgspec.json.encode(plain, order="sorted").decode()


def _state_text(strategy: str, digest: str) -> str:
    return json.dumps({"perceived_sha256": digest, "strategy": strategy}, sort_keys=True)


def _bar_words(name: str, payload: bytes) -> tuple[Any, ...]:
    """Return the words of a call of `BAR_CALLS`; levels of a bar are tuples."""
    if name == "take_universe":
        return msgspec.msgpack.decode(payload, type=tuple[UniverseDays])
    words = msgspec.msgpack.decode(payload)
    if not words:
        return ()
    close_ns, bars = words
    return close_ns, {name: tuple(levels) for name, levels in bars.items()}


def plain_bar(payload: bytes) -> Bar:
    """Return a bar of a recording; of an adapter's own kind of bar (BinanceBar) what all bars have."""
    plain = msgspec.json.decode(payload)
    names = ("bar_type", "open", "high", "low", "close", "volume", "ts_event", "ts_init")
    return Bar.from_dict({name: plain[name] for name in names})


def _plain(output: Output | None) -> Any:
    return None if output is None else {"what": output[0].lower(), **json.loads(output[1])}


def _in_words(row: Row) -> str:
    seq, _now_ns, kind, key, _payload, tick = row
    said = "" if tick is None else f" {tick.price} x {tick.size} id {tick.trade_id}"
    return f"{seq} {kind.name.lower()} {key}{said}"


def _decoded(payload: bytes) -> Any:
    return SERIALIZER.deserialize(payload)


def _object(text: str) -> Any:
    return SERIALIZER.deserialize(text.encode())


def _topic_of(message: Any) -> str:
    """Return the topic of a message by its type, the same that its sender used."""
    topics = {
        "HoldEntries": "hold.entries",
        "ReleaseEntries": "release.entries",
        "HaltEntries": "halt.entries",
        "RearmEntries": "rearm.entries",
        "UnknownOrder": "unknown.orders",
    }
    name = type(message).__name__
    return topics.get(name) or f"funding.{message.instrument_id}"


def _type_of(name: str) -> type[Any]:
    module, _, qualified = name.partition(":")
    if not module.startswith(TRUSTED):
        raise DataError(f"the recording has a message of type {name}, which is none of this program")
    found: type[Any] = getattr(importlib.import_module(module), qualified)
    return found


def divergence_text(found: Divergence, format_time: Callable[[int], str]) -> Iterable[str]:
    """Yield the lines that describe a difference: both decisions, the inputs before, the state."""
    yield f"first difference: number {found.number}, behind input {found.seq} at {format_time(found.now_ns)}"
    yield f"  recorded: {json.dumps(found.recorded, sort_keys=True)}"
    yield f"  replayed: {json.dumps(found.replayed, sort_keys=True)}"
    yield from (f"  input {one}" for one in found.recent)
    for name, value in found.state.items():
        yield f"  {name}: {json.dumps(value, default=str)}"
