"""One market's book: our resting orders by price and time, and a market implied by the last trade.

The tape has trades only, so the rest of the book is a rule: after a trade by a buyer the best ask is its
price and the best bid one tick lower (mirrored after a seller), and every price level displays
`Market.level_qty`, afresh for every taker.
"""

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tests.venue_simulator.core.order import Order
from tests.venue_simulator.core.terms import ZERO, Market, Side, Trade

NO_BID: Final = -1
NO_ASK: Final = 1 << 62


@dataclass(order=True, slots=True)
class Entry:
    """A place in a queue: the smaller key is served first, then the smaller sequence number."""

    key: int
    seq: int
    order: Order = field(compare=False)


@dataclass(frozen=True, slots=True)
class Touch:
    """Best bid and ask with the displayed size at both."""

    bid: Decimal
    ask: Decimal
    qty: Decimal


class Book:
    """Queues and triggers of one market."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.last: Trade | None = None
        self.bids: list[Entry] = []  # key: minus the price in ticks
        self.asks: list[Entry] = []
        self.rising: list[Entry] = []  # triggered at this price or above
        self.falling: list[Entry] = []  # key: minus the stop price
        self._seq = 0

    @property
    def last_price(self) -> Decimal | None:
        """The price of the last trade; None before the first."""
        return None if self.last is None else self.market.price_of(self.last.price_ticks)

    def touch_ticks(self) -> tuple[int, int]:
        """Return the implied best bid and ask in ticks; out of reach before the first trade."""
        if self.last is None:
            return NO_BID, NO_ASK
        price = self.last.price_ticks
        return (price - 1, price) if self.last.is_buyer else (price, price + 1)

    def touch(self) -> Touch | None:
        """Return the implied best bid and ask; None before the first trade."""
        if self.last is None:
            return None
        bid, ask = self.touch_ticks()
        qty = self.market.level_qty or self.market.qty_of(self.last.size_lots)
        return Touch(self.market.price_of(bid), self.market.price_of(ask), qty)

    def would_take(self, side: Side, price: Decimal) -> bool:
        """Return whether a limit order at this price would meet the other side."""
        bid, ask = self.touch_ticks()
        ticks = self.market.ticks_of(price)
        return ticks >= ask if side == "BUY" else ticks <= bid

    def take(self, side: Side, qty: Decimal, limit: Decimal | None) -> Iterator[tuple[Decimal, Decimal]]:
        """Yield (price, quantity) that a taker gets: the touch, then one tick worse per displayed level.

        Ends when `qty` is served or the next price is beyond `limit`; yields nothing before the first trade.
        """
        bid, ask = self.touch_ticks()
        if self.last is None:
            return
        ticks, step = (ask, 1) if side == "BUY" else (bid, -1)
        limit_ticks = None if limit is None else self.market.ticks_of(limit)
        while qty > 0 and ticks > 0:
            if limit_ticks is not None and (ticks - limit_ticks) * step > 0:
                return
            part = min(qty, self.market.level_qty or qty)
            yield self.market.price_of(ticks), part
            qty -= part
            ticks += step

    def rest(self, order: Order) -> None:
        """Put an order with a limit price at the end of its queue."""
        assert order.price is not None
        ticks = self.market.ticks_of(order.price)
        bid, ask = self.touch_ticks()
        is_inside = bid < ticks < ask or (ticks >= ask if order.side == "BUY" else ticks <= bid)
        order.queue_ahead = ZERO if is_inside else self.market.level_qty
        self._insert(self.bids if order.side == "BUY" else self.asks, order, ticks)

    def wait(self, order: Order) -> None:
        """Let a conditional order wait for its stop price."""
        assert order.stop_price is not None
        ticks = self.market.ticks_of(order.stop_price)
        self._insert(self.rising if is_rising(order) else self.falling, order, ticks)

    def remove(self, order: Order) -> None:
        """Take an order out of whatever queue it stands in."""
        for queue in (self.bids, self.asks, self.rising, self.falling):
            queue[:] = [entry for entry in queue if entry.order is not order]

    def is_touched(self, price_ticks: int) -> bool:
        """Return whether a trade at this price concerns any order; the fast path of a tape."""
        return bool(
            (self.bids and -self.bids[0].key >= price_ticks)
            or (self.asks and self.asks[0].key <= price_ticks)
            or (self.rising and self.rising[0].key <= price_ticks)
            or (self.falling and -self.falling[0].key >= price_ticks)
        )

    def is_triggered(self, order: Order) -> bool:
        """Return whether the last price is already at or beyond the order's stop price."""
        if self.last is None or order.stop_price is None:
            return False
        distance = self.last.price_ticks - self.market.ticks_of(order.stop_price)
        return distance >= 0 if is_rising(order) else distance <= 0

    def triggered(self, price_ticks: int) -> list[Order]:
        """Return the waiting orders that a trade at this price sets off, nearest stop price first."""
        return [entry.order for entry in self.rising if entry.key <= price_ticks] + [
            entry.order for entry in self.falling if -entry.key >= price_ticks
        ]

    def _insert(self, queue: list[Entry], order: Order, ticks: int) -> None:
        self._seq += 1
        is_descending = queue is self.bids or queue is self.falling
        insort(queue, Entry(-ticks if is_descending else ticks, self._seq, order))


def is_rising(order: Order) -> bool:
    """Return whether a conditional order waits for the price to rise: a stop of a buy, a target of a sell."""
    return order.type.startswith("STOP") == (order.side == "BUY")


def hits(book: Book, trade: Trade) -> list[tuple[Order, Decimal]]:
    """Return which resting orders a public trade fills, and by how much, in price-time priority.

    A trade beyond an order's price fills it without a queue: everybody before it must have been served.
    A trade at its price, with the aggressor on the other side, first serves the queue ahead. A trade at its
    price by an aggressor of the same side says nothing about the queue and fills nothing. All fills together
    never exceed the printed size. Shrinks `Order.queue_ahead`.
    """
    left = book.market.qty_of(trade.size_lots)
    fills: list[tuple[Order, Decimal]] = []
    for queue, key, is_same_side in (
        (book.bids, -trade.price_ticks, trade.is_buyer),
        (book.asks, trade.price_ticks, not trade.is_buyer),
    ):
        others_served = ZERO
        for entry in queue:
            if entry.key > key or (entry.key == key and is_same_side):
                break
            order = entry.order
            if entry.key < key:
                order.queue_ahead = ZERO
            else:
                served = min(max(order.queue_ahead - others_served, ZERO), left)
                others_served += served
                left -= served
                order.queue_ahead = max(order.queue_ahead - others_served, ZERO)
            part = min(order.leaves_qty, left) if order.queue_ahead == 0 else ZERO
            if part:
                fills.append((order, part))
                left -= part
    return fills
