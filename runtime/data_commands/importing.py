"""``import``: archive files on this disk into the catalog."""

import argparse
from pathlib import Path
from typing import Final

from runtime.cli import add_command, print_json, progress_bar, say, warn
from runtime.data_commands.options import Commands, add_catalog, catalog_folder, positive_decimal
from runtime.errors import EXIT_DONE
from runtime.importer import ImportReport, ImportRequest, import_files
from runtime.instruments import MARKETS, VENUES, increment_text
from runtime.intervals import INTERVALS
from runtime.manifest import NO_IDS

KINDS: Final = ("trades", "aggtrades", "klines")
SHOWN_BAD_ROWS: Final = 5


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "import",
        run_import,
        "Import trades or klines from Parquet, CSV, CSV.gz or zip archives.",
        "download_data.py import XRPUSDT-trades-2026-03-18.zip --venue binance --market spot "
        "--symbol XRPUSDT --kind trades --tick-size 0.0001 --lot-size 0.1 --catalog var/catalog",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="archive files of one instrument")
    parser.add_argument("--venue", choices=VENUES, required=True)
    parser.add_argument("--market", choices=MARKETS, required=True, help="usdm: Binance, linear: Bybit")
    parser.add_argument("--symbol", required=True, help="the venue's symbol, such as XRPUSDT")
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--interval", choices=INTERVALS, help="of klines")
    parser.add_argument("--tick-size", type=positive_decimal, help="price increment; inferred with a warning")
    parser.add_argument("--lot-size", type=positive_decimal, help="size increment; inferred with a warning")
    parser.add_argument(
        "--on-bad-rows", choices=("refuse", "skip"), default="refuse", help="default: refuse the whole import"
    )
    add_catalog(parser)


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
        "tick_size": increment_text(report.instrument.price_increment),
        "lot_size": increment_text(report.instrument.size_increment),
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
