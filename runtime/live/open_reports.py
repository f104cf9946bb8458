"""Keeps reports of open orders back whose fills the engine would invent."""

from typing import TYPE_CHECKING

from nautilus_trader.execution.messages import GenerateOrderStatusReports
from nautilus_trader.execution.reports import OrderStatusReport

if TYPE_CHECKING:
    from nautilus_trader.live.execution_client import LiveExecutionClient as Client
else:
    Client = object


class OpenReports(Client):
    """Mixin before an adapter's client: the look for missed fills books them, the engine's check does not."""

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


__all__ = ["OpenReports"]
