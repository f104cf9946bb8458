"""Gives strategies on bars the bars of before the start: the catalog's, then the venue's closed klines."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from nautilus_trader.model.data import Bar
from nautilus_trader.model.identifiers import InstrumentId

from runtime.download.budget import HostBudget
from runtime.download.venue_rows import SETTLING_MS, understood
from runtime.errors import ConfigurationError, DataError, VenueError
from runtime.intervals import interval_of_bar_type
from runtime.live.backfill import venue_symbol
from runtime.live.bars_before import (
    MS,
    BarsSoFar,
    History,
    KlineSource,
    catalog_bars,
    pages_of_bars,
)
from runtime.live.context import LiveContext
from runtime.live.freshness import NANOS, DataSettings
from runtime.live.holding_actor import HoldingActor
from runtime.live.kept_bars import KeptBars, following
from runtime.live.universe import LiveUniverse, UniverseWatch, make_universe
from runtime.notify.events import Severity
from strategies.bar_times import close_of
from strategies.close_bars import Levels
from strategies.confluence_config import bar_type_of

WARM_UP: Final = "warmup"
KEPT_FOLDER: Final = "bars"
# Of the highest timeframe, at least.
HIGHEST_BARS: Final = 100
# The first one has begun before what is read, and the last one is not over.
CUT_BARS: Final = 2
# Between two looks at what else the node has to do: scoring the bars of weeks takes long.
AT_ONCE_SECS: Final = 0.005
TOLD_EVERY_SECS: Final = 5.0
# And before the recorder: who may be entered is an input of its own.
BEFORE_STRATEGIES: Final = 7

# Pauses before a venue that refused is asked again: a hiccup must not cost a coin the day.
RETRY_SECS: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# Pauses before coins that were left behind are asked for again; the last one for as long as the node runs.
AGAIN_SECS: Final = (60.0, 120.0, 300.0, 600.0)
# Between two looks whether a coin has all its bars, and none of them waits for those of others.
REST_SECS: Final = 1.0
REST_LOOKS: Final = 30

type OnProgress = Callable[[int, int], None]


def bars_needed(config: Any) -> int:
    """Return how many bars of the highest timeframe are read: its bias must be known after them."""
    return max(HIGHEST_BARS, getattr(config, "htf_warm_up_bars", 0)) + CUT_BARS


def highest_secs(config: Any) -> int:
    """Return the length of the longest bars that any coin of a strategy is scored by, seconds."""
    coins = (getattr(config, "coins", None) or {}).values()
    return max(int(config.htf_secs), *(int(one.htf_secs or 0) for one in coins), 0)


class BarWarmUpActor(HoldingActor):
    """Holds entries of strategies on many instruments' bars until they have seen the hours before.

    Parameters
    ----------
    settings
        ``warm_up`` and ``warm_up_hours``.
    strategies
        Gives the strategies of the node; those with `warm_up` and `coins` are served.
    source_of
        Gives the klines of an instrument's market.
    history
        Yields closed bars of an instrument out of the catalog: of (id, bar length in seconds, start).
    call_soon
        Runs a function in the thread of the node.
    on_progress
        Called with instruments done and instruments in all.
    universe_of
        Gives the universe of a strategy's coins, None where it has none.
    kept
        Bars of the start before, that the venue need not be asked for again.
    """

    def __init__(
        self,
        settings: DataSettings,
        *,
        strategies: Callable[[], Iterable[Any]],
        source_of: Callable[[str], KlineSource],
        history: History,
        call_soon: Callable[[Callable[[], Any]], Any],
        on_progress: OnProgress | None = None,
        universe_of: Callable[[Any], LiveUniverse | None] = lambda _strategy: None,
        kept: KeptBars | None = None,
    ) -> None:
        super().__init__()
        self._kept = kept or KeptBars(None)
        self._universe_of = universe_of
        self._watches: dict[Any, UniverseWatch] = {}
        self.is_ready = False
        self._settings = settings
        self._strategies = strategies
        self._source_of = source_of
        self._history = history
        self._call_soon = call_soon
        self._on_progress = on_progress
        self._done = self._total = 0

    def on_start(self) -> None:
        """Hold the entries of what is to be warmed up; its bars wait from its own start on."""
        served = [one for one in self._strategies() if hasattr(one, "warm_up") and hasattr(one, "coins")]
        if not self._settings.warm_up:
            return
        for strategy in served:
            self._total += len(strategy.coins)
            strategy.hold_back()
            for name in strategy.coins:
                self.hold(WARM_UP, "bars of before are being read", name)
        for strategy in served:
            self.begin(self._warm(strategy))
        if served:
            self.msgbus.subscribe(topic="data.bars.*", handler=self._on_live_bar, priority=BEFORE_STRATEGIES)

    def _on_live_bar(self, bar: Bar) -> None:
        name = bar.bar_type.instrument_id.value
        for strategy, watch in self._watches.items():
            bar_ns = strategy.config.ltf_secs * NANOS
            if name in strategy.coins and bar.bar_type.spec.timedelta.total_seconds() * NANOS == bar_ns:
                prices = (one.as_double() for one in (bar.open, bar.high, bar.low, bar.close, bar.volume))
                watch.take(name, (close_of(bar.ts_event, bar_ns), *prices))

    def on_stop(self) -> None:
        """Fetch nothing more."""
        self.cancel_tasks()

    async def _warm(self, strategy: Any) -> None:
        while not strategy.is_running:  # it needs its instruments; actors start first
            await asyncio.sleep(0.05)
        began_ns = self.clock.timestamp_ns()
        await self._begin_universe(strategy)
        config, names = strategy.config, sorted(strategy.coins)
        bars = BarsSoFar(config.ltf_secs * NANOS)
        back_secs = max(self._settings.warm_up_hours * 3600, bars_needed(config) * highest_secs(config))
        start_ns = (began_ns - round(back_secs * NANOS)) // bars.bar_ns * bars.bar_ns
        if strategy in self._watches:
            start_ns = min(start_ns, self._watches[strategy].universe.wanted_from_ns(began_ns))
        for name in names:
            await self._read_catalog(bars, name, config, start_ns)
        with ExitStack() as shares:
            for budget in {id(one): one for one in map(self._budget_of, names) if one is not None}.values():
                shares.enter_context(budget.share(self._settings.warm_up_ratio))
            await asyncio.gather(*(self._read_kept(bars, name, config, start_ns) for name in names))
            failed = await self._fetch(strategy, bars, names, (start_ns, began_ns), self._note_done)
            # What closed while the others were fetched: once more, in a moment.
            newest_ns = bars.taken_ns or start_ns
            if self.clock.timestamp_ns() - newest_ns > bars.bar_ns:
                settled_ns = newest_ns + bars.bar_ns + SETTLING_MS * MS
                await asyncio.sleep(max(0, settled_ns - self.clock.timestamp_ns()) / NANOS)
                rest_ns = newest_ns, self.clock.timestamp_ns()
                failed |= await self._fetch(strategy, bars, names, rest_ns)
        if strategy in self._watches:
            self._watches[strategy].begin(self.clock.timestamp_ns())
        strategy.go_on()
        self.is_ready = True
        for name in names:
            if name not in failed:
                self.release(WARM_UP, name)
        self.begin(self._keep(bars, config.ltf_secs))
        took_secs = (self.clock.timestamp_ns() - began_ns) / NANOS
        self.tell(f"warm-up complete: {bars.taken} close times in {took_secs:.1f} s", Severity.INFO)
        if failed:
            text = f"no entries until the bars of before are there: {', '.join(sorted(failed))}"
            self.tell(text, Severity.WARNING)
            self.begin(self._mend(strategy, failed, start_ns))

    async def _mend(self, strategy: Any, failed: Iterable[str], start_ns: int) -> None:
        """Ask again for coins that were left behind, ever more rarely, until each one has its bars."""
        waiting, pauses = sorted(failed), iter(AGAIN_SECS)
        while waiting:
            await asyncio.sleep(next(pauses, AGAIN_SECS[-1]))
            waiting = [name for name in waiting if not await self._tried(strategy, name, start_ns)]

    async def _tried(self, strategy: Any, name: str, start_ns: int) -> bool:
        """Tell whether a coin could be mended; an error that nobody expects costs this try, not the coin."""
        try:
            return await self._mended(strategy, name, start_ns)
        except Exception as error:
            self.log.exception(f"{name}: reading its bars of before failed, tried again", error)  # noqa: TRY401
            return False

    async def _mended(self, strategy: Any, name: str, start_ns: int) -> bool:
        """Read all bars of a coin and put them in the place of what it has; tell whether it was possible."""
        config, source = strategy.config, self._source_of(name)
        bars = BarsSoFar(config.ltf_secs * NANOS)
        history: list[Levels] = []
        strategy.begin_history(name)
        await self._read_catalog(bars, name, config, start_ns)
        await self._read_kept(bars, name, config, start_ns)
        interval = interval_of_bar_type(str(bar_type_of(InstrumentId.from_str(name), config.ltf_secs)))
        for _look in range(REST_LOOKS):
            try:
                span_ns = start_ns, self.clock.timestamp_ns()
                async for _page in pages_of_bars(bars, name, source, interval, span_ns):
                    await self._prepare(strategy, name, bars, history)
            except (VenueError, DataError, ConfigurationError) as error:
                self.tell(f"{name}: {error}", Severity.WARNING)
                return False
            await self._prepare(strategy, name, bars, history)
            last = strategy.coins[name].last
            is_up_to_date = bool(history) and (last is None or history[-1][0] == last.close_ns)
            if is_up_to_date and not strategy.is_deciding(name):
                self._take_history(strategy, name, history)
                await self._keep(bars, config.ltf_secs)
                return True
            await asyncio.sleep(REST_SECS)
        self.tell(f"{name}: the venue does not have its newest bar", Severity.WARNING)
        return False

    def _take_history(self, strategy: Any, name: str, history: list[Levels]) -> None:
        strategy.take_history(name, history)
        if strategy in self._watches:
            self._watches[strategy].renew(name, history, self.clock.timestamp_ns())
        self.release(WARM_UP, name)
        self.tell(f"{name}: the bars of before are there, {len(history)}", Severity.INFO)

    async def _prepare(self, strategy: Any, name: str, bars: BarsSoFar, history: list[Levels]) -> None:
        """Let a coin score its bars of before, in pauses of the loop, beside those that it is shown."""
        # A newer one than it was shown is about to come like every other.
        last = strategy.coins[name].last
        began_secs = time.monotonic()
        for _close_ns, levels in bars.take(None if last is None else last.close_ns):
            history.append(levels[name])
            strategy.prepare_history(name, history[-1:])
            if time.monotonic() - began_secs > AT_ONCE_SECS:
                await asyncio.sleep(0)
                began_secs = time.monotonic()

    async def _begin_universe(self, strategy: Any) -> None:
        """Begin to sum what is traded; live bars that come from now on wait for those of before."""
        try:
            universe = await asyncio.to_thread(self._universe_of, strategy)
        except DataError as error:
            self.tell(f"the universe of the catalog is of no use: {error}", Severity.WARNING)
            return
        if universe is not None:
            self._watches[strategy] = UniverseWatch(universe, strategy)

    async def _fetch(
        self,
        strategy: Any,
        bars: BarsSoFar,
        names: Collection[str],
        span_ns: tuple[int, int],
        on_end: Callable[[], None] = lambda: None,
    ) -> set[str]:
        """Ask for a page of every instrument at once, and show what is complete meanwhile.

        So the strategy's own work is done in the pauses that the venue's limits ask for.
        """
        config, failed, told_at = strategy.config, set[str](), time.monotonic()
        pauses = {name: iter(RETRY_SECS) for name in names}

        def pages_of(name: str) -> AsyncIterator[None]:
            interval = interval_of_bar_type(str(bar_type_of(InstrumentId.from_str(name), config.ltf_secs)))
            return pages_of_bars(bars, name, self._source_of(name), interval, span_ns)

        pages = {name: pages_of(name) for name in names}

        async def ask(name: str) -> None:
            try:
                await anext(pages[name])
            except StopAsyncIteration:
                del pages[name]
                on_end()
            except (VenueError, DataError, ConfigurationError) as error:
                self.tell(f"{name}: {error}", Severity.WARNING)
                pause_secs = next(pauses[name], None) if isinstance(error, VenueError) else None
                if pause_secs is not None:
                    await asyncio.sleep(pause_secs)
                    pages[name] = pages_of(name)  # from its newest bar on
                    return
                failed.add(name)
                del pages[name]
                on_end()

        while pages:
            until_ns = min(bars.last_ns.get(name, 0) for name in pages)
            # One after the other the requests would wait for each other's way to the venue and back.
            asked = asyncio.gather(*(ask(name) for name in tuple(pages)))
            await self._show(strategy, bars.take(until_ns))
            await asked
            if time.monotonic() - told_at > TOLD_EVERY_SECS:
                told_at = time.monotonic()
                share = (bars.taken_ns - span_ns[0]) / (span_ns[1] - span_ns[0])
                self.log.info(
                    f"warm-up {max(share, 0):.0%}: {bars.taken} close times, {len(names)} instruments"
                )
        await self._show(strategy, bars.take(None))
        return failed

    async def _show(self, strategy: Any, closes: Iterable[tuple[int, Mapping[str, Levels]]]) -> None:
        began_secs = time.monotonic()
        for close_ns, levels in closes:
            strategy.warm_up(close_ns, levels)
            if strategy in self._watches:
                self._watches[strategy].show(levels)
            if time.monotonic() - began_secs > AT_ONCE_SECS:
                await asyncio.sleep(0)
                began_secs = time.monotonic()

    async def _read_kept(self, bars: BarsSoFar, name: str, config: Any, start_ns: int) -> None:
        """Take the bars that were kept at the start before, as far as they follow those of the catalog."""
        try:
            found = await asyncio.to_thread(self._kept.read, name, config.ltf_secs)
            kept = list(following(found, bars.last_ns.get(name, start_ns), bars.bar_ns))
            if kept and not await self._has_bar_surely(name, config, kept[-1]):
                self.log.warning(f"{name}: the bars of the last start are of another market, asked for again")
                return
        except (DataError, VenueError, ConfigurationError) as error:
            self.tell(f"{name}: {error}", Severity.WARNING)
            return
        for levels in kept:
            bars.add_of_venue(name, levels)

    async def _has_bar_surely(self, name: str, config: Any, levels: Levels) -> bool:
        """Tell whether the venue has a bar; asked again without an answer: weeks of bars depend on it."""
        for pause_secs in RETRY_SECS:
            try:
                return await self._has_bar(name, config, levels)
            except VenueError as error:
                self.log.warning(f"{name}: {error}, asked again in {pause_secs:g} s")
                await asyncio.sleep(pause_secs)
        return await self._has_bar(name, config, levels)

    async def _has_bar(self, name: str, config: Any, levels: Levels) -> bool:
        """Tell whether the venue has a bar: a testnet begins anew, and settings name another one."""
        open_ns = levels[0] - config.ltf_secs * NANOS
        symbol = venue_symbol(InstrumentId.from_str(name))
        interval = interval_of_bar_type(str(bar_type_of(InstrumentId.from_str(name), config.ltf_secs)))
        async for page in self._source_of(name).klines(symbol, interval, open_ns, levels[0]):
            with understood(f"klines {symbol}"):
                return [tuple(float(one) for one in row[1:6]) for row in page] == [levels[1:]]
        return False

    async def _keep(self, bars: BarsSoFar, bar_secs: int) -> None:
        """Keep for the next start what the venue said."""
        while bars.of_venue:
            name, columns = bars.of_venue.popitem()
            try:
                await asyncio.to_thread(self._kept.write, name, bar_secs, columns)
            except (OSError, pa.ArrowException) as error:
                self.tell(f"{name}: bars are not kept for the next start: {error}", Severity.WARNING)
                return

    async def _read_catalog(self, bars: BarsSoFar, name: str, config: Any, start_ns: int) -> None:
        try:
            for levels in await asyncio.to_thread(
                lambda: list(self._history(name, config.ltf_secs, start_ns))
            ):
                bars.add(name, levels)
        except (DataError, ConfigurationError) as error:
            self.tell(f"{name}: the catalog is of no use: {error}", Severity.WARNING)

    def _note_done(self) -> None:
        self._done += 1
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)

    def _budget_of(self, name: str) -> HostBudget | None:
        return getattr(self._source_of(name), "budget", None)


def make_bar_warm_up(context: LiveContext, settings: DataSettings) -> BarWarmUpActor:
    """Return the warm-up of a node's strategies on bars."""
    return BarWarmUpActor(
        settings,
        strategies=context.strategies,
        source_of=lambda name: context.rest.of_instrument(name),  # type: ignore[arg-type, return-value]
        history=catalog_bars(Path(context.settings.catalog)),
        call_soon=context.call_soon,
        kept=KeptBars(context.folder / KEPT_FOLDER, context.rest.source_of),
        universe_of=lambda strategy: make_universe(
            context.settings.universe,
            strategy,
            Path(context.settings.catalog),
            context.node.kernel.clock.timestamp_ns(),
        ),
    )


__all__ = ["BarWarmUpActor", "make_bar_warm_up"]
