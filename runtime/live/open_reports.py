"""Keeps reports back whose fills the engine would invent: of open orders, and of orders that are not ours.

Of an order that it does not know the engine takes a report that says "filled" for one fill at the average
price, rounded, without a fee, by an id of its own. So such an order is told as accepted, and then by its own
fills: those of the stream, and of the venue's list where the stream does not bring them.
"""

from typing import TYPE_CHECKING, Any, Final

from nautilus_trader.execution.messages import GenerateOrderStatusReports
from nautilus_trader.execution.reports import FillReport, OrderStatusReport
from nautilus_trader.model.identifiers import VenueOrderId

from runtime.live.order_lookup import Answer, Lookup, hand_over
from runtime.live.untold_trades import send

# Orders whose fills came before they did, at most.
MOST_EARLY: Final = 64

if TYPE_CHECKING:
    from nautilus_trader.live.execution_client import LiveExecutionClient as Client
else:
    Client = object


class OpenReports(Client):
    """Mixin before an adapter's client: the look for missed fills books them, the engine's check does not."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._early: dict[VenueOrderId, list[FillReport]] = {}

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
        order = None if report.client_order_id is None else self._cache.order(report.client_order_id)
        return order is not None and order.filled_qty != report.filled_qty

    # -- orders of others ----------------------------------------------------------------------------------

    def _send_order_status_report(self, report: OrderStatusReport) -> None:
        name = report.client_order_id or self._cache.client_order_id(report.venue_order_id)
        is_known = name is not None and self._cache.order(name) is not None
        if is_known or not report.filled_qty.as_decimal():
            super()._send_order_status_report(report)
            return
        early = self._early.pop(report.venue_order_id, [])
        hand_over(self._cache, Lookup(Answer.FOUND, report, tuple(early)), lambda one: send(self, one))
        name = self._cache.client_order_id(report.venue_order_id)
        order = None if name is None else self._cache.order(name)
        if order is not None and not order.is_closed:
            self._ask_soon(order.client_order_id.value)

    def _send_fill_report(self, report: FillReport) -> None:
        if self._cache.client_order_id(report.venue_order_id) is not None:
            super()._send_fill_report(report)
            return
        # The engine would refuse it, and the order comes right after.
        while len(self._early) >= MOST_EARLY:
            self._early.pop(next(iter(self._early)))
        self._early.setdefault(report.venue_order_id, []).append(report)

    def _ask_soon(self, client_id: str) -> None:
        """Ask about the fills of an order a moment later, where nothing else does."""


__all__ = ["OpenReports"]
