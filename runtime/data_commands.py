"""The commands of ``download_data.py``: import, list, sample."""

import argparse
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from runtime.catalog import Catalog
from runtime.cli import print_json, progress_bar, say, warn
from runtime.errors import EXIT_DONE
from runtime.importer import ImportReport, ImportRequest, import_files
from runtime.instruments import decimals_of
from runtime.manifest import NO_IDS
from runtime.sample import SampleRequest, make_sample
from runtime.settings import load_settings

SHOWN_BAD_ROWS: Final = 5
MOST_DECIMALS: Final = 16
LARGEST_INCREMENT: Final = 1_000_000_000
PIPE_WIDTH: Final = 200
SERIES_COLUMNS: Final = (
    "instrument", "kind", "interval", "rows", "first", "last",
    "missing_ids", "id_gaps", "longest_gap_s", "files",
)  # fmt: skip


def positive_decimal(text: str) -> Decimal:
    """Convert the text of an increment; raises ArgumentTypeError unless Nautilus can have it.

    That is from 1e-16, its last decimal, to 1e9.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or not 0 < value <= LARGEST_INCREMENT or decimals_of(value) > MOST_DECIMALS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number above 0, at most {LARGEST_INCREMENT:,} and with at most "
            f"{MOST_DECIMALS} decimals, for example 0.0001"
        )
    return value


def catalog_folder(arguments: argparse.Namespace) -> Path:
    """Return ``--catalog``, or the `catalog` of the settings file."""
    return arguments.catalog or Path(load_settings(arguments.config).catalog)


def run_import(arguments: argparse.Namespace) -> int:
    """Import archive files and print what was done."""
    request = ImportRequest(
        files=tuple(arguments.files),
        venue=arguments.venue,
        market=arguments.market,
        symbol=arguments.symbol,
        kind=arguments.kind,
        interval=arguments.interval,
        tick_size=arguments.tick_size,
        lot_size=arguments.lot_size,
        skip_bad_rows=arguments.on_bad_rows == "skip",
    )
    total = sum(path.stat().st_size for path in request.files if path.is_file())
    with progress_bar(f"import {request.symbol}", total) as advance:
        report = import_files(request, catalog_folder(arguments), advance)
    _warn_about(report)
    if arguments.json:
        print_json(report.as_json())
    else:
        say(_import_line(report))
    return EXIT_DONE


def _warn_about(report: ImportReport) -> None:
    increments = {
        "tick_size": report.instrument.price_increment,
        "lot_size": report.instrument.size_increment,
    }
    for name in report.inferred:
        flag = f"--{name.replace('_', '-')}"
        warn(
            f"{flag} was inferred from the decimals in the files: {increments[name]}; give {flag} to be sure"
        )
    for example in report.bad.examples[:SHOWN_BAD_ROWS]:
        warn(f"skipped {example}")
    if report.bad.count > SHOWN_BAD_ROWS:
        warn(f"skipped {report.bad.count} bad rows in all")
    if report.outcome.time_steps_back:
        warn(
            f"time steps back {report.outcome.time_steps_back} times in id order: "
            "ts_init is its running maximum"
        )


def _import_line(report: ImportReport) -> str:
    series = report.outcome.write.series.summary()
    missing = series["missing_ids"]
    ids = "no ids" if missing == NO_IDS else f"{missing} missing ids in {series['id_gaps']} gaps"
    return (
        f"{series['instrument']} {series['kind']}: read {report.rows_read}, "
        f"added {report.outcome.write.added}, dropped {report.outcome.duplicates} duplicates, "
        f"skipped {report.bad.count} bad rows; "
        f"now {series['rows']} from {series['first']} to {series['last']}, {ids}"
    )


def run_list(arguments: argparse.Namespace) -> int:
    """Print the series of a catalog."""
    catalog = Catalog(catalog_folder(arguments))
    series = catalog.series()
    if arguments.json:
        print_json({"series": series})
        return EXIT_DONE
    synthetic = {entry.instrument for entry in catalog.manifest.series.values() if entry.synthetic}
    table = Table(*(name.replace("_", " ") for name in SERIES_COLUMNS), box=None, pad_edge=False)
    for row in series:
        cells = [_cell(row[name]) for name in SERIES_COLUMNS]
        if row["instrument"] in synthetic:
            cells[0] += " (synthetic)"
        table.add_row(*cells)
    # A pipe has no width: wide enough that no cell is cut.
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)
    return EXIT_DONE


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value)


def run_sample(arguments: argparse.Namespace) -> int:
    """Make the synthetic tape and print what it is."""
    folder = catalog_folder(arguments)
    request = SampleRequest(seed=arguments.seed, days=arguments.days, signature=arguments.signature)
    with progress_bar("synthetic tape", None) as advance:
        report = make_sample(request, folder, advance)
    if arguments.json:
        print_json(report)
    else:
        for row in report["series"]:
            say(f"SYNTHETIC {row['instrument']}: {row['rows']:,} trades from {row['first']} to {row['last']}")
        say(f"{folder}: {report['note']}")
    return EXIT_DONE
