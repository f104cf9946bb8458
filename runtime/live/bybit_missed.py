"""What Bybit's private stream did not tell: fills and ends of orders, asked for while anything is open.

The adapter reconnects its stream and asks for nothing. Asking at a reconnect would not be enough: nobody
tells Python of one, and a single message may be lost without any. So the venue is asked twice a second while
orders are open or were a minute ago; one request for the executions, and every few seconds one for the open
orders. That is a twentieth of the documented limit of 50 a second.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from nautilus_trader.core.datetime import unix_nanos_to_dt
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import GenerateFillReports, GenerateOrderStatusReport
from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId, TradeId, VenueOrderId
from nautilus_trader.model.orders import Order

from runtime.errors import VenueError
from runtime.live.bybit_rest import BybitRest
from runtime.live.untold_trades import tell_trades
from strategies.trade_manager.client_ids import setup_and_leg

LOOK_SECS: Final = 0.5
# What is missing may be on its way: it is looked for once more before it counts.
AGAIN_SECS: Final = 0.3
HAND_OVERS: Final = 3
# So many failures to hand a fill over count as one hand-over: a venue that cannot be asked comes back.
FAILURES: Final = 20
LINGER_SECS: Final = 60.0
# Between looks while the host has banned us: nothing leaves, and saying so twice a second helps nobody.
BANNED_SECS: Final = 30.0
ORDERS_EVERY: Final = 10
OVERLAP_MS: Final = 60_000
PAGE: Final = 100
ORDERS_PAGE: Final = 50
NANOS: Final = 1_000_000_000
MS: Final = 1_000_000
_CATEGORIES: Final = {"SPOT": "spot", "LINEAR": "linear"}
_RESTING: Final = frozenset(
    {OrderStatus.ACCEPTED, OrderStatus.TRIGGERED, OrderStatus.PARTIALLY_FILLED, OrderStatus.PENDING_CANCEL}
)


class MissedReports:
    """The look for what is missing.

    Parameters
    ----------
    client
        Execution client; its cache, clock, log and reports are used.
    rest
        Signed requests.
    """

    def __init__(self, client: Any, rest: BybitRest) -> None:
        self.found_fills = 0
        self.found_orders = 0
        self._client, self._rest = client, rest
        self._task: asyncio.Task[None] | None = None
        self._active_ns = 0
        self._since_ms = self._began_ms = 0
        self._missing: dict[str, InstrumentId] = {}
        self._handed: dict[str, float] = {}
        self._gone: set[str] = set()
        self._looks = 0
        self._is_balance_old = False

    def begin(self) -> None:
        """Look from now on."""
        self._since_ms = self._began_ms = self._client._clock.timestamp_ns() // MS  # noqa: SLF001 - our subclass
        self._task = self._client._loop.create_task(self._run())  # noqa: SLF001

    def end(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(AGAIN_SECS if self._missing or self._gone else LOOK_SECS)
            try:
                await self.look()
            except VenueError as error:
                self._client._log.warning(f"Cannot ask for missed fills: {error}")  # noqa: SLF001
                await asyncio.sleep(min(self._rest.budget.ban_secs, BANNED_SECS))
            except Exception as error:
                text = "The look for missed fills failed, it goes on"
                self._client._log.exception(text, error)  # noqa: SLF001

    async def look(self) -> None:
        """Ask once for executions and, every few times, for the open orders."""
        client = self._client
        now_ns = client._clock.timestamp_ns()  # noqa: SLF001
        self._since_ms = self._since_ms or now_ns // MS
        if self._orders():
            self._active_ns = now_ns
        if now_ns - self._active_ns > LINGER_SECS * NANOS:
            self._since_ms = now_ns // MS
            return
        self._looks += 1
        missing: dict[str, InstrumentId] = {}
        for category in self._categories():
            missing |= await self._missing_fills(category, self._since_ms - OVERLAP_MS)
        # What the engine does not take after so many times it will never take (it may know the fill by an id
        # of its own); the others must not wait behind it.
        missing = {one: where for one, where in missing.items() if self._handed.get(one, 0.0) < HAND_OVERS}
        late = {one: where for one, where in missing.items() if one in self._missing}
        self._missing = missing
        if late:
            found = self.found_fills
            await self._report_fills(late)
            if self.found_fills > found:
                await self._ask_balance()
            return
        if not missing:
            self._since_ms = now_ns // MS
        if self._is_balance_old:
            await self._ask_balance()
        if not missing and (self._gone or self._looks % ORDERS_EVERY == 0):
            await self._look_at_orders()

    def _orders(self) -> list[Order]:
        cache, venue = self._client._cache, self._client.venue  # noqa: SLF001
        return [*cache.orders_open(venue=venue), *cache.orders_inflight(venue=venue)]

    def _categories(self) -> Iterable[str]:
        names = (one.name.upper() for one in self._client._product_types)  # noqa: SLF001
        return [_CATEGORIES[name] for name in names if name in _CATEGORIES]

    # -- fills ---------------------------------------------------------------------------------------------

    async def _missing_fills(self, category: str, since_ms: int) -> dict[str, InstrumentId]:
        """Return the executions in our account that the cache does not have ("Get Trade History")."""
        asked = {"category": category, "startTime": str(since_ms), "limit": str(PAGE)}
        rows = await self._pages("/v5/execution/list", asked)
        found = ((row["execId"], self._missing_in(row, category)) for row in rows)
        return {trade_id: instrument_id for trade_id, instrument_id in found if instrument_id is not None}

    async def _pages(self, path: str, asked: dict[str, str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            result = await self._rest.get(path, asked | ({"cursor": cursor} if cursor else {}))
            rows += result["list"]
            cursor = result.get("nextPageCursor") or ""
            if not cursor or not result["list"]:
                return rows

    def _missing_in(self, row: dict[str, Any], category: str) -> InstrumentId | None:
        """Return the instrument of an execution that the cache lacks."""
        if row.get("execType", "Trade") != "Trade":  # funding is an execution there as well
            return None
        cache = self._client._cache  # noqa: SLF001
        client_id = cache.client_order_id(VenueOrderId(row["orderId"]))
        if client_id is None and row.get("orderLinkId"):
            client_id = ClientOrderId(row["orderLinkId"])
        order = None if client_id is None else cache.order(client_id)
        if order is None:
            return self._strange_in(row, category)
        # An order that is not acknowledged yet is asked about by those who wait for it.
        if order.venue_order_id is None or TradeId(row["execId"]) in order.trade_ids:
            return None
        return order.instrument_id

    def _strange_in(self, row: dict[str, Any], category: str) -> InstrumentId | None:
        """Return the instrument of somebody else's execution; None where nobody here trades it."""
        if setup_and_leg(row.get("orderLinkId") or "")[0] or int(row["execTime"]) < self._began_ms:
            return None
        venue = self._client.venue
        instrument_id = InstrumentId.from_str(f"{row['symbol']}-{category.upper()}.{venue}")
        return None if self._client._cache.instrument(instrument_id) is None else instrument_id  # noqa: SLF001

    async def _report_fills(self, late: dict[str, InstrumentId]) -> None:
        for instrument_id in set(late.values()):
            try:
                await self._report_fills_of(instrument_id, late)
            except Exception as error:  # of some the adapter may know no precision: the others go on
                self._client._log.warning(f"{instrument_id}: cannot take missed fills: {error!r}")  # noqa: SLF001
                for trade_id in (one for one, where in late.items() if where == instrument_id):
                    self._count(trade_id, 1 / FAILURES)

    async def _report_fills_of(self, instrument_id: InstrumentId, late: dict[str, InstrumentId]) -> None:
        client = self._client
        now_ns = client._clock.timestamp_ns()  # noqa: SLF001
        reports = await client.generate_fill_reports(
            GenerateFillReports(
                instrument_id=instrument_id,
                venue_order_id=None,
                start=_time(self._since_ms - OVERLAP_MS),
                end=None,
                command_id=UUID4(),
                ts_init=now_ns,
            )
        )
        # Those of our orders at once and directly: a stop's size waits for them.
        strange = []
        for report in sorted(reports, key=lambda one: one.ts_event):
            if report.trade_id.value not in late:
                continue
            if client._cache.client_order_id(report.venue_order_id) is None:  # noqa: SLF001
                strange.append(report)
                continue
            self.found_fills += 1
            client._log.warning(f"The stream missed fill {report.trade_id}: taken now")  # noqa: SLF001
            client._send_fill_report(report)  # noqa: SLF001
            self._count(report.trade_id.value)
        if strange:
            self.found_fills += await tell_trades(client, instrument_id, strange[0].ts_event)
            for report in strange:
                self._count(report.trade_id.value)

    def _count(self, trade_id: str, share: float = 1.0) -> None:
        """Note that the engine was given a fill, or could not be; one that it does not take is given up."""
        self._handed[trade_id] = count = self._handed.get(trade_id, 0.0) + share
        if count >= HAND_OVERS:
            self._client._log.error(f"Execution {trade_id} is not taken by the engine: given up")  # noqa: SLF001

    async def _ask_balance(self) -> None:
        """Ask until it is told: a stream that missed a fill missed the message of the wallet, too."""
        self._is_balance_old = True
        try:
            await self._client._update_account_state()  # noqa: SLF001
        except Exception as error:  # of the transport, which has no common base
            self._client._log.warning(f"Cannot ask for the balance: {error!r}")  # noqa: SLF001
            return
        self._is_balance_old = False

    # -- orders --------------------------------------------------------------------------------------------

    async def _look_at_orders(self) -> None:
        """Ask about orders that the venue does not hold open any more, after their fills are known."""
        held: set[str] = set()
        for category in self._categories():
            held |= await self._held(category)
        resting = {
            one.client_order_id.value: one
            for one in self._orders()
            if one.status in _RESTING and one.venue_order_id is not None
        }
        gone = {name for name, one in resting.items() if one.venue_order_id.value not in held}
        certain, self._gone = gone & self._gone, gone
        for name in certain:
            await self._ask_about(resting[name])
        self._gone -= certain

    async def _held(self, category: str) -> set[str]:
        """Return the venue's ids of open orders ("Get Open & Closed Orders": all kinds of them)."""
        asked = {"category": category, "limit": str(ORDERS_PAGE)}
        held: set[str] = set()
        for coin in self._coins() if category != "spot" else ("",):
            rows = await self._pages("/v5/order/realtime", asked | ({"settleCoin": coin} if coin else {}))
            held |= {row["orderId"] for row in rows}
        return held

    def _coins(self) -> set[str]:
        found = (self._client._cache.instrument(one.instrument_id) for one in self._orders())  # noqa: SLF001
        return {one.settlement_currency.code for one in found if hasattr(one, "settlement_currency")}

    async def _ask_about(self, order: Order) -> None:
        client = self._client
        report = await client.generate_order_status_report(
            GenerateOrderStatusReport(
                instrument_id=order.instrument_id,
                client_order_id=order.client_order_id,
                venue_order_id=order.venue_order_id,
                command_id=UUID4(),
                ts_init=client._clock.timestamp_ns(),  # noqa: SLF001
            )
        )
        # Fills come with their own ids first; the engine would invent one for what is missing.
        if report is None or report.is_open or report.filled_qty != order.filled_qty or order.is_closed:
            return
        self.found_orders += 1
        text = f"The stream missed the end of {order.client_order_id}: {report.order_status.name}"
        client._log.warning(text)  # noqa: SLF001
        client._send_order_status_report(report)  # noqa: SLF001


def _time(unix_ms: int) -> Any:
    return unix_nanos_to_dt(unix_ms * MS)


__all__ = ["MissedReports"]
