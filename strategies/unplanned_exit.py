"""The orders that close a position which no setup planned: once at a time, however often it is asked for."""

from decimal import Decimal
from typing import Any, Final

from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import OrderDenied, OrderFilled, OrderRejected
from nautilus_trader.model.identifiers import ClientOrderId

from strategies.kept_desk import KeptDesk
from strategies.order_forms import quantity_in
from strategies.protection import too_large
from strategies.trade_manager.client_ids import base36, client_order_id
from strategies.trade_manager.increments import floor_to, next_piece
from strategies.trade_manager.orders import ZERO, Leg

# Orders of one round; limits on the rate of orders begin at ten a second.
AT_ONCE: Final = 5


class UnplannedExit:
    """Closes at market what nobody planned, in as many orders as the venue wants.

    Some leave together, below the rate at which orders are denied (those of other instruments, too): each is
    reduce-only, so that all of them cannot sell more than there is. The next go when these are over.

    Parameters
    ----------
    desk
        Of the instrument.
    host
        The strategy that sends.
    """

    def __init__(self, desk: KeptDesk, host: Any) -> None:
        self._desk, self._host = desk, host
        self._sent: list[ClientOrderId] = []
        self._learnt_most: Decimal | None = None
        self._left = ZERO
        self._is_sending = False  # a denial comes before the sending returns
        self._last_ms = 0

    def is_closing(self) -> bool:
        """Tell whether an order is on its way: the watchdog asks again.

        One that its client never sent stays new for ever and has no answer to wait for.
        """
        return any(self._is_on_its_way(self._host.cache.order(one)) for one in self._sent)

    def rest_after(self, event: Any) -> Decimal:
        """Return what may leave at once because an event ended the last order of a round, base currency.

        It may after fills, and after the word that an order was too large; after other refusals, or one
        of the least order, nothing leaves before the watchdog asks.
        The quantity is that of the round's orders: the position may hear of their last fill later.
        """
        if self._is_sending or event.client_order_id not in self._sent or self.is_closing():
            return ZERO
        orders = [order for one in self._sent if (order := self._host.cache.order(one)) is not None]
        refused = [one for one in orders if not isinstance(one.last_event, OrderFilled)]
        lot = self._desk.market.lot_size
        if any(one.quantity.as_decimal() <= lot or not self._is_too_large(one.last_event) for one in refused):
            return ZERO
        return self._left + sum((one.quantity.as_decimal() for one in refused), ZERO)

    def _is_too_large(self, end: Any) -> bool:
        return isinstance(end, OrderRejected | OrderDenied) and too_large(self._desk.venue, end.reason)

    def _is_on_its_way(self, sent: Any) -> bool:
        if sent is None or sent.is_closed:
            return False
        age_ns = self._host.clock.timestamp_ns() - sent.ts_init
        return bool(sent.is_inflight or sent.is_open or age_ns < self._desk.exit_rules.answer_secs * 1e9)

    def close(self, qty: Decimal, ts_ns: int) -> None:
        """Send the orders that close a quantity (signed, base currency) at a time, UNIX nanoseconds."""
        self._grow()
        most, left, lot = self._most(), abs(qty), self._desk.market.lot_size
        self._sent = []
        self._last_ms = max(ts_ns // 1_000_000, self._last_ms + 1)  # no id twice
        self._is_sending = True
        while left >= lot and len(self._sent) < AT_ONCE:
            piece = next_piece(left, most, lot)
            left -= piece
            self._send(piece, is_sale=qty > 0)
        self._is_sending = False
        self._left = left

    def _send(self, piece: Decimal, *, is_sale: bool) -> None:
        desk = self._desk
        name = f"U{base36(self._last_ms)}"
        symbol = desk.instrument_id.symbol.value
        attempt = len(self._sent) + 1
        client_id = ClientOrderId(client_order_id(desk.tag, symbol, name, Leg.EXIT.value, attempt))
        self._sent.append(client_id)
        order = self._host.order_factory.market(
            instrument_id=desk.instrument_id,
            order_side=OrderSide.SELL if is_sale else OrderSide.BUY,
            quantity=quantity_in(desk.instrument, piece),
            reduce_only=desk.venue.reduce_only,
            client_order_id=client_id,
        )
        self._host.submit_order(order)

    def _grow(self) -> None:
        """Let the largest order double after a closing of which everything filled.

        The venue may allow more by now, or refused for the depth of a moment; within one closing the same
        refusal would come again with every second round.
        """
        orders = [self._host.cache.order(one) for one in self._sent]
        is_whole = bool(orders) and self._left < self._desk.market.lot_size
        if self._learnt_most is None or not is_whole:
            return
        if all(
            one is not None and isinstance(one.last_event, OrderFilled) and one.is_closed for one in orders
        ):
            self._learnt_most *= 2

    def _most(self) -> Decimal | None:
        """Return the largest order at market: as it is told, or half of what was refused as too large."""
        market = self._desk.market
        for client_id in self._sent:
            order = self._host.cache.order(client_id)
            end = None if order is None else order.last_event
            if order is not None and self._is_too_large(end):
                half = floor_to(order.quantity.as_decimal() / 2, market.lot_size)
                self._learnt_most = max(half, market.lot_size)
        limits = [one for one in (market.max_qty, self._learnt_most) if one is not None]
        return min(limits, default=None)
