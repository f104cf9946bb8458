"""Gives strategies on bars the bars of before the start: the catalog's, then the venue's closed klines."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from nautilus_trader.model.identifiers import InstrumentId

from runtime.catalog import Catalog
from runtime.download.venue_rows import understood
from runtime.errors import ConfigurationError, DataError, VenueError
from runtime.intervals import interval_of_bar_type
from runtime.live.backfill import venue_symbol
from runtime.live.context import LiveContext
from runtime.live.freshness import NANOS, DataSettings
from runtime.live.holding_actor import HoldingActor
from runtime.notify.events import Severity
from strategies.close_bars import Levels
from strategies.confluence_config import bar_type_of

WARM_UP: Final = "warmup"
MS: Final = 1_000_000
# Of the highest timeframe, at least.
HIGHEST_BARS: Final = 100
# The first one has begun before what is read, and the last one is not over.
CUT_BARS: Final = 2
# Close times between two looks at what else the node has to do: scoring those of weeks takes long.
AT_ONCE: Final = 20

type History = Callable[[str, int, int], Iterable[Levels]]
"""Of (instrument, length of a bar in seconds, first close in UNIX nanoseconds)."""
type OnProgress = Callable[[int, int], None]


class KlineSource(Protocol):
    """A market's closed klines."""

    def klines(self, symbol: str, interval: str, start_ns: int, end_ns: int) -> AsyncIterator[list[Any]]:
        """Yield pages of closed klines by open time, oldest first: open time, O, H, L, C, volume, ..."""
        ...


@dataclass(slots=True)
class BarsSoFar:
    """Closed bars of many instruments, in the order in which they closed.

    Parameters
    ----------
    bar_ns
        Length of a bar.
    """

    bar_ns: int
    by_close: dict[int, dict[str, Levels]] = field(default_factory=dict)
    last_ns: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, levels: Levels) -> None:
        """Take a bar; one that is not newer than the newest of its instrument changes nothing."""
        close_ns = levels[0]
        if close_ns > self.last_ns.get(name, -1):
            self.last_ns[name] = close_ns
            self.by_close.setdefault(close_ns, {})[name] = levels

    def in_order(self) -> Iterator[tuple[int, Mapping[str, Levels]]]:
        """Yield close times, oldest first, with the bars of each."""
        for close_ns in sorted(self.by_close):
            yield close_ns, self.by_close[close_ns]


def bars_needed(config: Any) -> int:
    """Return how many bars of the highest timeframe are read: its bias must be known after them."""
    return max(HIGHEST_BARS, getattr(config, "htf_warm_up_bars", 0)) + CUT_BARS


def highest_secs(config: Any) -> int:
    """Return the length of the longest bars that any coin of a strategy is scored by, seconds."""
    coins = (getattr(config, "coins", None) or {}).values()
    return max(int(config.htf_secs), *(int(one.htf_secs or 0) for one in coins), 0)


async def fetch_bars(
    bars: BarsSoFar,
    name: str,
    source: KlineSource,
    interval: str,
    span_ns: tuple[int, int],
) -> None:
    """Add an instrument's closed klines of a span (UNIX nanoseconds) that `bars` does not have.

    Raises
    ------
    VenueError, DataError, ConfigurationError
        As the source.
    """
    start_ns = max(span_ns[0], bars.last_ns.get(name, 0))  # the close of one is the open of the next
    symbol = venue_symbol(InstrumentId.from_str(name))
    async for page in source.klines(symbol, interval, start_ns, span_ns[1]):
        with understood(f"klines {symbol}"):
            for row in page:
                open_, high, low, close, volume = (float(one) for one in row[1:6])
                bars.add(name, (int(row[0]) * MS + bars.bar_ns, open_, high, low, close, volume))


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
    ) -> None:
        super().__init__()
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

    def on_stop(self) -> None:
        """Fetch nothing more."""
        self.cancel_tasks()

    async def _warm(self, strategy: Any) -> None:
        while not strategy.is_running:  # it needs its instruments; actors start first
            await asyncio.sleep(0.05)
        config = strategy.config
        bars = BarsSoFar(config.ltf_secs * NANOS)
        back_secs = max(self._settings.warm_up_hours * 3600, bars_needed(config) * highest_secs(config))
        start_ns = self.clock.timestamp_ns() - round(back_secs * NANOS)
        span_ns = start_ns // bars.bar_ns * bars.bar_ns, self.clock.timestamp_ns()
        failed = [
            name for name in sorted(strategy.coins) if not await self._read(bars, name, config, span_ns)
        ]
        await self._show(strategy, bars.in_order())
        # What closed while the others were fetched: once more, in a moment.
        newest_ns = max(bars.by_close, default=span_ns[0])
        more = BarsSoFar(bars.bar_ns, last_ns=dict(bars.last_ns))
        if self.clock.timestamp_ns() - newest_ns > bars.bar_ns:
            rest_ns = newest_ns, self.clock.timestamp_ns()
            failed += [
                name for name in sorted(strategy.coins) if not await self._fetch(more, name, config, rest_ns)
            ]
            await self._show(strategy, (one for one in more.in_order() if one[0] > newest_ns))
        strategy.go_on()
        self.is_ready = True
        for name in strategy.coins:
            if name not in failed:
                self.release(WARM_UP, name)
        self.tell(f"warm-up complete: {len(bars.by_close)} close times", Severity.INFO)
        if failed:
            text = f"without the bars before, no entries until a restart: {', '.join(sorted(set(failed)))}"
            self.tell(text, Severity.WARNING)

    async def _show(self, strategy: Any, closes: Iterable[tuple[int, Mapping[str, Levels]]]) -> None:
        for number, (close_ns, levels) in enumerate(closes):
            strategy.warm_up(close_ns, levels)
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)

    async def _read(self, bars: BarsSoFar, name: str, config: Any, span_ns: tuple[int, int]) -> bool:
        try:
            for levels in await asyncio.to_thread(
                lambda: list(self._history(name, config.ltf_secs, span_ns[0]))
            ):
                bars.add(name, levels)
        except (DataError, ConfigurationError) as error:
            self.tell(f"{name}: the catalog is of no use: {error}", Severity.WARNING)
        is_there = await self._fetch(bars, name, config, span_ns)
        self._done += 1
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)
        if self._done % 10 == 0:
            self.log.info(f"warm-up {self._done} of {self._total} instruments")
        return is_there

    async def _fetch(self, bars: BarsSoFar, name: str, config: Any, span_ns: tuple[int, int]) -> bool:
        try:
            interval = interval_of_bar_type(str(bar_type_of(InstrumentId.from_str(name), config.ltf_secs)))
            await fetch_bars(bars, name, self._source_of(name), interval, span_ns)
        except (VenueError, DataError, ConfigurationError) as error:
            self.tell(f"{name}: {error}", Severity.WARNING)
            return False
        return True


def catalog_bars(path: Path) -> History:
    """Return what reads an instrument's closed bars out of a catalog; nothing where it has none."""

    def history(name: str, bar_secs: int, start_ns: int) -> Iterator[Levels]:
        if not path.is_dir():
            return
        catalog = Catalog(path)
        bar_type = str(bar_type_of(InstrumentId.from_str(name), bar_secs))
        instrument = catalog.find_instrument(name)
        if instrument is None or catalog.find_series(name, "klines", interval_of_bar_type(bar_type)) is None:
            return
        step, lot = float(instrument.price_increment), float(instrument.size_increment)
        for block in catalog.read_bars(bar_type, start_ns):
            columns = (block.open_ticks, block.high_ticks, block.low_ticks, block.close_ticks)
            prices = zip(*(column.tolist() for column in columns), strict=True)
            for close_ns, row, lots in zip(
                block.ts_close_ns.tolist(), prices, block.volume_lots.tolist(), strict=True
            ):
                open_, high, low, close = (one * step for one in row)
                yield close_ns, open_, high, low, close, lots * lot

    return history


def make_bar_warm_up(context: LiveContext, settings: DataSettings) -> BarWarmUpActor:
    """Return the warm-up of a node's strategies on bars."""
    return BarWarmUpActor(
        settings,
        strategies=context.strategies,
        source_of=lambda name: context.rest.of_instrument(name),  # type: ignore[arg-type, return-value]
        history=catalog_bars(Path(context.settings.catalog)),
        call_soon=context.call_soon,
    )


__all__ = ["BarWarmUpActor", "BarsSoFar", "catalog_bars", "fetch_bars", "make_bar_warm_up"]
