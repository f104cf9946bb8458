"""``structure``: BOS, CHoCH, gaps and sweeps of a catalog's klines, into Parquet and CSV."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from runtime.candles import CandleStore
from runtime.catalog import Catalog
from runtime.cli import add_command, format_ns, print_json, progress_bar, say, warn
from runtime.confluence_scan import exact_floats
from runtime.data_commands.options import Commands, add_catalog, catalog_folder
from runtime.errors import EXIT_DONE, ConfigurationError, DataError
from runtime.intervals import INTERVALS
from runtime.structure_series import (
    BAR_DTYPE,
    DEFAULT_KINDS,
    FAMILIES,
    StructureSeries,
    checksum_of,
    kinds_of,
    open_series,
    read_structure,
    saved_state,
    series_folder,
)

DEFAULT_OUT: Final = Path("var/structure")
DEFAULT_TIMEFRAMES: Final = ("15m",)


@dataclass(frozen=True, slots=True)
class SeriesReport:
    """What became of one series.

    Parameters
    ----------
    instrument, timeframe
        Which.
    status
        ``made``, ``continued``, ``current`` (nothing new), ``remade`` (asked for, or bars have changed) or
        ``ahead`` (a watcher has gone on beyond the catalog; left as it is).
    bars, missing_bars
        In the whole series: taken, and missing between them.
    new_rows, rows
        Signals that were added, and all that are stored.
    last
        Close of the last bar, ISO.
    """

    instrument: str
    timeframe: str
    status: str
    bars: int
    missing_bars: int
    new_rows: int
    rows: int
    last: str


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "structure",
        run_structure,
        "Find market structure (BOS, CHoCH, FVG, sweeps) in stored klines and keep it as Parquet. It is here "
        "and not with backtests because it derives data from data: no strategy, no account. A second run "
        "continues where the first one ended.",
        "download_data.py structure --timeframe 15m --timeframe 1h --csv structure.csv --catalog var/catalog",
    )
    parser.add_argument(
        "--instrument", action="append", metavar="ID", help="may be repeated; default: all with klines"
    )
    parser.add_argument(
        "--timeframe",
        action="append",
        choices=INTERVALS,
        help=f"may be repeated; derived where not stored; default: {' '.join(DEFAULT_TIMEFRAMES)}",
    )
    parser.add_argument(
        "--kind",
        action="append",
        metavar="KIND",
        help=f"{', '.join(FAMILIES)} or an event of docs/structure.md, may be repeated; default: "
        f"{' '.join(DEFAULT_KINDS)}",
    )
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_OUT, metavar="DIR", help=f"folder, default: {DEFAULT_OUT}"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write all of it into one CSV file")
    parser.add_argument(
        "--rebuild", action="store_true", help="make the series anew, with what else is stored forgotten"
    )
    add_catalog(parser)


def run_structure(arguments: argparse.Namespace) -> int:
    """Make or continue the series and print what was done."""
    catalog = Catalog(catalog_folder(arguments))
    kinds = kinds_of(arguments.kind) if arguments.kind else None
    with_klines = sorted(
        {entry.instrument for entry in catalog.manifest.series.values() if entry.kind == "klines"}
    )
    if not with_klines:
        raise ConfigurationError(f"{catalog.path}: no klines: import or download some")
    names = list(dict.fromkeys(arguments.instrument or with_klines))
    for name in names:
        if name not in with_klines:
            raise ConfigurationError(f"{catalog.path}: no klines of {name}; it has {', '.join(with_klines)}")
    timeframes = list(dict.fromkeys(arguments.timeframe or DEFAULT_TIMEFRAMES))
    reports = []
    with progress_bar("structure, series", len(names) * len(timeframes)) as advance:
        for name in names:
            for timeframe in timeframes:
                reports.append(
                    bring_up_to_date(
                        catalog, arguments.out, name, timeframe, kinds, is_rebuild=arguments.rebuild
                    )
                )
                advance(1)
    if arguments.csv is not None:
        write_csv(arguments.csv, arguments.out, [(name, one) for name in names for one in timeframes])
    if arguments.json:
        plain = [{name: getattr(one, name) for name in SeriesReport.__slots__} for one in reports]
        print_json({"out": str(arguments.out), "series": plain})
        return EXIT_DONE
    for one in reports:
        print(
            f"{one.instrument} {one.timeframe}: {one.status}, {one.new_rows:,} new of {one.rows:,} signals "
            f"in {one.bars:,} bars ({one.missing_bars:,} missing) to {one.last}"
        )
    say(f"stored below {arguments.out}")
    return EXIT_DONE


def bring_up_to_date(
    catalog: Catalog,
    root: Path,
    instrument_id: str,
    timeframe: str,
    kinds: Sequence[str] | None = None,
    *,
    is_rebuild: bool = False,
) -> SeriesReport:
    """Make one series, or continue it with the bars that are new in the catalog.

    Parameters
    ----------
    catalog
        Where the klines are.
    root
        Folder of all series.
    instrument_id, timeframe, kinds
        See `open_series`.
    is_rebuild
        Forget what is stored. So it is, with a warning, when the stored bars are not those of the catalog.

    Raises
    ------
    ConfigurationError
        When there are no bars and none to derive them from, or the series is stored with other settings.
    DataError
        When a file is damaged.
    """
    bars = bars_of(catalog, instrument_id, timeframe)
    tick_size = catalog.instrument(instrument_id).price_increment.as_decimal()
    folder = series_folder(root, instrument_id, timeframe)
    series = StructureSeries(folder, instrument_id, timeframe, tick_size, kinds or kinds_of(DEFAULT_KINDS))
    status = "made"
    if is_rebuild:
        status = "remade" if folder.exists() else "made"
        series.clear()
    elif saved_state(folder) is not None:
        series = open_series(root, instrument_id, timeframe, tick_size, kinds)
        status = "continued"
    else:
        series.clear()  # rows without a state: of a first pass that did not come to its end
    last_ns = int(bars["ts_close_ns"][-1]) if len(bars) else 0
    if series.last_close_ns > last_ns:
        return _report(series, root, "ahead", 0)
    taken = int(np.searchsorted(bars["ts_close_ns"], series.last_close_ns, side="right"))
    if series.bars != taken or series.checksum != checksum_of(bars[:taken]):
        warn(f"{instrument_id} {timeframe}: stored bars are not those of the catalog any more: made anew")
        series.clear()
        series = StructureSeries(folder, instrument_id, timeframe, tick_size, series.kinds)
        taken, status = 0, "remade"
    try:
        new_rows = series.append(bars[taken:])
    except ValueError as error:
        raise DataError(f"{catalog.path}: {instrument_id} {timeframe}: {error}") from error
    return _report(series, root, "current" if taken and taken == len(bars) else status, new_rows)


def bars_of(catalog: Catalog, instrument_id: str, timeframe: str) -> NDArray[np.void]:
    """Return the closed bars of a catalog, stored or derived, as rows of `BAR_DTYPE`, shape (n,)."""
    candles = CandleStore(catalog, max_bytes=0).read(instrument_id, timeframe)
    instrument = catalog.instrument(instrument_id)
    columns, tick = candles.bars, instrument.price_increment.as_decimal()
    rows = np.zeros(len(columns), BAR_DTYPE)
    rows["ts_open_ns"], rows["ts_close_ns"] = columns.ts_open_ns, columns.ts_close_ns
    for name in ("open", "high", "low", "close"):
        rows[name] = exact_floats(getattr(columns, f"{name}_ticks"), tick)
    rows["volume"] = exact_floats(columns.volume_lots, instrument.size_increment.as_decimal())
    return rows


def write_csv(path: Path, root: Path, series: Sequence[tuple[str, str]]) -> None:
    """Write the signals of several series into one CSV file, times in ISO 8601, UTC.

    Raises
    ------
    ConfigurationError
        When the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            for number, (instrument_id, timeframe) in enumerate(series):
                table = _plain(read_structure(root, instrument_id, timeframe))
                csv.write_csv(table, file, csv.WriteOptions(include_header=number == 0, quoting_style="none"))
        partial.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror or error}") from error


def _plain(table: pa.Table) -> pa.Table:
    """Return the table with words for dictionaries and text for times; bars close at whole seconds."""
    for at, field in enumerate(table.schema):
        column = table.column(at)
        if pa.types.is_timestamp(field.type):
            seconds = pc.cast(column, pa.timestamp("s", tz="UTC"))
            column = pc.strftime(seconds, format="%Y-%m-%dT%H:%M:%SZ")
        elif pa.types.is_dictionary(field.type):
            column = pc.cast(column, pa.string())
        table = table.set_column(at, field.name, column)
    return table


def _report(series: StructureSeries, root: Path, status: str, new_rows: int) -> SeriesReport:
    return SeriesReport(
        instrument=series.instrument_id,
        timeframe=series.timeframe,
        status=status,
        bars=series.bars,
        missing_bars=series.missing_bars,
        new_rows=new_rows,
        rows=len(read_structure(root, series.instrument_id, series.timeframe)),
        last=format_ns(series.last_close_ns),
    )


__all__ = ["SeriesReport", "bars_of", "bring_up_to_date", "write_csv"]
