"""What became of an order while no node ran, as the journal takes it: from a venue's answer."""

from decimal import Decimal
from typing import Any, Final

from nautilus_trader.model.enums import (
    OrderStatus,
    liquidity_side_to_str,
    order_side_to_str,
    order_type_to_str,
    time_in_force_to_str,
)

from runtime.journal.records import FillRecord, OrderRecord
from runtime.live.order_lookup import Lookup
from strategies.trade_manager.client_ids import setup_and_leg

ENDS: Final = {
    OrderStatus.FILLED: "OrderFilled",
    OrderStatus.CANCELED: "OrderCanceled",
    OrderStatus.EXPIRED: "OrderExpired",
    OrderStatus.REJECTED: "OrderRejected",
}


def late_records(strategy_id: str, answer: Lookup) -> list[OrderRecord | FillRecord]:
    """Return the records of an order that ended while nobody listened.

    Parameters
    ----------
    strategy_id
        Whose order it was.
    answer
        The venue's, with a report.

    Returns
    -------
    list
        Its fills and how it ended; marked as reconciliation, because an earlier session may have them too.
    """
    report = answer.report
    client_id = report.client_order_id.value
    setup_id, leg = setup_and_leg(client_id)
    common: dict[str, Any] = {
        "strategy_id": strategy_id,
        "instrument_id": report.instrument_id.value,
        "client_order_id": client_id,
        "venue_order_id": report.venue_order_id.value,
        "setup_id": setup_id,
        "leg": leg,
        "side": order_side_to_str(report.order_side),
        "is_reconciliation": True,
    }
    records: list[OrderRecord | FillRecord] = [_fill_record(one, common) for one in answer.fills]
    end = ENDS.get(report.order_status)
    if end is not None:
        records.append(
            OrderRecord(
                ts_ns=report.ts_last,
                event=end,
                order_type=order_type_to_str(report.order_type),
                time_in_force=time_in_force_to_str(report.time_in_force),
                qty=str(report.quantity),
                price=_text(report.avg_px if report.filled_qty.as_decimal() else report.price),
                trigger_price=_text(report.trigger_price),
                **common,
            )
        )
    return records


def _fill_record(fill: Any, common: dict[str, Any]) -> FillRecord:
    position_id = getattr(fill, "venue_position_id", None)
    return FillRecord(
        ts_ns=fill.ts_event,
        trade_id=fill.trade_id.value,
        position_id="" if position_id is None else position_id.value,
        qty=str(fill.last_qty),
        price=str(fill.last_px),
        commission=str(fill.commission.as_decimal()),
        commission_currency=fill.commission.currency.code,
        liquidity=liquidity_side_to_str(fill.liquidity_side),
        **common,
    )


def _text(value: Any) -> str:
    return "" if value is None else str(Decimal(str(value)))


__all__ = ["late_records"]
