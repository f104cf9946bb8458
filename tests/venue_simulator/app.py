"""The aiohttp application: every venue's endpoints on one port, and the loop that lets time pass."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Final

from aiohttp import web

from tests.venue_simulator.venue import Venue

TICK_SECS: Final = 0.02


def make_app(venues: Iterable[Venue]) -> web.Application:
    """Return the application of some venues; `/<venue>/...` is each one's own root."""
    app = web.Application(client_max_size=1 << 20)
    chosen = list(venues)
    for venue in chosen:
        venue.add_to(app)

    async def pass_time(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(_pass_time(chosen))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    app.cleanup_ctx.append(pass_time)
    return app


async def _pass_time(venues: list[Venue]) -> None:
    while True:
        await asyncio.sleep(TICK_SECS)
        for venue in venues:
            venue.exchange.expire_due()
            venue.protocol.on_tick()
