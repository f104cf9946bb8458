"""What the options of several commands share: catalog, settings file, numbers."""

import argparse
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from runtime.instruments import decimals_of
from runtime.settings import load_settings

MOST_DECIMALS: Final = 16
LARGEST_INCREMENT: Final = 1_000_000_000

# argparse gives the type of add_subparsers() no public name.
type Commands = argparse._SubParsersAction[Any]  # noqa: SLF001


def add_catalog(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command has."""
    parser.add_argument(
        "--catalog", type=Path, metavar="DIR", help="folder, default: `catalog` of the settings"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, default: config.yaml")
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object on stdout")


def catalog_folder(arguments: argparse.Namespace) -> Path:
    """Return ``--catalog``, or the `catalog` of the settings file."""
    return arguments.catalog or Path(load_settings(arguments.config).catalog)


def positive_decimal(text: str) -> Decimal:
    """Convert the text of an increment; raises ArgumentTypeError unless Nautilus can have it.

    That is from 1e-16, its last decimal, to 1e9.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or not 0 < value <= LARGEST_INCREMENT or decimals_of(value) > MOST_DECIMALS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number above 0, at most {LARGEST_INCREMENT:,} and with at most "
            f"{MOST_DECIMALS} decimals, for example 0.0001"
        )
    return value


def positive_int(text: str) -> int:
    """Convert the text of a count; raises ArgumentTypeError unless it is a whole number above 0."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
