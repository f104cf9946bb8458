"""The order that closes a position which no setup planned: one at a time, however often it is asked for."""

from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import ClientOrderId

from strategies.kept_desk import KeptDesk
from strategies.order_forms import quantity_in
from strategies.trade_manager.client_ids import base36, client_order_id
from strategies.trade_manager.orders import Leg


class UnplannedExit:
    """Closes at market what nobody planned.

    Parameters
    ----------
    desk
        Of the instrument.
    host
        The strategy that sends.
    """

    def __init__(self, desk: KeptDesk, host: Any) -> None:
        self._desk, self._host = desk, host
        self._sent: ClientOrderId | None = None

    def is_closing(self) -> bool:
        """Tell whether the order is on its way: the watchdog asks again.

        One that its client never sent stays new for ever and has no answer to wait for.
        """
        sent = None if self._sent is None else self._host.cache.order(self._sent)
        if sent is None or sent.is_closed:
            return False
        age_ns = self._host.clock.timestamp_ns() - sent.ts_init
        return bool(sent.is_inflight or sent.is_open or age_ns < self._desk.exit_rules.answer_secs * 1e9)

    def close(self, qty: Decimal, ts_ns: int) -> None:
        """Send the order that closes a quantity (signed, base currency) at a time, UNIX nanoseconds."""
        desk = self._desk
        name = f"U{base36(ts_ns // 1_000_000)}"
        symbol = desk.instrument_id.symbol.value
        self._sent = ClientOrderId(client_order_id(desk.tag, symbol, name, Leg.EXIT.value, 1))
        order = self._host.order_factory.market(
            instrument_id=desk.instrument_id,
            order_side=OrderSide.SELL if qty > 0 else OrderSide.BUY,
            quantity=quantity_in(desk.instrument, abs(qty)),
            reduce_only=desk.venue.reduce_only,
            client_order_id=self._sent,
        )
        self._host.submit_order(order)
