"""How much to buy or sell: the stop distance decides, the account limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from strategies.trade_manager.increments import floor_to
from strategies.trade_manager.skips import Skip, SkipReason

# Leverage up to the bound is a multiple of the step, beyond the last bound of LARGEST_STEP.
LEVERAGE_STEPS: Final = ((10, 1), (25, 5))
LARGEST_STEP: Final = 10
CASH_RESERVE: Final = Decimal("0.025")
"""Share of the cash that an entry at market leaves: it fills at a later price than it was sized by."""


@dataclass(frozen=True, slots=True)
class Market:
    """What the instrument and its venue allow.

    Parameters
    ----------
    tick_size, lot_size
        Price and quantity increments.
    min_qty
        Smallest order, base currency.
    min_notional
        Smallest order, quote currency, 0 for none.
    maker_fee, taker_fee
        Shares of the notional (0.001 is 0.1 %).
    shorts
        False where the account is spot cash.
    target_rests
        The target is a resting limit order (maker), else a limit sent when the price is there (taker).
    exits_need_notional
        Exits, too, must reach ``min_notional`` (spot); reduce-only exits need not.
    max_qty
        Largest order, at market or with a limit, base currency; None for no limit.
    """

    tick_size: Decimal
    lot_size: Decimal
    min_qty: Decimal
    min_notional: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    shorts: bool
    target_rests: bool
    exits_need_notional: bool
    max_qty: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Funds:
    """What the account has, quote currency.

    Parameters
    ----------
    equity
        Balance, on spot with the coins at the last price.
    spendable
        Most that an entry may cost.
    """

    equity: Decimal
    spendable: Decimal


def quantity_for_risk(
    *,
    equity: Decimal,
    risk_pct: float,
    entry_price: Decimal,
    stop_price: Decimal,
    max_notional: Decimal,
    lot_size: Decimal,
    max_qty: Decimal | None = None,
) -> Decimal:
    """Return the quantity whose loss at the stop is the given share of the equity, rounded down.

    Parameters
    ----------
    equity
        Account value, quote currency.
    risk_pct
        Share of the equity that may be lost at the stop, before fees, percent.
    entry_price, stop_price
        Quote currency; they must differ.
    max_notional
        Most that quantity times entry price may be, quote currency.
    lot_size
        Quantity increment.
    max_qty
        Largest order of the venue, base currency; None for no limit. A trade is entered and left in one.

    Returns
    -------
    Decimal
        Base currency, a multiple of ``lot_size``, 0 when the account is too small.

    Raises
    ------
    ValueError
        When the stop is at the entry.

    Examples
    --------
    >>> from decimal import Decimal as D
    >>> quantity_for_risk(equity=D(10000), risk_pct=1, entry_price=D(100), stop_price=D(98),
    ...                   max_notional=D(10000), lot_size=D("0.1"))
    Decimal('50.0')
    """
    distance = abs(entry_price - stop_price)
    if distance == 0:
        raise ValueError(f"the stop ({stop_price}) is at the entry: no size has a finite risk")
    by_risk = equity * Decimal(str(risk_pct)) / 100 / distance
    by_notional = max_notional / entry_price
    qty = min(by_risk, by_notional)
    return max(floor_to(qty if max_qty is None else min(qty, max_qty), lot_size), Decimal(0))


def quantity_for_volume(volumes: Sequence[float], max_volume_pct: float) -> Decimal | None:
    """Return the quantity that is the given share of the mean traded volume of some bars.

    Parameters
    ----------
    volumes
        Of the last closed bars, base currency; none known is a volume of 0.
    max_volume_pct
        Share of their mean, percent, 0 for no limit.

    Returns
    -------
    Decimal or None
        Base currency, not rounded; None for no limit.

    Examples
    --------
    >>> quantity_for_volume([100.0, 0.0, 50.0], 5)
    Decimal('2.5')
    """
    if not max_volume_pct:
        return None
    mean = sum(volumes) / len(volumes) if volumes else 0.0
    return Decimal(str(mean * max_volume_pct / 100))


def checked_quantity(qty: Decimal, lowest_price: Decimal, market: Market) -> Skip | None:
    """Return why a quantity cannot be traded and protected, None when it can.

    Parameters
    ----------
    qty
        Base currency.
    lowest_price
        Of entry and stop, quote currency: the cheaper order must reach the venue's minimum, else the position
        could not be protected.
    market
        Minimums of the instrument.
    """
    if qty <= 0 or qty < market.min_qty:
        return Skip(SkipReason.MIN_QTY, float(qty), float(market.min_qty))
    smallest_notional = qty * lowest_price
    if smallest_notional < market.min_notional:
        return Skip(SkipReason.MIN_NOTIONAL, float(smallest_notional), float(market.min_notional))
    return None


def leverage_for_target(
    entry_price: Decimal, target_price: Decimal, *, goal_pct: float, max_leverage: int
) -> int:
    """Return the leverage at which reaching the target earns the goal on the margin.

    It decides how much margin a position binds, not how large the position is: that is the stop's part.

    Parameters
    ----------
    entry_price, target_price
        Quote currency.
    goal_pct
        Wanted gain on the margin at the target, percent.
    max_leverage
        Most that the coin's settings and the venue allow, >= 1.

    Returns
    -------
    int
        Goal over distance, capped, rounded to whole numbers up to 10, to fives up to 25, to tens beyond;
        never above the cap, at least 1.

    Raises
    ------
    ValueError
        When the target is at the entry, or the cap below 1.

    Examples
    --------
    >>> from decimal import Decimal as D
    >>> leverage_for_target(D(100), D("100.6"), goal_pct=10, max_leverage=50)
    15
    >>> leverage_for_target(D(100), D("100.6"), goal_pct=10, max_leverage=13)
    10
    """
    if target_price == entry_price:
        raise ValueError(f"the target ({target_price}) is at the entry: no leverage makes it pay")
    if max_leverage < 1:
        raise ValueError(f"max_leverage ({max_leverage}) must be at least 1")
    target_pct = abs(target_price - entry_price) / entry_price * 100
    wanted = min(Decimal(str(goal_pct)) / target_pct, Decimal(max_leverage))
    step = next((step for bound, step in LEVERAGE_STEPS if wanted <= bound), LARGEST_STEP)
    rounded = int((wanted / step).quantize(Decimal(1), ROUND_HALF_EVEN)) * step
    if rounded > max_leverage:
        rounded -= step
    return max(rounded, 1)


@dataclass(frozen=True, slots=True)
class RiskRules:
    """How much one trade may risk and bind.

    Parameters
    ----------
    risk_per_trade_pct
        Share of the equity that is lost at the stop, before fees, percent.
    max_notional_pct
        Most notional of one trade, percent of the equity.
    leverage_goal_pct
        See `leverage_for_target`.
    max_leverage
        Of the coin's settings and the venue; 1 on a cash account.
    min_stop_pct, min_stop_ticks, min_stop_fees
        See `least_stop_distance`; 0 for off.
    """

    risk_per_trade_pct: float = 1.0
    max_notional_pct: float = 100.0
    leverage_goal_pct: float = 10.0
    max_leverage: int = 10
    min_stop_pct: float = 0.0
    min_stop_ticks: int = 0
    min_stop_fees: float = 0.0


def least_stop_distance(entry_price: Decimal, rules: RiskRules, market: Market) -> Decimal:
    """Return how far from the entry the stop must be at least, quote currency.

    The largest of a share of the price, a number of ticks, and a multiple of the fees of two market orders:
    of a stop nearer than the round trip costs, most of the loss would be costs, and R would mean nothing.

    Parameters
    ----------
    entry_price
        Quote currency.
    rules, market
        Settings and instrument.

    Examples
    --------
    >>> from decimal import Decimal as D
    >>> market = Market(D("0.01"), D("0.1"), D("0.1"), D(5), D("0.0002"), D("0.0005"), True, True, False)
    >>> least_stop_distance(D(100), RiskRules(min_stop_pct=0.05, min_stop_ticks=3, min_stop_fees=1), market)
    Decimal('0.1000')
    """
    by_share = entry_price * Decimal(str(rules.min_stop_pct)) / 100
    by_fees = 2 * entry_price * market.taker_fee * Decimal(str(rules.min_stop_fees))
    return max(by_share, by_fees, rules.min_stop_ticks * market.tick_size)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a trade is.

    Parameters
    ----------
    qty
        Multiple of the lot, base currency, > 0.
    leverage
        What to set at the venue.
    notional, margin
        Quantity times entry price, and what of it the account must provide, quote currency.
    risk
        Loss at the stop before fees, quote currency.
    """

    qty: Decimal
    leverage: int
    notional: Decimal
    margin: Decimal
    risk: Decimal


def size_position(
    entry_price: Decimal,
    stop_price: Decimal,
    target_price: Decimal,
    *,
    rules: RiskRules,
    market: Market,
    equity: Decimal,
    free_margin: Decimal,
    max_qty: Decimal | None = None,
) -> Size | Skip:
    """Return the size of a trade: the stop distance decides; notional, free margin and volume limit it.

    Parameters
    ----------
    entry_price, stop_price, target_price
        Multiples of the tick, quote currency.
    rules, market
        Settings and instrument.
    equity
        Account value, quote currency.
    free_margin
        What the account can still bind, quote currency; the entry's taker fee is paid out of it too.
    max_qty
        What the market bears, base currency, see `quantity_for_volume`; None for no limit.

    Returns
    -------
    Size or Skip
        ``no_stop_distance``, ``stop_too_near``, ``risk`` (no money to risk or bind), ``min_qty``,
        ``min_notional``, or ``low_volume`` (the volume alone makes it smaller than an order may be).

    Examples
    --------
    >>> from decimal import Decimal as D
    >>> market = Market(D("0.01"), D("0.1"), D("0.1"), D(5), D(0), D(0), True, True, False)
    >>> size_position(D(100), D(98), D(103), rules=RiskRules(), market=market, equity=D(10000),
    ...               free_margin=D(10000)).qty
    Decimal('50.0')
    """
    if entry_price in (stop_price, target_price) or min(entry_price, stop_price, target_price) <= 0:
        return Skip(SkipReason.NO_STOP_DISTANCE, float(entry_price - stop_price))
    least = least_stop_distance(entry_price, rules, market)
    if abs(entry_price - stop_price) < least:
        return Skip(SkipReason.STOP_TOO_NEAR, float(abs(entry_price - stop_price)), float(least))
    if equity <= 0 or free_margin <= 0:
        return Skip(SkipReason.RISK, float(min(equity, free_margin)))
    leverage = leverage_for_target(
        entry_price, target_price, goal_pct=rules.leverage_goal_pct, max_leverage=rules.max_leverage
    )
    by_setting = equity * Decimal(str(rules.max_notional_pct)) / 100
    by_margin = free_margin / (1 / Decimal(leverage) + market.taker_fee)
    qty = quantity_for_risk(
        equity=equity,
        risk_pct=rules.risk_per_trade_pct,
        entry_price=entry_price,
        stop_price=stop_price,
        max_notional=min(by_setting, by_margin),
        lot_size=market.lot_size,
        max_qty=market.max_qty,
    )
    lowest = min(entry_price, stop_price)
    refused = checked_quantity(qty, lowest, market)
    if refused is not None:
        return refused
    if max_qty is not None and max_qty < qty:
        qty = max(floor_to(max_qty, market.lot_size), Decimal(0))
        if checked_quantity(qty, lowest, market) is not None:
            least_qty = max(market.min_qty, market.min_notional / lowest)
            return Skip(SkipReason.LOW_VOLUME, float(max_qty), float(least_qty))
    notional = qty * entry_price
    return Size(qty, leverage, notional, notional / leverage, qty * abs(entry_price - stop_price))
