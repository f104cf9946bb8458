"""Backtests from the command line: `backtest_node.py run --help` shows every option."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from runtime.cli import (
    CommandParser,
    add_command,
    positive_secs,
    print_json,
    progress_bar,
    run_main,
    say,
    warn,
)
from runtime.errors import EXIT_DONE, EXIT_FAILED, ConfigurationError
from runtime.run_request import add_run_arguments

EXAMPLE: Final = "--catalog var/catalog --instrument XRPUSDT.BINANCE --set bucket_usd=10000"


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
    for name, function, summary in (
        ("run", run, "replay a catalog through a strategy and report (the default command)"),
        ("lookahead", lookahead, "prove on your data that no decision depends on what came after it"),
    ):
        command = add_command(commands, name, function, summary, f"backtest_node.py {name} {EXAMPLE}")
        add_run_arguments(command)
    summary, example = "list the strategies and their parameters", "backtest_node.py strategies --json"
    listing = add_command(commands, "strategies", strategies, summary, example)
    listing.add_argument("--json", action="store_true", help="print one JSON array on stdout")
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
    return parser


def run(arguments: Namespace) -> int:
    """Run a backtest, write its folder and print its summary."""
    from runtime.backtest import run_backtest
    from runtime.bucket_windows import trade_windows
    from runtime.kernel_cache import ensure_compiled
    from runtime.memory import spare_memory
    from runtime.notify.backtests import listening, tell_finished
    from runtime.run_folder import read_decisions
    from runtime.run_plan import percent_of, plan_run
    from runtime.run_request import request_from
    from runtime.run_summary import summary_of
    from strategies.trade_manager.record import Decision
    from ui.reports.guards import PAUSE_KINDS, guard_figures, has_pauses
    from ui.reports.run_figures import run_figures
    from ui.reports.signals import signal_figures
    from ui.reports.summary import format_summary
    from ui.reports.tearsheet import Report, drawn_trade, render
    from ui.reports.universe import universe_figures

    spare_memory()
    plan = plan_run(request_from(arguments))
    ensure_compiled(plan)
    notifications = plan.request.settings.notifications
    with progress_bar("backtest, % of the time", total=100) as advance, listening(notifications) as actors:
        result = run_backtest(plan, percent_of(plan, advance), actors)
    windows = trade_windows(plan, result.trades, plan.request.settings.backtest.charts)
    drawn = [drawn_trade(number, trade, rows, plan.retracements) for number, trade, rows in windows]
    figures = run_figures(result.trades, result.marks, result.starting_balance)
    if "signals" in result.counters:
        taken = read_decisions(result.folder.path, Decision, "signal_taken")
        figures |= signal_figures(result.trades, taken, result.counters)
        if plan.universe is not None:
            figures |= universe_figures(plan.universe.facts, result.trades, taken, result.counters)
    figures["guards"] = {}
    if has_pauses(result.counters):
        told = [one for kind in PAUSE_KINDS for one in read_decisions(result.folder.path, Decision, kind)]
        figures["guards"] = guard_figures(told, result.counters, plan.last_ts_ns)
    explained = None
    if result.gates:
        from runtime.contributions import explain_result  # brings XGBoost: 0.6 s that other runs need not pay

        explained = explain_result(result)
    summary = summary_of(result, figures, explained)
    result.folder.write_summary(summary)
    page = render(Report(summary, result.trades, result.marks, drawn, result.folder.config_text))
    result.folder.write_tearsheet(page)
    tell_finished(notifications, summary)
    if arguments.json:
        print_json(summary)
    else:
        print(format_summary(summary))
        say(f"report: {result.folder.path}/tearsheet.html")
    return EXIT_DONE


def lookahead(arguments: Namespace) -> int:
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


def strategies(arguments: Namespace) -> int:
    """Print every strategy with its parameters; broken ones are named on stderr, the rest are listed."""
    from runtime.run_plan import describe_strategies, strategies_text

    found = describe_strategies()
    for one in found:
        if one["error"] is not None:
            warn(f"strategy {one['name']} cannot run: {one['error']}")
    print_json(found) if arguments.json else print(strategies_text(found))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
