"""``evaluate``: a model against a dataset, preferably one that it has never seen."""

import argparse
from pathlib import Path

from ml.evaluate import evaluate
from ml.report import render_evaluation
from runtime.cli import add_command, print_json, say, warn
from runtime.data_commands.options import Commands
from runtime.errors import EXIT_DONE
from runtime.model_commands.options import (
    add_settings,
    add_span,
    dataset_of,
    model_of,
    operator_errors,
    settings_of,
)
from runtime.model_commands.output import require_file, write_all
from runtime.model_commands.train import print_figures, summary


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "evaluate",
        run,
        "Measure a model on a dataset; rows in or before its training are labelled in-sample.",
        "python -m ml evaluate var/datasets/xrp.parquet --model var/models/xrp --start 2026-03-23",
    )
    add_span(parser)
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="folder of the model")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write an HTML report")
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what the model is worth on these rows."""
    folder: Path = arguments.model
    if arguments.report is not None:
        require_file(arguments.report, "--report")
    data = dataset_of(arguments)
    passport, booster = model_of(folder)
    settings = settings_of(arguments, margin=passport.decision.margin)
    with operator_errors(str(arguments.dataset)):
        found = evaluate(passport, booster, data, settings)
    if found.is_in_sample:
        warn("in-sample: rows in or before the span that the model learnt from; the figures flatter it")
    if arguments.report is not None:
        page = render_evaluation(found, passport, booster, settings)
        write_all(arguments.report.parent, {arguments.report.name: page.encode()})
        say(f"report: {arguments.report}")
    figures = {
        "verdict": found.verdict,
        "in_sample": found.is_in_sample,
        "in_sample_events": found.in_sample_rows,
        **summary(found.metrics),
        "n_events": len(found.scored.data),
        "n_orders": len(found.scored.orders()),
        "model_verdict": passport.verdict,
        "model_dir": str(folder),
    }
    for reason in found.reasons:
        say(f"no skill here: {reason}")
    if arguments.json:
        print_json({**figures, "reasons": list(found.reasons)})
    else:
        print_figures(figures)
    return EXIT_DONE
