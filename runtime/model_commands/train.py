"""``train``: a dataset becomes a model with passport and report, or is refused."""

import argparse
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from ml.dataset import Dataset
from ml.features import FEATURES, Feature
from ml.passport import MODEL_FILE, PASSPORT_FILE, Build, FeatureField, Metrics, Passport, encode, self_hash
from ml.provenance import kind_of
from ml.report import render_training
from ml.signal_features import FEATURES as SIGNAL_FEATURES
from ml.signal_features import SignalFeature
from ml.train import TooFewEventsError, Trained, train, units_of
from ml.train_settings import TrainSettings
from runtime.cli import (
    NANOS_PER_SECOND,
    add_command,
    format_ns,
    key_value,
    print_json,
    progress_bar,
    say,
    warn,
)
from runtime.data_commands.options import Commands
from runtime.errors import EXIT_DONE, EXIT_FAILED, ConfigurationError
from runtime.model_commands.options import add_settings, add_span, dataset_of, operator_errors, settings_of
from runtime.model_commands.output import require_folder, write_all
from runtime.settings import settings_hash

REPORT_FILE: Final = "report.html"
MODELS: Final = Path("var/models")
ROOT: Final = Path(__file__).resolve().parents[2]


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "train",
        run,
        "Train a model on a dataset, judge it on rows it did not see, and write model, passport and report.",
        "python -m ml train var/datasets/xrp.parquet --end 2026-03-23 --set trials=20",
    )
    add_span(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=f"folder of the model, default: {MODELS}/<id>/"
    )
    parser.add_argument("--replace", action="store_true", help="write over a model in --out")
    parser.add_argument(
        "--monotone",
        action="append",
        default=[],
        type=key_value,
        metavar="FEATURE=SIGN",
        help="1: the probability may only rise with the feature, -1: only fall; repeatable",
    )
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train, write the folder and print what the model is worth; 1 where there is too little data."""
    settings = settings_of(arguments, monotone=dict(arguments.monotone))
    if arguments.out is not None and (arguments.out / PASSPORT_FILE).exists() and not arguments.replace:
        raise ConfigurationError(
            f"{arguments.out} holds a model already: add --replace, or take another --out"
        )
    require_folder(arguments.out or MODELS, "--out")
    data = dataset_of(arguments)
    try:
        trained = _train(arguments, data, settings)
    except TooFewEventsError as error:
        return _refused(arguments, error)
    folder = arguments.out or MODELS / _default_id(trained.passport)
    passport = trained.named(folder.resolve().name)
    _write(folder, trained, passport, settings)
    _print(arguments, passport, folder)
    return EXIT_DONE


def _train(arguments: argparse.Namespace, data: Dataset, settings: TrainSettings) -> Trained:
    build = Build(
        created=format_ns(time.time_ns() // NANOS_PER_SECOND * NANOS_PER_SECOND),
        git=_commit(),
        config_sha256=settings_hash(msgspec.to_builtins(settings)),
    )
    with progress_bar("training", units_of(settings)) as advance, operator_errors(str(arguments.dataset)):
        return train(data, settings, build, _described(data), advance)


def _described(data: Dataset) -> tuple[FeatureField, ...]:
    described = SIGNAL_FEATURES if kind_of(data) == "signal" else FEATURES
    known: dict[str, Feature | SignalFeature] = {one.name: one for one in described}
    return tuple(
        FeatureField(
            name=name, unit=known[name].unit, source=known[name].doc, lookback=str(known[name].lookback)
        )
        if name in known
        else FeatureField(name=name)
        for name in data.names
    )


def _refused(arguments: argparse.Namespace, error: TooFewEventsError) -> int:
    say(f"{arguments.parser.prog}: refused: {error}")
    if arguments.json:
        figures = dict.fromkeys(("auc", "auc_ci", "logloss", "base_logloss", "model_dir"))
        counts = {"n_events": error.n_events, "n_effective": error.n_effective}
        print_json({"verdict": "refused", "reasons": [str(error)], **figures, **counts})
    return EXIT_FAILED


def _default_id(passport: Passport) -> str:
    symbol = "-".join(sorted(name.partition(".")[0].lower() for name in passport.symbols))[:40]
    return f"{symbol}-{format_ns(passport.data.end_ns)[:10].replace('-', '')}-{self_hash(passport)[:8]}"


def _write(folder: Path, trained: Trained, passport: Passport, settings: TrainSettings) -> None:
    contents = {
        MODEL_FILE: trained.model,
        REPORT_FILE: render_training(trained, passport, settings).encode(),
        PASSPORT_FILE: encode(passport),
    }
    # Without its passport there is no model: a half-written one is never taken for whole.
    write_all(folder, contents, last=PASSPORT_FILE)


def summary(metrics: Metrics) -> dict[str, Any]:
    """Return the figures that `train` and `evaluate` print."""
    return {
        "auc": metrics.auc,
        "auc_ci": list(metrics.auc_ci),
        "logloss": metrics.logloss,
        "base_logloss": metrics.base_logloss,
        "logloss_gain_ci": list(metrics.logloss_gain_ci),
        "brier": metrics.brier,
        "reliability_slope": metrics.slope,
        "kept_share": metrics.kept_share,
        "expectancy_kept_r": metrics.expectancy_kept_r,
        "expectancy_all_r": metrics.expectancy_all_r,
        "expectancy_gain_ci": list(metrics.expectancy_gain_ci) if metrics.expectancy_gain_ci else None,
        "dsr": metrics.dsr,
        "pbo": metrics.pbo,
        "n_trials": metrics.n_trials,
    }


def print_figures(figures: Mapping[str, Any]) -> None:
    """Print figures as lines ``name value`` on stdout."""
    for name, value in figures.items():
        shown = value if not isinstance(value, list) else " to ".join(_number(one) for one in value)
        print(f"{name:20s} {_number(shown)}")


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


def _print(arguments: argparse.Namespace, passport: Passport, folder: Path) -> None:
    split = passport.split
    figures = {
        "verdict": passport.verdict,
        **summary(passport.metrics),
        "n_events": split.n_events,
        "n_orders": split.n_orders,
        "n_effective": split.n_effective,
        "model_dir": str(folder),
    }
    if split.n_tainted:
        say(f"tainted orders left out: {split.n_tainted:,} (trades were missing in their position)")
    for reason in passport.reasons:
        say(f"no skill: {reason}")
    if passport.verdict == "no_skill":
        warn("no skill was found: the model can be loaded, but it gates nothing unless a setting says so")
    if arguments.json:
        print_json({**figures, "reasons": list(passport.reasons)})
    else:
        print_figures(figures)
        say(f"report: {folder / REPORT_FILE}")


def _commit() -> str:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""  # not a checkout, or no git
    return found.stdout.strip()
