"""``klines``: klines of any interval, from Binance's archive or by REST."""

import argparse

from runtime.cli import add_command
from runtime.data_commands.downloading import add_download_options, requests_of, run_download
from runtime.data_commands.options import Commands
from runtime.download.binance_archive import ARCHIVE_INTERVALS


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "klines",
        run_klines,
        "Download klines: of Binance from its archive, the latest days and Bybit's by REST.",
        "download_data.py klines --venue binance --market usdm --symbol BTCUSDT --symbol ETHUSDT "
        "--interval 5m --start 2026-01-01 --end 2026-03-01 --catalog var/catalog",
    )
    parser.add_argument(
        "--interval", action="append", choices=ARCHIVE_INTERVALS, required=True, help="repeatable"
    )
    add_download_options(parser)


def run_klines(arguments: argparse.Namespace) -> int:
    """Download klines and print what was done."""
    return run_download(arguments, requests_of(arguments, "klines", arguments.interval))
