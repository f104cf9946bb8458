"""Compiles the kernels before a node connects: a loop that compiles for a minute answers nobody."""

import contextlib
import multiprocessing
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from indicators.kernels.jit import cache_folder
from runtime.cli import say
from runtime.kernel_cache import trial_run
from runtime.live.plan import LivePlan
from runtime.run_request import RunRequest
from runtime.sample import SampleRequest, make_sample
from runtime.settings import Settings, StrategySettings

SAMPLE_INSTRUMENT: Final = "BTCUSDT.BINANCE"


def ensure_compiled(plan: LivePlan) -> None:
    """Fill the cache of compiled kernels if it is empty: once per machine and version of the kernels.

    A child process runs the plan's strategies over a synthetic tape and throws the result away. If that
    fails, nothing is lost: the node compiles when the first trades come, and is late for a minute.
    """
    if any(cache_folder().rglob("*.nbi")):
        return
    say("compiling the kernels, once: up to two minutes")
    names = tuple(dict.fromkeys(one.spec.name for one in plan.strategies))
    child = multiprocessing.get_context("spawn").Process(target=compile_for, args=(names,))
    child.start()
    child.join()


def compile_for(strategies: tuple[str, ...]) -> None:
    """Run strategies, by name, over a synthetic tape in a folder that is deleted."""
    with contextlib.suppress(Exception), tempfile.TemporaryDirectory() as folder:
        make_sample(SampleRequest(days=1), Path(folder))
        for name in strategies:
            entry = StrategySettings(strategy=name, instruments=(SAMPLE_INSTRUMENT,))
            settings = msgspec.structs.replace(Settings(), strategies=(entry,), catalog=folder)
            trial_run(RunRequest(settings, "config.yaml", Path(folder)))
