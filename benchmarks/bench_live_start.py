"""Measure a start of a live node with a position that has lost its stop: until the exchange has one again.

    python benchmarks/bench_live_start.py [--account binance_usdm|binance_spot|bybit_linear|bybit_spot|all]
                                          [--repeat 3]

OTE opens a position on the local exchange; the node is killed, its stop is cancelled at the exchange as if it
had never arrived, and the node is started again. Printed: from the start of the process to the stop at the
exchange, and the moments between: Python's start, imports, settings, checks, kernels, node, connection,
reconciliation. `processor_s` is what the start costs without other work on the machine, `waited_s` how long
its main thread was ready to run until the stop was there and had no core.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.live_bench import ACCOUNTS, SYMBOLS, ProbedNode, load, make_tape, settings_of
from tests.faults.waiting import waited_secs
from tests.venue_simulator.process import VenueProcess

TRADED: Final = 4
RATE: Final = 400.0
OPEN_SECS: Final = 180.0
PROTECT_SECS: Final = 120.0
POLL_SECS: Final = 0.25
# What spot venues take at least, USDT: less of a coin is no position, nothing could sell it.
LEAST_USDT: Final = 10.0
# Bybit has both in one account; its markets end so.
LINEAR: Final = "-LINEAR"
OPEN: Final = frozenset({"NEW", "PARTIALLY_FILLED", "UNTRIGGERED"})


def measure(name: str, repeat: int, folder: Path) -> dict[str, Any]:
    """Open a position on a kind of account, then restart so many times."""
    account = ACCOUNTS[name]
    tape = make_tape(folder / "tape", round(RATE * OPEN_SECS * 2), RATE, SYMBOLS[:TRADED])
    with VenueProcess("--venues", account.simulator, "--tape", str(tape), "--wait") as venue:

        def state() -> dict[str, Any]:
            return venue.state(account.simulator)

        node = ProbedNode(settings_of(account, venue, folder / "node", TRADED))
        with node:
            node.until_trading()
            venue.tape("start")
            node.until(lambda: protected(state()), OPEN_SECS)
            venue.tape("pause")
            time.sleep(2)  # what is on its way
            starts = [restarted(node, venue, account.simulator) for _ in range(repeat)]
    return {"account": name, "load": load(), "starts": starts}


def held(state: dict[str, Any]) -> set[str]:
    """Return the markets with a position, of contracts and of coins that were bought."""
    account = state["accounts"]["main"]
    contracts = {key for key, one in account["positions"].items() if float(one["qty"])}
    coins = {key for key, one in state["markets"].items() if coins_usdt(account, key, one) >= LEAST_USDT}
    return contracts | coins


def coins_usdt(account: dict[str, Any], market: str, terms: dict[str, Any]) -> float:
    """Return what an account's coins of a market are worth, USDT; a market of contracts has none."""
    nothing = {"free": "0", "locked": "0"}
    base, _, of = market.partition("USDT")
    coins = nothing if of == LINEAR else account["balances"].get(base, nothing)
    return (float(coins["free"]) + float(coins["locked"])) * float(terms["last_price"] or 0.0)


def stops(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the stops that stand."""
    return [one for one in state["orders"] if one["stop_price"] is not None and one["status"] in OPEN]


def protected(state: dict[str, Any]) -> bool:
    """Tell whether there is a position, and all that there are have a stop."""
    return bool(held(state)) and held(state) <= {one["market"] for one in stops(state)}


def restarted(node: ProbedNode, venue: VenueProcess, simulator: str) -> dict[str, Any]:
    """Kill the node, take the stops away, start it, and return when what happened, milliseconds."""
    node.kill()
    before = venue.state(simulator)
    for one in stops(before):
        venue.ctl("cancel", venue=simulator, order_id=one["order_id"])
    node.restart()
    node.until(lambda: protected(venue.state(simulator)), PROTECT_SECS)
    waited = waited_secs(node.pid)
    after = venue.state(simulator)
    created = min(one["created_ns"] for one in stops(after) if one["market"] in held(before) & held(after))
    node.until(lambda: "trades" in (node.folder / "node.err").read_text(errors="replace"), PROTECT_SECS)
    processor = Path(f"/proc/{node.pid}/stat").read_text().rsplit(")", 1)[1].split()
    moments = {
        one["name"]: round(one["ms"])
        for one in map(json.loads, node.samples.read_text().splitlines())
        if one["kind"] == "start"
    }
    return {
        **moments,
        "stop at the exchange": round((created - node.started_ns) / 1e6),
        "processor_s": round((int(processor[11]) + int(processor[12])) / 100, 2),
        "waited_s": round(waited, 2),
        "load": load(),
    }


def text(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    starts = figures["starts"]
    lines = [
        f"{figures['account']}, {len(starts)} starts, load {[one['load'] for one in starts]}",
        "",
        "| ms since the process began | median | best |",
        "|---|---:|---:|",
    ]
    for name in starts[0]:
        values = [one[name] for one in starts if name in one]
        lines.append(f"| {name} | {statistics.median(values):g} | {min(values):g} |")
    return "\n".join(lines)


def main() -> int:
    """Measure and print, as Markdown or as one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--account", choices=[*ACCOUNTS, "all"], default="binance_usdm")
    parser.add_argument("--repeat", type=int, default=3, help="restarts (3)")
    parser.add_argument("--keep", type=Path, help="folder that keeps what the nodes wrote")
    parser.add_argument("--json", action="store_true", help="one JSON object per account")
    arguments = parser.parse_args()
    for name in ACCOUNTS if arguments.account == "all" else [arguments.account]:
        with tempfile.TemporaryDirectory() as temporary:
            figures = measure(name, arguments.repeat, (arguments.keep or Path(temporary)) / name)
        print(json.dumps(figures) if arguments.json else text(figures), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
