"""Where the profit is taken: the end of the leg or an extension beyond it, or a multiple of the ATR."""

from decimal import Decimal
from typing import Final, Literal

from strategies.trade_manager.increments import round_down

type TargetKind = Literal["range_high", "extension_1.27", "extension_1.618"]

# Distance beyond the leg's end as a share of the leg (detectors.md 1.8).
EXTENSIONS: Final[dict[str, float]] = {"range_high": 0.0, "extension_1.27": 0.27, "extension_1.618": 0.618}


def target_price(direction: int, low: float, high: float, kind: TargetKind, tick_size: Decimal) -> Decimal:
    """Return the target of a dealing range, rounded towards the entry.

    Parameters
    ----------
    direction
        +1 long, -1 short: everything mirrored, ``range_high`` is then the low.
    low, high
        The dealing range, quote currency.
    kind
        End of the leg, or 27 % or 61.8 % of the leg beyond it.
    tick_size
        Price increment.

    Examples
    --------
    >>> target_price(1, 100.0, 110.0, "extension_1.27", Decimal("0.01"))
    Decimal('112.70')
    >>> target_price(-1, 100.0, 110.0, "range_high", Decimal("0.01"))
    Decimal('100.00')
    """
    end = high if direction > 0 else low
    return round_down(end + direction * EXTENSIONS[kind] * (high - low), tick_size, direction)


def atr_stop_and_target(
    direction: int,
    entry_price: Decimal,
    atr: float,
    *,
    stop_atr: float,
    target_atr: float,
    tick_size: Decimal,
) -> tuple[Decimal, Decimal]:
    """Return stop and target at multiples of the average true range from the entry.

    Both are rounded against the trade: the stop away from the entry, the target towards it.

    Parameters
    ----------
    direction
        +1 long, -1 short.
    entry_price
        Quote currency.
    atr
        Average true range of closed bars, quote currency, > 0.
    stop_atr, target_atr
        Multiples, > 0.
    tick_size
        Price increment.

    Raises
    ------
    ValueError
        When the range is not a positive number.

    Examples
    --------
    >>> atr_stop_and_target(1, Decimal(100), 0.333, stop_atr=1.0, target_atr=1.5, tick_size=Decimal("0.01"))
    (Decimal('99.66'), Decimal('100.49'))
    """
    if not 0 < atr < float("inf"):
        raise ValueError(f"the average true range is {atr}: no distance can be a multiple of it")
    entry = float(entry_price)
    stop_price = round_down(entry - direction * stop_atr * atr, tick_size, direction)
    return stop_price, round_down(entry + direction * target_atr * atr, tick_size, direction)
