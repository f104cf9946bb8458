"""What breaks alike in Binance's execution clients of spot and USD-M when their user stream does.

Measured on the local exchange with Nautilus 1.231 (tests/integration/test_usdm_node.py, test_spot_gaps.py):

* One refused login or request for a listen key ends the user stream for good; nobody is told.
* One request that fails during a reconciliation leaves orders, fills or positions out of it, and nobody tries
  again. Without the trades of an order the engine invents one: a trade id of its own, no fee, and on spot a
  position of more coins than were bought.
* So it does when an order is queried, and when the engine's check of open orders meets a fill first.
* What a single lost message told is never found (`runtime.live.binance_missed`).
* At a start the trades are asked for before the cache knows which instruments have orders, so on spot, which
  has no positions, none are: the same invented fills.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from nautilus_trader.execution.messages import QueryOrder
from nautilus_trader.execution.reports import ExecutionMassStatus, FillReport
from nautilus_trader.model.identifiers import InstrumentId, VenueOrderId
from nautilus_trader.model.orders import Order

from runtime.live.binance_missed import MissedReports
from runtime.live.open_reports import OpenReports
from runtime.live.order_lookup import binance_fills
from runtime.live.venue_positions import still_status

STREAM_CHECK_SECS: Final = 1.0
RECONCILE_AGAIN_SECS: Final = 1.0
RECONCILING: Final = (
    "/openOrders",
    "/openAlgoOrders",
    "/allOrders",
    "/allAlgoOrders",
    "/myTrades",
    "/userTrades",
    "/positionRisk",
)

if TYPE_CHECKING:
    from nautilus_trader.adapters.binance.execution import BinanceCommonExecutionClient as Client
else:
    Client = object


class StreamRepairs(OpenReports, Client):
    """Mixin before the adapter's client: opens the stream again, and reconciles whole or not at all."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stream_watch: asyncio.Task[None] | None = None
        self._late_reconciliation: asyncio.Task[None] | None = None
        self._failed_requests = 0
        # One reconciliation at a time: another would begin its count of failures anew.
        self._reconciling = asyncio.Lock()
        self._missed = MissedReports(self)
        self._count_failures()

    async def _connect(self) -> None:
        await super()._connect()
        self._stream_watch = self._loop.create_task(self._watch_stream())
        self._missed.begin()

    async def _disconnect(self) -> None:
        self._missed.end()
        for task in (self._stream_watch, self._late_reconciliation):
            if task is not None:
                task.cancel()
        await super()._disconnect()

    async def _watch_stream(self) -> None:
        """Open the user stream again, as often as it takes, after the adapter has given it up."""
        stream = self._ws_client
        while True:
            await asyncio.sleep(STREAM_CHECK_SECS)
            if not stream._is_recovery_failed:  # noqa: SLF001 - the adapter tells nobody
                continue
            self._log.warning("User stream was given up, opening it again")
            try:
                await stream.connect()
                await stream.session_logon()
                await stream._resubscribe()  # noqa: SLF001
            except Exception as error:
                self._log.error(f"Cannot open the user stream: {error}")
                await stream.disconnect()
                stream._is_recovery_failed = True  # noqa: SLF001

    async def _ask_for_fills(self, order: Order) -> None:
        """Ask about the order, which tells its end as well; by its number where the venue knows no name."""
        await self._missed.ask_about(order.client_order_id.value)
        if self._lacks(order.client_order_id):
            await super()._ask_for_fills(order)

    async def _query_order(self, command: QueryOrder) -> None:
        if self._cache.order(command.client_order_id) is None:
            await super()._query_order(command)
        else:
            await self._missed.ask_about(command.client_order_id.value)

    async def generate_mass_status(self, lookback_mins: int | None = None) -> ExecutionMassStatus | None:
        """Return the adapter's report if every request for it succeeded, else None: a part would mislead."""
        return await still_status(self, lambda: self._whole_mass_status(lookback_mins))

    async def _whole_mass_status(self, lookback_mins: int | None) -> ExecutionMassStatus | None:
        async with self._reconciling:
            self._failed_requests = 0
            status = await super().generate_mass_status(lookback_mins)
            if status is not None and lookback_mins is not None:
                await self._add_missing_fills(status)
            if self._failed_requests:
                self._log.error(f"{self._failed_requests} requests of the reconciliation failed: not used")
                return None
            return status if status is None or await self._has_all_fills(status) else None

    async def _has_all_fills(self, status: ExecutionMassStatus) -> bool:
        """Add what the report lacks of open orders; False when the venue does not list their fills yet."""
        for report in status.order_reports.values():
            order = None if report.client_order_id is None else self._cache.order(report.client_order_id)
            if order is None or order.is_closed:
                continue
            listed = status.fill_reports.get(report.venue_order_id, [])
            if _filled(order, listed) >= report.filled_qty.as_decimal():
                continue
            known = {one.trade_id for one in listed}
            try:
                fills = await binance_fills(self, report.instrument_id, report.venue_order_id)
            except Exception as error:  # the transport's own errors have no common base
                self._log.warning(f"Cannot ask for the trades of {report.client_order_id}: {error}")
                return False
            added = [one for one in fills if one.trade_id not in known]
            if _filled(order, [*listed, *added]) < report.filled_qty.as_decimal():
                self._log.warning(f"The trades of {report.client_order_id} are not listed yet: asked again")
                return False
            status.add_fill_reports(added)
        return True

    async def _add_missing_fills(self, status: ExecutionMassStatus) -> None:
        for instrument_id, missing in fills_missing(status).items():
            with suppress(Exception):  # counted like every failed request of a reconciliation
                found = await binance_fills(self, instrument_id)
                known = {one.trade_id for fills in status.fill_reports.values() for one in fills}
                status.add_fill_reports(
                    [one for one in found if one.venue_order_id in missing and one.trade_id not in known]
                )

    async def _reconcile_after_resubscribe(self) -> None:
        # The adapter holds back what the new stream says until this returns, so only one attempt may wait.
        if not await self._reconcile():
            self._late_reconciliation = self._loop.create_task(self._reconcile_until_whole())

    async def _reconcile_until_whole(self) -> None:
        while True:
            await asyncio.sleep(RECONCILE_AGAIN_SECS)
            if await self._reconcile():
                return

    async def _reconcile(self) -> bool:
        """Ask for everything and hand it over; False when a part could not be had."""
        status = await self._whole_mass_status(None)
        if status is None:
            return False
        self._send_mass_status_report(status)
        return True

    def _count_failures(self) -> None:
        """Count what a reconciliation asked without a usable answer: the adapter tells its caller of none."""
        http: Any = self._http_client
        send = http.send_request

        async def counted(method: Any, path: str, *arguments: Any, **options: Any) -> Any:
            try:
                return await send(method, path, *arguments, **options)
            except Exception:
                self._failed_requests += path.endswith(RECONCILING)
                raise

        http.send_request = counted


def fills_missing(status: ExecutionMassStatus) -> dict[InstrumentId, set[VenueOrderId]]:
    """Return the orders that filled more than the fills of a mass status come to, by instrument."""
    missing: dict[InstrumentId, set[VenueOrderId]] = {}
    fills = status.fill_reports
    for name, report in status.order_reports.items():
        known = sum((one.last_qty.as_decimal() for one in fills.get(name, ())), Decimal(0))
        if known < report.filled_qty.as_decimal():
            missing.setdefault(report.instrument_id, set()).add(name)
    return missing


def _filled(order: Order, reports: Iterable[FillReport]) -> Decimal:
    """Return what an order has filled with what is reported."""
    known = set(order.trade_ids)
    filled: Decimal = order.filled_qty.as_decimal()
    for one in reports:
        if one.trade_id not in known:
            filled += one.last_qty.as_decimal()
    return filled


__all__ = ["StreamRepairs", "fills_missing"]
