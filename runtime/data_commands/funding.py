"""``funding``: the funding rates of perpetual contracts, stored beside the klines."""

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any, Final

from runtime.cli import add_command, format_ns, iso_time, print_json, progress_bar, say, warn
from runtime.data_commands.options import Commands, add_catalog, catalog_folder
from runtime.download.asked import downloads_folder
from runtime.download.funding_rates import FetchedFunding, fetch_funding
from runtime.download.http import Http
from runtime.errors import EXIT_DONE, EXIT_FAILED, ConfigurationError
from runtime.funding import FundingReport, known_paths, write_funding
from runtime.instruments import VENUES, instrument_id_text, split_symbol
from runtime.settings import Settings, load_settings
from runtime.universe import top_symbols

MARKETS: Final = {"binance": "usdm", "bybit": "linear"}


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "funding",
        run_funding,
        "Fetch funding rates: Binance USD-M from the archive and by REST, Bybit linear by REST.",
        "download_data.py funding --venue binance --symbol BTCUSDT --start 2024-01-01 --end 2024-07-01 "
        "--catalog var/catalog",
    )
    parser.add_argument("--venue", choices=VENUES, required=True)
    parser.add_argument(
        "--market", choices=tuple(MARKETS.values()), help="default: usdm of Binance, linear of Bybit"
    )
    parser.add_argument(
        "--symbol", action="append", default=[], metavar="SYMBOL", help="the venue's symbol; repeatable"
    )
    parser.add_argument("--top", type=int, metavar="N", help="the N largest by turnover of 24 h, now")
    parser.add_argument("--start", type=iso_time, required=True, metavar="ISO", help="start, UTC")
    parser.add_argument("--end", type=iso_time, metavar="ISO", help="end, UTC, not included; default: now")
    add_catalog(parser)


def run_funding(arguments: argparse.Namespace) -> int:
    """Fetch and store the rates of each symbol and print what was done."""
    market = arguments.market or MARKETS[arguments.venue]
    now_ns = time.time_ns()
    end_ns = min(arguments.end or now_ns, now_ns)
    if arguments.start >= end_ns:
        raise ConfigurationError("--start must lie in the past and before --end (default: now)")
    if (arguments.top is None) == (not arguments.symbol):
        raise ConfigurationError("say which: --symbol BTCUSDT (repeatable), or --top 20")
    if arguments.top is not None and arguments.top < 1:
        raise ConfigurationError(f"--top {arguments.top}: at least 1")
    for symbol in arguments.symbol:
        split_symbol(symbol)
    settings, catalog = load_settings(arguments.config), catalog_folder(arguments)
    symbols = arguments.symbol or top_symbols(settings, arguments.venue, market, arguments.top)
    reports: list[FundingReport] = []
    without: list[str] = []
    with downloads_folder(catalog) as folder, progress_bar("funding", len(symbols)) as advance:
        for symbol in dict.fromkeys(symbols):
            instrument = instrument_id_text(arguments.venue, market, symbol)
            known = known_paths(catalog, instrument)
            times = (arguments.start, end_ns, now_ns)
            fetched = asyncio.run(_fetch(settings, arguments.venue, market, symbol, times, folder, known))
            if fetched.rates or known:
                reports.append(write_funding(catalog, instrument, fetched.rates, fetched.sources))
            else:
                without.append(symbol)
            advance(1)
    return _print(reports, without, as_json=arguments.json)


async def _fetch(
    settings: Settings,
    venue: str,
    market: str,
    symbol: str,
    times: tuple[int, int, int],
    folder: Path,
    known: frozenset[str],
) -> FetchedFunding:
    start_ns, end_ns, now_ns = times
    async with Http(settings.download) as http:
        return await fetch_funding(
            http, settings, venue, market, symbol, start_ns, end_ns, now_ns=now_ns, folder=folder, known=known
        )


def _print(reports: list[FundingReport], without: list[str], *, as_json: bool) -> int:
    rows = [_row(report) for report in reports]
    for symbol in without:
        warn(f"{symbol}: the venue has no funding rate in that span")
    if as_json:
        print_json({"series": rows, "without": without})
    for row in [] if as_json else rows:
        gaps = f", {row['gaps']} gaps (longest {row['longest_gap_s'] / 3600:g} h)" if row["gaps"] else ""
        say(
            f"{row['instrument']} funding: added {row['rows_added']}, had {row['duplicates']}; "
            f"now {row['rows']} from {row['first']} to {row['last']}{gaps}"
        )
    return EXIT_DONE if reports else EXIT_FAILED


def _row(report: FundingReport) -> dict[str, Any]:
    notes = report.notes
    return {
        "instrument": notes.instrument,
        "rows_added": report.added,
        "duplicates": report.duplicates,
        "rows": notes.rows,
        "first": format_ns(notes.first_ns),
        "last": format_ns(notes.last_ns),
        "gaps": notes.gaps,
        "longest_gap_s": notes.longest_gap_ns / 1_000_000_000,
    }
