"""Market data into a Nautilus catalog: import archive files, make the offline sample, list what is there."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.cli import CommandParser, add_command, run_main
from runtime.data_commands import positive_decimal, run_import, run_list, run_sample
from runtime.instruments import MARKETS, VENUES
from runtime.intervals import INTERVALS

KINDS = ("trades", "aggtrades", "klines")


def add_catalog(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command has."""
    parser.add_argument(
        "--catalog", type=Path, metavar="DIR", help="folder, default: `catalog` of the settings"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, default: config.yaml")
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object on stdout")


def build_parser() -> CommandParser:
    """Describe the command line."""
    parser = CommandParser(prog="download_data.py", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    imports = add_command(
        commands,
        "import",
        run_import,
        "Import trades or klines from Parquet, CSV, CSV.gz or zip archives.",
        "download_data.py import XRPUSDT-trades-2026-03-18.zip --venue binance --market spot "
        "--symbol XRPUSDT --kind trades --tick-size 0.0001 --lot-size 0.1 --catalog var/catalog",
    )
    imports.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="archive files of one instrument"
    )
    imports.add_argument("--venue", choices=VENUES, required=True)
    imports.add_argument("--market", choices=MARKETS, required=True, help="usdm: Binance, linear: Bybit")
    imports.add_argument("--symbol", required=True, help="the venue's symbol, such as XRPUSDT")
    imports.add_argument("--kind", choices=KINDS, required=True)
    imports.add_argument("--interval", choices=INTERVALS, help="of klines")
    imports.add_argument(
        "--tick-size", type=positive_decimal, help="price increment; inferred with a warning"
    )
    imports.add_argument("--lot-size", type=positive_decimal, help="size increment; inferred with a warning")
    imports.add_argument(
        "--on-bad-rows", choices=("refuse", "skip"), default="refuse", help="default: refuse the whole import"
    )
    add_catalog(imports)
    sample = add_command(
        commands,
        "sample",
        run_sample,
        "Make a deterministic synthetic tape of two instruments for trying things out offline.",
        "download_data.py sample --catalog var/catalog --seed 7 --signature toxic",
    )
    sample.add_argument("--seed", type=int, default=1, help="default: 1; same seed, same tape")
    sample.add_argument("--days", type=int, default=2, help="whole UTC days, default: 2")
    sample.add_argument(
        "--signature",
        choices=("toxic", "none"),
        default="toxic",
        help="toxic (default): one-sided bursts announce moves through a level; none: no such sign",
    )
    add_catalog(sample)
    listing = add_command(
        commands,
        "list",
        run_list,
        "List the series of a catalog with rows, time span and gaps.",
        "download_data.py list --catalog var/catalog --json",
    )
    add_catalog(listing)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failed, 2 wrong usage."""
    return run_main(build_parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
