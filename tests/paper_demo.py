"""`make paper`: the local exchange on the sample tape, and a paper node with the OTE strategy against it.

``python -m tests.paper_demo`` needs no network and no keys. It stops at Ctrl-C, or after ``--secs``.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.venue_simulator.process import VenueProcess

ROOT: Final = Path(__file__).resolve().parents[1]
INSTRUMENTS: Final = ("BTCUSDT.BINANCE", "ETHUSDT.BINANCE")
STOP_SECS: Final = 60


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
    options = parser.parse_args(argv)
    with VenueProcess("--tape", "sample", "--speed", f"{options.speed:g}", "--wait") as venue:
        settings = demo_settings(venue, options.folder, INSTRUMENTS, {})
        file = write_settings(settings, options.folder / "config.yaml")
        print(f"local exchange on {venue.http('binance_spot')}, settings in {file}", file=sys.stderr)
        node = subprocess.Popen(
            [sys.executable, str(ROOT / "live_node.py"), "--mode", "paper", "--config", str(file)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        venue.tape("start")
        try:
            return node.wait(options.secs)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            node.send_signal(signal.SIGTERM)
            return node.wait(STOP_SECS)


if __name__ == "__main__":
    sys.exit(main())
