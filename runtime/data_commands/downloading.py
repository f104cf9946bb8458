"""What ``trades`` and ``klines`` share: options, the series they mean, and the report."""

import argparse
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Final

from runtime.cli import NANOS_PER_SECOND, CommandParser, iso_time, print_json, say, warn
from runtime.data_commands.options import add_catalog, catalog_folder, positive_decimal, positive_int
from runtime.download.archive_file import SeriesRequest
from runtime.download.job import JobOptions, download
from runtime.download.report import SeriesReport
from runtime.errors import EXIT_DONE, EXIT_FAILED, ConfigurationError
from runtime.instruments import MARKETS, VENUES, market_terms, split_symbol
from runtime.manifest import Kind
from runtime.settings import load_settings
from runtime.universe import top_symbols

DAY_NS: Final = 86_400 * NANOS_PER_SECOND
DEFAULT_MARKETS: Final = {"binance": "spot", "bybit": "linear"}


def add_download_options(parser: CommandParser) -> None:
    """Add venue, symbols, span and how to import."""
    parser.add_argument("--venue", choices=VENUES, required=True)
    parser.add_argument("--market", choices=MARKETS, help="default: spot of Binance, linear of Bybit")
    parser.add_argument(
        "--symbol", action="append", default=[], metavar="SYMBOL", help="the venue's symbol; repeatable"
    )
    parser.add_argument(
        "--top", type=positive_int, metavar="N", help="the N USDT symbols of the largest turnover of 24 hours"
    )
    parser.add_argument(
        "--start", type=iso_time, required=True, metavar="ISO", help="first day, UTC; whole days are fetched"
    )
    parser.add_argument(
        "--end",
        type=iso_time,
        metavar="ISO",
        help="end, UTC, not included; default: now, for trades midnight",
    )
    parser.add_argument("--tick-size", type=positive_decimal, help="price increment, for a single symbol")
    parser.add_argument("--lot-size", type=positive_decimal, help="size increment, for a single symbol")
    parser.add_argument(
        "--on-bad-rows", choices=("refuse", "skip"), default="refuse", help="default: refuse the file's batch"
    )
    add_catalog(parser)


def days_of(start_ns: int, end_ns: int | None, *, has_tail: bool) -> tuple[date, date]:
    """Return the first and last whole UTC day of a span whose end is not included.

    Raises
    ------
    ConfigurationError
        When the span is empty or begins in the future.
    """
    now_ns = time.time_ns()
    if end_ns is None:
        end_ns = now_ns if has_tail else now_ns // DAY_NS * DAY_NS
    if start_ns > now_ns:
        raise ConfigurationError("--start lies in the future")
    if start_ns >= end_ns:
        raise ConfigurationError("--start must lie before --end")
    last_ns = min(end_ns, now_ns) - 1
    return _day(start_ns), _day(last_ns)


def _day(ts_ns: int) -> date:
    return datetime.fromtimestamp(ts_ns // NANOS_PER_SECOND, UTC).date()


def requests_of(
    arguments: argparse.Namespace, kind: Kind, intervals: Sequence[str | None] = (None,)
) -> list[SeriesRequest]:
    """Return the series that the arguments name.

    Raises
    ------
    ConfigurationError
        On an impossible market, symbol, span or combination.
    """
    market = arguments.market or DEFAULT_MARKETS[arguments.venue]
    market_terms(arguments.venue, market)
    first, last = days_of(arguments.start, arguments.end, has_tail=kind != "trades")
    symbols = symbols_of(arguments, market)
    return [
        SeriesRequest(arguments.venue, market, symbol, kind, interval, first, last)
        for symbol in symbols
        for interval in dict.fromkeys(intervals)
    ]


def symbols_of(arguments: argparse.Namespace, market: str) -> list[str]:
    """Return the symbols of ``--symbol`` and those of ``--top``, each once.

    Raises
    ------
    ConfigurationError
        When there are none, one is no symbol, or there are several with increments for one.
    VenueError
        When the venue's tickers cannot be had.
    """
    symbols = list(arguments.symbol)
    for symbol in symbols:
        split_symbol(symbol)
    if arguments.top is not None:
        settings = load_settings(arguments.config)
        symbols += top_symbols(settings, arguments.venue, market, arguments.top)
        warn(
            f"--top {arguments.top} is today's list: on the past it is survivorship bias, "
            "`download_data.py universe --as-of` knows the list of then"
        )
    symbols = list(dict.fromkeys(symbols))
    if not symbols:
        raise ConfigurationError("no symbol: say --symbol XRPUSDT (repeatable) or --top 20")
    if len(symbols) > 1 and (arguments.tick_size or arguments.lot_size):
        raise ConfigurationError(
            "--tick-size and --lot-size are of one symbol: download the others separately"
        )
    return symbols


def run_download(arguments: argparse.Namespace, requests: Sequence[SeriesRequest]) -> int:
    """Download the series, print the report and return the exit code: 1 where something is missing."""
    settings = load_settings(arguments.config)
    options = JobOptions(arguments.tick_size, arguments.lot_size, arguments.on_bad_rows == "skip")
    try:
        reports = download(requests, catalog_folder(arguments), settings, options)
    except KeyboardInterrupt:
        say("stopped: what was imported is in the catalog, the same command continues where this one ended")
        raise
    return print_reports(reports, as_json=arguments.json)


def print_reports(reports: Iterable[SeriesReport], *, as_json: bool) -> int:
    """Print the reports of a download and return the exit code."""
    reports = list(reports)
    for report in reports:
        for warning in report.warnings:
            warn(warning)
        for failure in report.failures:
            say(f"error: {failure}")
    is_complete = all(report.is_complete for report in reports)
    if as_json:
        print_json({"series": [report.as_json() for report in reports], "complete": is_complete})
    else:
        for report in reports:
            say(report.line())
    if not is_complete:
        lacking = sum(not report.is_complete for report in reports)
        say(
            f"error: {lacking} of {len(reports)} series are incomplete; the same command or "
            "`download_data.py repair` fetches what is missing"
        )
    return EXIT_DONE if is_complete else EXIT_FAILED
