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
from runtime.importer.ordering import RowOrder, order_by_id
from runtime.importer.request import ImportRequest, Outcome, refuse_if_bad
from runtime.importer.staging import Stage
from runtime.manifest import SourceEntry
from runtime.trade_merge import BLOCK_ROWS, ordinal_within


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
    order = order_by_id(rows, stage) if has_ids else _order_by_time(rows, stage)
    _report_conflicts(order.conflicts, stage, bad)
    refuse_if_bad(bad, request)
    sources = _sources(request, stage, rows, bad, order.duplicates, has_ids=has_ids)
    ordered = _gathered(rows, order.positions, stage)
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
        _report_conflicts(at if order.positions is None else order.positions[at], stage, bad)
        refuse_if_bad(bad, request)
    duplicates = report.duplicates + sum(order.duplicates)
    return Outcome(duplicates, _steps_back(ordered.ts_ns, stage), report, sources)


def _steps_back(ts_ns: NDArray[np.int64], stage: Stage) -> int:
    return sum(int((np.diff(block) < 0).sum()) for block in stage.blocks(ts_ns, overlap=1))


def _have_ids(ids: NDArray[np.int64], stage: Stage) -> bool:
    kinds = {bool(ids[span.start] != NO_ID) for span in stage.spans() if span.start < span.stop}
    if len(kinds) > 1:
        raise ConfigurationError("some files have trade ids and some have none: import them separately")
    return kinds.pop()


def _order_by_time(rows: TradeColumns, stage: Stage) -> RowOrder:
    """Order trades without ids by time, rows of one time in the file's order.

    Archives that begin with the newest trade are turned round first.
    """
    repeated = _repeats_without_ids(rows, stage)
    duplicates = stage.count_by_file(repeated)
    if not len(repeated) and stage.is_sorted(rows.ts_ns, 0):
        return RowOrder(None, duplicates)
    parts = []
    for span in stage.spans():
        positions = np.arange(span.start, span.stop)
        times = rows.ts_ns[span]
        newest_first = len(times) > 0 and times[0] > times[-1]
        parts.append(positions[::-1] if newest_first else positions)
    positions = np.concatenate(parts)
    positions = positions[np.argsort(rows.ts_ns[positions], kind="stable")]
    is_kept = np.ones(stage.rows, dtype=np.bool_)
    is_kept[repeated] = False
    return RowOrder(positions[is_kept[positions]], duplicates)


def _repeats_without_ids(rows: TradeColumns, stage: Stage) -> NDArray[np.int64]:
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
        return np.empty(0, dtype=np.int64)
    positions = np.concatenate([np.arange(spans[at][0].start, spans[at][0].stop) for at in shared])
    file = np.repeat(np.array(shared), [len(spans[at][1]) for at in shared])
    chosen = rows[positions]
    trade = _group_of(chosen.ts_ns, chosen.price_ticks, chosen.size_lots, chosen.is_buyer.astype(np.int64))
    # The k-th of equal trades in one file is the k-th of them in another.
    number = ordinal_within(_group_of(trade, file))
    _, first = np.unique(_group_of(trade, number), return_index=True)
    return np.delete(positions, first)


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


def _gaps(ids: NDArray[np.int64], stage: Stage) -> tuple[int, int]:
    """Count the ids that a file lacks between its lowest and highest, and the stretches of them."""
    ordered = ids if stage.is_sorted(ids, 0) else np.sort(ids)
    missing = gaps = 0
    for block in stage.blocks(ordered, overlap=1):
        steps = np.diff(block)
        missing += int((steps[steps > 1] - 1).sum())
        gaps += int((steps > 1).sum())
    return missing, gaps


def _sources(
    request: ImportRequest,
    stage: Stage,
    rows: TradeColumns,
    bad: BadRows,
    duplicates: list[int],
    *,
    has_ids: bool,
) -> tuple[SourceEntry, ...]:
    sources = []
    for path, digest, span, repeats in zip(
        stage.files, stage.digests, stage.spans(), duplicates, strict=True
    ):
        first_ns, last_ns = stage.bounds(rows.ts_ns[span])
        first_id, last_id = stage.bounds(rows.trade_id[span]) if has_ids else (None, None)
        missing, gaps = _gaps(rows.trade_id[span], stage) if has_ids else (None, None)
        sources.append(
            SourceEntry(
                name=path.name,
                sha256=digest,
                rows=span.stop - span.start,
                bad_rows=bad.by_file.get(path.name, 0),
                duplicates=repeats,
                first_ns=first_ns,
                last_ns=last_ns,
                first_id=first_id,
                last_id=last_id,
                missing_ids=missing,
                id_gaps=gaps,
                url_path=request.url_paths.get(path.name),
                imported_ns=time.time_ns(),
            )
        )
    return tuple(sources)
