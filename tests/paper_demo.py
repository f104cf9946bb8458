"""`make paper`: the local exchange on the sample tape, and a paper node with the OTE strategy against it.

``python -m tests.paper_demo`` needs no network and no keys. It stops at Ctrl-C, or after ``--secs``. A node
that is killed is started again, as a service manager would.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from runtime.cli import say
from runtime.live.paper_settings import PaperSettings
from tests.venue_simulator.process import VenueProcess

ROOT: Final = Path(__file__).resolve().parents[1]
INSTRUMENTS: Final = ("BTCUSDT.BINANCE", "ETHUSDT.BINANCE")
STOP_SECS: Final = 60
POLL_SECS: Final = 0.1
LATENCY_MS: Final = PaperSettings().latency_ms


def demo_settings(
    venue: VenueProcess, folder: Path, instruments: Sequence[str], parameters: dict[str, Any]
) -> dict[str, Any]:
    """Return the settings of a paper node on the local Binance spot.

    Parameters
    ----------
    venue
        Running local exchange with ``binance_spot``.
    folder
        Receives state, logs and journal.
    instruments
        Nautilus ids.
    parameters
        Of the OTE strategy.
    """
    return {
        "journal": {"url": f"sqlite:///{folder / 'journal.sqlite'}", "spool": str(folder / "spool")},
        "hosts": {"binance_spot": venue.http("binance_spot")},
        "live": {
            "folder": str(folder),
            "venues": [{"venue": "binance", "market": "spot", "hosts": demo_hosts(venue, "binance_spot")}],
        },
        "notifications": {"batch_secs": 0.5, "per_minute": 0},
        "strategies": [{"strategy": "ote", "instruments": list(instruments), **parameters}],
    }


def demo_hosts(venue: VenueProcess, name: str) -> dict[str, str]:
    """Return the addresses of a venue of the local exchange, as `live.venues` takes them."""
    user = {"binance_spot": "/ws-api/v3", "binance_usdm": "/ws", "bybit": "/v5/private"}.get(name, "")
    hosts = {"http": venue.http(name), "ws": venue.ws(name), "ws_user": venue.ws(name, user)}
    return hosts | ({"ws_orders": venue.ws(name, "/v5/trade")} if name == "bybit" else {})


def write_settings(settings: dict[str, Any], file: Path) -> Path:
    """Write settings as a file for ``--config``; return it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return file


def main(argv: Sequence[str] | None = None) -> int:
    """Run both until told to stop; return the node's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.paper_demo", description=__doc__)
    parser.add_argument("--speed", type=float, default=30.0, help="seconds of the tape per second")
    parser.add_argument("--secs", type=float, help="stop after so many seconds; default: at Ctrl-C")
    parser.add_argument("--folder", type=Path, default=Path("var/paper-demo"), help="state, logs and journal")
    parser.add_argument("--terminal", action="store_true", help="serve the terminal to browsers as well")
    parser.add_argument("--terminal-port", type=int, metavar="N", help="where; see live_node.py run --help")
    options = parser.parse_args(argv)
    words = ["--terminal"] if options.terminal else []
    words += [] if options.terminal_port is None else ["--terminal-port", str(options.terminal_port)]
    with VenueProcess("--tape", "sample", "--speed", f"{options.speed:g}", "--wait") as venue:
        settings = demo_settings(venue, options.folder, INSTRUMENTS, {})
        # The tape runs faster than the clock: so does an order's way to the venue.
        settings["live"]["paper"] = {"latency_ms": LATENCY_MS / options.speed}
        file = write_settings(settings, options.folder / "config.yaml")
        say(f"local exchange on {venue.http('binance_spot')}, settings in {file}")
        say(f"in another terminal: python live_node.py ctl status --config {file}")
        by_secs = None if options.secs is None else time.monotonic() + options.secs
        while (code := run_node(venue, file, by_secs, words)) == -signal.SIGKILL:
            say("the node was killed: it is started again")
        return code


def run_node(venue: VenueProcess, file: Path, by_secs: float | None, words: Sequence[str] = ()) -> int:
    """Run a node until it ends, or until a time of the monotonic clock; return its exit code.

    Parameters
    ----------
    venue, file
        Where it trades, and its settings.
    by_secs
        Of the monotonic clock; None waits for ever.
    words
        Further words of its command line.
    """
    command = [sys.executable, str(ROOT / "live_node.py"), "--mode", "paper", "--config", str(file)]
    node = subprocess.Popen(
        [*command, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    say(f"node: process {node.pid}")
    try:
        while not venue.state()["connections"] and node.poll() is None:
            time.sleep(POLL_SECS)  # compiling may take two minutes, in which the tape would pass unseen
        venue.tape("start")
        return node.wait(None if by_secs is None else max(by_secs - time.monotonic(), 0))
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        node.send_signal(signal.SIGTERM)
        return node.wait(STOP_SECS)


if __name__ == "__main__":
    sys.exit(main())
