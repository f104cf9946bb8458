"""``python -m ml dataset --signals RUN``: recorded signals of the kline strategy in, a dataset out."""

import argparse
from pathlib import Path
from typing import Final

from runtime.cli import print_json
from runtime.errors import EXIT_DONE, ConfigurationError, DataError

DEFAULT_OUT: Final = Path("var/datasets/signals")
_NOT_WITH: Final = ("run_folder", "catalog", "strategy", "start", "end", "latency_ms", "model")


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--signals`` to the dataset command."""
    parser.add_argument(
        "--signals",
        metavar="RUN",
        type=Path,
        help="folder of a finished run whose strategy records signals, or a table of them (Parquet or JSON "
        "lines, docs/features.md): a dataset of signals, not of resting entries",
    )


def run(arguments: argparse.Namespace) -> int:
    """Make the dataset of a run's signals or of a table of them, write it and say what is in it.

    Raises
    ------
    ConfigurationError
        When the table is missing, or an option is given that has no meaning for it.
    DataError
        When it is damaged.
    """
    from ml.dataset import DatasetError, paths
    from ml.signals import signal_dataset
    from runtime.signal_runs import dataset_of_run

    for name in _NOT_WITH:
        if getattr(arguments, name, None) not in (None, []):
            option = {"run_folder": "run"}.get(name, name).replace("_", "-")
            raise ConfigurationError(f"--signals and --{option}: signals are recorded already")
    try:
        if arguments.signals.is_dir():
            dataset, unresolved = dataset_of_run(arguments.signals)
        else:
            dataset, unresolved = signal_dataset(arguments.signals), 0
    except DatasetError as error:
        kind = ConfigurationError if isinstance(error.__cause__, FileNotFoundError) else DataError
        raise kind(str(error)) from error
    path, _ = paths(arguments.out or DEFAULT_OUT)
    dataset.save(path)
    meta = dataset.meta
    figures = {
        "dataset": str(path),
        "kind": meta["kind"],
        "symbols": meta["symbols"],
        "rows": len(dataset),
        "rows_filled": meta["rows_filled"],
        "unresolved": unresolved,
        "n_effective": meta["n_effective"],
        "features": len(dataset.names),
        "schema_hash": dataset.schema_hash,
    }
    if arguments.json:
        print_json(figures)
    else:
        print(
            f"{figures['rows']:,} signals of {len(meta['symbols'])} symbols, {figures['features']} features"
        )
        print(f"with an outcome: {meta['rows_filled']:,}, worth {meta['n_effective']:.0f} independent ones")
        if unresolved:
            print(f"left out, still open at the end: {unresolved:,}")
        print(f"written: {path}")
    return EXIT_DONE
