"""Prove on recorded data that no decision depends on what came after it."""

from argparse import Namespace
from typing import Any, Final

from runtime.cli import add_command, print_json, progress_bar
from runtime.errors import EXIT_DONE, EXIT_FAILED
from runtime.run_request import add_run_arguments

EXAMPLE: Final = (
    "backtest_node.py lookahead --catalog var/catalog --instrument XRPUSDT.BINANCE --set bucket_usd=10000"
)


def add(commands: Any) -> None:
    """Describe the command."""
    summary = "prove on your data that no decision depends on what came after it"
    add_run_arguments(add_command(commands, "lookahead", lookahead, summary, EXAMPLE))


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
