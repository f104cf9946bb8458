"""Words and figures of decisions: the fields of `Decision` that notes, trades and payments fill."""

from decimal import Decimal
from typing import Any

from strategies.trade_manager.funding import FundingPayment
from strategies.trade_manager.orders import Note
from strategies.trade_manager.record import ClosedTrade


def side_name(direction: int) -> str:
    """Return ``long`` for +1 and ``short`` for -1."""
    return "long" if direction > 0 else "short"


def text_of(value: Decimal | None) -> str:
    """Return a price or quantity as a decision has it; empty for None."""
    return "" if value is None else str(value)


def note_fields(note: Note) -> dict[str, Any]:
    """Return what a note of the order life says."""
    return {
        "reason": note.reason,
        "price": text_of(note.price),
        "stop": text_of(note.stop),
        "target": text_of(note.target),
        "qty": text_of(note.qty),
        "detail": note.detail,
    }


def trade_fields(trade: ClosedTrade) -> dict[str, Any]:
    """Return what is published of a closed trade."""
    return {
        "reason": trade.exit_reason,
        "price": trade.exit_price,
        "stop": trade.stop_price,
        "target": trade.target_price,
        "qty": trade.qty,
        "detail": {"pnl": trade.pnl, "r_multiple": trade.r_multiple},
    }


def payment_fields(payment: FundingPayment) -> dict[str, Any]:
    """Return what is published of a funding payment."""
    return {
        "price": "" if payment.price is None else f"{payment.price:f}",
        "qty": f"{abs(payment.signed_qty):f}",
        "detail": {
            "amount": f"{payment.amount:f}",
            "rate": "" if payment.rate is None else f"{payment.rate:f}",
        },
    }
