"""Ask a venue what became of one order: it has it, it does not know it, or it does not answer.

The adapters' own ``generate_order_status_report`` answers None for the last two alike, and the difference is
the whole point: an order that the venue does not know may be sent again, one without an answer never. So the
adapters' HTTP interfaces are asked directly, one function per adapter.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from nautilus_trader.adapters.binance.http.error import BinanceError, get_binance_error_code
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import GenerateFillReports, GenerateOrderStatusReport
from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId

# Vendor's error codes: -2013 order does not exist, -2011 unknown order (cancel, some algo endpoints).
_BINANCE_NO_ORDER: Final = frozenset({-2013, -2011})
# A question whose connection a cut swallowed may hang for minutes, and an exit's may wait behind it.
LONGEST_SECS: Final = 10.0
_UNACKNOWLEDGED: Final = frozenset({OrderStatus.INITIALIZED, OrderStatus.SUBMITTED})
# Of this task alone: what another task says of the same order meanwhile is no part of the question.
_ASKED_ABOUT: ContextVar[str] = ContextVar("asked_about", default="")


class Answer(StrEnum):
    """What a venue said about an order."""

    FOUND = "found"
    ABSENT = "absent"
    WAITING = "waiting"  # at a venue inside the node, which will tell what becomes of it
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Lookup:
    """An answer, with what was found.

    Parameters
    ----------
    answer
        See `Answer`.
    report
        Nautilus' `OrderStatusReport` of an order that was found.
    fills
        Nautilus' `FillReport` of each of its fills, as far as the venue gives them.
    """

    answer: Answer
    report: Any = None
    fills: tuple[Any, ...] = ()


async def look_up(client: Any, instrument_id: InstrumentId, client_id: str) -> Lookup:
    """Ask the venue of an execution client about one order.

    Parameters
    ----------
    client
        Nautilus' live execution client: Binance, Bybit, or another (a simulated one knows all its orders).
    instrument_id, client_id
        Whose order, and its client order id. No answer within `LONGEST_SECS` is none.
    """
    try:
        async with asyncio.timeout(LONGEST_SECS):
            return await _look_up(client, instrument_id, client_id)
    except TimeoutError:
        return Lookup(Answer.SILENT)


async def _look_up(client: Any, instrument_id: InstrumentId, client_id: str) -> Lookup:
    answer = await _knows(client, instrument_id, client_id)
    if answer is not Answer.FOUND:
        return Lookup(answer)
    question = _question(client, instrument_id, client_id)
    with _asking_about(client_id):
        report = await client.generate_order_status_report(question)
    if report is None:
        return Lookup(Answer.SILENT)
    if not report.filled_qty.as_decimal():
        return Lookup(Answer.FOUND, report)
    try:
        fills = await newest_fills(client, instrument_id, report.venue_order_id)
    except Exception:
        return Lookup(Answer.SILENT)
    own = tuple(one for one in fills if one.venue_order_id == report.venue_order_id)
    return Lookup(Answer.FOUND, report, own)


def is_asking_about(client_id: str) -> bool:
    """Tell whether who calls is called by an adapter that is asked about an order.

    Binance's calls the order rejected from within when it could not ask; the venue has said no such thing.

    Parameters
    ----------
    client_id
        Client order id.
    """
    return _ASKED_ABOUT.get() == client_id


@contextmanager
def _asking_about(client_id: str) -> Iterator[None]:
    token = _ASKED_ABOUT.set(client_id)
    try:
        yield
    finally:
        _ASKED_ABOUT.reset(token)


def hand_over(cache: Any, answer: Lookup, send: Callable[[Any], Any]) -> list[Any]:
    """Tell the execution engine what a venue said about an order: acceptance, its own fills, then the rest.

    A report alone would not do. Of more filled than it knows the engine invents a fill, with an id of its own
    and no fee, and of an order that ended after a part was filled it takes the end alone.

    Parameters
    ----------
    cache
        The engine's.
    answer
        With a report.
    send
        Hands one report to the engine, which has taken it when this returns.

    Returns
    -------
    list
        The fills that the engine did not know.
    """
    report = answer.report
    order = _order_of(cache, report)
    if report.filled_qty > 0 and (order is None or order.status in _UNACKNOWLEDGED):
        # Not a copy: Nautilus' own kind of object loses what the engine logs.
        status, report.order_status = report.order_status, OrderStatus.ACCEPTED
        try:
            send(report)
        finally:
            report.order_status = status
        order = _order_of(cache, report)
    if order is None:
        send(report)
        return []
    unknown = [one for one in answer.fills if one.trade_id not in order.trade_ids]
    for one in sorted(unknown, key=lambda fill: (fill.ts_event, fill.trade_id.value)):
        send(one)
    if not order.is_closed and order.filled_qty == report.filled_qty:
        send(report)
    return unknown


def _order_of(cache: Any, report: Any) -> Any:
    """Return the engine's order of a report; one placed by hand may have no client id at the venue."""
    client_id = report.client_order_id or cache.client_order_id(report.venue_order_id)
    return None if client_id is None else cache.order(client_id)


async def withdraw(client: Any, instrument_id: InstrumentId, client_id: str) -> None:
    """Cancel an order at its venue that Nautilus holds for ended and would not cancel.

    Nothing is said about the outcome: who asks looks again. A simulated venue is left alone.

    Parameters
    ----------
    client, instrument_id, client_id
        As in `look_up`.
    """
    if hasattr(client, "_http_account"):
        symbol = instrument_id.symbol.value
        requests = [client._http_account.cancel_order(symbol=symbol, orig_client_order_id=client_id)]  # noqa: SLF001
        if hasattr(client, "_futures_http_account"):
            requests.append(client._futures_http_account.cancel_algo_order(client_algo_id=client_id))  # noqa: SLF001
    elif hasattr(client, "withdraw"):
        requests = [client.withdraw(instrument_id, client_id)]
    else:
        requests = []
    for request in requests:
        with suppress(Exception):
            await request


async def binance_fills(client: Any, instrument_id: InstrumentId, venue_order_id: Any = None) -> list[Any]:
    """Return the newest fills of an instrument, Nautilus' `FillReport` of each.

    The adapter's own method asks for instruments alone of which the cache has open orders or a position.

    Parameters
    ----------
    client
        An execution client of Nautilus' Binance adapters.
    instrument_id
        Whose.
    venue_order_id
        Of this order alone; None for all.
    """
    order_id = None if venue_order_id is None else int(venue_order_id.value)
    trades = await client._http_account.query_user_trades(  # noqa: SLF001
        symbol=instrument_id.symbol.value, order_id=order_id
    )
    return [
        one.parse_to_fill_report(
            account_id=client.account_id,
            instrument_id=instrument_id,
            report_id=UUID4(),
            ts_init=client._clock.timestamp_ns(),  # noqa: SLF001
            use_position_ids=client.use_position_ids,
        )
        for one in trades
    ]


async def newest_fills(client: Any, instrument_id: InstrumentId, venue_order_id: Any = None) -> list[Any]:
    """Return the newest fills of an instrument, Nautilus' `FillReport` of each.

    Parameters
    ----------
    client, instrument_id
        As in `look_up`.
    venue_order_id
        Others need not be among them; None for all.
    """
    if hasattr(client, "_http_account"):
        return await binance_fills(client, instrument_id, venue_order_id)
    reports: list[Any] = await client.generate_fill_reports(
        GenerateFillReports(
            instrument_id=instrument_id,
            venue_order_id=None,
            start=None,
            end=None,
            command_id=UUID4(),
            ts_init=client._clock.timestamp_ns(),  # noqa: SLF001 - Nautilus offers no public name
        )
    )
    return reports


def _question(client: Any, instrument_id: InstrumentId, client_id: str) -> GenerateOrderStatusReport:
    return GenerateOrderStatusReport(
        instrument_id=instrument_id,
        client_order_id=ClientOrderId(client_id),
        venue_order_id=None,
        command_id=UUID4(),
        ts_init=client._clock.timestamp_ns(),  # noqa: SLF001 - Nautilus offers no public name
    )


async def _knows(client: Any, instrument_id: InstrumentId, client_id: str) -> Answer:
    if hasattr(client, "_http_account"):
        return await _binance_knows(client, instrument_id, client_id)
    if hasattr(client, "pyo3_account_id"):
        return await _bybit_knows(client, instrument_id, client_id)
    venue = getattr(client, "paper_venue", None)
    if venue is not None and venue.is_on_its_way(client_id):
        return Answer.WAITING  # for its latency, or for the first print
    report = await client.generate_order_status_report(_question(client, instrument_id, client_id))
    return Answer.ABSENT if report is None else Answer.FOUND  # a venue inside the node: it knows


async def _binance_knows(client: Any, instrument_id: InstrumentId, client_id: str) -> Answer:
    symbol = instrument_id.symbol.value
    asked = [client._http_account.query_order(symbol=symbol, orig_client_order_id=client_id)]  # noqa: SLF001
    if hasattr(client, "_futures_http_account"):  # stops are orders of another service
        asked.append(client._futures_http_account.query_algo_order(client_algo_id=client_id))  # noqa: SLF001
    answers = [await _binance_answer(one) for one in asked]
    for answer in (Answer.FOUND, Answer.SILENT):
        if answer in answers:
            return answer
    return Answer.ABSENT


async def _binance_answer(request: Any) -> Answer:
    try:
        found = await request
    except BinanceError as error:
        code = get_binance_error_code(error)
        return Answer.ABSENT if code is not None and code.value in _BINANCE_NO_ORDER else Answer.SILENT
    except Exception:
        return Answer.SILENT
    return Answer.ABSENT if found is None else Answer.FOUND


async def _bybit_knows(client: Any, instrument_id: InstrumentId, client_id: str) -> Answer:
    from nautilus_trader.core import nautilus_pyo3

    try:
        found = await client._http_client.query_order(  # noqa: SLF001
            account_id=client.pyo3_account_id,
            product_type=nautilus_pyo3.bybit_product_type_from_symbol(instrument_id.symbol.value),
            instrument_id=nautilus_pyo3.InstrumentId.from_str(instrument_id.value),
            client_order_id=nautilus_pyo3.ClientOrderId(client_id),
            venue_order_id=None,
        )
    except Exception:
        return Answer.SILENT
    return Answer.ABSENT if found is None else Answer.FOUND


__all__ = [
    "Answer",
    "Lookup",
    "binance_fills",
    "hand_over",
    "is_asking_about",
    "look_up",
    "newest_fills",
    "withdraw",
]
