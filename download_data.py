"""Market data into a Nautilus catalog: download, import, verify, repair, and list what is there."""

import sys
from collections.abc import Sequence

try:
    from runtime.cli import CommandParser, command_parser, run_main
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
COMMANDS = (
    sample,
    trades,
    klines,
    funding,
    importing,
    verifying,
    universe,
    scan,
    structure,
    listing,
)


def command_line() -> CommandParser:
    """Return the parser of all commands."""
    return command_parser("download_data.py", __doc__, COMMANDS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failed, 2 wrong usage."""
    return run_main(command_line(), argv)


if __name__ == "__main__":
    sys.exit(main())
