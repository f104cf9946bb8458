"""Believes a position that contradicts the books only when the venue stands by it and no trade explains it.

Nautilus' engine invents a fill wherever a venue's report of a position differs from the cache. But a report
is a picture of another moment: an exit that fills between the questions for positions and for trades, or
while the answer is under way, makes a difference that is none. The invented fill then opens a position that
nobody holds, and the next comparison invents the way back. So of a difference the venue's trades are asked
for first, then its position once more, and only what stays the same while no order is under way is taken.

The first comparison of a node's start is taken as it comes: before it the cache knows nothing.
"""
# ruff: noqa: SLF001 - the engine and its clients have no public names for what is asked here.

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.reports import PositionStatusReport
from nautilus_trader.model.enums import PositionSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Quantity

from runtime.live.untold_trades import tell_trades
from runtime.live.venue_positions import position_reports

AGAIN_SECS: Final = 1.0
# How often it must be told alike after the first time: a venue may list a trade late.
CONFIRMATIONS: Final = 2
ANSWER_SECS: Final = 10.0
# An order without an answer is settled in less; then the next comparison begins anew.
LOOKS: Final = 30
# A trade that makes a difference is as young as the difference; the clocks of venue and node are not one.
TRADES_SECS: Final = 60
NANOS: Final = 1_000_000_000


@dataclass(slots=True)
class Doubt:
    """A difference that is looked at.

    Parameters
    ----------
    sums
        Signed quantity of the instrument in the books, and at the venue.
    confirmed
        How often it was found alike since it was seen first.
    """

    sums: tuple[Decimal, Decimal]
    confirmed: int = 0


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
        self._task: asyncio.Task[None] | None = None
        engine._reconcile_position_report = self.take

    def take(self, report: PositionStatusReport) -> bool:
        """Hand a report over that agrees with the books; look again at one that does not.

        Parameters
        ----------
        report
            Nautilus' own. Positions with sides of their own (hedge mode) pass.

        Returns
        -------
        bool
            False while it is in doubt: who asked for the comparison does not have it yet.
        """
        name = report.instrument_id
        sums = self._own_qty(report), report.signed_decimal_qty
        if sums[0] == sums[1] or self._passes(report):
            self._doubts.pop(name, None)
            return bool(self._believe(report))
        if name not in self._doubts:
            text = f"{name}: the venue tells of a position of {sums[1]}, the books of {sums[0]}: asked again"
            self._engine._log.warning(text)
            self._doubts[name] = Doubt(sums)
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._look_again())
        return False

    def _passes(self, report: PositionStatusReport) -> bool:
        is_start = not self._engine._startup_reconciliation_event.is_set()
        is_spot = report.instrument_id.venue.value in self._spot
        return is_start or is_spot or report.venue_position_id is not None

    def _own_qty(self, report: PositionStatusReport) -> Decimal:
        """Return the books' sum, of the positions that the engine would compare."""
        positions = self._engine._cache.positions_open(
            venue=None, instrument_id=report.instrument_id, account_id=report.account_id
        )
        return sum((one.signed_decimal_qty() for one in positions), Decimal(0))

    async def _look_again(self) -> None:
        for _ in range(LOOKS):
            await asyncio.sleep(AGAIN_SECS)
            for name in sorted(self._doubts, key=str):
                await self._ask_about(name)
            if not self._doubts:
                return
        for name, doubt in self._doubts.items():
            own, told = doubt.sums
            text = f"{name}: the venue tells of {told}, the books of {own}, and it does not settle"
            self._engine._log.error(text)
        self._doubts.clear()

    async def _ask_about(self, name: InstrumentId) -> None:
        client = next(one for one in self._engine._clients.values() if one.venue == name.venue)
        try:
            async with asyncio.timeout(ANSWER_SECS):
                since_ns = client._clock.timestamp_ns() - TRADES_SECS * NANOS
                await tell_trades(client, name, since_ns)
                report = await _position(client, name)
        except Exception as error:  # the transport's own errors have no common base
            self._engine._log.warning(f"{name}: cannot ask for its position: {error!r}")
            return
        doubt = self._doubts.get(name)
        if doubt is None:
            return  # it agreed while we asked
        sums = self._own_qty(report), report.signed_decimal_qty
        if sums != doubt.sums or self._is_moving(name):
            doubt.sums, doubt.confirmed = sums, 0
        else:
            doubt.confirmed += 1
        if sums[0] == sums[1] or doubt.confirmed >= CONFIRMATIONS:
            del self._doubts[name]
            self._believe(report)

    def _is_moving(self, name: InstrumentId) -> bool:
        """Tell whether the outcome of an order is unknown: it may be the difference."""
        return bool(self._engine._cache.orders_inflight(instrument_id=name))


async def _position(client: Any, name: InstrumentId) -> PositionStatusReport:
    """Ask a venue for its position of an instrument; none is a flat one."""
    for report in await position_reports(client, name):
        if report.instrument_id == name:
            return report
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
