"""Where the stop stands: beyond the origin of the impulse leg."""

from decimal import Decimal

from strategies.trade_manager.increments import round_down


def structural_stop(direction: int, origin: float, buffer_pct: float, tick_size: Decimal) -> Decimal:
    """Return the stop price beyond the range's origin, rounded away from it.

    Parameters
    ----------
    direction
        +1 long, -1 short.
    origin
        Price of the leg's origin: the low of the range for a long, its high for a short.
    buffer_pct
        Distance beyond the origin, percent of its price.
    tick_size
        Price increment.

    Examples
    --------
    >>> structural_stop(1, 100.0, 0.1, Decimal("0.01"))
    Decimal('99.90')
    """
    return round_down(origin * (1 - direction * buffer_pct / 100), tick_size, direction)


def stop_limit(direction: int, stop_price: Decimal, offset_pct: float, tick_size: Decimal) -> Decimal:
    """Return the limit of a stop-limit exit: at least one tick worse than the stop.

    Parameters
    ----------
    direction
        Of the position, +1 long, -1 short.
    stop_price
        The trigger.
    offset_pct
        How much worse than the trigger the exit may fill, percent.
    tick_size
        Price increment.

    Examples
    --------
    >>> stop_limit(1, Decimal("99.90"), 0.2, Decimal("0.01"))
    Decimal('99.70')
    """
    offset = Decimal(str(offset_pct)) / 100
    worst = round_down(stop_price * (1 - direction * offset), tick_size, direction)
    nearest = stop_price - direction * tick_size
    return min(worst, nearest) if direction > 0 else max(worst, nearest)
