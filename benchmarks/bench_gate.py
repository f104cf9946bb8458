"""The gate: from a trade to the model's probability, and what asking costs a backtest.

Goals, on a quiet machine: trade to bucket to features to probability 4 us in the median and 8 us at the 99th
percentile, and at most a thirtieth of XGBoost's own call for one row in the same run; an engine run in which
the model is asked takes at most 1.15 times the processor time of one with the default policy.

    python benchmarks/bench_gate.py --catalog DIR [--instrument XRPUSDT.BINANCE] [--end ISO] [--trades 300000]
                                    [--passes 3] [--repeat 3] [--chain-only] [--json]

The chain is what the strategy runs on a trade while an entry rests near the price: it is put into its bucket
and the model is asked; then, where a bucket closed, structure and features are told, and that time counts for
this trade too. Real trades of the catalog with an entry always within reach, timed one by one by the same
calls, in several passes; the fastest of a trade's passes is what other work of the machine did not disturb.
The model is trained before, on a dataset of the same trades, and given 200 trees of depth 5: how good it is
does not matter here, its size does.

The engine runs twice with the model: `ignore`, in which a model without skill is asked on every trade of
every approach and nothing is cancelled, so orders and fills are those of the default policy; and `obey`.
Each run is a process of its own, variants alternate.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import xgboost as xgb

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.bench_engine import WARM_UP_TRADES, time_after  # noqa: E402
from indicators.engine import StructureEngine  # noqa: E402
from ml.booster import (  # noqa: E402
    Machine,
    Rows,
    TreeSettings,
    margins,
    model_bytes,
    raw_probabilities,
    train_booster,
)
from ml.calibration import calibrate  # noqa: E402
from ml.dataset import Dataset  # noqa: E402
from ml.features import NAMES, schema_hash  # noqa: E402
from ml.gate import Gate, GateRules  # noqa: E402
from ml.model import Wanted, load_model  # noqa: E402
from ml.passport import (  # noqa: E402
    HASH_ATTRIBUTE,
    MODEL_FILE,
    PASSPORT_FILE,
    Probe,
    decode,
    encode,
    kernel_sha256,
    model_sha256,
    seal,
    self_hash,
)
from ml.walker import Walker  # noqa: E402
from packet_builder.builder import VolumeBucketBuilder  # noqa: E402
from runtime.backtest import run_backtest  # noqa: E402
from runtime.cli import iso_time  # noqa: E402
from runtime.memory import spare_memory  # noqa: E402
from runtime.nodes import Node  # noqa: E402
from runtime.run_plan import RunPlan, plan_run  # noqa: E402
from runtime.run_request import RunRequest  # noqa: E402
from runtime.settings import BacktestSettings, Settings  # noqa: E402
from strategies.entry_judge import RestingEntry  # noqa: E402
from strategies.model_policy import ModelPolicy  # noqa: E402
from strategies.ote import CLOSED_BUCKET  # noqa: E402
from strategies.ote_config import OteConfig, perception  # noqa: E402

VARIANTS = ("default", "ignore", "obey")
BUCKET_USD = "10000"
TREES, DEPTH = 200, 5
SHARES = {"median_us": 0.5, "p99_us": 0.99}
WARM_UP_CALLS = 200

type Trade = tuple[int, float, float, bool, int]


class Passed(NamedTuple):
    """One pass over the trades, all of shape (n,)."""

    asked_ns: np.ndarray  # from the trade to its probability
    whole_ns: np.ndarray  # and to the end of what the buckets that it closed need
    is_closing: np.ndarray
    is_scored: np.ndarray


def plan_of(arguments: argparse.Namespace, runs: str, variant: str, end_ns: int | None) -> RunPlan:
    """Plan a run."""
    gate = {} if variant == "default" else {"model": arguments.model, "model_without_skill": variant}
    return plan_run(
        RunRequest(
            settings=Settings(backtest=BacktestSettings(runs=runs)),
            source="benchmark",
            catalog=Path(arguments.catalog),
            strategy="ote",
            instruments=(arguments.instrument,),
            end_ns=end_ns,
            command_line={"bucket_usd": BUCKET_USD, **gate},
        )
    )


def end_ns_of(arguments: argparse.Namespace) -> int | None:
    """Return the end of the data that are measured."""
    return None if arguments.end is None else int(iso_time(arguments.end))


def engine_run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one variant in this process; return processor seconds of the engine and how often it was asked."""
    spare_memory()
    run_node = Node.run
    taken: list[float] = []

    def timed(node: Node) -> Any:
        start = time.process_time()
        result = run_node(node)
        taken.append(time.process_time() - start)
        return result

    Node.run = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as runs:
        plan = plan_of(arguments, runs, arguments.variant, end_ns_of(arguments))
        warm_up = plan_of(arguments, runs, arguments.variant, time_after(plan, WARM_UP_TRADES))
        run_backtest(warm_up)
        result = run_backtest(plan)
    asked = [sum(report["decisions"].values()) for report in result.gates.values() if "decisions" in report]
    latency = [report["latency"] for report in result.gates.values() if "latency" in report]
    return {
        "cpu_s": taken[-1],
        "ticks": plan.ticks,
        "entries": result.counters["entries_submitted"],
        "asked": sum(asked),
        "latency_us": {name: latency[0][name] for name in ("p50_us", "p99_us")} if latency else None,
        "decision_sha256": result.folder.decision_sha256,
    }


def trades_of(plan: RunPlan, count: int) -> list[Trade]:
    """Return the first trades as the strategy gets them."""
    instrument = plan.instruments[0]
    tick, lot = float(instrument.price_increment), float(instrument.size_increment)
    digits = instrument.price_precision, instrument.size_precision
    found: list[Trade] = []
    for part in plan.catalog.read_trades(instrument.id.value):
        prices = np.round(part.price_ticks * tick, digits[0]).tolist()
        sizes = np.round(part.size_lots * lot, digits[1]).tolist()
        rows = zip(
            part.ts_ns.tolist(), prices, sizes, part.is_buyer.tolist(), part.trade_id.tolist(), strict=True
        )
        found += rows
        if len(found) >= count:
            break
    return found[:count]


def model_policy(arguments: argparse.Namespace) -> ModelPolicy:
    """Load the model as the strategy does."""
    wanted = Wanted(
        feature_names=NAMES,
        feature_schema=schema_hash,
        kernel_sha256=kernel_sha256(),
        instrument_id=arguments.instrument,
        stream="trades",
        bucket_usd=float(BUCKET_USD),
        now_ns=0,
    )
    gate = Gate(load_model(arguments.model, wanted), GateRules())
    policy = ModelPolicy(gate, entry_fee=0.0, stop_fee=0.0, target_fee=0.0)
    policy.warm_up()
    return policy


def one_pass(
    arguments: argparse.Namespace, plan: RunPlan, trades: list[Trade], policy: ModelPolicy
) -> tuple[Passed, list[np.ndarray]]:
    """Time every trade of the chain by the calls of the strategy; return times and rows that it met."""
    instrument = plan.instruments[0]
    config = OteConfig(instrument_id=instrument.id, bucket_usd=Decimal(BUCKET_USD))
    tick, lot = instrument.price_increment.as_decimal(), instrument.size_increment.as_decimal()
    buckets, structure_config = perception(config, tick, lot)
    builder, structure = VolumeBucketBuilder(buckets), StructureEngine(structure_config)
    push, look, update, observe = builder.push, policy.look, structure.update, policy.observe
    first = trades[0][1]
    prices = [share * first for share in (0.99, 0.98, 1.02, 0.985, 1.02)]
    policy.open_order()
    policy.hold(RestingEntry(1, *prices, placed_ns=trades[0][0], placed_seq=0))
    clock = time.perf_counter_ns
    asked_ns, whole_ns = np.zeros(len(trades), np.int64), np.zeros(len(trades), np.int64)
    is_closing, is_scored = np.zeros(len(trades), np.bool_), np.zeros(len(trades), np.bool_)
    rows: list[np.ndarray] = []
    for at, (ts_ns, price, size, is_buyer, trade_id) in enumerate(trades):
        start = clock()
        closed = push(ts_ns, price, size, is_buyer, trade_id)
        probability = look(ts_ns, price)
        middle = clock()
        if closed:
            packets = builder.closed
            for index, row in enumerate(CLOSED_BUCKET.iter_unpack(packets.tobytes())):
                _seq, ts_open, ts_close, open_, high, low, close, qty, buy_qty, _tainted = row
                update(ts_open, ts_close, open_, high, low, close, qty, buy_qty)
                observe(packets[index], structure, None)
        end = clock()
        asked_ns[at], whole_ns[at], is_closing[at] = middle - start, end - start, bool(closed)
        is_scored[at] = probability == probability
        if at % 100 == 99 and is_scored[at]:
            rows.append(policy.gate.row.copy())
    return Passed(asked_ns, whole_ns, is_closing, is_scored), rows


def chain(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time the chain several times over the same trades, and XGBoost's own call on rows that it met."""
    plan = plan_of(arguments, "unused", "default", end_ns_of(arguments))
    trades = trades_of(plan, arguments.trades)
    passes = []
    for _ in range(arguments.passes):
        policy = model_policy(arguments)
        passed, rows = one_pass(arguments, plan, trades, policy)
        passes.append(passed)
    skip = len(trades) // 5  # look-backs fill, and the machine gets warm
    asked_ns, whole_ns = (
        np.array([getattr(one, name)[skip:] for one in passes]) for name in ("asked_ns", "whole_ns")
    )
    closing = passes[0].is_closing[skip:]
    xgboost_ns = np.median(time_xgboost(arguments, rows))
    scorer = policy.gate.model.scorer
    assert isinstance(scorer, Walker)
    return {
        "trades": len(trades),
        "scored": int(passes[0].is_scored.sum()),
        "closing_share": float(closing.mean()),
        "trees": scorer.tree_count,
        "columns": len(policy.gate.names),
        "asked": quantiles(asked_ns),
        "whole": quantiles(whole_ns),
        "undisturbed": quantiles(whole_ns.min(axis=0)),
        "undisturbed_asked": quantiles(asked_ns.min(axis=0)),
        "closing": quantiles(whole_ns.min(axis=0)[closing]),
        "inplace_predict_us": float(xgboost_ns) / 1e3,
        "inplace_predict_over_chain": float(xgboost_ns / np.median(whole_ns)),
    }


def quantiles(durations_ns: np.ndarray) -> dict[str, float]:
    """Return median and 99th percentile, microseconds."""
    return {name: float(np.quantile(durations_ns, share)) / 1e3 for name, share in SHARES.items()}


def time_xgboost(arguments: argparse.Namespace, rows: list[np.ndarray]) -> np.ndarray:
    """Time `inplace_predict` of one row, the fastest way that XGBoost has."""
    content = (Path(arguments.model) / MODEL_FILE).read_bytes()
    booster = xgb.Booster({"nthread": 1}, model_file=bytearray(content))
    one = np.empty((1, len(rows[0])))
    taken = []
    for row in rows[: 10 * WARM_UP_CALLS]:
        one[:] = row
        start = time.perf_counter_ns()
        booster.inplace_predict(one, validate_features=False)
        taken.append(time.perf_counter_ns() - start)
    return np.array(taken[WARM_UP_CALLS:])


def child(arguments: argparse.Namespace, variant: str) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--catalog", arguments.catalog, "--instrument", arguments.instrument]
    command += ["--variant", variant, "--model", arguments.model, "--trades", str(arguments.trades)]
    command += ["--passes", str(arguments.passes), *(["--end", arguments.end] if arguments.end else [])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def train(arguments: argparse.Namespace, folder: Path) -> None:
    """Make a model of the trades that are measured."""
    dataset = folder / "dataset.parquet"
    common = {"check": True, "cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-m", "ml", "dataset", "--catalog", arguments.catalog]
    command += ["--instrument", arguments.instrument, "--set", f"bucket_usd={BUCKET_USD}"]
    command += ["--out", str(dataset), *(["--end", arguments.end] if arguments.end else [])]
    subprocess.run(command, **common)  # type: ignore[call-overload]
    command = [sys.executable, "-m", "ml", "train", str(dataset), "--out", arguments.model]
    # Fewer events than the default asks for.
    command += ["--set", "min_effective=1", "--set", "drop_tainted=false", "--set", "valid_days=3650"]
    subprocess.run(command, **common)  # type: ignore[call-overload]
    give_usual_size(Path(arguments.model), Dataset.load(dataset))


def give_usual_size(folder: Path, data: Dataset) -> None:
    """Give the model 200 trees of depth 5: one that finds nothing in few events stops after ten.

    The trees are grown on outcomes drawn by lot, so the model knows nothing and says so, as before.
    """
    passport = decode((folder / PASSPORT_FILE).read_bytes())
    x = data.x[np.isfinite(data.x).all(axis=1)]
    lots = (np.random.default_rng(1).random(len(x)) < 0.4).astype(np.int8)
    trees, rows = TreeSettings(max_depth=DEPTH, min_child_weight=1.0), Rows(x, lots, np.ones(len(x)))
    booster, _ = train_booster(rows, data.names, trees, Machine(1, "cpu", 1), TREES, monotone={})
    probe, margin = x[:8], margins(booster, x[:8])
    changed = msgspec.structs.replace(
        passport,
        probe=Probe(
            x=tuple(tuple(row) for row in probe.tolist()),
            margin=tuple(margin.tolist()),
            p=tuple(raw_probabilities(booster, probe).tolist()),
            calibrated=tuple(calibrate(margin, passport.calibration).tolist()),
        ),
    )
    content = model_bytes(booster, {HASH_ATTRIBUTE: self_hash(seal(changed))})
    changed = seal(msgspec.structs.replace(changed, model_sha256=model_sha256(content)))
    (folder / MODEL_FILE).write_bytes(content)
    (folder / PASSPORT_FILE).write_bytes(encode(changed))


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, then measure the chain and the engine."""
    with tempfile.TemporaryDirectory() as folder:
        if arguments.model is None:
            arguments.model = str(Path(folder) / "model")
            train(arguments, Path(folder))
        figures: dict[str, Any] = {"chain": child(arguments, "chain")}
        if arguments.chain_only:
            return figures
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
        for _ in range(arguments.repeat):
            for name, results in runs.items():
                results.append(child(arguments, name))
    median = {name: statistics.median(one["cpu_s"] for one in runs[name]) for name in VARIANTS}
    figures["engine"] = {
        name: {**runs[name][-1], "cpu_s": median[name], "ratio": median[name] / median["default"]}
        for name in VARIANTS
    }
    return figures


def main() -> int:
    """Measure and print, as text or as one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--catalog", required=True)
    parser.add_argument("--instrument", default="XRPUSDT.BINANCE")
    parser.add_argument("--end", help="use only the trades before this time")
    parser.add_argument("--trades", type=int, default=300_000, help="trades through the chain (300000)")
    parser.add_argument("--passes", type=int, default=3, help="passes of the chain (3)")
    parser.add_argument("--repeat", type=int, default=3, help="engine runs per variant (3)")
    parser.add_argument("--model", help="folder of a model (default: one is trained)")
    parser.add_argument("--chain-only", action="store_true", help="leave the engine out")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--variant", choices=["chain", *VARIANTS], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        print(json.dumps(chain(arguments) if arguments.variant == "chain" else engine_run(arguments)))
        return 0
    figures = measure(arguments)
    print(json.dumps(figures) if arguments.json else text(figures))
    return 0


def text(figures: dict[str, Any]) -> str:
    """Return the figures for a person."""
    one = figures["chain"]
    lines = [
        f"{one['trades']:,} trades, {100 * one['closing_share']:.1f} % close a bucket",
        f"{one['trees']} trees, {one['columns']} columns",
        spread("trade to probability", one["asked"]),
        spread("with the buckets it closed", one["whole"]) + "   (goal 4 and 8, quiet machine)",
        spread("the same, fastest pass of each trade", one["undisturbed"]),
        spread("to probability, fastest pass", one["undisturbed_asked"]),
        spread("trades that close a bucket, fastest pass", one["closing"]),
        f"  inplace_predict of one row: {one['inplace_predict_us']:.1f} us",
        f"  over the chain: {one['inplace_predict_over_chain']:.0f} (goal: at least 30)",
    ]
    for name, run in figures.get("engine", {}).items():
        each = f"{1e6 * run['cpu_s'] / run['ticks']:6.2f} us/trade   ratio {run['ratio']:.3f}"
        lines.append(f"  engine, {name:8s}{each}   asked {run['asked']:,} times, {run['entries']:,} entries")
    return "\n".join(lines)


def spread(what: str, found: dict[str, float]) -> str:
    """Return a line of two quantiles."""
    return f"  {what:42s} median {found['median_us']:6.2f} us   p99 {found['p99_us']:6.2f} us"


if __name__ == "__main__":
    sys.exit(main())
