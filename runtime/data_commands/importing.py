"""``import``: archive files on this disk into the catalog."""

import argparse
from pathlib import Path
from typing import Final

from runtime.cli import add_command, print_json, progress_bar, say, warn
from runtime.data_commands.options import (
    Commands,
    add_catalog,
    catalog_folder,
    positive_decimal,
    positive_int,
)
from runtime.errors import EXIT_DONE
from runtime.importer import ImportReport, ImportRequest, check_request, import_files
from runtime.importer.many import AUTO, default_workers, import_many, requests_by_symbol
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
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="archive files")
    parser.add_argument("--venue", choices=VENUES, required=True)
    parser.add_argument("--market", choices=MARKETS, required=True, help="usdm: Binance, linear: Bybit")
    parser.add_argument(
        "--symbol",
        required=True,
        help="the venue's symbol, such as XRPUSDT; auto: that in each file's name, for files of many symbols",
    )
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--interval", choices=INTERVALS, help="of klines")
    parser.add_argument("--tick-size", type=positive_decimal, help="price increment; inferred with a warning")
    parser.add_argument("--lot-size", type=positive_decimal, help="size increment; inferred with a warning")
    parser.add_argument(
        "--on-bad-rows", choices=("refuse", "skip"), default="refuse", help="default: refuse the whole import"
    )
    parser.add_argument(
        "--workers",
        type=positive_int,
        metavar="N",
        help="processes with --symbol auto, default: one per core",
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
    if request.symbol == AUTO:
        return _run_many(arguments, requests_by_symbol(request), total)
    with progress_bar(f"import {request.symbol}", total) as advance:
        report = import_files(request, catalog_folder(arguments), advance)
    _warn_about(report)
    if arguments.json:
        print_json(report.as_json())
    else:
        say(_import_line(report))
    return EXIT_DONE


def _run_many(arguments: argparse.Namespace, requests: list[ImportRequest], total: int) -> int:
    for request in requests:
        check_request(request)  # a mistake in the command is one message, not one per symbol
    with progress_bar(f"import {len(requests)} symbols", total) as advance:
        workers = arguments.workers or default_workers()
        done = import_many(requests, catalog_folder(arguments), workers, advance)
    reports = [result.report for result in done if result.report is not None]
    failed = [result for result in done if result.report is None]
    inferred = sum(bool(report["inferred"]) for report in reports)
    if inferred:
        warn(f"increments of {inferred} symbols were inferred from the decimals in their files")
    for report in reports:
        for words in report["refined"]:
            warn(words)
    if sum(report["bad_rows"] for report in reports):
        for report in reports:
            for example in report["bad_row_examples"][:SHOWN_BAD_ROWS]:
                warn(f"skipped {example}")
    for result in failed:
        say(f"error: {result.symbol}: {' '.join(result.error.split())}")
    if arguments.json:
        failures = [{"symbol": result.symbol, "error": result.error} for result in failed]
        print_json({"imports": reports, "failed": failures})
    else:
        read, added = (sum(report[name] for report in reports) for name in ("rows_read", "rows_added"))
        say(
            f"{len(reports)} of {len(done)} symbols: read {read} rows, added {added}, dropped "
            f"{sum(report['duplicates'] for report in reports)} duplicates; see `download_data.py list`"
        )
    return max((result.exit_code for result in failed), default=EXIT_DONE)


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
    for words in report.refined:
        warn(words)
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
