"""Confluence rows of many symbols in one pass: columns of the catalog through the kernels, no engine.

Each symbol is one task of a worker process, which reads the symbol's bars, scores them all, and hands back
what was asked for. The order of the results is that of the symbols, whichever worker is done first.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from indicators.confluence.config import ConfluenceConfig
from indicators.confluence.engine import ConfluenceEngine
from indicators.confluence.row import CONFLUENCE_DTYPE, ConfluenceTable
from runtime.candles import Candles, CandleStore
from runtime.catalog import Catalog
from runtime.download.workers import worker_pool
from runtime.errors import ConfigurationError
from runtime.intervals import INTERVALS, interval_nanos

SECOND_NS: Final = 1_000_000_000
SCORE_EDGES: Final = tuple(range(0, 101, 5))
AHEAD: Final = 2  # tasks per worker that may be under way or waiting to be taken


@dataclass(frozen=True, slots=True, eq=False)
class SymbolRows:
    """What one symbol's bars scored.

    Parameters
    ----------
    instrument_id
        Such as ``BTCUSDT.BINANCE``.
    bars
        Closed bars of the lower timeframe that were read.
    ready
        Of those, bars on which ATR, bias and RSI were all known.
    rows
        Of `CONFLUENCE_DTYPE`, those of which either score reaches the smallest asked for, in time order.
    score_counts
        int64, shape (2, 21): bars that are ready by long and by short score, in steps of 5 from 0 to 100.
    """

    instrument_id: str
    bars: int
    ready: int
    rows: ConfluenceTable
    score_counts: NDArray[np.int64]


def exact_floats(units: NDArray[np.int64], increment: Decimal) -> NDArray[np.float64]:
    """Return whole numbers of an increment as the floats nearest to their decimals, shape (n,).

    A product with 0.1 is not what ``float("0.7")`` is, and a detector that tests for equal prices would tell
    the two apart. ``round(price.as_double(), precision)`` of a Nautilus price gives the same float.

    Examples
    --------
    >>> import numpy as np
    >>> from decimal import Decimal
    >>> exact_floats(np.array([7]), Decimal("0.1")).tolist(), 7 * 0.1
    ([0.7], 0.7000000000000001)
    """
    exponent = increment.as_tuple().exponent
    decimals = max(0, -exponent) if isinstance(exponent, int) else 0
    whole = int(increment.scaleb(decimals))
    # Both exact below 2**53 and 10**22, so the quotient is rounded once.
    return units * whole / float(10**decimals)


def interval_of(secs: int) -> str:
    """Return the short name of an interval; ConfigurationError if bars of that length are not kept.

    Examples
    --------
    >>> interval_of(300)
    '5m'
    """
    for interval in INTERVALS:
        if interval_nanos(interval) == secs * SECOND_NS:
            return interval
    raise ConfigurationError(f"timeframe of {secs} s: use one of {', '.join(INTERVALS)}")


def score_candles(
    candles: Candles, increment: Decimal, config: ConfluenceConfig, *, out: ConfluenceTable | None = None
) -> ConfluenceTable:
    """Return one row per bar, shape (n,).

    Parameters
    ----------
    candles
        Bars of the lower timeframe.
    increment
        Of the instrument's price, which also is the tick size of the detectors.
    config
        Parameters; their tick size is replaced.
    out
        As for `ConfluenceEngine.scan`.
    """
    bars = candles.bars
    engine = ConfluenceEngine(config.with_tick_size(float(increment)))
    ticks = (bars.open_ticks, bars.high_ticks, bars.low_ticks, bars.close_ticks)
    open_, high, low, close = (exact_floats(column, increment) for column in ticks)
    volume = np.multiply(bars.volume_lots, candles.lot_size, dtype=np.float64)
    return engine.scan(bars.ts_open_ns, bars.ts_close_ns, open_, high, low, close, volume, out=out)


def scan_symbols(
    catalog: Path,
    configs: Mapping[str, ConfluenceConfig],
    *,
    min_score: float = 0.0,
    start_ns: int | None = None,
    end_ns: int | None = None,
    workers: int = 2,
) -> Iterator[SymbolRows]:
    """Yield the rows of every symbol, in the order of `configs`.

    Parameters
    ----------
    catalog
        Folder of the catalog.
    configs
        Parameters by instrument id; tick sizes come from the catalog.
    min_score
        Only rows of which either score reaches it are kept: memory is that of a few symbols at most, whatever
        their number.
    start_ns, end_ns
        Of the close times, both inclusive; None leaves the side open. Warm-up begins at `start_ns`.
    workers
        Processes; 1 works in this one.

    Raises
    ------
    ConfigurationError
        When a symbol has no bars of its lower timeframe and none to derive them from.
    DataError
        When a file is damaged.
    """
    if workers < 1:
        raise ConfigurationError(f"workers must be >= 1, got {workers}")
    tasks = [_Task(catalog, name, config, min_score, start_ns, end_ns) for name, config in configs.items()]
    if workers == 1 or len(tasks) < 2:
        yield from map(_scan_symbol, tasks)
        return
    with worker_pool(min(workers, len(tasks)), preload=__name__) as pool:
        waiting: deque[Future[SymbolRows]] = deque()
        for task in tasks:
            if len(waiting) == AHEAD * workers:
                yield waiting.popleft().result()
            waiting.append(pool.submit(_scan_symbol, task))
        while waiting:
            yield waiting.popleft().result()


@dataclass(frozen=True, slots=True)
class _Task:
    catalog: Path
    instrument_id: str
    config: ConfluenceConfig
    min_score: float
    start_ns: int | None
    end_ns: int | None


# Of this process: fresh memory for every symbol would cost as much as the pass over it.
_scratch: ConfluenceTable = np.empty(0, CONFLUENCE_DTYPE)
_catalogs: dict[Path, Catalog] = {}


def scratch_rows(count: int) -> ConfluenceTable:
    """Return rows to scan into, at least this many, the same memory every time."""
    global _scratch
    if len(_scratch) < count:
        _scratch = np.zeros(count, CONFLUENCE_DTYPE)
    return _scratch


def _scan_symbol(task: _Task) -> SymbolRows:
    if task.catalog not in _catalogs:
        _catalogs[task.catalog] = Catalog(task.catalog)
    catalog = _catalogs[task.catalog]
    interval = interval_of(task.config.ltf_secs)
    store = CandleStore(catalog, max_bytes=0)
    candles = store.read(task.instrument_id, interval, task.start_ns, task.end_ns)
    increment = catalog.instrument(task.instrument_id).price_increment.as_decimal()
    rows = score_candles(candles, increment, task.config, out=scratch_rows(len(candles)))
    is_kept = (rows["score_long"] >= task.min_score) | (rows["score_short"] >= task.min_score)
    is_ready = rows["is_ready"] == 1
    edges = np.array([*SCORE_EDGES, np.inf])
    counts = [np.histogram(rows[name][is_ready], edges)[0] for name in ("score_long", "score_short")]
    return SymbolRows(
        task.instrument_id, len(rows), int(is_ready.sum()), rows[is_kept].copy(), np.array(counts, np.int64)
    )
