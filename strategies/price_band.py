"""Is this price believable? A band around the last trades, and around the mark price where there is one.

A print far away from all trades before it is a mistake, or a market in which nothing should be opened.
Either way nobody decides on it: the bucket that holds it is tainted, no model is asked, no order is sent. A
price that stays there is the new price: after enough trades in a row that agree the band moves.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LAST_TRADES: Final = 21
CONFIRMED_BY: Final = 50
# The sure bounds are narrower by this, so that no rounding of theirs lets a price pass that is outside.
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class BandRules:
    """How far a price may be away.

    Parameters
    ----------
    band_pct
        Farthest from the median of the last trades, percent; 0 switches the band off.
    mark_band_pct
        Farthest from the mark price, percent; 0 does not look at it.
    trades
        How many trades the median is of.
    confirmed_by
        So many trades in a row outside, all within one band of each other, are the new price.

    Raises
    ------
    ValueError
        When a figure makes no sense.
    """

    band_pct: float = 10.0
    mark_band_pct: float = 0.0
    trades: int = LAST_TRADES
    confirmed_by: int = CONFIRMED_BY

    def __post_init__(self) -> None:
        for name, pct in (("band_pct", self.band_pct), ("mark_band_pct", self.mark_band_pct)):
            if not 0 <= pct < 100:
                raise ValueError(f"{name} ({pct}) must be at least 0 (off) and below 100")
        if self.trades < 1 or self.confirmed_by < 2:
            raise ValueError(
                f"trades ({self.trades}) must be 1 or more, confirmed_by ({self.confirmed_by}) 2 or more"
            )


class PriceBand:
    """The band of one instrument; feed it every trade in order.

    Parameters
    ----------
    rules
        See `BandRules`.

    Notes
    -----
    A hot path spares itself the call: a price within ``sure_low`` .. ``sure_high`` is believable and only has
    to be `remembered <remember>`, all others go to `judge`, after which the bounds are others. The span is so
    narrow that whatever prices within it the last trades had, none of it is outside their median's band.

    Examples
    --------
    >>> band = PriceBand(BandRules(band_pct=10))
    >>> [band.push(price) for price in (100.0, 101.0, 70.0, 130.0, 100.5)]
    [True, True, False, False, True]
    """

    __slots__ = (
        "_band",
        "_confirming",
        "_is_off",
        "_mark",
        "_recent",
        "_rules",
        "remember",
        "sure_high",
        "sure_low",
    )

    def __init__(self, rules: BandRules) -> None:
        self._rules = rules
        self._band = rules.band_pct / 100
        self._is_off = rules.band_pct == 0
        self._recent: deque[float] = deque(maxlen=rules.trades)
        self.remember = self._recent.append
        """Takes a price within the sure bounds."""
        self.reset()

    def reset(self) -> None:
        """Forget every trade: after a gap the next trade is the first."""
        self._recent.clear()
        self._confirming: list[float] = []
        self._mark = math.nan
        self._be_sure()

    @property
    def reference(self) -> float:
        """Return the median of the last believable trades, NaN before the first."""
        ordered = sorted(self._recent)
        return ordered[len(ordered) // 2] if ordered else math.nan

    def set_mark(self, mark_price: float) -> None:
        """Take a mark price of the venue."""
        self._mark = mark_price if self._rules.mark_band_pct and mark_price > 0 else math.nan
        self._be_sure()

    def push(self, price: float) -> bool:
        """Take a trade; return whether its price is believable.

        Parameters
        ----------
        price
            Quote currency; NaN, infinities and prices at or below zero are not believable.

        Returns
        -------
        bool
            False: taint the bucket, decide nothing on it.
        """
        if self.sure_low <= price <= self.sure_high:
            self.remember(price)
            return True
        return self.judge(price)

    def judge(self, price: float) -> bool:
        """Take a trade outside the sure bounds; as `push`."""
        if self._is_off:
            return True
        is_near = self.is_near(price)
        if is_near:
            self._confirming.clear()
            self.remember(price)
        elif 0 < price < math.inf:
            self._confirm(price)
        self._be_sure()
        return is_near

    def is_near(self, price: float) -> bool:
        """Tell whether a price is believable, and remember nothing."""
        if self._is_off:
            return True
        if not 0 < price < math.inf:
            return False
        low, high = self._bounds()
        return low <= price <= high

    def _bounds(self) -> tuple[float, float]:
        """Return the lowest and the highest price that is believable now."""
        reference = self.reference
        if not reference > 0:
            return 0.0, math.inf
        low, high = reference * (1 - self._band), reference * (1 + self._band)
        if self._mark > 0:
            mark_band = self._rules.mark_band_pct / 100
            low, high = max(low, self._mark * (1 - mark_band)), min(high, self._mark * (1 + mark_band))
        return low, high

    def _be_sure(self) -> None:
        """Set the bounds within which nobody need look at the last trades."""
        self.sure_low, self.sure_high = math.inf, -math.inf  # everything is looked at
        if self._is_off:
            self.sure_low, self.sure_high = -math.inf, math.inf
        elif self._recent and not self._confirming:
            least, most = min(self._recent), max(self._recent)
            if most > least * (1 + self._band):
                return  # the last trades are too far apart for any shortcut
            # 1 + band from end to end: then neither end is farther than the band from any median between.
            half = math.sqrt(1 + self._band) * (1 - _ROUNDING)
            middle = math.sqrt(least * most)
            self.sure_low, self.sure_high = min(middle / half, least), max(middle * half, most)
            if self._mark > 0:
                mark_band = self._rules.mark_band_pct / 100
                self.sure_low = max(self.sure_low, self._mark * (1 - mark_band))
                self.sure_high = min(self.sure_high, self._mark * (1 + mark_band))

    def _confirm(self, price: float) -> None:
        """Count a trade outside; move the band when enough of them agree, and the mark does not object."""
        seen = self._confirming
        if seen and not abs(price - seen[0]) <= seen[0] * self._band:
            seen.clear()
        seen.append(price)
        if self._mark > 0 and abs(price - self._mark) > self._mark * self._rules.mark_band_pct / 100:
            return
        if len(seen) >= self._rules.confirmed_by:
            self._recent.clear()
            self._recent.extend(seen)
            seen.clear()


def outside_band(
    price: float, last_prices: Sequence[float], band_pct: float, mark_price: float = math.nan
) -> float:
    """Return how far a price is beyond the band, percent from the reference; 0.0 within it.

    Parameters
    ----------
    price
        Of an order, quote currency.
    last_prices
        Of the last trades, shape (n,), any order; their median is the reference.
    band_pct
        Width of the band to each side, percent; 0 switches it off.
    mark_price
        Of the venue, a second reference; NaN where there is none.

    Examples
    --------
    >>> outside_band(104.0, [100.0, 101.0, 99.0], 5.0)
    0.0
    >>> outside_band(130.0, [100.0, 101.0, 99.0], 5.0)
    30.0
    """
    if not band_pct:
        return 0.0
    ordered = sorted(last_prices)
    references = [mark_price] if mark_price > 0 else []
    if ordered:
        references.append(ordered[len(ordered) // 2])
    worst = max((abs(price - one) / one * 100 for one in references), default=0.0)
    # `not <=` so that a price that is no number is outside.
    return worst if not worst <= band_pct else 0.0


__all__ = ["BandRules", "PriceBand", "outside_band"]
