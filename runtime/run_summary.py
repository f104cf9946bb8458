"""The summary of a run: the one JSON object of ``backtest_node.py run --json``."""

import resource
import sys
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import numpy as np

from ml.ledger import doubted
from runtime.backtest import RunResult
from runtime.cli import format_ns
from runtime.node_config import fill_assumptions, settlement_currency
from runtime.run_plan import RunPlan

SKIP_PREFIX: Final = "zones_skipped_"
IN_SAMPLE_DOUBT: Final = "in-sample: the model was trained on these days"
COUNTERS: Final = ("buckets", "zones", "entries_submitted", "entries_filled", "entries_cancelled_by_model")


def summary_of(
    result: RunResult, figures: Mapping[str, Any], explained: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the summary of a run: every field of ``backtest_node.py run --json``.

    Parameters
    ----------
    result
        The run.
    figures
        From ``runtime.backtest_commands.run.figures_of``.
    explained
        From `runtime.contributions.explain_result`, by instrument id; None where nothing was explained.

    Returns
    -------
    dict
        Only JSON values: decimals become numbers, NaN and infinities None.
    """
    plan = result.plan
    counters = result.counters
    start, final = result.starting_balance, result.final_balance
    names = [one.id.value for one in plan.instruments]
    summary: dict[str, Any] = {
        "run_id": result.run_id,
        "strategy": plan.spec.name,
        "strategy_version": plan.spec.version,
        "instruments": names,
        "start": format_ns(plan.trade_from_ns or plan.first_ts_ns),
        "end": format_ns(plan.last_ts_ns),
        "data_from": format_ns(plan.first_ts_ns),
        "synthetic": any(
            entry.synthetic for entry in plan.catalog.manifest.series.values() if entry.instrument in names
        ),
        "ticks": plan.ticks,
        **{name: counters.get(name, 0) for name in COUNTERS},
        "zones_skipped": {
            name.removeprefix(SKIP_PREFIX): count
            for name, count in sorted(counters.items())
            if name.startswith(SKIP_PREFIX)
        },
        "counters": dict(sorted(counters.items())),
        **figures,
        "currency": settlement_currency(plan.instruments[0]),
        "starting_balance": start,
        "final_balance": final,
        "total_return_pct": (final / start - 1) * 100,
        "funding_of_open": result.funding - Decimal(figures["funding"]),
        "funding_times": dict(plan.funding.times),
        "funding_missing": dict(plan.funding.missing),
        "open_positions": list(result.open_positions),
        "model": {
            name: gate_of(report, plan, (explained or {}).get(name)) for name, report in result.gates.items()
        }
        or None,
        "signal_model": None
        if result.signal_model is None
        else {**result.signal_model, "in_sample": _knows_these_days(result.signal_model, plan)},
        "data": "bars" if plan.on_bars else "trades",
        **({"bar_feed": result.bar_feed} if plan.on_bars else {}),
        **({"volume_shares": result.volume_shares} if plan.on_bars else {}),
        "fills": fill_assumptions(plan.request.settings.backtest, plan.instruments, on_bars=plan.on_bars),
        "decision_sha256": result.folder.decision_sha256,
        "config_sha256": result.config["config_sha256"],
        "engine_ticks_per_s": plan.ticks / result.engine_s if result.engine_s > 0 else None,
        "engine_s": result.engine_s,
        "wall_s": time.perf_counter() - result.started_s,
        "peak_rss_mb": peak_rss_mb(),
        "run_dir": str(result.folder.path),
    }
    plain: dict[str, Any] = json_values(summary)
    return plain


def gate_of(report: Mapping[str, Any], plan: RunPlan, explained: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a gate's report, whether its model knows the days of the run, and why it cancelled.

    Parameters
    ----------
    report
        Of the strategy.
    plan
        Of the run.
    explained
        Of the instrument, see `summary_of`.

    Returns
    -------
    dict
        The report with ``in_sample`` (in or before the training), ``unfit_share`` (of the decisions, None
        without one) and ``contributions``; the ledger of an in-sample run has no skill, with that doubt.
    """
    in_sample = _knows_these_days(report, plan)
    counts = report.get("decisions", {})
    asked = sum(counts.values())
    return {
        **report,
        "in_sample": in_sample,
        "ledger": doubted(report["ledger"], IN_SAMPLE_DOUBT) if in_sample else report["ledger"],
        "unfit_share": counts.get("unfit_row", 0) / asked if asked else None,
        "contributions": explained,
    }


def _knows_these_days(report: Mapping[str, Any], plan: RunPlan) -> bool:
    span = report.get("trained_ns")
    # What is replayed before the first entry may happen only warms up: nothing is decided there.
    first_ns = max(plan.first_ts_ns, plan.trade_from_ns)
    # Days before the training are no better than those of it: such a model knows their future.
    return span is not None and first_ns <= span[1]


def json_values(value: Any) -> Any:
    """Return a value with decimals as numbers and what JSON cannot say (NaN, infinity) as None."""
    if isinstance(value, Mapping):
        return {str(key): json_values(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(one) for one in value]
    if isinstance(value, Decimal | float | np.floating):
        number = float(value)
        return number if np.isfinite(number) else None
    return value


def peak_rss_mb() -> float:
    """Return the largest memory this process has held so far, in MB of 2**20 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / (1 << 10)
