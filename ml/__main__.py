"""The model from the command line: ``python -m ml --help``."""

import sys
from collections.abc import Sequence

from runtime import dataset_command
from runtime.cli import CommandParser, command_parser, run_main
from runtime.model_commands import evaluate, inspect, train

COMMANDS = (dataset_command, train, evaluate, inspect)  # in the order of `--help`; each has add(commands)


def command_line() -> CommandParser:
    """Return the parser of all commands."""
    return command_parser("python -m ml", __doc__, COMMANDS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 done, 1 failed, 2 wrong usage or configuration."""
    return run_main(command_line(), argv)


if __name__ == "__main__":
    sys.exit(main())
