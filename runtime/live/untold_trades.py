"""Tells the engine of trades that no message of the venue told: ours, and those of others in our account.

An order that is not ours is told with its own fills. Of a report that it has filled, the engine would invent
one fill at a rounded average and without a fee.
"""

from typing import Any, Final

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import GenerateOrderStatusReport
from nautilus_trader.model.identifiers import InstrumentId, VenueOrderId

from runtime.errors import VenueError
from runtime.live.order_lookup import Answer, Lookup, hand_over, newest_fills

RECONCILE: Final = "ExecEngine.reconcile_execution_report"


async def tell_trades(client: Any, instrument_id: InstrumentId, since_ns: int) -> int:
    """Ask a venue for its newest trades of an instrument, and hand over what the engine does not know.

    Parameters
    ----------
    client
        Execution client of Binance or Bybit; a simulated one tells everything at once.
    instrument_id
        Whose.
    since_ns
        Older ones are left alone, UNIX nanoseconds.

    Returns
    -------
    int
        How many trades were not known.

    Raises
    ------
    VenueError
        When the venue does not tell of an order that has traded, after all others were handed over; the
        transport's own errors pass as well.
    """
    if not (hasattr(client, "_http_account") or hasattr(client, "pyo3_account_id")):
        return 0
    untold: dict[VenueOrderId, list[Any]] = {}
    for fill in await newest_fills(client, instrument_id):
        if fill.ts_event >= since_ns and not _is_known(client, fill):
            untold.setdefault(fill.venue_order_id, []).append(fill)
    untellable = ""
    # Ours first: a stop's size waits for them, and not for what the venue says of others' orders.
    for venue_order_id, fills in sorted(untold.items(), key=lambda one: not _is_ours(client, one[0])):
        report = await client.generate_order_status_report(_question(client, instrument_id, venue_order_id))
        if report is None:
            untellable = f"order {venue_order_id} of {instrument_id} has traded and is not told"
            continue
        told = [one for one in fills if not _is_known(client, one)]  # others may have told them meanwhile
        for fill in told:
            client._log.warning(f"The stream missed trade {fill.trade_id} of order {venue_order_id}")  # noqa: SLF001
        hand_over(client._cache, Lookup(Answer.FOUND, report, tuple(told)), lambda one: send(client, one))  # noqa: SLF001
    if untellable:
        raise VenueError(untellable)
    return sum(len(fills) for fills in untold.values())


def send(client: Any, report: Any) -> None:
    """Hand a report to the engine, past what a client of ours does with it."""
    client._msgbus.send(endpoint=RECONCILE, msg=report)  # noqa: SLF001


def _is_ours(client: Any, venue_order_id: VenueOrderId) -> bool:
    return client._cache.client_order_id(venue_order_id) is not None  # noqa: SLF001


def _is_known(client: Any, fill: Any) -> bool:
    name = client._cache.client_order_id(fill.venue_order_id)  # noqa: SLF001
    order = None if name is None else client._cache.order(name)  # noqa: SLF001
    return order is not None and fill.trade_id in order.trade_ids


def _question(client: Any, instrument_id: InstrumentId, order_id: VenueOrderId) -> GenerateOrderStatusReport:
    return GenerateOrderStatusReport(
        instrument_id=instrument_id,
        client_order_id=None,
        venue_order_id=order_id,
        command_id=UUID4(),
        ts_init=client._clock.timestamp_ns(),  # noqa: SLF001 - Nautilus offers no public name
    )


__all__ = ["RECONCILE", "send", "tell_trades"]
