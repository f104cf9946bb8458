"""`make soak`: an hour of a live node at twenty times the pace of the market, cut off for ten minutes of it.

``python -m tests.soak --minutes 60`` runs `live_node.py --mode live` on the local exchange's Binance USD-M
with the sample tape, recorder, journal and watchdogs on. It prints one JSON object, with what the node did in
that time, and exits 1 when one of these does not hold (rows F1 and F26 of the fault matrix, which it writes
to the file that ``SMCBOT_FAULTS_JSON`` names, if one is named):

* resident memory grows by at most 5 % after the warm-up: medians of the first and of the last tenth of what
  follows the first quarter;
* nothing is sent while the network is cut, afterwards the node trades again, and nothing halted it;
* at the end the journal's fills are those of the exchange, and the node's process is the one that began.
"""

import argparse
import contextlib
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from runtime.live.commands import new_command
from runtime.live.ctl import NodeUnreachable, send_command, socket_path
from tests.faults.harness import is_placement
from tests.faults.recorder import FILE_VARIABLE, write_rows
from tests.paper_demo import demo_hosts, write_settings
from tests.venue_simulator.process import API_KEY, API_SECRET, VenueProcess

ROOT: Final = Path(__file__).resolve().parents[1]
VENUE: Final = "binance_usdm"
INSTRUMENTS: Final = ("BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE")
LOOK_SECS: Final = 5.0
START_SECS: Final = 300.0
STOP_SECS: Final = 90.0
WARM_UP_SHARE: Final = 0.25
MOST_GROWTH_PCT: Final = 5.0
CUT_SECS: Final = 600.0
# What is on its way when the network breaks may still be counted.
GRACE_SECS: Final = 2.0
# Small enough for the sample tape to trade all the time.
STRATEGY: Final = {"bucket_usd": 10_000, "max_notional_pct": 20.0}


def settings_of(venue: VenueProcess, folder: Path) -> dict[str, Any]:
    """Return the settings of the node."""
    account = {"venue": "binance", "market": "usdm", "hosts": demo_hosts(venue, VENUE)}
    return {
        "journal": {"url": f"sqlite:///{folder / 'journal.sqlite'}", "spool": str(folder / "spool")},
        "hosts": {VENUE: venue.http(VENUE)},
        "live": {
            "folder": str(folder),
            "venues": [account],
            "data": {"warm_up": False},
            "recording": {"reserve_mb": 500},
        },
        "strategies": [{"strategy": "ote", "instruments": list(INSTRUMENTS), **STRATEGY}],
    }


def environment() -> dict[str, str]:
    """Return the environment of the node: the keys of the local exchange."""
    kept = {name: value for name, value in os.environ.items() if name != "SMCBOT_JOURNAL_URL"}
    keys = {"BINANCE_USDM_API_KEY": API_KEY, "BINANCE_USDM_API_SECRET": API_SECRET}
    return {**kept, **keys, "PYTHONPATH": str(ROOT)}


def resident_mb(process_id: int) -> float:
    """Return the resident memory of a process, MiB."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def growth_of(samples: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Return the growth of memory after the warm-up.

    Parameters
    ----------
    samples
        (seconds since the start, MiB).

    Returns
    -------
    dict
        ``begin_mb`` and ``end_mb``, medians of a tenth each; ``growth_pct``; ``slope_mb_per_hour``, least
        squares.
    """
    kept = samples[round(len(samples) * WARM_UP_SHARE) :]
    tenth = max(1, len(kept) // 10)
    begin = statistics.median(size for _, size in kept[:tenth])
    end = statistics.median(size for _, size in kept[-tenth:])
    slope = statistics.linear_regression(*zip(*kept, strict=True)).slope if len(kept) > 1 else 0.0
    return {
        "begin_mb": round(begin, 1),
        "end_mb": round(end, 1),
        "growth_pct": round(100 * (end / begin - 1), 2),
        "slope_mb_per_hour": round(slope * 3600, 1),
    }


def start_node(file: Path, errors: Path) -> subprocess.Popen[bytes]:
    """Approve the settings as a person would, and start the node."""
    command = [sys.executable, str(ROOT / "live_node.py"), "--mode", "live", "--config", str(file)]
    checked = subprocess.run(
        [*command, "--check", "--json"], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, check=True
    )
    approved = json.loads(checked.stdout)["config_sha256"]
    with errors.open("wb") as stream:
        return subprocess.Popen(
            [*command, "--live-approved", approved], cwd=ROOT, env=environment(), stderr=stream
        )


def wait_until_trading(node: subprocess.Popen[bytes], errors: Path) -> None:
    """Wait for the node to say so."""
    by = time.monotonic() + START_SECS
    while " trades " not in errors.read_text(errors="replace"):
        if node.poll() is not None or time.monotonic() > by:
            raise SystemExit(f"the node did not start: {errors.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)


def run(minutes: float, speed: float, folder: Path) -> dict[str, Any]:
    """Run once and return what was measured."""
    whole_secs = minutes * 60
    cut_secs = min(CUT_SECS, whole_secs / 6)
    cut_at = whole_secs / 2
    samples: list[tuple[float, float]] = []
    errors = folder / "node.err"
    with VenueProcess("--venues", VENUE, "--tape", "sample", "--speed", f"{speed:g}", "--wait") as venue:
        node = start_node(write_settings(settings_of(venue, folder), folder / "config.yaml"), errors)
        try:
            wait_until_trading(node, errors)
            venue.tape("start")
            begun, cut_ns = time.monotonic(), 0
            while (passed := time.monotonic() - begun) < whole_secs and node.poll() is None:
                samples.append((passed, resident_mb(node.pid)))
                if not cut_ns and passed >= cut_at:
                    cut_ns = time.time_ns()
                    venue.fault("cut", venue=VENUE, secs=cut_secs)
                time.sleep(LOOK_SECS)
            is_alive = node.poll() is None
            unprotected: dict[str, Any] = {}
            if is_alive:
                unprotected = watchdog_of(folder)
                node.send_signal(signal.SIGTERM)
                node.wait(STOP_SECS)
            state = venue.state(VENUE)
        finally:
            node.kill()
            node.wait()
    journal = folder / "journal.sqlite"
    return {
        "minutes": minutes,
        "speed": speed,
        "cut_secs": cut_secs,
        "load": round(os.getloadavg()[1], 1),
        **growth_of(samples),
        **after_cut(state, cut_ns, round(cut_ns + cut_secs * 1e9)),
        **books(journal, state),
        "done": work_of(journal, cut_ns, round(cut_ns + cut_secs * 1e9)),
        "recorded_rows": recorded_rows(folder),
        "unprotected": unprotected,
        "is_alive": is_alive,
        "exit_code": node.returncode,
        "samples_mb": [round(size, 1) for _, size in samples[:: max(1, len(samples) // 60)]],
    }


def watchdog_of(folder: Path) -> dict[str, Any]:
    """Return what the node's watchdog measured, seconds without a stop by instrument, and violations."""
    command = new_command("status", "soak", now_ns=time.time_ns())
    with contextlib.suppress(NodeUnreachable):  # an hour of figures must not be lost over one answer
        return dict(send_command(socket_path(folder, "live"), command).detail["unprotected"])
    return {}


def after_cut(state: dict[str, Any], cut_ns: int, back_ns: int) -> dict[str, Any]:
    """Return what the venue saw while the network was cut, and after it."""
    orders = [one["ts_ns"] for one in state["requests"] if is_placement(one["endpoint"])]
    answered = [one["ts_ns"] for one in state["requests"] if one["ts_ns"] > back_ns]
    return {
        "orders_while_cut": sum(cut_ns + GRACE_SECS * 1e9 < one < back_ns for one in orders),
        "orders_after_cut": sum(one > back_ns for one in orders),
        "first_request_after_cut_secs": round((min(answered) - back_ns) / 1e9, 2) if answered else None,
    }


def ask(journal: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Ask the journal's database."""
    connection = sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def work_of(journal: Path, cut_ns: int, back_ns: int) -> dict[str, Any]:
    """Count what the node did: decisions, how positions ended, order events; entries before and after."""
    counts = {
        "decisions": "SELECT kind, count(*) FROM decisions GROUP BY kind",
        "closed_by": "SELECT reason, count(*) FROM decisions WHERE kind = 'position_closed' GROUP BY reason",
        "order_events": "SELECT event, count(*) FROM orders GROUP BY event",
    }
    found: dict[str, Any] = {name: dict(ask(journal, query)) for name, query in counts.items()}
    entries = "SELECT count(*) FROM decisions WHERE kind = 'entry_submitted' AND ts_ns BETWEEN ? AND ?"
    spans = {"before_cut": (0, cut_ns), "while_cut": (cut_ns, back_ns), "after_cut": (back_ns, 1 << 62)}
    found["entries"] = {name: ask(journal, entries, *span)[0][0] for name, span in spans.items()}
    return found


def recorded_rows(folder: Path) -> int:
    """Count the rows of the recording."""
    files = (folder / "live" / "recordings").rglob("*.parquet")
    return sum(pq.read_metadata(file).num_rows for file in files)


def books(journal: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Compare the fills of journal and exchange, by order and trade."""
    own = ask(journal, "SELECT client_order_id, trade_id, qty FROM fills")
    trades = ask(journal, "SELECT count(*) FROM trades")[0][0]
    halts = ask(journal, "SELECT DISTINCT reason FROM decisions WHERE kind = 'halted'")
    ours = {(order, str(trade)): float(qty) for order, trade, qty in own}
    theirs = {(one["client_id"], str(one["trade_id"])): float(one["qty"]) for one in state["fills"]}
    position = {key: one["qty"] for key, one in state["accounts"]["main"]["positions"].items()}
    return {
        "fills": len(theirs),
        "fills_only_at_exchange": len(theirs.keys() - ours.keys()),
        "fills_only_in_journal": len(ours.keys() - theirs.keys()),
        "fills_twice": len(own) - len(ours),
        "trades": trades,
        "halts": [reason for (reason,) in halts],
        "positions": position,
    }


def failures_of(found: dict[str, Any]) -> list[str]:
    """Return what does not hold."""
    wrong = []
    if found["growth_pct"] > MOST_GROWTH_PCT:
        wrong.append(f"memory grew by {found['growth_pct']} %")
    if not found["is_alive"] or found["exit_code"]:
        wrong.append("the node ended by itself or could not end in order")
    if found["orders_while_cut"]:
        wrong.append(f"{found['orders_while_cut']} orders while the network was cut")
    # Halted, a node trades no more, and its memory says little.
    wrong += [f"entries were halted: {reason}" for reason in found["halts"]]
    if not found["orders_after_cut"]:
        wrong.append("nothing was traded after the cut")
    if found["first_request_after_cut_secs"] is None:
        wrong.append("the node did not come back after the cut")
    wrong += [
        f"{found[name]} {name}"
        for name in ("fills_only_at_exchange", "fills_only_in_journal", "fills_twice")
        if found[name]
    ]
    return wrong


def rows_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the fault matrix."""
    result: dict[str, Any] = {
        "venue": VENUE,
        "result": "no" if found["failures"] else "pass",
        "reason": "; ".join(found["failures"]),
        "seconds": found["minutes"] * 60,
    }
    memory = ("begin_mb", "end_mb", "growth_pct", "fills", "trades", "recorded_rows")
    longest = max(found["unprotected"].get("longest_secs", {}).values(), default=0.0)
    cut = ("orders_while_cut", "orders_after_cut", "first_request_after_cut_secs")
    hour = f"{found['minutes']:g} min at {found['speed']:g}x"
    return [
        {
            "row": f"F26 {hour}",
            "done": f"{hour}, every connection cut for {found['cut_secs']:g} s in the middle",
            "measured": {name: found[name] for name in memory} | {"watchdog_secs": round(longest, 3)},
        }
        | result,
        {
            "row": f"F01 {found['cut_secs']:g} s at {found['speed']:g}x",
            "done": "every connection cut in the middle of the soak",
            "measured": {name: found[name] for name in cut}
            | {"entries_before_during_after": list(found["done"]["entries"].values())},
        }
        | result,
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, and say whether everything held."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="wall time of trading (60)")
    parser.add_argument("--speed", type=float, default=20.0, help="seconds of the tape per second (20)")
    parser.add_argument("--folder", type=Path, help="keeps state, logs, journal and recording")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        found = run(options.minutes, options.speed, options.folder or Path(temporary))
    found["failures"] = failures_of(found)
    print(json.dumps(found))
    if FILE_VARIABLE in os.environ:
        write_rows(Path(os.environ[FILE_VARIABLE]), rows_of(found))
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
