"""What an order must achieve to earn nothing: the probability against which every forecast is held."""

import math


def break_even(
    entry: float, stop: float, target: float, *, entry_fee: float, stop_fee: float, target_fee: float
) -> float:
    """Return p*, the probability of reaching the target at which an order earns nothing.

    (stop + fees) / (target + stop) in distances from the entry; where the two exits cost different fees, the
    share at which the expected profit is zero.

    Parameters
    ----------
    entry, stop, target
        Quote currency.
    entry_fee, stop_fee, target_fee
        Shares of the notional at that price.

    Returns
    -------
    float
        NaN when the prices are no order; above 1 when even the target does not pay the fees.

    Examples
    --------
    >>> break_even(100.0, 99.0, 103.0, entry_fee=0.0, stop_fee=0.0, target_fee=0.0)
    0.25
    """
    direction = 1.0 if entry > stop else -1.0
    lost = (entry - stop) * direction + entry_fee * entry + stop_fee * stop
    won = (target - entry) * direction - entry_fee * entry - target_fee * target
    return lost / (lost + won) if lost > 0 and lost + won > 0 else math.nan
