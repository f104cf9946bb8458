"""The bars of a higher timeframe of before the start: after a checkpoint's last one, or a long way back."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final, Protocol

import msgspec
from nautilus_trader.model.identifiers import InstrumentId

from runtime.download.venue_rows import SETTLING_MS, understood
from runtime.intervals import interval_of_bar_type
from runtime.live.backfill import venue_symbol
from strategies.bias_track import BiasState, PastBar

MS: Final = 1_000_000
NANOS: Final = 1_000_000_000
# Of an average over 50 bars, what was before the last thousand is less than the last bit of a float.
BARS_BACK: Final = 1000


class BarSource(Protocol):
    """A market's closed klines."""

    def klines(self, symbol: str, interval: str, start_ns: int, end_ns: int) -> Any:
        """Yield pages of closed klines by open time, oldest first: open time, O, H, L, C, ..."""
        ...


async def bias_before(
    source: BarSource, bar_type: Any, kept: BiasState | None, now_ns: Callable[[], int]
) -> BiasState:
    """Return the bias with every bar that has closed since.

    Parameters
    ----------
    source
        Of the instrument's market.
    bar_type
        Nautilus' type of the bars.
    kept
        Of the checkpoint; None, or one after which bars are missing at the venue, begins anew.
    now_ns
        The node's clock, UNIX nanoseconds.

    Raises
    ------
    VenueError, DataError, ConfigurationError
        As the source, and for an interval that the venue has not.
    """
    bar_ns = int(bar_type.spec.timedelta.total_seconds()) * NANOS
    past_ns = now_ns() % bar_ns
    if past_ns < 2 * SETTLING_MS * MS:  # the newest bar may have closed before we listened
        await asyncio.sleep(max(0, SETTLING_MS * MS - past_ns) / NANOS)
    if kept is not None and kept.averages:
        known_ns = kept.waiting[-1][0] if kept.waiting else kept.close_ns
        bars = await _closed(source, bar_type, known_ns, now_ns(), bar_ns)
        if _is_unbroken(known_ns, bars, now_ns(), bar_ns):
            return msgspec.structs.replace(kept, waiting=(*kept.waiting, *bars))
    first_ns = (now_ns() // bar_ns - BARS_BACK) * bar_ns
    bars = await _closed(source, bar_type, first_ns, now_ns(), bar_ns)
    gaps = [row for row in range(1, len(bars)) if bars[row][0] - bars[row - 1][0] != bar_ns]
    return BiasState(waiting=tuple(bars[gaps[-1] if gaps else 0 :]))


async def _closed(
    source: BarSource, bar_type: Any, from_ns: int, until_ns: int, bar_ns: int
) -> list[PastBar]:
    instrument_id: InstrumentId = bar_type.instrument_id
    symbol, interval = venue_symbol(instrument_id), interval_of_bar_type(str(bar_type))
    found: list[PastBar] = []
    async for page in source.klines(symbol, interval, from_ns, until_ns):
        with understood(f"klines {symbol} {interval}"):
            found += [(int(row[0]) * MS + bar_ns, float(row[4])) for row in page]
    return found


def _is_unbroken(known_ns: int, bars: Sequence[PastBar], now_ns: int, bar_ns: int) -> bool:
    """Tell whether all bars are there that closed after a time and have settled."""
    times = [known_ns, *(close_ns for close_ns, _close in bars)]
    is_whole = all(later - earlier == bar_ns for earlier, later in pairwise(times))
    return is_whole and times[-1] + bar_ns + SETTLING_MS * MS > now_ns


__all__ = ["BARS_BACK", "BarSource", "bias_before"]
