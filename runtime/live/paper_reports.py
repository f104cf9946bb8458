"""What a paper venue answers when a node asks for its orders, fills and positions."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.reports import FillReport, OrderStatusReport, PositionStatusReport
from nautilus_trader.model.enums import LiquiditySide, PositionSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Quantity
from nautilus_trader.model.orders import Order

from runtime.live.paper_rows import SERIALIZER, restored_order
from runtime.live.paper_state import OrderRow, PaperStore
from runtime.live.paper_venue import PaperVenue


def order_report(store: PaperStore, venue: PaperVenue, command: Any, now_ns: int) -> OrderStatusReport | None:
    """Return the order that a command names by either id, None when the venue never accepted it."""
    for row in store.orders(venue.id.value):
        order = restored_order(row)
        is_named = command.client_order_id is not None and order.client_order_id == command.client_order_id
        if is_named or (
            command.client_order_id is None and order.venue_order_id == command.venue_order_id is not None
        ):
            return _report(order, venue, now_ns)
    return None


def order_reports(store: PaperStore, venue: PaperVenue, command: Any, now_ns: int) -> list[OrderStatusReport]:
    """Return the open orders, and without ``open_only`` those of open positions and since the start too."""
    rows = {
        row.client_order_id: row
        for row in store.orders(venue.id.value, _start_ns(command), open_only=command.open_only)
    }
    if not command.open_only:
        rows = _of_positions(store, venue) | rows
    orders = [restored_order(row) for row in rows.values()]
    reports = [_report(one, venue, now_ns) for one in orders if _is_asked(one.instrument_id, command)]
    return [one for one in reports if one is not None]


def fill_reports(store: PaperStore, venue: PaperVenue, command: Any, now_ns: int) -> list[FillReport]:
    """Return the fills that a command asks for: since its start, and all of orders of open positions."""
    start_ns, held = _start_ns(command), _of_positions(store, venue)
    reports = []
    for row in store.fills(venue.id.value):
        fill = SERIALIZER.deserialize(row.event)
        is_wanted = row.ts_ns >= start_ns or row.client_order_id in held
        if not is_wanted or not _is_asked(fill.instrument_id, command):
            continue
        if command.venue_order_id is not None and fill.venue_order_id != command.venue_order_id:
            continue
        reports.append(
            FillReport(
                account_id=venue.account_id,
                instrument_id=fill.instrument_id,
                venue_order_id=fill.venue_order_id,
                trade_id=fill.trade_id,
                order_side=fill.order_side,
                last_qty=fill.last_qty,
                last_px=fill.last_px,
                commission=fill.commission,
                liquidity_side=fill.liquidity_side or LiquiditySide.NO_LIQUIDITY_SIDE,
                report_id=UUID4(),
                ts_event=fill.ts_event,
                ts_init=now_ns,
                client_order_id=fill.client_order_id,
            )
        )
    return reports


def position_reports(venue: PaperVenue, command: Any, now_ns: int) -> list[PositionStatusReport]:
    """Return one report per instrument with an open position, the net of all strategies.

    Asked of one instrument without any, it is flat.
    """
    net: dict[InstrumentId, Decimal] = defaultdict(Decimal)
    paid: dict[InstrumentId, Decimal] = defaultdict(Decimal)
    for position in venue.cache.positions_open():
        signed = position.signed_decimal_qty()
        net[position.instrument_id] += signed
        paid[position.instrument_id] += signed * Decimal(str(position.avg_px_open))
    asked = command.instrument_id
    names = sorted(net) if asked is None else [asked]
    return [_position(venue, name, net[name], paid[name], now_ns) for name in names if _has(venue, name)]


def _has(venue: PaperVenue, instrument_id: InstrumentId) -> bool:
    return venue.cache.instrument(instrument_id) is not None


def _position(
    venue: PaperVenue, instrument_id: InstrumentId, net: Decimal, paid: Decimal, now_ns: int
) -> PositionStatusReport:
    instrument = venue.cache.instrument(instrument_id)
    if not net:
        return PositionStatusReport.create_flat(
            venue.account_id, instrument_id, instrument.size_precision, now_ns
        )
    return PositionStatusReport(
        account_id=venue.account_id,
        instrument_id=instrument_id,
        position_side=PositionSide.LONG if net > 0 else PositionSide.SHORT,
        # Not `make_qty`: fees in coins leave less than a lot, which it would refuse or round.
        quantity=Quantity.from_str(f"{abs(net):.{instrument.size_precision}f}"),
        report_id=UUID4(),
        ts_last=now_ns,
        ts_init=now_ns,
        avg_px_open=paid / net,
    )


def _of_positions(store: PaperStore, venue: PaperVenue) -> dict[str, OrderRow]:
    """Return the orders that the open positions came from, by client order id."""
    found: dict[str, OrderRow] = {}
    for position in venue.cache.positions_open():
        for fill in position.events:
            row = store.order(fill.client_order_id.value)
            if row is not None:
                found[row.client_order_id] = row
    return found


def _start_ns(command: Any) -> int:
    return 0 if command.start is None else int(command.start.value)


def _is_asked(instrument_id: InstrumentId, command: Any) -> bool:
    return command.instrument_id is None or command.instrument_id == instrument_id


def _report(order: Order, venue: PaperVenue, now_ns: int) -> OrderStatusReport | None:
    if order.venue_order_id is None:  # refused on arrival: no venue remembers such an order
        return None
    has_trigger = order.has_trigger_price
    return OrderStatusReport(
        account_id=venue.account_id,
        instrument_id=order.instrument_id,
        venue_order_id=order.venue_order_id,
        order_side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        order_status=order.status,
        quantity=order.quantity,
        filled_qty=order.filled_qty,
        report_id=UUID4(),
        ts_accepted=order.ts_accepted or order.ts_init,
        ts_last=order.ts_last,
        ts_init=now_ns,
        client_order_id=order.client_order_id,
        expire_time=getattr(order, "expire_time", None),
        price=order.price if order.has_price else None,
        trigger_price=order.trigger_price if has_trigger else None,
        **({"trigger_type": order.trigger_type} if has_trigger else {}),
        avg_px=Decimal(str(order.avg_px)) if order.filled_qty else None,
        post_only=bool(getattr(order, "is_post_only", False)),
        reduce_only=order.is_reduce_only,
    )
