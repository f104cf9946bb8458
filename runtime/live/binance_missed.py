"""What Binance's user stream did not tell: fills and ends of orders, asked for while anything is open.

A single message can be lost without any break of the stream, and a stream can be half open: nothing comes,
and nothing says so. The engine's own check sees that an order is no longer in the venue's list and does
nothing, because the list alone does not say why. So the open orders are compared about once a second, those
that are missing or have filled further are asked about, and the venue's own fills are booked.

An open order of one symbol weighs 6 on spot and 2 on USD-M ("General info" and "Current all open orders" of
the vendor's documentation), all symbols together 80: with many symbols the looks become rarer, so that they
take a fifth of what the venue allows.
"""

import asyncio
from collections import Counter
from decimal import Decimal
from typing import Any, Final

from nautilus_trader.adapters.binance.http.error import BinanceError
from nautilus_trader.model.enums import OrderStatus, PositionSide
from nautilus_trader.model.identifiers import ClientOrderId
from nautilus_trader.model.orders import Order

from runtime.live.order_lookup import Answer, hand_over, look_up

LOOK_SECS: Final = 1.0
# What is missing may be on its way: it must be missing twice.
AGAIN_SECS: Final = 0.3
# Positions are compared a little longer: what ended last may have left something.
LINGER_SECS: Final = 10.0
LONGEST_PAUSE_SECS: Final = 8.0
MOST_DOUBLINGS: Final = 3
POSITIONS_EVERY: Final = 5
RECONCILIATIONS: Final = 3
ADOPTED_SECS: Final = 1.0
RECONCILE: Final = "ExecEngine.reconcile_execution_report"
NANOS: Final = 1_000_000_000
RESTING: Final = frozenset(
    {
        OrderStatus.ACCEPTED,
        OrderStatus.TRIGGERED,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.PENDING_CANCEL,
        OrderStatus.PENDING_UPDATE,
    }
)
# A fifth of the limits of 6,000 and 2,400 a minute; weights of the requests of one look.
SPOT_WEIGHT_PER_SEC: Final = 20.0
USDM_WEIGHT_PER_SEC: Final = 8.0
SPOT_WEIGHT: Final = 6
USDM_WEIGHT: Final = 2
WHOLE_WEIGHT: Final = 80

type Seen = dict[str, Decimal]
"""Filled quantities of the venue's open orders by client id."""


class MissedReports:
    """The look for what is missing.

    Parameters
    ----------
    client
        Execution client of spot or USD-M; its cache, clock, log, requests and reports are used.
    """

    def __init__(self, client: Any) -> None:
        self.found = 0
        self._client = client
        self._is_usdm = hasattr(client, "_futures_http_account")
        self._task: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Task[None]] = set()
        self._suspects: set[str] = set()
        self._differences: dict[str, Decimal] = {}
        self._reconciled: Counter[tuple[str, Decimal]] = Counter()
        self._active_ns = 0
        self._looks = 0

    def begin(self) -> None:
        """Look from now on."""
        self._task = self._client._loop.create_task(self._run())  # noqa: SLF001 - of our own subclass

    def end(self) -> None:
        """Look no more."""
        for task in (self._task, *self._asked):
            if task is not None:
                task.cancel()

    async def _run(self) -> None:
        refusals = 0
        while True:
            is_again = bool(self._suspects or self._differences) and not refusals
            pause_secs = AGAIN_SECS if is_again else self.pause_secs()
            # A venue that refuses (a ban, a clock that is off) is not asked every second.
            await asyncio.sleep(min(pause_secs * 2**refusals, max(pause_secs, LONGEST_PAUSE_SECS)))
            try:
                await self.look()
            except BinanceError as error:
                refusals = min(refusals + 1, MOST_DOUBLINGS)
                if refusals == 1:
                    self._warn(f"The look for missed fills is refused, it goes on: {error}")
            except Exception as error:  # of the transport: no venue there, which may end any moment
                self._client._log.debug(f"The look for missed fills failed: {error}")  # noqa: SLF001
            else:
                refusals = 0

    def _warn(self, text: str) -> None:
        self._client._log.warning(text)  # noqa: SLF001

    def pause_secs(self) -> float:
        """Return the pause between two looks, so that they leave the venue's limit to others."""
        share = USDM_WEIGHT_PER_SEC if self._is_usdm else SPOT_WEIGHT_PER_SEC
        return max(LOOK_SECS, self._weight() / share)

    def _weight(self) -> int:
        each = USDM_WEIGHT if self._is_usdm else SPOT_WEIGHT
        return min(each * len({one.instrument_id for one in self._resting().values()}), WHOLE_WEIGHT)

    async def look(self) -> None:
        """Compare orders once and, every few times, the positions."""
        now_ns = self._client._clock.timestamp_ns()  # noqa: SLF001
        resting = self._resting()
        if resting or self._client._cache.positions_open(venue=self._client.venue):  # noqa: SLF001
            self._active_ns = now_ns
        if now_ns - self._active_ns > LINGER_SECS * NANOS:
            return
        self._looks += 1
        suspects = self._missing(resting, await self._seen(resting)) if resting else set()
        certain, self._suspects = suspects & self._suspects, suspects
        for name in sorted(certain):
            await self.ask_about(name)
        self._suspects -= certain
        if self._is_usdm and not suspects and (self._differences or self._looks % POSITIONS_EVERY == 0):
            await self._look_at_positions()

    # -- orders --------------------------------------------------------------------------------------------

    def _resting(self) -> dict[str, Order]:
        orders = self._client._cache.orders_open(venue=self._client.venue)  # noqa: SLF001
        inflight = self._client._cache.orders_inflight(venue=self._client.venue)  # noqa: SLF001
        return {
            one.client_order_id.value: one
            for one in (*orders, *inflight)
            if one.status in RESTING and one.venue_order_id is not None
        }

    async def _seen(self, resting: dict[str, Order]) -> Seen:
        """Return the venue's open orders: of each symbol alone while that weighs less than all together."""
        symbols: list[str | None] = sorted({one.instrument_id.symbol.value for one in resting.values()})
        if self._weight() >= WHOLE_WEIGHT:
            symbols = [None]
        seen: Seen = {}
        for symbol in symbols:
            for one in await self._client._http_account.query_open_orders(symbol):  # noqa: SLF001
                seen[one.clientOrderId] = Decimal(one.executedQty or 0)
            if self._is_usdm:
                for one in await self._client._futures_http_account.query_open_algo_orders(symbol):  # noqa: SLF001
                    seen.setdefault(one.clientAlgoId, Decimal(0))
        return seen

    def _missing(self, before: dict[str, Order], seen: Seen) -> set[str]:
        """Return the orders that rested before and after the question, and not so at the venue."""
        return {
            name
            for name, order in self._resting().items()
            if name in before and (name not in seen or seen[name] > order.filled_qty.as_decimal())
        }

    def ask_soon(self, client_id: str) -> None:
        """Ask about one order a moment later, when its events should have been taken."""
        task = self._client._loop.create_task(self._ask_later(client_id))  # noqa: SLF001
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _ask_later(self, client_id: str) -> None:
        await asyncio.sleep(AGAIN_SECS)
        try:
            await self.ask_about(client_id)
        except Exception as error:
            self._warn(f"Cannot ask about {client_id}: {error}")

    async def ask_about(self, client_id: str) -> None:
        """Ask the venue about an order, and hand over what the node does not know of it, fills first."""
        client = self._client
        order = client._cache.order(ClientOrderId(client_id))  # noqa: SLF001
        if order is None or order.is_closed:
            return
        answer = await look_up(client, order.instrument_id, client_id)
        if answer.answer is not Answer.FOUND or order.is_closed:
            return
        if self._is_usdm and not await self._has_adopted(order, answer.report):
            return
        unknown = hand_over(client._cache, answer, self._send)  # noqa: SLF001
        if unknown or order.is_closed:
            self.found += 1
            told = f"{len(unknown)} fills, {answer.report.order_status.name}"
            self._warn(f"The stream missed of {client_id}: {told}")
        if unknown:  # the message with the new balance is lost as well, as a rule
            await client._update_account_state()  # noqa: SLF001

    def _send(self, report: Any) -> None:
        self._client._msgbus.send(endpoint=RECONCILE, msg=report)  # noqa: SLF001

    async def _has_adopted(self, order: Order, report: Any) -> bool:
        """Wait until a stop that has triggered has the order id that its fills name."""
        if order.venue_order_id in {None, report.venue_order_id}:
            return True
        if not await self._client._adopt_actual_order(order):  # noqa: SLF001
            return False
        left_secs = ADOPTED_SECS
        while order.venue_order_id != report.venue_order_id and left_secs > 0:
            await asyncio.sleep(AGAIN_SECS / 10)
            left_secs -= AGAIN_SECS / 10
        return bool(order.venue_order_id == report.venue_order_id)

    # -- positions -----------------------------------------------------------------------------------------

    async def _look_at_positions(self) -> None:
        """Reconcile where the venue holds another position twice in a row: others trade there as well."""
        client = self._client
        left = self._own_positions()
        for report in await client._get_binance_position_status_reports():  # noqa: SLF001
            if client._cache.instrument(report.instrument_id) is None:  # noqa: SLF001
                continue  # nobody here trades it
            sign = -1 if report.position_side is PositionSide.SHORT else 1
            name = report.instrument_id.value
            left[name] = left.get(name, Decimal(0)) - sign * report.quantity.as_decimal()
        differences = {name: one for name, one in left.items() if one}
        certain = {one for one in differences.items() if one in self._differences.items()}
        self._reconciled = Counter({one: self._reconciled[one] for one in differences.items()})
        # What reconciling did not mend it will never mend; others must not wait behind it.
        due = {one for one in certain if self._reconciled[one] < RECONCILIATIONS}
        known = {one for one in differences.items() if self._reconciled[one] >= RECONCILIATIONS}
        self._differences = {name: one for name, one in differences.items() if (name, one) not in known}
        if due:
            self._reconciled.update(due)
            self._differences = {}
            self._warn(f"Positions differ from the venue's: {sorted(due)}")
            await client._reconcile()  # noqa: SLF001

    def _own_positions(self) -> dict[str, Decimal]:
        found: dict[str, Decimal] = {}
        for one in self._client._cache.positions_open(venue=self._client.venue):  # noqa: SLF001
            name = one.instrument_id.value
            found[name] = found.get(name, Decimal(0)) + one.signed_decimal_qty()
        return found


__all__ = ["MissedReports"]
