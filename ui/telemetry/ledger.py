"""What an account made today and lost from its top, also over restarts of the node."""

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from ui.protocol import ClosedTrades, Trade

FILE_NAME: Final = "day.json"
MS: Final = 1_000_000
NANOS: Final = 1_000_000_000
DAY_NS: Final = 86_400 * NANOS
SAVE_NS: Final = 10 * NANOS
# A node that is killed before it has written its state closes its last setups once more when it is back.
REMEMBERED: Final = 100


class Day(msgspec.Struct, kw_only=True):
    """What is remembered: the UTC day, the equity that it began with, the highest one ever, fees of the day.

    `closed` are the day's trades by quote currency, `counted` names the last ones.
    """

    day: str = ""
    begun_with: Decimal = Decimal(0)
    top: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    closed: dict[str, ClosedTrades] = {}
    counted: list[str] = []


class DayLedger:
    """Follows the worth of an account.

    Parameters
    ----------
    path
        Remembers it over a restart; None remembers nothing. A file that cannot be read counts as none, since
        nothing but a figure on a screen depends on it.

    Examples
    --------
    >>> ledger = DayLedger()
    >>> ledger.take(Decimal(100), 0)
    >>> ledger.take(Decimal(90), 1)
    >>> ledger.pnl, ledger.drawdown_pct
    (Decimal('-10'), 10.0)
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known = Day()
        self._equity = Decimal(0)
        self._saved_ns = 0
        self._begun = -1  # number of the day that a worth was told of
        if path is not None:
            with contextlib.suppress(OSError, msgspec.DecodeError):
                self._known = msgspec.json.decode(path.read_bytes(), type=Day)

    def take(self, equity: Decimal, now_ns: int) -> None:
        """Take the account's worth, quote currency, at a time (UNIX nanoseconds)."""
        known, day = self._known, _day_of(now_ns)
        if day != known.day:
            known.day, known.begun_with, known.fees, known.closed = day, equity, Decimal(0), {}
        known.top = max(known.top, equity)
        self._equity, self._begun = equity, now_ns // DAY_NS
        if now_ns - self._saved_ns >= SAVE_NS:
            self._saved_ns = now_ns
            self.save()

    def pay(self, fee: Decimal) -> None:
        """Take a fee, quote currency."""
        self._known.fees += fee

    def close(self, trade: Trade) -> None:
        """Take a closed trade of the day, once; it is written down at once, for it does not come again."""
        known, name = self._known, f"{trade.ins} {trade.setup} {trade.ts}"
        if _day_of(trade.ts * MS) < known.day or name in known.counted:
            return
        before = known.closed.get(trade.ccy, ClosedTrades(n=0, pnl="0"))
        r = before.r if trade.r is None else (before.r or 0.0) + trade.r
        pnl = format(Decimal(before.pnl) + Decimal(trade.pnl), "f")
        known.closed[trade.ccy] = ClosedTrades(n=before.n + 1, pnl=pnl, r=r)
        known.counted = [*known.counted, name][-REMEMBERED:]
        self.save()

    def has_begun(self, now_ns: int) -> bool:
        """Tell whether it was told what the account is worth on the day of a time (UNIX nanoseconds)."""
        return now_ns // DAY_NS <= self._begun

    @property
    def pnl(self) -> Decimal:
        """Return what the day made, quote currency."""
        return self._equity - self._known.begun_with

    @property
    def drawdown_pct(self) -> float:
        """Return the loss from the highest worth, percent."""
        top = self._known.top
        return float(100 * (1 - self._equity / top)) if top > 0 else 0.0

    @property
    def fees(self) -> Decimal:
        """Return the fees of the day, quote currency."""
        return self._known.fees

    @property
    def closed(self) -> dict[str, ClosedTrades]:
        """Return the trades that closed on the day, by quote currency."""
        return dict(self._known.closed)

    def save(self) -> None:
        """Write down what is remembered."""
        if self._path is not None and self._known.day:
            other = self._path.with_suffix(".new")
            with contextlib.suppress(OSError):
                other.write_bytes(msgspec.json.encode(self._known))
                other.replace(self._path)


def _day_of(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // NANOS, UTC).date().isoformat()


def spread(values: Iterable[float]) -> tuple[float | None, float | None]:
    """Return median and 99th percentile by nearest rank, None of nothing.

    Examples
    --------
    >>> spread([3.0, 1.0, 2.0])
    (2.0, 3.0)
    """
    ordered = sorted(values)
    if not ordered:
        return None, None
    last = len(ordered) - 1
    return ordered[round(0.5 * last)], ordered[round(0.99 * last)]


__all__ = ["FILE_NAME", "DayLedger", "spread"]
