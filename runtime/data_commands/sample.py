"""``sample``: a synthetic tape for trying things out offline."""

import argparse

from runtime.cli import add_command, print_json, progress_bar, say
from runtime.data_commands.options import Commands, add_catalog, catalog_folder
from runtime.errors import EXIT_DONE
from runtime.sample import SampleRequest, make_sample


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "sample",
        run_sample,
        "Make a deterministic synthetic tape of two instruments for trying things out offline.",
        "download_data.py sample --catalog var/catalog --seed 7 --signature toxic",
    )
    parser.add_argument("--seed", type=int, default=1, help="default: 1; same seed, same tape")
    parser.add_argument("--days", type=int, default=2, help="whole UTC days, default: 2")
    parser.add_argument(
        "--signature",
        choices=("toxic", "none"),
        default="toxic",
        help="toxic (default): one-sided bursts announce moves through a level; none: no such sign",
    )
    add_catalog(parser)


def run_sample(arguments: argparse.Namespace) -> int:
    """Make the synthetic tape and print what it is."""
    folder = catalog_folder(arguments)
    request = SampleRequest(seed=arguments.seed, days=arguments.days, signature=arguments.signature)
    with progress_bar("synthetic tape", None) as advance:
        report = make_sample(request, folder, advance)
    if arguments.json:
        print_json(report)
    else:
        for row in report["series"]:
            say(f"SYNTHETIC {row['instrument']}: {row['rows']:,} trades from {row['first']} to {row['last']}")
        say(f"{folder}: {report['note']}")
    return EXIT_DONE
