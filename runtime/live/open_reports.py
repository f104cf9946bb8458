"""Keeps reports back whose fills the engine would invent: of open orders, and of orders that are not ours.

Of an order that is filled further than it knows the engine takes a report for one fill at the average price,
rounded, without a fee, by an id of its own, and the real fill for another one. So an order that is not ours
is told as accepted, and then by its own fills alone: those of the stream, and of the venue's list where the
stream does not bring them. What a report says of its end is told when its fills agree.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from nautilus_trader.execution.messages import GenerateOrderStatusReports
from nautilus_trader.execution.reports import FillReport, OrderStatusReport
from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.identifiers import ClientOrderId, VenueOrderId
from nautilus_trader.model.orders import Order

from runtime.live.order_lookup import Answer, Lookup, hand_over, newest_fills
from runtime.live.untold_trades import send
from strategies.trade_manager.client_ids import setup_and_leg

# Orders whose fills came before they did, and reports whose fills did not come yet, at most.
MOST_EARLY: Final = 64
# What is missing may be on its way; a venue may list it late. Each pause is twice the one before.
ASK_SECS: Final = 0.3
ASK_TIMES: Final = 4

if TYPE_CHECKING:
    from nautilus_trader.live.execution_client import LiveExecutionClient as Client
else:
    Client = object


class OpenReports(Client):
    """Mixin before an adapter's client: the look for missed fills books them, the engine's check does not."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._early: dict[VenueOrderId, list[FillReport]] = {}
        self._held_back: dict[ClientOrderId, OrderStatusReport] = {}
        self._questions: set[asyncio.Task[None]] = set()

    async def _disconnect(self) -> None:
        for task in self._questions:
            task.cancel()
        await super()._disconnect()

    async def generate_order_status_reports(
        self, command: GenerateOrderStatusReports
    ) -> list[OrderStatusReport]:
        """Return the adapter's reports; of open orders alone without those whose fills are still to be asked.

        The engine's check of open orders would invent them; the look for missed fills finds them.
        """
        reports: list[OrderStatusReport] = await super().generate_order_status_reports(command)
        if not command.open_only:
            return reports
        return [one for one in reports if not self._lacks_fills(one)]

    def _lacks_fills(self, report: OrderStatusReport) -> bool:
        order = self._order_of(report)
        if is_ours(report, order):
            return order is not None and order.filled_qty != report.filled_qty
        if report.filled_qty <= (0 if order is None else order.filled_qty):
            return False
        self._send_order_status_report(report)
        return True

    def _order_of(self, report: OrderStatusReport | FillReport) -> Order | None:
        """Return the order of a report; one placed by hand may have no client id at the venue."""
        name = report.client_order_id or self._cache.client_order_id(report.venue_order_id)
        return None if name is None else self._cache.order(name)

    # -- orders of others ----------------------------------------------------------------------------------

    def _send_order_status_report(self, report: OrderStatusReport) -> None:
        order = self._order_of(report)
        if order is not None and (is_ours(report, order) or report.filled_qty <= order.filled_qty):
            super()._send_order_status_report(report)
            return
        if order is None and not report.filled_qty.as_decimal():
            super()._send_order_status_report(report)
            return
        if order is None:
            early = self._early.pop(report.venue_order_id, [])
            hand_over(self._cache, Lookup(Answer.FOUND, report, tuple(early)), lambda one: send(self, one))
            order = self._order_of(report)
        elif order.is_open and report.quantity != order.quantity:
            self._tell_quantity(order, report)
        if order is not None and order.filled_qty < report.filled_qty:
            self._hold_back(order, report)

    def _tell_quantity(self, order: Order, report: OrderStatusReport) -> None:
        """Tell how large the order is now, for the engine refuses fills beyond that; not what it filled."""
        status, filled = report.order_status, report.filled_qty
        report.order_status, report.filled_qty = OrderStatus.PARTIALLY_FILLED, order.filled_qty
        try:
            super()._send_order_status_report(report)
        finally:
            report.order_status, report.filled_qty = status, filled

    def _hold_back(self, order: Order, report: OrderStatusReport) -> None:
        name = order.client_order_id
        before = self._held_back.get(name)
        if before is not None and before.filled_qty > report.filled_qty:
            return
        while before is None and len(self._held_back) >= MOST_EARLY:
            self._held_back.pop(next(iter(self._held_back)))
        self._held_back[name] = report
        if before is None:
            self._ask_soon(name.value)

    def _send_fill_report(self, report: FillReport) -> None:
        name = self._cache.client_order_id(report.venue_order_id)
        if name is not None:
            super()._send_fill_report(report)
            self._lacks(name)
            return
        # The engine would refuse it, and the order comes right after.
        while len(self._early) >= MOST_EARLY:
            self._early.pop(next(iter(self._early)))
        self._early.setdefault(report.venue_order_id, []).append(report)

    def _lacks(self, name: ClientOrderId) -> bool:
        """Tell whether fills of a report are missing still; when they agree, hand the report over."""
        report, order = self._held_back.get(name), self._cache.order(name)
        if report is None or order is None:
            return False
        if order.filled_qty < report.filled_qty:
            return True
        del self._held_back[name]
        if not order.is_closed and order.filled_qty == report.filled_qty:
            super()._send_order_status_report(report)
        return False

    # -- what the stream does not bring ----------------------------------------------------------------------

    def _ask_soon(self, client_id: str) -> None:
        """Ask about the fills of an order of others a moment later."""
        task = self._loop.create_task(self._ask_until_told(ClientOrderId(client_id)))
        self._questions.add(task)
        task.add_done_callback(self._questions.discard)

    async def _ask_until_told(self, name: ClientOrderId) -> None:
        for number in range(ASK_TIMES):
            await asyncio.sleep(ASK_SECS * 2**number)
            if not self._lacks(name):
                return
            try:
                await self._ask_for_fills(self._cache.order(name))
            except Exception as error:  # the transport's own errors have no common base
                self._log.warning(f"Cannot ask for the fills of {name}: {error}")
        if self._lacks(name):  # the look for missed reports goes on
            self._log.error(f"{name} of others has filled {self._held_back[name].filled_qty}, its fills lack")

    async def _ask_for_fills(self, order: Order) -> None:
        """Ask the venue for the fills of an order of others, and hand over what the engine lacks."""
        fills = await newest_fills(self, order.instrument_id, order.venue_order_id)
        for fill in sorted(fills, key=lambda one: (one.ts_event, one.trade_id.value)):
            if fill.venue_order_id == order.venue_order_id and fill.trade_id not in order.trade_ids:
                self._log.warning(f"The stream missed fill {fill.trade_id} of {order.client_order_id}")
                self._send_fill_report(fill)


def is_ours(report: OrderStatusReport, order: Order | None) -> bool:
    """Tell whether an order is ours: by its name, or because this node sent it."""
    name = report.client_order_id if order is None else order.client_order_id
    if name is not None and setup_and_leg(name.value)[0]:
        return True
    return order is not None and (order.ts_submitted > 0 or order.status is OrderStatus.INITIALIZED)


__all__ = ["OpenReports"]
