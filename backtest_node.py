"""Backtests from the command line: `backtest_node.py run --help` shows every option."""

import sys
from collections.abc import Sequence

from runtime.backtest_commands import compare, lookahead, replay, run, strategies
from runtime.cli import CommandParser, command_parser, run_main, with_default_command

# In the order of `--help`; each module has add(commands).
COMMANDS = (run, lookahead, strategies, compare, replay)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 done, 1 failed, 2 wrong usage or configuration."""
    return run_main(command_line(), with_default_command(argv, "run"))


def command_line() -> CommandParser:
    """Return the parser of all commands."""
    return command_parser("backtest_node.py", "Replay recorded trades through a strategy.", COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
