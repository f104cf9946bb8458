"""A local exchange inside the test's own process, on a thread of its own: direct access to its insides."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal

from aiohttp import web

from tests.venue_simulator.app import make_app
from tests.venue_simulator.core import Account, Market, Side
from tests.venue_simulator.protocol import Protocol
from tests.venue_simulator.venue import Venue


class VenueThread:
    """A running venue: its address, and its objects reached on their own thread."""

    def __init__(self, venue: Venue, loop: asyncio.AbstractEventLoop, port: int) -> None:
        self.venue = venue
        self._loop = loop
        self.http = f"http://127.0.0.1:{port}/{venue.name}"
        self.ws = f"ws://127.0.0.1:{port}/{venue.name}"

    def call[T](self, function: Callable[[], T]) -> T:
        """Run a function on the venue's thread and return what it returns."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def trade(self, key: str, side: Side, qty: str, price: str) -> None:
        """Make a public trade by hand."""
        self.call(lambda: self.venue.exchange.print_trade(key, side, Decimal(qty), Decimal(price)))


@contextmanager
def venue_thread(
    protocol: type[Protocol], markets: Sequence[Market], account: Account, latency_secs: float = 0.005
) -> Iterator[VenueThread]:
    """Run a venue until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="venue", daemon=True)
    thread.start()

    async def start() -> tuple[Venue, web.AppRunner, int]:
        venue = Venue(protocol, markets, [account], latency_secs)
        runner = web.AppRunner(make_app([venue]), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return venue, runner, runner.addresses[0][1]

    venue, runner, port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield VenueThread(venue, loop, port)
    finally:
        loop.call_soon_threadsafe(venue.drop_connections)
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
