"""What a UTC day brought, from the records of that day. Pure."""

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from runtime.notify.events import Event, EventKind
from strategies.trade_manager.record import ClosedTrade, Decision

DAY_NS: Final = 86_400_000_000_000


@dataclass(slots=True)
class DayBook:
    """Counts decisions and closed trades of one UTC day.

    Parameters
    ----------
    day
        Days since 1970-01-01.
    """

    day: int
    decisions: Counter[str] = field(default_factory=Counter)
    trades: list[ClosedTrade] = field(default_factory=list)
    first_equity: Decimal | None = None
    last_equity: Decimal | None = None

    def decision(self, decision: Decision) -> None:
        """Count a decision of this day; fills count once per setup, cancels of the model alone."""
        kind: str = decision.kind
        if kind == "entry_filled" and not decision.detail.get("is_first"):
            return
        if kind == "cancel_asked":
            if decision.detail.get("action") != "cancel":
                return
            kind = "cancelled_by_model"
        self.decisions[kind] += 1

    def trade(self, trade: ClosedTrade) -> None:
        """Take a trade that closed on this day."""
        self.trades.append(trade)

    def equity(self, equity: Decimal) -> None:
        """Take a mark of the account on this day, quote currency."""
        if self.first_equity is None:
            self.first_equity = equity
        self.last_equity = equity

    def figures(self) -> dict[str, Any]:
        """Return the day as plain values: counts, money as exact text, R."""
        pnl = sum((Decimal(one.pnl) for one in self.trades), Decimal(0))
        wins = sum(Decimal(one.pnl) > 0 for one in self.trades)
        return {
            "day": iso_day(self.day),
            "trades": len(self.trades),
            "wins": wins,
            "pnl": str(pnl),
            "fees": str(sum((Decimal(one.fees) for one in self.trades), Decimal(0))),
            "r": round(sum(one.r_multiple for one in self.trades if math.isfinite(one.r_multiple)), 4),
            "by_exit": dict(Counter(one.exit_reason for one in self.trades)),
            "by_instrument": dict(Counter(one.instrument_id for one in self.trades)),
            "entries": self.decisions["entry_submitted"],
            "fills": self.decisions["entry_filled"],
            "cancelled_by_model": self.decisions["cancelled_by_model"],
            "halts": self.decisions["halted"],
            "equity": None if self.last_equity is None else str(self.last_equity),
            "equity_change": None
            if self.last_equity is None or self.first_equity is None
            else str(self.last_equity - self.first_equity),
        }

    def event(self, ts_ns: int) -> Event:
        """Return the summary of the day, said at this time, UNIX nanoseconds."""
        figures = self.figures()
        text = (
            f"{figures['day']}: {figures['trades']} trades, {figures['wins']} won, "
            f"PnL {plain(figures['pnl'], 2)} after {plain(figures['fees'], 2)} fees, {figures['r']:+.2f} R; "
            f"{figures['entries']} entries, {figures['fills']} filled, "
            f"{figures['cancelled_by_model']} cancelled by the model"
        )
        if figures["equity"] is not None:
            change = Decimal(figures["equity_change"])
            text += f"; equity {plain(figures['equity'], 2)} ({change:+.2f})"
        return Event(kind=EventKind.DAILY_SUMMARY, ts_ns=ts_ns, text=text, data=figures)


def iso_day(day: int) -> str:
    """Return days since 1970 as a date.

    Examples
    --------
    >>> iso_day(20531)
    '2026-03-19'
    """
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def plain(value: str | Decimal, decimals: int) -> str:
    """Return a decimal for a sentence, rounded."""
    return f"{Decimal(value):.{decimals}f}"
