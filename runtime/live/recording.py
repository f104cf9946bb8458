"""What a paper or live node heard and decided, in the order in which it did: for `backtest_node.py replay`.

An actor listens before the strategies do. Each thing that moves them is a numbered row: prints, bars, what
venues say about orders and accounts, messages such as holds, and timers. Decisions and orders are rows too,
so a replay of the former can be compared with the latter (docs/decisions/0015-replay-of-sessions.md).
"""

import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import msgspec
from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.model.data import Bar, MarkPriceUpdate, TradeTick
from nautilus_trader.model.events import (
    AccountState,
    OrderEvent,
    OrderInitialized,
    OrderPendingCancel,
    OrderPendingUpdate,
)
from nautilus_trader.serialization.serializer import MsgSpecSerializer

from runtime.health import Check, Probe, Status
from runtime.live.recorded_answers import record_answers
from runtime.live.recording_files import CHECKPOINT_FILE, SESSION_FILE, Row, RowKind, write_json, write_rows
from runtime.live.recording_settings import RecordingSettings
from runtime.recorder import order_record
from strategies.deadline_watch import hear_calls
from strategies.perception_state import encode
from strategies.trade_manager.catch_up import VenueOrder
from strategies.trade_manager.orders import Fill

SERIALIZER: Final = MsgSpecSerializer(encoding=msgspec.json)
# Behind the simulated venue, whose account states come before a print, and before every strategy.
PRIORITY: Final = 5
# Desks hear of rearms before others do; the row must stand before what they decide then.
MESSAGE_PRIORITY: Final = 20
# Messages of our own structs that strategies listen to.
MESSAGE_TOPICS: Final = ("hold.*", "release.*", "halt.*", "rearm.*", "funding.*", "unknown.*")
# Events that the strategy makes itself, at once: what it did, not what it was told.
OWN_EVENTS: Final = (OrderPendingCancel, OrderPendingUpdate)
# Asked with a function that takes each hold that stands (strategies/entry_halt.py).
STANDING_HOLDS: Final = "standing.holds"
# Ways into a strategy beside the message bus: what stands between it and the market calls them.
CALLS: Final = ("take_price", "take_past_trade", "adopt", "end_past", "taint_bucket", "forget_prices")
# The same for strategies on many instruments' bars, which are given those of before the start.
BAR_CALLS: Final = ("hold_back", "warm_up", "take_history", "go_on", "take_universe")
# What commands of people, the watchdog and recovery do to a desk by calls, and the types of their words.
DESK_CALLS: Final[Mapping[str, Any]] = {
    "close_by_hand": list[Any],
    "cancel_entry_by_hand": list[Any],
    "close_unprotected": list[Any],
    "close_unplanned": list[Any],
    "sweep_orphans": list[Any],
    "take_picture": tuple[dict[str, VenueOrder]],
    "settle_difference": tuple[Decimal],
    "settle_by_fills": tuple[list[Fill]],
    "protect_unplanned": tuple[float],
    "close_unplanned_by_hand": list[Any],
}
RECORDINGS: Final = "recordings"
MEGABYTE: Final = 1_000_000
ROW_FIELDS: Final = 6


class RowWriter:
    """Writes rows to files in a thread of its own; the node's thread only appends to a list.

    Parameters
    ----------
    folder
        Of the session's recording.
    settings
        When files are finished and when it stops.
    free_bytes
        Gives the free space of the folder's disk; a test puts its own in its place.
    """

    def __init__(
        self,
        folder: Path,
        settings: RecordingSettings,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self.stopped = ""
        """Why nothing is recorded any more; empty while it is."""
        self.rows_written = 0
        self._folder, self._settings, self._free = folder, settings, free_bytes
        # The fields of all rows, one after the other: a tuple for each would be one more object that the
        # garbage collector looks at, two for every trade.
        self._fields: deque[Any] = deque()
        self._full = settings.rotate_rows * ROW_FIELDS
        self._files = 0
        self._queue: SimpleQueue[deque[Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="recording", daemon=True)
        self._thread.start()

    def add(self, row: Row) -> None:
        """Take a row; many of them become a file."""
        if self.stopped:
            return
        self._fields.extend(row)
        if len(self._fields) >= self._full:
            self.flush()

    def flush(self) -> None:
        """Hand what has come together to the writing thread."""
        if self._fields:
            self._queue.put(self._fields)
            self._fields = deque()

    def close(self) -> None:
        """Write the rest and end the thread."""
        self.flush()
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (fields := self._queue.get()) is not None:
            if not self.stopped:
                self._write(fields)

    def _write(self, fields: deque[Any]) -> None:
        try:
            free = self._free(self._folder)
            if free < self._settings.reserve_mb * MEGABYTE:
                self.stopped = (
                    f"{self._folder}: {free // MEGABYTE} MB are free, less than live.recording.reserve_mb "
                    f"({self._settings.reserve_mb}): recording has ended, trading goes on"
                )
                return
            count = len(fields) // ROW_FIELDS
            # One by one: letting go of all of them at once would take the loop's time.
            write_rows(self._folder, self._files, _taken_out(fields))
        except OSError as error:
            self.stopped = f"{self._folder}: recording has ended, trading goes on: {error.strerror or error}"
            return
        self._files += 1
        self.rows_written += count


def _taken_out(fields: deque[Any]) -> Iterator[Row]:
    take = fields.popleft
    while fields:
        yield take(), take(), take(), take(), take(), take()


class SessionRecorder(Actor):
    """Writes down a session; add it to the node before its strategies start.

    Parameters
    ----------
    folder
        Of this session's recording, made when it starts.
    settings
        See `RecordingSettings`.
    session
        What a replay needs to build the same strategies: ``session_id``, ``mode``, ``trader_id``,
        ``config_sha256``, and ``strategies`` as Nautilus' importable configurations.
    strategies
        Gives the strategies of the node.
    call_soon
        Runs a function in the node's thread: live timers come from another one.
    warn
        Told once when recording ends early.
    """

    def __init__(
        self,
        folder: Path,
        settings: RecordingSettings,
        session: dict[str, Any],
        strategies: Callable[[], Iterable[Any]],
        call_soon: Callable[[Callable[[], None]], Any] | None = None,
        warn: Callable[[str], None] | None = None,
        free_bytes: Callable[[Path], int] | None = None,
    ) -> None:
        super().__init__(ActorConfig(component_id="SessionRecorder", log_events=False, log_commands=False))
        self.folder, self._settings, self._session = folder, settings, dict(session)
        self._strategies, self._call_soon = strategies, call_soon
        self._warn = warn or self.log.warning
        self._free_bytes = free_bytes
        self._writer: RowWriter | None = None
        self._seq = 0
        self._is_told = False
        self._is_open = False
        self._is_ending = False
        self._running: set[str] = set()
        self._known_orders: set[str] = set()

    @property
    def stopped(self) -> str:
        """Why nothing is recorded any more; empty while it is."""
        return "" if self._writer is None else self._writer.stopped

    def on_start(self) -> None:
        """Write what the strategies begin with, then listen."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._session["started_ns"] = self.clock.timestamp_ns()
        desks = [desk for one in self._strategies() for desk in getattr(one, "desks", ())]
        self._session["is_kept"] = any(getattr(one, "keeper", None) is not None for one in desks)
        self._session["is_limited"] = any(getattr(one, "entry_limits", None) is not None for one in desks)
        holds: list[Any] = []
        self.msgbus.publish(topic=STANDING_HOLDS, msg=holds.append)
        found = checkpoint(self.cache, self._strategies())
        found["holds"] = [[type_name(one), msgspec.to_builtins(one)] for one in holds]
        self._session["checkpoint_sha256"] = write_json(self.folder / CHECKPOINT_FILE, found)
        write_json(self.folder / SESSION_FILE, self._session)
        self._known_orders = {one.client_order_id.value for one in self.cache.orders()}
        free = {} if self._free_bytes is None else {"free_bytes": self._free_bytes}
        self._writer = RowWriter(self.folder, self._settings, **free)
        self._is_open = True
        bus = self.msgbus
        bus.subscribe(topic="data.trades.*", handler=self._on_tick, priority=PRIORITY)
        bus.subscribe(topic="data.bars.*", handler=self._on_bar_data, priority=PRIORITY)
        bus.subscribe(topic="data.mark_prices.*", handler=self._on_mark_price, priority=PRIORITY)
        bus.subscribe(topic="data.instrument.*", handler=self._on_instrument_data, priority=PRIORITY)
        bus.subscribe(topic="events.order.*", handler=self._on_order, priority=PRIORITY)
        bus.subscribe(topic="events.account.*", handler=self._on_account, priority=PRIORITY)
        bus.subscribe(topic="decisions.*", handler=self._on_decision, priority=PRIORITY)
        for topic in MESSAGE_TOPICS:
            bus.subscribe(topic=topic, handler=self._on_message, priority=MESSAGE_PRIORITY)
        for strategy in self._strategies():
            hear_calls(strategy.clock, partial(self._put, RowKind.TIMER, strategy.id.value))
            self._wrap(strategy)
        self._set_timer()

    def on_stop(self) -> None:
        """Write the rest, as soon as the strategies have stopped: actors are stopped before them."""
        self._is_ending = True
        self._end_after_strategies()

    def on_dispose(self) -> None:
        """Write the rest though a strategy never came to its stop."""
        self._is_ending = True
        self._running.clear()
        self._end_after_strategies()

    def _end_after_strategies(self) -> None:
        if not self._is_ending or self._writer is None or not self._is_open:
            return
        if any(strategy.id.value in self._running for strategy in self._strategies()):
            return
        for strategy in self._strategies():
            hear_calls(strategy.clock, None)
        self._is_open = False
        self._writer.close()
        self._tell()

    # -- rows ----------------------------------------------------------------------------------------------

    def _put(self, kind: RowKind, key: str, payload: bytes = b"", tick: TradeTick | None = None) -> None:
        if self._writer is not None and self._is_open:
            self._seq += 1
            self._writer.add((self._seq, self.clock.timestamp_ns(), kind, key, payload, tick))

    def _on_tick(self, tick: TradeTick) -> None:
        self._put(RowKind.TRADE, tick.instrument_id.value, tick=tick)

    def _on_bar_data(self, bar: Bar) -> None:
        self._put(RowKind.BAR, str(bar.bar_type), SERIALIZER.serialize(bar))

    def _on_mark_price(self, mark: MarkPriceUpdate) -> None:
        plain = msgspec.json.encode(MarkPriceUpdate.to_dict(mark))
        self._put(RowKind.MARK_PRICE, mark.instrument_id.value, plain)

    def _on_instrument_data(self, instrument: Any) -> None:
        self._put(RowKind.INSTRUMENT, instrument.id.value, SERIALIZER.serialize(instrument))

    def _on_order(self, event: OrderEvent) -> None:
        name = event.client_order_id.value
        is_own = isinstance(event, OWN_EVENTS) or (
            isinstance(event, OrderInitialized) and not event.reconciliation
        )
        if is_own:
            self._known_orders.add(name)
            self._put(RowKind.ORDER_SENT, name, sent_record(event))
            return
        if name not in self._known_orders:  # the venue's list brought it, and nobody was told of its birth
            self._known_orders.add(name)
            order = self.cache.order(event.client_order_id)
            if order is not None and not isinstance(event, OrderInitialized):
                self._put(RowKind.ORDER_EVENT, name, event_bytes(order.init_event))
        self._put(RowKind.ORDER_EVENT, name, event_bytes(event))

    def _on_account(self, state: AccountState) -> None:
        self._put(RowKind.ACCOUNT, state.account_id.value, event_bytes(state))

    def _on_decision(self, decision: Any) -> None:
        self._put(RowKind.DECISION, decision.instrument_id, msgspec.json.encode(decision))

    def _on_message(self, message: Any) -> None:
        self._put(RowKind.MESSAGE, type_name(message), msgspec.json.encode(message))

    # -- calls that reach a strategy beside the bus --------------------------------------------------------

    def _wrap(self, strategy: Any) -> None:
        """Note when a strategy is stopped, and what others call of its desks, which it makes at its start."""
        start, stop, name = strategy.on_start, strategy.on_stop, strategy.id.value
        if hasattr(strategy, "warm_up"):
            for one in BAR_CALLS:
                setattr(strategy, one, self._bar_call(strategy, one, getattr(strategy, one)))

        def on_start() -> None:
            if getattr(strategy, "trade_gate", None) is not None:  # set by an actor that started before
                strategy.trade_gate = self.recorded_gate(strategy.trade_gate)
                self._note_gated(name)
            self._running.add(name)
            self._put(RowKind.START, name)
            for number, desk in enumerate(getattr(strategy, "desks", ())):
                record_answers(desk, f"{number}:{name}", partial(self._put, RowKind.ANSWER))
            start()
            for number, desk in enumerate(getattr(strategy, "desks", ())):
                for method in DESK_CALLS:
                    if hasattr(desk, method):
                        setattr(
                            desk, method, self._by_hand(getattr(desk, method), f"{method}:{number}:{name}")
                        )

        def on_stop() -> None:
            self._note_state(strategy)
            self._put(RowKind.STOP, name)
            stop()
            self._running.discard(name)
            self._end_after_strategies()

        strategy.on_start, strategy.on_stop = on_start, on_stop

    def _bar_call(self, strategy: Any, method: str, call: Callable[..., Any]) -> Callable[..., Any]:
        key = f"{method}:{strategy.id.value}"

        def noted(*words: Any) -> None:
            if method == "go_on":  # bars of before are in: what they made is compared in a replay
                self._note_state(strategy)
            self._put(RowKind.CALL, key, msgspec.msgpack.encode(words))
            call(*words)

        return noted

    def _note_state(self, strategy: Any) -> None:
        digest = perception_digest(strategy)
        if digest:
            self._put(RowKind.STATE, strategy.id.value, digest.encode())

    def _note_gated(self, name: str) -> None:
        self._session["gated"] = [*self._session.get("gated", []), name]
        write_json(self.folder / SESSION_FILE, self._session)

    def _by_hand(self, method: Callable[..., Any], key: str) -> Callable[..., Any]:
        def noted(*words: Any, **named: Any) -> Any:
            self._put(RowKind.HAND, key, msgspec.json.encode([words, named]))
            return method(*words, **named)

        return noted

    # -- what stands between the market and a strategy -----------------------------------------------------

    def recorded_gate(self, gate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Return a trade gate that writes down what it lets through, and when.

        Parameters
        ----------
        gate
            Takes a strategy and its hot path, and returns what gets the trades instead.
        """

        def recorded(strategy: Any, take_trade: Any) -> Any:
            for name in CALLS:
                if hasattr(strategy, name):
                    setattr(strategy, name, self._recorded_call(strategy, name, getattr(strategy, name)))
            return gate(strategy, self._recorded_call(strategy, "take_trade", take_trade))

        return recorded

    def _recorded_call(self, strategy: Any, name: str, take: Any) -> Any:
        key = f"{name}:{strategy.id.value}"

        def recorded(*given: Any) -> None:
            (what,) = given or (None,)
            if isinstance(what, TradeTick):
                self._put(RowKind.CALL, key, what.instrument_id.value.encode(), what)
            else:
                self._put(RowKind.CALL, key, b"" if what is None else encode(what))
            take(*given)
            if name == "adopt":
                self._note_state(strategy)

        return recorded

    # -- files ---------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        interval_ns = round(self._settings.rotate_secs * 1_000_000_000)
        first_ns = self.clock.timestamp_ns() + interval_ns
        self.clock.set_timer_ns("recording-rotation", interval_ns, first_ns, 0, self._on_rotation)

    def _on_rotation(self, _event: Any) -> None:
        if self._call_soon is None:
            self._rotate()
        else:
            self._call_soon(self._rotate)

    def _rotate(self) -> None:
        if self._writer is not None:
            self._writer.flush()
            self._tell()

    def _tell(self) -> None:
        if self.stopped and not self._is_told:
            self._is_told = True
            self._warn(self.stopped)


def make_recorder(context: Any) -> SessionRecorder | None:
    """Return the recorder of a node; None where the settings want no recording.

    Parameters
    ----------
    context
        `runtime.live.context.LiveContext`.
    """
    settings = context.settings.live.recording
    if not settings.enabled:
        return None
    session = {
        "session_id": context.session_id,
        "mode": context.mode,
        "trader_id": context.settings.live.trader_id,
        "config_sha256": context.config_sha256,
        "strategies": [
            {"strategy_path": one.strategy_path, "config_path": one.config_path, "config": dict(one.config)}
            for one in context.strategy_configs
        ],
    }
    folder = context.folder / RECORDINGS / context.session_id
    recorder = SessionRecorder(folder, settings, session, context.strategies, context.call_soon)
    context.probes["recording"] = recording_check(recorder)
    return recorder


def recording_check(recorder: SessionRecorder) -> Probe:
    """Return a check of whether the session is still recorded."""

    def probe() -> Check:
        if not recorder.stopped:
            return Check(name="recording", status=Status.OK, what=str(recorder.folder))
        fix = "free disk space, then start a new session"
        return Check(name="recording", status=Status.DEGRADED, what=recorder.stopped, fix=fix)

    return probe


def event_bytes(event: Any) -> bytes:
    """Return an event of an order or an account as `SERIALIZER` writes it.

    That one asks of each field by a regular expression whether it is a time, and then leaves it as it is.
    """
    return msgspec.json.encode(type(event).to_dict(event))


def sent_record(event: OrderEvent) -> bytes:
    """Return what a strategy asked of a venue, without ids and times that differ from run to run."""
    return msgspec.json.encode({**order_record(event), "ts_ns": 0}, order="sorted")


def perception_digest(strategy: Any) -> str:
    """Return the SHA-256 of what a strategy perceives, empty where it cannot tell (yet)."""
    tell = getattr(strategy, "perception_digest", None)
    return "" if tell is None else str(tell())


def said_key(name: str, payload: bytes) -> tuple[str, bytes]:
    """Return what tells a message from others: its type and all of it but the reading of a clock."""
    plain = msgspec.json.decode(payload)
    plain.pop("ts_ns", None)
    return name, msgspec.json.encode(plain, order="sorted")


def type_name(message: Any) -> str:
    """Return where the type of a message is defined: ``module:Class``."""
    return f"{type(message).__module__}:{type(message).__qualname__}"


def checkpoint(cache: Any, strategies: Iterable[Any]) -> dict[str, Any]:
    """Return what strategies find when they start: instruments, accounts, orders, positions, own state."""
    return {
        "instruments": _texts(cache.instruments()),
        "accounts": [
            {"state": _text(one.last_event), "leverage": str(getattr(one, "default_leverage", 1))}
            for one in cache.accounts()
        ],
        "orders": [_texts(one.events) for one in cache.orders()],
        "positions": [_texts(one.events) for one in cache.positions_open()],
        "strategies": {one.id.value: _saved(one) for one in strategies},
    }


def _saved(strategy: Any) -> dict[str, str]:
    return {name: content.hex() for name, content in strategy.on_save().items()}


def _texts(objects: Sequence[Any]) -> list[str]:
    return [_text(one) for one in objects]


def _text(one: Any) -> str:
    return str(SERIALIZER.serialize(one), "utf-8")
