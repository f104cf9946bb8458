"""Measure how many trades per second a live node takes before it falls behind.

    python benchmarks/bench_live_throughput.py [--account binance_usdm] [--rates 5000,10000,15000,20000]

`live_node.py --mode live` with Nautilus' own adapter on loopback: OTE on twenty symbols with the check for
gaps, recorder, journal and watchdogs on. The exchange sends `--rates` one after the other. For each: what
arrived per second, processor time of the node per trade, how long the newest trade took from the time at
which the exchange sent it to where strategies have handled it, and whether that grew. The last column tells
whether the exchange itself kept up: where it did not, the node could have taken more.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.live_bench import ACCOUNTS, USUAL, ProbedNode, load, make_tape, settings_of
from tests.venue_simulator.process import VenueProcess

BASE_RATE: Final = 1_000.0
SETTLE_SECS: Final = 3.0
# Lag that grows by more than this within a step is a queue that fills.
GROWTH_MS: Final = 50.0
MS: Final = 1e6
KEPT_UP: Final = 0.97


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run all rates once."""
    account = ACCOUNTS[arguments.account]
    rates = [float(one) for one in arguments.rates.split(",")]
    trades = round(sum(rates) * (arguments.secs + SETTLE_SECS) * 1.3 + 20 * rates[0])
    tape = make_tape(folder / "tape", trades, BASE_RATE)
    arrived: list[dict[str, Any]] = []
    with VenueProcess("--venues", account.simulator, "--tape", str(tape), "--wait") as venue:
        node = ProbedNode(
            settings_of(account, venue, folder / "node", strategy=USUAL), is_empty=arguments.empty
        )
        with node:
            node.until_trading()
            venue.tape("speed", rates[0] / BASE_RATE)
            venue.tape("start")
            time.sleep(10)  # the first trades of all symbols come with everything that happens once
            for rate in rates:
                venue.tape("speed", rate / BASE_RATE)
                time.sleep(SETTLE_SECS)
                begun_ns, before = time.time_ns(), venue.tape("state")["trades_sent"]
                time.sleep(arguments.secs)
                sent = venue.tape("state")["trades_sent"] - before
                arrived.append(
                    {
                        "rate": rate,
                        "begun_ns": begun_ns,
                        "ended_ns": time.time_ns(),
                        "sent": sent,
                        "load": load(),
                    }
                )
        samples = node.rows()["sample"]
    return {"account": arguments.account, "steps": [step_of(one, samples) for one in arrived]}


def step_of(step: dict[str, Any], samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of one rate."""
    rows = [one for one in samples if step["begun_ns"] <= one["ns"] <= step["ended_ns"]]
    if len(rows) < 2:
        return {"rate": step["rate"], "load": step["load"], "answered": False}
    secs = (rows[-1]["ns"] - rows[0]["ns"]) / 1e9
    trades = rows[-1]["trades"] - rows[0]["trades"]
    lags = np.array([(one["ns"] - one["newest_ns"]) / MS for one in rows])
    third = max(1, len(lags) // 3)
    growth = float(np.median(lags[-third:]) - np.median(lags[:third]))
    sent = step["sent"] / (step["ended_ns"] - step["begun_ns"]) * 1e9
    loop_us = (rows[-1]["thread_s"] - rows[0]["thread_s"]) / max(1, trades) * 1e6
    return {
        "rate": step["rate"],
        "load": step["load"],
        "answered": True,
        "sent_per_s": round(sent),
        "taken_per_s": round(trades / secs),
        "loop_us_per_trade": round(loop_us, 1),
        "process_us_per_trade": round((rows[-1]["cpu_s"] - rows[0]["cpu_s"]) / max(1, trades) * 1e6, 1),
        "loop_share": round((rows[-1]["thread_s"] - rows[0]["thread_s"]) / secs, 3),
        "lag_median_ms": round(float(np.median(lags)), 1),
        "lag_p99_ms": round(float(np.quantile(lags, 0.99)), 1),
        "lag_growth_ms": round(growth, 1),
        "falls_behind": growth > GROWTH_MS,
        "exchange_kept_up": sent > KEPT_UP * step["rate"],
    }


def text(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    names = (
        "rate", "sent_per_s", "taken_per_s", "loop_us_per_trade", "process_us_per_trade", "loop_share",
        "lag_median_ms", "lag_p99_ms", "lag_growth_ms", "falls_behind", "exchange_kept_up", "load",
    )  # fmt: skip
    lines = [figures["account"], "", f"| {' | '.join(names)} |", "|" + "---:|" * len(names)]
    lines += [f"| {' | '.join(str(step.get(name, '')) for name in names)} |" for step in figures["steps"]]
    return "\n".join(lines)


def main() -> int:
    """Measure and print, as Markdown or as one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--account", choices=ACCOUNTS, default="binance_usdm")
    parser.add_argument(
        "--rates", default="5000,10000,15000,20000", help="trades per second, one after another"
    )
    parser.add_argument("--secs", type=float, default=10.0, help="measured at each rate (10)")
    parser.add_argument("--empty", action="store_true", help="strategies that do nothing: Nautilus' part")
    parser.add_argument("--keep", type=Path, help="folder that keeps what the node wrote")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = measure(arguments, arguments.keep or Path(temporary))
    print(json.dumps(figures) if arguments.json else text(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
