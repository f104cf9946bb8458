"""What happens at a simulated venue is kept, then told: the node never knows more than the disk."""

import sqlite3
from collections.abc import Callable, Iterable
from typing import Final

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.events import (
    AccountState,
    OrderEvent,
    OrderFilled,
    OrderInitialized,
    OrderSubmitted,
)
from nautilus_trader.model.identifiers import PositionId, VenueOrderId
from nautilus_trader.model.position import Position

from runtime.live.paper_rows import SERIALIZER, order_row, position_summary
from runtime.live.paper_state import FillRow, PaperChange, PaperStore, PositionRow
from runtime.live.paper_world import PaperWorld
from strategies.trade_manager.funding import FundingPayment

ORDER_IDS: Final = "orders"
TRADE_IDS: Final = "trades"

type Report = OrderEvent | FundingPayment | AccountState
"""What a venue tells the node."""


class PaperRecords:
    """Keeps the steps of a venue and tells the node of them.

    Parameters
    ----------
    world
        Of the venue.
    store
        Keeps what happened; written before `report` is called.
    report
        Takes what the node must hear of one step, in order.
    """

    def __init__(self, world: PaperWorld, store: PaperStore, report: Callable[[list[Report]], None]) -> None:
        self.trouble = ""
        """Why the last steps are not on the disk; empty when they are."""
        self._world, self._store, self._report = world, store, report
        self._unwritten: list[PaperChange] = []
        # First fill and number of fills of each position as they are kept: spot leaves dust, and a position
        # that never is flat has thousands.
        self._kept_fills: dict[PositionId, tuple[UUID4, int]] = {}
        self._own: list[Report] = []
        self._numbers = {name: store.counter(world.id.value, name) for name in (ORDER_IDS, TRADE_IDS)}
        self._kept_account: AccountState | None = None

    def answer(self, event: OrderEvent) -> None:
        """Tell the node with the present step what the exchange does not know of: a refusal before it."""
        self._own.append(event)

    def new_order_id(self) -> VenueOrderId:
        """Return the next order id of the venue, kept with the present step."""
        self._numbers[ORDER_IDS] += 1
        return VenueOrderId(f"{self._world.id.value}-O{self._numbers[ORDER_IDS]}")

    def note_prices(self) -> None:
        """Keep the last prices of what is held, for those who read the state from outside."""
        held = {position.instrument_id for position in self._world.cache.positions_open()}
        prices = {one: self._world.last_price(one) for one in held}
        known = {one.value: str(price) for one, price in prices.items() if price is not None}
        if known or self._unwritten:
            self._keep(PaperChange(prices=known))

    def commit(self) -> None:
        """Keep what this step changed and tell the node of it."""
        events, payments, own = list(self._world.events), list(self._world.payments), list(self._own)
        self._world.events.clear()
        self._world.payments.clear()
        self._own.clear()
        account = self._world.account.last_event
        is_new = self._kept_account is None or not _is_same(account, self._kept_account)
        if not (events or payments or own or is_new):
            return
        change = PaperChange(payments=payments, account=SERIALIZER.serialize(account))
        reports: list[Report] = [self._noted(event, change) for event in events if _is_news(event)]
        self._note_state(events, change)
        self._keep(change)
        self._kept_account = account
        states = [account] if is_new else []
        if any(isinstance(event, OrderFilled) for event in events):
            self._report([*own, *reports, *payments, *states])
        else:
            # The next order may need the coins that this one has set free.
            self._report([*own, *states, *reports, *payments])

    def _keep(self, change: PaperChange) -> None:
        self._unwritten.append(change)
        try:
            while self._unwritten:
                self._store.write(self._world.id.value, self._unwritten[0], self._world.now_ns)
                del self._unwritten[0]
        except sqlite3.Error as error:  # a full disk: exits must go on, so it waits for the next step
            self.trouble = f"{len(self._unwritten)} steps of the paper account are not kept: {error}"
            return
        self.trouble = ""

    def _noted(self, event: OrderEvent, change: PaperChange) -> OrderEvent:
        if not isinstance(event, OrderFilled):
            return event
        number = self._next_number(TRADE_IDS, change)
        # The simulator counts its fills anew with each start.
        plain = OrderFilled.to_dict(event)
        plain |= {"trade_id": f"{self._world.id.value}-T{number}", "position_id": None}
        told = OrderFilled.from_dict(plain)
        change.fills.append(
            FillRow(
                told.trade_id.value, told.client_order_id.value, told.ts_event, SERIALIZER.serialize(told)
            )
        )
        return told

    def _note_state(self, events: Iterable[OrderEvent], change: PaperChange) -> None:
        for client_order_id in dict.fromkeys(event.client_order_id for event in events):
            order = self._world.cache.order(client_order_id)
            if order is not None:
                change.orders.append(order_row(order))
        filled = [event for event in events if isinstance(event, OrderFilled)]
        for position_id in dict.fromkeys(event.position_id for event in filled):
            position = None if position_id is None else self._world.cache.position(position_id)
            if position is not None:
                change.positions.append(self._position_row(position))
        for fill in filled:
            change.prices[fill.instrument_id.value] = str(fill.last_px)
        change.counters[ORDER_IDS] = self._numbers[ORDER_IDS]

    def _position_row(self, position: Position) -> PositionRow:
        events = position.events
        opened, count = self._kept_fills.get(position.id, (None, 0))
        first = count if opened == events[0].id else 0
        self._kept_fills[position.id] = events[0].id, len(events)
        return PositionRow(
            position.id.value,
            bool(position.is_open),
            int(position.ts_last),
            tuple(SERIALIZER.serialize(fill) for fill in events[first:]),
            position_summary(position),
            first,
        )

    def _next_number(self, name: str, change: PaperChange) -> int:
        self._numbers[name] += 1
        change.counters[name] = self._numbers[name]
        return self._numbers[name]


def _is_news(event: OrderEvent) -> bool:
    # The node said itself that it sent the order.
    return not isinstance(event, (OrderSubmitted, OrderInitialized))


def _is_same(one: AccountState, other: AccountState) -> bool:
    return bool(one.balances == other.balances and one.margins == other.margins)
