"""Where the profit is taken: the end of the leg or an extension beyond it."""

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
