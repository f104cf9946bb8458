"""List the strategies and their parameters."""

from argparse import Namespace
from typing import Any

from runtime.cli import add_command, print_json, warn
from runtime.errors import EXIT_DONE


def add(commands: Any) -> None:
    """Describe the command."""
    summary, example = "list the strategies and their parameters", "backtest_node.py strategies --json"
    listing = add_command(commands, "strategies", strategies, summary, example)
    listing.add_argument("--json", action="store_true", help="print one JSON array on stdout")


def strategies(arguments: Namespace) -> int:
    """Print every strategy with its parameters; broken ones are named on stderr, the rest are listed."""
    from runtime.run_plan import describe_strategies, strategies_text

    found = describe_strategies()
    for one in found:
        if one["error"] is not None:
            warn(f"strategy {one['name']} cannot run: {one['error']}")
    print_json(found) if arguments.json else print(strategies_text(found))
    return EXIT_DONE
