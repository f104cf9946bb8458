"""Run the server by hand: ``python -m tests.market_server`` prints the `hosts` for config.yaml."""

import argparse
import threading
from datetime import date

from tests.market_server import MarketArchive, market_server


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
    with market_server(archive, port=arguments.port) as server:
        print("hosts:")
        for name, address in server.hosts.items():
            print(f"  {name}: {address}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
