"""The terminal from the command line: `python -m ui --help`."""

import sys
from collections.abc import Sequence
from typing import Final

from runtime.cli import CommandParser, command_parser, run_main
from ui import password_command, replay_command, serve_command

PROGRAM: Final = "python -m ui"
COMMANDS: Final = (serve_command, replay_command, password_command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 done, 1 failed, 2 wrong usage or configuration."""
    return run_main(command_line(), argv)


def command_line() -> CommandParser:
    """Return the parser of all commands."""
    return command_parser(PROGRAM, "Watch a node in the browser, and act.", COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
