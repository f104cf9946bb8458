"""What a cancelled entry would have become: followed on the tape to the fill and exit it would have had.

The fill rules are those of the backtest (``docs/fills.md``), and each command takes its latency: a resting
order fills when a trade goes *through* its price; the stop rests at the venue and fills at the trade that
reached it; a target that does not rest is sent when reached, once the stop is gone, and takes the price that
it finds, if that is no worse. Not followed are the sizes of single prints: an order fills as a whole.
"""

import math
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Literal

type ShadowEnd = Literal["not_filled", "target", "stop", "open", "other"]
NEVER_NS = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowRules:
    """How orders live at the venue.

    Parameters
    ----------
    maker_fee, taker_fee
        Shares of the notional.
    target_rests
        Stop and target rest side by side. Else the target is sent when it is reached, after the stop was
        taken back, and the stop is a stop-limit order without slippage.
    latency_ns
        Of each command, nanoseconds.
    tick_size
        Price increment.
    slippage_ticks, slippage_bps
        By how much market and stop-market orders fill worse: increments, and hundredths of a percent of the
        price, rounded up to increments.
    stop_limit_offset
        How far beyond the stop its limit stands, share of the stop.
    market_after_ns
        An exit that should have filled goes to market after this time, nanoseconds.
    """

    maker_fee: float
    taker_fee: float
    target_rests: bool
    latency_ns: int = 0
    tick_size: float = 0.0
    slippage_ticks: int = 0
    slippage_bps: float = 0.0
    stop_limit_offset: float = math.inf
    market_after_ns: int = NEVER_NS

    def taken(self, price: float, direction: int) -> float:
        """Return the price at which a market order leaves a position of this direction."""
        if not self.slippage_ticks and not self.slippage_bps:
            return price
        tick = self.tick_size
        # A share that is a whole number of increments but for the last bit is not one more.
        share = math.ceil(price * self.slippage_bps / 1e4 / tick - 1e-9)
        return price - direction * tick * (self.slippage_ticks + share)


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
    rules
        See `ShadowRules`.
    cancelled_ns
        Time of the decision, UNIX nanoseconds.
    ttl_ns
        The entry would have been taken back then, UNIX nanoseconds.
    """

    order_id: str
    zone_id: int
    direction: int
    entry: float
    stop: float
    target: float
    qty: float
    rules: ShadowRules
    cancelled_ns: int
    ttl_ns: int = NEVER_NS


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


class _Way(Enum):
    """How a position is being left."""

    PROTECTED = auto()  # by its stop, which may still be on its way
    TARGET_SENT = auto()  # the stop leaves the venue, then the target's limit goes there
    TARGET_RESTS = auto()  # the limit found a worse price
    STOP_JUMPED = auto()  # price is beyond the limit of the triggered stop
    MARKET_SENT = auto()


class Shadow:
    """One cancelled entry on its way.

    Parameters
    ----------
    plan
        What was cancelled.

    Notes
    -----
    A command acts on the first trade at or after its arrival, behind that trade, as in the engine.
    """

    __slots__ = ("_commands", "_due_ns", "_end", "_late_ns", "_next", "_way", "ends_ns", "fill_ns", "plan")

    def __init__(self, plan: ShadowPlan) -> None:
        self.plan = plan
        self.fill_ns = 0
        self.ends_ns = plan.ttl_ns + plan.rules.latency_ns
        """The unfilled entry is gone from the venue, UNIX nanoseconds."""
        self._next: ShadowPlan | None = None
        self._way = _Way.PROTECTED
        self._end: ShadowEnd = "stop"
        self._commands = 0  # on their way, one after the other
        self._due_ns = NEVER_NS  # arrival of the first of them
        self._late_ns = NEVER_NS

    @property
    def quiet_band(self) -> tuple[float, float]:
        """Return lowest and highest price, both included, at which nothing happens to it."""
        plan = self.plan
        is_long = plan.direction > 0
        if self._commands or self._late_ns != NEVER_NS:
            return math.inf, -math.inf  # every trade counts
        if not self.fill_ns:  # at its price is not through it
            return (plan.entry, math.inf) if is_long else (-math.inf, plan.entry)
        tight = (math.nextafter(plan.stop, plan.entry), math.nextafter(plan.target, plan.entry))
        return tight if is_long else tight[::-1]

    @property
    def intended(self) -> ShadowPlan:
        """Return the plan of the order, of the next one while it is being replaced."""
        return self.plan if self._next is None else self._next

    def move(self, plan: ShadowPlan, ts_ns: int) -> None:
        """Replace the unfilled order by that of another plan, UNIX nanoseconds."""
        if not plan.rules.latency_ns:
            self.plan = plan
        else:
            self._next = plan
            self._send(2, ts_ns)

    def retarget(self, target: float) -> None:
        """Take another target; a new order that is on its way comes with its own."""
        if self._next is None:
            self.plan = replace(self.plan, target=target)

    def end_at(self, ts_ns: int) -> None:
        """Take the unfilled entry back: it may fill until the cancel has arrived."""
        self.ends_ns = min(self.ends_ns, ts_ns + self.plan.rules.latency_ns)

    def on_price(self, ts_ns: int, price: float) -> Followed | None:
        """Take a trade; return the result when it ended the order.

        Parameters
        ----------
        ts_ns
            UNIX nanoseconds.
        price
            Quote currency.
        """
        if not self.fill_ns:
            return self._wait(ts_ns, price)
        return self._leave(ts_ns, price)

    def _wait(self, ts_ns: int, price: float) -> Followed | None:
        plan = self.plan
        is_between = self._next is not None and self._commands == 1  # the old order is gone
        is_through = (plan.entry - price) * plan.direction > 0 and not is_between
        if is_through and ts_ns < self.ends_ns:
            self.fill_ns = ts_ns
            self._next = None
            self._send(1, ts_ns)  # stop, and target where it rests
            return self._leave(ts_ns, price)
        if ts_ns >= self.ends_ns:
            return self.given_up("not_filled")
        if self._next is not None and self._arrived(ts_ns):
            self.plan, self._next = self._next, None
        return None

    def _leave(self, ts_ns: int, price: float) -> Followed | None:
        plan, rules = self.plan, self.plan.rules
        is_stopped = (plan.stop - price) * plan.direction >= 0
        beyond = (price - plan.target) * plan.direction
        match self._way:
            case _Way.PROTECTED if self._commands:
                if not self._arrived(ts_ns):
                    return None
                if is_stopped:  # refused, price is beyond it: at market instead
                    return self._to_market("stop", 1, ts_ns, price)
                if rules.target_rests and beyond >= 0:
                    return self._ended("target", ts_ns, price, rules.taker_fee)
            case _Way.PROTECTED if is_stopped:
                return self._stopped(ts_ns, price)
            case _Way.PROTECTED if rules.target_rests and beyond > 0:
                return self._ended("target", ts_ns, plan.target, rules.maker_fee)
            case _Way.TARGET_RESTS if beyond > 0:
                return self._ended("target", ts_ns, plan.target, rules.maker_fee)
            case _Way.TARGET_RESTS if is_stopped or ts_ns >= self._late_ns:
                return self._to_market("stop" if is_stopped else "target", 2, ts_ns, price)
            case _Way.STOP_JUMPED if (price - self._stop_limit()) * plan.direction > 0:
                return self._ended("stop", ts_ns, self._stop_limit(), rules.maker_fee)
            case _Way.STOP_JUMPED if ts_ns >= self._late_ns:
                return self._to_market("stop", 2, ts_ns, price)
            case _Way.MARKET_SENT:
                return self._at_market(ts_ns, price)
        if self._way is _Way.PROTECTED and not rules.target_rests and beyond >= 0:
            self._way, self._late_ns = _Way.TARGET_SENT, ts_ns + rules.market_after_ns
            self._send(2, ts_ns)
        if self._way is _Way.TARGET_SENT and self._arrived(ts_ns):
            if beyond >= 0:
                return self._ended("target", ts_ns, price, rules.taker_fee)
            self._way = _Way.TARGET_RESTS
        return None

    def _stopped(self, ts_ns: int, price: float) -> Followed | None:
        plan, rules = self.plan, self.plan.rules
        if rules.target_rests:
            return self._ended("stop", ts_ns, rules.taken(price, plan.direction), rules.taker_fee)
        if (price - self._stop_limit()) * plan.direction >= 0:
            return self._ended("stop", ts_ns, price, rules.taker_fee)
        self._way, self._late_ns = _Way.STOP_JUMPED, ts_ns + rules.market_after_ns
        return None

    def _stop_limit(self) -> float:
        plan = self.plan
        return plan.stop - plan.direction * plan.stop * plan.rules.stop_limit_offset

    def _to_market(self, end: ShadowEnd, commands: int, ts_ns: int, price: float) -> Followed | None:
        self._way, self._end = _Way.MARKET_SENT, end
        self._send(commands, ts_ns)
        return self._at_market(ts_ns, price)

    def _at_market(self, ts_ns: int, price: float) -> Followed | None:
        if not self._arrived(ts_ns):
            return None
        rules = self.plan.rules
        return self._ended(self._end, ts_ns, rules.taken(price, self.plan.direction), rules.taker_fee)

    def _send(self, commands: int, ts_ns: int) -> None:
        self._commands, self._due_ns = commands, ts_ns + self.plan.rules.latency_ns

    def _arrived(self, ts_ns: int) -> bool:
        """Tell whether the last command is there; each is sent when the one before has arrived."""
        while self._commands and ts_ns >= self._due_ns:
            self._commands -= 1
            self._due_ns = ts_ns + self.plan.rules.latency_ns
        return not self._commands

    def _ended(self, end: ShadowEnd, ts_ns: int, price: float, exit_fee: float) -> Followed:
        plan = self.plan
        won = (price - plan.entry) * plan.direction - plan.rules.maker_fee * plan.entry - exit_fee * price
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
    """All cancelled entries that have not ended; `results` has those that have, `news` the untold of them."""

    def __init__(self) -> None:
        self.results: list[Followed] = []
        self.news: list[Followed] = []
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
        self._forget_gone(plan.cancelled_ns)
        self._shadows[plan.order_id] = Shadow(plan)

    def drop(self, order_id: str) -> None:
        """Forget an order, also one that has ended: it filled before its cancellation, or rests again."""
        self._shadows.pop(order_id, None)
        self.results = [one for one in self.results if one.order_id != order_id]
        self.news = [one for one in self.news if one.order_id != order_id]

    def drop_unfilled(self, zone_id: int) -> None:
        """Forget the unfilled order of a zone: it was sent again."""
        for shadow in self._unfilled(zone_id):
            self.drop(shadow.plan.order_id)

    def intended_entry(self, zone_id: int) -> float | None:
        """Return the price of the unfilled order of a zone, the next one when it moves; None without one."""
        found = self._unfilled(zone_id)
        return found[-1].intended.entry if found else None

    def move(self, zone_id: int, ts_ns: int, entry: float, stop: float, target: float) -> None:
        """Replace the unfilled order of a zone: the old one leaves the venue, then the new one goes there.

        Parameters
        ----------
        zone_id
            The dealing range.
        ts_ns
            UNIX nanoseconds.
        entry, stop, target
            Quote currency.
        """
        for shadow in self._unfilled(zone_id):
            shadow.move(replace(shadow.plan, entry=entry, stop=stop, target=target), ts_ns)

    def retarget(self, zone_id: int, target: float) -> None:
        """Give the unfilled order of a zone another target; the order itself stays."""
        for shadow in self._unfilled(zone_id):
            shadow.retarget(target)

    def end_zone(self, zone_id: int, ts_ns: int) -> None:
        """Take the unfilled order of a zone back that is over, UNIX nanoseconds."""
        for shadow in self._unfilled(zone_id):
            shadow.end_at(ts_ns)
        self._forget_gone(ts_ns)

    def _forget_gone(self, ts_ns: int) -> None:
        for shadow in list(self._shadows.values()):
            if not shadow.fill_ns and ts_ns >= shadow.ends_ns:
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
        before = self.quiet_band
        for shadow in list(self._shadows.values()):
            result = shadow.on_price(ts_ns, price)
            if result is not None:
                self._finish(shadow, result)
        return self.quiet_band != before

    def _unfilled(self, zone_id: int) -> list[Shadow]:
        return [one for one in self._shadows.values() if one.plan.zone_id == zone_id and not one.fill_ns]

    def _finish(self, shadow: Shadow, result: Followed) -> None:
        del self._shadows[shadow.plan.order_id]
        self.results.append(result)
        self.news.append(result)


__all__ = ["Followed", "Shadow", "ShadowBook", "ShadowEnd", "ShadowPlan", "ShadowRules"]
