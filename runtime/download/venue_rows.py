"""What the REST interfaces of all venues are reduced to, and the files their rows are kept in.

Rows of klines and trades are written as the venue's own archive has them, so that they enter the catalog
through the same importer as a downloaded file.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from runtime.errors import DataError, VenueError

NANOS_PER_MS: Final = 1_000_000
# A venue books the last trades of a kline some moments after its end; until then its REST may give less.
SETTLING_MS: Final = 5_000
BPS: Final = 10_000.0


@dataclass(frozen=True, slots=True)
class Ticker:
    """The last 24 hours of a symbol: turnover in the quote currency, best bid and ask (None: not quoted)."""

    symbol: str
    turnover: float
    bid: float | None
    ask: float | None

    @property
    def spread_bps(self) -> float | None:
        """Distance of ask and bid in hundredths of a percent of their middle, None without both."""
        if not self.bid or not self.ask:
            return None
        return (self.ask - self.bid) / ((self.ask + self.bid) / 2) * BPS


@dataclass(frozen=True, slots=True)
class VenueSymbol:
    """One symbol of a venue's exchange-info.

    Parameters
    ----------
    symbol, base, quote
        As the venue writes them.
    tick_size, lot_size
        As the venue writes them, trailing zeros included: they carry the precision of live ticks.
    min_qty, max_qty, min_notional
        Limits of one order; None where the venue has none.
    is_trading
        False for halted and delisted ones.
    listed_ns
        When it was listed, UNIX nanoseconds; None where the venue does not say.
    tags
        The venue's own categories in lower case, such as ``layer-1`` or ``innovation``.
    """

    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    min_qty: Decimal | None = None
    max_qty: Decimal | None = None
    min_notional: Decimal | None = None
    is_trading: bool = True
    listed_ns: int | None = None
    tags: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class FundingRate:
    """One funding payment.

    Parameters
    ----------
    ts_ns
        When, UNIX nanoseconds, as the venue stamped it.
    rate
        As the venue wrote it: share of the position that longs pay to shorts.
    interval_mins
        Minutes between payments, None where the source does not say.
    """

    ts_ns: int
    rate: Decimal
    interval_mins: int | None = None


@dataclass(frozen=True, slots=True)
class TailFile:
    """A file that a tail was written to, and how many rows it has."""

    path: Path
    rows: int


@contextmanager
def understood(source: str) -> Iterator[None]:
    """Turn an answer of another shape than documented into a VenueError that names its source."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
        raise VenueError(
            f"{source}: the answer has not the documented shape ({type(error).__name__}: {error})"
        ) from error


def whole_number(value: object) -> int:
    """Return an integer that came as a JSON number or as text of digits; TypeError otherwise."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number")
    return value


def decimal_or_none(text: object) -> Decimal | None:
    """Return a venue's number above 0 with all its decimals; None for zero, which means: no limit."""
    try:
        value = Decimal(str(text))
    except InvalidOperation:
        return None
    return value if value.is_finite() and value > 0 else None


def positive_or_none(text: object) -> float | None:
    """Return a price as float64, None where there is none (absent, empty or 0)."""
    value = decimal_or_none(text)
    return None if value is None else float(value)


def require_progress(keys: Sequence[int], cursor: int, source: str) -> None:
    """Raise DataError unless the keys of a page begin at or after the cursor and increase."""
    if any(after <= before for before, after in zip([cursor - 1, *keys], keys, strict=False)):
        raise DataError(f"{source}: the page from {cursor} is out of order or goes back; nothing was kept")
