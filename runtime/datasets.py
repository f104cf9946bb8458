"""From a catalog or a run to a dataset: an ungated run gives the orders, its trades give the features."""

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, Final

import numpy as np
from nautilus_trader.model.instruments import Instrument
from numpy.typing import NDArray

from ml.break_even import break_even
from ml.dataset import Dataset
from ml.decisions import BAND_PCT, Decisions, find_decisions, leaking
from ml.features import NAMES, VERSION, WINDOW, schema_hash, state_dtype_sha256
from ml.kernels.features import ENTRY, TARGET
from ml.labels import (
    OrderLabel,
    Outcome,
    order_uniqueness,
    outcome_counts,
    sample_weights,
)
from ml.market import Market, Tape, perceive
from ml.passport import kernel_sha256
from runtime.cli import format_ns
from runtime.entry_watch import OrderHistory
from runtime.errors import ConfigurationError, DataError
from runtime.memory import release_memory
from runtime.node_config import fill_assumptions, is_spot
from runtime.run_entries import sha256_of, trade_files
from runtime.run_plan import RunPlan, perception_of, terms_of
from runtime.run_summary import json_values
from runtime.ungated import run_ungated, ungated
from strategies.account_view import market_of
from strategies.protection import capabilities

DAY_NS: Final = 86_400_000_000_000
LOOKBACK_SHARE: Final = 0.99
NANOS_PER_MILLI: Final = 1_000_000
LATENCIES_MS: Final = (0, 20, 50, 100, 500)  # reported; the dataset itself is made for one
PACKAGES: Final = ("nautilus_trader", "numpy", "numba")

type Columns = dict[str, NDArray[Any]]


def build_dataset(
    plan: RunPlan, latency_ms: float | None = None, on_time: Callable[[int], None] | None = None
) -> Dataset:
    """Run a plan without its gate and turn what its orders went through into rows.

    Parameters
    ----------
    plan
        From `plan_run`.
    latency_ms
        A decision counts only if its order had not filled this much later; None takes the latency of the
        simulated venue.
    on_time
        Called with the simulated time, UNIX nanoseconds.

    Raises
    ------
    ConfigurationError
        When the strategy has no buckets or rests no entries.
    DataError
        When trades were lost, or a feature turns out to know the future.
    """
    return dataset_of(ungated(plan), run_ungated(plan, on_time), latency_ms)


def dataset_of(
    plan: RunPlan, histories: Mapping[str, OrderHistory], latency_ms: float | None = None
) -> Dataset:
    """Turn what the orders of an ungated run went through into rows.

    Parameters
    ----------
    plan
        Of the run.
    histories
        Its entry orders, by instrument id.
    latency_ms
        As in `build_dataset`.

    Raises
    ------
    ConfigurationError
        When the strategy has no buckets.
    DataError
        When a feature turns out to know the future.
    """
    latency_ms = plan.request.settings.backtest.fills.latency_ms if latency_ms is None else latency_ms
    release_memory()  # of the engine, which lived until its run returned
    parts: list[Columns] = []
    labels: list[OrderLabel] = []
    for number, (instrument, strategy) in enumerate(zip(plan.instruments, plan.strategies, strict=True)):
        history = histories[instrument.id.value]
        parts.append(_rows_of(plan, number, instrument, strategy, history, len(labels)))
        labels += history.labels
        release_memory()
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    in_time = _in_time(columns, latency_ms)
    variants = [_variant(columns, one) for one in LATENCIES_MS]
    kept = np.flatnonzero(in_time & (columns["outcome"] != Outcome.UNKNOWN))
    # Instruments are interleaved by time; stable, so that one instrument keeps the order of its tape.
    kept = kept[np.argsort(columns["t0_ns"][kept], kind="stable")]
    chosen = {name: np.ascontiguousarray(column[kept]) for name, column in columns.items()}
    unique = order_uniqueness(chosen["order_id"], chosen["t0_ns"], chosen["t1_ns"])
    filled = np.isfinite(chosen["net_r"])
    meta = _meta(plan, chosen) | {
        "latency_ms": latency_ms,
        "latency_variants": variants,
        "orders": outcome_counts(labels),
        "tainted_orders": sum(label.is_tainted for label in labels),
        "rows": len(kept),
        "rows_filled": int(filled.sum()),
        "n_effective": float(
            order_uniqueness(
                chosen["order_id"][filled], chosen["t0_ns"][filled], chosen["t1_ns"][filled]
            ).sum()
        ),
        "leak_check": {"decisions": len(columns["t0_ns"]), "leaking": 0},
    }
    return Dataset(
        names=NAMES,
        schema_hash=schema_hash(),
        x=chosen["x"],
        y=(chosen["net_r"] > 0).astype(np.int8),
        net_r=chosen["net_r"],
        t0_ns=chosen["t0_ns"],
        t1_ns=chosen["t1_ns"],
        order_id=chosen["order_id"],
        weight=sample_weights(unique),
        day=chosen["t0_ns"] // DAY_NS,
        p_star=chosen["p_star"],
        meta=json_values(meta),
        aside={
            name: chosen[name]
            for name in ("fill_ns", "exit_ns", "outcome", "direction", "symbol", "known_ns", "is_tainted")
        },
    )


def _rows_of(
    plan: RunPlan, number: int, instrument: Instrument, strategy: Any, history: OrderHistory, first_id: int
) -> Columns:
    """Return the rows of one instrument, every column of the dataset and those aside."""
    found = perception_of(plan.spec, strategy, instrument)
    if found is None:
        raise ConfigurationError(f"strategy {plan.spec.name} has no buckets: there is nothing to learn from")
    trades = plan.catalog.read_trades_all(instrument.id.value, plan.data_from_ns, plan.last_ns)
    tape = Tape(trades.ts_ns, trades.price_ticks, trades.size_lots, trades.is_buyer)
    del trades  # and with them the ids
    see: Callable[..., Market] = partial(perceive, buckets=found[0], structure=found[1])
    market = see(tape)
    decisions = find_decisions(
        tape,
        market,
        history.labels,
        history.stretches,
        Fraction(instrument.price_increment.as_decimal()),
        float(strategy.config.get("approach_band_pct", BAND_PCT)),
    )
    x = decisions.features(market)
    known_at, packets = market.known_at, market.packets
    first = np.maximum(decisions.last - WINDOW + 1, 0)
    columns = _label_columns(history.labels, decisions.order) | {
        "x": x,
        "t0_ns": decisions.ts_ns,
        "order_id": decisions.order + first_id,
        "p_star": _break_even(instrument, decisions),
        "symbol": np.full(len(decisions), number, np.int64),
        "known_ns": packets["ts_close_ns"][decisions.last].astype(np.int64),
        "lookback_ns": decisions.ts_ns - packets["ts_open_ns"][first].astype(np.int64),
    }
    del market, packets  # the check makes its own
    leaks = leaking(tape, known_at, decisions, x, see)
    if leaks:
        raise DataError(
            f"{len(leaks)} decisions of {instrument.id} know the future, the first at "
            f"{format_ns(int(decisions.ts_ns[leaks[0]]))}: no dataset is written, this is a bug to report"
        )
    return columns


def _label_columns(labels: Sequence[OrderLabel], order: NDArray[np.int64]) -> Columns:
    whole = {
        "t1_ns": [one.known_ns for one in labels],
        "fill_ns": [one.fill_ns for one in labels],
        "exit_ns": [one.exit_ns for one in labels],
        "outcome": [int(one.outcome) for one in labels],
        "direction": [one.direction for one in labels],
        "is_tainted": [int(one.is_tainted) for one in labels],
    }
    columns: Columns = {name: np.array(values, np.int64)[order] for name, values in whole.items()}
    columns["net_r"] = np.array([one.net_r for one in labels], np.float64)[order]
    return columns


def _break_even(instrument: Instrument, decisions: Decisions) -> NDArray[np.float64]:
    account = "cash" if is_spot(instrument) else "margin"
    market = market_of(instrument, capabilities(instrument.id.venue.value, account), account)  # type: ignore[arg-type]
    maker, taker = float(market.maker_fee), float(market.taker_fee)
    fees = {
        "entry_fee": maker,
        "target_fee": maker if market.target_rests else taker,
        "stop_fee": taker,
    }
    prices = decisions.orders[:, ENTRY : TARGET + 1].tolist()
    return np.array([break_even(*one, **fees) for one in prices], np.float64)


def _in_time(columns: Mapping[str, NDArray[Any]], latency_ms: float) -> NDArray[np.bool_]:
    latest_ns = columns["t0_ns"] + round(latency_ms * NANOS_PER_MILLI)
    return np.asarray((columns["fill_ns"] == 0) | (columns["fill_ns"] > latest_ns))


def _variant(columns: Mapping[str, NDArray[Any]], latency_ms: int) -> dict[str, Any]:
    """Return how many filled orders could have been taken back at this latency, and what they earned."""
    chosen = _in_time(columns, latency_ms) & np.isfinite(columns["net_r"])
    _, first = np.unique(columns["order_id"][chosen], return_index=True)
    net_r = columns["net_r"][chosen][first]
    return {
        "latency_ms": latency_ms,
        "rows": int(chosen.sum()),
        "orders": len(net_r),
        "win_rate": float((net_r > 0).mean()) if len(net_r) else None,
        "mean_net_r": float(net_r.mean()) if len(net_r) else None,
    }


def _meta(plan: RunPlan, columns: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return where the rows come from."""
    settings = plan.request.settings.backtest
    t0_ns, t1_ns = columns["t0_ns"], columns["t1_ns"]
    return {
        "strategy": plan.spec.name,
        "strategy_version": plan.spec.version,
        "parameters": {str(one.config["instrument_id"]): dict(one.config) for one in plan.strategies},
        "symbols": [one.id.value for one in plan.instruments],
        "streams": {
            one.id.value: _stream(plan, one, strategy)
            for one, strategy in zip(plan.instruments, plan.strategies, strict=True)
        },
        "bucket_usd": str(plan.strategies[0].config["bucket_usd"]),
        "catalog": str(plan.catalog.path),
        "span": {"first": format_ns(plan.first_ts_ns), "last": format_ns(plan.last_ts_ns)},
        # A run that begins before its end is in-sample.
        "in_sample": {
            "first_ns": int(t0_ns[0]) if len(t0_ns) else None,
            "last_ns": int(t1_ns.max()) if len(t1_ns) else None,
        },
        "ticks": plan.ticks,
        "fills": fill_assumptions(settings, plan.instruments),
        "feature_version": VERSION,
        "kernel_sha256": kernel_sha256(),
        "state_dtype_sha256": state_dtype_sha256(),
        "lookback_secs": _lookback_secs(columns["lookback_ns"]),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _lookback_secs(lookback_ns: NDArray[np.int64]) -> float:
    """Return how far rows look back: the time that the longest window of buckets took, 99th percentile.

    Not the maximum: one hole in the data would set the embargo of all rows, and those few that reach further
    share only their oldest buckets with others.
    """
    return float(np.quantile(lookback_ns, LOOKBACK_SHARE)) / 1e9 if len(lookback_ns) else 0.0


def _stream(plan: RunPlan, instrument: Instrument, strategy: Any) -> dict[str, Any]:
    (entry,) = (
        one
        for one in plan.catalog.manifest.series.values()
        if one.instrument == instrument.id.value and one.kind != "klines"
    )
    perceived = perception_of(plan.spec, strategy, instrument)
    return {
        "venue": instrument.id.venue.value,
        "stream": entry.kind,
        "synthetic": entry.synthetic,
        "bucket_usd": str(strategy.config["bucket_usd"]),
        "tick_size": str(instrument.price_increment),
        "lot_size": str(instrument.size_increment),
        "parameters": terms_of(plan.spec, strategy),
        **({} if perceived is None else {"vpin_window": perceived[0].vpin_window}),
        "files": [
            {
                "name": one.path,
                "rows": one.rows,
                "first_id": one.first_id,
                "last_id": one.last_id,
                "missing_ids": one.missing_ids,
                "sha256": sha256_of(plan.catalog.path / one.path),
            }
            for one in trade_files(plan, instrument.id.value)
        ],
    }
