"""``universe``: the largest symbols, now or month by month as they were."""

import argparse
import asyncio
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from rich.console import Console
from rich.table import Table

from runtime.cli import add_command, format_ns, iso_time, print_json, progress_bar, say, warn
from runtime.data_commands.options import Commands, add_catalog, catalog_folder
from runtime.download.http import Http
from runtime.download.volume_archive import ListedSymbol, list_symbols, month_turnover
from runtime.errors import EXIT_DONE, ConfigurationError
from runtime.instruments import MARKETS, VENUES, market_terms
from runtime.settings import Settings, load_settings
from runtime.universe import (
    QUOTE,
    USUALLY_EXCLUDED,
    Filters,
    Ranking,
    Universe,
    UniverseSpan,
    month_of,
    next_month,
    previous_month,
    rank_symbols,
    read_universe,
    universe_path,
    universe_schedule,
    with_month,
    write_universe,
)

PIPE_WIDTH: Final = 160
SHOWN_MISSING: Final = 5


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "universe",
        run_universe,
        "List the symbols with the largest turnover against USDT: of the last 24 hours, or as of each month "
        "(--as-of, or --start and --end), delisted ones included and stored beside the catalog.",
        "download_data.py universe --venue binance --top 20 --start 2024-01-01 --end 2024-07-01",
    )
    parser.add_argument("--venue", choices=VENUES, default="binance", help="default: binance")
    parser.add_argument("--market", choices=MARKETS, help="default: spot of Binance, linear of Bybit")
    parser.add_argument("--top", type=positive_count, default=20, metavar="N", help="how many, default: 20")
    parser.add_argument("--as-of", type=iso_time, metavar="ISO", help="the universe of that moment's month")
    parser.add_argument("--start", type=iso_time, metavar="ISO", help="the universe of each month from here")
    parser.add_argument("--end", type=iso_time, metavar="ISO", help="end, UTC, not included; default: now")
    parser.add_argument(
        "--min-age-days", type=share_or_more, default=0.0, metavar="DAYS", help="listed at least so long"
    )
    parser.add_argument(
        "--max-spread-bps", type=share_or_more, metavar="BPS", help="spread now, in 0.01 %%; only for today"
    )
    parser.add_argument(
        "--exclude",
        default=",".join(USUALLY_EXCLUDED),
        metavar="CATEGORIES",
        help=f"comma separated; default: {','.join(USUALLY_EXCLUDED)}; none: '' ",
    )
    parser.add_argument("--only", default="", metavar="CATEGORIES", help="one is needed, e.g. layer-1")
    parser.add_argument("--deny", default="", metavar="SYMBOLS", help="never these, comma separated")
    add_catalog(parser)


def positive_count(text: str) -> int:
    """Convert a whole number of 1 or more; raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def share_or_more(text: str) -> float:
    """Convert a number of 0 or more; raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return value


def run_universe(arguments: argparse.Namespace) -> int:
    """Print the universe; store it when it is one of the past."""
    market = arguments.market or ("spot" if arguments.venue == "binance" else "linear")
    market_terms(arguments.venue, market)
    settings = load_settings(arguments.config)
    filters = Filters(
        arguments.min_age_days,
        arguments.max_spread_bps,
        _words(arguments.exclude),
        _words(arguments.only),
        tuple(word.upper() for word in _words(arguments.deny)),
    )
    if arguments.as_of is None and arguments.start is None:
        if arguments.end is not None:
            raise ConfigurationError("--end needs --start")
        return _run_now(arguments, settings, market, filters)
    return _run_months(arguments, settings, market, filters)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


# --- today -----------------------------------------------------------------------------------------------
def _run_now(arguments: argparse.Namespace, settings: Settings, market: str, filters: Filters) -> int:
    async def main() -> Ranking:
        async with Http(settings.download) as http:
            return await rank_symbols(http, settings, arguments.venue, market, arguments.top, filters)

    ranking = asyncio.run(main())
    if len(ranking.symbols) < arguments.top:
        warn(f"only {len(ranking.symbols)} symbols pass the filters, --top {arguments.top} were asked for")
    rows = [one.as_json() for one in ranking.symbols]
    if arguments.json:
        print_json(
            {
                "venue": arguments.venue,
                "market": market,
                "as_of": format_ns(time.time_ns() // 1_000_000_000 * 1_000_000_000),
                "basis": "turnover of 24 h",
                "symbols": rows,
                "left_out": ranking.left_out,
            }
        )
        return EXIT_DONE
    columns = ("rank", "symbol", "instrument", "turnover", "spread_bps", "listed", "categories")
    _print_table(columns, [[_cell(row[name]) for name in columns] for row in rows])
    if ranking.left_out:
        say(
            "left out: " + ", ".join(f"{count} by {name}" for name, count in sorted(ranking.left_out.items()))
        )
    return EXIT_DONE


# --- point in time ---------------------------------------------------------------------------------------
def _run_months(arguments: argparse.Namespace, settings: Settings, market: str, filters: Filters) -> int:
    start_ns, end_ns = _span(arguments)
    if arguments.venue != "binance":
        raise ConfigurationError(
            "--as-of and --start need an archive of daily klines, which only Binance has: --venue binance"
        )
    if filters.max_spread_bps is not None or filters.only:
        raise ConfigurationError(
            "--max-spread-bps and --only are known for today alone: not with --as-of or --start"
        )
    catalog = catalog_folder(arguments)
    stored = read_universe(catalog, arguments.venue, market)
    universe = Universe(
        venue=arguments.venue,
        market=market,
        top=arguments.top,
        min_age_days=filters.min_age_days,
        exclude=filters.exclude,
        deny=filters.deny,
        months=stored.months if stored else {},
    )
    write_universe(catalog, universe)
    asyncio.run(_fetch_months(settings, catalog, universe, _months_before(start_ns, end_ns)))
    spans = universe_schedule(catalog, start_ns, end_ns, venue=arguments.venue, market=market)
    _print_spans(arguments, market, spans, universe_path(catalog, arguments.venue, market))
    return EXIT_DONE


def _span(arguments: argparse.Namespace) -> tuple[int, int]:
    if arguments.as_of is not None:
        if arguments.start is not None or arguments.end is not None:
            raise ConfigurationError("--as-of is one moment: without --start and --end")
        start_ns, end_ns = arguments.as_of, arguments.as_of + 1
    else:
        start_ns, end_ns = arguments.start, arguments.end or time.time_ns()
    if start_ns >= end_ns:
        raise ConfigurationError("--start must lie before --end (default: now)")
    if start_ns > time.time_ns():
        raise ConfigurationError("--start and --as-of must not lie in the future")
    return start_ns, min(end_ns, time.time_ns())


def _months_before(start_ns: int, end_ns: int) -> list[date]:
    """Return the months whose turnover the universes of a span need."""
    months = [previous_month(month_of(start_ns))]
    while next_month(months[-1]) < month_of(end_ns - 1):
        months.append(next_month(months[-1]))
    return months


async def _fetch_months(settings: Settings, catalog: Path, universe: Universe, months: list[date]) -> None:
    """Fetch the months that are not stored, or not whole yet; each is stored as soon as it is there."""
    stored = {name for name, month in universe.months.items() if not month.awaited}
    wanted = [month for month in months if f"{month:%Y-%m}" not in stored]
    if not wanted:
        return
    async with Http(settings.download) as http:
        with progress_bar("archive listing") as advance:
            listed: list[ListedSymbol] = await list_symbols(
                http, settings.hosts, universe.market, QUOTE, advance
            )
        for month in wanted:
            with progress_bar(f"{month:%Y-%m}", len(listed)) as advance:
                found = await month_turnover(http, settings.hosts, universe.market, month, listed, advance)
            if found.missing:
                shown = ", ".join(found.missing[:SHOWN_MISSING])
                warn(
                    f"{found.month}: the archive has no file of {len(found.missing)} symbols that traded "
                    f"before and after ({shown}{', …' if len(found.missing) > SHOWN_MISSING else ''}); "
                    "they are not ranked"
                )
            if found.awaited:
                shown = ", ".join(found.awaited[:SHOWN_MISSING])
                more = ", …" if len(found.awaited) > SHOWN_MISSING else ""
                warn(
                    f"{found.month}: the archive has no file of {len(found.awaited)} symbols of the month "
                    f"before ({shown}{more}): delisted, or not published yet; they are not ranked, and the "
                    "month is fetched again by the next command"
                )
            universe = with_month(universe, found)
            write_universe(catalog, universe)


def _print_spans(arguments: argparse.Namespace, market: str, spans: list[UniverseSpan], path: Path) -> None:
    if arguments.json:
        print_json(
            {
                "venue": arguments.venue,
                "market": market,
                "basis": "turnover of the month before",
                "file": str(path),
                "months": [
                    {
                        "from": format_ns(span.from_ns),
                        "to": format_ns(span.to_ns),
                        "based_on": span.based_on,
                        "symbols": [
                            {
                                "rank": rank,
                                "instrument": instrument,
                                **cast("dict[str, Any]", msgspec.to_builtins(one)),
                            }
                            for rank, (one, instrument) in enumerate(
                                zip(span.symbols, span.instruments, strict=True), start=1
                            )
                        ],
                    }
                    for span in spans
                ],
            }
        )
        return
    _print_table(
        ("from", "based on", "symbols"),
        [
            [format_ns(span.from_ns)[:10], span.based_on, " ".join(one.symbol for one in span.symbols)]
            for span in spans
        ],
    )
    say(f"stored in {path}")


def _print_table(columns: tuple[str, ...], rows: list[list[str]]) -> None:
    table = Table(*(name.replace("_", " ") for name in columns), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return " ".join(value)
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value)
