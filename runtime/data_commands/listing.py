"""``list``: what a catalog holds."""

import argparse
import sys
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from runtime.catalog import Catalog
from runtime.cli import add_command, print_json
from runtime.data_commands.options import Commands, add_catalog, catalog_folder
from runtime.errors import EXIT_DONE
from runtime.funding import funding_series

PIPE_WIDTH: Final = 200
SERIES_COLUMNS: Final = (
    "instrument", "kind", "interval", "rows", "first", "last",
    "missing_ids", "id_gaps", "longest_gap_s", "longest_gap_ids", "files", "bytes",
)  # fmt: skip


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "list",
        run_list,
        "List the series of a catalog with rows, time span and gaps.",
        "download_data.py list --catalog var/catalog --json",
    )
    add_catalog(parser)


def run_list(arguments: argparse.Namespace) -> int:
    """Print the series of a catalog."""
    catalog = Catalog(catalog_folder(arguments))
    series = catalog.series() + funding_series(catalog.path)
    if arguments.json:
        print_json({"series": series})
        return EXIT_DONE
    synthetic = {entry.instrument for entry in catalog.manifest.series.values() if entry.synthetic}
    table = Table(*(name.replace("_", " ") for name in SERIES_COLUMNS), box=None, pad_edge=False)
    for row in series:
        cells = [_cell(row[name]) for name in SERIES_COLUMNS]
        if row["instrument"] in synthetic:
            cells[0] += " (synthetic)"
        table.add_row(*cells)
    # A pipe has no width: wide enough that no cell is cut.
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)
    return EXIT_DONE


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value)
