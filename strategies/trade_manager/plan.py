"""From a dealing range to an order: entry, stop, target and quantity, or the reason why not."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from strategies.trade_manager.increments import round_down
from strategies.trade_manager.sizing import Funds as Funds
from strategies.trade_manager.sizing import Market as Market
from strategies.trade_manager.sizing import checked_quantity, quantity_for_risk
from strategies.trade_manager.skips import Skip as Skip
from strategies.trade_manager.skips import SkipReason as SkipReason
from strategies.trade_manager.stops import structural_stop
from strategies.trade_manager.targets import TargetKind, target_price

type SideKind = Literal["both", "long", "short"]
type EntryKind = Literal["limit", "market", "hybrid"]


@dataclass(frozen=True, slots=True)
class EntryRules:
    """The settings that turn a range into prices and a size; see ``OteConfig`` for their meaning."""

    side: SideKind = "both"
    stop_buffer_pct: float = 0.1
    target: TargetKind = "range_high"
    min_reward_risk: float = 1.0
    risk_per_trade_pct: float = 1.0
    max_notional_pct: float = 100.0
    reprice_min_ticks: int = 2
    reprice_min_leg_pct: float = 5.0


@dataclass(slots=True)
class Zone:
    """A live dealing range with its sweet spot, as the structure events tell it.

    Parameters
    ----------
    zone_id
        Event id of RANGE_FORMED.
    direction
        +1 long, -1 short.
    known_ts_ns
        When it became known, UNIX nanoseconds.
    low, high
        The range, quote currency.
    sweet
        The sweet spot's price.
    is_touched
        Price reached the sweet spot since the last extension: an entry would come too late.
    is_used
        An entry was sent for it: a zone is traded once.
    skip
        Why it is not traded, as last found.
    """

    zone_id: int
    direction: int
    known_ts_ns: int
    low: float
    high: float
    sweet: float
    is_touched: bool = False
    is_used: bool = False
    skip: SkipReason | None = None

    @property
    def origin(self) -> float:
        """Return the price where the impulse leg began."""
        return self.low if self.direction > 0 else self.high

    @property
    def is_final_skip(self) -> bool:
        """Tell whether only an extension of the range can make it tradable."""
        return self.skip in _OF_THE_ZONE


@dataclass(frozen=True, slots=True)
class EntryPlan:
    """One intended trade.

    Parameters
    ----------
    direction
        +1 long, -1 short.
    entry_price, stop_price, target_price
        Multiples of the tick, quote currency.
    qty
        Multiple of the lot, base currency.
    zone_id
        Event id of the dealing range.
    zone_low, zone_high
        The range at the time of the plan.
    entry_kind
        ``limit``: a resting post-only limit. ``market``: ``entry_price`` is the price the plan counts on.
        ``hybrid``: a limit that may also take, and that the strategy later turns into a market order.
    """

    direction: int
    entry_price: Decimal
    stop_price: Decimal
    target_price: Decimal
    qty: Decimal
    zone_id: int
    zone_low: float
    zone_high: float
    entry_kind: EntryKind = "limit"

    @property
    def risk_per_unit(self) -> Decimal:
        """Return the distance from entry to stop, quote currency."""
        return abs(self.entry_price - self.stop_price)

    @property
    def reward_risk(self) -> Decimal:
        """Return gross reward over gross risk."""
        return abs(self.target_price - self.entry_price) / self.risk_per_unit


_OF_THE_ZONE = frozenset(
    {
        SkipReason.NON_FINITE,
        SkipReason.SIDE,
        SkipReason.NO_STOP_DISTANCE,
        SkipReason.REWARD_RISK,
        SkipReason.FEES,
    }
)


def plan_entry(zone: Zone, rules: EntryRules, market: Market, funds: Funds) -> EntryPlan | Skip:
    """Turn a zone into prices and a quantity, or say why not.

    The entry is rounded to the passive side of the sweet spot, the stop away from the range, the target
    towards the entry: rounding never makes a zone look better than it is.

    Parameters
    ----------
    zone
        The dealing range.
    rules, market, funds
        Settings, instrument and account.

    Returns
    -------
    EntryPlan or Skip
        A plan has ``qty > 0`` and, for a long, stop < entry < target (mirrored for a short).

    References
    ----------
    ``docs/structure.md``, dealing range and OTE.
    """
    if not _is_sane(zone):
        return Skip(SkipReason.NON_FINITE)
    if not side_allowed(zone.direction, rules.side, shorts=market.shorts):
        return Skip(SkipReason.SIDE)
    tick = market.tick_size
    entry = round_down(zone.sweet, tick, zone.direction)
    stop = structural_stop(zone.direction, zone.origin, rules.stop_buffer_pct, tick)
    target = target_price(zone.direction, zone.low, zone.high, rules.target, tick)
    risk = (entry - stop) * zone.direction
    reward = (target - entry) * zone.direction
    if risk <= 0 or stop <= 0:
        return Skip(SkipReason.NO_STOP_DISTANCE, float(risk))
    # Compared as a product: a quotient of decimals is rounded.
    if reward < risk * Decimal(str(rules.min_reward_risk)):
        return Skip(SkipReason.REWARD_RISK, float(reward / risk), rules.min_reward_risk)
    exit_fee = market.maker_fee if market.target_rests else market.taker_fee
    fees = entry * market.maker_fee + target * exit_fee
    if reward <= fees:
        return Skip(SkipReason.FEES, float(reward), float(fees))
    qty = quantity_for_risk(
        equity=funds.equity,
        risk_pct=rules.risk_per_trade_pct,
        entry_price=entry,
        stop_price=stop,
        max_notional=min(funds.equity * Decimal(str(rules.max_notional_pct)) / 100, funds.spendable),
        lot_size=market.lot_size,
        max_qty=market.max_qty,
    )
    refused = checked_quantity(qty, min(entry, stop), market)
    if refused is not None:
        return refused
    return EntryPlan(zone.direction, entry, stop, target, qty, zone.zone_id, zone.low, zone.high)


def check_plan(plan: EntryPlan) -> None:
    """Check what holds for the plans of all strategies, whether they came from a signal or a zone.

    Raises
    ------
    ValueError
        When a price is not positive and finite, their order is wrong, or there is nothing to buy: a bug, with
        which nothing may be sent.
    """
    prices = {"entry": plan.entry_price, "stop": plan.stop_price, "target": plan.target_price}
    text = ", ".join(f"{name} {price}" for name, price in prices.items())
    side = "long" if plan.direction > 0 else "short"
    where = f"plan {plan.zone_id} ({side}, {text}, quantity {plan.qty})"
    if not all(one.is_finite() and one > 0 for one in (*prices.values(), plan.qty)):
        raise ValueError(f"{where}: prices and quantity must be finite and above zero")
    if plan.direction not in (1, -1):
        raise ValueError(f"{where}: the direction is {plan.direction}, want +1 or -1")
    risk = (plan.entry_price - plan.stop_price) * plan.direction
    reward = (plan.target_price - plan.entry_price) * plan.direction
    if risk <= 0 or reward <= 0:
        raise ValueError(f"{where}: the entry must be between stop and target")


def side_allowed(direction: int, side: SideKind, *, shorts: bool) -> bool:
    """Tell whether settings and account allow the direction (+1 long, -1 short)."""
    if direction < 0:
        return shorts and side != "long"
    return side != "short"


def reprice_distance(zone: Zone, rules: EntryRules, tick_size: float) -> float:
    """Return how far the sweet spot must move before the resting entry follows, quote currency.

    Each replacement costs the place in the queue, and a cancel and a submit.

    Examples
    --------
    >>> zone = Zone(0, 1, 0, low=100.0, high=110.0, sweet=102.95)
    >>> reprice_distance(zone, EntryRules(), 0.01)
    0.5
    """
    return max(rules.reprice_min_ticks * tick_size, rules.reprice_min_leg_pct / 100 * (zone.high - zone.low))


def _is_sane(zone: Zone) -> bool:
    prices = (zone.low, zone.high, zone.sweet)
    return all(map(math.isfinite, prices)) and 0 < zone.low < zone.sweet < zone.high
