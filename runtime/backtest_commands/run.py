"""Replay a catalog through a strategy, write the folder of the run and print its summary."""

from argparse import Namespace
from typing import TYPE_CHECKING, Any, Final

from runtime.cli import add_command, print_json, progress_bar, say, warn
from runtime.errors import EXIT_DONE
from runtime.run_request import add_run_arguments

if TYPE_CHECKING:
    from runtime.backtest import RunResult
    from runtime.run_plan import RunPlan

EXAMPLE: Final = (
    "backtest_node.py run --catalog var/catalog --instrument XRPUSDT.BINANCE --set bucket_usd=10000"
)


def add(commands: Any) -> None:
    """Describe the command."""
    summary = "replay a catalog through a strategy and report (the default command)"
    command = add_command(commands, "run", run, summary, EXAMPLE)
    add_run_arguments(command)
    command.add_argument(
        "--metrics-port",
        type=int,
        default=0,
        metavar="PORT",
        help="serve metrics for Prometheus on 127.0.0.1 while it runs (default 0: off)",
    )


def run(arguments: Namespace) -> int:
    """Run a backtest, write its folder and print its summary."""
    from runtime.backtest import run_backtest
    from runtime.bucket_windows import trade_windows
    from runtime.kernel_cache import ensure_compiled
    from runtime.memory import spare_memory
    from runtime.metrics.backtests import scraped
    from runtime.notify.backtests import listening, tell_finished
    from runtime.run_plan import percent_of, plan_run
    from runtime.run_request import request_from
    from runtime.run_summary import summary_of
    from ui.reports.summary import format_summary
    from ui.reports.tearsheet import Report, render
    from ui.reports.trade_sections import drawn_trade

    spare_memory()
    plan = plan_run(request_from(arguments))
    for text in unmatched_of(plan):
        warn(text)
    ensure_compiled(plan)
    notifications = plan.request.settings.notifications
    with (
        progress_bar("backtest, % of the time", total=100) as advance,
        listening(notifications) as told,
        scraped(arguments.metrics_port) as metered,
    ):
        result = run_backtest(
            plan, percent_of(plan, advance), lambda engine: [*told(engine), *metered(engine)]
        )
    windows = trade_windows(plan, result.trades, plan.request.settings.backtest.charts)
    drawn = [drawn_trade(number, trade, rows, plan.retracements) for number, trade, rows in windows]
    figures = figures_of(result)
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


def unmatched_of(plan: "RunPlan") -> list[str]:
    """Return a line for each coin or category of the settings that the run does not have."""
    from runtime.coin_settings import unmatched_settings
    from runtime.run_plan import tradable
    from runtime.universe import NAMED_CATEGORIES

    request = plan.request
    entry, path = request.settings.strategy(request.strategy)
    names = [one.id.value for one in plan.instruments]
    # Who names instruments leaves others out on purpose.
    known = tradable(plan.catalog, on_bars=plan.on_bars) if request.instruments else ()
    lines = unmatched_settings(entry, names, known, NAMED_CATEGORIES)
    return [f"{request.source}: {path}.{one}" for one in lines]


def figures_of(result: "RunResult") -> dict[str, Any]:
    """Return every figure of a run: of its trades and equity, of its signals, universe and guards.

    Parameters
    ----------
    result
        Its folder is read for the decisions.
    """
    from runtime.run_folder import read_decisions
    from strategies.trade_manager.record import Decision
    from ui.reports.guards import PAUSE_KINDS, guard_figures, has_pauses
    from ui.reports.run_figures import run_figures
    from ui.reports.signals import signal_figures
    from ui.reports.universe import universe_figures

    figures = run_figures(result.trades, result.marks, result.starting_balance)
    if "signals" in result.counters:
        taken = read_decisions(result.folder.path, Decision, "signal_taken")
        figures |= signal_figures(result.trades, taken, result.counters)
        universe = result.plan.universe
        if universe is not None:
            figures |= universe_figures(universe.facts, result.trades, taken, result.counters)
    figures["guards"] = {}
    if has_pauses(result.counters):
        told = [one for kind in PAUSE_KINDS for one in read_decisions(result.folder.path, Decision, kind)]
        figures["guards"] = guard_figures(told, result.counters, result.plan.last_ts_ns)
    return figures
