"""Closed bars of before the start: out of the catalog and from a venue, in the order in which they closed."""

from array import array
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from nautilus_trader.model.identifiers import InstrumentId

from runtime.catalog import Catalog
from runtime.download.venue_rows import understood
from runtime.intervals import interval_of_bar_type
from runtime.live.backfill import venue_symbol
from runtime.live.freshness import NANOS
from strategies.close_bars import Levels
from strategies.confluence_config import bar_type_of

MS: Final = 1_000_000

type History = Callable[[str, int, int], Iterable[Levels]]
"""Of (instrument, length of a bar in seconds, first close in UNIX nanoseconds)."""


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
    taken: int = 0
    taken_ns: int = 0
    by_close: dict[int, dict[str, Levels]] = field(default_factory=dict)
    last_ns: dict[str, int] = field(default_factory=dict)
    of_venue: dict[str, "array[float]"] = field(default_factory=dict)

    def add(self, name: str, levels: Levels) -> bool:
        """Add a bar and tell so; one that is not newer than the newest of its instrument changes nothing."""
        close_ns = levels[0]
        if close_ns <= max(self.last_ns.get(name, -1), self.taken_ns):
            return False
        self.last_ns[name] = close_ns
        self.by_close.setdefault(close_ns, {})[name] = levels
        return True

    def add_of_venue(self, name: str, levels: Levels) -> None:
        """Add a bar that no catalog has, to be kept for the next start."""
        if self.add(name, levels):
            close_ns, *prices = levels
            self.of_venue.setdefault(name, array("d")).extend((close_ns // NANOS, *prices))

    def take(self, until_ns: int | None) -> Iterator[tuple[int, Mapping[str, Levels]]]:
        """Yield and forget close times up to one (UNIX nanoseconds, None: all), oldest first."""
        for close_ns in sorted(one for one in self.by_close if until_ns is None or one <= until_ns):
            self.taken, self.taken_ns = self.taken + 1, close_ns
            yield close_ns, self.by_close.pop(close_ns)


async def pages_of_bars(
    bars: BarsSoFar,
    name: str,
    source: KlineSource,
    interval: str,
    span_ns: tuple[int, int],
) -> AsyncIterator[None]:
    """Add an instrument's closed klines of a span (UNIX nanoseconds) that `bars` does not have.

    Yields
    ------
    None
        After each page of the venue.

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
                bars.add_of_venue(name, (int(row[0]) * MS + bars.bar_ns, open_, high, low, close, volume))
        yield


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


__all__ = ["MS", "BarsSoFar", "History", "KlineSource", "catalog_bars", "pages_of_bars"]
