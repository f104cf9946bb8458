"""What a cancelled entry would have become: followed on the tape to the fill and exit it would have had.

The fill rules are those of the backtest's defaults (``docs/fills.md``): a resting order fills when a trade
goes *through* its price, a stop fills at the trade that reached it, a target at its price.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

type ShadowEnd = Literal["not_filled", "target", "stop", "open", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowPlan:
    """The entry that was cancelled.

    Parameters
    ----------
    order_id
        Of the cancelled order.
    zone_id
        The dealing range; when it ends the unfilled entry would have been taken back.
    direction
        +1 long, -1 short.
    entry, stop, target
        Quote currency.
    qty
        Base currency.
    entry_fee, stop_fee, target_fee
        Shares of the notional.
    target_rests
        The target is a resting order and fills when traded through; else it is sent when reached.
    cancelled_ns
        Time of the decision, UNIX nanoseconds.
    """

    order_id: str
    zone_id: int
    direction: int
    entry: float
    stop: float
    target: float
    qty: float
    entry_fee: float
    stop_fee: float
    target_fee: float
    target_rests: bool
    cancelled_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """How one order ended, kept or cancelled.

    Parameters
    ----------
    order_id
        Of the order.
    decided_ns
        When it was cancelled or, kept, filled; UNIX nanoseconds.
    is_cancelled
        The gate took it back, and the result is what it would have been.
    end
        How it ended; ``open`` when the tape was over first.
    fill_ns, exit_ns
        UNIX nanoseconds, 0 for never.
    net_r
        Profit after fees over the risk; NaN where it never filled or has not ended.
    money
        The same in quote currency.
    """

    order_id: str
    decided_ns: int
    is_cancelled: bool
    end: ShadowEnd
    fill_ns: int = 0
    exit_ns: int = 0
    net_r: float = math.nan
    money: float = math.nan


class Shadow:
    """One cancelled entry on its way.

    Parameters
    ----------
    plan
        What was cancelled.
    """

    __slots__ = ("fill_ns", "plan")

    def __init__(self, plan: ShadowPlan) -> None:
        self.plan = plan
        self.fill_ns = 0

    @property
    def quiet_band(self) -> tuple[float, float]:
        """Return lowest and highest price, both included, at which nothing happens to it."""
        plan = self.plan
        is_long = plan.direction > 0
        if not self.fill_ns:  # at its price is not through it
            return (plan.entry, math.inf) if is_long else (-math.inf, plan.entry)
        tight = (math.nextafter(plan.stop, plan.entry), math.nextafter(plan.target, plan.entry))
        return tight if is_long else tight[::-1]

    def on_price(self, ts_ns: int, price: float) -> Followed | None:
        """Take a trade; return the result when it ended the order.

        Parameters
        ----------
        ts_ns
            UNIX nanoseconds.
        price
            Quote currency.
        """
        plan = self.plan
        if not self.fill_ns:
            if (plan.entry - price) * plan.direction <= 0:
                return None
            self.fill_ns = ts_ns  # and the same trade may reach the stop
        if (plan.stop - price) * plan.direction >= 0:
            return self._ended("stop", ts_ns, price)
        beyond = (price - plan.target) * plan.direction
        if beyond > 0 or (beyond == 0 and not plan.target_rests):
            return self._ended("target", ts_ns, plan.target)
        return None

    def _ended(self, end: ShadowEnd, ts_ns: int, price: float) -> Followed:
        plan = self.plan
        exit_fee = plan.stop_fee if end == "stop" else plan.target_fee
        won = (price - plan.entry) * plan.direction - plan.entry_fee * plan.entry - exit_fee * price
        return Followed(
            order_id=plan.order_id,
            decided_ns=plan.cancelled_ns,
            is_cancelled=True,
            end=end,
            fill_ns=self.fill_ns,
            exit_ns=ts_ns,
            net_r=won / abs(plan.entry - plan.stop),
            money=won * plan.qty,
        )

    def given_up(self, end: ShadowEnd) -> Followed:
        """Return the result of an order that never filled, or that the end of the tape found open."""
        return Followed(
            order_id=self.plan.order_id,
            decided_ns=self.plan.cancelled_ns,
            is_cancelled=True,
            end=end,
            fill_ns=self.fill_ns,
        )


class ShadowBook:
    """All cancelled entries that have not ended; `results` has those that have."""

    def __init__(self) -> None:
        self.results: list[Followed] = []
        self._shadows: dict[str, Shadow] = {}

    def __len__(self) -> int:
        return len(self._shadows)

    def add(self, plan: ShadowPlan) -> None:
        """Begin to follow a cancelled entry.

        Raises
        ------
        ValueError
            If it has no risk to measure its result in.
        """
        if not (plan.stop - plan.entry) * plan.direction < 0:
            raise ValueError(f"{plan.order_id}: stop {plan.stop} is not behind the entry {plan.entry}")
        self._shadows[plan.order_id] = Shadow(plan)

    def drop(self, order_id: str) -> None:
        """Forget an order, also one that has ended: it filled before its cancellation, or rests again."""
        self._shadows.pop(order_id, None)
        self.results = [one for one in self.results if one.order_id != order_id]

    def drop_unfilled(self, zone_id: int) -> None:
        """Forget the unfilled order of a zone: it was sent again."""
        for shadow in self._unfilled(zone_id):
            self.drop(shadow.plan.order_id)

    def move(self, zone_id: int, entry: float, stop: float, target: float) -> None:
        """Re-price the unfilled order of a zone, as the kept order would have followed its range."""
        for shadow in self._unfilled(zone_id):
            shadow.plan = replace(shadow.plan, entry=entry, stop=stop, target=target)

    def end_zone(self, zone_id: int) -> None:
        """End the unfilled order of a zone that is over: it would have been taken back."""
        for shadow in self._unfilled(zone_id):
            self._finish(shadow, shadow.given_up("not_filled"))

    def close(self) -> None:
        """End everything: the tape is over."""
        for shadow in list(self._shadows.values()):
            self._finish(shadow, shadow.given_up("open" if shadow.fill_ns else "not_filled"))

    @property
    def quiet_band(self) -> tuple[float, float]:
        """Return lowest and highest price, both included, at which nothing happens to any of them."""
        bands = [shadow.quiet_band for shadow in self._shadows.values()]
        return (
            max((low for low, _ in bands), default=-math.inf),
            min((high for _, high in bands), default=math.inf),
        )

    def on_price(self, ts_ns: int, price: float) -> bool:
        """Take a trade outside of `quiet_band`; tell whether that band changed."""
        changed = False
        for shadow in list(self._shadows.values()):
            was_filled = bool(shadow.fill_ns)
            result = shadow.on_price(ts_ns, price)
            if result is not None:
                self._finish(shadow, result)
            changed |= result is not None or bool(shadow.fill_ns) is not was_filled
        return changed

    def _unfilled(self, zone_id: int) -> list[Shadow]:
        return [one for one in self._shadows.values() if one.plan.zone_id == zone_id and not one.fill_ns]

    def _finish(self, shadow: Shadow, result: Followed) -> None:
        del self._shadows[shadow.plan.order_id]
        self.results.append(result)


__all__ = ["Followed", "Shadow", "ShadowBook", "ShadowEnd", "ShadowPlan"]
