"""Binance USD-M's execution client with repairs of its reconciliation; nothing else differs.

Those that spot needs as well are in `runtime.live.binance_repairs`.

Measured on the local exchange with Nautilus 1.231 (tests/integration/test_usdm_node.py pins each defect):

* After a break of the user stream the adapter asks for the fills of ``BTCUSDT-PERP`` (cache) and ``BTCUSDT``
  (venue). Every fill comes twice, and the engine invents an opposite one to make up for the surplus: the node
  believes to be flat while the venue holds the position.
* A stop that is hit during the break has an order id of its own at the venue. The engine refuses its fill,
  and the stop stays open in the node, the position too.
* The fill of a liquidation or ADL opens a position of its own instead of closing the one that was liquidated.
* The end of a stop whose fill was lost becomes a fill of the adapter's own making: its trade id, no fee.
"""

from typing import Any, Final

from nautilus_trader.adapters.binance import factories
from nautilus_trader.adapters.binance.common.constants import BINANCE_FUTURES_ALGO_ORDER_TYPES
from nautilus_trader.adapters.binance.common.symbol import BinanceSymbol
from nautilus_trader.adapters.binance.futures.execution import BinanceFuturesExecutionClient
from nautilus_trader.adapters.binance.http.error import BinanceError
from nautilus_trader.execution.reports import OrderStatusReport
from nautilus_trader.model.identifiers import ClientOrderId, PositionId, VenueOrderId
from nautilus_trader.model.orders import Order

from runtime.live.binance_repairs import StreamRepairs
from runtime.live.exchanged_class import exchanged

# Client ids of the venue's own orders ("Event: Order Update" of the vendor's documentation).
FORCED_PREFIXES: Final = ("autoclose-", "adl_autoclose", "settlement_autoclose-")
HTTP_SERVER_ERROR: Final = 500
FINISHED: Final = "FINISHED"


class UsdmExecutionClient(StreamRepairs, BinanceFuturesExecutionClient):
    """The adapter's client, repaired as the module says; made by `UsdmExecClientFactory`."""

    def _get_cache_active_symbols(self) -> set[str]:
        return {str(BinanceSymbol(symbol)) for symbol in super()._get_cache_active_symbols()}

    async def _reconcile(self) -> bool:
        return await self.adopt_stops() and await super()._reconcile()

    async def adopt_stops(self) -> bool:
        """Give stops that have triggered the order ids that their fills name; False without an answer."""
        for order in self._cache.orders_open(venue=self.venue):
            is_algo = order.order_type in BINANCE_FUTURES_ALGO_ORDER_TYPES
            if is_algo and not await self._adopt_actual_order(order):
                return False
        return True

    async def _adopt_actual_order(self, order: Order) -> bool:
        """Give a stop that has triggered the order id that its fills name; False without an answer."""
        try:
            algo = await self._futures_http_account.query_algo_order(
                client_algo_id=order.client_order_id.value
            )
        except BinanceError as error:
            self._log.warning(f"Cannot ask for algo order {order.client_order_id!r}: {error.message}")
            # An order that the venue does not know is an answer too.
            return bool(error.status < HTTP_SERVER_ERROR)
        except Exception as error:  # the transport's own errors have no common base
            self._log.warning(f"Cannot ask for algo order {order.client_order_id!r}: {error}")
            return False
        if not algo.actualOrderId or algo.actualOrderId == order.venue_order_id.value:
            return True
        self._triggered_algo_order_ids.add(order.client_order_id)
        self.generate_order_updated(
            strategy_id=order.strategy_id,
            instrument_id=order.instrument_id,
            client_order_id=order.client_order_id,
            venue_order_id=VenueOrderId(algo.actualOrderId),
            quantity=order.quantity,
            price=order.price if order.has_price else None,
            trigger_price=order.trigger_price if order.has_trigger_price else None,
            ts_event=self._clock.timestamp_ns(),
            venue_order_id_modified=True,
        )
        return True

    def _handle_algo_update(self, raw: bytes) -> None:
        told = self._decoder_futures_algo_update.decode(raw).o
        order = self._cache.order(ClientOrderId(told.caid)) if told.caid else None
        if order is None or told.X.name != FINISHED:
            super()._handle_algo_update(raw)
            return
        self._triggered_algo_order_ids.discard(order.client_order_id)
        if not order.is_closed:  # its fill may be on its way to the cache, or lost
            self._missed.ask_soon(told.caid)

    def _send_order_status_report(self, report: OrderStatusReport) -> None:
        client_id = "" if report.client_order_id is None else report.client_order_id.value
        if client_id.startswith(FORCED_PREFIXES) and self.use_position_ids:
            report.venue_position_id = PositionId(f"{report.instrument_id}-BOTH")
        super()._send_order_status_report(report)


class UsdmExecClientFactory(factories.BinanceLiveExecClientFactory):
    """The adapter's factory, which makes our client."""

    @staticmethod
    def create(*arguments: Any, **surroundings: Any) -> Any:
        """Make the client; parameters as those of Nautilus' factory."""
        with exchanged(factories, BinanceFuturesExecutionClient, UsdmExecutionClient):
            return factories.BinanceLiveExecClientFactory.create(*arguments, **surroundings)
