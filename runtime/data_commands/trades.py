"""``trades``: trades or aggregated trades from the venues' archives."""

import argparse

from runtime.cli import add_command
from runtime.data_commands.downloading import add_download_options, requests_of, run_download
from runtime.data_commands.options import Commands


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "trades",
        run_trades,
        "Download trades of Binance or Bybit from their public archives.",
        "download_data.py trades --venue binance --market spot --symbol XRPUSDT --start 2026-03-17 "
        "--end 2026-03-25 --catalog var/catalog",
    )
    parser.add_argument(
        "--kind",
        choices=("trades", "aggtrades"),
        default="trades",
        help="default: trades; aggtrades: Binance",
    )
    add_download_options(parser)


def run_trades(arguments: argparse.Namespace) -> int:
    """Download trades and print what was done."""
    return run_download(arguments, requests_of(arguments, arguments.kind))
