"""Bybit's execution client with repairs of its stops and of what a broken stream hides; nothing else differs.

Measured on the local exchange with Nautilus 1.231 (tests/integration/test_bybit_execution.py):

* A stop on spot sells at once: the adapter sends a trigger price without ``orderFilter``, and the venue then
  takes the order for an ordinary one. Stops of spot go by REST, which has the field, and so do their
  cancellations and changes.
* A stop cannot be moved: of a change the adapter sends quantity and price, never the trigger price.
* A fill that the private stream missed is never asked for. While anything is open, and for a minute after,
  the executions are asked for every second; one that is missing twice is handed to the engine as the venue
  reported it, with its own trade id and fee. An order that the venue does not hold open any more is asked
  about as well.
* A request that fails during a reconciliation leaves orders, fills or positions out of it, and a list of
  positions that failed reads as "flat". Here a part is none.
"""

import asyncio
from typing import Any, Final

from nautilus_trader.adapters.bybit import factories
from nautilus_trader.adapters.bybit.execution import BybitExecutionClient
from nautilus_trader.core import nautilus_pyo3
from nautilus_trader.execution.messages import (
    BatchCancelOrders,
    CancelAllOrders,
    CancelOrder,
    GeneratePositionStatusReports,
    ModifyOrder,
    SubmitOrder,
    SubmitOrderList,
)
from nautilus_trader.execution.reports import ExecutionMassStatus, PositionStatusReport
from nautilus_trader.model.enums import OrderSide, OrderType, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.orders import Order

from runtime.errors import VenueError
from runtime.live.bybit_missed import MissedReports
from runtime.live.bybit_rest import BybitRest, RefusedError, UnknownOutcomeError
from runtime.live.exchanged_class import exchanged

RECONCILE_AGAIN_SECS: Final = 1.0
START_ATTEMPTS: Final = 3
REPORTS: Final = frozenset(
    {"request_order_status_reports", "request_fill_reports", "request_position_status_reports"}
)
NO_SUCH_ORDER: Final = 170213
WAITING, WORKING = "StopOrder", "Order"
_TIFS: Final = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK"}
_SPOT_STOPS: Final = frozenset(
    {OrderType.STOP_LIMIT, OrderType.STOP_MARKET, OrderType.LIMIT_IF_TOUCHED, OrderType.MARKET_IF_TOUCHED}
)
_LIMITS: Final = frozenset({OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED})


class CountingHttp:
    """Nautilus' HTTP client, which tells how many of its requests for reports failed.

    Parameters
    ----------
    client
        The client; everything else of it is reached as before.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.failed = 0

    def __getattr__(self, name: str) -> Any:
        """Return the client's own, counted where it asks for reports."""
        found = getattr(self._client, name)
        if name not in REPORTS:
            return found

        async def counted(*arguments: Any, **options: Any) -> Any:
            try:
                return await found(*arguments, **options)
            except BaseException:
                self.failed += 1
                raise

        return counted


class RepairedBybitClient(BybitExecutionClient):
    """The adapter's client, repaired as the module says; made by `RepairedBybitFactory`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._http_client: Any = CountingHttp(self._http_client)
        address = self._config.base_url_http or nautilus_pyo3.get_bybit_http_base_url(
            self._config.environment or nautilus_pyo3.BybitEnvironment.MAINNET
        )
        self._rest = BybitRest(
            address, self._config.api_key or "", self._config.api_secret or "", proxy=self._config.proxy_url
        )
        self._missed = MissedReports(self, self._rest)

    async def _connect(self) -> None:
        await super()._connect()
        self._missed.begin()

    async def _disconnect(self) -> None:
        self._missed.end()
        await super()._disconnect()
        await self._rest.close()

    # -- stops of spot -------------------------------------------------------------------------------------

    async def _submit_order(self, command: SubmitOrder) -> None:
        order = command.order
        if not _is_spot_stop(order):
            await super()._submit_order(command)
        elif order.is_reduce_only or order.time_in_force not in _TIFS:
            self._deny(order, "UNSUPPORTED_ON_SPOT_STOP")
        elif not order.is_closed:
            self.generate_order_submitted(
                order.strategy_id, order.instrument_id, order.client_order_id, self._clock.timestamp_ns()
            )
            await self._send_spot_stop(order)

    async def _send_spot_stop(self, order: Order) -> None:
        try:
            await self._rest.post("/v5/order/create", spot_stop(order))
        except RefusedError as error:
            self._log.error(f"Order rejected by venue {order.client_order_id}: {error}")
            self.generate_order_rejected(
                order.strategy_id,
                order.instrument_id,
                order.client_order_id,
                str(error),
                self._clock.timestamp_ns(),
            )
        except UnknownOutcomeError as error:
            # As the adapter does: it stays submitted, and is asked about by its client id.
            self._log.error(f"Unknown whether {order.client_order_id} arrived: {error}")

    async def _submit_order_list(self, command: SubmitOrderList) -> None:
        orders = command.order_list.orders
        if any(_is_spot_stop(one) for one in orders):
            for order in orders:
                self._deny(order, "UNSUPPORTED_SPOT_STOP_IN_A_LIST")
            return
        await super()._submit_order_list(command)

    def _deny(self, order: Order, reason: str) -> None:
        self.generate_order_denied(
            order.strategy_id, order.instrument_id, order.client_order_id, reason, self._clock.timestamp_ns()
        )

    async def _cancel_order(self, command: CancelOrder) -> None:
        order = self._cache.order(command.client_order_id)
        if order is None or order.is_closed or not _is_spot_stop(order):
            await super()._cancel_order(command)
            return
        names = {"category": "spot", "symbol": _raw(order.instrument_id)}
        names["orderLinkId"] = order.client_order_id.value
        # A stop that has triggered is an ordinary order, and the news of it may be on its way.
        filters = (WORKING, WAITING) if order.ts_triggered or order.filled_qty else (WAITING, WORKING)
        for one in filters:
            try:
                await self._rest.post("/v5/order/cancel", {**names, "orderFilter": one})
            except RefusedError as error:
                if error.code == NO_SUCH_ORDER and one is filters[0]:
                    continue
                self._refuse_cancel(order, str(error))
            except UnknownOutcomeError as error:
                self._log.error(f"Unknown whether {order.client_order_id} is cancelled: {error}")
            return

    def _refuse_cancel(self, order: Order, reason: str) -> None:
        self.generate_order_cancel_rejected(
            order.strategy_id,
            order.instrument_id,
            order.client_order_id,
            order.venue_order_id,
            reason,
            self._clock.timestamp_ns(),
        )

    async def _batch_cancel_orders(self, command: BatchCancelOrders) -> None:
        for one in command.cancels:
            await self._cancel_order(one)

    async def _cancel_all_orders(self, command: CancelAllOrders) -> None:
        await super()._cancel_all_orders(command)
        if not _is_spot(command.instrument_id):
            return
        body = {"category": "spot", "symbol": _raw(command.instrument_id), "orderFilter": WAITING}
        try:
            await self._rest.post("/v5/order/cancel-all", body)
        except VenueError as error:
            self._log.error(f"Cannot cancel the stops of {command.instrument_id}: {error}")

    # -- changes of stops ----------------------------------------------------------------------------------

    async def _modify_order(self, command: ModifyOrder) -> None:
        order = self._cache.order(command.client_order_id)
        is_ours = order is not None and not order.is_closed and order.has_trigger_price
        is_moved = is_ours and command.trigger_price not in (None, order.trigger_price)
        if not is_moved and not (is_ours and _is_spot_stop(order)):
            await super()._modify_order(command)
            return
        try:
            await self._rest.post("/v5/order/amend", change(order, command))
        except RefusedError as error:
            self.generate_order_modify_rejected(
                order.strategy_id,
                order.instrument_id,
                order.client_order_id,
                order.venue_order_id,
                str(error),
                self._clock.timestamp_ns(),
            )
        except UnknownOutcomeError as error:
            self._log.error(f"Unknown whether {order.client_order_id} was changed: {error}")

    # -- whole reports or none -----------------------------------------------------------------------------

    async def generate_mass_status(self, lookback_mins: int | None = None) -> ExecutionMassStatus | None:
        """Return the adapter's report if every request for it succeeded, else None: a part would mislead.

        The engine asks at the start and starts nothing without an answer, so one hiccup gets more attempts.
        """
        for attempt in range(START_ATTEMPTS):
            self._http_client.failed = 0
            try:
                status = await super().generate_mass_status(lookback_mins)
            except VenueError:
                status = None
            if status is not None and not self._http_client.failed:
                return status
            self._log.error(f"{self._http_client.failed} requests of the reconciliation failed: not used")
            await asyncio.sleep(RECONCILE_AGAIN_SECS * (attempt + 1 < START_ATTEMPTS))
        return None

    async def generate_position_status_reports(
        self, command: GeneratePositionStatusReports
    ) -> list[PositionStatusReport]:
        """Return the positions.

        Raises
        ------
        VenueError
            When the venue did not answer: no list is not an empty one.
        """
        before = self._http_client.failed
        reports: list[PositionStatusReport] = await super().generate_position_status_reports(command)
        if self._http_client.failed > before:
            raise VenueError("the positions could not be asked for")
        return reports


def spot_stop(order: Order) -> dict[str, str]:
    """Return a conditional order of spot as the venue wants it ("Place Order").

    Its coins are locked when it triggers, not before.
    """
    body = {
        "category": "spot",
        "symbol": _raw(order.instrument_id),
        "side": "Buy" if order.side == OrderSide.BUY else "Sell",
        "orderType": "Limit" if order.order_type in _LIMITS else "Market",
        "qty": str(order.quantity),
        "triggerPrice": str(order.trigger_price),
        "timeInForce": _TIFS[order.time_in_force],
        "orderLinkId": order.client_order_id.value,
        "orderFilter": WAITING,
    }
    if order.order_type in _LIMITS:
        return body | {"price": str(order.price)}
    return body | {"marketUnit": "baseCoin"}


def change(order: Order, command: ModifyOrder) -> dict[str, str]:
    """Return the change of a stop as the venue wants it ("Amend Order"): only what differs."""
    body = {
        "category": "spot" if _is_spot(order.instrument_id) else "linear",
        "symbol": _raw(order.instrument_id),
        "orderLinkId": order.client_order_id.value,
    }
    price = order.price if order.has_price else None
    for name, new, old in (
        ("qty", command.quantity, order.quantity),
        ("price", command.price, price),
        ("triggerPrice", command.trigger_price, order.trigger_price),
    ):
        if new is not None and new != old:
            body[name] = str(new)
    return body


def _is_spot(instrument_id: InstrumentId) -> bool:
    return str(instrument_id.symbol.value).endswith("-SPOT")


def _is_spot_stop(order: Order) -> bool:
    return _is_spot(order.instrument_id) and order.order_type in _SPOT_STOPS


def _raw(instrument_id: InstrumentId) -> str:
    return str(nautilus_pyo3.bybit_extract_raw_symbol(instrument_id.symbol.value))


class RepairedBybitFactory(factories.BybitLiveExecClientFactory):
    """The adapter's factory, which makes our client."""

    @staticmethod
    def create(*arguments: Any, **surroundings: Any) -> Any:
        """Make the client; parameters as those of Nautilus' factory."""
        with exchanged(factories, BybitExecutionClient, RepairedBybitClient):
            return factories.BybitLiveExecClientFactory.create(*arguments, **surroundings)


__all__ = ["RepairedBybitClient", "RepairedBybitFactory", "change", "spot_stop"]
