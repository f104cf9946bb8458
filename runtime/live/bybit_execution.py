"""Bybit's execution client with repairs of its stops and of what a broken stream hides; nothing else differs.

Measured on the local exchange with Nautilus 1.231 (tests/integration/test_bybit_execution.py):

* A stop on spot sells at once: the adapter sends a trigger price without ``orderFilter``, and the venue then
  takes the order for an ordinary one. Stops of spot go by REST, which has the field, and so do their
  cancellations and changes.
* A stop cannot be moved: of a change the adapter sends quantity and price, never the trigger price.
* A fill that the private stream missed is never asked for. While anything is open, and for a minute after,
  the executions are asked for twice a second; one that is missing twice is handed to the engine as the venue
  reported it, with its own trade id and fee. So is what an answer about an order says was filled: of a report
  alone the engine invents a fill without fee. An order that the venue does not hold open any more is asked
  about as well.
* A funding payment is an execution too, and the adapter reports a fill of it, of the position's size. What is
  of an unknown order is asked about first, and funding is left out (`runtime.live.bybit_funding`).
* It stamps by our clock and waits for a websocket that broke: while either is wrong, orders go by REST.
* A request that fails during a reconciliation leaves orders, fills or positions out of it, and a list of
  positions that failed reads as "flat". Here a part is none.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from nautilus_trader.adapters.bybit import factories
from nautilus_trader.adapters.bybit.execution import BybitExecutionClient
from nautilus_trader.core import nautilus_pyo3
from nautilus_trader.execution.messages import (
    BatchCancelOrders,
    CancelAllOrders,
    CancelOrder,
    GenerateFillReports,
    GeneratePositionStatusReports,
    ModifyOrder,
    QueryOrder,
    SubmitOrder,
    SubmitOrderList,
)
from nautilus_trader.execution.reports import (
    ExecutionMassStatus,
    FillReport,
    PositionStatusReport,
)
from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId
from nautilus_trader.model.orders import Order

from runtime.download.budget import HostBudget
from runtime.errors import VenueError
from runtime.live.bybit_bodies import (
    WAITING,
    WORKING,
    can_go_by_rest,
    category,
    change,
    is_exit,
    is_spot,
    is_spot_stop,
    order_body,
    raw_symbol,
)
from runtime.live.bybit_funding import FundingFilter
from runtime.live.bybit_missed import MissedReports
from runtime.live.bybit_rest import (
    BAN_SECS,
    FORBIDDEN,
    LONGEST_WAIT_SECS,
    BybitRest,
    RefusedError,
    UnknownOutcomeError,
    UnreachableError,
)
from runtime.live.doubts import DOUBT_TOPIC, Doubt
from runtime.live.exchanged_class import exchanged
from runtime.live.freshness import ClockOffset
from runtime.live.last_tries import LastTries
from runtime.live.open_reports import OpenReports
from runtime.live.order_lookup import Answer, hand_over, look_up
from runtime.live.venue_positions import still_status

RECONCILE: Final = "ExecEngine.reconcile_execution_report"
REPORTS: Final = frozenset(
    {"request_order_status_reports", "request_fill_reports", "request_position_status_reports"}
)
QUESTIONS: Final = frozenset({"query_order", "request_account_state", "get_account_details"})
# Of "403, access too frequent", as the adapter repeats it.
BAN_WORDS: Final = "access too frequent"
# An exit that finds no connection: how often and how long it is tried.
EXIT_AGAIN_SECS: Final = 0.25
EXIT_TRIES_NS: Final = 120_000_000_000
# "Cancel failed. Order does not exist": spot, the others.
NO_SUCH_ORDER: Final = 170213
# How the adapter repeats a refusal of a stamp (10002): nothing was done.
STAMP_WORDS: Final = "check your server timestamp"


class CountingHttp:
    """Nautilus' HTTP client, which tells how many of its requests for reports failed, and obeys bans.

    Parameters
    ----------
    client
        The client; everything else of it is reached as before.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.failed = 0
        self.budget = HostBudget(time.monotonic)

    def __getattr__(self, name: str) -> Any:
        """Return the client's own, counted where it asks for reports and held back where it asks at all."""
        found = getattr(self._client, name)
        if name not in REPORTS | QUESTIONS:
            return found

        async def counted(*arguments: Any, **options: Any) -> Any:
            await asyncio.sleep(min(self.budget.wait_secs(1), LONGEST_WAIT_SECS))
            try:
                self._refuse_if_banned()
                return await found(*arguments, **options)
            except BaseException as error:
                self.failed += name in REPORTS
                if BAN_WORDS in str(error):
                    self.budget.ban(BAN_SECS, FORBIDDEN)
                raise

        return counted

    def _refuse_if_banned(self) -> None:
        if self.budget.ban_secs:
            raise VenueError(f"not sent: the host asks for silence, {self.budget.ban_secs:.0f} s left")


class RepairedBybitClient(OpenReports, BybitExecutionClient):
    """The adapter's client, repaired as the module says; made by `RepairedBybitFactory`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._http_client: Any = CountingHttp(self._http_client)
        self._address = self._config.base_url_http or nautilus_pyo3.get_bybit_http_base_url(
            self._config.environment or nautilus_pyo3.BybitEnvironment.MAINNET
        )
        self._changes: dict[ClientOrderId, ModifyOrder] = {}  # sent by the adapter, the last of each order
        self._rest = BybitRest(
            self._address,
            self._config.api_key or "",
            self._config.api_secret or "",
            proxy=self._config.proxy_url,
        )
        self._tries = LastTries(self._clock.timestamp_ns)
        self._missed = MissedReports(self, self._rest)
        self._funding = FundingFilter(self._rest, self._log.warning)
        self._asking: set[asyncio.Task[None]] = set()
        self._is_configured = False

    async def _connect(self) -> None:
        self._is_configured = False
        await super()._connect()
        self._missed.begin()

    async def _apply_account_configuration(self) -> None:
        # The adapter would set every leverage again with each question about the balance.
        if not self._is_configured:
            self._is_configured = True
            await super()._apply_account_configuration()

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        """Set the leverage of a symbol; one that was refused is set again with the next question."""
        try:
            await super().set_leverage(symbol, leverage)
        except Exception:
            self._is_configured = False
            raise

    async def _disconnect(self) -> None:
        self._missed.end()
        for task in self._asking:
            task.cancel()
        await super()._disconnect()
        await self._rest.close()

    # -- what is shared with others of the node --------------------------------------------------------------

    def follow_clock(self, offset_of: Callable[[], ClockOffset | None]) -> None:
        """Stamp our own requests by the venue's clock, and send orders by them while ours is wrong."""
        self._rest.follow_clock(offset_of)

    def share_budget(self, budget_of: Callable[[str], HostBudget]) -> None:
        """Share what is known of the host's limits; the adapter's own requests pass the same gate."""
        budget = budget_of(self._address)
        self._rest.share(budget)
        self._http_client.budget = budget

    # -- orders by REST: stops of spot; all while our clock is wrong or the websocket is gone ----------------

    def _goes_by_rest(self, order: Order) -> bool:
        """Tell whether the adapter would send an order wrongly, too late, or with a stamp that is refused.

        A websocket that broke is back only after pauses of up to 30 s, and the adapter waits for it.
        """
        is_cut_off = not self._is_demo and not self._ws_trade_client.is_active()
        return is_spot_stop(order) or ((is_cut_off or self._rest.shift_ms != 0) and can_go_by_rest(order))

    async def _submit_order(self, command: SubmitOrder) -> None:
        order = command.order
        if not self._goes_by_rest(order) or (command.params and not is_spot_stop(order)):
            await super()._submit_order(command)
        elif (order.is_reduce_only and is_spot(order.instrument_id)) or not can_go_by_rest(order):
            self._deny(order, "UNSUPPORTED_ON_SPOT_STOP")
        elif not order.is_closed:
            self.generate_order_submitted(
                order.strategy_id, order.instrument_id, order.client_order_id, self._clock.timestamp_ns()
            )
            await self._send(order)

    async def _send(self, order: Order) -> None:
        try:
            await self._post(order)
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
            doubt = Doubt(
                order.instrument_id.value, order.client_order_id.value, str(error), self._clock.timestamp_ns()
            )
            self._msgbus.publish(topic=DOUBT_TOPIC, msg=doubt)

    async def _post(self, order: Order) -> None:
        """Post an order; an exit that cannot leave is tried again, for a position waits for it.

        Raises
        ------
        RefusedError, UnknownOutcomeError
            As `BybitRest.post`.
        """
        end_ns = self._clock.timestamp_ns() + EXIT_TRIES_NS
        with self._tries.trying(order.client_order_id.value):
            while not order.is_closed:  # asked about meanwhile, and given up
                try:
                    await self._rest.post("/v5/order/create", order_body(order))
                except UnreachableError:
                    if not is_exit(order) or self._clock.timestamp_ns() >= end_ns:
                        raise
                    await asyncio.sleep(EXIT_AGAIN_SECS)
                else:
                    return

    def last_try_ns(self, client_id: str) -> int:
        """Return when an order last left, or tried to, UNIX nanoseconds; 0 where it went by the websocket.

        From then on, not from when it was made, it may still arrive.
        """
        return self._tries.last_ns(client_id)

    async def _submit_order_list(self, command: SubmitOrderList) -> None:
        orders = command.order_list.orders
        if any(is_spot_stop(one) for one in orders):
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
        if order is None or order.is_closed or not self._goes_by_rest(order):
            await super()._cancel_order(command)
        else:
            await self._take_back(order)

    async def _take_back(self, order: Order) -> None:
        names = {"category": category(order.instrument_id), "symbol": raw_symbol(order.instrument_id)}
        names["orderLinkId"] = order.client_order_id.value
        filters: tuple[str, ...] = (WORKING,)
        if is_spot_stop(order):
            # A stop that has triggered is an ordinary order, and the news of it may be on its way.
            has_triggered = order.ts_triggered or order.filled_qty
            filters = (WORKING, WAITING) if has_triggered else (WAITING, WORKING)
        for one in filters:
            filtered = {"orderFilter": one} if is_spot(order.instrument_id) else {}
            try:
                await self._rest.post("/v5/order/cancel", names | filtered)
            except RefusedError as error:
                if error.code == NO_SUCH_ORDER and one is not filters[-1]:
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
        if not self._rest.shift_ms:
            await super()._cancel_all_orders(command)
            if not is_spot(command.instrument_id):
                return
        names = {"category": category(command.instrument_id), "symbol": raw_symbol(command.instrument_id)}
        filters: list[dict[str, str]] = [{"orderFilter": WAITING}] if is_spot(command.instrument_id) else []
        for one in filters if not self._rest.shift_ms else [{}, *filters]:
            try:
                await self._rest.post("/v5/order/cancel-all", names | one)
            except VenueError as error:
                self._log.error(f"Cannot cancel the orders of {command.instrument_id}: {error}")

    async def withdraw(self, instrument_id: InstrumentId, client_id: str) -> None:
        """Cancel an order that this node holds for ended, whatever kind it is.

        Raises
        ------
        VenueError
            When the venue refuses, as it does where there is none, or does not answer.
        """
        body = {"category": category(instrument_id), "symbol": raw_symbol(instrument_id)}
        body["orderLinkId"] = client_id
        if is_spot(instrument_id):
            with suppress(RefusedError):
                await self._rest.post("/v5/order/cancel", {**body, "orderFilter": WAITING})
                return
            body["orderFilter"] = WORKING
        await self._rest.post("/v5/order/cancel", body)

    async def _modify_order(self, command: ModifyOrder) -> None:
        order = self._cache.order(command.client_order_id)
        is_ours = order is not None and not order.is_closed
        is_moved = is_ours and order.has_trigger_price
        is_moved = is_moved and command.trigger_price not in (None, order.trigger_price)
        if is_moved or (is_ours and self._goes_by_rest(order)):
            await self._change(order, command)
            return
        if is_ours:
            self._changes[order.client_order_id] = command
        await super()._modify_order(command)

    async def _change(self, order: Order, command: ModifyOrder) -> None:
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

    # -- refused for their stamp: our clock stepped, and nobody knew -----------------------------------------

    def _handle_order_rejected_pyo3(self, msg: Any) -> None:
        order = self._refused_for_its_stamp(msg)
        if order is None or order.status != OrderStatus.SUBMITTED or not can_go_by_rest(order):
            super()._handle_order_rejected_pyo3(msg)
        else:
            self.create_task(self._send_again(order, msg))

    def _handle_order_cancel_rejected_pyo3(self, msg: Any) -> None:
        order = self._refused_for_its_stamp(msg)
        if order is None:
            super()._handle_order_cancel_rejected_pyo3(msg)
        else:
            self.create_task(self._by_their_clock(self._take_back(order)))

    def _handle_order_modify_rejected_pyo3(self, msg: Any) -> None:
        order = self._refused_for_its_stamp(msg)
        command = None if order is None else self._changes.get(order.client_order_id)
        if order is None or command is None:
            super()._handle_order_modify_rejected_pyo3(msg)
        else:
            self.create_task(self._by_their_clock(self._change(order, command)))

    def _refused_for_its_stamp(self, msg: Any) -> Order | None:
        """Return the order of such a refusal while it is alive, None for any other."""
        if STAMP_WORDS not in msg.to_dict()["reason"]:
            return None
        order = self._cache.order(ClientOrderId(str(msg.client_order_id)))
        return None if order is None or order.is_closed else order

    async def _send_again(self, order: Order, msg: Any) -> None:
        """Send by REST what was refused for its stamp: an exit always, an entry where our clock is to blame.

        An entry that came late, out of a websocket that had to be connected again, is nobody's wish any more.
        """
        await self._rest.learn_clock()
        if self._rest.shift_ms or is_exit(order):
            await self._send(order)
        else:
            super()._handle_order_rejected_pyo3(msg)

    async def _by_their_clock(self, work: Coroutine[Any, Any, None]) -> None:
        """Do by REST, stamped by the venue's clock, what the adapter's stamp was refused for."""
        await self._rest.learn_clock()
        await work

    # -- funding is no fill --------------------------------------------------------------------------------

    def _handle_fill_report_pyo3(self, pyo3_report: nautilus_pyo3.FillReport) -> None:
        name = FillReport.from_pyo3(pyo3_report).client_order_id
        if self._has_linear and self._is_external_order(name):
            task = self._loop.create_task(self._take_strange_fill(pyo3_report))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        else:
            super()._handle_fill_report_pyo3(pyo3_report)

    async def _take_strange_fill(self, report: nautilus_pyo3.FillReport) -> None:
        if await self._funding.is_funding(report.trade_id.value, report.ts_event):
            self._log.info(f"Execution {report.trade_id} of {report.instrument_id} is funding")
        else:
            super()._handle_fill_report_pyo3(report)

    async def generate_fill_reports(self, command: GenerateFillReports) -> list[FillReport]:
        """Return the fills, and nothing that is funding.

        Raises
        ------
        VenueError
            When nobody can tell which ones are, or the venue did not answer: no list is not an empty one.
        """
        before = self._http_client.failed
        reports: list[FillReport] = await super().generate_fill_reports(command)
        if self._http_client.failed > before:
            raise VenueError("the executions could not be asked for")
        strange = [one for one in reports if self._is_external_order(one.client_order_id)]
        if not strange or not self._has_linear:
            return reports
        times_ms = [one.ts_event // 1_000_000 for one in strange]
        funding = await self._funding.ids(min(times_ms), max(times_ms))
        return [one for one in reports if one.trade_id.value not in funding]

    @property
    def _has_linear(self) -> bool:
        return any(one.name.upper() == "LINEAR" for one in self._product_types)

    # -- fills with their own ids, or none -------------------------------------------------------------------

    async def _query_order(self, command: QueryOrder) -> None:
        order = self._cache.order(command.client_order_id)
        if order is None:
            await super()._query_order(command)
            return
        answer = await look_up(self, command.instrument_id, command.client_order_id.value)
        is_news = answer.answer is Answer.FOUND and not order.is_closed
        if is_news and hand_over(self._cache, answer, self._reconcile):
            await self._update_account_state()  # a stream that missed fills missed the wallet, too

    def _reconcile(self, report: Any) -> None:
        self._msgbus.send(endpoint=RECONCILE, msg=report)

    # -- whole reports or none -----------------------------------------------------------------------------

    async def generate_mass_status(self, lookback_mins: int | None = None) -> ExecutionMassStatus | None:
        """Return the adapter's report if every request for it succeeded, else None: a part would mislead."""
        return await still_status(self, lambda: self._whole_mass_status(lookback_mins))

    async def _whole_mass_status(self, lookback_mins: int | None) -> ExecutionMassStatus | None:
        before = self._http_client.failed
        status = await super().generate_mass_status(lookback_mins)
        if self._http_client.failed == before:
            return status
        self._log.error("Requests of the reconciliation failed: not used")
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


class RepairedBybitFactory(factories.BybitLiveExecClientFactory):
    """The adapter's factory, which makes our client."""

    @staticmethod
    def create(*arguments: Any, **surroundings: Any) -> Any:
        """Make the client; parameters as those of Nautilus' factory."""
        with exchanged(factories, BybitExecutionClient, RepairedBybitClient):
            return factories.BybitLiveExecClientFactory.create(*arguments, **surroundings)


__all__ = ["RepairedBybitClient", "RepairedBybitFactory"]
