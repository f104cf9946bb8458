"""``python -m ml dataset``: a catalog or a run in, a dataset out."""

import argparse
import tempfile
from pathlib import Path
from typing import Any, Final

import yaml

from runtime import signals_command
from runtime.cli import add_command, iso_time, print_json, progress_bar
from runtime.errors import EXIT_DONE, ConfigurationError
from runtime.run_folder import EFFECTIVE_CONFIG
from runtime.run_request import RunRequest, add_run_arguments, request_from
from runtime.settings import RESERVED_PARAMETERS

DATASETS: Final = Path("var/datasets")
EXAMPLE: Final = (
    "python -m ml dataset --catalog var/catalog --instrument BTCUSDT.BINANCE --out var/datasets/btc --json"
)


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "dataset",
        run,
        "Make a dataset: one row per look at a resting entry, labelled by an ungated run over a catalog.",
        EXAMPLE,
    )
    add_run_arguments(parser)
    signals_command.add_option(parser)
    parser.add_argument(
        "--run",
        metavar="DIR",
        dest="run_folder",
        help="take catalog, strategy, instruments, range and settings from a run (other options win)",
    )
    parser.add_argument(
        "--latency-ms",
        type=_latency,
        metavar="MS",
        help="leave out looks after which the order filled within this time (default: the venue's latency)",
    )
    parser.add_argument(
        "--out",
        metavar="PATH",
        help="file to write, .parquet with a .json beside it (default: in var/datasets)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Build a dataset, write it and say what is in it."""
    if arguments.signals is not None:
        return signals_command.run(arguments)
    from ml.dataset import paths
    from runtime.datasets import build_dataset
    from runtime.kernel_cache import ensure_compiled
    from runtime.memory import spare_memory
    from runtime.run_plan import percent_of, plan_run

    spare_memory()
    plan = plan_run(_request(arguments))
    path, _ = paths(arguments.out or DATASETS / "-".join(one.id.value for one in plan.instruments))
    ensure_compiled(plan)
    with progress_bar("ungated run, % of the time", total=100) as advance:
        dataset = build_dataset(plan, arguments.latency_ms, percent_of(plan, advance))
    dataset.save(path)
    figures = {
        "dataset": str(path),
        "symbols": dataset.meta["symbols"],
        "rows": len(dataset),
        "rows_filled": dataset.meta["rows_filled"],
        "orders": dataset.meta["orders"],
        "n_effective": dataset.meta["n_effective"],
        "latency_ms": dataset.meta["latency_ms"],
        "latency_variants": dataset.meta["latency_variants"],
        "features": len(dataset.names),
        "schema_hash": dataset.schema_hash,
        "leaking": dataset.meta["leak_check"]["leaking"],
    }
    if arguments.json:
        print_json(figures)
    else:
        print(_text(figures))
    return EXIT_DONE


def _text(figures: dict[str, Any]) -> str:
    orders = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in figures["orders"].items())
    lines = [
        f"{figures['rows']:,} rows of {figures['features']} features",
        f"rows of filled orders: {figures['rows_filled']:,}",
        f"orders: {orders}",
        f"effective sample size: {figures['n_effective']:.0f} (that many independent filled orders)",
        "what could be taken back in time, by latency:",
    ]
    for one in figures["latency_variants"]:
        earned = "" if one["orders"] == 0 else f", {one['win_rate']:.1%} won, mean {one['mean_net_r']:+.3f} R"
        lines.append(f"  {one['latency_ms']:>3} ms: {one['orders']:,} filled orders{earned}")
    return "\n".join([*lines, f"written: {figures['dataset']}"])


def _request(arguments: argparse.Namespace) -> RunRequest:
    """Return what is asked for; what the options leave open is taken from the run, if there is one."""
    if arguments.run_folder is None:
        return request_from(arguments)
    content = _run_settings(Path(arguments.run_folder))
    times = content.pop("run")
    content.pop("config_sha256", None)
    for entry in content["strategies"]:
        for parameters in entry["symbols"].values():
            for name in RESERVED_PARAMETERS:
                parameters.pop(name, None)
    arguments.start = arguments.start or (iso_time(times["start"]) if times["start"] else None)
    arguments.end = arguments.end or (iso_time(times["end"]) if times["end"] else None)
    # Through a file, so that it is checked as any settings are.
    with tempfile.TemporaryDirectory() as folder:
        arguments.config = Path(folder) / EFFECTIVE_CONFIG
        arguments.config.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        return request_from(arguments)


def _run_settings(folder: Path) -> dict[str, Any]:
    path = folder / EFFECTIVE_CONFIG
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        _ = content["run"]["start"], content["run"]["end"], content["strategies"][0]["symbols"].values()
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{folder} is no run: {EFFECTIVE_CONFIG} cannot be read ({error}); give a folder of var/runs"
        ) from error
    return content


def _latency(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 60_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of milliseconds from 0 to 60000")
    return value
