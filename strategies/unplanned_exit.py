"""The orders that close a position which no setup planned: once at a time, however often it is asked for."""

from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import OrderDenied, OrderRejected
from nautilus_trader.model.identifiers import ClientOrderId

from strategies.kept_desk import KeptDesk
from strategies.order_forms import quantity_in
from strategies.protection import too_large
from strategies.trade_manager.client_ids import base36, client_order_id
from strategies.trade_manager.increments import floor_to, next_piece
from strategies.trade_manager.orders import Leg


class UnplannedExit:
    """Closes at market what nobody planned, in as many orders as the venue wants.

    They leave together: each is reduce-only, so that all of them cannot sell more than there is.

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

    def is_closing(self) -> bool:
        """Tell whether an order is on its way: the watchdog asks again.

        One that its client never sent stays new for ever and has no answer to wait for.
        """
        return any(self._is_on_its_way(self._host.cache.order(one)) for one in self._sent)

    def _is_on_its_way(self, sent: Any) -> bool:
        if sent is None or sent.is_closed:
            return False
        age_ns = self._host.clock.timestamp_ns() - sent.ts_init
        return bool(sent.is_inflight or sent.is_open or age_ns < self._desk.exit_rules.answer_secs * 1e9)

    def close(self, qty: Decimal, ts_ns: int) -> None:
        """Send the orders that close a quantity (signed, base currency) at a time, UNIX nanoseconds."""
        most, left, lot = self._most(), abs(qty), self._desk.market.lot_size
        self._sent = []
        while left >= lot:
            piece = next_piece(left, most, lot)
            left -= piece
            self._send(piece, ts_ns, is_sale=qty > 0)

    def _send(self, piece: Decimal, ts_ns: int, *, is_sale: bool) -> None:
        desk = self._desk
        name = f"U{base36(ts_ns // 1_000_000)}"
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

    def _most(self) -> Decimal | None:
        """Return the largest order at market: as it is told, or half of what was refused as too large."""
        market = self._desk.market
        for client_id in self._sent:
            order = self._host.cache.order(client_id)
            end = None if order is None else order.last_event
            if isinstance(end, OrderRejected | OrderDenied) and too_large(self._desk.venue, end.reason):
                half = floor_to(order.quantity.as_decimal() / 2, market.lot_size)
                self._learnt_most = max(half, market.lot_size)
        limits = [one for one in (market.max_qty, self._learnt_most) if one is not None]
        return min(limits, default=None)
