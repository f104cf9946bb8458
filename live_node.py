"""Paper and live trading from the command line: `live_node.py --help` shows every command."""

import sys
from collections.abc import Sequence

from runtime.cli import CommandParser, command_parser, run_main, with_default_command
from runtime.live import command, ctl, paper_command

# In the order of `--help`; each module has add(commands).
COMMANDS = (command, ctl, paper_command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 done, 1 failed, 2 wrong usage or configuration."""
    return run_main(command_line(), with_default_command(argv, "run"))


def command_line() -> CommandParser:
    """Return the parser of all commands."""
    return command_parser("live_node.py", "Trade on paper, or with money.", COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
