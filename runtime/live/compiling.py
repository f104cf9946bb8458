"""Compiles the kernels before a node connects: a loop that compiles for a minute answers nobody."""

import multiprocessing
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from indicators.kernels.jit import ROOT, cache_folder
from runtime.cli import say, warn
from runtime.live.plan import LivePlan
from runtime.settings import Settings, StrategySettings

SAMPLE_INSTRUMENT: Final = "BTCUSDT.BINANCE"


def ensure_compiled(plan: LivePlan) -> None:
    """Compile what the plan's strategies need, once per strategy, machine and version of the kernels.

    A child process runs each strategy over a synthetic tape and throws the result away. If that fails,
    nothing is lost: the node compiles when the first trades come, and is deaf for a minute.
    """
    names = {one.spec.name for one in plan.strategies}
    missing = sorted(name for name in names if not is_compiled(name))
    if not missing:
        return
    say(f"compiling the kernels of {', '.join(missing)}, once: up to two minutes")
    child = multiprocessing.get_context("spawn").Process(target=compile_for, args=(tuple(missing),))
    child.start()
    child.join()
    if child.exitcode:
        warn("the kernels could not be compiled beforehand: the node will answer nobody for its first minute")


def is_compiled(name: str) -> bool:
    """Tell whether a strategy ran in this folder of the program before.

    That some kernels are in the cache says nothing: a backtest, a simulator or a start that was interrupted
    leave a part of them there.
    """
    try:
        return str(ROOT) in mark_of(name).read_text(encoding="utf-8").splitlines()
    except OSError:
        return False


def mark_of(name: str) -> Path:
    """Return the file that lists the places of the program whose kernels were compiled for a strategy.

    Numba keeps kernels by the path of their source: the same cache serves one place and not another.
    """
    return cache_folder() / f"{name}.compiled"


def compile_for(strategies: tuple[str, ...]) -> None:
    """Run strategies, by name, over a synthetic tape in a folder that is deleted; mark those that ran."""
    # The engine of backtests and what makes samples: a node whose kernels are there starts without them.
    from runtime.kernel_cache import trial_run
    from runtime.run_request import RunRequest
    from runtime.sample import SampleRequest, make_sample

    with tempfile.TemporaryDirectory() as folder:
        make_sample(SampleRequest(days=1), Path(folder))
        for name in strategies:
            entry = StrategySettings(strategy=name, instruments=(SAMPLE_INSTRUMENT,))
            settings = msgspec.structs.replace(Settings(), strategies=(entry,), catalog=folder)
            if not trial_run(RunRequest(settings, "config.yaml", Path(folder))):
                raise SystemExit(f"the trial run of {name} failed")
            mark = mark_of(name)
            mark.parent.mkdir(parents=True, exist_ok=True)
            with mark.open("a", encoding="utf-8") as file:
                file.write(f"{ROOT}\n")
