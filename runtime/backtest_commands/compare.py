"""Put finished runs side by side."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from runtime.cli import add_command, positive_secs, print_json
from runtime.errors import EXIT_DONE, ConfigurationError


def add(commands: Any) -> None:
    """Describe the command."""
    summary, example = "put finished runs side by side", "backtest_node.py compare RUN RUN"
    comparison = add_command(commands, "compare", compare, summary, example)
    comparison.add_argument("runs", nargs="+", metavar="RUN", help="id or folder; the first is the measure")
    comparison.add_argument("--config", metavar="FILE", help="settings file (default: config.yaml)")
    comparison.add_argument(
        "--tolerance-secs",
        type=positive_secs,
        default=60.0,
        metavar="SECS",
        help="largest distance of the entries of two trades that are the same (default 60)",
    )
    comparison.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def compare(arguments: Namespace) -> int:
    """Print runs side by side, what differs in their settings, and their trades one to one."""
    from runtime.run_records import find_run, read_run
    from runtime.settings import load_settings
    from ui.reports.compare import compare as compared
    from ui.reports.compare_text import format_comparison

    if len(arguments.runs) < 2:
        raise ConfigurationError("one run given, a comparison needs two: backtest_node.py compare RUN RUN")
    kept = Path(load_settings(arguments.config).backtest.runs)
    folders = [find_run(word, kept) for word in arguments.runs]
    found = compared([read_run(folder) for folder in folders], arguments.tolerance_secs)
    if arguments.json:
        print_json(found)
    else:
        print(format_comparison(found))
    return EXIT_DONE
