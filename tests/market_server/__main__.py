"""Run the server by hand: ``python -m tests.market_server`` prints the `hosts` for config.yaml."""

import argparse
import threading
from datetime import UTC, date, datetime, time, timedelta

from tests.market_server import MarketArchive, market_server
from tests.market_server.rest import example_rest


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--first", type=date.fromisoformat, default=date(2024, 12, 1))
    parser.add_argument("--last", type=date.fromisoformat, default=date(2025, 2, 10))
    parser.add_argument("--symbol", action="append", help="repeatable; default: XRPUSDT and BTCUSDT")
    arguments = parser.parse_args()
    symbols = tuple(arguments.symbol or ("XRPUSDT", "BTCUSDT"))
    archive = MarketArchive(arguments.first, arguments.last, symbols)
    # REST's present is noon of the day after the archive's last one: what lies between is its tail.
    noon = datetime.combine(arguments.last + timedelta(days=1), time(12), UTC)
    rest = example_rest(int(noon.timestamp()) * 1000)
    with market_server(archive, rest, port=arguments.port) as server:
        print("hosts:")
        for name, address in server.hosts.items():
            print(f"  {name}: {address}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
