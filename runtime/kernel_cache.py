"""Compiles the kernels in another process: the compiler needs 170 MB that a run would keep to its end."""

import contextlib
import multiprocessing
import tempfile
from dataclasses import replace
from typing import Final

import msgspec

from indicators.kernels.jit import cache_folder
from packet_builder.builder import VolumeBucketBuilder
from runtime.backtest import run_backtest
from runtime.bucket_windows import bucket_config
from runtime.cli import say
from runtime.run_plan import RunPlan, plan_run
from runtime.run_request import RunRequest

TRIAL_TRADES: Final = 20_000
TRIAL_BARS_NS: Final = 86_400_000_000_000


def ensure_compiled(plan: RunPlan) -> None:
    """Fill the cache of compiled kernels if it is empty: once per machine and version of the kernels.

    A child process runs the plan's strategy over the first trades and throws the result away. If that
    fails, nothing is lost: the run itself will say what is wrong.
    """
    if any(cache_folder().rglob("*.nbi")):
        return
    say("compiling the kernels, once: up to a minute")
    child = multiprocessing.get_context("spawn").Process(target=trial_run, args=(plan.request,))
    child.start()
    child.join()


def trial_run(request: RunRequest) -> bool:
    """Run a request over its first 20,000 trades, or its first day of bars, into a folder that is deleted.

    Nothing of it goes into the journal: nobody asked for this run. Returns whether it came to its end.
    """
    with contextlib.suppress(Exception), tempfile.TemporaryDirectory() as runs:
        backtest = msgspec.structs.replace(request.settings.backtest, runs=runs)
        journal = msgspec.structs.replace(request.settings.journal, backtests=False)
        settings = msgspec.structs.replace(request.settings, backtest=backtest, journal=journal)
        plan = plan_run(replace(request, settings=settings))
        if plan.on_bars:
            end_ns = plan.first_ts_ns + TRIAL_BARS_NS
            run_backtest(plan_run(replace(plan.request, start_ns=None, end_ns=end_ns)))
            return True
        instrument, strategy = plan.instruments[0], plan.strategies[0]
        trades = next(plan.catalog.read_trades(instrument.id.value, plan.data_from_ns, plan.last_ns))
        trades = trades[:TRIAL_TRADES]
        if "bucket_usd" in strategy.config:
            builder = VolumeBucketBuilder(bucket_config(strategy.config, instrument))
            builder.scan(trades.ts_ns, trades.price_ticks, trades.size_lots, trades.is_buyer, trades.trade_id)
        run_backtest(plan_run(replace(plan.request, start_ns=None, end_ns=int(trades.ts_ns[-1]) + 1)))
        return True
    return False
