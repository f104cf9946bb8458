"""``inspect``: what a passport says, and whether the model beside it is the one it means."""

import argparse
import time
from pathlib import Path
from typing import Any

import msgspec

from ml.passport import Passport, rule_words
from runtime.cli import add_command, format_ns, print_json, say, warn
from runtime.data_commands.options import Commands
from runtime.errors import EXIT_DONE
from runtime.model_commands.options import model_of
from runtime.model_commands.train import print_figures, summary

SHOWN_IMPORTANCES = 10


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "inspect",
        run,
        "Check hashes and seals of a model and print its passport.",
        "python -m ml inspect var/models/xrp",
    )
    parser.add_argument("model", type=Path, metavar="DIR", help="folder of the model")
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object on stdout")


def run(arguments: argparse.Namespace) -> int:
    """Print the passport; 1 where anything does not fit."""
    folder: Path = arguments.model
    passport, booster = model_of(folder)
    gains = booster.get_score(importance_type="total_gain")
    if passport.model_id != folder.resolve().name:
        warn(f"the passport was written for a folder {passport.model_id}: renamed or copied")
    if passport.expires_ns < time.time_ns():
        warn(f"expired {format_ns(passport.expires_ns)}: live trading refuses it")
    if arguments.json:
        table = msgspec.to_builtins(passport)
        print_json({**table, "expires": format_ns(passport.expires_ns), "importance": gains})
        return EXIT_DONE
    print_figures(_figures(passport))
    for reason in passport.reasons:
        say(f"no skill: {reason}")
    for name, gain in sorted(gains.items(), key=lambda one: -float(_scalar(one[1])))[:SHOWN_IMPORTANCES]:
        print(f"  {name:24s} gain {_scalar(gain):.1f}")
    return EXIT_DONE


def _scalar(value: Any) -> float:
    return float(value[0]) if isinstance(value, list) else float(value)


def _figures(passport: Passport) -> dict[str, Any]:
    data, split = passport.data, passport.split
    return {
        "model": passport.model_id,
        "verdict": passport.verdict,
        "symbols": ", ".join(
            f"{name} ({one.stream}, {one.bucket_usd:g} USD)" for name, one in sorted(passport.symbols.items())
        ),
        "in_sample": f"{format_ns(data.start_ns)} to {format_ns(data.end_ns)}",
        "expires": format_ns(passport.expires_ns),
        "created": passport.build.created,
        "features": len(passport.features),
        "trees": passport.params.get("rounds"),
        "scheme": f"{split.scheme}, {split.folds} splits, embargo {split.embargo_secs:g} s",
        "n_events": split.n_events,
        "n_orders": split.n_orders,
        "n_effective": split.n_effective,
        "kind": passport.kind,
        "rule": rule_words(passport),
        **summary(passport.metrics),
    }
