"""``scan``: which instruments move most."""

import argparse
import sys
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from runtime.candles import CandleStore
from runtime.catalog import Catalog
from runtime.cli import add_command, format_ns, iso_time, print_json, progress_bar, say
from runtime.data_commands.options import Commands, add_catalog, catalog_folder, positive_int
from runtime.errors import EXIT_DONE, ConfigurationError
from runtime.intervals import INTERVALS
from runtime.volatility import ATR_BARS, MEASURES, Ranking, rank

DEFAULT_TIMEFRAMES: Final = ("5m", "15m", "1h", "4h", "1d")
DEFAULT_BARS: Final = 100
DEFAULT_TOP: Final = 20
PIPE_WIDTH: Final = 200


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "scan",
        run_scan,
        "Rank instruments by volatility per timeframe: ATR %, realised volatility, range.",
        "download_data.py scan --timeframe 1h --timeframe 4h --top 20 --catalog var/catalog --json",
    )
    parser.add_argument(
        "--timeframe",
        action="append",
        choices=INTERVALS,
        help=f"may be repeated; derived where not stored; default: {' '.join(DEFAULT_TIMEFRAMES)}",
    )
    parser.add_argument(
        "--top", type=positive_int, default=DEFAULT_TOP, metavar="N", help=f"default: {DEFAULT_TOP}"
    )
    parser.add_argument(
        "--bars",
        type=positive_int,
        default=DEFAULT_BARS,
        metavar="N",
        help=f"length of the window, default: {DEFAULT_BARS}",
    )
    parser.add_argument("--by", choices=MEASURES, default="atr_pct", help="default: atr_pct")
    parser.add_argument(
        "--as-of", type=iso_time, metavar="TIME", help="ISO, UTC; default: the latest stored close"
    )
    add_catalog(parser)


def run_scan(arguments: argparse.Namespace) -> int:
    """Rank and print."""
    if arguments.bars <= ATR_BARS:
        raise ConfigurationError(f"--bars {arguments.bars}: the ATR needs at least {ATR_BARS + 1}")
    catalog = Catalog(catalog_folder(arguments))
    klines = [entry for entry in catalog.manifest.series.values() if entry.kind == "klines"]
    if not klines:
        raise ConfigurationError(f"{catalog.path}: no klines: import or download some")
    as_of_ns = arguments.as_of or max(entry.files[-1].last_ns for entry in klines)
    instruments = sorted({entry.instrument for entry in klines})
    timeframes = tuple(dict.fromkeys(arguments.timeframe or DEFAULT_TIMEFRAMES))
    store = CandleStore(catalog)
    rankings = []
    with progress_bar("scan", len(timeframes)) as advance:
        for interval in timeframes:
            rankings.append(rank(store, instruments, interval, as_of_ns, arguments.bars, arguments.by))
            advance(1)
    if arguments.json:
        shown = [_as_json(ranking, arguments.top) for ranking in rankings]
        print_json({"by": arguments.by, "bars": arguments.bars, "timeframes": shown})
        return EXIT_DONE
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    for ranking in rankings:
        console.print(_table(ranking, arguments.top))
        if ranking.skipped:
            name, reason = next(iter(ranking.skipped.items()))
            say(f"{ranking.interval}: {len(ranking.skipped)} instruments left out, such as {name}: {reason}")
    return EXIT_DONE


def _as_json(ranking: Ranking, top: int) -> dict[str, Any]:
    return {
        "timeframe": ranking.interval,
        "as_of": format_ns(ranking.as_of_ns),
        "ranked": len(ranking.rows),
        "rows": [{"rank": at, **asdict(row)} for at, row in enumerate(ranking.rows[:top], start=1)],
        "skipped": [{"instrument": name, "reason": why} for name, why in ranking.skipped.items()],
    }


def _table(ranking: Ranking, top: int) -> Table:
    table = Table(title=f"{ranking.interval} as of {format_ns(ranking.as_of_ns)}", box=None, pad_edge=False)
    table.add_column("rank", justify="right")
    table.add_column("instrument")
    for name in ("ATR %", "realised vol %/year", "range %", "last close", "bars"):
        table.add_column(name, justify="right")
    for at, row in enumerate(ranking.rows[:top], start=1):
        numbers = (row.atr_pct, row.realised_vol_pct, row.range_pct)
        cells = (f"{number:.2f}" for number in numbers)
        table.add_row(str(at), row.instrument, *cells, f"{row.last_close:.10g}", str(row.bars))
    return table
