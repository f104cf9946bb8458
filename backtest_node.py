"""Backtests from the command line: `backtest_node.py run --help` shows every option."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from runtime.cli import CommandParser, add_command, print_json, progress_bar, run_main, say
from runtime.errors import EXIT_DONE, EXIT_FAILED
from runtime.run_request import add_run_arguments

if TYPE_CHECKING:
    from argparse import Namespace

# `backtest_node.py --instrument …` means `backtest_node.py run --instrument …`.
DEFAULT_COMMAND: Final = "run"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 done, 1 failed, 2 wrong usage or configuration."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words.insert(0, DEFAULT_COMMAND)
    return run_main(command_line(), words)


def command_line() -> CommandParser:
    """Return the parser of all commands."""
    parser = CommandParser(prog="backtest_node.py", description="Replay recorded trades through a strategy.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    add_run_arguments(
        add_command(
            commands,
            "run",
            run,
            "replay a catalog through a strategy and report (the default command)",
            "backtest_node.py run --catalog var/catalog --instrument XRPUSDT.BINANCE --set bucket_usd=10000",
        )
    )
    add_run_arguments(
        add_command(
            commands,
            "lookahead",
            lookahead,
            "prove on your data that no decision depends on what came after it",
            "backtest_node.py lookahead --catalog var/catalog --instrument XRPUSDT.BINANCE --json",
        )
    )
    listing = add_command(
        commands,
        "strategies",
        list_strategies,
        "list the strategies and their parameters",
        "backtest_node.py strategies --json",
    )
    listing.add_argument("--json", action="store_true", help="print one JSON array on stdout")
    return parser


def run(arguments: "Namespace") -> int:
    """Run a backtest, write its folder and print its summary."""
    from runtime.backtest import run_backtest
    from runtime.bucket_windows import trade_windows
    from runtime.memory import spare_memory
    from runtime.run_plan import percent_of, plan_run
    from runtime.run_request import request_from
    from runtime.run_summary import summary_of
    from ui.reports.metrics import summarise
    from ui.reports.summary import format_summary
    from ui.reports.tearsheet import Report, drawn_trade, render

    spare_memory()
    plan = plan_run(request_from(arguments))
    with progress_bar("backtest, % of the time", total=100) as advance:
        result = run_backtest(plan, percent_of(plan, advance))
    figures = summarise(result.trades, result.marks, result.starting_balance)
    charts = plan.request.settings.backtest.charts
    drawn = [
        drawn_trade(index + 1, trade, packets, plan.retracements)
        for index, trade, packets in trade_windows(plan, result.trades, charts)
    ]
    summary = summary_of(result, figures)
    result.folder.write_summary(summary)
    report = Report(summary, result.trades, result.marks, drawn, result.folder.config_text)
    result.folder.write_tearsheet(render(report))
    if arguments.json:
        print_json(summary)
    else:
        print(format_summary(summary))
        say(f"report: {result.folder.path}/tearsheet.html")
    return EXIT_DONE


def lookahead(arguments: "Namespace") -> int:
    """Prove causality; print what was compared and the first difference, if there is one."""
    from runtime.run_plan import plan_run
    from runtime.run_request import request_from
    from runtime.sweeps.lookahead import prove

    plan = plan_run(request_from(arguments))
    with progress_bar("lookahead, % of the work", total=100) as advance:
        findings = prove(plan, advance)
    if arguments.json:
        print_json(findings.summary())
    else:
        print(findings.text())
    return EXIT_FAILED if findings.differences else EXIT_DONE


def list_strategies(arguments: "Namespace") -> int:
    """Print every strategy with its parameters."""
    from runtime.run_plan import describe_strategies

    found = describe_strategies()
    if arguments.json:
        print_json(found)
        return EXIT_DONE
    for one in found:
        print(f"{one['name']} {one['version']}: {one['summary']}")
        for parameter in one["parameters"]:
            print(f"  {parameter['name']} ({parameter['type']}) = {parameter['default']}")
            print(f"      {parameter['doc']}")
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
