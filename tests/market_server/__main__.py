"""Run the server by hand: ``python -m tests.market_server`` prints the `hosts` for config.yaml."""

import argparse
import threading
from datetime import UTC, date, datetime, time, timedelta

from tests.market_server import MarketArchive, market_server
from tests.market_server.archive_rest import whole_rest
from tests.market_server.server import Responder


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--first", type=date.fromisoformat, default=date(2024, 12, 1))
    parser.add_argument("--last", type=date.fromisoformat, default=date(2025, 2, 10))
    parser.add_argument("--symbol", action="append", help="repeatable; default: XRPUSDT and BTCUSDT")
    arguments = parser.parse_args()
    symbols = tuple(arguments.symbol or ("XRPUSDT", "BTCUSDT"))
    chosen = responders(arguments.first, arguments.last, symbols)
    with market_server(*chosen, port=arguments.port) as server:
        print("hosts:")
        for name, address in server.hosts.items():
            print(f"  {name}: {address}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")


def responders(first: date, last: date, symbols: tuple[str, ...]) -> tuple[Responder, Responder]:
    """Return the archive and the REST interfaces of one market."""
    archive = MarketArchive(first, last, symbols)
    # REST's present is noon of the day after the archive's last one: what lies between is its tail.
    noon = datetime.combine(last + timedelta(days=1), time(12), UTC)
    return archive, whole_rest(archive, int(noon.timestamp()) * 1000)


if __name__ == "__main__":
    main()
