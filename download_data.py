"""Market data into a Nautilus catalog: download, import, verify, repair, and list what is there."""

import sys
from collections.abc import Sequence

try:
    from runtime.cli import CommandParser, run_main
    from runtime.data_commands import (
        funding,
        importing,
        klines,
        listing,
        sample,
        scan,
        structure,
        trades,
        universe,
        verifying,
    )
except KeyboardInterrupt:  # loading takes seconds; `run_main` catches it only afterwards
    sys.exit("download_data.py: error: interrupted")

# In the order of `--help`; each module has add(commands).
COMMANDS = (sample, trades, klines, funding, importing, verifying, universe, scan, structure, listing)


def build_parser() -> CommandParser:
    """Describe the command line."""
    parser = CommandParser(prog="download_data.py", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failed, 2 wrong usage."""
    return run_main(build_parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
