"""Asks a venue for its positions, and for a mass status during which none of them moved.

Orders, trades and positions of a mass status are asked for one beside the other. An order that fills
meanwhile is in some of the answers and not in others, and at a start the engine makes up for that with a
fill that never was; later `runtime.live.second_look` stands before it.
"""
# ruff: noqa: SLF001 - the adapters have no public names for what is asked here.

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import GeneratePositionStatusReports
from nautilus_trader.execution.reports import ExecutionMassStatus, PositionStatusReport
from nautilus_trader.model.identifiers import InstrumentId

ATTEMPTS: Final = 3
AGAIN_SECS: Final = 1.0


async def position_reports(
    client: Any, instrument_id: InstrumentId | None = None
) -> list[PositionStatusReport]:
    """Ask a venue for its positions.

    Parameters
    ----------
    client
        Execution client of Binance or Bybit, or a simulated one.
    instrument_id
        Of this instrument alone; None for all that are not flat.

    Raises
    ------
    VenueError
        When Bybit does not answer; the transport's own errors of Binance's adapter.
    """
    reports: list[PositionStatusReport]
    if hasattr(client, "_http_account"):  # by the other way an error is an empty list
        reports = await client._get_binance_position_status_reports(
            None if instrument_id is None else instrument_id.symbol.value
        )
        return reports
    question = GeneratePositionStatusReports(
        instrument_id=instrument_id,
        start=None,
        end=None,
        command_id=UUID4(),
        ts_init=client._clock.timestamp_ns(),
    )
    reports = await client.generate_position_status_reports(question)
    return reports


async def still_status(
    client: Any, ask: Callable[[], Awaitable[ExecutionMassStatus | None]]
) -> ExecutionMassStatus | None:
    """Ask for a mass status until it is whole and no position moved meanwhile.

    The engine starts nothing without one, so a hiccup gets more attempts, and in the end the last whole one
    is taken although something moved.

    Parameters
    ----------
    client
        As in `position_reports`.
    ask
        ``await ask()`` returns the status, None where a part of it could not be had.
    """
    status = None
    for attempt in range(ATTEMPTS):
        try:
            before = await _signed(client)
            status = await ask() or status
            if status is not None and await _signed(client) == before:
                return status
        except Exception as error:  # the transport's own errors have no common base
            client._log.warning(f"Cannot ask for the positions: {error}")
        await asyncio.sleep(AGAIN_SECS * (attempt + 1 < ATTEMPTS))
    return status


async def _signed(client: Any) -> dict[InstrumentId, Decimal]:
    told: dict[InstrumentId, Decimal] = {}
    for report in await position_reports(client):
        if client._cache.instrument(report.instrument_id) is None:
            continue  # of others, where nobody here trades
        told[report.instrument_id] = told.get(report.instrument_id, Decimal(0)) + report.signed_decimal_qty
    return {name: qty for name, qty in told.items() if qty}


__all__ = ["position_reports", "still_status"]
