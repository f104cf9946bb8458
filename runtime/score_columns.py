"""Scores and bars of a whole run as columns in files, written by worker processes before the run.

One file per column, a row per instrument and a place per close time; what has no bar stays 0. The run maps
the files into memory, reads them in windows, and gives the pages back after each: its memory does not grow
with the length of the history. The files are unlinked as soon as they are mapped, so nothing is left behind.
"""

import mmap
import os
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from indicators.confluence.config import ConfluenceConfig
from indicators.confluence.engine import ConfluenceEngine
from indicators.confluence.row import CONFLUENCE_DTYPE, ConfluenceTable
from runtime.arrow_schema import BarColumns, concatenate
from runtime.catalog import Catalog
from runtime.confluence_scan import AHEAD, SECOND_NS, exact_floats, interval_of, scratch_rows
from runtime.download.workers import worker_pool
from runtime.factor_bits import factor_bits
from runtime.intervals import bar_type_text
from strategies.close_bars import ScoreRequest

PRICES: Final = ("open_ticks", "high_ticks", "low_ticks", "close_ticks")
WHOLE: Final = (*PRICES, "volume_lots")
SCORED: Final[Mapping[str, tuple[str, Any]]] = {
    "atr": ("atr", np.float64),
    "rsi": ("mtf_rsi", np.float64),
    "bias": ("htf_bias", np.int8),
    "is_ready": ("is_ready", np.int8),
}
"""Columns out of rows of `CONFLUENCE_DTYPE`: the field, and how it is kept."""
DTYPES: Final[Mapping[str, Any]] = {
    **dict.fromkeys(WHOLE, np.int64),
    **{name: dtype for name, (_field, dtype) in SCORED.items()},
    "factors": np.uint16,  # `runtime.factor_bits`
}
# Below it, worker processes take longer to start than the bars to score.
BARS_FOR_WORKERS: Final = 300_000


class UnscoredBarsError(Exception):
    """Bars that the kernels refuse: only the event-by-event path can pass over them one by one."""


@dataclass(frozen=True, slots=True)
class TimeGrid:
    """The close times of a run.

    Parameters
    ----------
    first_ns
        First close, UNIX nanoseconds.
    step_ns
        Length of a bar.
    count
        Close times from the first to the last, those without any bar included.
    """

    first_ns: int
    step_ns: int
    count: int

    def index(self, close_ns: int) -> int:
        """Return the number of the last close at or before a time; negative before the first."""
        return (close_ns - self.first_ns) // self.step_ns

    def close_ns(self, index: int) -> int:
        """Return the time of a close, UNIX nanoseconds."""
        return self.first_ns + index * self.step_ns


@dataclass(frozen=True, slots=True)
class Scale:
    """Whole units of an increment into floats, as `exact_floats` does: units x whole / divisor."""

    whole: int
    divisor: float

    @classmethod
    def of(cls, increment: Decimal) -> "Scale":
        """Return the scale of an instrument's price or size increment."""
        exponent = increment.as_tuple().exponent
        decimals = max(0, -exponent) if isinstance(exponent, int) else 0
        return cls(int(increment.scaleb(decimals)), float(10**decimals))

    def float_of(self, units: Any) -> Any:
        """Return the nearest float of a number of units (or of an array of them)."""
        return units * self.whole / self.divisor


@dataclass(frozen=True, slots=True)
class Series:
    """Where the bars of an instrument are, and how they are counted.

    Parameters
    ----------
    instrument_id
        Nautilus id.
    catalog
        Folder of the catalog that holds its bars.
    price_increment, size_increment
        Of the instrument.
    """

    instrument_id: str
    catalog: Path
    price_increment: Decimal
    size_increment: Decimal


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The mapped columns of a run.

    Parameters
    ----------
    series
        Instruments, in the order of the rows.
    grid
        Close times, in the order of the places.
    arrays
        By name: ticks, lots, those of `SCORED`, and which factors score, shape (instruments, times). No bar:
        0 close ticks.
    kept_at, kept_of, kept_row
        Bars whose rows were kept, by time and then by instrument: place, instrument, number in ``rows``.
    rows
        Kept rows of `CONFLUENCE_DTYPE` by instrument.
    """

    series: tuple[Series, ...]
    grid: TimeGrid
    arrays: Mapping[str, NDArray[Any]]
    kept_at: NDArray[np.int64]
    kept_of: NDArray[np.int64]
    kept_row: NDArray[np.int64]
    rows: tuple[ConfluenceTable, ...]
    maps: tuple[mmap.mmap, ...]

    def drop_pages(self) -> None:
        """Give back the memory of what was read; it is read again from the files when asked for."""
        for one in self.maps:
            one.madvise(mmap.MADV_DONTNEED)


def score_columns(
    series: Sequence[Series],
    request: ScoreRequest,
    grid: TimeGrid,
    *,
    last_ns: int | None,
    scratch: Path,
    workers: int | None = None,
) -> Columns:
    """Score all bars of a run.

    Parameters
    ----------
    series
        Instruments, sorted by id.
    request
        What to score, and which rows to keep.
    grid
        Close times from the first to the last bar of any instrument.
    last_ns
        Last close time that is read, UNIX nanoseconds; None for all.
    scratch
        Folder for the files, which are gone when this returns or raises.
    workers
        Processes; None for one per processor, or none where there are few bars.

    Raises
    ------
    UnscoredBarsError
        When a bar is off the grid or impossible.
    DataError
        When a file is damaged.
    """
    if workers is None:
        workers = (os.cpu_count() or 1) if len(series) * grid.count >= BARS_FOR_WORKERS else 1
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".columns-") as made:
        folder = Path(made)
        for name, dtype in DTYPES.items():
            with (folder / name).open("wb") as file:
                file.truncate(len(series) * grid.count * np.dtype(dtype).itemsize)
        tasks = [
            _Task(
                folder, number, len(series), one, request.configs[one.instrument_id], request, grid, last_ns
            )
            for number, one in enumerate(series)
        ]
        kept_at = list(_scored(tasks, workers))
        return _mapped(folder, tuple(series), grid, kept_at)


def _mapped(
    folder: Path, series: tuple[Series, ...], grid: TimeGrid, kept_at: Sequence[NDArray[np.int64]]
) -> Columns:
    maps: list[mmap.mmap] = []

    def read(path: Path, dtype: Any) -> NDArray[Any]:
        if path.stat().st_size == 0:
            return np.zeros(0, dtype)
        with path.open("rb") as file:
            maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return np.frombuffer(maps[-1], dtype)

    shape = (len(series), grid.count)
    arrays = {name: read(folder / name, dtype).reshape(shape) for name, dtype in DTYPES.items()}
    rows = tuple(read(folder / f"rows-{number}", CONFLUENCE_DTYPE) for number in range(len(series)))
    at = np.concatenate([np.zeros(0, np.int64), *kept_at])
    of = np.repeat(np.arange(len(series)), [len(one) for one in kept_at])
    row = np.concatenate([np.zeros(0, np.int64), *(np.arange(len(one)) for one in kept_at)])
    order = np.lexsort((of, at))
    return Columns(series, grid, arrays, at[order], of[order], row[order], rows, tuple(maps))


# -- the workers ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Task:
    folder: Path
    number: int
    instruments: int
    series: Series
    config: ConfluenceConfig
    request: ScoreRequest
    grid: TimeGrid
    last_ns: int | None


def _scored(tasks: Sequence[_Task], workers: int) -> Iterator[NDArray[np.int64]]:
    """Yield the places of each instrument's kept rows, in the order of the tasks."""
    if workers == 1 or len(tasks) < 2:
        yield from map(score_series, tasks)
        return
    with worker_pool(min(workers, len(tasks)), preload=__name__) as pool:
        waiting: deque[Future[NDArray[np.int64]]] = deque()
        for task in tasks:
            if len(waiting) == AHEAD * workers:
                yield waiting.popleft().result()
            waiting.append(pool.submit(score_series, task))
        while waiting:
            yield waiting.popleft().result()


def score_series(task: _Task) -> NDArray[np.int64]:
    """Score one instrument, write its part of the columns, and return the places of the rows it kept."""
    series, grid = task.series, task.grid
    bars = _read(series, grid, task.last_ns)
    engine = ConfluenceEngine(task.config.with_tick_size(float(series.price_increment)))
    open_, high, low, close = (exact_floats(getattr(bars, name), series.price_increment) for name in PRICES)
    volume = exact_floats(bars.volume_lots, series.size_increment)
    times = (bars.ts_open_ns, bars.ts_close_ns)
    try:
        rows = engine.scan(*times, open_, high, low, close, volume, out=scratch_rows(len(bars)))
    except ValueError as error:
        raise UnscoredBarsError(f"{series.instrument_id}: {error}") from error
    places = (bars.ts_close_ns - grid.first_ns) // grid.step_ns
    columns = {name: getattr(bars, name) for name in WHOLE}
    columns |= {name: rows[field] for name, (field, _dtype) in SCORED.items()}
    columns["factors"] = factor_bits(rows)
    for name, values in columns.items():
        whole = np.memmap(task.folder / name, DTYPES[name], "r+", shape=(task.instruments, grid.count))
        whole[task.number, places] = values
        del whole
    is_kept = _is_kept(rows, task.request)
    rows[is_kept].tofile(task.folder / f"rows-{task.number}")
    return places[is_kept]


def _read(series: Series, grid: TimeGrid, last_ns: int | None) -> BarColumns:
    empty = np.empty(0, np.int64)
    bar_type = bar_type_text(series.instrument_id, interval_of(grid.step_ns // SECOND_NS))
    parts = Catalog(series.catalog).read_bars(bar_type, None, last_ns)
    return concatenate([BarColumns(*[empty] * 7), *parts])


def _is_kept(rows: ConfluenceTable, request: ScoreRequest) -> NDArray[np.bool_]:
    """Tell which rows are signals or are counted, shape (n,)."""
    long_score, short_score = rows["score_long"], rows["score_short"]
    score = np.maximum(long_score, short_score)
    side = np.sign(long_score - short_score)
    is_signal = (side != 0) & (side == rows["colour"]) & (score >= request.signals_from)
    is_found: NDArray[np.bool_] = (rows["is_ready"] == 1) & (is_signal | (score >= request.counted_from))
    return is_found
