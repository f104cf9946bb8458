"""``python -m tests.faults.node``: `live_node.py` with the strategies of `tests/faults/strategies` too."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import strategies

FOLDER: Final = Path(__file__).parent / "strategies"
# How soon after its start a node may begin anew because of its memory, seconds, instead of minutes.
LEAST_SESSION_VARIABLE: Final = "SMCBOT_TEST_LEAST_SESSION_SECS"


def add_strategies() -> None:
    """Let the registry find the strategies of the tests."""
    if str(FOLDER) not in strategies.__path__:
        strategies.__path__.append(str(FOLDER))


@contextmanager
def added_strategies() -> Iterator[None]:
    """Let the registry find them for a while: other tests of this process list what a user has."""
    add_strategies()
    try:
        yield
    finally:
        strategies.__path__.remove(str(FOLDER))


def mark_compiled() -> None:
    """Spare the node the trial run that compiles kernels: the scripted strategy has none."""
    from indicators.kernels.jit import ROOT
    from runtime.live.compiling import is_compiled, mark_of

    if not is_compiled("scripted"):
        mark = mark_of("scripted")
        mark.parent.mkdir(parents=True, exist_ok=True)
        with mark.open("a", encoding="utf-8") as file:
            file.write(f"{ROOT}\n")


def allow_early_restarts() -> None:
    """Set the least time of a session as the environment says."""
    from runtime.live import memory_watch

    if secs := os.environ.get(LEAST_SESSION_VARIABLE):
        vars(memory_watch)["LEAST_SESSION_SECS"] = float(secs)


if __name__ in ("__main__", "__mp_main__"):  # a child of the node, which compiles the kernels, too
    add_strategies()

if __name__ == "__main__":
    mark_compiled()
    allow_early_restarts()
    from live_node import main

    sys.exit(main())
