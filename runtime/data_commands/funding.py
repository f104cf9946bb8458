"""``funding``: funding rates of perpetual contracts, stored beside the klines."""

import argparse
from datetime import UTC, datetime

from runtime.cli import add_command, iso_time, print_json, say
from runtime.data_commands.downloading import days_of, symbols_of
from runtime.data_commands.options import Commands, add_catalog, catalog_folder, positive_int
from runtime.download.funding_job import download_funding
from runtime.errors import EXIT_DONE, EXIT_FAILED, ConfigurationError
from runtime.instruments import VENUES
from runtime.settings import load_settings

MARKETS = {"binance": "usdm", "bybit": "linear"}


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "funding",
        run_funding,
        "Download the funding rates of Binance USD-M or Bybit linear, by month.",
        "download_data.py funding --venue binance --symbol BTCUSDT --start 2026-01-01 --catalog var/catalog",
    )
    parser.add_argument("--venue", choices=VENUES, required=True)
    parser.add_argument("--market", choices=tuple(MARKETS.values()), help="default: the venue's perpetuals")
    parser.add_argument("--symbol", action="append", default=[], metavar="SYMBOL", help="repeatable")
    parser.add_argument(
        "--top", type=positive_int, metavar="N", help="the N USDT symbols of the largest turnover of 24 hours"
    )
    parser.add_argument(
        "--start", type=iso_time, required=True, metavar="ISO", help="UTC; whole months are fetched"
    )
    parser.add_argument("--end", type=iso_time, metavar="ISO", help="end, UTC, not included; default: now")
    add_catalog(parser)


def run_funding(arguments: argparse.Namespace) -> int:
    """Download funding rates and print what was done; 1 where a month could not be had."""
    market = MARKETS[arguments.venue]
    if arguments.market not in (None, market):
        raise ConfigurationError(f"--market {arguments.market}: {arguments.venue} pays funding in {market}")
    arguments.market = market
    span = days_of(arguments.start, arguments.end, has_tail=True)
    symbols = symbols_of(arguments)
    reports = download_funding(
        arguments.venue, market, symbols, span, catalog_folder(arguments),
        load_settings(arguments.config), datetime.now(UTC).date(),
    )  # fmt: skip
    is_complete = not any(report.failures for report in reports)
    for report in reports:
        for failure in report.failures:
            say(f"error: {failure}")
    if arguments.json:
        print_json({"series": [report.as_json() for report in reports], "complete": is_complete})
    else:
        for report in reports:
            say(
                f"{report.instrument}: {len(report.fetched)} months fetched, {report.rows:,} payments, "
                f"{report.gaps} gaps, {len(report.empty)} months without payments"
            )
    return EXIT_DONE if is_complete else EXIT_FAILED
