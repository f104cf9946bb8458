"""Settles on paper the funding times that passed while no node ran.

A position that rests at a real venue pays funding whether anybody looks or not. A simulated one has nobody
else: when the node is back, the rates of the time between are asked of the venue, and settled on what was
held at each funding time, at the price that was kept last (`runtime.live.paper_missed`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from nautilus_trader.model.identifiers import InstrumentId

from runtime.errors import ConfigurationError, DataError, VenueError
from runtime.funding_schedule import minute_of, rates_of
from runtime.live.backfill import venue_symbol
from runtime.live.context import LiveContext
from runtime.live.holding_actor import HoldingActor
from runtime.live.paper_settings import PaperSettings
from runtime.notify.events import Severity
from runtime.settings import FundingSettings

# Desks take their setups up first, and payments are booked into them.
START_SECS: Final = 2.0
AGAIN_SECS: Final = 60.0

type Rates = Callable[[InstrumentId, int, int], Awaitable[Mapping[int, Decimal]]]
"""Rates by funding time of an instrument, later than one time and up to another, UNIX nanoseconds."""


class PaperAwayActor(HoldingActor):
    """Settles once, as soon as the rates are known.

    Parameters
    ----------
    venues
        Gives the simulated venues (`runtime.live.paper_venue.PaperVenue`).
    rates
        Who knows them.
    """

    def __init__(self, venues: Callable[[], Iterable[Any]], rates: Rates) -> None:
        super().__init__()
        self._venues, self._rates = venues, rates

    def on_start(self) -> None:
        """Begin."""
        self.begin(self._run())

    def on_stop(self) -> None:
        """Ask no more."""
        self.cancel_tasks()

    async def _run(self) -> None:
        await asyncio.sleep(START_SECS)
        waiting = [
            (venue, name, owed.since_ns)
            for venue in self._venues()
            for name, owed in venue.missed.owed.items()
        ]
        until_ns = self.clock.timestamp_ns()
        while waiting:
            waiting = [one for one in waiting if not await self._settle(*one, until_ns)]
            if waiting:
                await asyncio.sleep(AGAIN_SECS)

    async def _settle(self, venue: Any, instrument_id: InstrumentId, since_ns: int, until_ns: int) -> bool:
        try:
            rates = await self._rates(instrument_id, since_ns, until_ns)
        except (VenueError, ConfigurationError, DataError) as error:
            self.tell(f"{instrument_id}: funding of the time away waits: {error}", Severity.WARNING)
            return False
        venue.settle_missed(instrument_id, rates, until_ns)
        return True


def make_paper_away(context: LiveContext) -> PaperAwayActor | None:
    """Return the actor of a paper node; None of a live one, and where nothing is settled."""
    paper: PaperSettings = context.settings.live.paper
    if context.mode != "paper" or paper.funding == "none" or paper.time == "data":
        return None
    engine = context.node.kernel.exec_engine

    def venues() -> list[Any]:
        clients = engine._clients.values()  # noqa: SLF001 - no public list
        return [one.paper_venue for one in clients if hasattr(one, "paper_venue")]

    async def rates(instrument_id: InstrumentId, since_ns: int, until_ns: int) -> Mapping[int, Decimal]:
        name = instrument_id.value
        if paper.funding == "constant":
            constant = FundingSettings(
                source="constant",
                rate_pct=paper.funding_rate_pct,
                interval_hours=paper.funding_interval_hours,
            )
            return rates_of(constant, Path(), name, (since_ns + 1, until_ns))
        rest: Any = context.rest.of_instrument(name)
        found = await rest.funding_rates(venue_symbol(instrument_id), since_ns + 1, until_ns + 1)
        return {minute_of(one.ts_ns): one.rate for one in found}

    return PaperAwayActor(venues, rates)


__all__ = ["PaperAwayActor", "make_paper_away"]
