"""Rebuilds what strategies on trades perceive before they may enter: checkpoint or history, then the tail.

In order of preference: the checkpoint of the session before; the catalog's last hours; the day so far, from
the venue. Then the venue's REST interface gives the trades up to the first live one, by their ids. Where that
cannot be had, buckets are out of step until the next anchor (00:00 UTC), and entries wait for it.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
from nautilus_trader.model.data import TradeTick

from runtime.arrow_schema import TradeColumns
from runtime.catalog import Catalog
from runtime.errors import ConfigurationError, DataError, VenueError
from runtime.live.backfill import TradeSource, trade_source, venue_symbol
from runtime.live.bias_bars import BarSource, bias_before
from runtime.live.checkpoint import read_checkpoint, write_checkpoint
from runtime.live.context import LiveContext
from runtime.live.freshness import NANOS, DataSettings
from runtime.live.gaps import ConsecutiveIds, RecentIds, TradeOrder
from runtime.live.holding_actor import HoldingActor
from runtime.live.stream_breaks import STREAM_BREAK_TOPIC, StreamBreak
from runtime.live.trade_stream import TradeStream
from runtime.notify.events import Severity
from strategies.perception_state import PerceptionState, decode, encode

WARM_UP: Final = "warmup"
GAP: Final = "gap"
LOOK_TIMER: Final = "warmup-look"
DAY_NS: Final = 86_400 * NANOS
TOLD_EVERY_SECS: Final = 5.0

type Sources = Callable[[str], TradeSource]
type History = Callable[[str, int], Iterator[TradeColumns]]
type OnProgress = Callable[[str, int, int], None]


class WarmUpActor(HoldingActor):
    """Holds entries of each strategy on trades until it perceives what an unbroken run would.

    Parameters
    ----------
    settings
        Limits.
    strategies
        Gives the strategies of the node; those with a `trade_gate` are warmed up.
    source_of
        Gives the REST side of an instrument's trades.
    history
        Yields trades of an instrument from a time (UNIX nanoseconds) on, as columns with the exchange's own
        times; empty where there are none.
    folder
        For the checkpoints.
    call_soon
        Runs a function in the thread of the node.
    on_progress
        Called with instrument, trades done and trades in all (0: not known).
    bars_of
        Gives the klines of an instrument's market; None: biases of higher timeframes begin anew.
    """

    def __init__(
        self,
        settings: DataSettings,
        *,
        strategies: Callable[[], Iterable[Any]],
        source_of: Sources,
        history: History,
        folder: Path,
        call_soon: Callable[[Callable[[], Any]], Any],
        on_progress: OnProgress | None = None,
        bars_of: Callable[[str], BarSource] | None = None,
    ) -> None:
        super().__init__()
        self._bars_of = bars_of
        self.streams: dict[str, TradeStream] = {}
        self.ready: set[str] = set()
        self._settings = settings
        self._strategies = strategies
        self._source_of = source_of
        self._history = history
        self._folder = folder
        self._call_soon = call_soon
        self._on_progress = on_progress
        self._told_at = 0.0
        self._warming: dict[str, Any] = {}
        self._anchors: dict[str, int] = {}
        self._saved_ns = 0

    # -- life ----------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Hold the entries, and stand between the trades and the strategies, which start after this."""
        for strategy in self._strategies():
            if hasattr(strategy, "trade_gate") and hasattr(strategy, "perceived"):
                name = strategy.instrument_id.value
                strategy.trade_gate = self._gate
                if self._settings.warm_up:
                    self.hold(WARM_UP, "buckets and structure are being rebuilt", name)
        self.msgbus.subscribe(topic=STREAM_BREAK_TOPIC, handler=self.on_break)
        self._saved_ns = self.clock.timestamp_ns()
        self.clock.set_timer_ns(
            LOOK_TIMER,
            NANOS,
            self._saved_ns,
            0,
            lambda _event: self._call_soon(lambda: self.look(self.clock.timestamp_ns())),
        )

    def on_stop(self) -> None:
        """Fetch nothing more, and save what was perceived."""
        if LOOK_TIMER in self.clock.timer_names:
            self.clock.cancel_timer(LOOK_TIMER)
        self.msgbus.unsubscribe(topic=STREAM_BREAK_TOPIC, handler=self.on_break)
        self.cancel_tasks()
        for stream in self.streams.values():
            stream.stop()
        for path, payload in self._checkpoints():
            self._write(path, payload)

    def on_break(self, broken: StreamBreak) -> None:
        """Suspect the trades of a venue whose connection broke, and once more when it is back."""
        for name, stream in self.streams.items():
            if name.rpartition(".")[2] == broken.venue:
                stream.suspect()

    def look(self, now_ns: int) -> None:
        """Release who has passed the anchor, and save from time to time; UNIX nanoseconds."""
        if not self.is_running:
            return
        for name, anchor_ns in list(self._anchors.items()):
            if self.streams[name].newest_ns >= anchor_ns:
                del self._anchors[name]
                self._finish(name, "in step since the anchor")
        every_ns = round(self._settings.checkpoint_secs * NANOS)
        if every_ns and now_ns - self._saved_ns >= every_ns:
            self._saved_ns = now_ns
            for path, payload in self._checkpoints():
                self.begin(asyncio.to_thread(self._write, path, payload))

    # -- one instrument ------------------------------------------------------------------------------------

    def _gate(self, strategy: Any, take_trade: Callable[[TradeTick], None]) -> Callable[[TradeTick], None]:
        name = strategy.instrument_id.value

        def say(gap: str | None) -> None:
            if gap is None:
                self.release(GAP, name)
            else:
                self.tell(gap, Severity.WARNING)
                self.hold(GAP, gap, name)

        stream = TradeStream(
            strategy.instrument_id,
            strategy,
            take_trade,
            source=self._source_of(name),
            settings=self._settings,
            clock=self.clock,
            say=say,
        )
        self.streams[name] = stream
        self._warming[name] = strategy
        if self._settings.warm_up:
            stream.hold_back()
            self.begin(self._warm(strategy, stream))
        return stream.take

    async def _warm(self, strategy: Any, stream: TradeStream) -> None:
        name = strategy.instrument_id.value
        source = self._source_of(name)
        state, since = await self._state(strategy, name)
        first = (await stream.first_live()).trade_id.value
        if source.has_ids and state.last_trade_id < 0:
            # Nothing had traded since the anchor, or the venue was silent: by now it has a first trade.
            state, since = await self._from_anchor(strategy, name, source)
        if source.has_ids and state.last_trade_id >= int(first):
            text = f"{name}: {since} ends at trade {state.last_trade_id}, the stream begins at {first}"
            self.tell(f"{text}: they are not of one market, nothing of it is used", Severity.WARNING)
            state, since = await self._from_anchor(strategy, name, source)
        strategy.adopt(await self._with_bias(strategy, state, name))
        order: TradeOrder[TradeTick] = (
            ConsecutiveIds(state.last_trade_id) if source.has_ids else RecentIds(state.names)
        )
        self.tell(f"{name}: warm-up from {since}", Severity.INFO)
        is_whole = await stream.catch_up(order, lambda done, total: self._progress(name, done, total))
        strategy.end_past()
        is_known = state.last_trade_id >= 0 or bool(state.names)
        if is_whole and is_known:
            self._finish(name, f"warm-up complete, {order.counters.missing} trades fetched")
            return
        now_ns = self.clock.timestamp_ns()
        self._anchors[name] = (now_ns // DAY_NS + 1) * DAY_NS
        why = stream.last_given_up or "no trade before the first live one is known"
        self.tell(f"{name}: warm-up waits for the next anchor, 00:00 UTC: {why}", Severity.WARNING)

    async def _state(self, strategy: Any, name: str) -> tuple[PerceptionState, str]:
        """Return where to go on, and in words what it is."""
        path = self.path_of(name)
        try:
            payload = await asyncio.to_thread(read_checkpoint, path)
            if payload is not None:
                state = decode(payload)
                strategy.make_perceiver(state)  # refuses what belongs to other settings
                return state, "the checkpoint"
        except (DataError, ValueError) as error:
            self.tell(f"{name}: {error}", Severity.WARNING)
        source = self._source_of(name)
        try:
            found = await asyncio.to_thread(self._read_history, strategy, name, source)
            if found is not None:
                return found, "the catalog"
        except (DataError, ConfigurationError, ValueError) as error:
            self.tell(f"{name}: history is of no use: {error}", Severity.WARNING)
        return await self._from_anchor(strategy, name, source)

    async def _with_bias(self, strategy: Any, state: PerceptionState, name: str) -> PerceptionState:
        """Return the state with the bars of the higher timeframe that closed before the start."""
        if self._bars_of is None or (bar_type := strategy.config.htf_bar_type) is None:
            return state
        try:
            bias = await bias_before(self._bars_of(name), bar_type, state.bias, self.clock.timestamp_ns)
        except (VenueError, DataError, ConfigurationError) as error:
            text = f"{name}: the bias begins anew, no entries for 150 bars of {bar_type}: {error}"
            self.tell(text, Severity.WARNING)
            bias = None
        return msgspec.structs.replace(state, bias=bias)

    def _read_history(self, strategy: Any, name: str, source: TradeSource) -> PerceptionState | None:
        start_ns = self.clock.timestamp_ns() - round(self._settings.warm_up_hours * 3600 * NANOS)
        perceiver = strategy.make_perceiver()
        is_empty = True
        for block in self._history(name, start_ns // DAY_NS * DAY_NS):
            perceiver.take(replace(block, ts_ns=source.stamps(block.ts_ns)))
            is_empty = False
        return None if is_empty else perceiver.state()

    async def _from_anchor(
        self, strategy: Any, name: str, source: TradeSource
    ) -> tuple[PerceptionState, str]:
        """Return the empty state at the last anchor, where the venue can tell the first trade after it."""
        now_ns = self.clock.timestamp_ns()
        perceiver = strategy.make_perceiver()
        try:
            symbol = venue_symbol(strategy.instrument_id)
            first = await source.first_id(symbol, now_ns // DAY_NS * DAY_NS, now_ns)
        except (VenueError, DataError, ConfigurationError) as error:
            self.tell(f"{name}: the venue does not tell the day's first trade: {error}", Severity.WARNING)
            first = None
        if first is None:
            return perceiver.state(), "nothing"
        perceiver.builder.resume_after(first - 1)
        return perceiver.state(), "the day's first trade"

    def _finish(self, name: str, text: str) -> None:
        self.ready.add(name)
        self.tell(f"{name}: {text}", Severity.INFO)
        self.release(WARM_UP, name)

    # -- checkpoints ---------------------------------------------------------------------------------------

    def path_of(self, name: str) -> Path:
        """Return the checkpoint file of an instrument."""
        return self._folder / f"{name}.checkpoint"

    def _checkpoints(self) -> Iterator[tuple[Path, bytes]]:
        """Yield what is worth saving: a gap or a bucket out of step is not."""
        for name in sorted(self.ready):
            stream = self.streams[name]
            if stream.is_flowing:
                names = stream.order.names if isinstance(stream.order, RecentIds) else ()
                yield self.path_of(name), encode(self._warming[name].perceived(names))

    def _write(self, path: Path, payload: bytes) -> None:
        try:
            write_checkpoint(path, payload)
        except OSError as error:
            self.log.warning(f"{path} is not written: {error}; the next start reads history")

    # -- small things --------------------------------------------------------------------------------------

    def _progress(self, name: str, done: int, total: int) -> None:
        if self._on_progress is not None:
            self._on_progress(name, done, total)
        now = time.monotonic()
        if now - self._told_at >= TOLD_EVERY_SECS:
            self._told_at = now
            self.log.info(f"{name}: warm-up {done} of {total or '?'} trades")


def catalog_history(path: Path) -> History:
    """Return what reads an instrument's trades out of a catalog; nothing where it has none."""

    def history(name: str, start_ns: int) -> Iterator[TradeColumns]:
        if not path.is_dir():
            return
        catalog = Catalog(path)
        if catalog.find_instrument(name) is not None:
            yield from catalog.read_trades(name, start_ns, exchange_time=True)

    return history


def make_warm_up(
    context: LiveContext, settings: DataSettings, on_progress: OnProgress | None = None
) -> WarmUpActor:
    """Return the warm-up of a node's strategies on trades; add it before them."""
    live = context.settings.live

    def source_of(name: str) -> TradeSource:
        venue = live.venue_of(name)
        if venue is None:
            raise ConfigurationError(f"{name}: no account under live.venues trades it")
        return trade_source(context.rest.of(venue), venue)

    return WarmUpActor(
        settings,
        strategies=context.strategies,
        source_of=source_of,
        history=catalog_history(Path(context.settings.catalog)),
        folder=context.folder / "perception",
        call_soon=context.call_soon,
        on_progress=on_progress,
        bars_of=lambda name: context.rest.of_instrument(name),  # type: ignore[arg-type, return-value]
    )


__all__ = ["WarmUpActor", "catalog_history", "make_warm_up"]
