"""Measure a live node: trade received to cancel request sent, and fill to stop acknowledged.

    python benchmarks/bench_live_latency.py [--account binance_usdm] [--secs 60] [--rate 1000] [--fills]

`live_node.py --mode live` with OTE on twenty symbols against the local exchange, each a process of its own,
real trades at `--rate` per second over all symbols. Cancels are those that OTE sends: a zone ended or
extended, or its policy said so. Parts of a cancel:
received (the adapter's handler), decided (the strategy cancels), sent (the request is
handed to the HTTP client), answered. Rows with `cpu` are processor time of the loop's thread for the same
parts: what they take when nobody else wants the machine, and so the least that can be reached with this code.
Round trip: time of the trade to its cancel at the exchange, less the
exchange's latency both ways; up to 5 ms of it are the slices in which the exchange sends.
Fill to stop: less what the exchange itself took, as it measured at each order. Its parts: the fill written to
the stop's request handed to the HTTP client, that request under way until the exchange's own code has it (the
exchange is one Python process: it may publish trades meanwhile, and that is not taken off), and the
acknowledgement written until the order is accepted in the node.
A run in which the exchange refused requests (429) is no measurement of stops: the node must be silent then.
The last line tells how many.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

from benchmarks.bench_publish import listening
from benchmarks.live_bench import (
    ACCOUNTS,
    BUSY,
    BUSY_LARGEST_USD,
    FILLED,
    ProbedNode,
    line_of,
    load,
    make_tape,
    settings_of,
    spread,
)
from tests.venue_simulator.process import VenueProcess
from ui.endpoint import TELEMETRY_FILE

LATENCY_MS: Final = 5.0
WARM_UP_SECS: Final = 10.0
MS: Final = 1e6
# What an exchange answers to those who ask too much.
REFUSED: Final = frozenset({418, 429})


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run once."""
    account = ACCOUNTS[arguments.account]
    seconds = arguments.secs + WARM_UP_SECS + 60
    tape = make_tape(
        folder / "tape",
        round(arguments.rate * seconds),
        arguments.rate,
        largest_usd=BUSY_LARGEST_USD,
    )
    with VenueProcess(
        "--venues", account.simulator, "--tape", str(tape), "--wait", "--latency-ms", str(LATENCY_MS)
    ) as venue:
        strategy = FILLED if arguments.fills else BUSY
        node = ProbedNode(settings_of(account, venue, folder / "node", strategy=strategy))
        terminal = node.folder / "live" / TELEMETRY_FILE
        with node, listening(terminal) if arguments.terminal else nullcontext():
            node.until_trading()
            venue.tape("start")
            time.sleep(WARM_UP_SECS)
            begun_ns, loads = time.time_ns(), [load()]
            time.sleep(arguments.secs)
            loads.append(load())
            state, told = venue.state(account.simulator), venue.told(account.simulator)
        rows = node.rows()
    return {
        "account": arguments.account,
        "rate": arguments.rate,
        "load": loads,
        "behind_ms": spread(
            (one["ns"] - one["newest_ns"]) / MS for one in after(rows["sample"], "ns", begun_ns)
        ),
        **cancels(rows, state, begun_ns),
        "fill_to_stop": protections(rows, state, told, begun_ns),
        "refused": sum(one["status"] in REFUSED for one in state["requests"]),
    }


def after(rows: list[dict[str, Any]], name: str, begun_ns: int) -> list[dict[str, Any]]:
    """Return the rows since the warm-up."""
    return [one for one in rows if one[name] > begun_ns]


def cancels(rows: dict[str, list[dict[str, Any]]], state: dict[str, Any], begun_ns: int) -> dict[str, Any]:
    """Return the parts of the cancels that a trade caused."""
    requests: dict[str, list[dict[str, Any]]] = {}
    for one in rows.get("request", ()):
        if one["method"].endswith("DELETE"):
            requests.setdefault(one["id"], []).append(one)
    ended = {one["client_id"]: one["updated_ns"] for one in state["orders"] if one["status"] == "CANCELED"}
    caused = [one for one in after(rows.get("cancel", []), "received_ns", begun_ns) if one["id"] in requests]
    # One that the exchange did not know yet is sent again, a second later: the first request is the cancel's.
    pairs = [(one, min(requests[one["id"]], key=lambda http: http["sent_ns"])) for one in caused]
    at_venue = [(one["trade_ns"], ended[one["id"]]) for one in caused if one["id"] in ended]
    return {
        "received_to_decided": spread((one["decided_ns"] - one["received_ns"]) / MS for one, _ in pairs),
        "decided_to_sent": spread((http["sent_ns"] - one["decided_ns"]) / MS for one, http in pairs),
        "received_to_sent": spread((http["sent_ns"] - one["received_ns"]) / MS for one, http in pairs),
        "received_to_decided_cpu": spread(one["handled_cpu_ns"] / MS for one, _ in pairs),
        "decided_to_sent_cpu": spread(
            (http["sent_cpu_ns"] - one["decided_cpu_ns"]) / MS for one, http in pairs
        ),
        "sent_to_answered": spread((http["answered_ns"] - http["sent_ns"]) / MS for _, http in pairs),
        "round_trip": spread((end - begin) / MS - 2 * LATENCY_MS for begin, end in at_venue),
    }


def protections(
    rows: dict[str, list[dict[str, Any]]], state: dict[str, Any], told: list[dict[str, Any]], begun_ns: int
) -> dict[str, Any]:
    """Return the time from an entry's first fill to its stop acknowledged, less what the exchange took.

    The exchange's own part is measured at each order, not assumed: when it wrote the fill to its stream, when
    the request for the stop came in, and when it wrote the acknowledgement. Its latency, its slices of 5 ms
    and the stalls of its loop lie between its fill and the first, and between the second and the third.
    """
    accepted: dict[str, int] = {}
    for one in rows.get("event", ()):
        if one["name"] == "OrderAccepted":
            accepted.setdefault(one["id"], one["heard_ns"])
    handed_over: dict[str, int] = {}
    for one in rows.get("request", ()):
        if one["method"].endswith("POST"):
            handed_over.setdefault(one["id"], one["sent_ns"])
    found: dict[str, list[float]] = {
        "acknowledged": [], "requested": [], "handed over": [], "under way": [], "acknowledgement heard": [],
        "the exchange's own": [],
    }  # fmt: skip
    for fill, stop in stops_of(state, begun_ns):
        name = stop["client_id"]
        fill_told = told_ns(told, fill["client_id"], str(fill["trade_id"]))
        answer_told = told_ns(told, name)
        if name not in accepted or not fill_told or not answer_told:
            continue
        came_ns = arrived_ns(state, name) or stop["created_ns"] - round(LATENCY_MS * MS)
        requested, heard = came_ns - fill_told, accepted[name] - answer_told
        found["acknowledged"].append((requested + heard) / MS)
        found["requested"].append(requested / MS)
        if name in handed_over:
            found["handed over"].append((handed_over[name] - fill_told) / MS)
            found["under way"].append((came_ns - handed_over[name]) / MS)
        found["acknowledgement heard"].append(heard / MS)
        found["the exchange's own"].append((fill_told - fill["ts_ns"] + answer_told - came_ns) / MS)
    return {what: spread(values) for what, values in found.items()}


def stops_of(state: dict[str, Any], begun_ns: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the first fill of each entry since then, and the stop that it brought.

    Of the same setup: where price has passed the stop, an order at market takes its place, and the next stop
    of the market belongs to another position.
    """
    stops = [one for one in state["orders"] if one["stop_price"] is not None]
    seen: set[str] = set()
    for fill in state["fills"]:
        entry = fill["client_id"]
        if entry in seen or fill["ts_ns"] < begun_ns or "-E" not in entry:
            continue
        seen.add(entry)
        later = [
            one
            for one in stops
            if one["market"] == fill["market"]
            and one["created_ns"] >= fill["ts_ns"]
            and one["client_id"].rpartition("-")[0] == entry.rpartition("-")[0]
        ]
        if later:
            yield fill, min(later, key=lambda one: one["created_ns"])


def told_ns(told: list[dict[str, Any]], *words: str) -> int:
    """Return when the exchange first wrote a private message with all of these words, 0 for never."""
    return next((one["ns"] for one in told if all(word in one["text"] for word in words)), 0)


def arrived_ns(state: dict[str, Any], client_id: str) -> int:
    """Return when the request for an order came in, 0 where it came over a websocket."""
    return next(
        (
            one["arrived_ns"]
            for one in state["requests"]
            if one["endpoint"].startswith("POST") and client_id in str(one["params"])
        ),
        0,
    )


def text(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = [
        f"{figures['account']}, {figures['rate']:g} trades/s over 20 symbols, load {figures['load']}",
        "",
        "| ms | count | median | p99 | max |",
        "|---|---:|---:|---:|---:|",
    ]
    parts = (
        "received_to_decided", "decided_to_sent", "received_to_sent", "received_to_decided_cpu",
        "decided_to_sent_cpu", "sent_to_answered", "round_trip",
    )  # fmt: skip
    lines += [line_of(name, figures[name]) for name in (*parts, "behind_ms")]
    stops = figures["fill_to_stop"].items()
    lines += [line_of(f"fill to stop {name}", found) for name, found in stops]
    lines += ["", f"requests that the exchange refused: {figures['refused']}"]
    return "\n".join(lines)


def main() -> int:
    """Measure and print, as Markdown or as one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--account", choices=ACCOUNTS, default="binance_usdm")
    parser.add_argument("--secs", type=float, default=60.0, help="measured after 10 s of warm-up (60)")
    parser.add_argument("--rate", type=float, default=1_000.0, help="trades per second of all symbols (1000)")
    parser.add_argument(
        "--fills", action="store_true", help="take no entries back: many fills and stops, few cancels"
    )
    parser.add_argument("--repeat", type=int, default=1, help="runs; all are printed (1)")
    parser.add_argument(
        "--terminal", action="store_true", help="let a terminal's end read what the node tells"
    )
    parser.add_argument("--keep", type=Path, help="folder that keeps what the node wrote")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    runs = []
    for number in range(arguments.repeat):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) if arguments.keep is None else arguments.keep / str(number)
            runs.append(measure(arguments, folder))
    print(json.dumps(runs) if arguments.json else "\n\n".join(text(one) for one in runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
