"""Staged trades to the catalog: in the order of their ids, each id once."""

import time
from dataclasses import fields
from decimal import Decimal

import numpy as np
from nautilus_trader.model.instruments import Instrument
from numpy.typing import NDArray

from runtime.arrow_schema import NO_ID, TradeColumns
from runtime.catalog import Catalog
from runtime.download.records import BadRows
from runtime.errors import ConfigurationError
from runtime.importer.request import ImportRequest, Outcome, refuse_if_bad
from runtime.importer.staging import Stage
from runtime.manifest import SourceEntry
from runtime.trade_merge import BLOCK_ROWS, is_same_trade, ordinal_within


def import_trades(
    request: ImportRequest, catalog: Catalog, stage: Stage, instrument: Instrument, bad: BadRows
) -> Outcome:
    """Order the staged trades, drop repeated ones and merge the rest into the catalog.

    Raises
    ------
    ConfigurationError
        Prices or sizes off the grid, or some files with and some without ids.
    DataError
        Ids that come again with other content, without `skip_bad_rows`.
    """
    rows = TradeColumns(
        stage.column("ts_ns"),
        stage.count_units("price", Decimal(str(instrument.price_increment))),
        stage.count_units("qty", Decimal(str(instrument.size_increment))),
        stage.column("is_buyer"),
        stage.column("trade_id"),
    )
    has_ids = _have_ids(rows.trade_id, stage)
    order = _order(rows, stage, has_ids=has_ids)
    repeated, is_conflict = _repeats(rows, order) if has_ids else _repeats_without_ids(rows, stage)
    _report_conflicts(repeated[is_conflict], stage, bad)
    refuse_if_bad(bad, request)
    if len(repeated):
        order = np.arange(stage.rows) if order is None else order
        is_kept = np.ones(stage.rows, dtype=np.bool_)
        is_kept[repeated] = False
        order = order[is_kept[order]]
    sources = _sources(request, stage, rows, bad, repeated[~is_conflict], has_ids=has_ids)
    ordered = _gathered(rows, order, stage)
    stage.release()
    report = catalog.write_trades(
        instrument,
        ordered,
        kind=request.kind,
        sources=sources,
        skip_conflicts=request.skip_bad_rows,
        advance=lambda _rows: stage.release(),
    )
    if report.conflicts:
        at = np.array(report.conflicts)
        _report_conflicts(at if order is None else order[at], stage, bad)
        refuse_if_bad(bad, request)
    duplicates = report.duplicates + int((~is_conflict).sum())
    return Outcome(duplicates, _steps_back(ordered.ts_ns), report, sources)


def _steps_back(ts_ns: NDArray[np.int64]) -> int:
    starts = range(0, len(ts_ns), BLOCK_ROWS)
    return sum(int((np.diff(ts_ns[low : low + BLOCK_ROWS + 1]) < 0).sum()) for low in starts)


def _have_ids(ids: NDArray[np.int64], stage: Stage) -> bool:
    kinds = {bool(ids[span.start] != NO_ID) for span in stage.spans() if span.start < span.stop}
    if len(kinds) > 1:
        raise ConfigurationError("some files have trade ids and some have none: import them separately")
    return kinds.pop()


def _order(rows: TradeColumns, stage: Stage, *, has_ids: bool) -> NDArray[np.int64] | None:
    """Return the positions of the rows in order, None when they are in order already.

    By id where there are ids, never by time. Without ids by time, rows of one time in the file's order;
    archives that begin with the newest trade are turned round first.
    """
    if has_ids:
        return None if _is_sorted(rows.trade_id, 1) else np.argsort(rows.trade_id, kind="stable")
    if _is_sorted(rows.ts_ns, 0):
        return None
    parts = []
    for span in stage.spans():
        positions = np.arange(span.start, span.stop)
        times = rows.ts_ns[span]
        newest_first = len(times) > 0 and times[0] > times[-1]
        parts.append(positions[::-1] if newest_first else positions)
    positions = np.concatenate(parts)
    return positions[np.argsort(rows.ts_ns[positions], kind="stable")]


def _is_sorted(keys: NDArray[np.int64], smallest_step: int) -> bool:
    return all(
        not (np.diff(keys[low : low + BLOCK_ROWS + 1]) < smallest_step).any()
        for low in range(0, len(keys), BLOCK_ROWS)
    )


def _repeats(
    rows: TradeColumns, order: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the positions whose id came before, and whether they differ from its first row."""
    if order is None:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_)
    ids = rows.trade_id[order]
    is_repeat = np.r_[False, ids[1:] == ids[:-1]]
    firsts = np.flatnonzero(~is_repeat)
    at = np.flatnonzero(is_repeat)
    first_of = order[firsts[np.searchsorted(firsts, at, side="right") - 1]]
    repeated = order[at]
    return repeated, ~is_same_trade(rows[first_of], rows[repeated])


def _repeats_without_ids(rows: TradeColumns, stage: Stage) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the positions of trades that an earlier file has too; none of them is a conflict.

    As between two imports: n equal trades in both files are n, not 2n. Only files that overlap in time are
    compared, for it takes all their rows into memory.
    """
    spans = [(span, rows.ts_ns[span]) for span in stage.spans() if span.start < span.stop]
    bounds = [(int(times.min()), int(times.max())) for _, times in spans]
    shared = [
        at
        for at, (low, high) in enumerate(bounds)
        if any(
            other != at and low <= other_high and other_low <= high
            for other, (other_low, other_high) in enumerate(bounds)
        )
    ]
    if not shared:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_)
    positions = np.concatenate([np.arange(spans[at][0].start, spans[at][0].stop) for at in shared])
    file = np.repeat(np.array(shared), [len(spans[at][1]) for at in shared])
    chosen = rows[positions]
    trade = _group_of(chosen.ts_ns, chosen.price_ticks, chosen.size_lots, chosen.is_buyer.astype(np.int64))
    # The k-th of equal trades in one file is the k-th of them in another.
    number = ordinal_within(_group_of(trade, file))
    _, first = np.unique(_group_of(trade, number), return_index=True)
    repeated = np.delete(positions, first)
    return repeated, np.zeros(len(repeated), dtype=np.bool_)


def _group_of(*columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give equal rows of columns, shape (n,) each, the same number, from 0."""
    _, group = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    numbers: NDArray[np.int64] = group.reshape(-1)
    return numbers


def _report_conflicts(positions: NDArray[np.int64], stage: Stage, bad: BadRows) -> None:
    ids = stage.column("trade_id")
    for position in positions.tolist():
        file, line = stage.place(position)
        bad.report(file, line, f"trade id {ids[position]} comes again with other content")


def _gathered(rows: TradeColumns, order: NDArray[np.int64] | None, stage: Stage) -> TradeColumns:
    """Write the rows in order to disk and map them, so that the catalog can stream them."""
    if order is None:
        return rows
    columns = []
    for column in fields(rows):
        values = getattr(rows, column.name)
        target = stage.folder / f"{column.name}_ordered"
        with target.open("wb") as stream:
            for low in range(0, len(order), BLOCK_ROWS):
                values[order[low : low + BLOCK_ROWS]].tofile(stream)
        columns.append(stage.map(target, values.dtype))
        stage.release()
    return TradeColumns(*columns)


def _gaps(ids: NDArray[np.int64]) -> tuple[int, int]:
    """Count the ids that a file lacks between its lowest and highest, and the stretches of them."""
    ordered = ids if _is_sorted(ids, 0) else np.sort(ids)
    missing = gaps = 0
    for low in range(0, len(ordered), BLOCK_ROWS):
        steps = np.diff(ordered[low : low + BLOCK_ROWS + 1])
        missing += int((steps[steps > 1] - 1).sum())
        gaps += int((steps > 1).sum())
    return missing, gaps


def _sources(
    request: ImportRequest,
    stage: Stage,
    rows: TradeColumns,
    bad: BadRows,
    duplicates: NDArray[np.int64],
    *,
    has_ids: bool,
) -> tuple[SourceEntry, ...]:
    sources = []
    for path, digest, span in zip(stage.files, stage.digests, stage.spans(), strict=True):
        times = rows.ts_ns[span]
        ids = rows.trade_id[span]
        missing, gaps = _gaps(ids) if has_ids else (None, None)
        sources.append(
            SourceEntry(
                name=path.name,
                sha256=digest,
                rows=span.stop - span.start,
                bad_rows=bad.by_file.get(path.name, 0),
                duplicates=int(((duplicates >= span.start) & (duplicates < span.stop)).sum()),
                first_ns=int(times.min()) if len(times) else None,
                last_ns=int(times.max()) if len(times) else None,
                first_id=int(ids.min()) if has_ids and len(ids) else None,
                last_id=int(ids.max()) if has_ids and len(ids) else None,
                missing_ids=missing,
                id_gaps=gaps,
                url_path=request.url_paths.get(path.name),
                imported_ns=time.time_ns(),
            )
        )
    return tuple(sources)
