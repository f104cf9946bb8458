"""Believes a position that contradicts the books only when the venue stands by it and no trade explains it.

Nautilus' engine invents a fill wherever a venue's report of a position differs from the cache. But a report
is a picture of another moment: an exit that fills between the questions for positions and for trades, or
while the answer is under way, makes a difference that is none. The invented fill then opens a position that
nobody holds, and the next comparison invents the way back. So of a difference the venue's trades are asked
for first, then its position again, and only what stays the same while no order is under way is taken.

The comparison of a node's start is taken as it comes, for before it the cache knows nothing, and what it told
is asked about once more: with several accounts one waits for the others, and its stops fill meanwhile. What
was taken later is watched for a minute: a trade that the venue tells late counts beside the invented one.
"""
# ruff: noqa: SLF001 - the engine and its clients have no public names for what is asked here.

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.reports import PositionStatusReport
from nautilus_trader.model.enums import PositionSide
from nautilus_trader.model.identifiers import InstrumentId, Venue
from nautilus_trader.model.objects import Quantity

from runtime.live.untold_trades import tell_trades
from runtime.live.venue_positions import position_reports

AGAIN_SECS: Final = 1.0
# Each difference costs a request for trades: with many of them the looks become rarer.
SECS_PER_DOUBT: Final = 0.5
# How often it must be told alike after the first time: a venue may list a trade late.
CONFIRMATIONS: Final = 2
# What did not settle after so many looks is told, and looked at rarely from then on.
LOOKS: Final = 30
RARELY_SECS: Final = 30.0
ANSWER_SECS: Final = 10.0
# A trade that makes a difference is as young as the difference; the clocks of venue and node are not one.
TRADES_SECS: Final = 60
CLOCK_NS: Final = 1_000_000_000
WATCH_SECS: Final = 60
NANOS: Final = 1_000_000_000

type Sums = tuple[Decimal, Decimal]
"""Signed quantity of an instrument in the books, and at the venue."""


@dataclass(slots=True)
class Doubt:
    """A difference that is looked at.

    Parameters
    ----------
    sums
        As found last.
    since_ns
        When it was found first, UNIX nanoseconds.
    watched_until_ns
        It is looked at until then, though the sums are equal.
    has_trades
        Everything was booked that the venue had traded by then.
    confirmed
        How often it was found alike since, after its trades were asked for.
    looks
        How often it was looked at.
    """

    sums: Sums
    since_ns: int
    watched_until_ns: int = 0
    has_trades: bool = False
    confirmed: int = 0
    looks: int = 0

    @property
    def is_open(self) -> bool:
        """Tell whether books and venue differ."""
        return self.sums[0] != self.sums[1]

    def see(self, sums: Sums, *, is_moving: bool) -> None:
        """Take what was found now; while an order's outcome is unknown it may be the difference."""
        is_alike = sums == self.sums and self.has_trades and not is_moving
        self.confirmed = self.confirmed + 1 if is_alike else 0
        self.sums, self.has_trades = sums, False
        self.looks += 1


class SecondLook:
    """Stands before the engine's way to make the books like a venue's positions.

    Parameters
    ----------
    engine
        Nautilus' live execution engine, before its start.
    loop
        Of the node.
    spot
        Names of venues that report no positions: nothing is invented there, all passes.
    """

    def __init__(self, engine: Any, loop: asyncio.AbstractEventLoop, spot: Collection[str] = ()) -> None:
        self._engine = engine
        self._loop = loop
        self._spot = frozenset(spot)
        self._believe = engine._reconcile_position_report
        self._doubts: dict[InstrumentId, Doubt] = {}
        # What was taken and differs by less than a lot: it would be in doubt for ever.
        self._left_over: dict[InstrumentId, Sums] = {}
        # Trades of before are in what the start told, where the engine may have summed them up.
        self._trades_from_ns: dict[InstrumentId, int] = {}
        self._task: asyncio.Task[None] | None = None
        engine._reconcile_position_report = self.take

    def take(self, report: PositionStatusReport) -> bool:
        """Hand a report over that agrees with the books; look again at one that does not.

        Parameters
        ----------
        report
            Nautilus' own. Positions with sides of their own (hedge mode) pass, and those of others where
            nobody here trades.

        Returns
        -------
        bool
            False while it is in doubt: who asked for the comparison does not have it yet.
        """
        name = report.instrument_id
        if self._passes(report):
            return bool(self._believe(report))
        if not self._engine._startup_reconciliation_event.is_set():
            return self._take_at_start(report)
        sums = self._sums(report)
        if sums[0] == sums[1] or sums == self._left_over.get(name):
            return bool(self._believe(report))
        if name not in self._doubts:
            text = f"{name}: the venue tells of a position of {sums[1]}, the books of {sums[0]}: asked again"
            self._engine._log.warning(text)
        self._doubt(name, sums)
        return False

    def _take_at_start(self, report: PositionStatusReport) -> bool:
        name = report.instrument_id
        if report.ts_init - CLOCK_NS < self._trades_from_ns.get(name, 0):
            return (
                True  # a newer one came first: of a stream that broke, while other accounts were waited for
            )
        is_taken = bool(self._believe(report))
        self._trades_from_ns[name] = report.ts_init - CLOCK_NS
        self._doubt(name, self._sums(report))
        return is_taken

    def _passes(self, report: PositionStatusReport) -> bool:
        name = report.instrument_id
        is_known = self._engine._cache.instrument(name) is not None
        return not is_known or name.venue.value in self._spot or report.venue_position_id is not None

    def _sums(self, report: PositionStatusReport) -> Sums:
        """Return the books' sum, of the positions that the engine would compare, and the venue's."""
        positions = self._engine._cache.positions_open(
            venue=None, instrument_id=report.instrument_id, account_id=report.account_id
        )
        own = sum((one.signed_decimal_qty() for one in positions), Decimal(0))
        return own, report.signed_decimal_qty

    def _doubt(self, name: InstrumentId, sums: Sums) -> None:
        if name not in self._doubts:
            self._doubts[name] = Doubt(sums, self._engine._clock.timestamp_ns())
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._look_until_settled())

    # -- looks ---------------------------------------------------------------------------------------------

    async def _look_until_settled(self) -> None:
        while self._doubts:
            await self._engine._startup_reconciliation_event.wait()
            for venue in sorted({one.venue for one in self._doubts}, key=str):
                try:
                    await self._look_at(venue)
                except Exception as error:  # of the transport, or of the engine: the others go on
                    self._engine._log.warning(f"{venue}: positions in doubt stay so: {error!r}")
            if self._engine._is_shutting_down:
                self._doubts.clear()
                return
            await asyncio.sleep(self._pause_secs())

    def _pause_secs(self) -> float:
        young = sum(one.looks < LOOKS or one.watched_until_ns > 0 for one in self._doubts.values())
        return max(AGAIN_SECS, SECS_PER_DOUBT * young) if young else RARELY_SECS

    async def _look_at(self, venue: Venue) -> None:
        """Ask a venue for its positions, then for the trades that could explain what differs still."""
        client = next(one for one in self._engine._clients.values() if one.venue == venue)
        async with asyncio.timeout(ANSWER_SECS):
            reports = {one.instrument_id: one for one in await position_reports(client)}
            for name in self._doubts_of(venue):
                if name not in reports:  # asked for by name: a list may leave out what settles in other coins
                    own = await position_reports(client, name)
                    reports[name] = next(
                        (one for one in own if one.instrument_id == name), _flat(client, name)
                    )
        for name in self._doubts_of(venue):
            if name in reports:
                self._judge(name, reports[name])
        for name in self._doubts_of(venue):
            if self._doubts[name].is_open:
                await self._ask_for_trades(client, name)

    def _doubts_of(self, venue: Venue) -> list[InstrumentId]:
        return [one for one in self._doubts if one.venue == venue]

    def _judge(self, name: InstrumentId, report: PositionStatusReport) -> None:
        doubt, sums = self._doubts[name], self._sums(report)
        doubt.see(sums, is_moving=bool(self._engine._cache.orders_inflight(instrument_id=name)))
        if not doubt.is_open:
            if self._engine._clock.timestamp_ns() >= doubt.watched_until_ns:
                del self._doubts[name]
        elif doubt.confirmed >= CONFIRMATIONS:
            self._make_alike(name, doubt, report)
        elif doubt.looks == LOOKS:
            self._say(name, sums, "it does not settle")

    def _make_alike(self, name: InstrumentId, doubt: Doubt, report: PositionStatusReport) -> None:
        """Let the engine invent the fill that is missing; trades of before are in it from then on."""
        with _every_fill_new(self._engine):
            self._believe(report)
        own, told = sums = self._sums(report)
        doubt.sums, doubt.confirmed = sums, 0
        self._trades_from_ns[name] = report.ts_init
        if round(own - told, self._engine._cache.instrument(name).size_precision):
            self._say(name, sums, "the engine does not follow")
            return
        self._left_over[name] = sums
        doubt.watched_until_ns = self._engine._clock.timestamp_ns() + WATCH_SECS * NANOS
        if own != told:
            del self._doubts[name]  # nobody can settle that

    def _say(self, name: InstrumentId, sums: Sums, what: str) -> None:
        self._engine._log.error(f"{name}: the venue tells of {sums[1]}, the books of {sums[0]}, and {what}")

    async def _ask_for_trades(self, client: Any, name: InstrumentId) -> None:
        since_ns = self._doubts[name].since_ns - TRADES_SECS * NANOS
        try:
            async with asyncio.timeout(ANSWER_SECS):
                if hasattr(client, "adopt_stops") and not await client.adopt_stops():
                    return
                await tell_trades(client, name, max(since_ns, self._trades_from_ns.get(name, 0)))
        except Exception as error:  # the transport's own errors have no common base
            self._engine._log.warning(f"{name}: cannot ask for its trades: {error!r}")
        else:
            if name in self._doubts:
                self._doubts[name].has_trades = True


@contextmanager
def _every_fill_new(engine: Any) -> Iterator[None]:
    """Keep the engine from taking an order that filled long ago for the one that it is about to invent.

    It looks for one with the same side and size, which is meant for fills that a restart reads again.
    """
    find = engine._find_matching_cached_order
    engine._find_matching_cached_order = lambda *_arguments, **_options: None
    try:
        yield
    finally:
        engine._find_matching_cached_order = find


def _flat(client: Any, name: InstrumentId) -> PositionStatusReport:
    now_ns = client._clock.timestamp_ns()
    return PositionStatusReport(
        account_id=client.account_id,
        instrument_id=name,
        position_side=PositionSide.FLAT,
        quantity=Quantity.zero(),
        report_id=UUID4(),
        ts_last=now_ns,
        ts_init=now_ns,
    )


__all__ = ["SecondLook"]
