"""From a trade to the request for a cancel of a live node, with a terminal and browsers beside it or without.

Part of `bench_terminal_load.py`. `live_node.py --mode live` with OTE on twenty symbols, the local exchange,
1,000 recorded trades a second: what `bench_live_latency.py` measures. Node and exchange have the first core,
the server and the browsers the last one.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.bench_live_latency import LATENCY_MS, WARM_UP_SECS, cancels
from benchmarks.live_bench import ACCOUNTS, BUSY_LARGEST_USD, ProbedNode, make_tape, settings_of
from benchmarks.terminal_load import Crowd, served
from tests.ui_server import SECRET
from tests.venue_simulator.process import VenueProcess

ACCOUNT: Final = ACCOUNTS["binance_usdm"]
TRADES_PER_S: Final = 1_000.0
START_SECS: Final = 60.0


def cancel_figures(
    cores: Sequence[int], clients: int, secs: float, *, is_first_with: bool = True
) -> dict[str, Any]:
    """Return how long trade to request took with the terminal and without, and the ratios.

    Parameters
    ----------
    cores
        The first one for node and exchange, the last one for server and browsers.
    clients
        Browsers.
    secs
        Measured of each.
    is_first_with
        Which one comes first: a machine that grows slower must not always burden the same.
    """
    found: dict[bool, dict[str, Any]] = {}
    for is_with in (is_first_with, not is_first_with):
        with tempfile.TemporaryDirectory() as folder:
            found[is_with] = measure(Path(folder), cores, clients if is_with else 0, secs)
    beside, alone = found[True], found[False]
    return {
        "cancel_p99_ratio": round(beside["p99_ms"] / alone["p99_ms"], 3),
        "cancel_median_ratio": round(beside["median_ms"] / alone["median_ms"], 3),
        "cancel_with_median_ms": beside["median_ms"],
        "cancel_with_p99_ms": beside["p99_ms"],
        "cancel_with_count": beside["count"],
        "cancel_without_median_ms": alone["median_ms"],
        "cancel_without_p99_ms": alone["p99_ms"],
        "cancel_without_count": alone["count"],
        "node_told_per_s": beside["told_per_s"],
    }


def measure(folder: Path, cores: Sequence[int], clients: int, secs: float) -> dict[str, Any]:
    """Return count, median and p99 of trade received to request handed over, ms."""
    trades = round(TRADES_PER_S * (secs + WARM_UP_SECS + START_SECS))
    tape = make_tape(folder / "tape", trades, TRADES_PER_S, largest_usd=BUSY_LARGEST_USD)
    words = ("--venues", ACCOUNT.simulator, "--tape", str(tape), "--wait", "--latency-ms", str(LATENCY_MS))
    told_per_s = None
    with on_cores(cores[:1]), VenueProcess(*words) as venue:
        node = ProbedNode(settings_of(ACCOUNT, venue, folder / "node"))
        with node:
            node.until_trading()
            venue.tape("start")
            with on_cores(cores[-1:]):
                if clients:
                    with served(node.file, cores[-1], "live") as (_, address):
                        begun_ns, told_per_s = asyncio.run(watch(address, clients, secs))
                else:
                    time.sleep(WARM_UP_SECS)
                    begun_ns = time.time_ns()
                    time.sleep(secs)
            state = venue.state(ACCOUNT.simulator)
        rows = node.rows()
    if "sample" not in rows:
        raise RuntimeError("the node did not end in time and told nothing: the machine is too busy")
    spread = cancels(rows, state, begun_ns)["received_to_sent"]
    if not spread["count"]:
        raise RuntimeError("the node cancelled nothing")
    return {**spread, "told_per_s": told_per_s}


async def watch(address: str, clients: int, secs: float) -> tuple[int, float]:
    """Let browsers watch; return when the warm-up was over, UNIX ns, and what the node told, events/s."""
    async with Crowd(address, clients):
        await asyncio.sleep(WARM_UP_SECS)
        begun_ns, before = time.time_ns(), await asyncio.to_thread(messages, address)
        await asyncio.sleep(secs)
        told = await asyncio.to_thread(messages, address) - before
    return begun_ns, round(told / secs, 1)


def messages(address: str) -> int:
    """Return how many messages of the node the server has had."""
    text = httpx.get(f"{address}/api/v1/metrics", headers={"X-Shared-Secret": SECRET}, timeout=30).text
    (row,) = (one for one in text.splitlines() if one.startswith("smcbot_terminal_messages_total "))
    return int(row.split()[1])


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Keep this process, and those that it starts, on some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
