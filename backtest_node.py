"""Backtests from the command line: `backtest_node.py run --help` shows every option."""

import sys
from collections.abc import Sequence

from runtime.backtest_commands import compare, lookahead, replay, run, strategies
from runtime.cli import CommandParser, run_main

# In the order of `--help`; each module has add(commands).
COMMANDS = (run, lookahead, strategies, compare, replay)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 done, 1 failed, 2 wrong usage or configuration."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words.insert(0, "run")
    return run_main(command_line(), words)


def command_line() -> CommandParser:
    """Return the parser of all commands."""
    parser = CommandParser(prog="backtest_node.py", description="Replay recorded trades through a strategy.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
