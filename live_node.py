"""Paper and live trading from the command line: `live_node.py --help` shows every command."""

import sys
from collections.abc import Sequence

from runtime.cli import CommandParser, run_main
from runtime.live import command, ctl, paper_command

# In the order of `--help`; each module has add(commands).
COMMANDS = (command, ctl, paper_command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 done, 1 failed, 2 wrong usage or configuration."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words.insert(0, "run")
    return run_main(command_line(), words)


def command_line() -> CommandParser:
    """Return the parser of all commands."""
    parser = CommandParser(prog="live_node.py", description="Trade on paper, or with money.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for one in COMMANDS:
        one.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
