"""How much of what others traded in our account was a position of ours."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from strategies.trade_manager.orders import Fill


def newest(fills: Iterable[Fill], qty: Decimal) -> list[Fill]:
    """Return the last fills that come to a quantity, oldest first; of the first of them maybe a part alone.

    Coins have no owner: whoever sells more than nobody's coins has sold ours last. So the answer does not
    depend on when the account told that they are gone.

    Parameters
    ----------
    fills
        Of others, against the position; those of one time in the order of their trades.
    qty
        How much of the position is gone, base currency.

    Examples
    --------
    >>> sold = [Fill(1, "a", Decimal(4), Decimal(10), Decimal("0.4")), Fill(2, "b", Decimal(3), Decimal(9))]
    >>> [(one.trade_id, str(one.qty), str(one.fee_quote)) for one in newest(sold, Decimal(5))]
    [('a', '2', '0.20'), ('b', '3', '0')]
    """
    found: list[Fill] = []
    for fill in sorted(fills, key=lambda one: one.ts_ns)[::-1]:
        left = qty - sum(one.qty for one in found)
        if left <= 0:
            break
        found.append(part(fill, left))
    return found[::-1]


def part(fill: Fill, most: Decimal) -> Fill:
    """Return a fill, or what is at most a quantity (base currency) of it, with that share of its fee."""
    if fill.qty <= most:
        return fill
    share = most / fill.qty
    return replace(fill, qty=most, fee_quote=fill.fee_quote * share, fee_base=fill.fee_base * share)


__all__ = ["newest", "part"]
