"""Staged klines to the catalog: in the order of their open times, each once."""

import time
from decimal import Decimal
from typing import Final

import numpy as np
from nautilus_trader.model.instruments import Instrument
from numpy.typing import NDArray

from runtime.arrow_schema import BAR_PRICES, BarColumns
from runtime.catalog import Catalog
from runtime.download.records import NO_CLOSE, BadRows
from runtime.errors import ConfigurationError
from runtime.importer.request import ImportRequest, Outcome, refuse_if_bad
from runtime.importer.staging import Stage
from runtime.intervals import interval_nanos, interval_phase_ns
from runtime.manifest import SourceEntry

CLOSE_UNIT_NS: Final = 1_000_000
FEWEST_OPENS: Final = 3


def import_klines(
    request: ImportRequest, catalog: Catalog, stage: Stage, instrument: Instrument, bad: BadRows
) -> Outcome:
    """Order the staged klines, drop repeated ones and merge the rest into the catalog.

    A volume between two lots (it is a sum, computed by somebody) is rounded; a price is not.

    Raises
    ------
    ConfigurationError
        No open time fits the interval, a file of a coarser interval, or prices off the grid.
    DataError
        Klines that come again with other content, without `skip_bad_rows`.
    """
    assert request.interval is not None
    step_ns = interval_nanos(request.interval)
    phase_ns = interval_phase_ns(request.interval)
    opens = np.asarray(stage.column("ts_ns"))
    is_off = opens % step_ns != phase_ns
    if is_off.all():
        raise ConfigurationError(
            f"{stage.files[0].name}: no open time is a multiple of {request.interval}: check --interval"
        )
    _refuse_coarser(stage, opens, request.interval)
    for position in np.flatnonzero(is_off).tolist():
        bad.report(*stage.place(position), f"open time is no multiple of {request.interval}")
    is_cut = _closes_elsewhere(stage, opens, step_ns) & ~is_off
    for position in np.flatnonzero(is_cut).tolist():
        bad.report(*stage.place(position), f"close time does not end the interval {request.interval}")
    is_off |= is_cut
    rows = _bar_columns(stage, opens, step_ns, instrument)
    order = np.argsort(opens, kind="stable")
    order = order[~is_off[order]]
    is_repeat = np.r_[False, np.diff(opens[order]) == 0]
    first = np.maximum.accumulate(np.where(is_repeat, 0, np.arange(len(order))))
    is_conflict = is_repeat & ~_is_same(rows[order], rows[order[first]])
    for position in order[is_conflict].tolist():
        bad.report(*stage.place(position), "open time comes again with other content")
    refuse_if_bad(bad, request)
    kept = order[~is_repeat]
    sources = _sources(request, stage, opens, step_ns, bad)
    report = catalog.write_bars(
        instrument, request.interval, rows[kept], sources=sources, skip_conflicts=request.skip_bad_rows
    )
    for position in kept[np.array(report.conflicts, dtype=np.int64)].tolist():
        bad.report(*stage.place(position), "open time is stored with other content")
    refuse_if_bad(bad, request)
    duplicates = report.duplicates + int((is_repeat & ~is_conflict).sum())
    return Outcome(duplicates, 0, report, sources)


def _refuse_coarser(stage: Stage, opens: NDArray[np.int64], interval: str) -> None:
    """Raise ConfigurationError for a file of a longer interval: stamped too early, it tells the future.

    The close times say it where the format has them, else the smallest step between three or more opens.
    """
    step_ns = interval_nanos(interval)
    closes = np.asarray(stage.column("close_ns"))
    is_elsewhere = _closes_elsewhere(stage, opens, step_ns)
    for path, span in zip(stage.files, stage.spans(), strict=True):
        times = np.unique(opens[span])
        found_ns = step_ns
        if 2 * int(is_elsewhere[span].sum()) > span.stop - span.start:
            found_ns = int(np.median(closes[span] - opens[span]))
        elif len(times) >= FEWEST_OPENS and (closes[span] == NO_CLOSE).all():
            found_ns = max(int(np.diff(times).min()), step_ns)
        if found_ns != step_ns:
            raise ConfigurationError(
                f"{path.name}: its klines last {max(round(found_ns / 1e9, 2), 0):.12g} s, not {interval}: "
                "check --interval"
            )


def _closes_elsewhere(stage: Stage, opens: NDArray[np.int64], step_ns: int) -> NDArray[np.bool_]:
    """Tell, shape (rows,), which klines have a close time other than the last unit of the interval."""
    closes = np.asarray(stage.column("close_ns"))
    # Open plus interval minus one unit of the file: 1 ms, or less.
    short_ns = opens + step_ns - closes
    elsewhere: NDArray[np.bool_] = (closes != NO_CLOSE) & ((short_ns < 1) | (short_ns > CLOSE_UNIT_NS))
    return elsewhere


def _bar_columns(stage: Stage, opens: NDArray[np.int64], step_ns: int, instrument: Instrument) -> BarColumns:
    tick = Decimal(str(instrument.price_increment))
    prices = {f"{name}_ticks": np.asarray(stage.count_units(name, tick)) for name in BAR_PRICES}
    volume = stage.count_units("volume", Decimal(str(instrument.size_increment)), rounds=True)
    return BarColumns(ts_open_ns=opens, ts_close_ns=opens + step_ns, volume_lots=np.asarray(volume), **prices)


def _is_same(left: BarColumns, right: BarColumns) -> NDArray[np.bool_]:
    names = ("open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots")
    same: NDArray[np.bool_] = np.logical_and.reduce(
        [getattr(left, name) == getattr(right, name) for name in names]
    )
    return same


def _sources(
    request: ImportRequest, stage: Stage, opens: NDArray[np.int64], step_ns: int, bad: BadRows
) -> tuple[SourceEntry, ...]:
    sources = []
    for path, digest, span in zip(stage.files, stage.digests, stage.spans(), strict=True):
        times = np.unique(opens[span])
        steps = np.diff(times) // step_ns
        sources.append(
            SourceEntry(
                name=path.name,
                sha256=digest,
                rows=span.stop - span.start,
                bad_rows=bad.by_file.get(path.name, 0),
                duplicates=span.stop - span.start - len(times),
                first_ns=int(times[0]) + step_ns if len(times) else None,
                last_ns=int(times[-1]) + step_ns if len(times) else None,
                missing_ids=int((steps - 1).sum()),
                id_gaps=int((steps > 1).sum()),
                url_path=request.url_paths.get(path.name),
                imported_ns=time.time_ns(),
            )
        )
    return tuple(sources)
