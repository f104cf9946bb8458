"""``python -m ml dataset``: a catalog or a run in, a dataset out."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runtime import signals_command
from runtime.cli import add_command, print_json, progress_bar
from runtime.errors import EXIT_DONE, ConfigurationError
from runtime.run_request import add_replay_arguments, request_from

if TYPE_CHECKING:
    from runtime.entry_watch import OrderHistory
    from runtime.run_plan import RunPlan

DATASETS: Final = Path("var/datasets")
EXAMPLE: Final = (
    "python -m ml dataset --run var/runs/20260318T130500123456Z-ote-4711 --out var/datasets/btc\n"
    "  python -m ml dataset --catalog var/catalog --instrument BTCUSDT.BINANCE --out var/datasets/btc --json"
)
# Options of a replay, which `--run` makes meaningless.
OF_A_REPLAY: Final = (
    "config", "strategy", "instrument", "start", "end", "parameters", "chunk_size", "balance", "maker_fee",
    "taker_fee", "slippage",
)  # fmt: skip


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "dataset",
        run,
        "Make a dataset: one row per look at a resting entry, labelled by what an ungated run made of it. "
        "The run is one of var/runs, or is made now over a catalog.",
        EXAMPLE,
    )
    add_replay_arguments(parser)
    signals_command.add_option(parser)
    parser.add_argument(
        "--run",
        metavar="DIR",
        dest="run_folder",
        help="folder of a finished run that kept every entry; nothing is replayed, so only --catalog (where "
        "its catalog is now), --latency-ms, --out and --json go with it",
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
    from runtime.datasets import dataset_of
    from runtime.memory import spare_memory

    spare_memory()
    plan, histories = _plan_and_histories(arguments)
    path, _ = paths(arguments.out or DATASETS / "-".join(one.id.value for one in plan.instruments))
    dataset = dataset_of(plan, histories, arguments.latency_ms)
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


def _plan_and_histories(arguments: argparse.Namespace) -> "tuple[RunPlan, dict[str, OrderHistory]]":
    """Return a run's entries: those of ``--run``, or of a run that is made now."""
    from runtime.kernel_cache import ensure_compiled
    from runtime.run_histories import read_run
    from runtime.run_plan import percent_of, plan_run, require_trades
    from runtime.ungated import run_ungated, ungated

    if arguments.run_folder is not None:
        given = [name for name in OF_A_REPLAY if getattr(arguments, name) not in (None, [])]
        if given:
            option = "--" + ("set" if given[0] == "parameters" else given[0].replace("_", "-"))
            raise ConfigurationError(
                f"{option} does not go with --run: the run is over; leave it out, or leave out --run"
            )
        catalog = None if arguments.catalog is None else Path(arguments.catalog)
        return read_run(Path(arguments.run_folder), catalog)
    planned = plan_run(request_from(arguments))
    require_trades(planned, "a dataset of entries")
    plan = ungated(planned)
    ensure_compiled(plan)
    with progress_bar("ungated run, % of the time", total=100) as advance:
        return plan, run_ungated(plan, percent_of(plan, advance))


def _latency(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 60_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of milliseconds from 0 to 60000")
    return value
