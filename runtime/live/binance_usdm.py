"""Binance USD-M's execution client with five repairs of its reconciliation; nothing else differs.

Measured on the local exchange with Nautilus 1.231 (tests/integration/test_usdm_node.py pins each defect):

* After a break of the user stream the adapter asks for the fills of ``BTCUSDT-PERP`` (cache) and ``BTCUSDT``
  (venue). Every fill comes twice, and the engine invents an opposite one to make up for the surplus: the node
  believes to be flat while the venue holds the position.
* A stop that is hit during the break has an order id of its own at the venue. The engine refuses its fill,
  and the stop stays open in the node, the position too.
* The fill of a liquidation or ADL opens a position of its own instead of closing the one that was liquidated.
* One refused request for a listen key ends the user stream for good.
* One request that fails during a reconciliation leaves orders, fills or positions out of it, and nobody tries
  again.
"""

import asyncio
from typing import Any, Final

from nautilus_trader.adapters.binance import factories
from nautilus_trader.adapters.binance.common.constants import BINANCE_FUTURES_ALGO_ORDER_TYPES
from nautilus_trader.adapters.binance.common.symbol import BinanceSymbol
from nautilus_trader.adapters.binance.futures.execution import BinanceFuturesExecutionClient
from nautilus_trader.adapters.binance.http.error import BinanceError
from nautilus_trader.execution.reports import ExecutionMassStatus, OrderStatusReport
from nautilus_trader.model.identifiers import PositionId, VenueOrderId
from nautilus_trader.model.orders import Order

# Client ids of the venue's own orders ("Event: Order Update" of the vendor's documentation).
FORCED_PREFIXES: Final = ("autoclose-", "adl_autoclose", "settlement_autoclose-")
STREAM_CHECK_SECS: Final = 1.0
RECONCILE_AGAIN_SECS: Final = 1.0
START_ATTEMPTS: Final = 3
HTTP_SERVER_ERROR: Final = 500
RECONCILING: Final = (
    "/openOrders",
    "/openAlgoOrders",
    "/allOrders",
    "/allAlgoOrders",
    "/userTrades",
    "/positionRisk",
)
CLIENT_NAME: Final = "BinanceFuturesExecutionClient"


class UsdmExecutionClient(BinanceFuturesExecutionClient):
    """The adapter's client, repaired as the module says; made by `UsdmExecClientFactory`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stream_watch: asyncio.Task[None] | None = None
        self._late_reconciliation: asyncio.Task[None] | None = None
        self._failed_requests = 0
        self._count_failures()

    async def _connect(self) -> None:
        await super()._connect()
        self._stream_watch = self._loop.create_task(self._watch_stream())

    async def _disconnect(self) -> None:
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
            stream._is_recovery_failed = False  # noqa: SLF001
            try:
                await stream.session_logon()
                await stream._resubscribe()  # noqa: SLF001
            except Exception as error:
                stream._is_recovery_failed = True  # noqa: SLF001
                self._log.error(f"Cannot open the user stream: {error}")

    def _get_cache_active_symbols(self) -> set[str]:
        return {str(BinanceSymbol(symbol)) for symbol in super()._get_cache_active_symbols()}

    async def generate_mass_status(self, lookback_mins: int | None = None) -> ExecutionMassStatus | None:
        """Return the adapter's report if every request for it succeeded, else None: a part would mislead.

        The engine asks at the start and starts nothing without an answer, so one hiccup gets more attempts.
        """
        for attempt in range(START_ATTEMPTS):
            status = await self._whole_mass_status(lookback_mins)
            if status is not None:
                return status
            await asyncio.sleep(RECONCILE_AGAIN_SECS * (attempt + 1 < START_ATTEMPTS))
        return None

    async def _whole_mass_status(self, lookback_mins: int | None) -> ExecutionMassStatus | None:
        self._failed_requests = 0
        status = await super().generate_mass_status(lookback_mins)
        if self._failed_requests:
            self._log.error(f"{self._failed_requests} requests of the reconciliation failed: not used")
            return None
        return status

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
        for order in self._cache.orders_open(venue=self.venue):
            is_algo = order.order_type in BINANCE_FUTURES_ALGO_ORDER_TYPES
            if is_algo and not await self._adopt_actual_order(order):
                return False
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

    def _send_order_status_report(self, report: OrderStatusReport) -> None:
        client_id = "" if report.client_order_id is None else report.client_order_id.value
        if client_id.startswith(FORCED_PREFIXES) and self.use_position_ids:
            report.venue_position_id = PositionId(f"{report.instrument_id}-BOTH")
        super()._send_order_status_report(report)


class UsdmExecClientFactory(factories.BinanceLiveExecClientFactory):
    """The adapter's factory, which makes our client.

    The factory names the class that it makes in its module and offers no other way in; the name is exchanged
    for the moment of the call.
    """

    @staticmethod
    def create(*arguments: Any, **surroundings: Any) -> Any:
        """Make the client; parameters as those of Nautilus' factory."""
        names = vars(factories)
        names[CLIENT_NAME] = UsdmExecutionClient
        try:
            return factories.BinanceLiveExecClientFactory.create(*arguments, **surroundings)
        finally:
            names[CLIENT_NAME] = BinanceFuturesExecutionClient
