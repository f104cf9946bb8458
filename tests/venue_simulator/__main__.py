"""Run the local exchange: ``python -m tests.venue_simulator`` prints its URLs as one line of JSON."""

import argparse
import asyncio
import contextlib
import gc
import json
import signal
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from aiohttp import web

from tests.venue_simulator.app import make_app
from tests.venue_simulator.control import Control
from tests.venue_simulator.protocol import SymbolTerms
from tests.venue_simulator.tape import EVER, FOUR, load, split_symbol
from tests.venue_simulator.tape_runner import TapeRunner
from tests.venue_simulator.venues import PROTOCOLS, make_venue

GC_THRESHOLDS: Final = (5_000, 10, 200)


def main() -> None:
    """Serve until interrupted."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parse()))


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.venue_simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=18080, help="0: any free one")
    parser.add_argument(
        "--tape",
        action="append",
        default=[],
        metavar="NAME",
        help="sample, FILE.parquet (trades or klines), FOLDER, or CATALOG:INSTRUMENT; repeatable",
    )
    parser.add_argument("--speed", type=float, default=1.0, help="seconds of the tape per second")
    parser.add_argument(
        "--history-secs",
        type=float,
        default=0.0,
        help="how much of the tape is already past when it starts (for warm-up by REST)",
    )
    parser.add_argument("--first", type=utc_ns, default=0, metavar="ISO", help="first time of the recording")
    parser.add_argument("--end", type=utc_ns, default=EVER[1], metavar="ISO", help="and its end, exclusive")
    parser.add_argument(
        "--prints",
        type=int,
        default=FOUR[0],
        help="trades that a kline of the tape becomes after the history: 4, 7, 10, ...",
    )
    parser.add_argument("--wait", action="store_true", help="let POST /ctl/tape start the tape")
    parser.add_argument(
        "--venues", default="binance_spot", help=f"comma-separated, of {', '.join(PROTOCOLS)}"
    )
    parser.add_argument(
        "--market",
        action="append",
        default=[],
        metavar="SYMBOL:TICK:LOT:PRICE",
        help="a market without a tape, such as BTCUSDT:0.01:0.00001:60000; repeatable",
    )
    parser.add_argument("--latency-ms", type=float, default=5.0)  # fmt: skip
    return parser.parse_args(argv)


async def serve(options: argparse.Namespace) -> None:
    """Build the venues, listen, print the URLs, and wait for a signal."""
    span = options.first, options.end
    prints = options.prints, options.first + int(options.history_secs * 1e9)
    series = [one for name in options.tape for one in load(name, span, prints)]
    terms = [one.terms for one in series] + [market_terms(text) for text in options.market]
    if not terms:
        raise SystemExit("nothing to trade: give --tape or --market")
    names = options.venues.split(",")
    venues = {name: make_venue(name, terms, options.latency_ms / 1000) for name in names}
    tape = TapeRunner(series, list(venues.values()), options.speed, options.history_secs) if series else None
    if tape is not None:
        tape.load_history()
    app = make_app(venues.values())
    Control(venues, tape).add_to(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", options.port, backlog=1024)
    await site.start()
    port = runner.addresses[0][1]
    urls = {name: f"http://127.0.0.1:{port}/{name}" for name in names}
    # What is there stays: looked at again and again it would hold every answer up for tens of milliseconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    print(json.dumps({"port": port, "ctl": f"http://127.0.0.1:{port}/ctl", "venues": urls}), flush=True)
    if tape is not None and not options.wait:
        tape.start()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    for venue in venues.values():
        venue.drop_connections()
    await runner.cleanup()


def utc_ns(text: str) -> int:
    """Read an ISO 8601 time; UTC unless it says otherwise."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no ISO time such as 2026-03-17T12:00") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000


def market_terms(text: str) -> SymbolTerms:
    """Read SYMBOL:TICK:LOT:PRICE."""
    symbol, tick, lot, price = text.split(":")
    base, quote = split_symbol(symbol)
    return SymbolTerms(symbol, base, quote, Decimal(tick), Decimal(lot), Decimal(price), Decimal(0))


if __name__ == "__main__":
    main()
