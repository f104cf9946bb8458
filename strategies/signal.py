"""What a strategy says before anything is decided: one possible trade, with its reasons.

The contract is the same for every strategy. A signal that breaks it is a bug and raises; one that keeps it
and is not worth its risk is skipped with a reason.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from strategies.trade_manager.plan import EntryKind, EntryPlan
from strategies.trade_manager.sizing import Size
from strategies.trade_manager.skips import Skip, SkipReason

type SideName = Literal["long", "short"]


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One possible trade.

    Parameters
    ----------
    instrument_id
        Nautilus id.
    ts_ns
        Close of the bar (or bucket) that completed it, UNIX nanoseconds: nothing newer went into it.
    side
        ``long`` or ``short``.
    entry, stop, target
        Quote currency, multiples of the tick: stop < entry < target for a long, mirrored for a short.
    confidence
        0 to 1.
    factors
        Points by factor, as the score counted them.
    metadata
        Whatever else should be on record: plain values by name.

    Raises
    ------
    ValueError
        When a price is not positive and finite, their order is wrong, or the confidence outside 0 to 1.

    Examples
    --------
    >>> Signal(instrument_id="XRPUSDT.BINANCE", ts_ns=0, side="long", entry=Decimal("1.5"),
    ...        stop=Decimal("1.4"), target=Decimal("1.8"), confidence=0.9).reward_risk
    Decimal('3')
    """

    instrument_id: str
    ts_ns: int
    side: SideName
    entry: Decimal
    stop: Decimal
    target: Decimal
    confidence: float
    factors: dict[str, float] = {}
    metadata: dict[str, str | int | float] = {}

    def __post_init__(self) -> None:
        where = f"signal of {self.instrument_id} at {self.ts_ns}"
        prices = {"entry": self.entry, "stop": self.stop, "target": self.target}
        for name, price in prices.items():
            if not price.is_finite() or price <= 0:
                raise ValueError(f"{where}: {name} is {price}, a price is above zero")
        if self.side not in ("long", "short"):
            raise ValueError(f"{where}: side {self.side!r} is neither long nor short")
        low, high = (self.stop, self.target) if self.side == "long" else (self.target, self.stop)
        if not low < self.entry < high:
            relation = "stop < entry < target" if self.side == "long" else "target < entry < stop"
            raise ValueError(
                f"{where}: a {self.side} has {relation}, got stop {self.stop}, entry {self.entry}, "
                f"target {self.target}"
            )
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"{where}: confidence {self.confidence} is not between 0 and 1")

    @property
    def direction(self) -> int:
        """Return +1 for a long, -1 for a short."""
        return 1 if self.side == "long" else -1

    @property
    def reward_risk(self) -> Decimal:
        """Return distance to the target over distance to the stop."""
        return abs(self.target - self.entry) / abs(self.entry - self.stop)


def refused(signal: Signal, min_reward_risk: float) -> Skip | None:
    """Return ``reward_risk`` for a signal that promises less than the minimum, None for any other.

    Parameters
    ----------
    signal
        The signal.
    min_reward_risk
        Smallest reward over risk, before fees.
    """
    reward, risk = abs(signal.target - signal.entry), abs(signal.entry - signal.stop)
    # Compared as a product: a quotient of decimals is rounded.
    if reward < risk * Decimal(str(min_reward_risk)):
        return Skip(SkipReason.REWARD_RISK, float(signal.reward_risk), min_reward_risk)
    return None


def plan_of(signal: Signal, size: Size, *, number: int, entry_kind: EntryKind = "market") -> EntryPlan:
    """Return the intended trade of a signal that was taken.

    Parameters
    ----------
    signal, size
        What and how much.
    number
        Of the signal within its strategy; it takes the place of the zone's id in records and order ids.
    entry_kind
        At market, or a resting limit at the signal's entry.
    """
    low, high = sorted((float(signal.stop), float(signal.target)))
    return EntryPlan(
        direction=signal.direction,
        entry_price=signal.entry,
        stop_price=signal.stop,
        target_price=signal.target,
        qty=size.qty,
        zone_id=number,
        zone_low=low,
        zone_high=high,
        entry_kind=entry_kind,
    )
